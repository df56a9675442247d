/** A training run as a contender: the public loop, pulled one step at a time. */

import type { StartEvent, TrainEvent } from 'tessera-kit/nn';
import { type Contender, median } from './_rounds.js';

/** A run under test. */
export interface TrainingContender extends Contender {
  /** What the run said at its beginning. */
  readonly start: StartEvent;
  close(): Promise<void>;
}

/** Warms a run up by three steps and times the ones after them; `stop` ends it. */
export async function trainingContender<P>(
  name: string,
  run: AsyncIterable<TrainEvent<P>>,
  options: { readonly steps: number; readonly stop: AbortController },
): Promise<TrainingContender> {
  const iterator = run[Symbol.asyncIterator]();
  let start: StartEvent | undefined;
  const next = async (): Promise<void> => {
    for (;;) {
      const { value, done } = await iterator.next();
      if (done === true) throw new Error('the training ended');
      if (value.type === 'start') start = value;
      if (value.type === 'step') return;
    }
  };
  for (let i = 0; i < 3; i++) await next();
  if (start === undefined) throw new Error('a run has a start');
  return {
    name,
    start,
    round: async () => {
      const times: number[] = [];
      for (let i = 0; i < options.steps; i++) {
        const began = performance.now();
        await next();
        times.push(performance.now() - began);
      }
      // The loop computes one step ahead: it is not to run on while another contender is timed.
      await new Promise((resolve) => setTimeout(resolve, 300 + 2 * median(times)));
      return times;
    },
    close: async () => {
      options.stop.abort();
      await iterator.return?.(undefined);
    },
  };
}
