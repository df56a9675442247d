/** The elements of ONNX initializers as bytes: stored so, as numbers, or in files of external data beside the model. */

import { directoryName, joinPath, openRandomAccess, type RandomAccess } from '#host';
import { TesseraError } from '../host/error.js';
import type { TensorPlace } from './onnx-graph.js';
import { elementOf } from './onnx-types.js';
import type { ProtobufField } from './protobuf-walk.js';
import type { SafetensorsDType } from './safetensors-header.js';
import type { StoredTensor } from './weights.js';

/** Bytes of a tensor's elements, those below 8 bits packed. */
export function tensorBytes({ type, shape }: TensorPlace): number {
  const elements = shape.reduce((product, size) => product * size, 1);
  return Math.ceil((elements * elementOf(type).bits) / 8);
}

/** Files of external data, each opened once, when first read. */
export class ExternalFiles {
  private readonly open = new Map<string, Promise<RandomAccess>>();

  /** `model` is the model's path; undefined for one that came as bytes, beside which there is nothing. */
  constructor(private readonly model: string | undefined) {}

  /** @throws bad-file for a location outside of the model's folder, not-found. */
  get(location: string, tensor: string): Promise<RandomAccess> {
    const { model } = this;
    if (location === '' || /^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)/.test(location)) {
      throw new TesseraError('bad-file', `The tensor '${tensor}' is said to be in ${JSON.stringify(location)}.`, {
        hint: "External data must be in the model's folder; a file elsewhere is not read.",
      });
    }
    if (model === undefined) {
      throw new TesseraError('not-found', `The tensor '${tensor}' is in ${location}, beside the model's file.`, {
        hint: 'Open the model by its path instead of its bytes.',
      });
    }
    const found = this.open.get(location) ?? openRandomAccess(joinPath(directoryName(model), location));
    this.open.set(location, found);
    found.catch(() => this.open.delete(location));
    return found;
  }

  async close(): Promise<void> {
    for (const file of this.open.values()) await (await file).close();
    this.open.clear();
  }
}

/** A tensor as weights hold it, undefined when its type is none of theirs. @throws bad-file when it lacks elements. */
export function storedInitializer(
  place: TensorPlace,
  access: RandomAccess,
  external: ExternalFiles,
  file: string,
): StoredTensor | undefined {
  const { name, shape, raw } = place;
  const dtype = elementOf(place.type).stored;
  if (dtype === undefined) return undefined;
  const bytes = tensorBytes(place);
  const rowBytes = shape[0] ? bytes / shape[0] : 0;
  const fits = (has: number): void => {
    if (has === bytes) return;
    throw new TesseraError('bad-file', `The tensor '${name}' of ${file} needs ${bytes} bytes and has ${has}.`);
  };
  const stored = { name, dtype, shape, bytes };
  if (place.external !== undefined) {
    const { location, offset, length } = externalPlace(place.external, name, file);
    if (length !== undefined) fits(length);
    return {
      ...stored,
      read: async (rows) => {
        const data = await external.get(location, name);
        const [start, wanted] = rows ? [rows.start * rowBytes, (rows.end - rows.start) * rowBytes] : [0, bytes];
        if (offset + bytes > data.size) {
          const says = `bytes ${offset} to ${offset + bytes} of ${location}, which has ${data.size}`;
          throw new TesseraError('bad-file', `The tensor '${name}' of ${file} should be at ${says}.`, {
            hint: 'The file was probably cut short: fetch it again.',
          });
        }
        return data.read(offset + start, wanted);
      },
    };
  }
  if (raw !== undefined) {
    fits(raw.end - raw.start);
    return {
      ...stored,
      read: async (rows) =>
        rows === undefined
          ? access.read(raw.start, bytes)
          : access.read(raw.start + rows.start * rowBytes, (rows.end - rows.start) * rowBytes),
    };
  }
  return {
    ...stored,
    read: async (rows) => {
      const values = await readNumbers(place.numbers, access, dtype, bytes, fits);
      return rows === undefined ? values : values.slice(rows.start * rowBytes, rows.end * rowBytes);
    },
  };
}

function externalPlace(entries: ReadonlyMap<string, string>, name: string, file: string) {
  const number = (key: string): number | undefined => {
    const text = entries.get(key);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (text !== '' && Number.isSafeInteger(value) && value >= 0) return value;
    throw new TesseraError('bad-file', `The tensor '${name}' of ${file} has the ${key} ${JSON.stringify(text)}.`);
  };
  return { location: entries.get('location') ?? '', offset: number('offset') ?? 0, length: number('length') };
}

/** Which field holds numbers as fixed-width bytes, like the elements themselves: `float_data` and `double_data`. */
const FIXED_FIELDS: readonly number[] = [4, 10];

async function readNumbers(
  parts: readonly ProtobufField[],
  access: RandomAccess,
  dtype: SafetensorsDType,
  bytes: number,
  fits: (has: number) => void,
): Promise<Uint8Array> {
  const out = new Uint8Array(bytes);
  const width = elementWidth(dtype);
  let filled = 0;
  for (const part of parts) {
    const content = await access.read(part.start, part.end - part.start);
    if (FIXED_FIELDS.includes(part.number)) {
      if (filled + content.length > bytes) fits(filled + content.length);
      out.set(content, filled);
      filled += content.length;
      continue;
    }
    // Varints: the low bytes of each number are the element, little-endian, whatever its type.
    for (let at = 0; at < content.length; filled += width) {
      let value = 0n;
      let shift = 0n;
      let byte = 0x80;
      for (; byte >= 0x80 && at < content.length; shift += 7n) {
        byte = content[at++] ?? 0;
        value |= BigInt(byte & 0x7f) << shift;
      }
      if (filled + width > bytes) fits(filled + width);
      for (let i = 0; i < width; i++) out[filled + i] = Number((value >> BigInt(8 * i)) & 0xffn);
    }
  }
  fits(filled);
  return out;
}

function elementWidth(dtype: SafetensorsDType): number {
  const bits = /\d+/.exec(dtype)?.[0];
  return bits === undefined ? 1 : Number(bits) / 8;
}
