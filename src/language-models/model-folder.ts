/**
 * Folders of models whose layout is ours: `config.json` with `model_type: "tessera_<slug>"`, the tokenizer's own files,
 * `model.safetensors` named by the tree's paths (or as the system's published checkpoints name them), and the exported
 * programs with `tessera.json`.
 */

import {
  type JsonObject,
  type ModelFolder,
  readModelFolder,
  type TensorSource,
  writeModelFolder,
} from '../formats/index.js';
import { type Arrays, arrayLeaves, mapTree, type NDArray, specLeaves, TesseraError } from '../tensor/index.js';
import { isSpec } from '../tensor/tree.js';
import { openTokenizer, type Tokenizer } from '../tokenizers/index.js';
import type { SaveModelOptions } from './contract.js';

/** What is written. */
export interface TextModelFiles<P> extends SaveModelOptions {
  /** `tessera_<slug>`. */
  readonly modelType: string;
  /** The model's options; `model_type`, `format` and `vocab_size` are added. */
  readonly config: JsonObject;
  readonly context: number;
  readonly tokenizer: Tokenizer;
  readonly parameters: Arrays<P>;
  /** The weights under published names, where the system has them; otherwise the tree's own paths. */
  readonly weights?: Iterable<TensorSource>;
  /** Writes exported programs into the hidden folder (skipped when `onnx` is an empty list). */
  readonly programs?: (folder: string) => Promise<void>;
}

/** Writes the folder whole or not at all. @throws no-space, bad-input, aborted. */
export async function saveTextModel<P>(folder: string, files: TextModelFiles<P>): Promise<void> {
  const { modelType, config, context, tokenizer, parameters, programs, onnx = ['fp32'], signal } = files;
  const own = arrayLeaves(parameters).map(([name, array]) => ({ name, array }));
  await writeModelFolder(folder, {
    config: { ...config, model_type: modelType, format: 1 },
    files: Object.fromEntries(tokenizer.save({ maxLength: context }).map(({ file, text }) => [file, text])),
    weights: files.weights ?? own,
    signal,
    more: async (temporary) => {
      if (onnx.length > 0) await programs?.(temporary);
    },
  });
}

/** A folder of ours, opened: its options and tokenizer checked, its weights not yet read. */
export interface OpenTextModel {
  readonly folder: ModelFolder;
  readonly config: JsonObject;
  readonly tokenizer: Tokenizer;
}

/**
 * Opens a folder that {@link saveTextModel} wrote.
 * @throws not-found, bad-file; unsupported for another type or a newer format; mismatch when the tokenizer has more
 * tokens than `vocabularyOf` the configuration.
 */
export async function openTextModel(
  path: string,
  modelType: string,
  vocabularyOf: (config: JsonObject) => number,
): Promise<OpenTextModel> {
  const folder = await readModelFolder(path);
  try {
    const { config, tokenizerPath } = folder;
    if (config.model_type !== modelType) {
      throw new TesseraError(
        'unsupported',
        `${path} holds a model of the type "${String(config.model_type)}", not "${modelType}".`,
      );
    }
    if (Number(config.format) > 1) {
      throw new TesseraError(
        'unsupported',
        `${path} was written by a newer Tessera (format ${String(config.format)}).`,
        {
          hint: 'Update the package.',
        },
      );
    }
    if (tokenizerPath === undefined) throw new TesseraError('not-found', `${path} has no tokenizer.json.`);
    const tokenizer = await openTokenizer(tokenizerPath);
    const vocabulary = vocabularyOf(config);
    if (tokenizer.vocabulary.size > vocabulary) {
      throw new TesseraError(
        'mismatch',
        `The tokenizer in ${path} has ${tokenizer.vocabulary.size} tokens, its model an embedding of ${vocabulary}.`,
        { hint: 'Put the tokenizer that the model was trained with into the folder.' },
      );
    }
    return { folder, config, tokenizer };
  } catch (error) {
    await folder.close();
    throw error;
  }
}

/**
 * The weights of a folder as a tree of the form of `like` (specs or arrays), each leaf found under its own path.
 * @throws mismatch naming the tensor that is missing, unknown or of another shape.
 */
export async function readTextModel<P>(folder: ModelFolder, like: unknown): Promise<Arrays<P>> {
  const { weights, path } = folder;
  const specs = specLeaves(like);
  const known = new Set(specs.map(([name]) => name));
  const unknown = weights.names.find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw new TesseraError('mismatch', `${path} holds the tensor "${unknown}", which the model does not have.`);
  }
  const values = new Map<string, NDArray>();
  for (const [name, { shape }] of specs) {
    if (!weights.has(name)) {
      throw new TesseraError('mismatch', `${path} has no tensor "${name}", which the model needs.`);
    }
    const found = weights.tensor(name);
    if (found.shape.join() !== shape.join()) {
      throw new TesseraError(
        'mismatch',
        `The tensor "${name}" in ${path} is [${found.shape.join(', ')}]; the model needs [${shape.join(', ')}].`,
      );
    }
    values.set(name, await weights.read(name, { as: 'float32' }));
  }
  return mapTree(like, isSpec, (_leaf, name) => values.get(name)) as Arrays<P>;
}
