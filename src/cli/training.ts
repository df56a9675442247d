/** A training run on the screen: what `train` and `demo` share. */

import type { Corpus } from '../formats/index.js';
import type { TextModel } from '../language-models/index.js';
import { lossToBitsPerByte } from '../measures/index.js';
import type { BatchSource, EndEvent, TokenProgress, TrainEvent } from '../nn/index.js';
import { random, TesseraError } from '../tensor/index.js';
import { count, duration, type Output, operations, type Progress, size } from './output.js';

/** Batches of a corpus with what is known of its tokens. */
export interface TrainingSource<B> {
  readonly source: BatchSource<B>;
  /** Bytes that a token stands for, over the text read so far. */
  bytesPerToken(): number;
  /** Bytes and tokens read so far. */
  read(): { readonly bytes: number; readonly tokens: number };
}

/** How batches are made. */
export interface TrainingSourceOptions<P, B, O> {
  readonly corpus: Pick<Corpus, 'documents'>;
  readonly model: TextModel<P, B, O>;
  readonly batch: number;
  readonly length: number;
  readonly seed: number;
  readonly output: Output;
  readonly signal: AbortSignal;
}

/**
 * Opens the batches and makes the first one, so that a text that is too short or no text is met before anything is written.
 * @throws bad-input, naming file and place or how many tokens are needed; aborted.
 */
export async function openTrainingSource<P, B, O>(options: TrainingSourceOptions<P, B, O>): Promise<TrainingSource<B>> {
  const { corpus, model, batch, length, seed, output, signal } = options;
  let seen: TokenProgress = { bytes: 0, documents: 0, tokens: 0, done: false };
  let told = false;
  const began = performance.now();
  const source = model.source(corpus, { batch, length }, random(seed).child('data'), {
    signal,
    report: (progress) => {
      seen = progress;
      if (told || performance.now() - began < 2000) return;
      told = true;
      output.note('Turning the text into tokens.');
    },
  });
  const start = source.cursor();
  await source.next();
  await source.seek(start);
  return {
    source,
    bytesPerToken: () => seen.bytes / Math.max(1, seen.tokens),
    read: () => ({ bytes: seen.bytes, tokens: seen.tokens }),
  };
}

/** What is shown while a run is followed. */
export interface FollowOptions {
  readonly output: Output;
  readonly bytesPerToken: () => number;
  /** Called once, when the run has begun and its folder is there. */
  readonly onStart?: () => Promise<void>;
  /** What to do to go on with a run that was stopped. */
  readonly again: string;
}

/** Shows a run's events until its end. @throws what the run throws; aborted, naming the checkpoint, when it was stopped. */
export async function followTraining<P>(
  events: AsyncIterable<TrainEvent<P>>,
  options: FollowOptions,
): Promise<EndEvent<P>> {
  const { output, bytesPerToken } = options;
  let progress: Progress | undefined;
  let measuring: Progress | undefined;
  let end: EndEvent<P> | undefined;
  const bits = (loss: number): string => `${lossToBitsPerByte(loss, 1, bytesPerToken()).toFixed(3)} bits/byte`;
  try {
    for await (const event of events) {
      switch (event.type) {
        case 'start': {
          await options.onStart?.();
          const { parameters, trained, flops, threads, device } = event;
          const some = trained < parameters ? `, ${count(trained)} of them trained` : '';
          output.note(
            `Model: ${count(parameters)} parameters${some}; ${operations(flops)} an update; ${device}, ${threads} threads.`,
          );
          if (event.resumed && event.step < (event.steps ?? Number.POSITIVE_INFINITY)) {
            output.note(
              `Going on after update ${count(event.step)}${event.steps === undefined ? '' : ` of ${count(event.steps)}`}.`,
            );
          }
          break;
        }
        case 'measure':
          measuring ??= output.progress('Measuring the speed: update', event.of);
          measuring.update(event.step, `loss ${event.loss.toFixed(3)}  ${bits(event.loss)}`);
          break;
        case 'step':
          if (measuring !== undefined) {
            measuring.end();
            measuring = undefined;
            output.note(`The time is enough for ${count(event.steps)} updates.`);
          }
          progress ??= output.progress('Training: update', event.steps);
          progress.update(
            event.step,
            `loss ${event.loss.toFixed(3)}  ${bits(event.loss)}  ${count(event.tokensPerSecond)} tokens/s  ${size(event.memory)}`,
            event.secondsLeft,
          );
          break;
        case 'evaluation': {
          const figures = Object.entries(event.figures).map(([name, value]) => `${name} ${value.toFixed(4)}`);
          output.note(`Update ${count(event.step)}: ${figures.join(', ')}${event.best ? ' (the best so far)' : ''}`);
          break;
        }
        case 'sample':
          output.note(`Update ${count(event.step)}, a sample: ${String(event.sample)}`);
          break;
        case 'checkpoint':
          break;
        case 'end':
          end = event;
          break;
      }
    }
  } finally {
    measuring?.end();
    progress?.end();
  }
  if (end === undefined) throw new Error('a run has an end');
  if (end.reason === 'aborted') {
    const kept =
      end.checkpoint === undefined
        ? 'before its first update; nothing is kept'
        : `after update ${count(end.step)}; the checkpoint is ${end.checkpoint}`;
    throw new TesseraError('aborted', `The training was stopped ${kept}.`, { hint: options.again });
  }
  output.note(
    `Trained: ${count(end.step)} updates in ${duration(end.seconds)}${end.loss === undefined ? '' : `, last loss ${end.loss.toFixed(3)} (${bits(end.loss)})`}.`,
  );
  return end;
}
