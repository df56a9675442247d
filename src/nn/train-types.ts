/** What `train` takes and what it tells. */

import type { Json } from '../formats/index.js';
import type { Arrays, Call, Device, DeviceTree, Runtime, Shape, Tensor } from '../tensor/index.js';
import type { AverageOptions } from './ema.js';
import type { BatchSource, Module, Objective } from './module.js';
import type { Schedule } from './schedule.js';

/** An optimizer of any tree; `adamW()` is one. Trees that it is given lack the leaves that are frozen. */
export interface TreeOptimizer {
  /** Written down with the run, so that another optimizer does not resume it. */
  readonly description?: Json;
  /** Leaves that it leaves alone; no gradient is taken for them. */
  frozen?(path: string, shape: Shape): boolean;
  init(parameters: unknown): unknown;
  update(
    parameters: unknown,
    gradients: unknown,
    moments: unknown,
    rate: Tensor,
    call: Call,
  ): { readonly parameters: unknown; readonly moments: unknown };
}

/** What the hooks of a run can look at; the run waits for them. */
export interface TrainContext<P> {
  /** Updates done. */
  readonly step: number;
  readonly runtime: Runtime;
  /** The parameters on the device, to be given to programs of the same runtime. */
  readonly state: DeviceTree<P>;
  /** The averaged parameters on the device, when the run keeps an average. */
  readonly averaged?: DeviceTree<P>;
  /** The parameters (the average where there is one), copied to this thread. */
  parameters(): Promise<Arrays<P>>;
  readonly signal?: AbortSignal;
}

/** Options of {@link train}. One of `steps` and `minutes` is needed. */
export interface TrainOptions<P, B, O, Q = Record<string, never>> {
  readonly model: Module<P, B, O> & { readonly objective?: Objective<B, O> };
  /** What the model is trained to do; a language model brings its own. */
  readonly objective?: Objective<B, O, Q>;
  readonly source: BatchSource<B>;
  /** Updates to make. */
  readonly steps?: number;
  /** Minutes to train: turned into a number of steps after 20 measured ones, which then is the run's own. */
  readonly minutes?: number;
  /** Default: {@link adamW}. */
  readonly optimizer?: TreeOptimizer;
  /** A constant rate, a schedule, or a function of the step (from 0) and the number of steps. Default: cosine from 1e-3. */
  readonly rate?: number | Schedule | ((step: number, steps: number) => number);
  /** Largest global norm of the gradients (default 1); Infinity does not clip. */
  readonly clip?: number;
  /** Batches of one update (default 1). */
  readonly accumulate?: number;
  /** Keep an exponential moving average of the parameters. */
  readonly ema?: number | AverageOptions;
  /** Patterns of parameter paths that are not trained. */
  readonly freeze?: readonly string[];
  /** Where training starts; otherwise the model's own `init`. */
  readonly parameters?: Arrays<P>;
  readonly seed?: number;

  /** A runtime to use and leave open; otherwise one is started on `device` with `threads` and ended with the run. */
  readonly runtime?: Runtime;
  readonly device?: Device | 'auto';
  readonly threads?: number;

  /** The run's folder. A run that is there is resumed; without a folder nothing is written. */
  readonly out?: string;
  /** Start anew where a run is. */
  readonly fresh?: boolean;
  /** Updates between checkpoints (default: a tenth of the run). */
  readonly saveEvery?: number;
  /** Newest checkpoints to keep (default 2); the best by evaluation stays too. */
  readonly keep?: number;
  /** Anything that makes the run what it is; kept in config.json, and a resume with another value is refused. */
  readonly config?: Json;
  /** A hash of the data; a resume with another is refused. */
  readonly fingerprint?: string;

  /** Figures of the model as it is, every `evalEvery` updates (default: a tenth of the run) and at the end. */
  readonly evaluate?: (context: TrainContext<P>) => Promise<Readonly<Record<string, number>>>;
  readonly evalEvery?: number;
  /** Which figure makes a checkpoint the best one (default: the first; lower is better). */
  readonly best?: { readonly figure: string; readonly higher?: boolean };
  /** A sample of what the model does, every `sampleEvery` updates (default: a tenth of the run). */
  readonly sample?: (context: TrainContext<P>) => Promise<Json>;
  readonly sampleEvery?: number;

