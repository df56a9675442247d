/** ONNX files: one file, or a model with its weights in a file beside it once they pass what one protobuf message can hold. */

import { bytesOf } from '../ndarray.js';
import { inlineTensor, type Lowered } from './lower.js';
import { ELEMENT_TYPES, encodeModel, type TensorProto } from './schema.js';

/** Weights above this many bytes go into external data (a protobuf message ends at 2 GiB). */
export const EXTERNAL_LIMIT = 1.5e9;
const SMALL = 1024;
const ALIGNMENT = 4096;

/** The bytes of a lowered model with its weights inside. */
export function encodeLowered(lowered: Lowered): Uint8Array {
  const initializer = lowered.initializers.map(({ name, value }) => inlineTensor(name, value));
  return encodeModel({ ...lowered.model, graph: { ...lowered.model.graph, initializer } });
}

/** The total of the initializers' bytes. */
export function weightBytes(lowered: Lowered): number {
  return lowered.initializers.reduce((total, { value }) => total + value.data.byteLength, 0);
}

/**
 * The files of a model, piece by piece: `file`, then `file_data` where the weights are larger than `limit` bytes.
 * Pieces of one file come in order.
 */
export function* encodeOnnxFiles(
  lowered: Lowered,
  file: string,
  limit = EXTERNAL_LIMIT,
): Generator<{ file: string; bytes: Uint8Array }> {
  if (weightBytes(lowered) <= limit) {
    yield { file, bytes: encodeLowered(lowered) };
    return;
  }
  const location = `${file.slice(file.lastIndexOf('/') + 1)}_data`;
  let offset = 0;
  const initializer = lowered.initializers.map(({ name, value }): TensorProto => {
    if (value.data.byteLength <= SMALL) return inlineTensor(name, value);
    const start = offset;
    offset += padded(value.data.byteLength);
    return {
      name,
      dataType: ELEMENT_TYPES[value.dtype],
      dims: [...value.shape],
      dataLocation: 1,
      externalData: [
        { key: 'location', value: location },
        { key: 'offset', value: String(start) },
        { key: 'length', value: String(value.data.byteLength) },
      ],
    };
  });
  yield { file, bytes: encodeModel({ ...lowered.model, graph: { ...lowered.model.graph, initializer } }) };
  for (const { value } of lowered.initializers) {
    if (value.data.byteLength <= SMALL) continue;
    yield { file: `${file}_data`, bytes: bytesOf(value) };
    const rest = padded(value.data.byteLength) - value.data.byteLength;
    if (rest > 0) yield { file: `${file}_data`, bytes: new Uint8Array(rest) };
  }
}

function padded(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT;
}
