/** Products over axes, running products, and the products of vectors. */

import {
  applyOne,
  constant,
  normalizeAxis,
  type Operation,
  type Shape,
  shapeError,
  shapeText,
  type Tensor,
} from '../graph.js';
import { array } from '../ndarray.js';
import { axesOf, broadcastTo, finishReduction, keptShape, type ReduceOptions, reducedAxes, sum } from './broadcast.js';
import { mul, only } from './elementwise.js';
import { matmul } from './matmul.js';
import type { CumsumOptions } from './reduce.js';
import { scan } from './scan.js';
import { concat, reshape, slice, transpose } from './shape.js';

function filled(value: number, shape: Shape, like: Tensor): Tensor {
  return broadcastTo(constant(value, like.dtype), shape);
}

function sized(shape: Shape, axis: number, size: number): Shape {
  return shape.map((dimension, index) => (index === axis ? size : dimension));
}

/**
 * Running products along an axis of known size. They are a recurrence whose decays are the factors, so nothing is divided
 * and gradients at zeros are as exact as elsewhere.
 */
export function cumprod(x: Tensor, axis = -1, options: CumsumOptions = {}): Tensor {
  const { exclusive = false, reverse = false } = options;
  const at = normalizeAxis(axis, x.shape.length, 'cumprod');
  const size = x.shape[at];
  if (typeof size !== 'number') throw shapeError(`cumprod needs a known size, not "${String(size)}".`);
  const one = filled(1, sized(x.shape, at, 1), x);
  if (size === 1) return exclusive ? one : x;
  const none = filled(0, sized(x.shape, at, size - 1), x);
  const end = reverse ? slice(x, at, size - 1) : slice(x, at, 0, 1);
  const products = scan(x, concat(reverse ? [none, end] : [end, none], at), { axis: at, reverse });
  if (!exclusive) return products;
  return concat(reverse ? [slice(products, at, 1), one] : [one, slice(products, at, 0, size - 1)], at);
}

/** The axes in `axes` moved to the end and joined into one. */
function joinedLast(x: Tensor, axes: readonly number[]): Tensor {
  const rest = x.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  const turned = transpose(x, [...rest, ...axes]);
  return reshape(turned, [...rest.map((axis) => x.shape[axis] ?? 1), -1]);
}

/** The product of all other elements over `axes` at every place. */
function others(x: Tensor, axes: readonly number[]): Tensor {
  const flat = joinedLast(x, axes);
  const products = mul(cumprod(flat, -1, { exclusive: true }), cumprod(flat, -1, { exclusive: true, reverse: true }));
  const rest = x.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  const order = [...rest, ...axes];
  const apart = reshape(
    products,
    order.map((axis) => x.shape[axis] ?? 1),
  );
  return transpose(
    apart,
    x.shape.map((_, axis) => order.indexOf(axis)),
  );
}

const prodOperation: Operation = {
  name: 'prod',
  gradient: (node, [g]) => [g && mul(g, others(only(node.inputs), axesOf(node)))],
  lower: (node, emitter) => {
    const axes = emitter.constant(array(axesOf(node), undefined, 'int64'));
    return emitter.emit('ReduceProd', [emitter.name(only(node.inputs)), axes], { keepdims: 1 });
  },
};

/** The product over `axes` (default: all). The gradient at a place is the product of the others, zeros or not. */
export function prod(x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor {
  const over = reducedAxes(x, axes, 'prod');
  if (over.length === 0) return x;
  const kept = applyOne(prodOperation, [x], { axes: over }, { dtype: x.dtype, shape: keptShape(x.shape, over) });
  return finishReduction(kept, over, options);
}

/** `out[i][j] = a[i] * b[j]` of two tensors as if flattened. */
export function outer(a: Tensor, b: Tensor): Tensor {
  return mul(reshape(a, [-1, 1]), reshape(b, [1, -1]));
}

/**
 * NumPy's `dot`: of vectors the sum of products, of matrices the matrix product, else the sum over the last axis of `a` and
 * the last but one of `b`, each row of `a` with each column of `b`: `[...a, k]` and `[...b, k, n]` give `[...a, ...b, n]`. A
 * scalar multiplies.
 * @throws bad-shape when the two axes differ in size.
 */
export function dot(a: Tensor, b: Tensor): Tensor {
  if (a.shape.length === 0 || b.shape.length === 0) return mul(a, b);
  const inner = a.shape.at(-1);
  const from = Math.max(b.shape.length - 2, 0);
  if (inner !== b.shape[from]) throw shapeError(`dot cannot multiply ${shapeText(a.shape)} by ${shapeText(b.shape)}.`);
  if (a.shape.length === 1 && b.shape.length === 1) return sum(mul(a, b));
  const rest = b.shape.map((_, axis) => axis).filter((axis) => axis !== from);
  const columns = reshape(transpose(b, [from, ...rest]), [inner ?? 1, -1]);
  const product = matmul(reshape(a, [-1, inner ?? 1]), columns);
  return reshape(product, [...a.shape.slice(0, -1), ...rest.map((axis) => b.shape[axis] ?? 1)]);
}
