/** Repeating along axes and summing over them: two operations that are each other's gradient. */

import {
  applyOne,
  type Dimension,
  type Emitter,
  elements,
  isStatic,
  type Node,
  normalizeAxis,
  type Operation,
  type Shape,
  sameShape,
  shapeError,
  shapeText,
  type Tensor,
} from '../graph.js';
import { allocate, array } from '../ndarray.js';
import { reshape } from './shape.js';

/** The common shape of two operands. @throws bad-shape naming the operation and both shapes. */
export function broadcastShapes(a: Shape, b: Shape, operation: string): Shape {
  const rank = Math.max(a.length, b.length);
  const shape: Dimension[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const left = a[a.length - rank + axis] ?? 1;
    const right = b[b.length - rank + axis] ?? 1;
    if (left !== right && left !== 1 && right !== 1) {
      throw shapeError(
        `${operation} cannot combine ${shapeText(a)} with ${shapeText(b)}: axis ${axis - rank} is ${left} and ${right}.`,
      );
    }
    shape.push(left === 1 ? right : left);
  }
  return shape;
}

/** Sums a gradient over the axes along which its operand was repeated, back to the operand's shape. */
export function unbroadcast(gradient: Tensor, shape: Shape): Tensor {
  if (sameShape(gradient.shape, shape)) return gradient;
  const extra = gradient.shape.length - shape.length;
  const axes: number[] = [];
  for (let axis = 0; axis < gradient.shape.length; axis++) {
    if (axis < extra || (shape[axis - extra] === 1 && gradient.shape[axis] !== 1)) axes.push(axis);
  }
  return reshape(sum(gradient, axes, { keepDims: true }), shape);
}

function ends(node: Node): readonly [input: Tensor, output: Tensor] {
  const [x] = node.inputs;
  const [y] = node.outputs;
  if (x === undefined || y === undefined) throw new Error('an operation of one operand');
  return [x, y];
}

const broadcastOperation: Operation = {
  name: 'broadcastTo',
  gradient: (node, [g]) => [g && unbroadcast(g, ends(node)[0].shape)],
  lower: (node, emitter) => {
    const [x, y] = ends(node);
    return emitter.emit('Expand', [emitter.name(x), emitter.shape(y.shape)]);
  },
};

/** `x` repeated to `shape`. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  if (!sameShape(broadcastShapes(x.shape, shape, 'broadcastTo'), shape)) {
    throw shapeError(`broadcastTo cannot repeat ${shapeText(x.shape)} to ${shapeText(shape)}.`);
  }
  return applyOne(broadcastOperation, [x], { shape }, { dtype: x.dtype, shape });
}

/** Which axes a reduction runs over, and whether they stay with size 1. */
export interface ReduceOptions {
  readonly keepDims?: boolean;
}

/** The axes counted from the front; all of them when none are given. */
export function reducedAxes(x: Tensor, axes: readonly number[] | number | undefined, operation: string): number[] {
  if (axes === undefined) return x.shape.map((_, axis) => axis);
  const list = typeof axes === 'number' ? [axes] : axes;
  return list.map((axis) => normalizeAxis(axis, x.shape.length, operation)).sort((a, b) => a - b);
}

/** The shape that is left, with the reduced axes kept as 1. */
export function keptShape(shape: Shape, axes: readonly number[]): Shape {
  return shape.map((dimension, axis) => (axes.includes(axis) ? 1 : dimension));
}

/** Drops the reduced axes unless they are to stay. */
export function finishReduction(kept: Tensor, axes: readonly number[], options: ReduceOptions): Tensor {
  return options.keepDims === true
    ? kept
    : reshape(
        kept,
        kept.shape.filter((_, axis) => !axes.includes(axis)),
      );
}

/** The axes a reduction node runs over. */
export function axesOf(node: Node): readonly number[] {
  const { axes } = node.attributes;
  if (!Array.isArray(axes)) throw new Error('a reduction without axes');
  return axes;
}

const sumOperation: Operation = {
  name: 'sum',
  gradient: (node, [g]) => [g && broadcastTo(g, ends(node)[0].shape)],
  lower: (node, emitter) => {
    const [x, y] = ends(node);
    const axes = axesOf(node);
    const first = (axes.at(-1) ?? -1) + 1;
    const leading = x.shape.slice(0, first).every((size, axis) => size === 1 || axes.includes(axis));
    if (leading && first < x.shape.length && x.dtype === 'float32' && isStatic(x.shape)) {
      const rows = elements(x.shape.slice(0, first));
      const columns = elements(x.shape.slice(first));
      if (rows > 1 && columns >= 16) return [sumRows(emitter, x, y, rows, columns)];
    }
    return emitter.emit('ReduceSum', [emitter.name(x), emitter.constant(array(axes, [axes.length], 'int64'))], {
      keepdims: 1,
    });
  },
};

/** A sum over leading axes as a product with ones: two to four times as fast as ReduceSum. */
function sumRows(emitter: Emitter, x: Tensor, y: Tensor, rows: number, columns: number): string {
  const ones = allocate('float32', rows).fill(1);
  const left = emitter.constant({ dtype: 'float32', shape: [1, rows], data: ones });
  const shaped = (name: string, from: Shape, to: Shape): string =>
    sameShape(from, to) ? name : (emitter.emit('Reshape', [name, emitter.shape(to)])[0] ?? '');
  const [product = ''] = emitter.emit('MatMul', [left, shaped(emitter.name(x), x.shape, [rows, columns])]);
  return shaped(product, [1, columns], y.shape);
}

/** The sum over `axes` (default: all). */
export function sum(x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor {
  const over = reducedAxes(x, axes, 'sum').filter((axis) => x.shape[axis] !== 1 || x.node.value !== undefined);
  const all = reducedAxes(x, axes, 'sum');
  if (over.length === 0) return finishReduction(x, all, options);
  const kept = applyOne(sumOperation, [x], { axes: over }, { dtype: x.dtype, shape: keptShape(x.shape, over) });
  return finishReduction(kept, all, options);
}
