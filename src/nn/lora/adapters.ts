/**
 * LoRA (Hu et al., arXiv 2106.09685): a frozen weight W `[in, out]` and a trained product of low rank, `W + s A B`, with A
 * `[in, rank]` and B `[rank, out]`. The scale s is `alpha / rank`, or `alpha / sqrt(rank)` when rank-stabilized (rsLoRA,
 * arXiv 2312.03732). DoRA (arXiv 2402.09353, eq. 5) also trains the length of each output's column.
 */

import {
  type Arrays,
  arrayLeaves,
  type NDArray,
  type Random,
  type Tensor,
  TesseraError,
  zeros,
} from '../../tensor/index.js';
import { chooseModules, type LoraModule } from './choose.js';

/** Options of {@link lora}. */
export interface LoraOptions {
  /** Which modules (see {@link chooseModules}). */
  readonly targets: string | readonly string[];
  /** Default 8. */
  readonly rank?: number;
  /** Default: the rank, so that the scale is 1 (or sqrt(rank) when rank-stabilized). */
  readonly alpha?: number;
  /** The share of inputs of the adapters that is dropped while training (default 0). */
  readonly dropout?: number;
  /** Scale by `alpha / sqrt(rank)` (default false). */
  readonly rankStabilized?: boolean;
  /** Also train the lengths of the columns (default false). */
  readonly dora?: boolean;
}

/** A module with its own rank and scale. */
export interface AdaptedModule extends LoraModule {
  readonly rank: number;
  readonly alpha: number;
  /** What the product is multiplied by. */
  readonly scale: number;
}

/** Which modules of a model are adapted, and how. */
export interface Lora {
  readonly modules: readonly AdaptedModule[];
  /** All that could be. */
  readonly available: readonly LoraModule[];
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  readonly rankStabilized: boolean;
  readonly dora: boolean;
}

/** The parameters of one adapter: A `[in, rank]`, B `[rank, out]`, and with DoRA the lengths `[out]`. */
export interface LoraWeights<L = Tensor> {
  readonly a: L;
  readonly b: L;
  readonly magnitude?: L;
}

/** The adapters of a model, by the name of the module. */
export type LoraTree<L = Tensor> = Readonly<Record<string, LoraWeights<L>>>;

/** Chooses modules and settles how they are adapted. @throws bad-option for numbers out of range or an unknown target. */
export function lora(available: readonly LoraModule[], options: LoraOptions): Lora {
  const { targets, rank = 8, alpha = rank, dropout = 0, rankStabilized = false, dora = false } = options;
  if (!Number.isSafeInteger(rank) || rank < 1) {
    throw new TesseraError('bad-option', `The rank of adapters must be a whole number from 1, not ${rank}.`);
  }
  if (!(alpha > 0 && Number.isFinite(alpha))) {
    throw new TesseraError('bad-option', `The alpha of adapters must be above 0, not ${alpha}.`);
  }
  if (!(dropout >= 0 && dropout < 1)) {
    throw new TesseraError('bad-option', `The dropout of adapters must be at least 0 and below 1, not ${dropout}.`);
  }
  const modules = chooseModules(available, targets).map((module) => ({
    ...module,
    rank,
    alpha,
    scale: scaleOf(alpha, rank, rankStabilized),
  }));
  return { modules, available, rank, alpha, dropout, rankStabilized, dora };
}

/** `alpha / rank`, or `alpha / sqrt(rank)`. */
export function scaleOf(alpha: number, rank: number, rankStabilized: boolean): number {
  return alpha / (rankStabilized ? Math.sqrt(rank) : rank);
}

/**
 * Fresh adapters, which change nothing yet: A uniform within 1 / sqrt(in) (Kaiming's with slope sqrt(5), as PEFT draws it),
 * B zero, and with DoRA the lengths that the columns have.
 * @throws mismatch when the model has no such weight.
 */
export function initLora({ modules, dora }: Lora, base: unknown, random: Random): Arrays<LoraTree> {
  const entries = modules.map((module): [string, LoraWeights<NDArray>] => {
    const weights = weightsOf(base, module);
    const inputs = weights[0]?.shape[0] ?? 1;
    const outputs = weights.reduce((total, { shape }) => total + (shape[1] ?? 0), 0);
    const bound = 1 / Math.sqrt(inputs);
    const fresh = {
      a: random.child(module.name).child('a').uniform([inputs, module.rank], -bound, bound),
      b: zeros([module.rank, outputs], 'float32'),
    };
    return [module.name, dora ? { ...fresh, magnitude: lengthsOf(weights) } : fresh];
  });
  return Object.fromEntries(entries);
}

/** The arrays that are a module's weight. @throws mismatch when one is missing, no matrix, or of another number of inputs. */
export function weightsOf(base: unknown, { name, paths }: LoraModule): readonly NDArray[] {
  const leaves = new Map(arrayLeaves(base));
  return paths.map((path) => {
    const found = leaves.get(path);
    if (found === undefined) {
      throw new TesseraError('mismatch', `The model has no parameter "${path}", which the module ${name} is made of.`);
    }
    if (found.shape.length === 2) return found;
    throw new TesseraError(
      'mismatch',
      `Adapters are for matrices; the parameter "${path}" of the module ${name} is [${found.shape.join(', ')}].`,
    );
  });
}

/** The Euclidean length of every column of matrices side by side. */
export function lengthsOf(weights: readonly NDArray[]): NDArray {
  const lengths = weights.flatMap(({ data, shape: [rows = 0, columns = 0] }) => {
    const squares = new Float64Array(columns);
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++) squares[j] = (squares[j] ?? 0) + Number(data[i * columns + j]) ** 2;
    return Array.from(squares, Math.sqrt);
  });
  return { dtype: 'float32', shape: [lengths.length], data: Float32Array.from(lengths) };
}

/** How many numbers the adapters of a module have: PEFT's trainable parameters. */
export function countLora(adapters: Arrays<LoraTree>): number {
  return arrayLeaves(adapters).reduce((total, [, { data }]) => total + data.length, 0);
}
