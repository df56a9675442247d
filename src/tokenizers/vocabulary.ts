/**
 * Tokens as one array of bytes and offsets: 200,000 of them cost a few megabytes and no objects. Bytes find their id
 * through a table with open addressing, which is made when it is first asked for.
 */

import { TesseraError } from '../host/error.js';
import type { Vocabulary } from './tokenizer.js';

const NONE = new Uint8Array(0);

/** The tokens of a vocabulary, by id. */
export interface TokenTable {
  /** One more than the largest id. */
  readonly size: number;
  /** The bytes of all tokens, in the order of their ids. */
  readonly bytes: Uint8Array;
  /** Where each token starts in `bytes`, and where the last one ends: [size + 1]. */
  readonly offsets: Int32Array;
  /** 1 where the id has a token: [size]. */
  readonly present: Uint8Array;
  /** The id of the token that is `bytes[from, to)`, or -1. */
  find(bytes: Uint8Array, from: number, to: number): number;
}

/** Where the bytes of each token are. */
export type TokenBytes = Pick<TokenTable, 'bytes' | 'offsets' | 'present'>;

/** Makes the table; `tokens[id]` may be absent, and a token for which `isFound` says no is not found by its bytes. */
export function tokenTable(
  tokens: readonly (Uint8Array | undefined)[],
  isFound: (id: number) => boolean = () => true,
): TokenTable {
  const size = tokens.length;
  const offsets = new Int32Array(size + 1);
  const present = new Uint8Array(size);
  for (let id = 0; id < size; id++) {
    const token = tokens[id];
    if (token !== undefined) present[id] = 1;
    offsets[id + 1] = (offsets[id] as number) + (token?.length ?? 0);
  }
  const bytes = new Uint8Array(offsets[size] as number);
  for (let id = 0; id < size; id++) bytes.set(tokens[id] ?? NONE, offsets[id]);
  return tokenTableOf({ bytes, offsets, present }, isFound);
}

/** Makes the table of tokens whose bytes are laid out already. */
export function tokenTableOf(
  { bytes, offsets, present }: TokenBytes,
  isFound: (id: number) => boolean = () => true,
): TokenTable {
  const size = present.length;
  let index: Int32Array | undefined;
  /** [id, hash] in each slot; the id is -1 where the slot is empty. */
  const makeIndex = (): Int32Array => {
    let capacity = 64;
    while (capacity < size * 2) capacity *= 2;
    const table = new Int32Array(capacity * 2).fill(-1);
    const mask = capacity - 1;
    for (let id = 0; id < size; id++) {
      if (present[id] === 0 || !isFound(id)) continue;
      const hash = hashBytes(bytes, offsets[id] as number, offsets[id + 1] as number) | 0;
      let slot = hash & mask;
      while (table[slot * 2] !== -1) slot = (slot + 1) & mask;
      table[slot * 2] = id;
      table[slot * 2 + 1] = hash;
    }
    return table;
  };
  const find = (word: Uint8Array, from: number, to: number): number => {
    index ??= makeIndex();
    const mask = (index.length >> 1) - 1;
    const hash = hashBytes(word, from, to) | 0;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const id = index[slot * 2] as number;
      if (id === -1) return -1;
      if (index[slot * 2 + 1] !== hash) continue;
      const start = offsets[id] as number;
      if ((offsets[id + 1] as number) - start === to - from && isSame(bytes, start, word, from, to)) return id;
    }
  };
  return { size, bytes, offsets, present, find };
}

/** The public face of a table; `special` and other added tokens are found by their text first. */
export function vocabularyOf(table: TokenTable, added: ReadonlyMap<string, number>): Vocabulary {
  return {
    size: table.size,
    token: (id) => {
      checkId(table, id);
      return table.bytes.slice(table.offsets[id], table.offsets[id + 1]);
    },
    id: (token) => {
      const known = typeof token === 'string' ? added.get(token) : undefined;
      if (known !== undefined) return known;
      const bytes = typeof token === 'string' ? new TextEncoder().encode(token) : token;
      const id = table.find(bytes, 0, bytes.length);
      return id === -1 ? undefined : id;
    },
  };
}

/** @throws bad-input when no token has this id. */
export function checkId(table: TokenTable, id: number): void {
  if (table.present[id] === 1) return;
  throw new TesseraError('bad-input', `No token has the id ${id}: the vocabulary has ${table.size} ids, from 0.`, {
    hint: 'Decode ids with the tokenizer that made them.',
  });
}

/** FNV-1a, mixed once more so that low bits serve as a slot. */
export function hashBytes(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let at = from; at < to; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}

function isSame(token: Uint8Array, start: number, word: Uint8Array, from: number, to: number): boolean {
  for (let at = from, each = start; at < to; at++, each++) if (token[each] !== word[at]) return false;
  return true;
}
