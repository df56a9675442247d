/** A model of one node, `y = x * 1`: it tries a device, and moves tensors to it and back where nothing else can. */

import { bytesOf, type DType, type NDArray } from '../ndarray.js';
import { ELEMENT_TYPES, encodeModel } from '../onnx/schema.js';

/** The bits of one in half precision. */
const HALF_ONE = 0x3c00;

const ONES: Readonly<Partial<Record<DType, NDArray>>> = {
  float32: { dtype: 'float32', shape: [], data: Float32Array.of(1) },
  float16: { dtype: 'float16', shape: [], data: Uint16Array.of(HALF_ONE) },
  int32: { dtype: 'int32', shape: [], data: Int32Array.of(1) },
};

/** Whether tensors of a dtype can be moved. */
export function canCopy(dtype: DType): boolean {
  return ONES[dtype] !== undefined;
}

/** The model for a dtype and any shape: input `x`, output `y`. */
export function copyModel(dtype: DType): Uint8Array {
  const one = ONES[dtype];
  if (one === undefined) throw new Error(`no copies of ${dtype}`);
  const type = { tensorType: { elemType: ELEMENT_TYPES[dtype] } };
  return encodeModel({
    irVersion: 10,
    opsetImport: [{ domain: '', version: 21 }],
    graph: {
      name: 'copy',
      node: [{ opType: 'Mul', input: ['x', 'one'], output: ['y'], attribute: [] }],
      input: [{ name: 'x', type }],
      output: [{ name: 'y', type }],
      initializer: [{ name: 'one', dataType: ELEMENT_TYPES[dtype], dims: [], rawData: bytesOf(one) }],
    },
  });
}
