/**
 * Checkpoints: a folder with one safetensors file for each tree and `trainer.json` with everything else that a run needs
 * to go on. Tensors are named by their dotted paths. A checkpoint appears whole or not at all.
 */

import { joinPath, makeTemporarySibling, remove, replaceDirectory, stat } from '#host';
import {
  type JsonObject,
  openSafetensors,
  readJsonObject,
  SAFETENSORS_BYTES,
  type Safetensors,
  writeJson,
  writeSafetensors,
} from '../formats/index.js';
import { arrayLeaves, mapTree, type NDArray, specLeaves, TesseraError } from '../tensor/index.js';
import { isSpec } from '../tensor/tree.js';

/** Writes a tree of arrays as one safetensors file, each leaf named by its path. @throws no-space, aborted. */
export async function writeTree(path: string, tree: unknown, signal?: AbortSignal): Promise<void> {
  const tensors = arrayLeaves(tree).map(([name, array]) => ({ name, array }));
  await writeSafetensors(path, tensors, {
    metadata: { format: 'tessera' },
    maxShardBytes: Number.POSITIVE_INFINITY,
    signal,
  });
}

/**
 * Reads a tree of the form of `like` (arrays or specs), whose leaves must be exactly the file's tensors.
 * @throws not-found, bad-file for a damaged file; mismatch naming the tensor that is missing, unknown or of another shape.
 */
export async function readTree<T>(path: string, like: T): Promise<T> {
  const file = await openSafetensors(path);
  try {
    const specs = specLeaves(like);
    const known = new Set(specs.map(([name]) => name));
    for (const [name, { dtype, shape }] of specs) {
      if (!file.has(name)) throw misfit(`${path} has no tensor '${name}', which the model needs`);
      const found = file.tensor(name);
      if (found.shape.join() !== shape.join()) {
        throw misfit(
          `Tensor '${name}' in ${path} is [${found.shape.join(', ')}]; the model needs [${shape.join(', ')}]`,
        );
      }
      if (
        SAFETENSORS_BYTES[found.dtype] * shape.reduce<number>((size, d) => size * Number(d), 1) !== found.bytes ||
        !sameKind(found.dtype, dtype)
      ) {
        throw misfit(`Tensor '${name}' in ${path} holds ${found.dtype} elements; the model needs ${dtype}`);
      }
    }
    const unknown = file.names.find((name) => !known.has(name));
    if (unknown !== undefined) throw misfit(`${path} holds the tensor '${unknown}', which the model does not have`);
    const values = new Map<string, NDArray>();
    for (const [name] of specs) values.set(name, await readTensor(file, name, path));
    return mapTree(like, isSpec, (_leaf, name) => values.get(name));
  } finally {
    await file.close();
  }
}

async function readTensor(file: Safetensors, name: string, path: string): Promise<NDArray> {
  try {
    return await file.read(name);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new TesseraError('bad-file', `Tensor '${name}' of ${path} could not be read: ${reason}`, { cause });
  }
}

const KINDS: Readonly<Record<string, string>> = {
  float32: 'F32',
  float64: 'F64',
  float16: 'F16',
  int32: 'I32',
  int64: 'I64',
  uint8: 'U8',
  bool: 'BOOL',
};

function sameKind(found: string, dtype: string): boolean {
  return KINDS[dtype] === found;
}

function misfit(what: string): TesseraError {
  return new TesseraError('mismatch', `${what}.`, { hint: 'The checkpoint is of another model or of other options.' });
}

/** What a checkpoint holds: trees by file name, and the trainer's own record. */
export interface CheckpointContent {
  readonly trees: Readonly<Record<string, () => unknown | Promise<unknown>>>;
  readonly trainer: JsonObject;
}

/**
 * Writes `<folder>/<name>.safetensors` for every tree that has leaves, asking for one after the other, and `trainer.json`;
 * a folder that was there is replaced when the new one is whole.
 * @throws no-space, not-finite for a tree with NaN in it (naming the tensor); nothing half-written is left.
 */
export async function writeCheckpoint(folder: string, content: CheckpointContent): Promise<void> {
  const temporary = await makeTemporarySibling(folder);
  try {
    for (const [name, read] of Object.entries(content.trees)) {
      const tree = await read();
      if (arrayLeaves(tree).length === 0) continue;
      requireFinite(tree, name);
      await writeTree(joinPath(temporary, `${name}.safetensors`), tree);
    }
    await writeJson(joinPath(temporary, 'trainer.json'), content.trainer);
    await replaceDirectory(temporary, folder);
  } catch (error) {
    await remove(temporary).catch(() => undefined);
    if (!(error instanceof TesseraError)) throw error;
    // The temporary name means nothing to a reader.
    throw new TesseraError(error.code, error.message.replaceAll(temporary, folder), { hint: error.hint, cause: error });
  }
}

/** Refuses trees with NaN or infinity in a float tensor. */
function requireFinite(tree: unknown, file: string): void {
  for (const [name, { dtype, data }] of arrayLeaves(tree)) {
    if (dtype !== 'float32' && dtype !== 'float64') continue;
    let sum = 0;
    // x - x is 0 for every finite x and NaN otherwise.
    for (let i = 0; i < data.length; i++) sum += Number(data[i]) - Number(data[i]);
    if (sum === 0) continue;
    throw new TesseraError(
      'not-finite',
      `The tensor '${name}' of the ${file} is no longer finite, so no checkpoint of it was written.`,
    );
  }
}

/** Reads the trees of a checkpoint in the forms given, and its record. @throws as {@link readTree}. */
export async function readCheckpoint<T extends Readonly<Record<string, unknown>>>(
  folder: string,
  like: T,
): Promise<{ readonly trees: T; readonly trainer: JsonObject }> {
  const trainer = await readJsonObject(joinPath(folder, 'trainer.json'));
  const trees: Record<string, unknown> = {};
  for (const [name, tree] of Object.entries(like)) {
    const path = joinPath(folder, `${name}.safetensors`);
    if (specLeaves(tree).length === 0) {
      trees[name] = tree;
    } else if ((await stat(path)) === undefined) {
      throw misfit(`The checkpoint ${folder} has no ${name}.safetensors, which this run needs`);
    } else {
      trees[name] = await readTree(path, tree);
    }
  }
  return { trees: trees as T, trainer };
}
