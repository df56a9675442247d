/** Threads and machine facts of the Node half. */

import { arch, availableParallelism, cpus, platform as osPlatform, release, totalmem } from 'node:os';
import { env, memoryUsage as processMemory, version } from 'node:process';
import { parentPort as nodeParentPort, Worker } from 'node:worker_threads';
import { TesseraError } from './error.js';
import type { ParentPort, WorkerHandle, WorkerOptions } from './types.js';

/** Node's version, the system and the processor in one line. */
export const platform: string = `node ${version.slice(1)}, ${osPlatform()} ${release()} ${arch()}, ${
  cpus()[0]?.model.trim() || 'processor unknown'
}`;

/** This is no page. */
export const isPage = false;

/** Threads of a process share memory. */
export function sharesMemory(): boolean {
  return true;
}

/** How many threads can run at once on this machine. */
export function cores(): number {
  return availableParallelism();
}

/** The processor's name, as the system tells it. */
export function processor(): string {
  return cpus()[0]?.model.trim() ?? '';
}

/** Bytes of memory of the machine. */
export function totalMemory(): number {
  return totalmem();
}

/** A variable of the environment; an empty one counts as not set. */
export function environmentVariable(name: string): string | undefined {
  return env[name] || undefined;
}

/** Resident bytes of this process. */
export function memoryUsage(): number {
  return processMemory.rss();
}

/** Starts a module as a thread of this process. */
export function startWorker(url: URL, options: WorkerOptions = {}): WorkerHandle {
  // A thread needs none of the flags of the process, and refuses some of them: --input-type, --expose-gc.
  const worker = new Worker(url, { name: options.name, execArgv: [] });
  let ending = false;
  return {
    postMessage: (value, transfer = []) => worker.postMessage(value, transferable(transfer)),
    onMessage: (callback) => void worker.on('message', callback),
    onError: (callback) => {
      let told = false; // an uncaught error is followed by `exit`, which is then no news
      worker.on('error', (error) => {
        told = true;
        callback(error instanceof Error ? error : new Error(String(error)));
      });
      worker.on('messageerror', callback);
      worker.on('exit', (code) => {
        if (!ending && !told && code !== 0)
          callback(new Error(`The thread ${options.name ?? url.href} ended with code ${code}.`));
      });
    },
    terminate: async () => {
      ending = true;
      await worker.terminate();
    },
    unref: () => worker.unref(),
    ref: () => worker.ref(),
  };
}

/** The thread's own side. @throws unsupported outside of a thread. */
export function parentPort(): ParentPort {
  const port = nodeParentPort;
  if (port === null) throw new TesseraError('unsupported', 'parentPort() was called outside of a thread.');
  return {
    postMessage: (value, transfer = []) => port.postMessage(value, transferable(transfer)),
    onMessage: (callback) => void port.on('message', callback),
    close: () => port.close(),
  };
}

function transferable(buffers: readonly ArrayBufferLike[]): ArrayBuffer[] {
  return buffers.filter((buffer) => buffer instanceof ArrayBuffer);
}
