/** Constants whose elements are picked from another constant, computed on the host while tracing. */

import { allocate, type NDArray, sizeOf } from './ndarray.js';

/**
 * The array of `shape` whose element at each position is the one of `x` at the position that `source` gives, or
 * `fill` (an array of one element and x's dtype) where it gives none. Undefined when it points outside `x`, so that
 * the runtime reports that.
 */
export function foldPlaces(
  x: NDArray,
  shape: readonly number[],
  source: (position: readonly number[]) => readonly number[] | undefined,
  fill?: NDArray,
): NDArray | undefined {
  const data = allocate(x.dtype, sizeOf(shape));
  const position: number[] = shape.map(() => 0);
  for (let index = 0; index < data.length; index++) {
    const place = source(position);
    const from = place === undefined ? undefined : offsetOf(place, x.shape);
    if (from === undefined && (place !== undefined || fill === undefined)) return undefined;
    const values = from === undefined ? fill?.data : x.data.subarray(from, from + 1);
    data.set(values as never, index);
    advance(position, shape);
  }
  return { dtype: x.dtype, shape, data };
}

/** Where an element lies in row-major order, or undefined outside the array. */
export function offsetOf(place: readonly number[], shape: readonly number[]): number | undefined {
  let offset = 0;
  for (const [axis, size] of shape.entries()) {
    const at = place[axis] ?? -1;
    if (at < 0 || at >= size) return undefined;
    offset = offset * size + at;
  }
  return offset;
}

/** Moves to the next position in row-major order. */
function advance(position: number[], shape: readonly number[]): void {
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const next = (position[axis] ?? 0) + 1;
    position[axis] = next === shape[axis] ? 0 : next;
    if (position[axis] !== 0) return;
  }
}
