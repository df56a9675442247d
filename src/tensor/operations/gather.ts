/** Looking rows up by index and adding them back; ranges of numbers. */

import { zerosOf } from '../fills.js';
import { foldPlaces, offsetOf } from '../fold-places.js';
import {
  applyOne,
  constant,
  type Dimension,
  type Emitter,
  elements,
  isStatic,
  normalizeAxis,
  type Operation,
  sameShape,
  shapeError,
  shapeText,
  type Tensor,
} from '../graph.js';
import { mergeIndices, requireIndex, spreadIndices, three } from '../indexing.js';
import { array, type NDArray } from '../ndarray.js';
import { emitSortedSums, prefersSortedSums } from '../sorted-sums.js';
import { pair } from './elementwise.js';
import { reshape, transpose } from './shape.js';

const gatherOperation: Operation = {
  name: 'gather',
  gradient: ({ inputs, attributes }, [g]) => {
    const [x, indices] = pair(inputs);
    if (g === undefined) return [];
    const axis = Number(attributes.axis);
    if (axis === 0) return [scatterRowsAdd(zerosOf(x.shape, x.dtype), indices, g), undefined];
    // With the looked-up axes first, rows are added; then the axes go back to their places.
    const before = x.shape.map((_, index) => index).slice(0, axis);
    const looked = indices.shape.map((_, index) => axis + index);
    const after = g.shape.map((_, index) => index).slice(axis + looked.length);
    const first = x.shape.map((_, index) => (index === 0 ? axis : index <= axis ? index - 1 : index));
    const empty = zerosOf(
      first.map((from) => x.shape[from] ?? 1),
      x.dtype,
    );
    const total = scatterRowsAdd(empty, indices, transpose(g, [...looked, ...before, ...after]));
    const back = x.shape.map((_, index) => (index === axis ? 0 : index < axis ? index + 1 : index));
    return [transpose(total, back), undefined];
  },
  lower: ({ inputs, attributes }, emitter) =>
    emitter.emit('Gather', inputs.map(emitter.name), { axis: attributes.axis }),
  fold: ([x, indices], attributes, [out]) => {
    if (!x || !indices || !out || !isStatic(out.shape)) return undefined;
    const axis = Number(attributes.axis);
    const inner = indices.shape.length;
    return foldPlaces(x, out.shape, (position) => [
      ...position.slice(0, axis),
      Number(indices.data[offsetOf(position.slice(axis, axis + inner), indices.shape) ?? -1]),
      ...position.slice(axis + inner),
    ]);
  },
};

/** True for a tensor that is zero everywhere by construction. */
export function isZeros(x: Tensor): boolean {
  const source = x.node.operation.name === 'broadcastTo' ? x.node.inputs[0] : x;
  return source?.node.value?.data.length === 1 && Number(source.node.value.data[0]) === 0;
}

/** Slices of `x` along an axis: the shape of `indices` replaces that axis. Indices count from 0. */
export function gather(x: Tensor, indices: Tensor, axis = 0): Tensor {
  requireIndex(indices, 'gather');
  const at = normalizeAxis(axis, x.shape.length, 'gather');
  const shape = [...x.shape.slice(0, at), ...indices.shape, ...x.shape.slice(at + 1)];
  return applyOne(gatherOperation, [x, indices], { axis: at }, { dtype: x.dtype, shape });
}

const gatherElementsOperation: Operation = {
  name: 'gatherElements',
  gradient: ({ inputs, attributes }, [g]) => {
    const [x, indices] = pair(inputs);
    return [g && scatterElementsAdd(zerosOf(x.shape, x.dtype), indices, g, Number(attributes.axis)), undefined];
  },
  lower: ({ inputs, attributes }, emitter) =>
    emitter.emit('GatherElements', inputs.map(emitter.name), { axis: attributes.axis }),
  fold: ([x, indices], attributes, [out]) => {
    if (!x || !indices || !out || !isStatic(out.shape)) return undefined;
    return foldPlaces(x, out.shape, (position) =>
      position.map((place, axis) =>
        axis === Number(attributes.axis) ? Number(indices.data[offsetOf(position, indices.shape) ?? -1]) : place,
      ),
    );
  },
};

