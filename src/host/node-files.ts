/**
 * Files of the Node half. What is written goes to a temporary name beside its target, is flushed, and is
 * renamed when whole; what fails leaves the target as it was and removes the temporary file.
 */

import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { glob as tinyGlob } from 'tinyglobby';
import { TesseraError, throwIfAborted } from './error.js';
import { codeOf, readingError, writingError } from './node-errors.js';
import { textOf } from './text-file.js';
import type { ByteStreamOptions, DirectoryEntry, FileStatus, FileWriter, RandomAccess } from './types.js';

/** A whole file. @throws not-found, bad-input when it cannot be read. */
export async function readFile(path: string): Promise<Uint8Array> {
  try {
    const buffer = await fs.readFile(path);
    return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  } catch (error) {
    throw readingError(path, error);
  }
}

/** A whole file as UTF-8 text, without a byte order mark. @throws bad-file when it is not UTF-8. */
export async function readTextFile(path: string): Promise<string> {
  return textOf(path, await readFile(path));
}

/** Opens a file for reading by offset. @throws not-found, bad-input. */
export async function openRandomAccess(path: string): Promise<RandomAccess> {
  const { handle, size } = await openFile(path);
  return {
    size,
    read: async (offset, length) => {
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        // One read call takes at most 2 GiB on Linux.
        const wanted = Math.min(length - done, 1 << 30);
        const { bytesRead } = await handle.read(bytes, done, wanted, offset + done).catch((error) => {
          throw readingError(path, error);
        });
        if (bytesRead === 0) {
          throw new TesseraError(
            'bad-file',
            `${path} ends at byte ${offset + done}; ${length - done} more were needed.`,
          );
        }
        done += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
}

/** Streams a file's content, unpacking gzip. @throws not-found, bad-input; bad-file on damaged gzip. */
export async function* openByteStream(path: string, options: ByteStreamOptions = {}): AsyncGenerator<Uint8Array> {
  const { start = 0, chunkBytes = 1 << 18, signal } = options;
  throwIfAborted(signal);
  const { handle } = await openFile(path);
  try {
    const magic = new Uint8Array(2);
    const { bytesRead } = await handle.read(magic, 0, 2, 0).catch((error) => {
      throw readingError(path, error);
    });
    const packed = bytesRead === 2 && magic[0] === 0x1f && magic[1] === 0x8b;
    if (!packed) {
      yield* readChunks(path, handle, start, chunkBytes, signal);
      return;
    }
    let skip = start;
    for await (const chunk of gunzip(path, readChunks(path, handle, 0, chunkBytes, signal))) {
      throwIfAborted(signal);
      if (skip >= chunk.length) skip -= chunk.length;
      else {
        yield skip > 0 ? chunk.subarray(skip) : chunk;
        skip = 0;
      }
    }
  } finally {
    await handle.close();
  }
}

async function* readChunks(
  path: string,
  handle: fs.FileHandle,
  start: number,
  chunkBytes: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  for (let offset = start; ; ) {
    throwIfAborted(signal);
    const chunk = new Uint8Array(chunkBytes);
    const { bytesRead } = await handle.read(chunk, 0, chunkBytes, offset).catch((error) => {
      throw readingError(path, error);
    });
    if (bytesRead === 0) return;
    offset += bytesRead;
    yield chunk.subarray(0, bytesRead);
  }
}

async function* gunzip(path: string, packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const source = Readable.from(packed);
  const unpacked = createGunzip({ chunkSize: 1 << 18 });
  source.on('error', (error) => unpacked.destroy(error));
  source.pipe(unpacked);
  try {
    for await (const chunk of unpacked) yield new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  } catch (error) {
    if (error instanceof TesseraError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new TesseraError('bad-file', `${path} is damaged gzip: ${reason}.`, {
      cause: error,
      hint: 'Fetch it again.',
    });
  } finally {
    source.destroy();
    unpacked.destroy();
  }
}

async function openFile(path: string): Promise<{ handle: fs.FileHandle; size: number }> {
  try {
    const handle = await fs.open(path, 'r');
    const status = await handle.stat();
    if (!status.isDirectory()) return { handle, size: status.size };
    await handle.close();
  } catch (error) {
    throw readingError(path, error);
  }
  throw new TesseraError('bad-input', `${path} is a folder; a file was needed.`);
}

/** Starts writing a file; its folder is made when missing. @throws no-space when it cannot be written. */
export async function createWriter(path: string): Promise<FileWriter> {
  const temporary = temporaryName(path);
  let handle: fs.FileHandle | undefined;
  let position = 0;
  try {
    await fs.mkdir(dirname(path), { recursive: true });
    handle = await fs.open(temporary, 'wx');
  } catch (error) {
    throw writingError(path, error);
  }
  const discard = async (): Promise<void> => {
    const open = handle;
    if (open === undefined) return;
    handle = undefined;
    await open.close().catch(() => undefined);
    await fs.rm(temporary, { force: true }).catch(() => undefined);
  };
  const attempt = async (work: (open: fs.FileHandle) => Promise<void>): Promise<void> => {
    if (handle === undefined) throw new TesseraError('no-space', `${path} is no longer open for writing.`);
    try {
      await work(handle);
    } catch (error) {
      await discard();
      throw writingError(path, error);
    }
  };
  return {
    get position() {
      return position;
    },
    write: (bytes) =>
      attempt(async (open) => {
        for (let done = 0; done < bytes.length; ) {
          const wanted = Math.min(bytes.length - done, 1 << 30);
          const { bytesWritten } = await open.write(bytes, done, wanted, position);
          done += bytesWritten;
          position += bytesWritten;
        }
      }),
    truncateTo: (length) =>
      attempt(async (open) => {
        await open.truncate(length);
        position = length;
      }),
    commit: () =>
      attempt(async (open) => {
        await open.sync();
        await fs.rename(temporary, path);
        handle = undefined;
        await open.close();
        await syncDirectory(dirname(path));
      }),
    abort: discard,
  };
}

/** Writes a whole file so that readers see the old one or the new one. @throws no-space. */
export async function writeFileAtomic(path: string, content: Uint8Array | string): Promise<void> {
  const writer = await createWriter(path);
  await writer.write(typeof content === 'string' ? new TextEncoder().encode(content) : content);
  await writer.commit();
}

/** Adds to the end of a file; its folder is made when missing. @throws no-space; the file is then as it was. */
export async function appendFile(path: string, content: Uint8Array | string): Promise<void> {
  let handle: fs.FileHandle | undefined;
  try {
    await fs.mkdir(dirname(path), { recursive: true });
    handle = await fs.open(path, 'a');
    const { size } = await handle.stat();
    try {
      await handle.appendFile(content);
    } catch (error) {
      await handle.truncate(size).catch(() => undefined);
      throw error;
    }
  } catch (error) {
    throw writingError(path, error);
  } finally {
    await handle?.close();
  }
}

/** Makes a folder and its parents; one that is there is fine. @throws no-space. */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await fs.mkdir(path, { recursive: true });
  } catch (error) {
    throw writingError(path, error);
  }
}

/** A new, empty folder beside `path`, with a hidden name made from it. @throws no-space. */
export async function makeTemporarySibling(path: string): Promise<string> {
  const temporary = temporaryName(path);
  await makeDirectory(temporary);
  return temporary;
}

/** A new, empty folder in the system's place for temporary files. @throws no-space. */
export async function makeTemporaryDirectory(): Promise<string> {
  try {
    return await fs.mkdtemp(join(tmpdir(), 'tessera-'));
  } catch (cause) {
    throw writingError(tmpdir(), cause);
  }
}

/** A folder's entries, sorted by name. @throws not-found, bad-input. */
export async function listDirectory(path: string): Promise<readonly DirectoryEntry[]> {
  try {
    const entries = await fs.readdir(path, { withFileTypes: true });
    const told = entries.map(async (entry): Promise<DirectoryEntry> => {
      if (!entry.isSymbolicLink()) return { name: entry.name, kind: kindOf(entry), link: false };
      return { name: entry.name, kind: (await stat(join(path, entry.name)))?.kind ?? 'other', link: true };
    });
    return (await Promise.all(told)).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw readingError(path, error);
  }
}

/** What is at a path, or undefined when nothing is. @throws bad-input when it may not be known. */
export async function stat(path: string): Promise<FileStatus | undefined> {
  try {
    const status = await fs.stat(path);
    return { kind: kindOf(status), size: status.size, modified: status.mtimeMs };
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw readingError(path, error);
  }
}

/** Removes a file or a whole folder; nothing there is fine. @throws no-space. */
export async function remove(path: string): Promise<void> {
  try {
    await fs.rm(path, { recursive: true, force: true });
  } catch (error) {
    throw writingError(path, error);
  }
}

/** Renames in one step. @throws not-found when `from` is not there, no-space otherwise. */
export async function rename(from: string, to: string): Promise<void> {
  try {
    await fs.rename(from, to);
  } catch (error) {
    throw codeOf(error) === 'ENOENT' ? readingError(from, error) : writingError(to, error);
  }
  await syncDirectory(dirname(to));
}

/** Puts the folder `from` in the place of `to`; on failure the old one is put back. @throws no-space. */
export async function replaceDirectory(from: string, to: string): Promise<void> {
  if ((await stat(to)) === undefined) return rename(from, to);
  const old = temporaryName(to);
  await rename(to, old);
  try {
    await rename(from, to);
  } catch (error) {
    await fs.rename(old, to);
    throw error;
  }
  await remove(old);
}

/** Paths of files that match any of the patterns, sorted; relative patterns give relative paths. */
export async function glob(patterns: readonly string[]): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const pattern of patterns) {
    const absolute = pattern.startsWith('/');
    for (const path of await tinyGlob(pattern, { onlyFiles: true, absolute, expandDirectories: false }))
      found.add(path);
  }
  return [...found].sort((a, b) => (a < b ? -1 : 1));
}

function kindOf(status: { isFile(): boolean; isDirectory(): boolean }): FileStatus['kind'] {
  return status.isFile() ? 'file' : status.isDirectory() ? 'directory' : 'other';
}

/** Hidden and unique; the prefix is cut so that long names stay within the 255 bytes a name may have. */
function temporaryName(path: string): string {
  const whole = resolve(path);
  return join(dirname(path), `.${basename(whole).slice(0, 50)}.${randomBytes(6).toString('hex')}.tmp`);
}

/** A rename is durable once its folder is flushed; not every system can, and then nothing is lost by it. */
async function syncDirectory(path: string): Promise<void> {
  const handle = await fs.open(path, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}
