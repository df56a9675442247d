/**
 * The header of a safetensors file (huggingface/safetensors, "Format"): eight bytes of little-endian length,
 * then that many bytes of JSON, then the tensors' bytes, little-endian and row-major, which the header must
 * cover without holes or overlaps. Everything the header says is checked before anything is believed.
 */

import { TesseraError } from '../host/error.js';
import { isJsonObject, type Json, type JsonObject, parseJson } from './json.js';

/** Bytes an element takes, by the format's own type names, in the order in which the official writer ranks them. */
export const SAFETENSORS_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

/** An element type of the format. */
export type SafetensorsDType = keyof typeof SAFETENSORS_BYTES;

/** The official limit on the header's length. */
export const MAXIMUM_HEADER_BYTES = 100_000_000;

/** What a header says of one tensor; `begin` and `end` count from the end of the header. */
export interface HeaderEntry {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** A checked header, its tensors in the order of their bytes. */
export interface Header {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: readonly HeaderEntry[];
}

/** True for a type name of the format. */
export function isSafetensorsDType(name: Json | undefined): name is SafetensorsDType {
  return typeof name === 'string' && Object.hasOwn(SAFETENSORS_BYTES, name);
}

/** Reads and checks the length in the first eight bytes. @throws bad-file. */
export function parseHeaderLength(start: Uint8Array, fileSize: number, file: string): number {
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(MAXIMUM_HEADER_BYTES)) {
    throw bad(file, `its header would be ${length} bytes long, more than the ${MAXIMUM_HEADER_BYTES} allowed`, NOT_ONE);
  }
  if (Number(length) > fileSize - 8) {
    throw bad(file, `its header would be ${length} bytes long, and the file has only ${fileSize}`, CUT_SHORT);
  }
  return Number(length);
}

/** Parses and checks a header's JSON against the number of bytes that follow it. @throws bad-file, naming the tensor. */
export function parseHeader(bytes: Uint8Array, dataBytes: number, file: string): Header {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw bad(file, 'its header is not UTF-8', NOT_ONE, cause);
  }
  if (!text.startsWith('{')) throw bad(file, "its header does not begin with '{'", NOT_ONE);
  const parsed = parseJson(text, `The header of ${file}`);
  if (!isJsonObject(parsed)) throw bad(file, 'its header is not a JSON object', NOT_ONE);
  refuseDuplicates(text, parsed, file);

  const tensors: HeaderEntry[] = [];
  for (const [name, entry] of Object.entries(parsed)) {
    if (name !== '__metadata__') tensors.push(parseEntry(name, entry, dataBytes, file));
  }
  // Empty tensors share their offset with a neighbor: they come first, so that the chain below holds.
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let reached = 0;
  let previous = '';
  for (const { name, begin, end } of tensors) {
    if (begin < reached) throw bad(file, `tensor '${name}' begins at byte ${begin}, inside of tensor '${previous}'`);
    if (begin > reached) throw bad(file, `${begin - reached} bytes before tensor '${name}' belong to no tensor`);
    reached = end;
    previous = name;
  }
  if (reached < dataBytes) throw bad(file, `${dataBytes - reached} bytes at its end belong to no tensor`);
  return { metadata: parseMetadata(parsed.__metadata__, file), tensors };
}

/** A header's bytes with their length in front, filled with spaces to a multiple of eight, as the official writer does. */
export function formatHeader(header: Header): Uint8Array {
  const parts: string[] = [];
  if (Object.keys(header.metadata).length > 0) parts.push(`"__metadata__":${JSON.stringify(header.metadata)}`);
  for (const { name, dtype, shape, begin, end } of header.tensors) {
    parts.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
  }
  const json = new TextEncoder().encode(`{${parts.join(',')}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, 8);
  return bytes;
}

const NOT_ONE = 'It is probably not a safetensors file.';
const CUT_SHORT = 'It was probably cut short: fetch it again.';

function bad(file: string, what: string, hint?: string, cause?: unknown): TesseraError {
  return new TesseraError('bad-file', `${file} cannot be read as safetensors: ${what}.`, { hint, cause });
}

function parseEntry(name: string, entry: Json, dataBytes: number, file: string): HeaderEntry {
  if (!isJsonObject(entry)) throw bad(file, `what its header says of tensor '${name}' is not an object`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isSafetensorsDType(dtype)) throw bad(file, `tensor '${name}' has the unknown type ${JSON.stringify(dtype)}`);
  if (!isSizes(shape)) throw bad(file, `tensor '${name}' has the impossible shape ${JSON.stringify(shape)}`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw bad(file, `tensor '${name}' has the impossible offsets ${JSON.stringify(offsets)}`);
  }
  const [begin = 0, end = 0] = offsets;
  if (begin > end) throw bad(file, `tensor '${name}' ends at byte ${end}, before it begins at ${begin}`);
  if (end > dataBytes) {
    throw bad(file, `tensor '${name}' ends at byte ${end} of its data, which has only ${dataBytes}`, CUT_SHORT);
  }
  const needed = shape.reduce((size, dimension) => size * dimension, SAFETENSORS_BYTES[dtype]);
  if (needed !== end - begin) {
    const says = `${dtype} [${shape.join(', ')}]`;
    throw bad(file, `tensor '${name}' is ${says}, ${needed} bytes, and has ${end - begin}`);
  }
  return { name, dtype, shape, begin, end };
}

function isSizes(value: Json | undefined): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function parseMetadata(value: Json | undefined, file: string): Readonly<Record<string, string>> {
  if (value === undefined) return {};
  if (!isJsonObject(value)) throw bad(file, 'its __metadata__ is not an object');
  // From entries: assigning to a key that is called '__proto__' would set the prototype and lose it.
  return Object.fromEntries(
    Object.entries(value).map(([key, text]) => {
      if (typeof text !== 'string') throw bad(file, `its __metadata__ has '${key}', which is not a string`);
      return [key, text];
    }),
  );
}

/** JSON.parse keeps the last of two equal keys in silence, and the format forbids them: count them in the text. */
function refuseDuplicates(text: string, parsed: JsonObject, file: string): void {
  const seen = new Set<string>();
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') depth--;
    else if (character === '"') {
      const start = at++;
      while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
      if (depth !== 1) continue;
      // At depth 1 of an object whose values are objects, every string is a key.
      const key: unknown = JSON.parse(text.slice(start, at + 1));
      if (typeof key !== 'string') continue;
      if (seen.has(key) && Object.hasOwn(parsed, key)) throw bad(file, `it names tensor '${key}' twice`);
      seen.add(key);
    }
  }
}
