/**
 * Optimizers that treat one parameter after the other. A rule says which arrays it keeps for a leaf and how it moves; trees,
 * frozen leaves, decay and factors of the rate are the same for all of them.
 */

import type { Json, JsonObject } from '../../formats/index.js';
import {
  type Arrays,
  add,
  arrayLeaves,
  cast,
  constant,
  isNDArray,
  mapTensors,
  mapTree,
  mul,
  type NDArray,
  type Shape,
  sub,
  type Tensor,
  TesseraError,
  tensorLeaves,
  zeros,
} from '../../tensor/index.js';
import type { Optimizer } from '../module.js';
import { matchPaths, type PathTest } from '../paths.js';

/** An optimizer that says which leaves it leaves alone, and what it is. */
export interface DescribedOptimizer<P, M> extends Optimizer<P, M> {
  /** Its options as JSON, to be written down with a run; what JSON cannot say is left out. */
  readonly description: Json;
  /** True for leaves that get neither gradient nor moments. */
  frozen(path: string, shape: Shape): boolean;
}

/** What every optimizer can be told of single parameters. */
export interface LeafOptions {
  /** Which tensors decay (default: those of two or more axes, which spares biases and norms). */
  readonly decay?: PathTest;
  /** A factor of the rate by path: a number, or an array that broadcasts to the tensor; 0 freezes. */
  readonly multiplier?: (path: string) => number | NDArray | undefined;
  /** Patterns of paths that are not trained: `embedding`, `blocks.0.*`, `**.bias` (see `matchPaths`). */
  readonly freeze?: readonly string[];
}

/** In which type the scalars of a step are computed. */
export type ScalarType = 'float64' | 'float32';

/** One leaf in one step. */
export interface LeafStep<N extends string, S> {
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  /** What the rule keeps for the leaf. */
  moment(name: N): Tensor;
  readonly shared: S;
  /** The rule's weight decay where the leaf decays, otherwise 0. */
  readonly shrink: number;
  /** A scalar as the leaf's type, times the leaf's factor of the rate. */
  scaled(x: Tensor): Tensor;
}

/** How an optimizer moves a leaf. `N` names the arrays it keeps, `S` is what all leaves share in a step. */
export interface LeafRule<N extends string, S> {
  readonly description: JsonObject;
  readonly weightDecay: number;
  readonly moments: readonly N[];
  /** The shape of an array that is kept for a leaf, which begins as zeros; undefined where there is none. */
  keep(name: N, leaf: NDArray, path: string): readonly number[] | undefined;
  /** Scalars of a step, which is counted from 0. */
  shared(rate: Tensor, step: Tensor): S;
  move(leaf: LeafStep<N, S>): { readonly parameter: Tensor; readonly moments: Partial<Readonly<Record<N, Tensor>>> };
}

/** Moments that an optimizer begins with, and the updates that they have seen. */
export interface LeafStart<N extends string> {
  readonly moments: Readonly<Record<N, unknown>>;
  readonly steps: number;
}

/** The trees of arrays that an optimizer keeps, named as the parameters are. */
export type LeafMoments<P, N extends string> = { readonly [K in N]: P };

