/**
 * Where a word may be cut without a change to its ids. A merge across two characters makes a token that has them side by
 * side; where no merge makes such a token, what lies before and behind is merged on its own, and can be remembered. So
 * the sentences that SentencePiece's BPE merges whole fall into words, and text without spaces into short pieces.
 */

import { hashPair } from '../pair-index.js';
import type { Scanner } from '../scanners.js';
import type { TokenTable } from '../vocabulary.js';
import { decodeAt } from './unicode.js';

/**
 * A scanner that cuts between characters that no merge of [left, right, result] joins, before characters that have a
 * token of their own: a run of unknown ones may become one token. For models whose symbols are characters or the tokens
 * of `odd`, such as the unknown token; undefined where a merge starts from one of those.
 */
export function pairScanner(table: TokenTable, merges: Int32Array, odd: ReadonlySet<number>): Scanner | undefined {
  const { bytes, offsets } = table;
  const isPair = new Uint8Array(1 << 14);
  const wide = new Set<number>();
  for (let i = 0; i < merges.length; i += 3) {
    if (odd.has(merges[i] as number) || odd.has(merges[i + 1] as number)) return undefined;
    const id = merges[i + 2] as number;
    const to = offsets[id + 1] as number;
    let last = -1;
    for (let at = offsets[id] as number; at < to; ) {
      const character = decodeAt(bytes, at, to);
      const point = character >> 3;
      if (last >= 0) {
        if ((last | point) < 0x80) isPair[(last << 7) | point] = 1;
        else wide.add(last * 0x200000 + point);
      }
      last = point;
      at += character & 7;
    }
  }
  const hasToken = characterTokens(table);
  const pairs = pairTable(wide);
  const { slots, mask } = pairs;
  const joins = (left: number, right: number): boolean => {
    if ((left | right) < 0x80) return isPair[(left << 7) | right] === 1;
    for (let slot = hashPair(left, right) & mask; ; slot = (slot + 1) & mask) {
      const known = slots[slot * 2] as number;
      if (known === left && slots[slot * 2 + 1] === right) return true;
      if (known === -1) return false;
    }
  };
  return (text, from, to) => {
    const first = decodeAt(text, from, to);
    let last = first >> 3;
    let at = from + (first & 7);
    while (at < to) {
      const character = decodeAt(text, at, to);
      const point = character >> 3;
      if (!joins(last, point) && hasToken(text, at, at + (character & 7), point)) return at;
      last = point;
      at += character & 7;
    }
    return at;
  };
}

/** Tells whether a character is a token; ASCII from a table. */
function characterTokens(table: TokenTable): (text: Uint8Array, from: number, to: number, point: number) => boolean {
  const ascii = Uint8Array.from({ length: 128 }, (_, byte) => (table.find(Uint8Array.of(byte), 0, 1) >= 0 ? 1 : 0));
  return (text, from, to, point) => (point < 0x80 ? ascii[point] === 1 : table.find(text, from, to) >= 0);
}

/** Pairs in a table with open addressing: [left, right] in each slot, left -1 where it is empty. */
function pairTable(pairs: ReadonlySet<number>): { readonly slots: Int32Array; readonly mask: number } {
  let capacity = 64;
  while (capacity < pairs.size * 2) capacity *= 2;
  const mask = capacity - 1;
  const slots = new Int32Array(capacity * 2).fill(-1);
  for (const pair of pairs) {
    const left = Math.floor(pair / 0x200000);
    const right = pair % 0x200000;
    let slot = hashPair(left, right) & mask;
    while (slots[slot * 2] !== -1) slot = (slot + 1) & mask;
    slots[slot * 2] = left;
    slots[slot * 2 + 1] = right;
  }
  return { slots, mask };
}
