/** The browser half of the host: files in memory, Web Workers, and what a page tells of its machine. */

import * as files from './browser-files.js';
import * as pictures from './browser-pictures.js';
import { TesseraError } from './error.js';
import type { Host, ParentPort, WorkerHandle, WorkerOptions } from './types.js';

export * from './browser-files.js';
export * from './browser-pictures.js';
export type * from './types.js';

/** The browser's name of itself. */
export const platform: string = `browser, ${globalThis.navigator?.userAgent ?? 'unknown'}`;

/** This is a page, or a thread of one. */
export const isPage = true;

/** True where the page is cross-origin isolated, so that threads can share memory. */
export function sharesMemory(): boolean {
  return globalThis.crossOriginIsolated === true && typeof SharedArrayBuffer === 'function';
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

/** A page has no installed packages. */
export const findInstalledFile: Host['findInstalledFile'] = async () => undefined;

/** Bytes of script memory where the browser tells (Chromium), otherwise 0. */
export function memoryUsage(): number {
  const memory: unknown = Reflect.get(performance, 'memory');
  if (typeof memory !== 'object' || memory === null || !('usedJSHeapSize' in memory)) return 0;
  return typeof memory.usedJSHeapSize === 'number' ? memory.usedJSHeapSize : 0;
}

/** Starts a module as a Web Worker. */
export function startWorker(url: URL, options: WorkerOptions = {}): WorkerHandle {
  const worker = options.page?.() ?? new Worker(url, { type: 'module', name: options.name });
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
  ...files,
  ...pictures,
  platform,
  isPage,
  sharesMemory,
  joinPath,
  baseName,
  directoryName,
  cores,
  processor,
  totalMemory,
  environmentVariable,
  findInstalledFile,
  memoryUsage,
  startWorker,
  parentPort,
};
