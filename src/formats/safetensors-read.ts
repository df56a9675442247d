/**
 * Reading safetensors lazily: a file, a folder (one file, or shards under `model.safetensors.index.json`) or
 * bytes in memory. Opening reads the headers only; a tensor, or some rows of it, is read when asked for.
 */

import { directoryName, joinPath, listDirectory, openRandomAccess, type RandomAccess, stat } from '#host';
import { TesseraError } from '../host/error.js';
import type { DType, NDArray } from '../tensor/ndarray.js';
import { isJsonObject, readJsonObject } from './json.js';
import { type HeaderEntry, parseHeader, parseHeaderLength, type SafetensorsDType } from './safetensors-header.js';
import { castArray, decodeTensor } from './safetensors-values.js';

/** What is known of a tensor without reading it. */
export interface TensorInfo {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** Bytes it takes in its file. */
  readonly bytes: number;
  /** The file that holds it. */
  readonly file: string;
}

/** How a tensor's numbers are wanted. */
export interface ReadOptions {
  /**
   * The array's type. Without it each type is held without loss: F64, F32, F16, I64, I32, U8 and BOOL as they
   * are, BF16 as float32, I16, I8 and U16 as int32, U32 and U64 as int64.
   */
  readonly as?: DType;
}

/** Open safetensors. */
export interface Safetensors {
  /** The `__metadata__` of the file, or of all shards together. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Names of all tensors, in the order of their files and bytes. */
  readonly names: readonly string[];
  /** The files that hold them. */
  readonly files: readonly string[];
  has(name: string): boolean;
  /** @throws not-found for an unknown name. */
  tensor(name: string): TensorInfo;
  /** A whole tensor. @throws not-found, bad-file, bad-option for an impossible `as`. */
  read(name: string, options?: ReadOptions): Promise<NDArray>;
  /** Rows `start` to `end` (not included) of the first axis: [end - start, ...]. @throws also bad-shape. */
  readSlice(name: string, start: number, end: number, options?: ReadOptions): Promise<NDArray>;
  /** A tensor's bytes as they are in the file: little-endian, row-major. */
  readRaw(name: string): Promise<Uint8Array>;
  close(): Promise<void>;
}

interface Shard {
  readonly file: string;
  readonly source: RandomAccess;
  /** Where the tensors' bytes begin in the file. */
  readonly dataStart: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: readonly HeaderEntry[];
}

interface Place {
  readonly shard: Shard;
  readonly entry: HeaderEntry;
}

/**
 * Opens a `.safetensors` file, an `.index.json` of shards, a folder that has either, or a file's bytes.
 *
 * @throws not-found when there is none; bad-file when a header is truncated or lies, naming the file and tensor.
 */
export async function openSafetensors(source: string | Uint8Array): Promise<Safetensors> {
  if (typeof source !== 'string') return assemble([await openShard('The bytes given', fromBytes(source))], new Map());
  const path = await findWeights(source);
  if (!path.endsWith('.json')) return assemble([await openShard(path, await openRandomAccess(path))], new Map());
  const index = await readIndex(path);
  const shards: Shard[] = [];
  try {
    for (const file of [...new Set(index.values())].sort()) shards.push(await openIndexed(file, path));
    return assemble(shards, index, path);
  } catch (error) {
    for (const shard of shards) await shard.source.close();
    throw error;
  }
}

/** The weights' file of a folder, as `transformers` looks for it; a file is its own. @throws not-found. */
async function findWeights(path: string): Promise<string> {
  if ((await stat(path))?.kind !== 'directory') return path;
  for (const name of ['model.safetensors', 'model.safetensors.index.json']) {
    const candidate = joinPath(path, name);
    if ((await stat(candidate))?.kind === 'file') return candidate;
  }
  const names = (await listDirectory(path)).map((entry) => entry.name);
  const indexes = names.filter((name) => name.endsWith('.safetensors.index.json'));
  const found = indexes.length > 0 ? indexes : names.filter((name) => name.endsWith('.safetensors'));
  const [only] = found;
  if (found.length === 1 && only !== undefined) return joinPath(path, only);
  const what = only === undefined ? 'has no .safetensors file' : `has ${found.length} .safetensors files and no index`;
  throw new TesseraError('not-found', `${path} ${what}.`, {
    hint: only === undefined ? 'Convert the weights to safetensors first.' : 'Name the file that is meant.',
  });
}

/** Tensor name to file path. */
async function readIndex(path: string): Promise<Map<string, string>> {
  const { weight_map: map } = await readJsonObject(path);
  if (!isJsonObject(map)) throw new TesseraError('bad-file', `${path} has no weight_map object.`);
  const index = new Map<string, string>();
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== 'string' || file === '' || /^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)/.test(file)) {
      const says = JSON.stringify(file);
      throw new TesseraError('bad-file', `${path} puts tensor '${name}' into ${says}, which is no file beside it.`);
    }
    index.set(name, joinPath(directoryName(path), file));
  }
  if (index.size === 0) throw new TesseraError('bad-file', `${path} names no tensors.`);
  return index;
}

