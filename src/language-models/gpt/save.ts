/** A GPT written as a Hugging Face folder with `onnx/` in it, whole or not at all. */

import { joinPath } from '#host';
import { writeModelFolder } from '../../formats/index.js';
import { type Arrays, type Lowered, writeModel } from '../../tensor/index.js';
import type { Tokenizer } from '../../tokenizers/index.js';
import type { OnnxPrecision, SaveModelOptions } from '../contract.js';
import { exportDecoder } from './export.js';
import type { GptParameters } from './model.js';
import { toPublished } from './names.js';
import { type GptOptions, toConfig } from './options.js';
import { halfWeights, quantizedWeights } from './precision.js';

/** What is saved. */
export interface SaveGptOptions extends SaveModelOptions {
  readonly architecture: GptOptions;
  readonly parameters: Arrays<GptParameters>;
  readonly tokenizer: Tokenizer;
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
