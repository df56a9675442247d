/** A TokenFormer written as a folder: published names, published configuration, and what those do not say. */

import { type AdamWStart, exportCachedDecoder, frozen, writeAdamWStart } from '../../nn/index.js';
import type { Arrays } from '../../tensor/index.js';
import type { Tokenizer } from '../../tokenizers/index.js';
import type { SaveModelOptions } from '../contract.js';
import { saveTextModel } from '../model-folder.js';
import { cachedDecoderRoles, writePrograms } from '../programs.js';
import { TOKENFORMER_TYPE, toTokenformerConfig } from './config.js';
import type { TokenformerParameters } from './model.js';
import { toPublishedTokenformer } from './names.js';
import type { TokenformerOptions } from './options.js';
import { cachedTokenformer } from './runner.js';

/** What is saved. */
export interface SaveTokenformerOptions extends SaveModelOptions {
  readonly architecture: TokenformerOptions;
  readonly parameters: Arrays<TokenformerParameters>;
  readonly tokenizer: Tokenizer;
  /** The optimizer's moments, for training that goes on from this folder: `optimizer.safetensors`. */
  readonly start?: AdamWStart;
}

/** Writes the folder whole or not at all. @throws no-space, bad-input, aborted. */
export async function saveTokenformer(folder: string, options: SaveTokenformerOptions): Promise<void> {
  const { architecture, parameters, tokenizer, start, onnx = ['fp32'], signal } = options;
  await saveTextModel(folder, {
    modelType: TOKENFORMER_TYPE,
    config: toTokenformerConfig(architecture),
    context: architecture.context,
    tokenizer,
    parameters,
    weights: toPublishedTokenformer(architecture, parameters),
    signal,
    // The hook of the folder, which also holds what is no program.
    programs: async (temporary) => {
      if (start !== undefined) await writeAdamWStart(temporary, start, signal);
      if (onnx.length > 0) await writeDecoder(temporary, architecture, parameters);
    },
  });
}

async function writeDecoder(
  folder: string,
  architecture: TokenformerOptions,
  parameters: Arrays<TokenformerParameters>,
): Promise<void> {
  const { context, vocabulary, endOfText } = architecture;
  const weights = frozen<TokenformerParameters>(parameters);
  const lowered = exportCachedDecoder(cachedTokenformer(architecture, weights));
  await writePrograms(
    folder,
    { system: 'tokenformer', loop: 'next-token', context, vocabulary, endOfText },
    {
      decode: {
        lowered,
        about: 'ids, at, last and caches to logits and the new rows of keys and values',
        roles: cachedDecoderRoles(lowered),
      },
    },
  );
}
