/**
 * Adafactor (Shazeer & Stern, arXiv 1804.04235): the second moments of a matrix as its rows' and columns' means, updates
 * clipped by their root mean square, and steps relative to the size of the parameter. The rate is the schedule's, where the
 * paper has `min(0.01, 1 / sqrt(t))`.
 */

import {
  add,
  cast,
  div,
  expandDims,
  maximum,
  mean,
  mul,
  pow,
  rsqrt,
  type Shape,
  sqrt,
  square,
  sub,
  type Tensor,
} from '../../tensor/index.js';
import {
  checkOptimizer,
  type DescribedOptimizer,
  decayed,
  type LeafMoments,
  type LeafOptions,
  type LeafStep,
  leafOptimizer,
  type ScalarType,
} from './leaf.js';

/** Options of {@link adafactor}. */
export interface AdafactorOptions extends LeafOptions {
  /** Added to the squares of gradients, and the least size of a parameter that steps are relative to (default 1e-30, 1e-3). */
  readonly epsilons?: readonly [number, number];
  /** The root mean square above which an update is scaled down (default 1). */
  readonly threshold?: number;
  /** `c` of the decay `1 - t ** -c` of the second moments (default 0.8). */
  readonly decayRate?: number;
  /** Keep an average of the updates with this decay (default 0: none is kept). */
  readonly momentum?: number;
  /** Steps relative to the root mean square of the parameter (default true). */
  readonly relative?: boolean;
  /** The share of a weight that is taken away at each step, times the rate (default 0). */
  readonly weightDecay?: number;
  /** In which type the scalars are computed (default float64). */
  readonly scalars?: ScalarType;
}

type Moment = 'row' | 'column' | 'second' | 'first';

interface Scalars {
  readonly rate: Tensor;
  /** How much of the second moments stays. */
  readonly kept: Tensor;
}

/** Adafactor. @throws bad-option for numbers out of range. */
export function adafactor<P = unknown>(options: AdafactorOptions = {}): DescribedOptimizer<P, LeafMoments<P, Moment>> {
  const { epsilons = [1e-30, 1e-3], threshold = 1, decayRate = 0.8, momentum = 0, relative = true } = options;
  const { weightDecay = 0, scalars = 'float64' } = options;
  const [tiny, least] = epsilons;
  const positive = { 'first epsilon': tiny, 'second epsilon': least, threshold, 'decay rate': decayRate };
  checkOptimizer('Adafactor', { momentum, positive, weightDecay });
  const moved = (leaf: LeafStep<Moment, Scalars>, direction: Tensor): Tensor => {
    const { parameter, shared, scaled } = leaf;
    const size = scaled(shared.rate);
    const step = relative ? mul(size, maximum(rootMeanSquare(parameter), least)) : size;
    return sub(decayed(leaf, shared.rate), mul(direction, step));
  };
  return leafOptimizer<P, Moment, Scalars>(options, {
    description: { name: 'adafactor', epsilons: [tiny, least], threshold, decayRate, momentum, relative, weightDecay },
    weightDecay,
    moments: ['row', 'column', 'second', 'first'],
    keep: (name, { shape }) => {
      if (name === 'first') return momentum === 0 ? undefined : shape;
      if (name === 'second') return isFactored(shape) ? undefined : shape;
      if (!isFactored(shape)) return undefined;
      return name === 'row' ? shape.slice(0, -1) : [...shape.slice(0, -2), ...shape.slice(-1)];
    },
    shared: (rate, step) => ({
      rate: cast(rate, scalars),
      kept: sub(1, pow(add(cast(step, scalars), 1), -decayRate)),
    }),
    move: (leaf) => {
      const { gradient, shared, parameter } = leaf;
      const kept = cast(shared.kept, parameter.dtype);
      const squares = add(square(gradient), tiny);
      const average = (name: Moment, now: Tensor): Tensor => add(mul(leaf.moment(name), kept), mul(now, sub(1, kept)));
      const [whitened, second] = isFactored(parameter.shape)
        ? factored(gradient, average('row', mean(squares, -1)), average('column', mean(squares, -2)))
        : plain(gradient, average('second', squares));
      const clipped = div(whitened, maximum(mul(rootMeanSquare(whitened), 1 / threshold), 1));
      if (momentum === 0) return { parameter: moved(leaf, clipped), moments: second };
      const first = add(mul(leaf.moment('first'), momentum), mul(clipped, 1 - momentum));
      return { parameter: moved(leaf, first), moments: { ...second, first } };
    },
  });
}

function isFactored(shape: Shape): boolean {
  return shape.length >= 2;
}

type Whitened = readonly [direction: Tensor, moments: Partial<Record<Moment, Tensor>>];

/** `g / sqrt(V)` with `V = row column / mean(row)`, whose two factors are applied one after the other. */
function factored(gradient: Tensor, row: Tensor, column: Tensor): Whitened {
  const byRow = rsqrt(div(row, mean(row, -1, { keepDims: true })));
  return [mul(mul(gradient, expandDims(byRow, -1)), expandDims(rsqrt(column), -2)), { row, column }];
}

function plain(gradient: Tensor, second: Tensor): Whitened {
  return [mul(gradient, rsqrt(second)), { second }];
}

function rootMeanSquare(x: Tensor): Tensor {
  return sqrt(mean(square(x)));
}