/** `out[i][j] = x[indices[i][j]][j]` (for axis 0): one element of `x` for each index. */
export function gatherElements(x: Tensor, indices: Tensor, axis = -1): Tensor {
  requireIndex(indices, 'gatherElements');
  const at = normalizeAxis(axis, x.shape.length, 'gatherElements');
  if (indices.shape.length !== x.shape.length) {
    throw shapeError(`gatherElements cannot index ${shapeText(x.shape)} with ${shapeText(indices.shape)}.`);
  }
  return applyOne(gatherElementsOperation, [x, indices], { axis: at }, { dtype: x.dtype, shape: indices.shape });
}

/**
 * Slices of `x` at index tuples (ONNX's GatherND): `out[p] = x[indices[p][0], indices[p][1], ...]`, where `indices` is
 * `[..., k]` into the first k axes of `x`; `out` is indices' shape without k, then the axes of `x` after those k.
 * Indices count from 0.
 */
export function gatherND(x: Tensor, indices: Tensor): Tensor {
  const [merged, rows] = mergeIndices(x, indices, 'gatherND');
  return gather(merged, rows);
}

/** ScatterElements with addition; its kernel has no float16, which is added up in float32. */
function addElements(
  emitter: Emitter,
  x: Tensor,
  indices: string,
  updates: readonly string[],
  axis: number,
): readonly string[] {
  const attributes = { axis, reduction: 'add' };
  if (x.dtype !== 'float16') return emitter.emit('ScatterElements', [emitter.name(x), indices, ...updates], attributes);
  const single = { to: { dtype: 'float32' } };
  const [base = '', more = ''] = [[emitter.name(x)], updates].flatMap((value) => emitter.emit('Cast', value, single));
  const total = emitter.emit('ScatterElements', [base, indices, more], attributes);
  return emitter.emit('Cast', total, { to: { dtype: x.dtype } });
}

const scatterElementsOperation: Operation = {
  name: 'scatterElementsAdd',
  gradient: ({ inputs, attributes }, [g]) => {
    const [, indices] = three(inputs);
    return [g, undefined, g && gatherElements(g, indices, Number(attributes.axis))];
  },
  // ScatterND with reduction=add races between threads when indices repeat; ScatterElements does not.
  lower: ({ inputs, attributes }, emitter) => {
    const [x, indices, updates] = three(inputs);
    return addElements(emitter, x, emitter.name(indices), [emitter.name(updates)], Number(attributes.axis));
  },
};

/** `x` with `updates` added at `indices` along an axis; indices may repeat. Shapes as {@link gatherElements}. */
export function scatterElementsAdd(x: Tensor, indices: Tensor, updates: Tensor, axis = -1): Tensor {
  requireIndex(indices, 'scatterElementsAdd');
  const at = normalizeAxis(axis, x.shape.length, 'scatterElementsAdd');
  if (!sameShape(indices.shape, updates.shape) || updates.dtype !== x.dtype) {
    throw shapeError(
      `scatterElementsAdd cannot add ${shapeText(updates.shape)} of ${updates.dtype} at ${shapeText(indices.shape)}.`,
    );
  }
  return applyOne(scatterElementsOperation, [x, indices, updates], { axis: at }, x);
}

/** Up to here a product with a one-hot matrix, on all threads, beats a scatter on one. */
const ONE_HOT_LIMIT = 1024;
/** And up to this many elements of that matrix (64 MB). */
const ONE_HOT_ELEMENTS = 2 ** 24;