/** An optimizer of trees from a rule for leaves. */
export function leafOptimizer<P, N extends string, S>(
  options: LeafOptions,
  rule: LeafRule<N, S>,
  start?: LeafStart<N>,
): DescribedOptimizer<P, LeafMoments<P, N>> {
  const { decay = (_path, shape) => shape.length >= 2, multiplier = () => undefined, freeze = [] } = options;
  const isFrozen = matchPaths(freeze);
  const frozen = (path: string): boolean => isFrozen(path) || multiplier(path) === 0;
  const named = <T>(of: (name: N) => T): Record<N, T> =>
    Object.fromEntries(rule.moments.map((name) => [name, of(name)])) as Record<N, T>;
  return {
    description: { ...rule.description, freeze: [...freeze], ...(start && { startSteps: start.steps }) },
    frozen,
    init: (parameters) =>
      named((name) => {
        const begun = new Map(arrayLeaves(start?.moments[name]));
        return mapTree(parameters, isNDArray, (leaf, path) => {
          const shape = frozen(path) ? undefined : rule.keep(name, leaf, path);
          return shape && begunAt(begun.get(path), { ...leaf, shape }, path);
        });
      }) as Arrays<LeafMoments<P, N>>,
    update: (parameters, gradients, moments, rate, call) => {
      const here = call.at('optimizer');
      const shared = rule.shared(rate, add(here.step, start?.steps ?? 0));
      const slopes = new Map(tensorLeaves(gradients));
      const before = named((name) => new Map(tensorLeaves(moments[name])));
      const after = named(() => new Map<string, Tensor>());
      const moved = new Map<string, Tensor>();
      for (const [path, parameter] of tensorLeaves(parameters)) {
        const gradient = slopes.get(path);
        if (gradient === undefined || frozen(path)) continue;
        here.at(path);
        const next = rule.move({
          parameter,
          gradient,
          shared,
          shrink: decay(path, parameter.shape) ? rule.weightDecay : 0,
          scaled: (x) => scaledBy(x, multiplier(path), parameter),
          moment: (name) => {
            const found = before[name].get(path);
            if (found !== undefined) return found;
            throw new TesseraError('mismatch', `The optimizer has no moment "${name}" for the parameter "${path}".`);
          },
        });
        moved.set(path, next.parameter);
        for (const name of rule.moments) {
          const moment = next.moments[name];
          if (moment !== undefined) after[name].set(path, moment);
        }
      }
      const renew = (tree: P, leaves: ReadonlyMap<string, Tensor>): P =>
        mapTensors(tree, (leaf, path) => leaves.get(path) ?? leaf);
      return { parameters: renew(parameters, moved), moments: named((name) => renew(moments[name], after[name])) };
    },
  };
}

function scaledBy(x: Tensor, factor: number | NDArray | undefined, { dtype }: Tensor): Tensor {
  if (factor === undefined) return cast(x, dtype);
  if (typeof factor === 'number') return cast(mul(x, factor), dtype);
  return mul(cast(x, dtype), constant(factor));
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

/** A leaf after its decoupled decay: `(1 - rate * decay) p`, with the leaf's factor of the rate. */
export function decayed({ parameter, shrink, scaled }: LeafStep<string, unknown>, rate: Tensor): Tensor {
  return shrink === 0 ? parameter : mul(parameter, sub(1, scaled(mul(rate, shrink))));
}

/** A gradient with coupled decay, `g + decay p`, the slope of a penalty on the squares. */
export function penalized({ parameter, gradient, shrink }: LeafStep<string, unknown>): Tensor {
  return shrink === 0 ? gradient : add(gradient, mul(parameter, shrink));
}

/** @throws bad-option for options out of range. */
export function checkOptimizer(
  name: string,
  options: {
    readonly betas?: readonly number[];
    readonly momentum?: number;
    /** Numbers above 0 by what they are. */
    readonly positive?: Readonly<Record<string, number>>;
    readonly weightDecay?: number;
  },
): void {
  const refuse = (what: string, range: string, value: number): never => {
    throw new TesseraError('bad-option', `The ${what} of ${name} must be ${range}, not ${value}.`);
  };
  const { betas = [], momentum = 0, positive = {}, weightDecay = 0 } = options;
  const isShare = (x: number): boolean => x >= 0 && x < 1;
  for (const beta of betas) if (!isShare(beta)) refuse('betas', 'at least 0 and below 1', beta);
  if (!isShare(momentum)) refuse('momentum', 'at least 0 and below 1', momentum);
  for (const [what, value] of Object.entries(positive))
    if (!(value > 0 && Number.isFinite(value))) refuse(what, 'above 0', value);
  if (!(weightDecay >= 0 && Number.isFinite(weightDecay))) refuse('weight decay', 'at least 0', weightDecay);
}
