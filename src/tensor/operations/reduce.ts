/** Reductions beside the sum, softmax over an axis, and the largest entries. */

import {
  apply,
  applyOne,
  constant,
  elements,
  normalizeAxis,
  type Operation,
  type Shape,
  shapeError,
  shapeText,
  type Tensor,
} from '../graph.js';
import { array } from '../ndarray.js';
import { reduce, reduction } from '../reduction.js';
import { axesOf, broadcastTo, keptShape, type ReduceOptions, reducedAxes, sum } from './broadcast.js';
import { cast, div, equal, mul, only, sqrt, sub } from './elementwise.js';
import { scatterElementsAdd } from './gather.js';
import { reshape, transpose } from './shape.js';

const meanOperation = reduction('mean', 'ReduceMean', (node, [g]) => {
  const x = only(node.inputs);
  const count = elements(axesOf(node).map((axis) => x.shape[axis] ?? 1));
  return [g && broadcastTo(mul(g, 1 / count), x.shape)];
});

/** The gradient of an extreme goes to every place that attains it, in equal shares. */
const extreme: Operation['gradient'] = (node, [g]) => {
  const x = only(node.inputs);
  if (g === undefined) return [];
  const attained = cast(equal(x, only(node.outputs)), x.dtype);
  return [mul(attained, div(g, sum(attained, axesOf(node), { keepDims: true })))];
};
const maxOperation = reduction('max', 'ReduceMax', extreme);
const minOperation = reduction('min', 'ReduceMin', extreme);
const anyOperation = reduction('any', 'ReduceMax', undefined);
const allOperation = reduction('all', 'ReduceMin', undefined);
const sumSquareOperation = reduction('sumSquares', 'ReduceSumSquare', (node, [g]) => [
  g && mul(mul(only(node.inputs), 2), g),
]);