async function openIndexed(file: string, index: string): Promise<Shard> {
  if ((await stat(file)) === undefined) {
    throw new TesseraError('not-found', `${index} names the shard ${file}, which is not there.`, {
      hint: 'Fetch all shards.',
    });
  }
  return openShard(file, await openRandomAccess(file));
}

async function openShard(file: string, source: RandomAccess): Promise<Shard> {
  try {
    if (source.size < 8) {
      throw new TesseraError('bad-file', `${file} has ${source.size} bytes, too few for a safetensors file.`);
    }
    const length = parseHeaderLength(await source.read(0, 8), source.size, file);
    const dataStart = 8 + length;
    const { metadata, tensors } = parseHeader(await source.read(8, length), source.size - dataStart, file);
    return { file, source, dataStart, metadata, tensors };
  } catch (error) {
    await source.close();
    throw error;
  }
}

function assemble(shards: readonly Shard[], index: ReadonlyMap<string, string>, indexPath = ''): Safetensors {
  const places = new Map<string, Place>();
  for (const shard of shards) {
    for (const entry of shard.tensors) {
      // A shard may hold a tensor that the index puts elsewhere: the index decides.
      const meant = index.get(entry.name);
      if (meant !== undefined && meant !== shard.file) continue;
      const other = places.get(entry.name);
      if (other !== undefined) {
        const both = `${other.shard.file} and ${shard.file}`;
        throw new TesseraError('bad-file', `Tensor '${entry.name}' is in both ${both}, and the index names neither.`);
      }
      places.set(entry.name, { shard, entry });
    }
  }
  for (const [name, file] of index) {
    if (places.has(name)) continue;
    throw new TesseraError('bad-file', `${indexPath} puts tensor '${name}' into ${file}, which does not hold it.`);
  }

  const placeOf = (name: string): Place => {
    const place = places.get(name);
    if (place !== undefined) return place;
    const where = indexPath || shards[0]?.file;
    throw new TesseraError('not-found', `${where} has no tensor '${name}'.`, { hint: nearest(name, places.keys()) });
  };
  const readRows = async (place: Place, start: number, end: number, rowBytes: number): Promise<Uint8Array> => {
    const { shard, entry } = place;
    return shard.source.read(shard.dataStart + entry.begin + start * rowBytes, (end - start) * rowBytes);
  };
  const decode = (place: Place, shape: readonly number[], bytes: Uint8Array, options: ReadOptions): NDArray => {
    const where = `Tensor '${place.entry.name}' of ${place.shard.file}`;
    const value = decodeTensor(place.entry.dtype, shape, bytes, where);
    return options.as === undefined ? value : castArray(value, options.as);
  };
  return {
    metadata: Object.assign({}, ...shards.map((shard) => shard.metadata)),
    names: [...places.keys()],
    files: shards.map((shard) => shard.file),
    has: (name) => places.has(name),
    tensor: (name) => {
      const { shard, entry } = placeOf(name);
      return { dtype: entry.dtype, shape: entry.shape, bytes: entry.end - entry.begin, file: shard.file };
    },
    read: async (name, options = {}) => {
      const place = placeOf(name);
      const { begin, end, shape } = place.entry;
      return decode(place, shape, await readRows(place, 0, 1, end - begin), options);
    },
    readSlice: async (name, start, end, options = {}) => {
      const place = placeOf(name);
      const { begin, end: last, shape } = place.entry;
      const [rows, ...rest] = shape;
      const whole = Number.isInteger(start) && Number.isInteger(end);
      if (rows === undefined || !whole || start < 0 || end < start || end > rows) {
        const asked = `Rows ${start} to ${end} of tensor '${name}'`;
        throw new TesseraError('bad-shape', `${asked} were asked for; its shape is [${shape.join(', ')}].`);
      }
      const rowBytes = rows === 0 ? 0 : (last - begin) / rows;
      return decode(place, [end - start, ...rest], await readRows(place, start, end, rowBytes), options);
    },
    readRaw: async (name) => {
      const place = placeOf(name);
      return readRows(place, 0, 1, place.entry.end - place.entry.begin);
    },
    close: async () => {
      for (const shard of shards) await shard.source.close();
    },
  };
}

/** A hint that shows a few names of the same ending or beginning, so that another naming scheme is seen at once. */
function nearest(name: string, names: Iterable<string>): string {
  const all = [...names];
  const last = name.split('.').slice(-2).join('.');
  const alike = all.filter((other) => other.endsWith(last));
  const shown = (alike.length > 0 ? alike : all).slice(0, 3).map((other) => `'${other}'`);
  return `It has ${all.length} tensors${shown.length > 0 ? `, such as ${shown.join(', ')}` : ''}.`;
}

function fromBytes(bytes: Uint8Array): RandomAccess {
  return {
    size: bytes.length,
    read: async (offset, length) => bytes.slice(offset, offset + length),
    close: async () => undefined,
  };
}
