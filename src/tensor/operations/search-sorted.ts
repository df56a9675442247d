/** Places in a sorted list, found by comparing with all of it where it is short and by halving where it is long. */

import { zerosOf } from '../fills.js';
import { type Dimension, sameShape, shapeError, shapeText, type Tensor } from '../graph.js';
import { sum } from './broadcast.js';
import { add, cast, less, lessEqual, minimum, mul } from './elementwise.js';
import { gather, gatherElements } from './gather.js';
import { pad } from './pad.js';
import { expandDims } from './shape.js';

/** On which side of equal entries a value goes. */
export interface SearchOptions {
  /** `left` (default): before the entries that equal it; `right`: after them. */
  readonly side?: 'left' | 'right';
}

/** Up to here comparing with every entry takes fewer passes over the values than halving. */
const COMPARED = 16;

/**
 * Where values would go into a sorted list, as int32 (NumPy's `searchsorted`): for `left` the number of entries below
 * the value, for `right` that of entries not above it. `sorted` is `[n]`, rising, for values of any shape, or
 * `[..., n]` for values `[..., m]` with the same leading axes.
 * @throws bad-shape when shapes or dtypes do not fit, or n is only a name.
 */
export function searchSorted(sorted: Tensor, values: Tensor, options: SearchOptions = {}): Tensor {
  const { side = 'left' } = options;
  const below = side === 'left' ? less : lessEqual;
  const size = sizeOfList(sorted, values);
  if (size <= COMPARED) {
    const list = sorted.shape.length === 1 ? sorted : expandDims(sorted, -2);
    return sum(cast(below(list, expandDims(values, -1)), 'int32'), -1);
  }
  // The list is filled up with its last entry to 2^k - 1, so that halving never leaves it.
  let step = 2 ** Math.floor(Math.log2(size));
  const longer = sorted.shape.map(
    (_, axis) => [0, axis === sorted.shape.length - 1 ? 2 * step - 1 - size : 0] as const,
  );
  const list = pad(sorted, longer, { mode: 'edge' });
  const read = (places: Tensor) =>
    sorted.shape.length === 1 ? gather(list, places) : gatherElements(list, places, -1);
  let found = zerosOf(values.shape, 'int32');
  for (; step >= 1; step /= 2) {
    const isBelow = below(read(add(found, step - 1)), values);
    found = add(found, mul(cast(isBelow, 'int32'), step));
  }
  return minimum(found, size);
}

function sizeOfList(sorted: Tensor, values: Tensor): number {
  const size: Dimension | undefined = sorted.shape.at(-1);
  if (sorted.dtype !== values.dtype || sorted.dtype === 'bool')
    throw shapeError(`searchSorted cannot find ${values.dtype} in ${sorted.dtype}; cast one of them.`);
  if (typeof size !== 'number' || size < 1)
    throw shapeError(`searchSorted needs a list of known size, not ${shapeText(sorted.shape)}.`);
  if (sorted.shape.length > 1 && !sameShape(sorted.shape.slice(0, -1), values.shape.slice(0, -1)))
    throw shapeError(`searchSorted cannot find ${shapeText(values.shape)} in ${shapeText(sorted.shape)}.`);
  return size;
}

/** How boundaries count. */
export interface BucketizeOptions {
  /** A value that equals a boundary belongs to the bucket above it; default: to the one below. */
  readonly right?: boolean;
}

/**
 * The number of the bucket each value falls in, as int32 (PyTorch's `bucketize`): bucket i is
 * `boundaries[i - 1] < value <= boundaries[i]`, or with `right` `boundaries[i - 1] <= value < boundaries[i]`.
 * `boundaries` is `[n]`, rising; values have any shape. Errors as {@link searchSorted}.
 */
export function bucketize(values: Tensor, boundaries: Tensor, options: BucketizeOptions = {}): Tensor {
  if (boundaries.shape.length !== 1)
    throw shapeError(`bucketize takes one list of boundaries, not ${shapeText(boundaries.shape)}.`);
  return searchSorted(boundaries, values, { side: options.right === true ? 'right' : 'left' });
}
