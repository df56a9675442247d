/**
 * Reading safetensors lazily: a file, a folder (one file, or shards under `model.safetensors.index.json`) or
 * bytes in memory. Opening reads the headers only; a tensor, or some rows of it, is read when asked for.
 */

import { joinPath, listDirectory, openRandomAccess, type RandomAccess, stat } from '#host';
import { TesseraError } from '../host/error.js';
import { bytesAsFile } from './byte-source.js';
import { type HeaderEntry, parseHeader, parseHeaderLength } from './safetensors-header.js';
import { assembleWeights, openShards, type StoredTensor, type Weights, type WeightsFile } from './weights.js';

/** Open safetensors; `metadata` is their `__metadata__`, and names are in the order of the tensors' bytes. */
export type Safetensors = Weights;

/**
 * Opens a `.safetensors` file, an `.index.json` of shards, a folder that has either, or a file's bytes.
 *
 * @throws not-found when there is none; bad-file when a header is truncated or lies, naming the file and tensor.
 */
export async function openSafetensors(source: string | Uint8Array): Promise<Safetensors> {
  if (typeof source !== 'string') return assembleWeights([await openFile('The bytes given', bytesAsFile(source))]);
  const path = await findWeights(source);
  const open = async (file: string): Promise<WeightsFile> => openFile(file, await openRandomAccess(file));
  return path.endsWith('.json') ? openShards(path, open) : assembleWeights([await open(path)]);
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

async function openFile(file: string, source: RandomAccess): Promise<WeightsFile> {
  try {
    if (source.size < 8) {
      throw new TesseraError('bad-file', `${file} has ${source.size} bytes, too few for a safetensors file.`);
    }
    const length = parseHeaderLength(await source.read(0, 8), source.size, file);
    const dataStart = 8 + length;
    const { metadata, tensors } = parseHeader(await source.read(8, length), source.size - dataStart, file);
    const stored = tensors.map((entry) => storedTensor(source, dataStart, entry));
    return { file, metadata, tensors: stored, close: () => source.close() };
  } catch (error) {
    await source.close();
    throw error;
  }
}

function storedTensor(source: RandomAccess, dataStart: number, entry: HeaderEntry): StoredTensor {
  const { name, dtype, shape, begin, end } = entry;
  const bytes = end - begin;
  const rowBytes = shape[0] ? bytes / shape[0] : 0;
  return {
    name,
    dtype,
    shape,
    bytes,
    read: (rows) =>
      rows === undefined
        ? source.read(dataStart + begin, bytes)
        : source.read(dataStart + begin + rows.start * rowBytes, (rows.end - rows.start) * rowBytes),
  };
}
