/** From options to a run that can begin: settled defaults, the folder, and trees that are fresh or from a checkpoint. */

import { cores, platform } from '#host';
import { isJsonObject, type Json, type JsonObject } from '../formats/index.js';
import { type Arrays, arrayLeaves, type Runtime, random, type Shape, TesseraError } from '../tensor/index.js';
import { readCheckpoint } from './checkpoint.js';
import { type AverageOptions, averageWeight } from './ema.js';
import { initLossScaling } from './loss-scale.js';
import type { Objective } from './module.js';
import { adamW, countParameters, trainablePaths } from './optimizer.js';
import { matchPaths, withoutLeaves } from './paths.js';
import { openRun, type RunFolder } from './run-folder.js';
import { constantRate, cosineRate, rateAt, type Schedule, warmupSteps } from './schedule.js';
import { checkCount } from './source.js';
import { openTrainer, type Trainer, type TrainTrees } from './train-programs.js';
import type { TrainOptions, TreeOptimizer } from './train-types.js';

/** The best evaluation so far. */
export interface Best {
  readonly step: number;
  readonly figure: string;
  readonly value: number;
}

/** A run that can begin. */
export interface Setup<P, B, Q> {
  readonly trainer: Trainer<P, B, Q>;
  readonly folder: RunFolder | undefined;
  readonly parameters: number;
  readonly trained: number;
  readonly accumulate: number;
  /** The rate of a step, from 0, in a run of so many. */
  readonly rate: (step: number, steps: number) => number;
  readonly warmup: (steps: number) => number;
  /** What the average takes from the parameters at a step. */
  readonly weight: (step: number) => number;
  /** Where an earlier start of the run stopped. */
  readonly resumed: Resumed | undefined;
}

/** What an earlier start of a run left. */
export interface Resumed {
  readonly step: number;
  readonly cursor: Json;
  readonly seconds: number;
  readonly losses: Json;
  readonly loss: number | undefined;
  readonly best: Best | undefined;
}

/** Settles the options and opens everything. @throws bad-option, mismatch, bad-file, no-space. */
export async function setUp<P, B, O, Q>(runtime: Runtime, options: TrainOptions<P, B, O, Q>): Promise<Setup<P, B, Q>> {
  const {
    seed = 0,
    accumulate = 1,
    checkNumerics = false,
    rematerialize = false,
    precision = 'float32',
    clip = 1,
  } = options;
  checkOptions(options);
  const schedule = scheduleOf(options.rate);
  const average = averageOf(options.ema);
  const optimizer = options.optimizer ?? adamW({ scalars: runtime.device === 'webgpu' ? 'float32' : 'float64' });
  const chosen = matchPaths(options.freeze ?? []);
  const isFrozen = (path: string, shape: Shape): boolean => chosen(path) || optimizer.frozen?.(path, shape) === true;
  const objective = objectiveOf(options);

  const model: Arrays<P> = options.parameters ?? options.model.init(random(seed).child('model'));
  const own = { objective: objective.init?.(random(seed).child('objective')) ?? {} } as Arrays<TrainTrees<P, Q>>['own'];
  const trained = new Set([model, own].flatMap((tree) => trainablePaths(tree, { frozen: isFrozen })));
  if (trained.size === 0) {
    throw new TesseraError('bad-option', 'Every parameter is frozen, so there is nothing to train.', {
      hint: 'Freeze fewer paths.',
    });
  }
  const frozen = (path: string): boolean => !trained.has(path);
  const fresh = firstTrees<P, Q>({ model, own, optimizer, frozen, averaged: average !== undefined, precision });
  const accepted: { values?: Arrays<TrainTrees<P, Q>>; resumed?: Resumed } = {};
  const folder =
    options.out === undefined
      ? undefined
      : await openRun(options.out, runConfig(options, schedule, optimizer, average), {
          fresh: options.fresh,
          keep: options.keep,
          accept: async (newest) => {
            const found = await readCheckpoint(newest.path, checkpointTrees(fresh));
            accepted.values = fromCheckpoint(fresh, found.trees);
            accepted.resumed = resumedFrom(newest.path, found.trainer);
          },
          environment: {
            started: new Date().toISOString(),
            platform,
            cores: cores(),
            engine: runtime.about,
            device: runtime.device,
            threads: runtime.threads,
          },
        });
  const values = accepted.values ?? fresh;
  const trainer = await openTrainer<P, B, O, Q>(runtime, values, {
    model: options.model,
    objective,
    optimizer,
    frozen,
    clip: Number.isFinite(clip) ? clip : undefined,
    accumulate: accumulate > 1,
    seed,
    checkNumerics,
    rematerialize,
    precision,
  });
  const rate =
    typeof options.rate === 'function' ? options.rate : (step: number, steps: number) => rateAt(schedule, step, steps);
  return {
    trainer,
    folder,
    parameters: countParameters(model),
    trained: countParameters(
      arrayLeaves([model, own])
        .filter(([path]) => !frozen(path.slice(2)))
        .map(([, leaf]) => leaf),
    ),
    accumulate,
    rate,
    warmup: (steps) => (typeof options.rate === 'function' ? 0 : warmupSteps(schedule, steps)),
    weight: (step) => (average === undefined ? 0 : averageWeight(average, step)),
    resumed: accepted.resumed,
  };
}

