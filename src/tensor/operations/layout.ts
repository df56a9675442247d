/** Stacking, repeating, rotating and reordering: moves composed of reshape, transpose, concat and slice. */

import { type Dimension, normalizeAxis, type Shape, shapeError, shapeText, type Tensor } from '../graph.js';
import { broadcastTo, sum } from './broadcast.js';
import { arange } from './create.js';
import { sub } from './elementwise.js';
import { gather } from './gather.js';
import { concat, expandDims, reshape, slice, splitSizes, squeeze, transpose } from './shape.js';

/** Tensors of one shape joined along a new axis of the result. */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  const [head] = tensors;
  if (head === undefined) throw shapeError('stack needs at least one tensor.');
  const at = normalizeAxis(axis, head.shape.length + 1, 'stack');
  const other = tensors.find((x) => x.shape.join() !== head.shape.join());
  if (other !== undefined)
    throw shapeError(`stack cannot join ${shapeText(head.shape)} and ${shapeText(other.shape)} along a new axis.`);
  return concat(
    tensors.map((x) => expandDims(x, at)),
    at,
  );
}

/** The slices of `x` along an axis, which goes: the inverse of {@link stack}. */
export function unstack(x: Tensor, axis = 0): Tensor[] {
  const at = normalizeAxis(axis, x.shape.length, 'unstack');
  const size = knownSize(x, at, 'unstack');
  return splitSizes(x, new Array<number>(size).fill(1), at).map((part) => squeeze(part, [at]));
}

function knownSize(x: Tensor, axis: number, operation: string): number {
  const size = x.shape[axis];
  if (typeof size !== 'number') throw shapeError(`${operation} needs a known size, not "${String(size)}".`);
  return size;
}

/** `x` repeated as a whole, `repeats[i]` times along axis i; the shorter of shape and repeats gets leading ones. */
export function tile(x: Tensor, repeats: readonly number[]): Tensor {
  if (!repeats.every((times) => Number.isInteger(times) && times > 0))
    throw shapeError(`tile repeats a positive whole number of times, not [${repeats.join(', ')}].`);
  const rank = Math.max(x.shape.length, repeats.length);
  const shape: Shape = [...new Array<number>(rank - x.shape.length).fill(1), ...x.shape];
  const times = [...new Array<number>(rank - repeats.length).fill(1), ...repeats];
  // Each axis [n] that is repeated becomes [1, n], then [times, n], then [times * n].
  const apart = shape.flatMap((size, axis) => (times[axis] === 1 ? [size] : [1, size]));
  const spread = shape.flatMap((size, axis) => (times[axis] === 1 ? [size] : [times[axis] ?? 1, size]));
  const whole = shape.map((size, axis) => multiple(size, times[axis] ?? 1));
  return reshape(broadcastTo(reshape(x, apart), spread), whole);
}

function multiple(size: Dimension, times: number): Dimension {
  return typeof size === 'number' ? size * times : times === 1 ? size : `${times}*${size}`;
}

/**
 * `x` moved `shift` places toward the end of an axis; what leaves at the end comes in at the start. Several axes are moved
 * by shifts of their own, or all by one; without `axes` the elements move as if flattened.
 */
export function roll(x: Tensor, shift: number | readonly number[], axes?: number | readonly number[]): Tensor {
  if (axes === undefined) {
    if (typeof shift !== 'number') throw shapeError('roll needs an axis for each of several shifts.');
    return reshape(roll(reshape(x, [-1]), shift, 0), x.shape);
  }
  const list = typeof axes === 'number' ? [axes] : axes;
  const shifts = typeof shift === 'number' ? list.map(() => shift) : shift;
  if (shifts.length !== list.length)
    throw shapeError(`roll cannot move ${list.length} axes by ${shifts.length} shifts.`);
  return list.reduce((moved, axis, index) => rollOne(moved, shifts[index] ?? 0, axis), x);
}

