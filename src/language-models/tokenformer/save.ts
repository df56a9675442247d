/** A TokenFormer written as a folder: published names, published configuration, and what those do not say. */

import type { Arrays } from '../../tensor/index.js';
import type { Tokenizer } from '../../tokenizers/index.js';
import type { SaveModelOptions } from '../contract.js';
import { saveTextModel } from '../model-folder.js';
import { TOKENFORMER_TYPE, toTokenformerConfig } from './config.js';
import type { TokenformerParameters } from './model.js';
import { toPublishedTokenformer } from './names.js';
import type { TokenformerOptions } from './options.js';

/** What is saved. */
export interface SaveTokenformerOptions extends SaveModelOptions {
  readonly architecture: TokenformerOptions;
  readonly parameters: Arrays<TokenformerParameters>;
  readonly tokenizer: Tokenizer;
}

/** Writes the folder whole or not at all. @throws no-space, bad-input, aborted. */
export async function saveTokenformer(folder: string, options: SaveTokenformerOptions): Promise<void> {
  const { architecture, parameters, tokenizer, onnx, signal } = options;
  await saveTextModel(folder, {
    modelType: TOKENFORMER_TYPE,
    config: toTokenformerConfig(architecture),
    context: architecture.context,
    tokenizer,
    parameters,
    weights: toPublishedTokenformer(architecture, parameters),
    onnx,
    signal,
  });
}
