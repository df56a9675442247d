/**
 * Writing safetensors by streaming: names and shapes are known first, so the header goes out first and then
 * one tensor after the other is asked for, written and forgotten. Above the limit the tensors are spread over
 * shards with an index, as `transformers` writes them. The bytes of a file equal the official writer's.
 */

import { baseName, createWriter, directoryName, type FileWriter, joinPath, listDirectory, remove, stat } from '#host';
import { TesseraError, throwIfAborted } from '../host/error.js';
import { type DType, type NDArray, sizeOf } from '../tensor/ndarray.js';
import type { Json } from './json.js';
import {
  formatHeader,
  type HeaderEntry,
  MAXIMUM_HEADER_BYTES,
  SAFETENSORS_BYTES,
  type SafetensorsDType,
} from './safetensors-header.js';
import { encodeTensor, FILE_DTYPES, isFloat } from './safetensors-values.js';

/** A tensor at hand. */
export interface NamedArray {
  readonly name: string;
  readonly array: NDArray;
}

/** A tensor whose numbers are fetched when their turn comes; called once. */
export interface LazyTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  read(): NDArray | Promise<NDArray>;
}

/** What can be written. */
export type TensorSource = NamedArray | LazyTensor;

/** Options of `writeSafetensors`. */
export interface WriteSafetensorsOptions {
  /** Strings for the header's `__metadata__`; `transformers` wants `{ format: 'pt' }`. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Largest number of tensor bytes in a file; a larger tensor has a file for itself. Default 5 GB. */
  readonly maxShardBytes?: number;
  /** The type in which float tensors are written; others stay as they are. */
  readonly dtype?: 'F32' | 'F16' | 'BF16' | 'F64';
  readonly signal?: AbortSignal;
}

interface Planned {
  readonly source: TensorSource;
  readonly entry: HeaderEntry;
}

/**
 * Writes tensors to `path` (ending in `.safetensors`), or, above `maxShardBytes`, to
 * `<stem>-00001-of-0000N.safetensors` beside it with `<path>.index.json`. Files appear when all are whole;
 * what an earlier write of the same path left (a file, an index, other shards) is removed then.
 *
 * @returns the paths written, the index last.
 * @throws bad-input for equal or reserved names, mismatch when a lazy tensor is not what it said, no-space.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorSource>,
  options: WriteSafetensorsOptions = {},
): Promise<readonly string[]> {
  const { metadata = {}, maxShardBytes = 5e9, dtype, signal } = options;
  if (!path.endsWith('.safetensors')) {
    throw new TesseraError('bad-option', `${path} must end in .safetensors.`);
  }
  const shards = planShards(tensors, dtype, maxShardBytes);
  const stem = path.slice(0, -'.safetensors'.length);
  const number = (n: number): string => String(n).padStart(5, '0');
  const pathOf = (i: number): string =>
    shards.length === 1 ? path : `${stem}-${number(i + 1)}-of-${number(shards.length)}.safetensors`;

  const writers: FileWriter[] = [];
  const written: string[] = [];
  try {
    for (const [i, shard] of shards.entries()) {
      const writer = await createWriter(pathOf(i));
      writers.push(writer);
      written.push(pathOf(i));
      await writeShard(writer, shard, metadata, signal);
    }
    if (shards.length > 1) {
      const index = `${path}.index.json`;
      const writer = await createWriter(index);
      writers.push(writer);
      written.push(index);
      await writer.write(new TextEncoder().encode(`${JSON.stringify(indexOf(shards, pathOf), null, 2)}\n`));
    }
    for (const writer of writers) await writer.commit();
  } catch (error) {
    for (const writer of writers) await writer.abort();
    throw error;
  }
  await removeEarlier(path, new Set(written));
  return written;
}

/** Fills shards in the order given; inside of one, wide types first and then by name, which keeps numbers aligned. */
function planShards(tensors: Iterable<TensorSource>, wanted: SafetensorsDType | undefined, limit: number): Planned[][] {
  const names = new Set<string>();
  const groups: { source: TensorSource; dtype: SafetensorsDType; bytes: number }[][] = [[]];
  let filled = 0;
  for (const source of tensors) {
    const { name } = source;
    if (name === '__metadata__') throw new TesseraError('bad-input', "No tensor may be named '__metadata__'.");
    if (names.has(name)) throw new TesseraError('bad-input', `Two tensors are named '${name}'.`);
    names.add(name);
    const { dtype: held, shape } = 'array' in source ? source.array : source;
    const dtype = wanted !== undefined && isFloat(held) ? wanted : FILE_DTYPES[held];
    const bytes = sizeOf(shape) * SAFETENSORS_BYTES[dtype];
    if (filled > 0 && filled + bytes > limit) {
      groups.push([]);
      filled = 0;
    }
    groups.at(-1)?.push({ source, dtype, bytes });
    filled += bytes;
  }
  const ranks = Object.keys(SAFETENSORS_BYTES);
  return groups.map((group) => {
    group.sort((a, b) => ranks.indexOf(b.dtype) - ranks.indexOf(a.dtype) || compare(a.source.name, b.source.name));
    let begin = 0;
    return group.map(({ source, dtype, bytes }) => {
      const { shape } = 'array' in source ? source.array : source;
      const entry = { name: source.name, dtype, shape, begin, end: begin + bytes };
      begin += bytes;
      return { source, entry };
    });
  });
}

