/** Rows written into a cache as graph, for devices that keep their tensors. */

import { isStatic, shapeError, shapeText, type Tensor } from '../graph.js';
import { broadcastTo } from '../operations/broadcast.js';
import { add, greaterEqual, less, logicalAnd, maximum, minimum, sub, where } from '../operations/elementwise.js';
import { gatherElements, range } from '../operations/gather.js';
import { reshape } from '../operations/shape.js';

/** `cache` `[batch, heads, capacity, width]` with `rows` `[batch, heads, new, width]` at each batch row's position `at` `[batch]`. */
export function appended(cache: Tensor | undefined, rows: Tensor, at: Tensor): Tensor {
  if (cache === undefined) throw new Error('a cache that is no state');
  const [batch = 1, , capacity = 0] = cache.shape;
  const added = rows.shape[2];
  if (!isStatic(cache.shape) || typeof added !== 'number')
    throw shapeError(
      `On this device a cache ${shapeText(cache.shape)} and rows ${shapeText(rows.shape)} need known sizes.`,
    );
  const place = reshape(range(capacity, { dtype: at.dtype === 'int64' ? 'int64' : 'int32' }), [1, 1, capacity, 1]);
  const start = reshape(at, [batch, 1, 1, 1]);
  const inside = logicalAnd(greaterEqual(place, start), less(place, add(start, added)));
  if (added === 1) return where(inside, rows, cache);
  const index = broadcastTo(minimum(maximum(sub(place, start), 0), added - 1), cache.shape);
  return where(inside, gatherElements(rows, index, 2), cache);
}
