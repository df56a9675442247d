/** Ids back to bytes: whole, and one by one with incomplete UTF-8 held back. */

import type { StreamDecoder } from './tokenizer.js';
import { checkId, type TokenTable } from './vocabulary.js';

const NONE = new Uint8Array(0);

/** The bytes of ids, one after the other; ids in `skip` are left out. @throws bad-input for an id that no token has. */
export function decodeIds(
  table: TokenTable,
  ids: ArrayLike<number>,
  skip?: ReadonlySet<number>,
): Uint8Array<ArrayBuffer> {
  const { bytes, offsets } = table;
  let length = 0;
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] as number;
    checkId(table, id);
    length += (offsets[id + 1] as number) - (offsets[id] as number);
  }
  const out = new Uint8Array(length);
  let to = 0;
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] as number;
    if (skip?.has(id)) continue;
    const end = offsets[id + 1] as number;
    for (let from = offsets[id] as number; from < end; from++) out[to++] = bytes[from] as number;
  }
  return to === length ? out : out.slice(0, to);
}

/** A decoder that is fed one id at a time. */
export function streamDecoder(table: TokenTable, skip?: ReadonlySet<number>): StreamDecoder {
  let held = NONE;
  const push = (id: number): Uint8Array => {
    checkId(table, id);
    if (skip?.has(id)) return NONE;
    const token = table.bytes.subarray(table.offsets[id], table.offsets[id + 1]);
    const all = new Uint8Array(held.length + token.length);
    all.set(held);
    all.set(token, held.length);
    const end = all.length - incompleteLength(all);
    held = all.slice(end);
    return all.subarray(0, end);
  };
  const flush = (): Uint8Array => {
    const rest = held;
    held = NONE;
    return rest;
  };
  return { push, flush, pushText: (id) => toText(push(id)), flushText: () => toText(flush()) };
}

/** Bytes as text: U+FFFD for what is not UTF-8, a byte-order mark kept. */
export function toText(bytes: Uint8Array): string {
  return bytes.length === 0 ? '' : new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

/** How many bytes at the end may be the start of a character: 0 to 3. */
function incompleteLength(bytes: Uint8Array): number {
  const { length } = bytes;
  for (let back = 1; back <= 3 && back <= length; back++) {
    const byte = bytes[length - back] as number;
    if ((byte & 0xc0) === 0x80) continue;
    const needed = byte < 0xc2 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 1;
    if (needed <= back) return 0;
    const second = back > 1 ? (bytes[length - back + 1] as number) : 0x80;
    // A second byte that the first one shuts out (overlong forms, surrogates) completes nothing.
    const low = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
    const high = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
    return back > 1 && (second < low || second > high) ? 0 : back;
  }
  return 0;
}
