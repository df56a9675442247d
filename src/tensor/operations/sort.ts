/**
 * Sorting along an axis, by TopK of the whole axis, whose ties keep their order in both directions. NaNs have no place
 * in an order: where they land is not defined.
 */

import { zerosOf } from '../fills.js';
import { apply, normalizeAxis, type Operation, shapeError, type Tensor } from '../graph.js';
import { only } from './elementwise.js';
import { scatterElementsAdd } from './gather.js';

/** Along which axis to sort, and which way. */
export interface SortOptions {
  /** Default: the last. */
  readonly axis?: number;
  /** From the largest down; equal values keep their order then too. */
  readonly descending?: boolean;
}

const sortOperation: Operation = {
  name: 'sort',
  gradient: ({ inputs, outputs, attributes }, [g]) => {
    const x = only(inputs);
    const [, positions] = outputs;
    if (g === undefined || positions === undefined) return [];
    return [scatterElementsAdd(zerosOf(x.shape, g.dtype), positions, g, Number(attributes.axis))];
  },
  lower: ({ inputs, attributes }, emitter) => {
    const x = only(inputs);
    const axis = Number(attributes.axis);
    const size = emitter.shape(x.shape.slice(axis, axis + 1));
    const largest = Number(attributes.descending === true);
    const [values, positions] = emitter.emit('TopK', [emitter.name(x), size], { axis, largest }, 2);
    return [values ?? '', ...emitter.emit('Cast', [positions ?? ''], { to: { dtype: 'int32' } })];
  },
};

/** The sorted values and where each stood. */
function sorted(x: Tensor, options: SortOptions, operation: string): readonly [values: Tensor, positions: Tensor] {
  const { axis = -1, descending = false } = options;
  const at = normalizeAxis(axis, x.shape.length, operation);
  if (x.dtype === 'bool') throw shapeError(`${operation} takes numbers, not truth values; cast them to int32.`);
  const specs = [
    { dtype: x.dtype, shape: x.shape },
    { dtype: 'int32', shape: x.shape },
  ] as const;
  const [values, positions] = apply(sortOperation, [x], { axis: at, descending }, specs);
  if (values === undefined || positions === undefined) throw new Error('a sort has two outputs');
  return [values, positions];
}

/**
 * The values of `x` in rising (or falling) order along an axis. The gradient goes back to where each value stood.
 * Sorting and {@link argsort} of one tensor are computed once.
 * @throws bad-shape for bool, or an axis that is not there.
 */
export function sort(x: Tensor, options: SortOptions = {}): Tensor {
  return sorted(x, options, 'sort')[0];
}

/**
 * The positions along an axis that sort `x`, as int32: `gatherElements(x, argsort(x))` is `sort(x)`. Stable: equal
 * values keep their order. Errors as {@link sort}.
 */
export function argsort(x: Tensor, options: SortOptions = {}): Tensor {
  return sorted(x, options, 'argsort')[1];
}