function rollOne(x: Tensor, shift: number, axis: number): Tensor {
  const at = normalizeAxis(axis, x.shape.length, 'roll');
  const size = knownSize(x, at, 'roll');
  if (!Number.isInteger(shift)) throw shapeError(`roll moves by a whole number of places, not ${shift}.`);
  const from = size === 0 ? 0 : ((-shift % size) + size) % size;
  return from === 0 ? x : concat([slice(x, at, from), slice(x, at, 0, from)], at);
}

/** The differences of neighbors along an axis, taken `order` times: each time the axis gets one shorter. */
export function diff(x: Tensor, order = 1, axis = -1): Tensor {
  const at = normalizeAxis(axis, x.shape.length, 'diff');
  const size = knownSize(x, at, 'diff');
  if (!Number.isInteger(order) || order < 0 || order >= Math.max(size, 1))
    throw shapeError(`diff cannot take differences ${order} times along axis ${axis} of ${shapeText(x.shape)}.`);
  return order === 0 ? x : diff(sub(slice(x, at, 1), slice(x, at, 0, size - 1)), order - 1, at);
}

/** `x` with two axes in each other's places. */
export function swapAxes(x: Tensor, axis1: number, axis2: number): Tensor {
  const [a, b] = [axis1, axis2].map((axis) => normalizeAxis(axis, x.shape.length, 'swapAxes'));
  return transpose(
    x,
    x.shape.map((_, axis) => (axis === a ? (b ?? axis) : axis === b ? (a ?? axis) : axis)),
  );
}

/** `x` with axes moved from their places to others of the result; the rest keep their order. */
export function moveAxis(x: Tensor, from: number | readonly number[], to: number | readonly number[]): Tensor {
  const places = (axes: number | readonly number[]): number[] =>
    (typeof axes === 'number' ? [axes] : axes).map((axis) => normalizeAxis(axis, x.shape.length, 'moveAxis'));
  const [sources, targets] = [places(from), places(to)];
  if (sources.length !== targets.length || [sources, targets].some((list) => new Set(list).size !== list.length))
    throw shapeError(`moveAxis cannot move axes [${sources.join(', ')}] to [${targets.join(', ')}].`);
  const order = x.shape.map((_, axis) => axis).filter((axis) => !sources.includes(axis));
  const moves = sources.map((source, index) => ({ source, target: targets[index] ?? 0 }));
  for (const { source, target } of moves.sort((a, b) => a.target - b.target)) order.splice(target, 0, source);
  return transpose(x, order);
}

/**
 * The elements of two axes whose positions differ by `offset` (second less first), along a new last axis; both axes go.
 * @throws bad-shape when the diagonal lies outside.
 */
export function diagonal(x: Tensor, offset = 0, axis1 = 0, axis2 = 1): Tensor {
  const [first, second] = [axis1, axis2].map((axis) => normalizeAxis(axis, x.shape.length, 'diagonal'));
  if (first === undefined || second === undefined || first === second)
    throw shapeError(`diagonal needs two axes of ${shapeText(x.shape)}, not ${axis1} and ${axis2}.`);
  const [rows, columns] = [knownSize(x, first, 'diagonal'), knownSize(x, second, 'diagonal')];
  const [row, column] = offset < 0 ? [-offset, 0] : [0, offset];
  const length = Math.min(rows - row, columns - column);
  if (!Number.isInteger(offset) || length < 1)
    throw shapeError(`diagonal ${offset} lies outside of axes ${axis1} and ${axis2} of ${shapeText(x.shape)}.`);
  const last = moveAxis(x, [first, second], [-2, -1]);
  const flat = reshape(last, [...last.shape.slice(0, -2), rows * columns]);
  const start = row * columns + column;
  return gather(flat, arange(start, start + length * (columns + 1), columns + 1), -1);
}

/** The sum of the {@link diagonal}. */
export function trace(x: Tensor, offset = 0, axis1 = 0, axis2 = 1): Tensor {
  return sum(diagonal(x, offset, axis1, axis2), -1);
}
