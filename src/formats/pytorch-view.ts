/**
 * Tensors as views of storages: what a view may be, and its elements in row-major order. A view whose elements
 * already lie so is read as it is; others (transposed, expanded, sliced) are gathered.
 */

import { TesseraError } from '../host/error.js';
import { sizeOf } from '../tensor/ndarray.js';
import type { StorageReference } from './pytorch-globals.js';
import type { NamedView } from './pytorch-state.js';
import { SAFETENSORS_BYTES } from './safetensors-header.js';
import type { StoredTensor } from './weights.js';

/** Bytes `begin` to `end` (not included) of a storage. */
export type ReadStorage = (begin: number, end: number) => Promise<Uint8Array>;

/** An expanded tensor may be larger than its file; above this it is taken for a lie. */
const MOST_EXPANDED_BYTES = 2 ** 30;

/** Bytes that a storage must have. */
export function storageBytes({ dtype, elements }: StorageReference): number {
  return elements * (dtype === undefined ? 1 : SAFETENSORS_BYTES[dtype]);
}

/** A tensor that is read from its storage when asked for. @throws bad-file, naming the tensor, for a view that lies. */
export function storedView({ name, view }: NamedView, file: string, read: ReadStorage): StoredTensor {
  const { dtype, shape, strides, offset } = view;
  const width = SAFETENSORS_BYTES[dtype];
  const elements = sizeOf(shape);
  const held = Math.floor(storageBytes(view.storage) / width);
  const bad = (what: string): TesseraError =>
    new TesseraError('bad-file', `Tensor '${name}' of ${file} ${what}.`, { hint: 'The file is damaged.' });
  if (elements > 0) {
    const last = shape.reduce((at, size, i) => at + (size - 1) * (strides[i] ?? 0), offset);
    if (last >= held) throw bad(`reaches element ${last} of its storage, which has ${held}`);
  }
  const bytes = elements * width;
  if (elements > held && !(bytes <= MOST_EXPANDED_BYTES)) {
    throw bad(`would be [${shape.join(', ')}], ${bytes} bytes made of ${held} elements`);
  }
  return {
    name,
    dtype,
    shape,
    bytes,
    read: (rows) => {
      if (rows === undefined) return readView(read, { offset, shape, strides, width });
      const start = offset + rows.start * (strides[0] ?? 0);
      return readView(read, { offset: start, shape: [rows.end - rows.start, ...shape.slice(1)], strides, width });
    },
  };
}

interface Span {
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** Bytes of an element. */
  readonly width: number;
}

async function readView(read: ReadStorage, { offset, shape, strides, width }: Span): Promise<Uint8Array> {
  const elements = sizeOf(shape);
  if (elements === 0) return new Uint8Array(0);
  const reach = shape.reduce((at, size, i) => at + (size - 1) * (strides[i] ?? 0), 1);
  const bytes = await read(offset * width, (offset + reach) * width);
  return isRowMajor(shape, strides) ? bytes : gather(bytes, shape, strides, width);
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i] ?? 1;
    if (size !== 1 && strides[i] !== step) return false;
    step *= size;
  }
  return true;
}

/** The elements of a view in row-major order, from the bytes that begin with its first. */
function gather(bytes: Uint8Array, shape: readonly number[], strides: readonly number[], width: number): Uint8Array {
  // Elements of eight bytes move as two units of four, one more axis: bits stay as they are.
  const unit = Math.min(width, 4);
  const units = width / unit;
  const sizes = units === 1 ? shape : [...shape, units];
  const steps = units === 1 ? strides : [...strides.map((stride) => stride * units), 1];
  const out = new Uint8Array(sizeOf(shape) * width);
  const [from, to] = [unitsOf(bytes, unit), unitsOf(out, unit)];
  const inner = sizes.at(-1) ?? 1;
  const step = steps.at(-1) ?? 0;
  const counter = new Array<number>(sizes.length).fill(0);
  for (let row = 0, at = 0; at < to.length; ) {
    for (let i = 0; i < inner; i++) to[at++] = from[row + i * step] ?? 0;
    // The next row: count up the axes before the last, as an odometer does.
    for (let axis = sizes.length - 2; axis >= 0; axis--) {
      const count = (counter[axis] ?? 0) + 1;
      if (count < (sizes[axis] ?? 1)) {
        counter[axis] = count;
        row += steps[axis] ?? 0;
        break;
      }
      counter[axis] = 0;
      row -= (count - 1) * (steps[axis] ?? 0);
    }
  }
  return out;
}

function unitsOf(bytes: Uint8Array, unit: number): Uint8Array | Uint16Array | Uint32Array {
  const { buffer, byteOffset, length } = byteOffsetFits(bytes, unit) ? bytes : bytes.slice();
  if (unit === 1) return bytes;
  return unit === 2 ? new Uint16Array(buffer, byteOffset, length / 2) : new Uint32Array(buffer, byteOffset, length / 4);
}

function byteOffsetFits(bytes: Uint8Array, unit: number): boolean {
  return bytes.byteOffset % unit === 0;
}
