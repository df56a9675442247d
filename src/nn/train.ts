/**
 * The training loop, as an iterator of events. A run is a pure function of its options: stopped at any step and resumed
 * from its folder it gives the same losses as if it had never stopped, bit for bit.
 *
 * While one update runs in the runtime's thread the next batch is made in this one, and the next update is started
 * before the last one's event is given out, unless something is to be looked at in between.
 */

import { memoryUsage } from '#host';
import { type Arrays, createRuntime, type Runtime, TesseraError } from '../tensor/index.js';
import { seeOverflow } from './loss-scale.js';
import type { CheckpointPlace } from './run-folder.js';
import { openFeed, rehearse, unlessAborted } from './train-feed.js';
import type { TrainTrees } from './train-programs.js';
import { type Best, type Setup, setUp } from './train-setup.js';
import type { CheckpointEvent, EndEvent, StartEvent, TrainContext, TrainEvent, TrainOptions } from './train-types.js';
import { speedMeter, watchLoss } from './train-watch.js';

export type * from './train-types.js';

/**
 * Trains a model. Iterate over the events; breaking out of the loop ends the run where it is, `signal` ends it with a
 * checkpoint. The last event is `end`, which gives the parameters.
 *
 * @throws bad-option; bad-input from the source; mismatch when the folder holds another run or a checkpoint that does not
 * fit; not-finite when the loss or the gradients do, or the loss exploded, naming the step and the last good checkpoint;
 * no-space.
 */
export async function* train<P, B, O, Q = Record<string, never>>(
  options: TrainOptions<P, B, O, Q>,
): AsyncGenerator<TrainEvent<P>, void, undefined> {
  const runtime = options.runtime ?? (await createRuntime({ device: options.device, threads: options.threads }));
  let setup: Setup<P, B, Q> | undefined;
  try {
    setup = await setUp(runtime, options);
    yield* runTo(runtime, options, setup);
  } finally {
    await setup?.trainer.dispose();
    if (options.runtime === undefined) await runtime.dispose();
  }
}

/** An update that was made, and where the source stood after it. */
interface Made {
  readonly loss: number;
  readonly gradientNorm: number;
  readonly count: number;
  readonly figures: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly rate: number;
  readonly cursor: ReturnType<TrainOptions<never, never, never>['source']['cursor']>;
}

