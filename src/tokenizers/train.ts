/**
 * Training byte-level BPE: words are counted from a stream of texts (`count-words.ts`), merges are learned from the
 * counts (`learn-merges.ts`), and the result is a tokenizer that saves as Hugging Face's own trainer would.
 */

import { TesseraError, throwIfAborted } from '../host/error.js';
import { bpeTokenizer } from './bpe.js';
import { readBpe } from './bpe-file.js';
import { addedTokensJson, byteLevelComponents, checkSpecialTokens } from './bytes.js';
import { defaultConfig } from './config.js';
import { wordCounter } from './count-words.js';
import { learnMerges } from './learn-merges.js';
import { preTokenizerJson, readPreTokenizer } from './pretokenize.js';
import type { SplitPatternName } from './scanners.js';
import type { Tokenizer } from './tokenizer.js';

/** What a trainer tells while it works. */
export type TrainProgress =
  | { readonly stage: 'count'; readonly bytes: number; readonly words: number }
  | { readonly stage: 'merge'; readonly tokens: number; readonly of: number };

/** Choices of `trainBpe`. */
export interface TrainBpeOptions {
  /** Tokens to learn, special tokens and the 256 bytes among them. */
  readonly vocabularySize: number;
  /** A pair that occurs less often is not merged; 0 unless given, as in Hugging Face's trainer. */
  readonly minFrequency?: number;
  /** The token that ends a document, id 0; `<|endoftext|>` unless given, false for none. */
  readonly endOfText?: string | false;
  /** More special tokens, whose ids come before the bytes'. */
  readonly specialTokens?: readonly string[];
  /** How text is cut into words, which merges never cross: by name, by an expression's source, or not at all; `gpt2` unless given. */
  readonly splitPattern?: SplitPatternName | 'none' | { readonly source: string };
  readonly onProgress?: (progress: TrainProgress) => void;
  readonly signal?: AbortSignal;
}

/** A trained tokenizer and what it was trained on. */
export interface TrainedBpe {
  readonly tokenizer: Tokenizer;
  /** Bytes of text, different words, and tokens, which are fewer than asked for when no pair is left to merge. */
  readonly report: { readonly bytes: number; readonly words: number; readonly tokens: number };
}

/** Milliseconds of work between two rests, in which timers, signals and messages have their turn. */
const REST_EVERY = 50;

/**
 * Trains a byte-level BPE tokenizer on texts, each a document of its own.
 * @throws bad-option for a vocabulary without room for bytes and special tokens; bad-input when there is no text;
 * aborted; unsupported for a pattern that cannot be used.
 */
export async function trainBpe(
  texts: Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>,
  options: TrainBpeOptions,
): Promise<TrainedBpe> {
  const { vocabularySize, minFrequency = 0, endOfText = '<|endoftext|>', splitPattern = 'gpt2' } = options;
  const { onProgress, signal } = options;
  const special = [...(endOfText === false ? [] : [endOfText]), ...(options.specialTokens ?? [])];
  checkSpecialTokens(special);
  checkSizes(vocabularySize, minFrequency, special.length);
  const preTokenizer = preTokenizerJson(splitPattern);
  const rest = rester(signal);

  const counter = wordCounter(readPreTokenizer(preTokenizer, 'splitPattern'));
  for await (const text of texts) {
    counter.add(text);
    if (await rest()) onProgress?.({ stage: 'count', bytes: counter.bytesRead, words: counter.size });
  }
  throwIfAborted(signal);
  if (counter.size === 0) throw new TesseraError('bad-input', 'There is no text to train a tokenizer on.');
  onProgress?.({ stage: 'count', bytes: counter.bytesRead, words: counter.size });

  const learned = learnMerges(counter.counts(), { vocabularySize, minFrequency, specialTokens: special });
  let step = learned.next();
  for (; step.done !== true; step = learned.next()) {
    if (await rest()) onProgress?.({ stage: 'merge', tokens: step.value, of: vocabularySize });
  }
  const { spellings, merges } = step.value;
  onProgress?.({ stage: 'merge', tokens: spellings.length, of: vocabularySize });

  const file = {
    added_tokens: addedTokensJson(special, 0),
    ...byteLevelComponents(preTokenizer),
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(spellings.map((spelling, id) => [spelling, id])),
      merges: merges.map(([left, right]) => `${spellings[left]} ${spellings[right]}`),
    },
  };
  const config = defaultConfig(endOfText === false ? undefined : endOfText);
  return {
    tokenizer: bpeTokenizer(readBpe(file, 'the trained tokenizer'), config, 'the trained tokenizer'),
    report: { bytes: counter.bytesRead, words: counter.size, tokens: spellings.length },
  };
}

function checkSizes(vocabularySize: number, minFrequency: number, special: number): void {
  const least = 256 + special;
  if (!Number.isInteger(vocabularySize) || vocabularySize < least) {
    throw new TesseraError('bad-option', `A vocabulary of ${vocabularySize} tokens is too small.`, {
      hint: `Ask for at least ${least}: 256 bytes and ${special} special tokens.`,
    });
  }
  if (!(minFrequency >= 0))
    throw new TesseraError('bad-option', `A smallest frequency of ${minFrequency} makes no sense.`);
}

/** Gives a function that lets other work have a turn when it is due, and says whether it did. @throws aborted. */
function rester(signal: AbortSignal | undefined): () => Promise<boolean> {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < REST_EVERY) return false;
    await new Promise((resolve) => setTimeout(resolve));
    throwIfAborted(signal);
    since = performance.now();
    return true;
  };
}