function checkOptions<P, B, O, Q>(options: TrainOptions<P, B, O, Q>): void {
  const counts = ['steps', 'accumulate', 'saveEvery', 'evalEvery', 'sampleEvery', 'keep'] as const;
  for (const name of counts) {
    const value = options[name];
    if (value !== undefined) checkCount(name, value);
  }
  const { steps, minutes, clip } = options;
  if (options.precision === 'mixed' && options.checkNumerics === true) {
    throw new TesseraError(
      'bad-option',
      'Mixed precision overflows now and then by design, which checkNumerics would stop.',
      {
        hint: 'Look for a NaN in float32.',
      },
    );
  }
  if ((steps === undefined) === (minutes === undefined)) {
    throw new TesseraError('bad-option', 'A run needs either a number of steps or a number of minutes.');
  }
  if (minutes !== undefined && !(minutes > 0 && Number.isFinite(minutes))) {
    throw new TesseraError('bad-option', `minutes must be a number above 0, not ${minutes}.`);
  }
  if (clip !== undefined && !(clip > 0)) throw new TesseraError('bad-option', `clip must be above 0, not ${clip}.`);
}

function scheduleOf(rate: TrainOptions<never, never, never>['rate']): Schedule {
  if (typeof rate === 'number') return constantRate({ rate });
  return rate === undefined || typeof rate === 'function' ? cosineRate({ rate: 1e-3 }) : rate;
}

function averageOf(ema: number | AverageOptions | undefined): AverageOptions | undefined {
  const average = typeof ema === 'number' ? { decay: ema } : ema;
  // Refuses a decay out of range before anything is written.
  if (average !== undefined) averageWeight(average, 0);
  return average;
}

function objectiveOf<P, B, O, Q>(options: TrainOptions<P, B, O, Q>): Objective<B, O, Q> {
  if (options.objective !== undefined) return options.objective;
  const own = options.model.objective;
  if (own === undefined)
    throw new TesseraError('bad-option', 'The model has no objective of its own, and none was given.');
  return { loss: (model, _own, batch, call) => own.loss(model, {}, batch, call) };
}

/** What makes a run this one: compared when it is resumed. */
function runConfig<P, B, O, Q>(
  options: TrainOptions<P, B, O, Q>,
  schedule: Schedule,
  optimizer: TreeOptimizer,
  average: AverageOptions | undefined,
): JsonObject {
  const { clip = 1 } = options;
  return {
    steps: options.steps ?? null,
    minutes: options.minutes ?? null,
    seed: options.seed ?? 0,
    rate: typeof options.rate === 'function' ? 'a function' : { ...schedule },
    clip: Number.isFinite(clip) ? clip : null,
    accumulate: options.accumulate ?? 1,
    ema: average === undefined ? null : { ...average },
    freeze: [...(options.freeze ?? [])],
    optimizer: optimizer.description ?? null,
    ...(options.precision === 'mixed' ? { precision: options.precision } : {}),
    fingerprint: options.fingerprint ?? null,
    config: options.config ?? null,
  };
}

interface FirstTrees<P, Q> {
  readonly model: Arrays<P>;
  readonly own: Arrays<TrainTrees<P, Q>>['own'];
  readonly optimizer: TreeOptimizer;
  readonly frozen: (path: string) => boolean;
  readonly averaged: boolean;
  readonly precision: 'float32' | 'mixed';
}

function firstTrees<P, Q>({
  model,
  own,
  optimizer,
  frozen,
  averaged,
  precision,
}: FirstTrees<P, Q>): Arrays<TrainTrees<P, Q>> {
  const moments = {
    model: optimizer.init(withoutLeaves(model, frozen)),
    own: optimizer.init(withoutLeaves(own, frozen)),
    ...(precision === 'mixed' ? { scaling: initLossScaling() } : {}),
  };
  // The average begins as the same arrays, so that frozen ones are not doubled.
  return { model, own, moments, ...(averaged ? { average: model } : {}) } as Arrays<TrainTrees<P, Q>>;
}

/** The trees by the name of their file. */
export function checkpointTrees<P, Q>(
  values: Arrays<TrainTrees<P, Q>>,
): Record<'model' | 'optimizer' | 'objective' | 'ema', unknown> {
  return { model: values.model, optimizer: values.moments, objective: values.own, ema: values.average };
}

function fromCheckpoint<P, Q>(
  fresh: Arrays<TrainTrees<P, Q>>,
  trees: ReturnType<typeof checkpointTrees>,
): Arrays<TrainTrees<P, Q>> {
  const { model, optimizer, objective, ema } = trees;
  return {
    model,
    own: objective,
    moments: optimizer,
    ...(fresh.average === undefined ? {} : { average: ema }),
  } as Arrays<TrainTrees<P, Q>>;
}

function resumedFrom(path: string, trainer: JsonObject): Resumed {
  const { step, cursor = null, seconds, losses = null, loss, best } = trainer;
  if (typeof step !== 'number' || typeof seconds !== 'number') {
    throw new TesseraError('bad-file', `The trainer.json of ${path} does not say where the run stopped.`, {
      hint: 'Remove that checkpoint to go on from the one before.',
    });
  }
  return { step, cursor, seconds, losses, loss: typeof loss === 'number' ? loss : undefined, best: bestOf(best) };
}

function bestOf(value: Json | undefined): Best | undefined {
  if (!isJsonObject(value)) return undefined;
  const { step, figure, value: number } = value;
  return typeof step === 'number' && typeof figure === 'string' && typeof number === 'number'
    ? { step, figure, value: number }
    : undefined;
}
