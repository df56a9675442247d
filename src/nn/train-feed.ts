/** Batches one update ahead, and the rehearsal that turns a time budget into a number of updates. */

import type { Json } from '../formats/index.js';
import type { Arrays } from '../tensor/index.js';
import type { BatchSource } from './module.js';
import type { Trainer } from './train-programs.js';
import type { MeasureEvent } from './train-types.js';

/** Batches of an update and where the source stands after them. */
export interface Fed<B> {
  readonly batches: readonly Arrays<B>[];
  readonly cursor: Json;
}

/** Gives the batches of one update after the other; undefined at the end of the source. */
export interface Feed<B> {
  take(): Promise<Fed<B> | undefined>;
  /** Begins to make what the next `take` gives. */
  prefetch(): Promise<Fed<B> | undefined>;
}

/**
 * A feed of `count` batches an update. Batches at the end that do not make an update are left out; what `signal` stops
 * is an end, too.
 */
export function openFeed<B>(source: BatchSource<B>, count: number, signal?: AbortSignal): Feed<B> {
  let ahead: Promise<Fed<B> | undefined> | undefined;
  const pull = async (): Promise<Fed<B> | undefined> => {
    const batches: Arrays<B>[] = [];
    while (batches.length < count) {
      const batch = await unlessAborted(source.next(), signal);
      if (batch === undefined) return undefined;
      batches.push(batch);
    }
    return { batches, cursor: source.cursor() };
  };
  const prefetch = (): Promise<Fed<B> | undefined> => {
    ahead ??= pull();
    // An error is met where the promise is awaited, which may be later.
    ahead.catch(() => undefined);
    return ahead;
  };
  return {
    prefetch,
    take: () => {
      const fed = prefetch();
      ahead = undefined;
      return fed;
    },
  };
}

/** What `work` gives, or undefined as soon as the signal has fired, whatever becomes of the work. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T | undefined> {
  if (signal === undefined) return work;
  let stop = (): void => undefined;
  const stopped = new Promise<undefined>((resolve) => {
    stop = () => resolve(undefined);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, stopped]);
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
    work.catch(() => undefined);
  }
}

/** Updates to get going, and updates that are measured. */
const REHEARSAL = { first: 2, measured: 20 } as const;

/**
 * Makes updates at rate 0 and returns how many fit into what is then left of the time; undefined when it was stopped.
 * Slow updates end it earlier, after three measured ones and a tenth of the time. The state is to be reset afterwards.
 */
export async function* rehearse<P, B, Q>(
  trainer: Trainer<P, B, Q>,
  feed: Feed<B>,
  seconds: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<MeasureEvent, number | undefined, undefined> {
  const began = performance.now();
  const of = REHEARSAL.first + REHEARSAL.measured;
  let measured = 0;
  let total = 0;
  const elapsed = (): number => (performance.now() - began) / 1000;
  for (let step = 0; step < of; step++) {
    if (signal?.aborted) return undefined;
    const fed = await feed.take();
    if (fed === undefined) break;
    const start = performance.now();
    const running = trainer.update(fed.batches, { step, rate: 0, weight: 0 });
    void feed.prefetch();
    const { loss } = await running;
    const took = (performance.now() - start) / 1000;
    if (step >= REHEARSAL.first) measured++;
    total = step < REHEARSAL.first ? took : (measured === 1 ? 0 : total) + took;
    yield { type: 'measure', step: step + 1, of, loss };
    if (measured >= 3 && elapsed() > seconds / 10) break;
  }
  if (signal?.aborted) return undefined;
  const each = total / Math.max(1, measured);
  return Math.max(1, Math.floor((seconds - elapsed()) / Math.max(each, 1e-6)));
}
