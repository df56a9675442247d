/** An engine in a worker thread: the same operations, one message each way. The runtime's `run` blocks that thread only. */

import { startWorker, type WorkerHandle } from '#host';
import { type ErrorCode, TesseraError } from '../../host/error.js';
import type { NDArray } from '../ndarray.js';
import type { Engine } from './engine.js';

/** Not written out where it is used: bundlers would take it for a file to be copied as it is. */
const MODULE = './worker.js';

/** A call that crosses to the worker. */
export interface Request {
  readonly id: number;
  readonly method: keyof Engine;
  readonly parameters: readonly unknown[];
}

/** What comes back: a result, or an error in parts that survive cloning. */
export interface Response {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: {
    readonly message: string;
    readonly code?: ErrorCode;
    readonly hint?: string;
    readonly stack?: string;
  };
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

function revive(error: NonNullable<Response['error']>): Error {
  if (error.code === undefined) return new Error(error.message, { cause: error.stack });
  return new TesseraError(error.code, error.message, { hint: error.hint, cause: error.stack });
}

/** A view of part of a buffer is copied out of it: a message would carry the whole buffer. */
function alone(value: NDArray): NDArray {
  return value.data.byteLength === value.data.buffer.byteLength ? value : { ...value, data: value.data.slice() };
}

/** Starts a worker with an engine in it. The process can end while the worker is idle. */
export function remoteEngine(): Engine {
  const worker: WorkerHandle = startWorker(new URL(MODULE, import.meta.url), {
    name: 'tessera-engine',
    page: () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'tessera-engine' }),
  });
  const waiting = new Map<number, Waiting>();
  let failure: Error | undefined;
  let next = 0;
  const settle = (id: number): Waiting | undefined => {
    const found = waiting.get(id);
    waiting.delete(id);
    if (waiting.size === 0) worker.unref?.();
    return found;
  };
  worker.onMessage((message) => {
    const { id, result, error } = message as Response;
    const found = settle(id);
    if (error === undefined) found?.resolve(result);
    else found?.reject(revive(error));
  });
  const fail = (error: Error): void => {
    failure = error;
    for (const [id] of waiting) settle(id)?.reject(error);
  };
  worker.onError(fail);
  worker.unref?.();
  const call = (
    method: keyof Engine,
    parameters: readonly unknown[],
    transfer: readonly ArrayBufferLike[] = [],
  ): Promise<unknown> =>
    new Promise((resolve, reject) => {
      if (failure !== undefined) return reject(failure);
      const id = next++;
      if (waiting.size === 0) worker.ref?.();
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, method, parameters } satisfies Request, transfer);
    });
  const engine: Engine = {
    open: (options) => call('open', [options]) as ReturnType<Engine['open']>,
    load: (model, plan) => {
      if (typeof model === 'string') return call('load', [model, plan]) as Promise<number>;
      // A small model may lie in a pool of Node's, which cannot move to another thread.
      const owned = model.byteLength === model.buffer.byteLength ? model : new Uint8Array(model);
      return call('load', [owned, plan], [owned.buffer]) as Promise<number>;
    },
    staysOnDevice: (program) => call('staysOnDevice', [program]) as Promise<boolean>,
    runsOnDevice: (models) => call('runsOnDevice', [models]) as Promise<readonly boolean[]>,
    ports: (program) => call('ports', [program]) as ReturnType<Engine['ports']>,
    unload: (program) => call('unload', [program]) as Promise<void>,
    store: (values) => call('store', [values.map(alone)]) as Promise<readonly number[]>,
    read: (cells) => call('read', [cells]) as Promise<readonly NDArray[]>,
    write: (cells, values) => call('write', [cells, values.map(alone)]) as Promise<void>,
    free: (cells) => call('free', [cells]) as Promise<void>,
    run: (request) => {
      const input = Object.fromEntries(Object.entries(request.input).map(([name, value]) => [name, alone(value)]));
      return call('run', [{ ...request, input }]) as ReturnType<Engine['run']>;
    },
    close: async () => {
      fail(new TesseraError('not-found', 'The runtime was disposed.'));
      await worker.terminate();
    },
  };
  return engine;
}