/** The mean over `axes` (default: all). */
export const mean = (x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor =>
  reduce(meanOperation, x, axes, options);
/** The largest value over `axes` (default: all). */
export const max = (x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor =>
  reduce(maxOperation, x, axes, options);
/** The smallest value over `axes` (default: all). */
export const min = (x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor =>
  reduce(minOperation, x, axes, options);
/** The sum of squares over `axes` (default: all), in one pass. */
export function sumSquares(x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor {
  return reduce(sumSquareOperation, x, axes, options, (alone) => mul(alone, alone));
}

/** True where any element over `axes` (default: all) is not 0; a NaN is not. */
export const any = (x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor =>
  reduce(anyOperation, cast(x, 'bool'), axes, options);
/** True where every element over `axes` (default: all) is not 0; a NaN is not. */
export const all = (x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor =>
  reduce(allOperation, cast(x, 'bool'), axes, options);
/** How many elements over `axes` (default: all) are not 0, as int32; a NaN is not. */
export const countNonzero = (x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor =>
  sum(cast(cast(x, 'bool'), 'int32'), axes, options);

/** How many elements a reduction joins, less the degrees of freedom that were used. */
export interface VarianceOptions extends ReduceOptions {
  /** The count is lowered by this before the division: 0 (the default) for a population, 1 for a sample. */
  readonly ddof?: number;
}

/** The variance over `axes` (default: all), divided by the count, less `ddof`. @throws bad-shape when nothing is left of it. */
export function variance(
  x: Tensor,
  axes?: readonly number[] | number,
  { ddof = 0, ...options }: VarianceOptions = {},
): Tensor {
  const centered = sub(x, mean(x, axes, { keepDims: true }));
  const squares = mul(centered, centered);
  if (ddof === 0) return mean(squares, axes, options);
  const over = reducedAxes(x, axes, 'variance');
  const count = elements(over.map((axis) => x.shape[axis] ?? 1)) - ddof;
  if (!(count > 0))
    throw shapeError(
      `variance of ${shapeText(x.shape)} with ddof ${ddof} divides by ${count}; it takes more elements.`,
    );
  return mul(sum(squares, axes, options), 1 / count);
}

/** The square root of {@link variance}; where all elements are equal its gradient is NaN. */
export function standardDeviation(x: Tensor, axes?: readonly number[] | number, options: VarianceOptions = {}): Tensor {
  return sqrt(variance(x, axes, options));
}

/** The position of an extreme along an axis. */
function position(name: string, onnx: string) {
  const operation: Operation = {
    name,
    lower: (node, emitter) => {
      const [wide] = emitter.emit(onnx, node.inputs.map(emitter.name), { axis: node.attributes.axis, keepdims: 0 });
      return emitter.emit('Cast', [wide ?? ''], { to: { dtype: 'int32' } });
    },
  };
  return (x: Tensor, axis = -1, options: ReduceOptions = {}): Tensor => {
    const at = normalizeAxis(axis, x.shape.length, name);
    const shape = x.shape.filter((_, index) => index !== at);
    const found = applyOne(operation, [x], { axis: at }, { dtype: 'int32', shape });
    return options.keepDims === true ? reshape(found, keptShape(x.shape, [at])) : found;
  };
}

/** The position of the largest value along an axis (default: the last), as int32; the first of equals. */
export const argmax = position('argmax', 'ArgMax');
/** The position of the smallest value along an axis (default: the last), as int32; the first of equals. */
export const argmin = position('argmin', 'ArgMin');

const softmaxOperation: Operation = {
  name: 'softmax',
  gradient: (node, [g]) => {
    const y = only(node.outputs);
    const axis = Number(node.attributes.axis);
    return [g && mul(y, sub(g, sum(mul(g, y), axis, { keepDims: true })))];
  },
  lower: (node, emitter) => emitter.emit('Softmax', node.inputs.map(emitter.name), { axis: node.attributes.axis }),
};

const logSoftmaxOperation: Operation = {
  name: 'logSoftmax',
  gradient: (node, [g]) => {
    const axis = Number(node.attributes.axis);
    return [g && sub(g, mul(softmax(only(node.inputs), axis), sum(g, axis, { keepDims: true })))];
  },
  lower: (node, emitter) => {
    const names = node.inputs.map(emitter.name);
    if (emitter.device !== 'webgpu') return emitter.emit('LogSoftmax', names, { axis: node.attributes.axis });
    // WebGPU has no kernel for it.
    const axis = emitter.constant(array([Number(node.attributes.axis)], [1], 'int64'));
    const shifted = emitter.emit('Sub', [...names, ...emitter.emit('ReduceMax', [...names, axis], { keepdims: 1 })]);
    const total = emitter.emit('ReduceSum', [...emitter.emit('Exp', shifted), axis], { keepdims: 1 });
    return emitter.emit('Sub', [...shifted, ...emitter.emit('Log', total)]);
  },
};

function alongLast(operation: Operation, x: Tensor, axis: number): Tensor {
  const at = normalizeAxis(axis, x.shape.length, operation.name);
  if (at === x.shape.length - 1) return applyOne(operation, [x], { axis: at }, x);
  const order = x.shape.map((_, index) => index);
  const last = order.length - 1;
  [order[at], order[last]] = [last, at];
  return transpose(alongLast(operation, transpose(x, order), -1), order);
}

/** `e ** x / sum(e ** x)` along an axis, without overflow. */
export function softmax(x: Tensor, axis = -1): Tensor {
  return alongLast(softmaxOperation, x, axis);
}

/** `x - log(sum(e ** x))` along an axis, without overflow. */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  return alongLast(logSoftmaxOperation, x, axis);
}

const topKOperation: Operation = {
  name: 'topK',
  gradient: (node, [g]) => {
    const x = only(node.inputs);
    const [, positions] = node.outputs;
    if (g === undefined || positions === undefined) return [];
    const empty = broadcastTo(constant(0, x.dtype), x.shape);
    return [scatterElementsAdd(empty, positions, g, Number(node.attributes.axis))];
  },
  lower: (node, emitter) => {
    const k = emitter.constant(array([Number(node.attributes.k)], [1], 'int64'));
    const [values, positions] = emitter.emit(
      'TopK',
      [emitter.name(only(node.inputs)), k],
      { axis: node.attributes.axis },
      2,
    );
    return [values ?? '', ...emitter.emit('Cast', [positions ?? ''], { to: { dtype: 'int32' } })];
  },
};

/** The `k` largest values along an axis in falling order, and their positions as int32. */
export function topK(x: Tensor, k: number, axis = -1): { readonly values: Tensor; readonly positions: Tensor } {
  const at = normalizeAxis(axis, x.shape.length, 'topK');
  const size = x.shape[at];
  if (!Number.isInteger(k) || k < 1 || (typeof size === 'number' && k > size)) {
    throw shapeError(`topK cannot take ${k} of axis ${axis} of ${shapeText(x.shape)}.`);
  }
  const shape: Shape = x.shape.map((dimension, index) => (index === at ? k : dimension));
  const outputs = apply(topKOperation, [x], { axis: at, k }, [
    { dtype: x.dtype, shape },
    { dtype: 'int32', shape },
  ]);
  const [values, positions] = outputs;
  if (values === undefined || positions === undefined) throw new Error('topK has two outputs');
  return { values, positions };
}

const cumsumOperation: Operation = {
  name: 'cumsum',
  gradient: (node, [g]) => [
    g && applyOne(cumsumOperation, [g], { ...node.attributes, reverse: node.attributes.reverse !== true }, g),
  ],
  lower: (node, emitter) => {
    const axis = emitter.constant(array([Number(node.attributes.axis)], [], 'int64'));
    return emitter.emit('CumSum', [emitter.name(only(node.inputs)), axis], {
      exclusive: Number(node.attributes.exclusive === true),
      reverse: Number(node.attributes.reverse === true),
    });
  },
};

/** Which places a running sum takes in. */
export interface CumsumOptions {
  /** Each place is left out of its own sum: the first one is 0. */
  readonly exclusive?: boolean;
  /** From the last place to the first. */
  readonly reverse?: boolean;
}

/** Running sums along an axis. */
export function cumsum(x: Tensor, axis = -1, options: CumsumOptions = {}): Tensor {
  const { exclusive = false, reverse = false } = options;
  return applyOne(cumsumOperation, [x], { axis: normalizeAxis(axis, x.shape.length, 'cumsum'), exclusive, reverse }, x);
}
