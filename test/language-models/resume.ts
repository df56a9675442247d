/** That a run which was stopped and gone on with is the run that was not. */

import { join } from 'node:path';
import { corpusFromStrings } from 'tessera-kit/formats';
import type { TextModel } from 'tessera-kit/language-models';
import { type TrainEvent, train } from 'tessera-kit/nn';
import { type Runtime, random } from 'tessera-kit/tensor';
import { expect } from 'vitest';

const STEPS = 6;

/** Trains whole and in halves, in two runs below `folder`, and holds the losses against each other bit for bit. */
export async function expectExactResume<P, B, O>(
  runtime: Runtime,
  model: TextModel<P, B, O>,
  folder: string,
): Promise<void> {
  const text = 'The quick brown fox jumps over the lazy dog. '.repeat(30);
  const run = (name: string, signal?: AbortSignal) =>
    train({
      runtime,
      model,
      source: model.source(corpusFromStrings([text]), { batch: 4, length: 24 }, random(1)),
      steps: STEPS,
      rate: 1e-2,
      seed: 9,
      out: join(folder, name),
      signal,
    });
  const follow = async (events: AsyncIterable<TrainEvent<P>>, stop?: AbortController) => {
    const losses: number[] = [];
    for await (const event of events) {
      if (event.type === 'step') losses.push(event.loss);
      if (event.type === 'step' && event.step === STEPS / 2) stop?.abort();
    }
    return losses;
  };
  const whole = await follow(run('whole'));
  expect(whole.length).toBe(STEPS);
  const stop = new AbortController();
  const first = await follow(run('halves', stop.signal), stop);
  expect(first.length).toBeLessThan(STEPS);
  expect([...first, ...(await follow(run('halves')))]).toEqual(whole);
}
