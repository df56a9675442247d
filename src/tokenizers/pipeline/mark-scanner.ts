/**
 * Where a text without a pre-tokenizer may be cut all the same. SentencePiece's BPE merges whole sentences, but no token
 * of such a vocabulary has a mark for a space, U+2581, after anything else than another: no merge ever reaches across,
 * so what begins with marks can be merged, and remembered, on its own.
 */

import type { Scanner } from '../scanners.js';
import type { TokenTable } from '../vocabulary.js';
import { bytesOf } from './unicode.js';

/** A scanner that cuts before marks, or undefined where a merge of [left, right, result] reaches across. */
export function markScanner(table: TokenTable, merges: Int32Array): Scanner | undefined {
  return ['\u2581', ' '].map((mark) => scannerOf(bytesOf(mark), table, merges)).find((scan) => scan !== undefined);
}

function scannerOf(mark: Uint8Array, table: TokenTable, merges: Int32Array): Scanner | undefined {
  // A mark without a token would be the unknown token, which may be one with its neighbors.
  if (table.find(mark, 0, mark.length) < 0) return undefined;
  const { bytes, offsets } = table;
  for (let i = 2; i < merges.length; i += 3) {
    const id = merges[i] as number;
    const to = offsets[id + 1] as number;
    let at = offsets[id] as number;
    while (isAt(mark, bytes, at, to)) at += mark.length;
    for (; at < to; at++) if (isAt(mark, bytes, at, to)) return undefined;
  }
  const first = mark[0] as number;
  return (text, from, to) => {
    let at = from;
    while (isAt(mark, text, at, to)) at += mark.length;
    while (at < to && !(text[at] === first && isAt(mark, text, at, to))) at++;
    return at;
  };
}

function isAt(mark: Uint8Array, bytes: Uint8Array, at: number, to: number): boolean {
  if (at + mark.length > to) return false;
  for (let i = 0; i < mark.length; i++) if (mark[i] !== bytes[at + i]) return false;
  return true;
}
