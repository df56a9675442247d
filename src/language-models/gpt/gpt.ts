/** GPT as a language model: its module, batches, objective and runner behind one contract. */

import type { Json } from '../../formats/index.js';
import { nextToken, type Runner, type TokenBatch, tokenSource } from '../../nn/index.js';
import type { Arrays, Call, Runtime, Tensor } from '../../tensor/index.js';
import type { Tokenizer } from '../../tokenizers/index.js';
import type { TextModel } from '../contract.js';
import { forward, type GptParameters, initGpt } from './model.js';
import { adaptableModules } from './names.js';
import { type GptChoices, type GptOptions, gptOptions } from './options.js';
import { openGptRunner } from './runner.js';
import { saveGpt } from './save.js';

/** A GPT as a language model. */
export interface Gpt extends TextModel<GptParameters, TokenBatch, Tensor> {
  readonly architecture: GptOptions;
  open(runtime: Runtime, weights: Arrays<GptParameters>): Promise<Required<Runner>>;
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
    context: architecture.context,
    likelihood: 'exact',
    objective,
    adaptable: adaptableModules(architecture),
    init: (random) => initGpt(architecture, random),
    apply: (parameters: GptParameters, batch: TokenBatch, call: Call) =>
      forward(architecture, parameters, batch.inputs, call),
    source: (corpus, size, random, options) =>
      tokenSource(corpus, (bytes) => tokenizer.encodeBytes(bytes), { ...options, ...size, endOfText, random }),
    programs: {
      model: {
        file: 'onnx/model.onnx',
        about: 'input_ids, attention_mask, position_ids, past_key_values to logits and present',
      },
    },
    save: (folder, parameters, options) => saveGpt(folder, { ...options, architecture, parameters, tokenizer }),
    open: (runtime: Runtime, weights: Arrays<GptParameters>) =>
      openGptRunner(runtime, architecture, weights, tokenizer),
  };
}
