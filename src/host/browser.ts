/**
 * The browser half of the host: Web Workers and what a page tells of its machine. A page has no file system,
 * so everything about files throws `unsupported`; only `readFile`, `readTextFile` and `openByteStream` take a
 * URL and fetch it.
 */

import { TesseraError, throwIfAborted } from './error.js';
import type { ByteStreamOptions, Host, ParentPort, WorkerHandle } from './types.js';

export type * from './types.js';

/** The browser's name of itself. */
export const platform: string = `browser, ${globalThis.navigator?.userAgent ?? 'unknown'}`;

/** Fetches a whole resource. @throws not-found. */
export async function readFile(url: string): Promise<Uint8Array> {
  return new Uint8Array(await (await get(url)).arrayBuffer());
}

/** Fetches a text. @throws not-found; bad-file when it is not UTF-8. */
export async function readTextFile(url: string): Promise<string> {
  const bytes = await readFile(url);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new TesseraError('bad-file', `${url} is not UTF-8 text.`, { cause: error });
  }
}

/** Fetches a resource piece by piece, unpacking gzip. @throws not-found; bad-file on damaged gzip. */
export async function* openByteStream(url: string, options: ByteStreamOptions = {}): AsyncGenerator<Uint8Array> {
  const { start = 0, signal } = options;
  const response = await get(url, signal);
  if (response.body === null) return;
  const [peeked, body] = response.body.tee();
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
    throw new TesseraError('bad-file', `${url} could not be read to its end.`, { cause: error });
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

/** @throws unsupported: a page has no files. */
export const openRandomAccess: Host['openRandomAccess'] = () => noFiles();
/** @throws unsupported: a page has no files. */
export const createWriter: Host['createWriter'] = () => noFiles();
/** @throws unsupported: a page has no files. */
export const writeFileAtomic: Host['writeFileAtomic'] = () => noFiles();
/** @throws unsupported: a page has no files. */
export const appendFile: Host['appendFile'] = () => noFiles();
/** @throws unsupported: a page has no files. */
export const makeDirectory: Host['makeDirectory'] = () => noFiles();
/** @throws unsupported: a page has no files. */
export const makeTemporarySibling: Host['makeTemporarySibling'] = () => noFiles();
export const makeTemporaryDirectory: Host['makeTemporaryDirectory'] = () => noFiles();
/** @throws unsupported: a page has no files. */
export const listDirectory: Host['listDirectory'] = () => noFiles();
/** @throws unsupported: a page has no files. */
export const stat: Host['stat'] = () => noFiles();
/** @throws unsupported: a page has no files. */
export const remove: Host['remove'] = () => noFiles();
/** @throws unsupported: a page has no files. */
export const rename: Host['rename'] = () => noFiles();
/** @throws unsupported: a page has no files. */
export const replaceDirectory: Host['replaceDirectory'] = () => noFiles();
/** @throws unsupported: a page has no files. */
export const glob: Host['glob'] = () => noFiles();

async function noFiles(): Promise<never> {
  throw new TesseraError('unsupported', 'A page has no file system.', { hint: 'Pass the bytes instead of a path.' });
}

/** Joins path parts with slashes. */
export function joinPath(...parts: readonly string[]): string {
  return parts
    .filter((part) => part !== '')
    .join('/')
    .replace(/([^:])\/{2,}/g, '$1/');
}

/** The last part of a path. */
export function baseName(path: string): string {
  return path.replace(/\/+$/, '').split('/').at(-1) ?? '';
}

/** Everything before the last part of a path. */
export function directoryName(path: string): string {
  return path.replace(/\/+$/, '').split('/').slice(0, -1).join('/') || (path.startsWith('/') ? '/' : '.');
}

/** How many threads the browser says can run at once. */
export function cores(): number {
  return globalThis.navigator?.hardwareConcurrency ?? 1;
}

/** A page is not told the processor's name. */
export function processor(): string {
  return '';
}

/** A page is not told how much memory the machine has. */
export function totalMemory(): number {
  return 0;
}

/** A page has no environment. */
export const environmentVariable: Host['environmentVariable'] = () => undefined;

/** Bytes of script memory where the browser tells (Chromium), otherwise 0. */
export function memoryUsage(): number {
  const memory: unknown = Reflect.get(performance, 'memory');
  if (typeof memory !== 'object' || memory === null || !('usedJSHeapSize' in memory)) return 0;
  return typeof memory.usedJSHeapSize === 'number' ? memory.usedJSHeapSize : 0;
}

/** Starts a module as a Web Worker. */
export function startWorker(url: URL, options: { readonly name?: string } = {}): WorkerHandle {
  const worker = new Worker(url, { type: 'module', name: options.name });
  return {
    postMessage: (value, transfer = []) => worker.postMessage(value, transferable(transfer)),
    onMessage: (callback) => worker.addEventListener('message', (event) => callback(event.data)),
    onError: (callback) => {
      worker.addEventListener('error', (event) => {
        callback(event.error instanceof Error ? event.error : new Error(event.message || `${url.href} did not start.`));
      });
      worker.addEventListener('messageerror', () => callback(new Error('A message of the thread could not be read.')));
    },
    terminate: async () => worker.terminate(),
  };
}

/** The thread's own side. @throws unsupported outside of a Web Worker. */
export function parentPort(): ParentPort {
  const scope: unknown = globalThis;
  if (!isWorkerScope(scope)) throw new TesseraError('unsupported', 'parentPort() was called outside of a thread.');
  return {
    postMessage: (value, transfer = []) => scope.postMessage(value, transferable(transfer)),
    onMessage: (callback) => scope.addEventListener('message', (event) => callback(event.data)),
    close: () => scope.close(),
  };
}

interface WorkerScope {
  postMessage(value: unknown, transfer: readonly ArrayBuffer[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<unknown>) => void): void;
  close(): void;
}

function isWorkerScope(scope: unknown): scope is WorkerScope {
  return typeof scope === 'object' && scope !== null && 'importScripts' in scope && 'postMessage' in scope;
}

function transferable(buffers: readonly ArrayBufferLike[]): ArrayBuffer[] {
  return buffers.filter((buffer) => buffer instanceof ArrayBuffer);
}

/** All of this half as one value, which also proves that nothing of the interface is missing. */
export const host: Host = {
  platform,
  readFile,
  readTextFile,
  openRandomAccess,
  openByteStream,
  createWriter,
  writeFileAtomic,
  appendFile,
  makeDirectory,
  makeTemporaryDirectory,
  makeTemporarySibling,
  listDirectory,
  stat,
  remove,
  rename,
  replaceDirectory,
  glob,
  joinPath,
  baseName,
  directoryName,
  cores,
  processor,
  totalMemory,
  environmentVariable,
  memoryUsage,
  startWorker,
  parentPort,
};
