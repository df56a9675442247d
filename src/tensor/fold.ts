/**
 * Operations on constants, computed on the host while tracing. A fold gives undefined where the runtime must compute:
 * for float16, and for whole numbers that a double cannot hold.
 */

import { type Attributes, isStatic, type Spec } from './graph.js';
import { type ArrayOf, allocate, type NDArray, sizeOf } from './ndarray.js';

/** How a node of constants becomes a constant; see `Operation.fold`. */
export type Fold = (
  inputs: readonly NDArray[],
  attributes: Attributes,
  outputs: readonly Spec[],
) => NDArray | undefined;

/** A function of numbers, place by place over broadcast operands. */
export function foldEach(f: (...numbers: readonly number[]) => number): Fold {
  return (inputs, _attributes, [out]) => {
    if (out === undefined || !isStatic(out.shape)) return undefined;
    if (out.dtype === 'float16' || inputs.some(({ dtype }) => dtype === 'float16')) return undefined;
    const size = sizeOf(out.shape);
    const data = allocate(out.dtype, size);
    const { shape } = out;
    const steps = inputs.map((input) => broadcastStrides(input.shape, shape));
    for (let i = 0; i < size; i++) {
      const numbers = inputs.map((input, operand) => Number(input.data[offsetOf(i, shape, steps[operand] ?? [])]));
      if (!put(data, i, f(...numbers))) return undefined;
    }
    return { dtype: out.dtype, shape, data };
  };
}

/** The axes of a constant in another order: `axes[i]` names the axis that becomes axis i. */
export function foldTranspose(x: NDArray, axes: readonly number[], shape: readonly number[]): NDArray {
  const own = broadcastStrides(x.shape, x.shape);
  const steps = axes.map((axis) => own[axis] ?? 0);
  const data = allocate(x.dtype, x.data.length);
  for (let i = 0; i < data.length; i++) {
    const from = offsetOf(i, shape, steps);
    data.set(x.data.subarray(from, from + 1) as never, i);
  }
  return { dtype: x.dtype, shape, data };
}

/** Constants joined along an axis. */
export function foldConcat(parts: readonly NDArray[], axis: number, out: Spec): NDArray | undefined {
  if (!isStatic(out.shape)) return undefined;
  const data = allocate(out.dtype, sizeOf(out.shape));
  const row = sizeOf(out.shape.slice(axis));
  let start = 0;
  for (const part of parts) {
    const length = sizeOf(part.shape.slice(axis));
    for (let from = 0, to = start; from < part.data.length; from += length, to += row) {
      data.set(part.data.subarray(from, from + length) as never, to);
    }
    start += length;
  }
  return { dtype: out.dtype, shape: out.shape, data };
}

/** Where the element at place `index` of `shape` lies under other strides. */
function offsetOf(index: number, shape: readonly number[], strides: readonly number[]): number {
  let rest = index;
  let offset = 0;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] ?? 1;
    const position = rest % size;
    rest = (rest - position) / size;
    offset += position * (strides[axis] ?? 0);
  }
  return offset;
}

/** The step along each axis of `target`; 0 where `shape` repeats. */
function broadcastStrides(shape: readonly number[], target: readonly number[]): number[] {
  const result: number[] = new Array<number>(target.length).fill(0);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] ?? 1;
    result[target.length - shape.length + axis] = size === 1 ? 0 : stride;
    stride *= size;
  }
  return result;
}

/** Stores a number; false for a whole one that is not exact, such as a division by zero. */
function put(data: ArrayOf, index: number, value: number): boolean {
  const isReal = data instanceof Float32Array || data instanceof Float64Array;
  if (!isReal && !Number.isSafeInteger(Math.trunc(value))) return false;
  if (data instanceof BigInt64Array) data[index] = BigInt(Math.trunc(value));
  else data[index] = value;
  return true;
}
