/** Medians and quantiles, by sorting. */

import { elements, shapeError, type Tensor } from '../graph.js';
import { finishReduction, keptShape, type ReduceOptions, reducedAxes } from './broadcast.js';
import { add, isFloat, mul, sub } from './elementwise.js';
import { reshape, slice, transpose } from './shape.js';
import { sort } from './sort.js';

/** What a quantile between two values is: on the line between them, one of them, or their mean (NumPy's names). */
export type QuantileMethod = 'linear' | 'lower' | 'higher' | 'nearest' | 'midpoint';

/** How a quantile is taken. */
export interface QuantileOptions extends ReduceOptions {
  /** Default: `linear`. */
  readonly method?: QuantileMethod;
}

/** Between which ranks a quantile lies, and how far from the first to the second. */
function ranks(position: number, method: QuantileMethod): readonly [low: number, high: number, share: number] {
  const [low, high] = [Math.floor(position), Math.ceil(position)];
  const share = position - low;
  if (method === 'lower') return [low, low, 0];
  if (method === 'higher') return [high, high, 0];
  // Halfway, NumPy takes the even rank.
  if (method === 'nearest') return share < 0.5 || (share === 0.5 && low % 2 === 0) ? [low, low, 0] : [high, high, 0];
  return [low, high, method === 'midpoint' && low !== high ? 0.5 : share];
}

/**
 * The value below which the share `q` (0 to 1) of the values lies, over `axes` (default: all): at rank `q (n - 1)` of
 * the n sorted values, counted from 0. Several quantiles of one tensor share the sort. The gradient goes to the one or
 * two values it was made of.
 * @throws bad-shape when q is not from 0 to 1, for whole numbers, and when a reduced size is only a name.
 */
export function quantile(
  x: Tensor,
  q: number,
  axes?: readonly number[] | number,
  options: QuantileOptions = {},
): Tensor {
  const over = reducedAxes(x, axes, 'quantile');
  if (!(q >= 0 && q <= 1)) throw shapeError(`quantile takes a share from 0 to 1, not ${q}.`);
  if (!isFloat(x.dtype)) throw shapeError(`quantile takes floats, not ${x.dtype}; cast them.`);
  const count = elements(over.map((axis) => x.shape[axis] ?? 1));
  if (count < 1) throw shapeError('quantile needs at least one value.');
  const rest = x.shape.map((_, axis) => axis).filter((axis) => !over.includes(axis));
  const lines = reshape(transpose(x, [...rest, ...over]), [...rest.map((axis) => x.shape[axis] ?? 1), count]);
  const ordered = sort(lines);
  const [low, high, share] = ranks(q * (count - 1), options.method ?? 'linear');
  const from = slice(ordered, -1, low, low + 1);
  const value = share === 0 ? from : add(from, mul(sub(slice(ordered, -1, high, high + 1), from), share));
  return finishReduction(reshape(value, keptShape(x.shape, over)), over, options);
}

/** The middle of the sorted values over `axes` (default: all), the mean of both when there are two. As {@link quantile}. */
export function median(x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor {
  return quantile(x, 0.5, axes, { ...options, method: 'midpoint' });
}
