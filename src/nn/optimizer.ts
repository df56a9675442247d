/**
 * AdamW: Adam with decoupled weight decay (Kingma & Ba, arXiv 1412.6980; Loshchilov & Hutter, arXiv 1711.05101),
 * with the update that PyTorch's `AdamW` makes.
 *
 * The moments are kept without their factors 1 - beta, M = beta1 M + g and V = beta2 V + g^2, so that each tensor is
 * passed over as few times as possible: p = k p - s M / (sqrt(V) + e). The scalars k, s and e carry the bias
 * corrections; they are computed once a step, in float64.
 */

import type { Json } from '../formats/index.js';
import {
  type Arrays,
  add,
  arrayLeaves,
  cast,
  constant,
  div,
  isNDArray,
  mapTensors,
  mapTree,
  mul,
  type NDArray,
  pow,
  type Shape,
  specLeaves,
  sqrt,
  square,
  sub,
  type Tensor,
  TesseraError,
  tensorLeaves,
  zeros,
} from '../tensor/index.js';
import type { Optimizer } from './module.js';
import { matchPaths } from './paths.js';

/** Options of {@link adamW}. */
export interface AdamWOptions {
  /** How slowly the averages of gradients and of their squares forget (default 0.9 and 0.95). */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second moment (default 1e-8). */
  readonly epsilon?: number;
  /** The share of a weight that is taken away at each step, times the rate (default 0.1). */
  readonly weightDecay?: number;
  /** Which tensors decay (default: those of two or more axes, which spares biases and norms). */
  readonly decay?: (path: string, shape: Shape) => boolean;
  /** A factor of the rate by path: a number, or an array that broadcasts to the tensor; 0 freezes. */
  readonly multiplier?: (path: string) => number | NDArray | undefined;
  /** Patterns of paths that are not trained: `embedding`, `blocks.0.*`, `**.bias` (see {@link matchPaths}). */
  readonly freeze?: readonly string[];
  /** In which type the scalars are computed (default float64; float32 for devices that have no doubles). */
  readonly scalars?: 'float64' | 'float32';
  /** The moments of an earlier run to begin with. Leaves that it does not have begin at zero. */
  readonly start?: AdamWStart;
}

/** Where AdamW begins when it goes on from an earlier run. */
export interface AdamWStart {
  /** Trees of arrays, or any part of them, named as the parameters are. */
  readonly moments: AdamWMoments<unknown>;
  /** Updates that they have seen, by which the bias corrections count on. */
  readonly steps: number;
}

/** The moments of AdamW: unnormalized averages of gradients and of their squares. Frozen leaves have none. */
export interface AdamWMoments<P> {
  readonly first: P;
  readonly second: P;
}

/** An optimizer that says which leaves it leaves alone, and what it is. */
export interface DescribedOptimizer<P, M> extends Optimizer<P, M> {
  /** Its options as JSON, to be written down with a run; what JSON cannot say is left out. */
  readonly description: Json;
  /** True for leaves that get neither gradient nor moments. */
  frozen(path: string, shape: Shape): boolean;
}

/** The scalars of a step, in each tensor's type. */
interface Scalars {
  readonly rate: Tensor;
  /** 1 / (what turns M / sqrt(V) into the ratio of the corrected moments). */
  readonly correction: Tensor;
  readonly epsilon: Tensor;
}

/**
 * AdamW. `update` counts its steps by `call.step`, from 0; leaves without a moment are returned unchanged.
 * @throws bad-option for numbers out of range.
 */
export function adamW<P = unknown>(options: AdamWOptions = {}): DescribedOptimizer<P, AdamWMoments<P>> {
  const { betas = [0.9, 0.95], epsilon = 1e-8, weightDecay = 0.1, freeze = [], scalars = 'float64' } = options;
  const { decay = (_path, shape) => shape.length >= 2, multiplier = () => undefined, start } = options;
  check({ betas, epsilon, weightDecay });
  const isFrozen = matchPaths(freeze);
  const frozen = (path: string): boolean => isFrozen(path) || multiplier(path) === 0;
  const [beta1, beta2] = betas;
  return {
    description: {
      name: 'adamw',
      betas: [beta1, beta2],
      epsilon,
      weightDecay,
      freeze: [...freeze],
      ...(start === undefined ? {} : { startSteps: start.steps }),
    },
    frozen,
    init: (parameters) => {
      const moment = (name: 'first' | 'second'): unknown => {
        const begun = new Map(arrayLeaves(start?.moments[name]));
        return mapTree(parameters, isNDArray, (leaf, path) =>
          frozen(path) ? undefined : begunAt(begun.get(path), leaf, path),
        );
      };
      return { first: moment('first'), second: moment('second') } as Arrays<AdamWMoments<P>>;
    },
    update: (parameters, gradients, moments, rate, call) => {
      const here = call.at('optimizer');
      const shared = scalarsOf(rate, add(here.step, start?.steps ?? 0), { beta1, beta2, epsilon, dtype: scalars });
      const [slopes, firsts, seconds] = [gradients, moments.first, moments.second].map(
        (tree) => new Map(tensorLeaves(tree)),
      );
      const next = {
        parameter: new Map<string, Tensor>(),
        first: new Map<string, Tensor>(),
        second: new Map<string, Tensor>(),
      };
      for (const [path, leaf] of tensorLeaves(parameters)) {
        const [g, m, v] = [slopes?.get(path), firsts?.get(path), seconds?.get(path)];
        if (g === undefined || m === undefined || v === undefined) continue;
        here.at(path);
        const first = add(mul(m, beta1), g);
        const second = add(mul(v, beta2), square(g));
        const factor = multiplier(path);
        const shrink = decay(path, leaf.shape) ? weightDecay : 0;
        next.first.set(path, first);
        next.second.set(path, second);
        next.parameter.set(path, step(leaf, first, second, shared, shrink, factor));
      }
      const renew = (tree: P, leaves: ReadonlyMap<string, Tensor>): P =>
        mapTensors(tree, (leaf, path) => leaves.get(path) ?? leaf);
      return {
        parameters: renew(parameters, next.parameter),
        moments: { first: renew(moments.first, next.first), second: renew(moments.second, next.second) },
      };
    },
  };
}

