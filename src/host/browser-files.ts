/**
 * Files of the page half: a file system in memory, one a thread, that ends with its page. What is written can be read
 * back, so a run with a folder, its checkpoints and `save` work in a page as they do in Node; the bytes leave the page
 * as a download. Reading a path that was not written fetches it as an address.
 */

import { TesseraError, throwIfAborted } from './error.js';
import { textOf } from './text-file.js';
import type { ByteStreamOptions, DirectoryEntry, FileStatus, FileWriter, RandomAccess } from './types.js';

interface File {
  readonly bytes: Uint8Array;
  readonly modified: number;
}

/** Files by path, and folders, which may be empty. */
const files = new Map<string, File>();
const folders = new Set<string>(['']);
let counter = 0;

/** Without `.`, `..`, doubled and trailing slashes; a leading one stays. */
function clean(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.length === 0 ? '' : `${path.startsWith('/') ? '/' : ''}${parts.join('/')}`;
}

function parentOf(path: string): string {
  const end = path.lastIndexOf('/');
  return end <= 0 ? path.slice(0, Math.max(end, 0)) : path.slice(0, end);
}

function lastOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function inside(folder: string): string {
  return folder === '' || folder === '/' ? folder : `${folder}/`;
}

function refuse(path: string, reason: string): TesseraError {
  return new TesseraError('no-space', `${path} could not be written: ${reason}.`);
}

function nothingAt(path: string): TesseraError {
  return new TesseraError('not-found', `There is no folder ${path}.`, { hint: 'Check the path.' });
}

function makeFolders(path: string): void {
  for (let at = path; at !== '' && at !== '/'; at = parentOf(at)) {
    if (files.has(at)) throw refuse(path, 'a part of its path is a file, not a folder');
    folders.add(at);
  }
}

function put(path: string, bytes: Uint8Array): void {
  const at = clean(path);
  if (folders.has(at)) throw refuse(path, 'a folder has that name');
  makeFolders(parentOf(at));
  files.set(at, { bytes, modified: Date.now() });
}

function bytesOf(content: Uint8Array | string): Uint8Array {
  return typeof content === 'string' ? new TextEncoder().encode(content) : content.slice();
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}

/** The bytes at a path of the memory, or undefined. @throws bad-input for a folder. */
function find(path: string): Uint8Array | undefined {
  const at = clean(path);
  if (folders.has(at)) throw new TesseraError('bad-input', `${path} is a folder; a file was needed.`);
  return files.get(at)?.bytes;
}

/** A whole file. @throws not-found, bad-input for a folder. */
export async function readFile(path: string): Promise<Uint8Array> {
  const found = find(path);
  return found === undefined ? new Uint8Array(await (await get(path)).arrayBuffer()) : found.slice();
}

/** A whole file as UTF-8 text. @throws not-found; bad-file when it is not UTF-8. */
export async function readTextFile(path: string): Promise<string> {
  return textOf(path, await readFile(path));
}

/** Opens a file for reading by offset; one that is fetched is held whole. @throws not-found, bad-input. */
export async function openRandomAccess(path: string): Promise<RandomAccess> {
  const bytes = await readFile(path);
  return {
    size: bytes.length,
    read: async (offset, length) => {
      if (offset + length > bytes.length) {
        const rest = offset + length - bytes.length;
        throw new TesseraError('bad-file', `${path} ends at byte ${bytes.length}; ${rest} more were needed.`);
      }
      return bytes.slice(offset, offset + length);
    },
    close: async () => undefined,
  };
}

