/**
 * Hugging Face model folders: `config.json`, weights as safetensors or PyTorch's checkpoints (one file or
 * shards), a tokenizer. Read lazily; written into a hidden folder beside the target that takes its place when whole, so that no reader
 * meets half a model.
 */

import { joinPath, listDirectory, makeTemporarySibling, remove, replaceDirectory, stat, writeFileAtomic } from '#host';
import { TesseraError, throwIfAborted } from '../host/error.js';
import { type Json, type JsonObject, readJsonObject, writeJson } from './json.js';
import { isWeightsName, openWeights } from './open-weights.js';
import { type TensorSource, type WriteSafetensorsOptions, writeSafetensors } from './safetensors-write.js';
import type { Weights } from './weights.js';

/** An open model folder. */
export interface ModelFolder {
  readonly path: string;
  /** `config.json`. */
  readonly config: JsonObject;
  /** `generation_config.json`, where there is one. */
  readonly generationConfig?: JsonObject;
  /** Path of `tokenizer.json`, or else of `tessera-tokenizer.json`, where there is one. */
  readonly tokenizerPath?: string;
  /** `tokenizer_config.json`, where there is one. */
  readonly tokenizerConfig?: JsonObject;
  /** The weights; a tensor is read when asked for. */
  readonly weights: Weights;
  /** Closes the weights. */
  close(): Promise<void>;
}

/**
 * Opens a model folder.
 *
 * @throws not-found when the folder, its config.json or its weights are missing; bad-file for what is damaged.
 */
export async function readModelFolder(folder: string): Promise<ModelFolder> {
  const status = await stat(folder);
  if (status === undefined) {
    throw new TesseraError('not-found', `There is no model folder ${folder}.`, { hint: 'Check the path.' });
  }
  if (status.kind !== 'directory') {
    throw new TesseraError('not-found', `${folder} is a file; a model folder, with a config.json in it, was needed.`);
  }
  const names = new Set((await listDirectory(folder)).filter(({ kind }) => kind === 'file').map(({ name }) => name));
  if (!names.has('config.json')) throw withoutConfig(folder, names);
  const optional = async (name: string): Promise<JsonObject | undefined> =>
    names.has(name) ? readJsonObject(joinPath(folder, name)) : undefined;
  const config = await readJsonObject(joinPath(folder, 'config.json'));
  const generationConfig = await optional('generation_config.json');
  const tokenizerConfig = await optional('tokenizer_config.json');
  const tokenizer = ['tokenizer.json', 'tessera-tokenizer.json'].find((name) => names.has(name));
  if (![...names].some(isWeightsName)) throw withoutWeights(folder, names);
  const weights = await openWeights(folder);
  return {
    path: folder,
    config,
    generationConfig,
    tokenizerPath: tokenizer === undefined ? undefined : joinPath(folder, tokenizer),
    tokenizerConfig,
    weights,
    close: () => weights.close(),
  };
}

/** What `writeModelFolder` writes. */
export interface ModelFolderContent extends WriteSafetensorsOptions {
  readonly config: JsonObject;
  readonly generationConfig?: JsonObject;
  readonly tokenizerConfig?: JsonObject;
  /** Other files by name (`tokenizer.json`): bytes and strings as they are, anything else as JSON. */
  readonly files?: Readonly<Record<string, Uint8Array | Json>>;
  readonly weights: Iterable<TensorSource>;
  /** Called with the hidden folder before it takes its place, for what writes itself, such as ONNX exports. */
  readonly more?: (folder: string) => Promise<void>;
}

/**
 * Writes a model folder whole or not at all. An older model there is replaced; anything else is refused.
 * The weights' metadata is `{ format: 'pt' }`, which `transformers` wants, where none is given.
 *
 * @throws bad-input when the folder holds files that are no part of a model; no-space; what the weights throw.
 */
export async function writeModelFolder(folder: string, content: ModelFolderContent): Promise<void> {
  const { config, generationConfig, tokenizerConfig, files = {}, weights, more, signal } = content;
  await refuseStrangers(folder, new Set(Object.keys(files)));
  const temporary = await makeTemporarySibling(folder);
  const write = (name: string, value: Uint8Array | Json): Promise<void> => {
    const path = joinPath(temporary, name);
    return value instanceof Uint8Array || typeof value === 'string'
      ? writeFileAtomic(path, value)
      : writeJson(path, value);
  };
  try {
    await write('config.json', config);
    if (generationConfig) await write('generation_config.json', generationConfig);
    if (tokenizerConfig) await write('tokenizer_config.json', tokenizerConfig);
    for (const [name, value] of Object.entries(files)) await write(name, value);
    const { metadata = { format: 'pt' }, maxShardBytes, dtype } = content;
    await writeSafetensors(joinPath(temporary, 'model.safetensors'), weights, {
      metadata,
      maxShardBytes,
      dtype,
      signal,
    });
    await more?.(temporary);
    throwIfAborted(signal);
    await replaceDirectory(temporary, folder);
  } catch (error) {
    await remove(temporary);
    throw error;
  }
}

/** What a model folder may hold and a new model may replace. */
const MODEL_FILES = [
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$/,
  /^(tessera|tessera-tokenizer|preprocessor_config|processor_config|chat_template)\.json$/,
  /^(merges\.txt|vocab\.txt|tokenizer\.model|chat_template\.jinja|onnx)$/,
  /^[\w-]+\.safetensors(\.index\.json)?$/,
];

async function refuseStrangers(folder: string, own: ReadonlySet<string>): Promise<void> {
  const status = await stat(folder);
  if (status === undefined) return;
  if (status.kind !== 'directory') {
    throw new TesseraError('bad-input', `${folder} is a file; the model would need a folder of that name.`);
  }
  for (const { name } of await listDirectory(folder)) {
    if (own.has(name) || MODEL_FILES.some((pattern) => pattern.test(name))) continue;
    throw new TesseraError('bad-input', `${folder} holds ${name}, which is no part of a model and would be lost.`, {
      hint: 'Choose another folder, or move that file away.',
    });
  }
}

function withoutConfig(folder: string, names: ReadonlySet<string>): TesseraError {
  const weights = [...names].some(isWeightsName);
  if (names.has('adapter_config.json')) {
    return new TesseraError('not-found', `${folder} holds an adapter, not a model: it has no config.json.`, {
      hint: 'Merge it into its base model first.',
    });
  }
  return weights
    ? new TesseraError('not-found', `${folder} has weights and no config.json.`, { hint: 'Fetch config.json too.' })
    : new TesseraError('not-found', `${folder} is not a model folder: it has no config.json.`);
}

function withoutWeights(folder: string, names: ReadonlySet<string>): TesseraError {
  const other = [...names].find((name) => /\.(gguf|h5|msgpack|onnx)$/.test(name));
  return new TesseraError('not-found', `${folder} has a config.json and no weights that are read.`, {
    hint: other ? `It has ${other}: convert that to safetensors.` : 'Fetch its .safetensors or .bin files.',
  });
}
