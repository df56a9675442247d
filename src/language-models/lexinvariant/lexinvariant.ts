/** A lexinvariant model as a language model: its module, batches, objective, files and runner behind one contract. */

import type { Json } from '../../formats/index.js';
import { type Module, type Objective, type Runner, tokenSource } from '../../nn/index.js';
import { type Arrays, type Runtime, type Tensor, TesseraError } from '../../tensor/index.js';
import type { Tokenizer } from '../../tokenizers/index.js';
import type { TextModel } from '../contract.js';
import {
  initLexinvariant,
  type LexinvariantBatch,
  type LexinvariantParameters,
  lexinvariantForward,
  lexinvariantObjective,
} from './model.js';
import { type LexinvariantChoices, type LexinvariantOptions, lexinvariantOptions } from './options.js';
import { openLexinvariantRunner } from './runner.js';
import { saveLexinvariant } from './save.js';

/** A lexinvariant model as a language model. */
export interface Lexinvariant extends TextModel<LexinvariantParameters, LexinvariantBatch, Tensor> {
  readonly architecture: LexinvariantOptions;
  open(runtime: Runtime, weights: Arrays<LexinvariantParameters>): Promise<Required<Runner>>;
}

/** The model without a tokenizer: what training needs of it. */
export function lexinvariantModule(options: LexinvariantOptions): Module<
  LexinvariantParameters,
  LexinvariantBatch,
  Tensor
> & {
  readonly objective: Objective<LexinvariantBatch, Tensor>;
} {
  return {
    init: (random) => initLexinvariant(options, random),
    apply: (parameters, batch, call) => lexinvariantForward(options, parameters, batch, call),
    objective: lexinvariantObjective(options),
  };
}

/** What a lexinvariant model is made from: any option of the architecture and a tokenizer. */
export type LexinvariantSettings = Omit<LexinvariantChoices, 'vocabulary'> & {
  readonly tokenizer: Tokenizer;
  /** Larger than the tokenizer's vocabulary to leave room; its size when absent. */
  readonly vocabulary?: number;
  /** The tokenizer's special tokens keep a learned vector, if they must mean something. */
  readonly learnSpecial?: boolean;
};

/** A lexinvariant model over a tokenizer's tokens. @throws bad-option for choices that do not fit together. */
export function lexinvariant(settings: LexinvariantSettings): Lexinvariant {
  const { tokenizer, learnSpecial = false, ...choices } = settings;
  const endOfText = choices.endOfText ?? tokenizer.endOfText ?? 0;
  const special = learnSpecial ? [...new Set(tokenizer.special.values())].sort((a, b) => a - b) : [];
  const architecture = lexinvariantOptions({
    ...choices,
    vocabulary: choices.vocabulary ?? tokenizer.vocabulary.size,
    learned: choices.learned ?? special,
    endOfText,
  });
  return {
    name: 'lexinvariant',
    options: { ...architecture, learned: [...architecture.learned] } as Json,
    architecture,
    tokenizer,
    context: architecture.context,
    likelihood: 'sampled',
    ...lexinvariantModule(architecture),
    source: (corpus, size, random, options) =>
      tokenSource(corpus, (bytes) => tokenizer.encodeBytes(bytes), { ...options, ...size, endOfText, random }),
    programs: {
      decode: {
        file: 'onnx/decode.onnx',
        about: 'ids, at, last, caches and the vectors of each row to logits and the new rows of keys and values',
      },
    },
    save: (folder, parameters, options) =>
      saveLexinvariant(folder, { ...options, architecture, parameters, tokenizer }),
    open: (runtime: Runtime, weights: Arrays<LexinvariantParameters>) =>
      openLexinvariantRunner(runtime, architecture, weights, tokenizer),
  };
}

/**
 * The same model, with the same weights, over another vocabulary: nothing that was learned has the vocabulary's size.
 * Tokens that keep a learned vector are named anew, as many as before.
 * @throws bad-option when their number changes, or they are not in the vocabulary.
 */
export function withVocabulary(
  model: Lexinvariant,
  tokenizer: Tokenizer,
  options: Pick<LexinvariantSettings, 'vocabulary' | 'learned' | 'endOfText' | 'form'> = {},
): Lexinvariant {
  const { vocabulary: _size, endOfText: _end, learned: before, ...kept } = model.architecture;
  const learned = options.learned ?? before;
  if (learned.length !== before.length) {
    throw new TesseraError(
      'bad-option',
      `The model has learned vectors of ${before.length} tokens, not of ${learned.length}.`,
      { hint: 'Name as many tokens of the new vocabulary, in the order of the old ones.' },
    );
  }
  return lexinvariant({ ...kept, ...options, learned, tokenizer });
}
