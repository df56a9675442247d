/** A data set as the catalogue knows it: facts about files that others publish. The files themselves are never ours. */

/** A file of a data set. */
export interface DataFile {
  /** Its name in the set's folder, parts joined by slashes. */
  readonly name: string;
  /** Where it is published: a public repository, `owner/name` on github.com, and the path in it. */
  readonly repository: string;
  readonly path: string;
  /** Bytes of the content as published. */
  readonly bytes: number;
  /** SHA-256 of the content as published, in hexadecimal. */
  readonly sha256: string;
}

/** A data set: a folder of that name below `TESSERA_DATA` or `data/`, with these files, each plain or packed by gzip. */
export interface DataSet {
  readonly name: string;
  /** What it is, in a line. */
  readonly about: string;
  readonly licence: string;
  /** What was done to the published files, where something was: "decoded from JPEG". */
  readonly made?: string;
  readonly files: readonly DataFile[];
}

/** Files of one repository's folder that keep their names: rows of name, bytes and SHA-256. */
export function filesOf(
  repository: string,
  folder: string,
  rows: readonly (readonly [name: string, bytes: number, sha256: string])[],
): DataFile[] {
  const start = folder === '' ? '' : `${folder}/`;
  return rows.map(([name, bytes, sha256]) => ({ name, repository, path: `${start}${name}`, bytes, sha256 }));
}

/** Bytes of all files, as published. */
export function bytesOfSet(set: DataSet): number {
  return set.files.reduce((total, { bytes }) => total + bytes, 0);
}

/** Where a set is published: each repository once, with the folder that its files share, as addresses. */
export function sourcesOf(set: DataSet): readonly string[] {
  const paths = new Map<string, string[]>();
  for (const { repository, path } of set.files) paths.set(repository, [...(paths.get(repository) ?? []), path]);
  return [...paths].map(([repository, all]) => {
    const [first = ''] = all;
    const place = all.length === 1 ? first : sharedFolder(all);
    return `https://github.com/${repository}${place === '' ? '' : ` (${place})`}`;
  });
}

function sharedFolder(paths: readonly string[]): string {
  const [first = [], ...rest] = paths.map((path) => path.split('/').slice(0, -1));
  const parts = [...first];
  while (!rest.every((other) => parts.every((part, index) => other[index] === part))) parts.pop();
  return parts.join('/');
}
