/**
 * The tokenizer without a vocabulary to learn: a byte is a token, its id its value. Special tokens come after the 256
 * bytes. It saves as byte-level BPE without merges, which Hugging Face's libraries open with the same ids.
 */

import { TesseraError } from '../host/error.js';
import { bpeTokenizer } from './bpe.js';
import { readBpe } from './bpe-file.js';
import { BYTE_CHARACTERS } from './byte-level.js';
import { defaultConfig } from './config.js';
import { preTokenizerJson } from './pretokenize.js';
import type { Tokenizer } from './tokenizer.js';

/** Choices of the byte tokenizer. */
export interface ByteTokenizerOptions {
  /** The token that ends a document, id 256; `<|endoftext|>` unless given, false for none. */
  readonly endOfText?: string | false;
  /** More special tokens, in the order of their ids. */
  readonly specialTokens?: readonly string[];
}

/** A tokenizer of 256 bytes and special tokens. @throws bad-option for an empty or repeated special token. */
export function byteTokenizer(options: ByteTokenizerOptions = {}): Tokenizer {
  const { endOfText = '<|endoftext|>', specialTokens = [] } = options;
  const special = [...(endOfText === false ? [] : [endOfText]), ...specialTokens];
  checkSpecialTokens(special);
  const vocab = Object.fromEntries(BYTE_CHARACTERS.map((character, byte) => [character, byte]));
  const file = {
    added_tokens: addedTokensJson(special, 256),
    ...byteLevelComponents(preTokenizerJson('none')),
    model: { type: 'BPE', vocab, merges: [] },
  };
  return bpeTokenizer(readBpe(file, 'bytes'), defaultConfig(endOfText === false ? undefined : endOfText), 'bytes');
}

/** The components of a byte-level tokenizer.json around its pre-tokenizer. */
export function byteLevelComponents<T>(preTokenizer: T) {
  return {
    normalizer: null,
    pre_tokenizer: preTokenizer,
    post_processor: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true },
  };
}

/** Special tokens as `added_tokens`, with ids from `first` on. */
export function addedTokensJson(special: readonly string[], first: number) {
  return special.map((content, i) => ({ id: first + i, content, normalized: false, special: true }));
}

/** @throws bad-option for an empty or repeated special token. */
export function checkSpecialTokens(special: readonly string[]): void {
  const odd = special.find((content, i) => content === '' || special.indexOf(content) !== i);
  if (odd !== undefined) {
    throw new TesseraError(
      'bad-option',
      `The special token ${JSON.stringify(odd)} is ${odd === '' ? 'empty' : 'there twice'}.`,
    );
  }
}
