/**
 * Models that look words up. WordPiece (Schuster & Nakajima 2012, "Japanese and Korean Voice Search"; as in BERT) takes
 * the longest token that starts a word, then the longest that goes on, and knows a word whole or not at all; WordLevel
 * has an id for each word.
 */

import { TesseraError } from '../../host/error.js';
import type { WordMerger } from '../merges.js';
import type { TokenTable } from '../vocabulary.js';
import { byteTrie } from './trie.js';
import { bytesOf, lengthAt, textOf } from './unicode.js';

/** What WordPiece needs beside its tokens. */
export interface WordPieceOptions {
  /** The id of what stands for a word that cannot be put together, or -1. */
  readonly unknown: number;
  /** What the tokens within a word begin with, `##` in BERT's. */
  readonly prefix: string;
  /** A word of more characters is unknown. */
  readonly maxCharacters: number;
}

/** WordPiece over the tokens of a table that `isToken` admits. */
export function wordPieceModel(
  table: TokenTable,
  isToken: (id: number) => boolean,
  options: WordPieceOptions,
): WordMerger {
  const { unknown, maxCharacters } = options;
  const prefix = bytesOf(options.prefix);
  const { bytes: tokens, offsets, size } = table;
  const trie = byteTrie(tokens.length * (prefix.length === 0 ? 1 : 2), 2);
  /** The root of what may go on a word; the first root, 0, is of what may start one. */
  const inner = prefix.length === 0 ? 0 : 1;
  for (let id = 0; id < size; id++) {
    if (!isToken(id)) continue;
    const from = offsets[id] as number;
    const to = offsets[id + 1] as number;
    trie.add(0, tokens, from, to, id);
    if (inner !== 0 && startsWith(tokens, from, to, prefix)) trie.add(inner, tokens, from + prefix.length, to, id);
  }
  const { ids, step } = trie;
  return (bytes, from, to, out, at) => {
    let count = 0;
    let isKnown = to - from <= maxCharacters || countCharacters(bytes, from, to) <= maxCharacters;
    for (let start = from; isKnown && start < to; ) {
      let found = -1;
      let end = start;
      let node = start === from ? 0 : inner;
      for (let each = start; each < to; ) {
        node = step(node, bytes[each++] as number);
        if (node < 0) break;
        if ((ids[node] as number) >= 0) {
          found = ids[node] as number;
          end = each;
        }
      }
      isKnown = found >= 0 && end > start;
      if (isKnown) out[at + count++] = found;
      start = end;
    }
    if (isKnown) return count;
    if (unknown < 0) throw missing(bytes, from, to);
    out[at] = unknown;
    return 1;
  };
}

/** WordLevel over the tokens of a table that can be found; `unknown` is the id for other words, or -1. */
export function wordLevelModel(table: TokenTable, unknown: number): WordMerger {
  return (bytes, from, to, out, at) => {
    const id = table.find(bytes, from, to);
    if (id < 0 && unknown < 0) throw missing(bytes, from, to);
    out[at] = id < 0 ? unknown : id;
    return 1;
  };
}

function startsWith(tokens: Uint8Array, from: number, to: number, prefix: Uint8Array): boolean {
  return to - from > prefix.length && prefix.every((byte, i) => tokens[from + i] === byte);
}

function countCharacters(bytes: Uint8Array, from: number, to: number): number {
  let count = 0;
  for (let at = from; at < to; at += lengthAt(bytes, at, to)) count++;
  return count;
}

function missing(bytes: Uint8Array, from: number, to: number): TesseraError {
  const word = JSON.stringify(textOf(bytes.subarray(from, Math.min(to, from + 40))));
  return new TesseraError('bad-input', `No token stands for ${word}, and the vocabulary lacks the unknown token.`, {
    hint: 'The "unk_token" of the tokenizer.json\'s model names a token that the vocabulary must have.',
  });
}
