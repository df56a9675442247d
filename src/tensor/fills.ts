/** Tensors of one repeated value, and the ends of the dtypes' ranges. */

import { constant, type Shape, shapeError, type Tensor } from './graph.js';
import type { DType, NDArray } from './ndarray.js';
import { broadcastTo } from './operations/broadcast.js';

/** Zeros of a shape and dtype; one number in the program. */
export function zerosOf(shape: Shape, dtype: DType): Tensor {
  return filledWith(dtype === 'float16' ? float16(0) : constant(0, dtype), shape);
}

/** A scalar tensor repeated to a shape. */
export function filledWith(scalar: Tensor, shape: Shape): Tensor {
  return broadcastTo(scalar, shape);
}

/** The value that no other is below: the neutral element of a maximum. @throws bad-shape for bool. */
export function lowest(dtype: DType): Tensor {
  if (dtype === 'int64') return constant({ dtype, shape: [], data: BigInt64Array.of(-(2n ** 63n)) });
  if (dtype === 'int32') return constant(-(2 ** 31), dtype);
  if (dtype === 'uint8') return constant(0, dtype);
  return infinite(dtype, 0xfc00, Number.NEGATIVE_INFINITY);
}

/** The value that no other is above: the neutral element of a minimum. @throws bad-shape for bool. */
export function highest(dtype: DType): Tensor {
  if (dtype === 'int64') return constant({ dtype, shape: [], data: BigInt64Array.of(2n ** 63n - 1n) });
  if (dtype === 'int32') return constant(2 ** 31 - 1, dtype);
  if (dtype === 'uint8') return constant(255, dtype);
  return infinite(dtype, 0x7c00, Number.POSITIVE_INFINITY);
}

function infinite(dtype: DType, bits: number, value: number): Tensor {
  if (dtype === 'bool') throw shapeError('Truth values have no largest or smallest; cast them to int32.');
  return dtype === 'float16' ? float16(bits) : constant(value, dtype);
}

function float16(bits: number): Tensor {
  const value: NDArray<'float16'> = { dtype: 'float16', shape: [], data: Uint16Array.of(bits) };
  return constant(value);
}
