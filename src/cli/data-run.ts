/** Lists and checks the data sets. */

import type { Json, JsonObject } from '../formats/index.js';
import {
  bytesOfSet,
  checkDataSet,
  DATA_SETS,
  type DataSet,
  dataSetOf,
  type FileCheck,
  findDataSet,
  type SetCheck,
  sourcesOf,
  whereToGet,
} from '../systems/index.js';
import { TesseraError } from '../tensor/index.js';
import type { Job } from './options.js';
import { type Output, size, table } from './output.js';
import { block } from './reproduce-show.js';

/** A set beside what was found of it. */
interface Found {
  readonly set: DataSet;
  readonly check: SetCheck;
}

function chosen(names: readonly string[]): readonly DataSet[] {
  return names.length === 0 ? DATA_SETS : names.map((name) => dataSetOf(name));
}

/** Prints the sets; with names these alone and every file of them. @throws not-found for an unknown name. */
export async function listData(names: readonly string[], output: Output): Promise<void> {
  const found: Found[] = [];
  for (const set of chosen(names)) found.push({ set, check: await findDataSet(set) });
  output.result(found.map(toJson), () =>
    [
      ...found.map((one) => describe(one, names.length > 0)),
      '`tessera data check` compares the files that are here with their sums.',
    ].join('\n\n'),
  );
}

/** Checks the sets and prints what was found. @throws not-found when one is not whole; aborted. */
export async function checkData(names: readonly string[], { output, signal }: Job): Promise<void> {
  const sets = chosen(names);
  const found: Found[] = [];
  const progress = output.progress('Checking: data set', sets.length);
  try {
    for (const set of sets) {
      progress.update(found.length, set.name);
      found.push({ set, check: await checkDataSet(set, { signal }) });
    }
  } finally {
    progress.end();
  }
  output.result(found.map(toJson), () =>
    table(
      ['data set', 'files', 'size', 'here', 'in'],
      found.map(({ set, check }) => [
        set.name,
        set.files.length,
        size(bytesOfSet(set)),
        state(check),
        check.folder ?? 'nowhere',
      ]),
    ),
  );
  for (const { check } of found) {
    for (const { says } of check.files) if (says !== undefined) output.note(says);
  }
  const broken = found.filter(({ check }) => !check.whole);
  if (broken.length === 0) return;
  const those = broken.map(({ set }) => set.name).join(', ');
  throw new TesseraError(
    'not-found',
    broken.length === 1 ? `The data set ${those} is not whole.` : `These data sets are not whole: ${those}.`,
    { hint: broken.map(({ set }) => `${set.name}: ${whereToGet(set)}`).join('\n  ') },
  );
}

/** Whether a set is here, in a few words. */
function state({ files, folder }: SetCheck): string {
  const those = (wanted: FileCheck['state']): number => files.filter((file) => file.state === wanted).length;
  if (folder === undefined) return 'missing';
  const parts = [
    [those('missing'), 'missing'],
    [those('wrong'), 'not as published'],
  ].flatMap(([many, what]) => (many === 0 ? [] : [`${many} ${what}`]));
  if (parts.length > 0) return parts.join(', ');
  return those('unread') > 0 ? 'found, not yet checked' : 'whole, sums right';
}

function describe({ set, check }: Found, withFiles: boolean): string {
  const lines = [
    set.name,
    block('what', set.about),
    block('source', sourcesOf(set).join('\n')),
    ...(set.made === undefined ? [] : [block('made', set.made)]),
    block('licence', set.licence),
    block('size', `${size(bytesOfSet(set))} in ${set.files.length} ${set.files.length === 1 ? 'file' : 'files'}`),
    block('here', check.folder === undefined ? 'missing' : `${state(check)}: ${check.folder}`),
  ];
  if (!withFiles) return lines.join('\n');
  const rows = set.files.map(({ name, repository, path, bytes, sha256 }, index) => [
    name,
    bytes,
    sha256,
    check.files[index]?.path === undefined ? 'missing' : 'found',
    `${repository}: ${path}`,
  ]);
  return [...lines, '', table(['file', 'bytes', 'SHA-256 of the content', 'here', 'source'], rows)].join('\n');
}

function toJson({ set, check }: Found): JsonObject {
  const { name, about, licence, made, files } = set;
  return {
    name,
    about,
    licence,
    ...(made === undefined ? {} : { made }),
    sources: [...sourcesOf(set)],
    bytes: bytesOfSet(set),
    folder: check.folder ?? null,
    whole: check.whole,
    files: files.map((file, index): Json => {
      const { path, state: found = 'missing', says } = check.files[index] ?? {};
      return {
        name: file.name,
        bytes: file.bytes,
        sha256: file.sha256,
        source: `https://github.com/${file.repository}/blob/HEAD/${file.path}`,
        path: path ?? null,
        state: found,
        ...(says === undefined ? {} : { says }),
      };
    }),
  };
}
