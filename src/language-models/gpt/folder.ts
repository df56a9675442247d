/** A GPT as a Hugging Face folder with `onnx/` in it, written whole or not at all, and read back from any writer. */

import { joinPath } from '#host';
import { readModelFolder, type Safetensors, writeModelFolder } from '../../formats/index.js';
import { type Arrays, type Lowered, TesseraError, writeModel } from '../../tensor/index.js';
import { openTokenizer, type Tokenizer } from '../../tokenizers/index.js';
import { exportDecoder } from './export.js';
import { type Gpt, gpt } from './gpt.js';
import type { GptParameters } from './model.js';
import { fromPublished, toPublished } from './names.js';
import { fromConfig, type GptOptions, toConfig } from './options.js';
import { halfWeights, quantizedWeights } from './precision.js';

/** The ONNX files that can be written; each is named as transformers.js looks for it. */
export type OnnxPrecision = 'fp32' | 'fp16' | 'quantized';

/** What is saved. */
export interface SaveGptOptions {
  readonly architecture: GptOptions;
  readonly parameters: Arrays<GptParameters>;
  readonly tokenizer: Tokenizer;
  /** Which ONNX files to write (default: fp32 only). */
  readonly onnx?: readonly OnnxPrecision[];
  readonly signal?: AbortSignal;
}

const FILES: Readonly<Record<OnnxPrecision, { readonly file: string; convert(lowered: Lowered): Lowered }>> = {
  fp32: { file: 'model.onnx', convert: (lowered) => lowered },
  fp16: { file: 'model_fp16.onnx', convert: halfWeights },
  quantized: { file: 'model_quantized.onnx', convert: quantizedWeights },
};

/** Writes the folder: configuration, tokenizer, weights under the official names, and ONNX. @throws no-space, bad-input. */
export async function saveGpt(folder: string, options: SaveGptOptions): Promise<void> {
  const { architecture, parameters, tokenizer, onnx = ['fp32'], signal } = options;
  const { endOfText } = architecture;
  await writeModelFolder(folder, {
    config: toConfig(architecture),
    generationConfig: {
      bos_token_id: endOfText,
      eos_token_id: endOfText,
      pad_token_id: endOfText,
      max_length: architecture.context,
    },
    files: Object.fromEntries(
      tokenizer.save({ maxLength: architecture.context }).map(({ file, text }) => [file, text]),
    ),
    weights: toPublished(architecture, parameters),
    signal,
    more: async (temporary) => {
      if (onnx.length === 0) return;
      const lowered = exportDecoder(architecture, parameters);
      for (const precision of onnx) {
        const { file, convert } = FILES[precision];
        await writeModel(joinPath(temporary, 'onnx'), file, convert(lowered));
      }
    },
  });
}

/** A model found in a folder. */
export interface LoadedGpt {
  readonly model: Gpt;
  /** The weights, read when asked for. */
  parameters(): Promise<Arrays<GptParameters>>;
  readonly weights: Safetensors;
  close(): Promise<void>;
}

/**
 * Opens a folder of a llama or gpt2 model, also one that another tool wrote (bfloat16, sharded).
 * @throws not-found, bad-file, unsupported; mismatch when tokenizer and embedding disagree.
 */
export async function loadGpt(folder: string): Promise<LoadedGpt> {
  const found = await readModelFolder(folder);
  try {
    const options = fromConfig(found.config);
    if (found.tokenizerPath === undefined) throw new TesseraError('not-found', `${folder} has no tokenizer.json.`);
    const tokenizer = await openTokenizer(found.tokenizerPath);
    if (tokenizer.vocabulary.size > options.vocabulary) {
      throw new TesseraError(
        'mismatch',
        `The tokenizer in ${folder} has ${tokenizer.vocabulary.size} tokens, its model an embedding of ${options.vocabulary}.`,
        {
          hint: 'Put the tokenizer that the model was trained with into the folder.',
        },
      );
    }
    const { style, vocabulary, endOfText: _own, ...rest } = options;
    const model = gpt({ ...rest, style, vocabulary, tokenizer, endOfText: options.endOfText });
    return {
      model,
      parameters: () => fromPublished(options, found.weights),
      weights: found.weights,
      close: found.close,
    };
  } catch (error) {
    await found.close();
    throw error;
  }
}
