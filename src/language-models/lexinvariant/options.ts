/** What a lexinvariant model is made of. */

import { LARGEST_TABLE } from '../../embeddings/index.js';
import { isJsonObject, type JsonObject } from '../../formats/index.js';
import { TesseraError } from '../../tensor/index.js';
import { type GptChoices, type GptOptions, gptOptions } from '../gpt/options.js';

/** How the vectors of a sequence come about. */
export type LexinvariantForm = 'tables' | 'permutation';

/** Every choice of the architecture. The body is a decoder in the llama style. */
export interface LexinvariantOptions
  extends Omit<GptOptions, 'style' | 'tied' | 'activation' | 'lexinvariance' | 'ropeScaling'> {
  /**
   * `tables`: fresh vectors for every sequence. `permutation`: one fixed random table, and another order of the
   * vocabulary for every sequence.
   */
  readonly form: LexinvariantForm;
  /** Standard deviation of a vector's entries before the learned input scale. */
  readonly embedStd: number;
  /** Where the learned input scale starts. */
  readonly inputScale: number;
  /**
   * A learned vector that is added to every embedded token. It says nothing about the token, so the invariance stays.
   * Without it no head of the first layer can attend by position alone: random vectors have no common part that a
   * query without bias could be made from.
   */
  readonly offset: boolean;
  /**
   * Standard deviation of fresh weights. At the 0.02 of wide models a narrow one stays for long near zero, where neither
   * of two maps in a row has a gradient: queries with keys, values with outputs. Default: `1 / sqrt(width)`.
   */
  readonly deviation: number;
  /** Tokens that keep a learned vector in every sequence. */
  readonly learned: readonly number[];
  /** The seed of the permutation form's table. */
  readonly tableSeed: number;
}

/** Options with everything but the vocabulary optional. */
export type LexinvariantChoices = Partial<LexinvariantOptions> &
  Pick<LexinvariantOptions, 'vocabulary'> &
  Pick<GptChoices, 'size'>;

/** Fills in what was not chosen and refuses what does not fit together. @throws bad-option. */
export function lexinvariantOptions(choices: LexinvariantChoices): LexinvariantOptions {
  const {
    form,
    embedStd = 1,
    inputScale = 0.3,
    offset = true,
    deviation,
    learned = [],
    tableSeed = 0,
    ...body
  } = choices;
  const { style: _style, tied: _tied, activation: _activation, ...rest } = gptOptions({ ...body, style: 'llama' });
  const options: LexinvariantOptions = {
    ...rest,
    form: form ?? (rest.vocabulary > LARGEST_TABLE ? 'permutation' : 'tables'),
    embedStd,
    inputScale,
    offset,
    deviation: deviation ?? 1 / Math.sqrt(rest.width),
    learned: [...learned],
    tableSeed,
  };
  check(options);
  return options;
}

function check(options: LexinvariantOptions): void {
  const { form, embedStd, inputScale, deviation, learned, vocabulary, tableSeed } = options;
  const refuse = (sentence: string): never => {
    throw new TesseraError('bad-option', sentence);
  };
  if (form !== 'tables' && form !== 'permutation') {
    refuse(`The form must be tables or permutation, not ${String(form)}.`);
  }
  if (!(embedStd > 0 && Number.isFinite(embedStd))) refuse(`embedStd must be above 0, not ${embedStd}.`);
  if (!(deviation > 0 && Number.isFinite(deviation))) refuse(`deviation must be above 0, not ${deviation}.`);
  if (!(inputScale > 0 && Number.isFinite(inputScale))) refuse(`inputScale must be above 0, not ${inputScale}.`);
  if (!Number.isSafeInteger(tableSeed) || tableSeed < 0) refuse(`tableSeed must be a whole number, not ${tableSeed}.`);
  for (const id of learned) {
    if (Number.isInteger(id) && id >= 0 && id < vocabulary) continue;
    refuse(`The token ${id} that keeps a learned vector is not in a vocabulary of ${vocabulary}.`);
  }
  if (new Set(learned).size < learned.length) refuse('A token that keeps a learned vector is named twice.');
  if (vocabulary - learned.length < 2) refuse('Fewer than two tokens are left that have no learned vector.');
}

/** The options as the decoder's body knows them. */
export function bodyOptions(options: LexinvariantOptions): GptOptions {
  const { form: _form, embedStd: _std, inputScale: _scale, offset: _offset, ...rest } = options;
  const { learned: _learned, tableSeed: _seed, deviation: _deviation, ...body } = rest;
  return { ...body, style: 'llama', tied: true, activation: 'swiglu' };
}

/** The options as `config.json` has them: `vocabSize`, `d`, `embedStd` and `seedPolicy` beside those of the body. */
export function toLexinvariantConfig(options: LexinvariantOptions): JsonObject {
  const { vocabulary, width, form, tableSeed, embedStd, learned, ...rest } = options;
  return {
    vocabSize: vocabulary,
    d: width,
    embedStd,
    seedPolicy: { form, tableSeed, one: 'a table for each sequence' },
    learned: [...learned],
    ...rest,
  };
}

/** Reads what {@link toLexinvariantConfig} wrote. @throws bad-file naming what is missing; bad-option. */
export function fromLexinvariantConfig(config: JsonObject): LexinvariantOptions {
  const wrong = (key: string): TesseraError =>
    new TesseraError('bad-file', `config.json lacks "${key}" of a lexinvariant model.`);
  const number = (key: string): number => {
    const value = config[key];
    if (typeof value !== 'number') throw wrong(key);
    return value;
  };
  const { seedPolicy, learned, offset } = config;
  if (!isJsonObject(seedPolicy) || typeof seedPolicy.tableSeed !== 'number') throw wrong('seedPolicy');
  if (seedPolicy.form !== 'tables' && seedPolicy.form !== 'permutation') throw wrong('seedPolicy.form');
  if (!Array.isArray(learned) || !learned.every((id) => typeof id === 'number')) throw wrong('learned');
  if (typeof offset !== 'boolean') throw wrong('offset');
  const named = ['context', 'layers', 'heads', 'kvHeads', 'head', 'hidden', 'normEpsilon', 'ropeTheta'] as const;
  const more = ['dropout', 'endOfText', 'inputScale', 'embedStd', 'deviation'] as const;
  const numbers = Object.fromEntries([...named, ...more].map((key) => [key, number(key)]));
  return lexinvariantOptions({
    ...numbers,
    vocabulary: number('vocabSize'),
    width: number('d'),
    form: seedPolicy.form,
    tableSeed: seedPolicy.tableSeed,
    learned: learned as readonly number[],
    offset,
  });
}