  /** The run stops as soon as the loss is this many times the median of the last 100 (default 10; false: never). */
  readonly explosion?: number | false;
  /** Find the operation in which a NaN begins; slower. */
  readonly checkNumerics?: boolean;
  /** Compute the insides of the model's blocks again for gradients instead of keeping them: less memory, more sums. */
  readonly rematerialize?: boolean;
  /**
   * `mixed`: matrix products and convolutions in float16 with a loss scale that adjusts itself, all else and the
   * parameters in float32. It gains where the device computes in float16 (a GPU); the CPU's runtime drops the casts
   * and computes in float32.
   */
  readonly precision?: 'float32' | 'mixed';
  /** Ends the run after the update under way, with a checkpoint. */
  readonly signal?: AbortSignal;
}

/** The run begins, or goes on after `step` updates. */
export interface StartEvent {
  readonly type: 'start';
  readonly step: number;
  /** Undefined while a time budget is not yet turned into steps. */
  readonly steps: number | undefined;
  readonly resumed: boolean;
  /** Numbers in the model, and those of them that are trained. */
  readonly parameters: number;
  readonly trained: number;
  readonly device: Device;
  readonly threads: number;
  readonly about: string;
  /** Nodes and matrix-product operations of one update; 0 when nothing is left to do. */
  readonly nodes: number;
  readonly flops: number;
  /** Bytes of parameters, moments and averages on the device. */
  readonly stateBytes: number;
}

/** A step of the rehearsal that measures the speed for a time budget; its updates are undone. */
export interface MeasureEvent {
  readonly type: 'measure';
  readonly step: number;
  readonly of: number;
  readonly loss: number;
}

/** An update was made. */
export interface StepEvent {
  readonly type: 'step';
  /** Updates done, from 1. */
  readonly step: number;
  readonly steps: number;
  /** The mean loss of the update's batches before it. */
  readonly loss: number;
  /** What the model recorded, the mean over the update's batches. */
  readonly figures: Readonly<Record<string, number>>;
  readonly rate: number;
  /** The global norm of the gradients, before clipping. */
  readonly gradientNorm: number;
  /** What the objective counts (tokens, rows) a second, over the last updates. */
  readonly tokensPerSecond: number;
  readonly secondsLeft: number;
  /** Resident bytes of the process; 0 where the host does not tell. */
  readonly memory: number;
}

/** The evaluate hook gave figures. */
export interface EvaluationEvent {
  readonly type: 'evaluation';
  readonly step: number;
  readonly steps: number;
  readonly figures: Readonly<Record<string, number>>;
  /** The best so far. */
  readonly best: boolean;
}

/** The sample hook gave something. */
export interface SampleEvent {
  readonly type: 'sample';
  readonly step: number;
  readonly steps: number;
  readonly sample: Json;
}

/** A checkpoint was written. */
export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly step: number;
  readonly steps: number;
  readonly path: string;
}

/** The run is over. */
export interface EndEvent<P> {
  readonly type: 'end';
  readonly reason: 'finished' | 'aborted' | 'exhausted';
  readonly step: number;
  readonly steps: number | undefined;
  /** The loss of the last update; undefined when none was made. */
  readonly loss: number | undefined;
  /** Seconds of training over all starts. */
  readonly seconds: number;
  /** The newest checkpoint. */
  readonly checkpoint: string | undefined;
  /** The best evaluation, and where its checkpoint is. */
  readonly best:
    | { readonly step: number; readonly figure: string; readonly value: number; readonly checkpoint?: string }
    | undefined;
  /** The parameters, also after the run. */
  parameters(): Promise<Arrays<P>>;
  /** The averaged parameters, when the run keeps an average. */
  averaged?(): Promise<Arrays<P>>;
}

/** What {@link train} tells. */
export type TrainEvent<P> =
  | StartEvent
  | MeasureEvent
  | StepEvent
  | EvaluationEvent
  | SampleEvent
  | CheckpointEvent
  | EndEvent<P>;
