/** Repeating elements where they stand. */

import { constant, type Dimension, normalizeAxis, shapeError, shapeText, type Tensor } from '../graph.js';
import { array } from '../ndarray.js';
import { broadcastTo } from './broadcast.js';
import { gather } from './gather.js';
import { expandDims, reshape } from './shape.js';

/**
 * `x` with every element repeated in place along an axis (NumPy's `repeat`): `[a, b]` twice is `[a, a, b, b]`. `repeats`
 * is one number, or one for each position of the axis, 0 included. The gradient of an element is the sum of its copies'.
 * @throws bad-shape for counts that are not whole, all 0 or too few, or single counts along an axis whose size is only a name.
 */
export function repeat(x: Tensor, repeats: number | readonly number[], axis: number): Tensor {
  const at = normalizeAxis(axis, x.shape.length, 'repeat');
  const size: Dimension = x.shape[at] ?? 1;
  const counts = typeof repeats === 'number' ? [repeats] : repeats;
  if (!counts.every((count) => Number.isInteger(count) && count >= 0) || counts.every((count) => count === 0))
    throw shapeError(`repeat takes whole counts from 0 up, one of them above 0, not ${shapeText(counts)}.`);
  if (typeof repeats !== 'number') {
    if (size !== counts.length)
      throw shapeError(`repeat cannot give axis ${axis} of ${shapeText(x.shape)} the counts ${shapeText(counts)}.`);
    const places = counts.flatMap((count, place) => Array.from({ length: count }, () => place));
    return gather(x, constant(array(places, [places.length], 'int32')), at);
  }
  if (repeats === 1) return x;
  const copies = [...x.shape.slice(0, at + 1), repeats, ...x.shape.slice(at + 1)];
  const total = typeof size === 'number' ? size * repeats : `${repeats}*${size}`;
  const shape = x.shape.map((dimension, index) => (index === at ? total : dimension));
  return reshape(broadcastTo(expandDims(x, at + 1), copies), shape);
}
