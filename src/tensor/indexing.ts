/** What operations that look up and add back by index share. */

import { constant, type Emitter, isStatic, type Shape, shapeError, shapeText, type Tensor } from './graph.js';
import { array, sizeOf } from './ndarray.js';
import { sum } from './operations/broadcast.js';
import { mul } from './operations/elementwise.js';
import { reshape } from './operations/shape.js';

/** The three inputs of a node. */
export function three(inputs: readonly Tensor[]): readonly [Tensor, Tensor, Tensor] {
  const [a, b, c] = inputs;
  if (a === undefined || b === undefined || c === undefined) throw new Error('an operation of three operands');
  return [a, b, c];
}

/** @throws bad-shape for indices that are not int32 or int64. */
export function requireIndex(indices: Tensor, operation: string): void {
  if (indices.dtype !== 'int32' && indices.dtype !== 'int64') {
    throw shapeError(`${operation} takes int32 or int64 indices, not ${indices.dtype}.`);
  }
}

/** The indices as one list, which is what names the rows of a table. */
export function flatIndices(indices: Tensor): Tensor {
  return reshape(indices, indices.shape.length === 0 ? [1] : [-1]);
}

/**
 * Index tuples `[..., k]` into the first k axes of `x` as numbers `[...]` of rows of `x` with those axes merged, and
 * that merged tensor. @throws bad-shape when k is no number from 1 to x's rank, or a size that must be known is not.
 */
export function mergeIndices(x: Tensor, indices: Tensor, operation: string): readonly [merged: Tensor, rows: Tensor] {
  requireIndex(indices, operation);
  const depth = indices.shape.at(-1);
  if (typeof depth !== 'number' || depth < 1 || depth > x.shape.length)
    throw shapeError(
      `${operation} takes indices [..., k] with k from 1 to ${x.shape.length}, not ${shapeText(indices.shape)}.`,
    );
  const outer: Shape = x.shape.slice(1, depth);
  if (!isStatic(outer))
    throw shapeError(`${operation} needs known sizes of the indexed axes but the first, not ${shapeText(x.shape)}.`);
  const merged = reshape(x, [-1, ...x.shape.slice(depth)]);
  if (depth === 1) return [merged, reshape(indices, indices.shape.slice(0, -1))];
  const strides = Array.from({ length: depth }, (_, axis) => sizeOf(outer.slice(axis)));
  return [merged, sum(mul(indices, constant(array(strides, [depth], indices.dtype))), -1)];
}

/** The indices of whole rows repeated over each row's elements, as int32: what ScatterElements asks for. */
export function spreadIndices(emitter: Emitter, indices: Tensor, row: Shape): string {
  const column = emitter.emit('Reshape', [emitter.name(indices), emitter.shape([-1, ...row.map(() => 1)])]);
  const narrow = indices.dtype === 'int32' ? column : emitter.emit('Cast', column, { to: { dtype: 'int32' } });
  if (row.length === 0) return narrow[0] ?? '';
  return emitter.emit('Expand', [...narrow, emitter.shape([1, ...row])])[0] ?? '';
}
