/** A TokenFormer as a language model: its module, batches, objective, files and runner behind one contract. */

import type { Json } from '../../formats/index.js';
import { nextToken, type Runner, type TokenBatch, tokenSource } from '../../nn/index.js';
import type { Arrays, Call, Runtime, Tensor } from '../../tensor/index.js';
import type { Tokenizer } from '../../tokenizers/index.js';
import type { TextModel } from '../contract.js';
import { freezeOldTokens } from './freeze.js';
import { initTokenformer, type TokenformerParameters, tokenformerForward } from './model.js';
import { type TokenformerChoices, type TokenformerOptions, tokenformerOptions } from './options.js';
import { openTokenformerRunner } from './runner.js';
import { saveTokenformer } from './save.js';

/** A TokenFormer as a language model. */
export interface Tokenformer extends TextModel<TokenformerParameters, TokenBatch, Tensor> {
  readonly architecture: TokenformerOptions;
  open(runtime: Runtime, weights: Arrays<TokenformerParameters>): Promise<Required<Runner>>;
}

/** What a TokenFormer is made from: any option of the architecture and the tokenizer whose vocabulary it has. */
export type TokenformerSettings = Omit<TokenformerChoices, 'vocabulary'> & {
  readonly tokenizer: Tokenizer;
  /** Larger than the tokenizer's vocabulary to leave room; its size when absent. */
  readonly vocabulary?: number;
  /** Train only the tokens that the last growth added. */
  readonly freezeOld?: boolean;
};

/**
 * A TokenFormer over a tokenizer's tokens.
 * @throws bad-option for choices that do not fit together, and to freeze the old tokens of a model that has not grown.
 */
export function tokenformer(settings: TokenformerSettings): Tokenformer {
  const { tokenizer, freezeOld = false, ...choices } = settings;
  const endOfText = choices.endOfText ?? tokenizer.endOfText ?? 0;
  const architecture = tokenformerOptions({
    ...choices,
    vocabulary: choices.vocabulary ?? tokenizer.vocabulary.size,
    endOfText,
  });
  return {
    name: 'tokenformer',
    options: JSON.parse(JSON.stringify(freezeOld ? { ...architecture, freezeOld } : architecture)) as Json,
    architecture,
    tokenizer,
    context: architecture.context,
    likelihood: 'exact',
    objective: nextToken(),
    ...(freezeOld ? { rates: freezeOldTokens(architecture) } : {}),
    init: (random) => initTokenformer(architecture, random),
    apply: (parameters: TokenformerParameters, batch: TokenBatch, call: Call) =>
      tokenformerForward(architecture, parameters, batch.inputs, call),
    source: (corpus, size, random, options) =>
      tokenSource(corpus, (bytes) => tokenizer.encodeBytes(bytes), { ...options, ...size, endOfText, random }),
    programs: {
      decode: {
        file: 'onnx/decode.onnx',
        about: 'ids, at, last and caches to logits and the new rows of keys and values',
      },
    },
    save: (folder, parameters, options) => saveTokenformer(folder, { ...options, architecture, parameters, tokenizer }),
    open: (runtime: Runtime, weights: Arrays<TokenformerParameters>) =>
      openTokenformerRunner(runtime, architecture, weights, tokenizer),
  };
}
