/** A GPT opened for use: continuations with a key-value cache, and the bits a document costs. */

import { type CachedModel, causalRunner, frozen, openCachedDecoder, type Runner } from '../../nn/index.js';
import type { Arrays, Runtime } from '../../tensor/index.js';
import type { Tokenizer } from '../../tokenizers/index.js';
import { forward, type GptParameters, hiddenStates, logitsOf } from './model.js';
import type { GptOptions } from './options.js';

/** A GPT as decoding with caches sees it. */
function cachedGpt(options: GptOptions, parameters: GptParameters): CachedModel {
  return {
    ...options,
    weights: options.layers * options.width * options.width * 12,
    hidden: (ids, context, _extra, call) => hiddenStates(options, parameters, ids, context, call),
    logits: (hidden, _extra, call) => logitsOf(parameters, hidden, call),
  };
}

/** Opens a model. Programs are compiled on first use. */
export async function openGptRunner(
  runtime: Runtime,
  options: GptOptions,
  weights: Arrays<GptParameters>,
  tokenizer: Tokenizer,
): Promise<Required<Runner>> {
  const { context, vocabulary, endOfText } = options;
  return causalRunner(runtime, {
    coder: tokenizer,
    decoder: () => openCachedDecoder(runtime, cachedGpt(options, frozen<GptParameters>(weights))),
    scored: {
      context,
      vocabulary,
      endOfText,
      logits: (ids, call) => forward(options, frozen<GptParameters>(weights), ids, call),
    },
  });
}