/** `x + onehot(indices)^T @ updates`, for tables of few rows. */
function addByProduct(
  emitter: Emitter,
  x: Tensor,
  indices: Tensor,
  updates: Tensor,
  classes: number,
): readonly string[] {
  const [, width = 1] = x.shape;
  const count = elements(indices.shape);
  const ids = emitter.emit('Reshape', [emitter.name(indices), emitter.shape([1, count])]);
  const rows = emitter.constant(
    array(
      Array.from({ length: classes }, (_, row) => row),
      [classes, 1],
      indices.dtype,
    ),
  );
  const chosen = emitter.emit('Cast', emitter.emit('Equal', [rows, ...ids]), { to: { dtype: 'float32' } });
  const values = emitter.emit('Reshape', [emitter.name(updates), emitter.shape([count, width])]);
  return emitter.emit('Gemm', [...chosen, ...values, ...(isZeros(x) ? [] : [emitter.name(x)])]);
}

const scatterRowsOperation: Operation = {
  name: 'scatterRowsAdd',
  gradient: ({ inputs }, [g]) => {
    const [, indices] = three(inputs);
    return [g, undefined, g && gather(g, indices, 0)];
  },
  lower: ({ inputs }, emitter) => {
    const [x, indices, updates] = three(inputs);
    const row = x.shape.slice(1);
    const [classes] = x.shape;
    if (prefersSortedSums(emitter, x, updates)) {
      const table = { name: isZeros(x) ? undefined : emitter.name(x), rows: Number(classes), width: Number(row[0]) };
      const count = elements(indices.shape);
      return emitSortedSums(emitter, { ...table, dtype: x.dtype }, emitter.name(indices), emitter.name(updates), count);
    }
    if (
      typeof classes === 'number' &&
      classes <= ONE_HOT_LIMIT &&
      x.shape.length === 2 &&
      x.dtype === 'float32' &&
      isStatic(indices.shape) &&
      classes * elements(indices.shape) <= ONE_HOT_ELEMENTS
    ) {
      return addByProduct(emitter, x, indices, updates, classes);
    }
    const flat = emitter.emit('Reshape', [emitter.name(updates), emitter.shape([-1, ...row])]);
    return addElements(emitter, x, spreadIndices(emitter, indices, row), flat, 0);
  },
};

/** `x` with `updates[i]` added to row `indices[i]`; indices may repeat. `updates` is indices' shape, then a row's. */
export function scatterRowsAdd(x: Tensor, indices: Tensor, updates: Tensor): Tensor {
  requireIndex(indices, 'scatterRowsAdd');
  if (!sameShape([...indices.shape, ...x.shape.slice(1)], updates.shape) || x.dtype !== updates.dtype) {
    throw shapeError(
      `scatterRowsAdd cannot add ${shapeText(updates.shape)} to rows of ${shapeText(x.shape)} at ${shapeText(indices.shape)}.`,
    );
  }
  if (!isStatic(x.shape.slice(1)))
    throw shapeError(`scatterRowsAdd needs rows of known size, not ${shapeText(x.shape)}.`);
  if (indices.shape.length === 0)
    return scatterRowsAdd(x, reshape(indices, [1]), reshape(updates, [1, ...updates.shape]));
  return applyOne(scatterRowsOperation, [x, indices, updates], {}, x);
}

const rangeOperation: Operation = {
  name: 'range',
  lower: ({ outputs, attributes }, emitter) => {
    const [out] = outputs;
    if (out === undefined) throw new Error('range without an output');
    const length = emitter.emit('Reshape', [emitter.shape(out.shape), emitter.constant(array([], [0], 'int64'))]);
    const scalar = (value: number) =>
      emitter.constant({ dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(value)) });
    const end = emitter.emit('Add', [...length, scalar(Number(attributes.start))]);
    const wide = emitter.emit('Range', [scalar(Number(attributes.start)), ...end, scalar(1)]);
    return emitter.emit('Cast', wide, { to: { dtype: out.dtype } });
  },
};

/** `start, start + 1, ...`: `size` numbers, a named size included. */
export function range(
  size: Dimension,
  options: { readonly start?: number; readonly dtype?: 'int32' | 'int64' | 'float32' } = {},
): Tensor {
  const { start = 0, dtype = 'int32' } = options;
  if (typeof size === 'string') return applyOne(rangeOperation, [], { start, size, dtype }, { dtype, shape: [size] });
  const values = Array.from({ length: size }, (_, index) => start + index);
  return constant(array(values, [size], dtype) as NDArray);
}