/** Streams a file piece by piece, unpacking gzip. @throws not-found, bad-input; bad-file on damaged gzip. */
export async function* openByteStream(path: string, options: ByteStreamOptions = {}): AsyncGenerator<Uint8Array> {
  const { start = 0, signal } = options;
  throwIfAborted(signal);
  const found = find(path);
  const stream = found === undefined ? (await get(path, signal)).body : new Blob([found.slice()]).stream();
  if (stream === null) return;
  const [peeked, body] = stream.tee();
  const peek = peeked.getReader();
  const first = (await peek.read()).value;
  void peek.cancel();
  const packed = first !== undefined && first[0] === 0x1f && first[1] === 0x8b;
  const reader = (packed ? body.pipeThrough(new DecompressionStream('gzip')) : body).getReader();
  try {
    for (let skip = start; ; ) {
      throwIfAborted(signal);
      const { done, value } = await reader.read();
      if (done) return;
      if (skip < value.length) yield skip > 0 ? value.subarray(skip) : value;
      skip = Math.max(0, skip - value.length);
    }
  } catch (error) {
    if (error instanceof TesseraError) throw error;
    throw new TesseraError('bad-file', `${path} could not be read to its end.`, { cause: error });
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function get(url: string, signal?: AbortSignal): Promise<Response> {
  throwIfAborted(signal);
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    throwIfAborted(signal);
    throw new TesseraError('not-found', `${url} could not be fetched.`, { cause: error });
  }
  if (!response.ok) throw new TesseraError('not-found', `${url} could not be fetched: ${response.status}.`);
  return response;
}

/** Starts writing a file; it appears with `commit`. */
export async function createWriter(path: string): Promise<FileWriter> {
  const chunks: Uint8Array[] = [];
  let position = 0;
  let open = true;
  const need = (): void => {
    if (!open) throw new TesseraError('no-space', `${path} is no longer open for writing.`);
  };
  return {
    get position() {
      return position;
    },
    write: async (bytes) => {
      need();
      chunks.push(bytes.slice());
      position += bytes.length;
    },
    truncateTo: async (length) => {
      need();
      for (; position > length; ) {
        const last = chunks.pop() ?? new Uint8Array();
        const kept = Math.max(0, length - (position - last.length));
        position += kept - last.length;
        if (kept > 0) chunks.push(last.subarray(0, kept));
      }
    },
    commit: async () => {
      need();
      const whole = new Uint8Array(position);
      let at = 0;
      for (const chunk of chunks) {
        whole.set(chunk, at);
        at += chunk.length;
      }
      put(path, whole);
      open = false;
    },
    abort: async () => {
      open = false;
      chunks.length = 0;
    },
  };
}

/** Writes a whole file. @throws no-space when a folder has its name or a file is in its path. */
export async function writeFileAtomic(path: string, content: Uint8Array | string): Promise<void> {
  put(path, bytesOf(content));
}

/** Adds to the end of a file, which is made when missing. @throws no-space. */
export async function appendFile(path: string, content: Uint8Array | string): Promise<void> {
  const before = files.get(clean(path))?.bytes;
  put(path, before === undefined ? bytesOf(content) : joined(before, bytesOf(content)));
}

/** Makes a folder and its parents. @throws no-space when a file is in the way. */
export async function makeDirectory(path: string): Promise<void> {
  makeFolders(clean(path));
}

/** A new, empty folder beside `path`, with a hidden name made from it. */
export async function makeTemporarySibling(path: string): Promise<string> {
  const at = temporaryName(clean(path));
  makeFolders(at);
  return at;
}

/** A new, empty folder. */
export async function makeTemporaryDirectory(): Promise<string> {
  return makeTemporarySibling('/tmp/tessera');
}

function temporaryName(path: string): string {
  return `${inside(parentOf(path))}.${lastOf(path)}.${counter++}.tmp`;
}

/** A folder's entries, sorted by name. @throws not-found. */
export async function listDirectory(path: string): Promise<readonly DirectoryEntry[]> {
  const at = clean(path);
  if (!folders.has(at)) throw nothingAt(path);
  const entry = (kind: 'file' | 'directory') => (name: string) => ({ name: lastOf(name), kind, link: false });
  const own = (name: string): boolean => name !== at && name !== '' && parentOf(name) === at;
  return [
    ...[...files.keys()].filter(own).map(entry('file')),
    ...[...folders].filter(own).map(entry('directory')),
  ].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What is at a path, or undefined when nothing is; addresses are not asked. */
export async function stat(path: string): Promise<FileStatus | undefined> {
  const at = clean(path);
  const file = files.get(at);
  if (file !== undefined) return { kind: 'file', size: file.bytes.length, modified: file.modified };
  return folders.has(at) ? { kind: 'directory', size: 0, modified: 0 } : undefined;
}

/** Removes a file or a whole folder; nothing there is fine. */
export async function remove(path: string): Promise<void> {
  const at = clean(path);
  files.delete(at);
  for (const name of [...files.keys()]) if (name.startsWith(inside(at))) files.delete(name);
  for (const name of [...folders])
    if (name !== '' && (name === at || name.startsWith(inside(at)))) folders.delete(name);
}

/** Renames in one step. @throws not-found; no-space when a folder with content or another kind is in the way. */
export async function rename(from: string, to: string): Promise<void> {
  const [source, target] = [clean(from), clean(to)];
  const file = files.get(source);
  if (file !== undefined) {
    put(target, file.bytes);
    if (source !== target) files.delete(source);
    return;
  }
  if (!folders.has(source)) {
    throw nothingAt(from);
  }
  if (folders.has(target) && (await listDirectory(target)).length > 0)
    throw refuse(to, 'a folder with content is in the way');
  makeFolders(target);
  const moved = (name: string): string => `${target}${name.slice(source.length)}`;
  for (const [name, content] of [...files].filter(([name]) => name.startsWith(inside(source)))) {
    files.delete(name);
    files.set(moved(name), content);
  }
  for (const name of [...folders].filter((name) => name === source || name.startsWith(inside(source)))) {
    folders.delete(name);
    folders.add(moved(name));
  }
}

/** Puts the folder `from` in the place of `to`, whatever was there. @throws not-found. */
export async function replaceDirectory(from: string, to: string): Promise<void> {
  if (!folders.has(clean(from))) {
    throw nothingAt(from);
  }
  await remove(to);
  await rename(from, to);
}

/** Paths of files in memory that match any of the patterns (`*`, `?`, `**`), sorted. */
export async function glob(patterns: readonly string[]): Promise<readonly string[]> {
  const matchers = patterns.map((pattern) => {
    const source = clean(pattern)
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replace(/\*\*\/|\*\*|\*|\?/g, (mark) =>
        mark === '**/' ? '(?:.*/)?' : mark === '**' ? '.*' : mark === '*' ? '[^/]*' : '[^/]',
      );
    return new RegExp(`^${source}$`);
  });
  return [...files.keys()].filter((name) => matchers.some((matcher) => matcher.test(name))).sort();
}
