/** The memory of k-means and the threads that work on it; this thread takes its part, in slices that let signals through. */

import { cores, startWorker, type WorkerHandle } from '#host';
import { TesseraError, throwIfAborted } from '../host/error.js';
import { type KMeansArrays, type KMeansStep, perform } from './k-means-kernel.js';
import type { KMeansMessage } from './k-means-worker.js';

/** Whether threads can see the same memory here; a page needs cross-origin isolation for it. */
export const sharesMemory: boolean = typeof SharedArrayBuffer !== 'undefined';

/** The number of threads for a run: what is asked for, else as the cost of a round (in multiplications) is worth. */
export function threadsFor(asked: number | undefined, cost: number): number {
  if (asked !== undefined && (!Number.isInteger(asked) || asked < 1)) {
    throw new TesseraError('bad-option', `The number of threads must be a whole number of at least 1, not ${asked}.`);
  }
  if (!sharesMemory) return 1;
  return asked ?? (cost > 2e7 ? Math.min(cores(), 16) : 1);
}

/** Arrays for a run, in shared memory when there are threads. */
export function allocateKMeans(count: number, width: number, clusters: number, shared: boolean): KMeansArrays {
  const buffer = (bytes: number): ArrayBufferLike => (shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes));
  return {
    points: new Float32Array(buffer(4 * count * width)),
    count,
    width,
    clusters,
    weights: new Float64Array(buffer(8 * count)),
    squares: new Float64Array(buffer(8 * count)),
    centroids: new Float32Array(buffer(4 * clusters * width)),
    labels: new Int32Array(buffer(4 * count)),
    distances: new Float64Array(buffer(8 * count)),
    sizes: new Int32Array(buffer(4 * clusters)),
    masses: new Float64Array(buffer(8 * clusters)),
  };
}

/** Threads at work on the arrays of a run. */
export interface KMeansCrew {
  /** Does a step for all points, or for `update` all clusters. @throws aborted. */
  run(kind: KMeansStep['kind'], chosen?: number): Promise<void>;
  dispose(): Promise<void>;
}

/** Milliseconds after which this thread lets others of the program run. */
const PATIENCE = 30;
/** Multiplications of a slice: a few milliseconds. */
const SLICE = 4e6;

/** Starts `threads - 1` threads beside this one. */
export function startCrew(arrays: KMeansArrays, threads: number, signal: AbortSignal | undefined): KMeansCrew {
  const workers = Array.from({ length: threads - 1 }, () => member(arrays));
  let rested = performance.now();
  return {
    async run(kind, chosen) {
      throwIfAborted(signal);
      const total = kind === 'update' ? arrays.clusters : arrays.count;
      const share = Math.ceil(total / threads);
      const others = workers.map(({ perform: other }, index) =>
        other({ kind, from: Math.min(total, (index + 1) * share), to: Math.min(total, (index + 2) * share), chosen }),
      );
      // A failure is told where it is awaited; until then it is no unhandled one.
      for (const other of others) other.catch(() => undefined);
      const cost = arrays.width * (kind === 'assign' ? arrays.clusters : kind === 'update' ? arrays.count : 1);
      const slice = Math.max(1, kind === 'update' ? share : Math.floor(SLICE / cost));
      for (let from = 0; from < Math.min(share, total); from += slice) {
        perform(arrays, { kind, from, to: Math.min(from + slice, share, total), chosen });
        if (performance.now() - rested > PATIENCE) {
          await new Promise((resolve) => setTimeout(resolve));
          rested = performance.now();
          throwIfAborted(signal);
        }
      }
      await Promise.all(others);
    },
    dispose: async () => {
      await Promise.all(workers.map(({ handle }) => handle.terminate()));
    },
  };
}

interface Member {
  readonly handle: WorkerHandle;
  perform(step: KMeansStep): Promise<void>;
}

function member(arrays: KMeansArrays): Member {
  const handle = startWorker(new URL('./k-means-worker.js', import.meta.url), { name: 'tessera-k-means' });
  let waiting: { resolve(): void; reject(error: Error): void } | undefined;
  let failure: Error | undefined;
  handle.onMessage(() => waiting?.resolve());
  handle.onError((error) => {
    failure = error;
    waiting?.reject(error);
  });
  handle.postMessage({ arrays } satisfies KMeansMessage);
  return {
    handle,
    perform: (step) =>
      new Promise((resolve, reject) => {
        if (failure !== undefined) return reject(failure);
        waiting = { resolve, reject };
        handle.postMessage({ step } satisfies KMeansMessage);
      }),
  };
}
