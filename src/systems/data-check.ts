/** Data sets on this machine: found under `TESSERA_DATA`, else under `data/`, and held against their sums. */

import { environmentVariable, joinPath, listDirectory, openByteStream, readFile, stat } from '#host';
import { TesseraError, throwIfAborted } from '../host/error.js';
import { type DataFile, type DataSet, sourcesOf } from './data-set.js';

/** A file of a set, as it was found. */
export interface FileCheck {
  readonly name: string;
  /** Where it is; undefined when it is missing. */
  readonly path: string | undefined;
  /** `unread`: it is there and its sum was not asked for. */
  readonly state: 'right' | 'wrong' | 'missing' | 'unread';
  /** What is wrong with it, as a sentence. */
  readonly says?: string;
}

/** A set, as it was found. */
export interface SetCheck {
  readonly name: string;
  /** Its folder; undefined when there is none. */
  readonly folder: string | undefined;
  /** Every file is there, and as published where sums were asked for. */
  readonly whole: boolean;
  readonly files: readonly FileCheck[];
}

/** How data is looked for. */
export interface DataOptions {
  /** Folders that hold sets, the first one first (default: `TESSERA_DATA` where it is set, then `data`). */
  readonly folders?: readonly string[];
  readonly signal?: AbortSignal;
}

/** The folders in which sets are looked for. */
export function dataFolders(): readonly string[] {
  const chosen = environmentVariable('TESSERA_DATA');
  return chosen === undefined ? ['data'] : [chosen, 'data'];
}

/**
 * Finds a set's files: in the first folder that has all of them, else in the first that has the set. Nothing is read.
 * A file may be packed by gzip, its name then ending with `.gz` beyond the published one.
 */
export async function findDataSet(set: DataSet, options: DataOptions = {}): Promise<SetCheck> {
  let first: SetCheck | undefined;
  for (const root of options.folders ?? dataFolders()) {
    const folder = joinPath(root, set.name);
    if ((await stat(folder))?.kind !== 'directory') continue;
    const files = await Promise.all(set.files.map((file) => findFile(folder, file)));
    const found = { name: set.name, folder, whole: files.every(({ state }) => state !== 'missing'), files };
    if (found.whole) return found;
    first ??= found;
  }
  const none = set.files.map(({ name }): FileCheck => ({ name, path: undefined, state: 'missing' }));
  return first ?? { name: set.name, folder: undefined, whole: false, files: none };
}

async function findFile(folder: string, { name }: DataFile): Promise<FileCheck> {
  for (const path of [joinPath(folder, name), joinPath(folder, `${name}.gz`)]) {
    if ((await stat(path))?.kind === 'file') return { name, path, state: 'unread' };
  }
  return { name, path: undefined, state: 'missing' };
}

/** Finds a set's files and compares their content with the sums. Holds one file at a time in memory. @throws aborted. */
export async function checkDataSet(set: DataSet, options: DataOptions = {}): Promise<SetCheck> {
  const found = await findDataSet(set, options);
  const files: FileCheck[] = [];
  for (const [index, file] of found.files.entries()) {
    throwIfAborted(options.signal);
    const wanted = set.files[index];
    files.push(wanted === undefined || file.path === undefined ? file : await checkFile(file, file.path, wanted));
  }
  return { ...found, files, whole: files.every(({ state }) => state === 'right') };
}

async function checkFile(file: FileCheck, path: string, wanted: DataFile): Promise<FileCheck> {
  try {
    const says = await difference(path, wanted);
    return says === undefined ? { ...file, state: 'right' } : { ...file, state: 'wrong', says };
  } catch (error) {
    if (!(error instanceof TesseraError)) throw error;
    return { ...file, state: 'wrong', says: error.message };
  }
}

/** What tells a file's content from the published one. */
async function difference(path: string, { name, bytes, sha256 }: DataFile): Promise<string | undefined> {
  const content = path.endsWith(`${name}.gz`) ? await unpack(path, bytes) : await readFile(path);
  if (content.length !== bytes) {
    const has = content.length > bytes && path.endsWith('.gz') ? `more than ${bytes}` : `${content.length}`;
    return `${path} has ${has} bytes; the published file has ${bytes}.`;
  }
  const copy = new Uint8Array(content); // over an ArrayBuffer of its own, as Web Crypto's type wants
  const sum = hexadecimal(new Uint8Array(await crypto.subtle.digest('SHA-256', copy)));
  return sum === sha256 ? undefined : `${path} has the SHA-256 ${sum}; the published file has ${sha256}.`;
}

/** The content of a packed file, up to the first chunk beyond `most` bytes. */
async function unpack(path: string, most: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of openByteStream(path)) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > most) break;
  }
  const content = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    content.set(chunk, at);
    at += chunk.length;
  }
  return content;
}

function hexadecimal(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Throws for a set that is not whole. @throws not-found, naming what is missing and where to get it; mismatch for other content. */
export function requireWhole(set: DataSet, check: SetCheck): void {
  const missing = check.files.filter(({ state }) => state === 'missing').map(({ name }) => name);
  const sources = sourcesOf(set).join(', ');
  if (missing.length > 0) {
    const which =
      missing.length === set.files.length
        ? `The data set ${set.name} is not here.`
        : `The data set ${set.name} in ${check.folder} lacks ${some(missing)}.`;
    throw new TesseraError('not-found', which, { hint: whereToGet(set) });
  }
  const wrong = check.files.find(({ state }) => state === 'wrong');
  if (wrong !== undefined) {
    throw new TesseraError(
      'mismatch',
      `The data set ${set.name} is not the published one: ${wrong.says ?? wrong.name}`,
      {
        hint: `Get it again from ${sources}.`,
      },
    );
  }
}

/**
 * The folder of a set that is here, for those who read all that is in it.
 * @throws mismatch when it holds a file that is not of the set (hidden ones aside), which they would read too.
 */
export async function folderAlone({ name, folder, files }: SetCheck): Promise<string> {
  if (folder === undefined) throw new TesseraError('not-found', `The data set ${name} is not here.`);
  const own = new Set(files.map(({ path }) => path));
  const walk = async (path: string): Promise<string | undefined> => {
    for (const entry of await listDirectory(path)) {
      const inner = joinPath(path, entry.name);
      if (entry.name.startsWith('.') || own.has(inner)) continue;
      const stranger = entry.kind === 'directory' ? await walk(inner) : inner;
      if (stranger !== undefined) return stranger;
    }
    return undefined;
  };
  const stranger = await walk(folder);
  if (stranger === undefined) return folder;
  throw new TesseraError('mismatch', `${stranger} is not a file of the data set ${name}, and would be read with it.`, {
    hint: `Move it away; \`tessera data list ${name}\` names the files of the set.`,
  });
}

/** How a set is got, as a sentence. */
export function whereToGet(set: DataSet): string {
  const [files, them] = set.files.length === 1 ? ['its file', 'it'] : [`its ${set.files.length} files`, 'them'];
  return (
    `Get ${files} from ${sourcesOf(set).join(', ')} and put ${them} into data/${set.name}, or into ${set.name} in the ` +
    `folder that TESSERA_DATA names; \`tessera data list ${set.name}\` has names and sums.`
  );
}

function some(names: readonly string[]): string {
  const [first = '', second, ...rest] = names;
  if (second === undefined) return first;
  return rest.length === 0 ? `${first} and ${second}` : `${first}, ${second} and ${rest.length} more`;
}
