/** A TokenFormer opened for use: continuations with a key-value cache, and the bits a document costs. */

import { type CachedModel, causalRunner, frozen, openCachedDecoder, type Runner } from '../../nn/index.js';
import type { Arrays, Runtime } from '../../tensor/index.js';
import type { Tokenizer } from '../../tokenizers/index.js';
import { type TokenformerParameters, tokenformerForward, tokenformerHidden, tokenformerLogits } from './model.js';
import { type TokenformerOptions, tokenRows } from './options.js';

/** A TokenFormer as decoding with caches sees it. */
export function cachedTokenformer(options: TokenformerOptions, parameters: TokenformerParameters): CachedModel {
  const { layers, width, heads, vocabulary, context, endOfText } = options;
  return {
    layers,
    width,
    vocabulary,
    context,
    endOfText,
    kvHeads: heads,
    head: width / heads,
    weights: layers * tokenRows(options) * 2 * width,
    hidden: (ids, where, _extra, call) => tokenformerHidden(options, parameters, ids, where, call),
    logits: (hidden, _extra, call) => tokenformerLogits(parameters, hidden, call),
  };
}

/** Opens a model. Programs are compiled on first use. */
export async function openTokenformerRunner(
  runtime: Runtime,
  options: TokenformerOptions,
  weights: Arrays<TokenformerParameters>,
  tokenizer: Tokenizer,
): Promise<Required<Runner>> {
  const { context, vocabulary, endOfText } = options;
  const parameters = frozen<TokenformerParameters>(weights);
  return causalRunner(runtime, {
    coder: tokenizer,
    decoder: () => openCachedDecoder(runtime, cachedTokenformer(options, parameters)),
    scored: {
      context,
      vocabulary,
      endOfText,
      logits: (ids, call) => tokenformerForward(options, parameters, ids, call),
    },
  });
}