async function writeShard(
  writer: FileWriter,
  shard: readonly Planned[],
  metadata: Readonly<Record<string, string>>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const header = formatHeader({ metadata, tensors: shard.map(({ entry }) => entry) });
  if (header.length - 8 > MAXIMUM_HEADER_BYTES) {
    throw new TesseraError('bad-input', `The header would take ${header.length} bytes, more than the format allows.`, {
      hint: 'Write smaller shards.',
    });
  }
  await writer.write(header);
  for (const { source, entry } of shard) {
    throwIfAborted(signal);
    const array = 'array' in source ? source.array : await source.read();
    const promised = 'array' in source ? array : source;
    if (array.dtype !== promised.dtype || array.shape.join() !== promised.shape.join()) {
      const is = `${array.dtype} [${array.shape.join(', ')}]`;
      const said = `${promised.dtype} [${promised.shape.join(', ')}]`;
      throw new TesseraError('mismatch', `Tensor '${entry.name}' was announced as ${said} and is ${is}.`);
    }
    const bytes = encodeTensor(array, entry.dtype);
    if (bytes.length !== entry.end - entry.begin) {
      const needed = entry.end - entry.begin;
      throw new TesseraError(
        'bad-shape',
        `Tensor '${entry.name}' has ${bytes.length} bytes; its shape needs ${needed}.`,
      );
    }
    await writer.write(bytes);
  }
}

function indexOf(shards: readonly (readonly Planned[])[], pathOf: (i: number) => string): Json {
  let total = 0;
  const map: [string, string][] = [];
  for (const [i, shard] of shards.entries()) {
    for (const { entry } of shard) {
      total += entry.end - entry.begin;
      map.push([entry.name, baseName(pathOf(i))]);
    }
  }
  map.sort(([a], [b]) => compare(a, b));
  return { metadata: { total_size: total }, weight_map: Object.fromEntries(map) };
}

/** A reader must not find an older file first, nor shards of another count. */
async function removeEarlier(path: string, written: ReadonlySet<string>): Promise<void> {
  const folder = directoryName(path);
  const stem = baseName(path).slice(0, -'.safetensors'.length);
  for (const { name } of await listDirectory(folder)) {
    const rest = name.startsWith(stem) ? name.slice(stem.length) : '';
    if (!/^(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$/.test(rest)) continue;
    const old = joinPath(folder, name);
    const isNew = [...written].some((file) => baseName(file) === name);
    if (!isNew && (await stat(old))?.kind === 'file') await remove(old);
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
