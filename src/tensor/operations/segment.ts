/**
 * Reductions over segments: rows with the same id are taken together, in any order of ids. The number of segments is
 * fixed when the program is traced; ids are from 0 to below it (an extra last segment can take rows that do not count).
 */

import { filledWith, highest, lowest, zerosOf } from '../fills.js';
import { constant, type Shape, sameShape, shapeError, shapeText, type Tensor } from '../graph.js';
import { flatIndices, requireIndex } from '../indexing.js';
import { customGradient } from './custom-gradient.js';
import { cast, div, exp, isFloat, less, maximum, mul, sub, where } from './elementwise.js';
import { gather, scatterRowsAdd } from './gather.js';
import { scatterRows } from './scatter.js';
import { reshape } from './shape.js';

/** The shape of one row. @throws bad-shape when `x` is not ids' shape and then a row's. */
function rowOf(x: Tensor, ids: Tensor, segments: number, operation: string): Shape {
  requireIndex(ids, operation);
  const row = x.shape.slice(ids.shape.length);
  if (!Number.isInteger(segments) || segments < 1)
    throw shapeError(`${operation} takes a whole number of segments from 1 up, not ${segments}.`);
  if (x.dtype === 'bool') throw shapeError(`${operation} takes numbers, not truth values; cast them to int32.`);
  if (!sameShape([...ids.shape, ...row], x.shape))
    throw shapeError(`${operation} cannot give ${shapeText(x.shape)} the ids ${shapeText(ids.shape)}.`);
  return row;
}

/** How many rows each segment has, `[segments, 1, ...]`, as float32. */
function counts(ids: Tensor, segments: number, row: Shape): Tensor {
  const list = flatIndices(ids);
  const each = scatterRowsAdd(zerosOf([segments], 'float32'), list, filledWith(constant(1), list.shape));
  return reshape(each, [segments, ...row.map(() => 1)]);
}

/**
 * The sum of the rows of each segment, 0 for one without rows: x is ids' shape and then a row's, the result
 * `[segments, ...row]`. Where that is faster rows are added by products with matrices of zeros and ones, in which an
 * infinite value can spoil other segments of its column.
 * @throws bad-shape when shapes do not fit or the size of a row is only a name.
 */
export function segmentSum(x: Tensor, ids: Tensor, segments: number): Tensor {
  const row = rowOf(x, ids, segments, 'segmentSum');
  return scatterRowsAdd(zerosOf([segments, ...row], x.dtype), ids, x);
}

/** The mean of the rows of each segment, 0 for one without rows. Shapes and errors as {@link segmentSum}. */
export function segmentMean(x: Tensor, ids: Tensor, segments: number): Tensor {
  const row = rowOf(x, ids, segments, 'segmentMean');
  if (!isFloat(x.dtype)) throw shapeError(`segmentMean takes floats, not ${x.dtype}; cast them.`);
  const many = cast(maximum(counts(ids, segments, row), 1), x.dtype);
  return div(segmentSum(x, ids, segments), many);
}

/** What a segment without rows gets. */
export interface EmptySegments {
  /** Default: 0. */
  readonly empty?: number;
}

function segmentExtreme(x: Tensor, ids: Tensor, segments: number, options: EmptySegments, kind: 'max' | 'min'): Tensor {
  const operation = kind === 'max' ? 'segmentMax' : 'segmentMin';
  const row = rowOf(x, ids, segments, operation);
  const { empty = 0 } = options;
  if (!isFloat(x.dtype) && !Number.isInteger(empty))
    throw shapeError(`${operation} of ${x.dtype} cannot give empty segments ${empty}.`);
  const start = filledWith(kind === 'max' ? lowest(x.dtype) : highest(x.dtype), [segments, ...row]);
  const extreme = scatterRows(start, ids, x, kind);
  const some = less(0, counts(ids, segments, row));
  return where(some, extreme, cast(constant(empty, isFloat(x.dtype) ? 'float32' : x.dtype), x.dtype));
}

/**
 * The largest value of each segment, element by element over its rows. Shapes as {@link segmentSum}; the gradient is
 * shared equally among values that tie.
 */
export function segmentMax(x: Tensor, ids: Tensor, segments: number, options: EmptySegments = {}): Tensor {
  return segmentExtreme(x, ids, segments, options, 'max');
}

/** The smallest value of each segment; otherwise as {@link segmentMax}. */
export function segmentMin(x: Tensor, ids: Tensor, segments: number, options: EmptySegments = {}): Tensor {
  return segmentExtreme(x, ids, segments, options, 'min');
}

/**
 * `e ** x / sum(e ** x)` with the sum over each segment, without overflow: the softmax of a graph's edges over the nodes
 * they lead to (Veličković et al., arXiv 1710.10903, equation 3). The result has x's shape; shapes as {@link segmentSum}.
 */
export function segmentSoftmax(x: Tensor, ids: Tensor, segments: number): Tensor {
  rowOf(x, ids, segments, 'segmentSoftmax');
  if (!isFloat(x.dtype)) throw shapeError(`segmentSoftmax takes floats, not ${x.dtype}; cast them.`);
  const over = (values: Tensor) => gather(segmentSum(values, ids, segments), ids);
  return customGradient(
    (logits: Tensor) => {
      const power = exp(sub(logits, gather(segmentMax(logits, ids, segments), ids)));
      return div(power, over(power));
    },
    ({ output, gradient }) => [mul(output, sub(gradient, over(mul(output, gradient))))],
  )(x);
}
