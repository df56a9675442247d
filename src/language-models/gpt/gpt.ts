/** GPT as a language model: its module, batches, objective and runner behind one contract. */

import type { Json } from '../../formats/index.js';
import { type LanguageModel, nextToken, type TokenBatch, tokenSource } from '../../nn/index.js';
import type { Arrays, Call, Runtime, Tensor } from '../../tensor/index.js';
import type { Tokenizer } from '../../tokenizers/index.js';
import { forward, type GptParameters, initGpt } from './model.js';
import { type GptChoices, type GptOptions, gptOptions } from './options.js';
import { openGptRunner } from './runner.js';

/** A GPT as a language model. */
export interface Gpt extends LanguageModel<GptParameters, TokenBatch, Tensor> {
  readonly architecture: GptOptions;
  readonly tokenizer: Tokenizer;
}

/** What a GPT is made from: any option of the architecture and the tokenizer whose vocabulary it has. */
export type GptSettings = Omit<GptChoices, 'vocabulary'> & {
  readonly tokenizer: Tokenizer;
  /** Larger than the tokenizer's vocabulary to leave room; its size when absent. */
  readonly vocabulary?: number;
};

/** A decoder-only Transformer over a tokenizer's tokens. @throws bad-option for choices that do not fit together. */
export function gpt(settings: GptSettings): Gpt {
  const { tokenizer, ...choices } = settings;
  const endOfText = choices.endOfText ?? tokenizer.endOfText ?? 0;
  const architecture = gptOptions({
    ...choices,
    vocabulary: choices.vocabulary ?? tokenizer.vocabulary.size,
    endOfText,
  });
  const objective = nextToken();
  return {
    name: 'gpt',
    options: { ...architecture } as Json,
    architecture,
    tokenizer,
    likelihood: 'exact',
    objective,
    init: (random) => initGpt(architecture, random),
    apply: (parameters: GptParameters, batch: TokenBatch, call: Call) =>
      forward(architecture, parameters, batch.inputs, call),
    source: (corpus, size, random) =>
      tokenSource(corpus, (bytes) => tokenizer.encodeBytes(bytes), { ...size, endOfText, random }),
    programs: {
      model: {
        file: 'onnx/model.onnx',
        about: 'input_ids, attention_mask, position_ids, past_key_values to logits and present',
      },
    },
    open: (runtime: Runtime, weights: Arrays<GptParameters>) =>
      openGptRunner(runtime, architecture, weights, tokenizer),
  };
}
