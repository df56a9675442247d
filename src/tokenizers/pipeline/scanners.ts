/**
 * Pre-tokenizers that leave nothing but white space out, as scanners: a word takes the one white-space character before
 * it along, longer white space is a word of its own, and `withoutSpace` takes it away before the model sees the word.
 */

import type { WordMerger } from '../merges.js';
import type { Scanner } from '../scanners.js';
import { decodeAt, flagsOf, PUNCTUATION, SPACE, WORD } from './unicode.js';

const ASCII = new Uint8Array(128);

/** SPACE, PUNCTUATION and WORD of the character at `at`, plus 256 times its length. */
function flagsAt(bytes: Uint8Array, at: number, end: number): number {
  const byte = bytes[at] as number;
  if (byte < 0x80) {
    const known = ASCII[byte] as number;
    if (known !== 0) return known | 256;
    ASCII[byte] = flagsOf(byte);
    return (ASCII[byte] as number) | 256;
  }
  const character = decodeAt(bytes, at, end);
  return flagsOf(character >> 3) | ((character & 7) << 8);
}

/** The scanner of words that `endOf` ends; `kind` are the flags of their first character. */
function scanner(endOf: (bytes: Uint8Array, at: number, end: number, kind: number) => number): Scanner {
  return (bytes, at, end) => {
    const first = flagsAt(bytes, at, end);
    let next = at + (first >> 8);
    if ((first & SPACE) === 0) return endOf(bytes, next, end, first);
    if (next === end) return end;
    const second = flagsAt(bytes, next, end);
    if ((second & SPACE) === 0) return endOf(bytes, next + (second >> 8), end, second);
    for (;;) {
      // All white space but the last character of it, which goes with the word.
      const length = flagsAt(bytes, next, end) >> 8;
      if (next + length >= end) return end;
      if ((flagsAt(bytes, next + length, end) & SPACE) === 0) return next;
      next += length;
    }
  };
}

/** Words end before white space and punctuation; a punctuation character is a word. */
export const scanBert: Scanner = scanner((bytes, from, end, kind) => {
  if ((kind & PUNCTUATION) !== 0) return from;
  let at = from;
  while (at < end) {
    const flags = flagsAt(bytes, at, end);
    if ((flags & (SPACE | PUNCTUATION)) !== 0) return at;
    at += flags >> 8;
  }
  return end;
});

/** Words end before white space and where word characters begin or end. */
export const scanWhitespace: Scanner = scanner((bytes, from, end, kind) => {
  const wanted = kind & WORD;
  let at = from;
  while (at < end) {
    const flags = flagsAt(bytes, at, end);
    if ((flags & (SPACE | WORD)) !== wanted) return at;
    at += flags >> 8;
  }
  return end;
});

/** Words end before white space. */
export const scanWhitespaceSplit: Scanner = scanner((bytes, from, end) => {
  let at = from;
  while (at < end) {
    const flags = flagsAt(bytes, at, end);
    if ((flags & SPACE) !== 0) return at;
    at += flags >> 8;
  }
  return end;
});

/** The model without the white space before its words; what is nothing else has no ids. */
export function withoutSpace(merge: WordMerger): WordMerger {
  return (bytes, from, to, out, at) => {
    let start = from;
    while (start < to) {
      const flags = flagsAt(bytes, start, to);
      if ((flags & SPACE) === 0) break;
      start += flags >> 8;
    }
    return start === to ? 0 : merge(bytes, start, to, out, at);
  };
}
