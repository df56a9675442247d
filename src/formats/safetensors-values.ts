/** Elements of safetensors as arrays and back: which of our types holds which of theirs, and the conversions. */

import { TesseraError } from '../host/error.js';
import {
  type ArrayOf,
  allocate,
  bytesOf,
  type DType,
  type NDArray,
  ndarray,
  sizeOf,
  viewAs,
} from '../tensor/ndarray.js';
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
  float64ToBfloat16,
  float64ToFloat16,
} from './half.js';
import type { SafetensorsDType } from './safetensors-header.js';

/** The array type that holds each type of the format without loss; U64 fits where it is below 2^63. */
export const ARRAY_DTYPES: Readonly<Partial<Record<SafetensorsDType, DType>>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'float32',
  I64: 'int64',
  I32: 'int32',
  I16: 'int32',
  I8: 'int32',
  U64: 'int64',
  U32: 'int64',
  U16: 'int32',
  U8: 'uint8',
  BOOL: 'bool',
};

/** The format's type for each array type. */
export const FILE_DTYPES: Readonly<Record<DType, SafetensorsDType>> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  int64: 'I64',
  int32: 'I32',
  uint8: 'U8',
  bool: 'BOOL',
};

/**
 * An array from a tensor's bytes, in the type of `ARRAY_DTYPES`. Bytes are not copied where the types agree and
 * the bytes are aligned. @throws unsupported for 8-bit floats, bad-file for a U64 of 2^63 or more; both name `where`.
 */
export function decodeTensor(
  dtype: SafetensorsDType,
  shape: readonly number[],
  bytes: Uint8Array,
  where: string,
): NDArray {
  const { buffer, byteOffset } = bytes;
  const size = sizeOf(shape);
  const aligned = (width: number): ArrayBufferLike =>
    byteOffset % width === 0 ? buffer : buffer.slice(byteOffset, byteOffset + bytes.byteLength);
  const at = (width: number): number => (byteOffset % width === 0 ? byteOffset : 0);
  switch (dtype) {
    case 'BF16':
      return ndarray('float32', shape, bfloat16ToFloat32(new Uint16Array(aligned(2), at(2), size)));
    case 'I16':
      return ndarray('int32', shape, Int32Array.from(new Int16Array(aligned(2), at(2), size)));
    case 'U16':
      return ndarray('int32', shape, Int32Array.from(new Uint16Array(aligned(2), at(2), size)));
    case 'I8':
      return ndarray('int32', shape, Int32Array.from(new Int8Array(buffer, byteOffset, size)));
    case 'U32':
      return ndarray('int64', shape, BigInt64Array.from(new Uint32Array(aligned(4), at(4), size), BigInt));
    case 'U64': {
      const values = new BigInt64Array(aligned(8), at(8), size);
      if (values.some((value) => value < 0n)) {
        throw new TesseraError('bad-file', `${where} holds a U64 of 2^63 or more, which int64 cannot hold.`, {
          hint: 'Read its raw bytes.',
        });
      }
      return ndarray('int64', shape, values);
    }
    default: {
      const held = ARRAY_DTYPES[dtype];
      if (held !== undefined) return ndarray(held, shape, viewAs(held, buffer, byteOffset, size));
      throw new TesseraError('unsupported', `${where} holds ${dtype} elements, which no array type holds.`, {
        hint: 'Read its raw bytes.',
      });
    }
  }
}

/** The bytes of an array as elements of `dtype`; only floats change type. @throws bad-option for other pairs. */
export function encodeTensor(value: NDArray, dtype: SafetensorsDType): Uint8Array {
  if (FILE_DTYPES[value.dtype] === dtype) return bytesOf(value);
  if (dtype === 'BF16') return rawBytes(toBfloat16(value));
  const held = ARRAY_DTYPES[dtype];
  if (held === undefined || FILE_DTYPES[held] !== dtype) throw cannotCast(value.dtype, dtype);
  return bytesOf(castArray(value, held));
}

/** True for the float types, which may be written as one another. */
export function isFloat(dtype: DType): boolean {
  return dtype === 'float32' || dtype === 'float64' || dtype === 'float16';
}

/**
 * The same numbers in another type: floats to floats rounded to nearest even, integers and bool to floats
 * (rounded where the float is too short) or to wider integers. @throws bad-option for what would lose more.
 */
export function castArray<D extends DType>(value: NDArray, dtype: D): NDArray<D>;
export function castArray(value: NDArray, dtype: DType): NDArray {
  if (value.dtype === dtype) return value;
  const { shape } = value;
  if (value.dtype === 'float16') {
    const wide = float16ToFloat32(asBits(value.data));
    return castArray(ndarray('float32', shape, wide), dtype);
  }
  if (dtype === 'float16') {
    const wide = value.data instanceof Float32Array ? value.data : undefined;
    const bits = wide ? float32ToFloat16(wide) : float64ToFloat16(asDoubles(value.data));
    return ndarray('float16', shape, bits);
  }
  const rank = { bool: 0, uint8: 1, int32: 2, int64: 3, float16: 4, float32: 4, float64: 4 };
  if (rank[dtype] < rank[value.dtype]) throw cannotCast(value.dtype, dtype);
  const out: ArrayOf = allocate(dtype, value.data.length);
  if (out instanceof BigInt64Array) for (let i = 0; i < out.length; i++) out[i] = BigInt(value.data[i] ?? 0);
  else for (let i = 0; i < out.length; i++) out[i] = Number(value.data[i]);
  return ndarray(dtype, shape, out);
}

function toBfloat16(value: NDArray): Uint16Array {
  if (!isFloat(value.dtype)) throw cannotCast(value.dtype, 'BF16');
  if (value.data instanceof Float32Array) return float32ToBfloat16(value.data);
  if (value.data instanceof Float64Array) return float64ToBfloat16(value.data);
  return float32ToBfloat16(float16ToFloat32(asBits(value.data)));
}

function asBits(data: ArrayOf): Uint16Array {
  if (data instanceof Uint16Array) return data;
  throw new TesseraError('bad-input', 'A float16 array must hold its bits in a Uint16Array.');
}

function asDoubles(data: ArrayOf): Float64Array {
  return data instanceof Float64Array ? data : Float64Array.from(data, Number);
}

function rawBytes(data: Uint16Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function cannotCast(from: string, to: string): TesseraError {
  return new TesseraError('bad-option', `Numbers of type ${from} cannot be turned into ${to} without loss.`);
}