/** A moment to begin with: the one of an earlier run, or zeros. @throws mismatch when it is of another shape. */
function begunAt(begun: NDArray | undefined, { shape, dtype }: NDArray, path: string): NDArray {
  if (begun === undefined) return zeros(shape, dtype);
  if (begun.dtype === dtype && begun.shape.join() === shape.join()) return begun;
  throw new TesseraError(
    'mismatch',
    `The optimizer would begin with a moment of ${begun.dtype} [${begun.shape.join(', ')}] for "${path}", which is ${dtype} [${shape.join(', ')}].`,
    { hint: 'The moments are of another model, or of this one before it grew.' },
  );
}

/** `k p - s M / (sqrt(V) + e)` with `s` the rate times the correction and `k` 1 minus the rate times the decay. */
function step(
  p: Tensor,
  first: Tensor,
  second: Tensor,
  shared: Scalars,
  shrink: number,
  factor: number | NDArray | undefined,
): Tensor {
  const scaled = (x: Tensor): Tensor => {
    if (factor === undefined) return cast(x, p.dtype);
    if (typeof factor === 'number') return cast(mul(x, factor), p.dtype);
    return mul(cast(x, p.dtype), constant(factor));
  };
  const size = scaled(mul(shared.rate, shared.correction));
  const kept = shrink === 0 ? p : mul(p, sub(1, scaled(mul(shared.rate, shrink))));
  const direction = div(first, add(sqrt(second), cast(shared.epsilon, p.dtype)));
  return sub(kept, mul(direction, size));
}

interface ScalarOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly dtype: 'float64' | 'float32';
}

/**
 * With m = (1 - b1) M / (1 - b1^t), v = (1 - b2) V / (1 - b2^t) and c = sqrt((1 - b2) / (1 - b2^t)):
 * m / (sqrt(v) + epsilon) = ((1 - b1) / (1 - b1^t) / c) M / (sqrt(V) + epsilon / c).
 */
function scalarsOf(rate: Tensor, stepTensor: Tensor, options: ScalarOptions): Scalars {
  const { beta1, beta2, epsilon, dtype } = options;
  const t = add(cast(stepTensor, dtype), 1);
  const left = (beta: number): Tensor => sub(1, pow(beta, t));
  const c = sqrt(div(1 - beta2, left(beta2)));
  return { rate: cast(rate, dtype), correction: div(div(1 - beta1, left(beta1)), c), epsilon: div(epsilon, c) };
}

function check(options: {
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly weightDecay: number;
}): void {
  const { betas, epsilon, weightDecay } = options;
  for (const beta of betas) {
    if (!(beta >= 0 && beta < 1))
      throw new TesseraError('bad-option', `The betas of AdamW must be at least 0 and below 1, not ${beta}.`);
  }
  if (!(epsilon > 0)) throw new TesseraError('bad-option', `The epsilon of AdamW must be above 0, not ${epsilon}.`);
  if (!(weightDecay >= 0))
    throw new TesseraError('bad-option', `The weight decay must be at least 0, not ${weightDecay}.`);
}

/** How many numbers a tree of arrays or specs holds. */
export function countParameters(tree: unknown): number {
  return specLeaves(tree).reduce(
    (total, [, { shape }]) => total + shape.reduce<number>((size, dimension) => size * Number(dimension), 1),
    0,
  );
}

/** The paths of a tree that an optimizer trains: floating leaves that are not frozen. */
export function trainablePaths(
  parameters: unknown,
  optimizer: { frozen?(path: string, shape: Shape): boolean },
): string[] {
  return arrayLeaves(parameters).flatMap(([path, { dtype, shape }]) =>
    dtype.startsWith('float') && optimizer.frozen?.(path, shape) !== true ? [path] : [],
  );
}