async function* runTo<P, B, O, Q>(
  runtime: Runtime,
  options: TrainOptions<P, B, O, Q>,
  setup: Setup<P, B, Q>,
): AsyncGenerator<TrainEvent<P>, void, undefined> {
  const { source, signal } = options;
  const { trainer, folder, resumed } = setup;
  const settled = folder?.steps ?? options.steps;
  let step = resumed?.step ?? 0;
  let cursor = resumed?.cursor ?? source.cursor();
  let saved = folder?.checkpoints.at(-1);
  let { loss, best } = { loss: resumed?.loss, best: resumed?.best };
  const meter = speedMeter(resumed?.seconds);

  const over = settled !== undefined && step >= settled;
  if (resumed !== undefined && !over) await source.seek(cursor);
  let feed = openFeed(source, setup.accumulate, signal);
  const batch = over ? undefined : (await feed.prefetch())?.batches[0];
  const report = batch === undefined ? undefined : await trainer.prepare(batch);
  yield startEvent(runtime, setup, step, settled, report);

  let steps = settled;
  if (steps === undefined) {
    const before = await readAll(setup);
    steps = yield* rehearse(trainer, feed, (options.minutes ?? 0) * 60, signal);
    await trainer.write(before);
    await source.seek(cursor);
    feed = openFeed(source, setup.accumulate, signal);
    if (steps !== undefined) await folder?.settle(steps);
  }
  const all = steps ?? 0;

  const describeLast = (): string => {
    if (folder === undefined) return 'The run has no folder, so there is no checkpoint to go back to.';
    return saved === undefined
      ? 'No checkpoint had been written.'
      : `The last good checkpoint is ${saved.path} (step ${saved.step}).`;
  };
  const watch = watchLoss({
    factor: options.explosion ?? 10,
    warmup: setup.warmup(all),
    describeLast,
    record: resumed?.losses,
  });
  const tenth = Math.max(1, Math.ceil(all / 10));
  const due = (every: number | undefined, wanted: unknown): boolean =>
    wanted !== undefined && (step % (every ?? tenth) === 0 || step === all);

  const context = (): TrainContext<P> => ({
    step,
    runtime,
    state: trainer.state,
    averaged: trainer.averaged,
    signal,
    parameters: () => readParameters(setup, trainer.averaged !== undefined),
  });
  const save = async (): Promise<CheckpointEvent> => {
    if (folder === undefined) throw new Error('a run without a folder has no checkpoints');
    const trees = {
      model: () => trainer.read('model'),
      optimizer: () => trainer.read('moments'),
      objective: () => trainer.read('own'),
      ...(trainer.averaged === undefined ? {} : { ema: () => trainer.read('average') }),
    };
    const record = {
      format: 1,
      step,
      steps: all,
      cursor,
      seconds: meter.total(),
      loss: loss ?? null,
      losses: watch.record(),
      best: best === undefined ? null : { ...best },
    };
    saved = await folder.save(step, { trees, trainer: record }, best?.step);
    return { type: 'checkpoint', step, steps: all, path: saved.path };
  };

  let lastDone = performance.now();
  const launch = async (): Promise<Made | undefined> => {
    const at = step;
    const fed = await feed.take();
    if (fed === undefined) return undefined;
    const rate = setup.rate(at, all);
    const started = performance.now();
    const running = trainer.update(fed.batches, { step: at, rate, weight: setup.weight(at) });
    void feed.prefetch();
    const result = await running.catch((error: unknown) => {
      throw withCheckpoint(error, at + 1, describeLast());
    });
    const done = performance.now();
    const seconds = (done - Math.max(started, lastDone)) / 1000;
    lastDone = done;
    return { ...result, seconds, rate, cursor: fed.cursor };
  };

  let reason: EndEvent<P>['reason'] = steps === undefined ? 'aborted' : 'finished';
  let flight: Promise<Made | undefined> | undefined;
  try {
    while (step < all) {
      if (flight === undefined && signal?.aborted) {
        reason = 'aborted';
        break;
      }
      const made = await (flight ?? launch());
      flight = undefined;
      if (made === undefined) {
        reason = signal?.aborted ? 'aborted' : 'exhausted';
        break;
      }
      step++;
      cursor = made.cursor;
      // An update that overflowed in half precision was left out: neither its loss nor its norm says anything.
      if (!seeOverflow(step, made.figures, describeLast())) watch.see(step, made.loss, made.gradientNorm);
      loss = made.loss;
      meter.add(made.seconds, made.count);
      const figures = {
        loss: made.loss,
        rate: made.rate,
        gradientNorm: made.gradientNorm,
        tokensPerSecond: meter.countPerSecond(),
      };
      folder?.log({
        step,
        ...figures,
        seconds: meter.total(),
        ...(Object.keys(made.figures).length === 0 ? {} : { figures: made.figures }),
      });
      const evaluate = due(options.evalEvery, options.evaluate) ? options.evaluate : undefined;
      const sample = due(options.sampleEvery, options.sample) ? options.sample : undefined;
      let checkpoint = folder !== undefined && due(options.saveEvery, folder);
      if (evaluate === undefined && sample === undefined && !checkpoint && step < all && !signal?.aborted) {
        flight = launch();
        flight.catch(() => undefined);
      }
      yield {
        type: 'step',
        step,
        steps: all,
        ...figures,
        figures: made.figures,
        secondsLeft: (all - step) * meter.secondsPerStep(),
        memory: memoryUsage(),
      };
      if (evaluate !== undefined && !signal?.aborted) {
        const given = await unlessAborted(evaluate(context()), signal);
        if (given !== undefined) {
          const better = betterOf(given, best, step, options.best);
          best = better ?? best;
          checkpoint ||= better !== undefined && folder !== undefined;
          folder?.log({ step, evaluation: given });
          yield { type: 'evaluation', step, steps: all, figures: given, best: better !== undefined };
        }
      }
      if (sample !== undefined && !signal?.aborted) {
        const given = await unlessAborted(sample(context()), signal);
        if (given !== undefined) yield { type: 'sample', step, steps: all, sample: given };
      }
      if (checkpoint) yield await save();
    }
    if (folder !== undefined && step > 0 && saved?.step !== step) yield await save();
    await folder?.flush();
    const [model, average] = [
      await readParameters(setup, false),
      trainer.averaged === undefined ? undefined : await readParameters(setup, true),
    ];
    yield {
      type: 'end',
      reason,
      step,
      steps,
      loss,
      seconds: meter.total(),
      checkpoint: saved?.path,
      best: best === undefined ? undefined : { ...best, checkpoint: pathOf(folder?.checkpoints, best) },
      parameters: async () => model,
      ...(average === undefined ? {} : { averaged: async () => average }),
    };
  } finally {
    await flight?.catch(() => undefined);
    // What a run that failed had logged is on the disk before anybody hears of the failure.
    await folder?.flush().catch(() => undefined);
  }
}

