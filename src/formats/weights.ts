/**
 * Weights as every format gives them: named tensors over one file or many shards, each read when asked for.
 * A format lists the tensors of a file and reads their bytes; names, slices, types and shards are done here.
 */

import { directoryName, joinPath, stat } from '#host';
import { TesseraError } from '../host/error.js';
import type { DType, NDArray } from '../tensor/ndarray.js';
import { isJsonObject, readJsonObject } from './json.js';
import type { SafetensorsDType } from './safetensors-header.js';
import { castArray, decodeTensor } from './safetensors-values.js';

/** What is known of a tensor without reading it. */
export interface TensorInfo {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** Bytes of its elements. */
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

/** Open weights. */
export interface Weights {
  /** What the file, or all shards together, say of themselves. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Names of all tensors, in the order of their files. */
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
  /** A tensor's bytes: little-endian, row-major. */
  readRaw(name: string): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** A tensor of a file, and how its bytes are read. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Its bytes, or those of some rows of its first axis: little-endian, row-major. */
  read(rows?: { readonly start: number; readonly end: number }): Promise<Uint8Array>;
}

/** An open file of tensors. */
export interface WeightsFile {
  readonly file: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: readonly StoredTensor[];
  close(): Promise<void>;
}

interface Place {
  readonly file: string;
  readonly stored: StoredTensor;
}

/**
 * Opens the shards that an index (`*.index.json`) names, each by `open`.
 *
 * @throws bad-file for an index without a usable `weight_map` or one that its shards contradict; not-found for
 * a shard that is not there.
 */
export async function openShards(indexPath: string, open: (file: string) => Promise<WeightsFile>): Promise<Weights> {
  const index = await readIndex(indexPath);
  const shards: WeightsFile[] = [];
  try {
    for (const file of [...new Set(index.values())].sort()) {
      if ((await stat(file)) === undefined) {
        throw new TesseraError('not-found', `${indexPath} names the shard ${file}, which is not there.`, {
          hint: 'Fetch all shards.',
        });
      }
      shards.push(await open(file));
    }
    return assembleWeights(shards, index, indexPath);
  } catch (error) {
    for (const shard of shards) await shard.close();
    throw error;
  }
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

/** The tensors of open files as one; `index` decides where a tensor is that two files hold. @throws bad-file. */
export function assembleWeights(
  shards: readonly WeightsFile[],
  index: ReadonlyMap<string, string> = new Map(),
  indexPath = '',
): Weights {
  const places = locate(shards, index, indexPath);
  const placeOf = (name: string): Place => {
    const place = places.get(name);
    if (place !== undefined) return place;
    const where = indexPath || shards[0]?.file;
    throw new TesseraError('not-found', `${where} has no tensor '${name}'.`, { hint: nearest(name, places.keys()) });
  };
  const decode = (place: Place, shape: readonly number[], bytes: Uint8Array, options: ReadOptions): NDArray => {
    const where = `Tensor '${place.stored.name}' of ${place.file}`;
    const value = decodeTensor(place.stored.dtype, shape, bytes, where);
    return options.as === undefined ? value : castArray(value, options.as);
  };
  return {
    metadata: Object.fromEntries(shards.flatMap((shard) => Object.entries(shard.metadata))),
    names: [...places.keys()],
    files: shards.map((shard) => shard.file),
    has: (name) => places.has(name),
    tensor: (name) => {
      const { stored, file } = placeOf(name);
      return { dtype: stored.dtype, shape: stored.shape, bytes: stored.bytes, file };
    },
    read: async (name, options = {}) => {
      const place = placeOf(name);
      return decode(place, place.stored.shape, await place.stored.read(), options);
    },
    readSlice: async (name, start, end, options = {}) => {
      const place = placeOf(name);
      const [rows, ...rest] = place.stored.shape;
      const whole = Number.isInteger(start) && Number.isInteger(end);
      if (rows === undefined || !whole || start < 0 || end < start || end > rows) {
        const asked = `Rows ${start} to ${end} of tensor '${name}'`;
        throw new TesseraError(
          'bad-shape',
          `${asked} were asked for; its shape is [${place.stored.shape.join(', ')}].`,
        );
      }
      return decode(place, [end - start, ...rest], await place.stored.read({ start, end }), options);
    },
    readRaw: async (name) => placeOf(name).stored.read(),
    close: async () => {
      for (const shard of shards) await shard.close();
    },
  };
}

function locate(
  shards: readonly WeightsFile[],
  index: ReadonlyMap<string, string>,
  indexPath: string,
): Map<string, Place> {
  const places = new Map<string, Place>();
  for (const { file, tensors } of shards) {
    for (const stored of tensors) {
      // A shard may hold a tensor that the index puts elsewhere: the index decides.
      const meant = index.get(stored.name);
      if (meant !== undefined && meant !== file) continue;
      const other = places.get(stored.name);
      if (other !== undefined) {
        const both = `${other.file} and ${file}`;
        throw new TesseraError('bad-file', `Tensor '${stored.name}' is in both ${both}, and the index names neither.`);
      }
      places.set(stored.name, { file, stored });
    }
  }
  for (const [name, file] of index) {
    if (places.has(name)) continue;
    throw new TesseraError('bad-file', `${indexPath} puts tensor '${name}' into ${file}, which does not hold it.`);
  }
  return places;
}

/** A hint that shows a few names of the same ending or beginning, so that another naming scheme is seen at once. */
function nearest(name: string, names: Iterable<string>): string {
  const all = [...names];
  const last = name.split('.').slice(-2).join('.');
  const alike = all.filter((other) => other.endsWith(last));
  const shown = (alike.length > 0 ? alike : all).slice(0, 3).map((other) => `'${other}'`);
  return `It has ${all.length} tensors${shown.length > 0 ? `, such as ${shown.join(', ')}` : ''}.`;
}
