/** Arrays outside a trace: a dtype, a shape and a flat typed array in row-major order. */

import { TesseraError } from '../host/error.js';

/** The element types of tensors and arrays. `float16` is stored as raw 16 bits. */
export type DType = 'float32' | 'float64' | 'float16' | 'int32' | 'int64' | 'bool' | 'uint8';

interface TypedArrays {
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  int32: Int32Array;
  int64: BigInt64Array;
  bool: Uint8Array;
  uint8: Uint8Array;
}

/** The typed array that holds elements of `D`. */
export type ArrayOf<D extends DType = DType> = TypedArrays[D];

/** A dense array: `data.length` is the product of `shape`; `bool` holds 0 or 1. */
export interface NDArray<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: ArrayOf<D>;
}

/** Bytes an element takes. */
export const BYTES: Readonly<Record<DType, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  int32: 4,
  int64: 8,
  bool: 1,
  uint8: 1,
};

const CONSTRUCTORS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
  uint8: Uint8Array,
} as const;

/** The number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const dimension of shape) size *= dimension;
  return size;
}

/** A typed array of `length` zeros for `dtype`. */
export function allocate<D extends DType>(dtype: D, length: number): ArrayOf<D> {
  return new CONSTRUCTORS[dtype](length) as ArrayOf<D>;
}

/** A typed array over bytes already in memory: `offset` and `length` in bytes and elements; copies when not aligned. */
export function viewAs<D extends DType>(dtype: D, buffer: ArrayBufferLike, offset: number, length: number): ArrayOf<D> {
  const width = BYTES[dtype];
  if (offset % width !== 0) return viewAs(dtype, buffer.slice(offset, offset + length * width), 0, length);
  return new CONSTRUCTORS[dtype](buffer as ArrayBuffer, offset, length) as ArrayOf<D>;
}

/** An array from a typed array. @throws bad-shape when the sizes disagree. */
export function ndarray<D extends DType>(dtype: D, shape: readonly number[], data: ArrayOf<D>): NDArray<D> {
  if (data.length !== sizeOf(shape)) {
    throw new TesseraError('bad-shape', `${data.length} elements do not fill the shape [${shape.join(', ')}].`);
  }
  return { dtype, shape, data };
}

/** An array of zeros. */
export function zeros<D extends DType = 'float32'>(shape: readonly number[], dtype = 'float32' as D): NDArray<D> {
  return { dtype, shape, data: allocate(dtype, sizeOf(shape)) };
}

/** An array from numbers (bigints are made for int64). */
export function array<D extends DType = 'float32'>(
  values: readonly number[] | ArrayLike<number>,
  shape: readonly number[] = [values.length],
  dtype = 'float32' as D,
): NDArray<D> {
  const data = allocate(dtype, values.length);
  if (data instanceof BigInt64Array) for (let i = 0; i < values.length; i++) data[i] = BigInt(values[i] as number);
  else for (let i = 0; i < values.length; i++) data[i] = values[i] as number;
  return ndarray(dtype, shape, data);
}

/** The bytes of an array's elements, without a copy. */
export function bytesOf(value: NDArray): Uint8Array {
  return new Uint8Array(value.data.buffer as ArrayBuffer, value.data.byteOffset, value.data.byteLength);
}

/** True for what looks like an NDArray. */
export function isNDArray(value: unknown): value is NDArray {
  return typeof value === 'object' && value !== null && 'dtype' in value && 'shape' in value && 'data' in value;
}