function startEvent<P, B, Q>(
  runtime: Runtime,
  setup: Setup<P, B, Q>,
  step: number,
  steps: number | undefined,
  report: { readonly nodes: number; readonly flops: number } | undefined,
): StartEvent {
  return {
    type: 'start',
    step,
    steps,
    resumed: setup.resumed !== undefined,
    parameters: setup.parameters,
    trained: setup.trained,
    device: runtime.device,
    threads: runtime.threads,
    about: runtime.about,
    nodes: report?.nodes ?? 0,
    flops: (report?.flops ?? 0) * setup.accumulate,
    stateBytes: setup.trainer.bytes,
  };
}

async function readParameters<P, B, Q>(setup: Setup<P, B, Q>, averaged: boolean): Promise<Arrays<P>> {
  const parameters = averaged ? await setup.trainer.read('average') : await setup.trainer.read('model');
  return parameters as Arrays<P>;
}

/** Every tree of the run as it is. */
async function readAll<P, B, Q>({ trainer }: Setup<P, B, Q>): Promise<Arrays<TrainTrees<P, Q>>> {
  const trees: Record<string, unknown> = {};
  for (const part of ['model', 'own', 'moments', 'average'] as const) trees[part] = await trainer.read(part);
  return trees as Arrays<TrainTrees<P, Q>>;
}

/** The evaluation as the best one when it is. */
function betterOf(
  figures: Readonly<Record<string, number>>,
  best: Best | undefined,
  step: number,
  wanted: TrainOptions<never, never, never>['best'],
): Best | undefined {
  const figure = wanted?.figure ?? Object.keys(figures)[0];
  const value = figure === undefined ? undefined : figures[figure];
  if (figure === undefined || value === undefined) {
    if (wanted === undefined) return undefined;
    throw new TesseraError(
      'bad-option',
      `The evaluation gives no figure "${wanted.figure}", by which the best checkpoint was to be chosen.`,
    );
  }
  const better = best === undefined || (wanted?.higher === true ? value > best.value : value < best.value);
  return better && !Number.isNaN(value) ? { step, figure, value } : undefined;
}

function pathOf(checkpoints: readonly CheckpointPlace[] | undefined, best: Best): string | undefined {
  return checkpoints?.find((checkpoint) => checkpoint.step === best.step)?.path;
}

/** A NaN that the runtime found, with the step counted as events count it and the way back. */
function withCheckpoint(error: unknown, step: number, last: string): unknown {
  if (!(error instanceof TesseraError) || error.code !== 'not-finite') return error;
  const message = error.message.replace(/^At step \d+/, `At step ${step}`);
  return new TesseraError('not-finite', `${message} ${last}`, {
    hint: 'Take a lower rate or a longer warm-up.',
    cause: error,
  });
}
