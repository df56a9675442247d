/**
 * SentencePiece's BPE (github.com/google/sentencepiece, `src/bpe_model.cc`) by the merges of merges.ts: two symbols merge
 * when a piece is spelled by both, the piece of the highest score first, the leftmost of equals. Symbols start as bytes;
 * the bytes of a character that some piece has merge before all else, so that the rest goes by characters.
 */

import { TesseraError } from '../host/error.js';
import { mergeTableBuilder, type WordMerger, wordMerger } from './merges.js';
import { PIECE, type SentencePieceFile } from './sentencepiece-file.js';
import { NODE, tokenTrie } from './unigram-trie.js';
import type { TokenTable } from './vocabulary.js';

/** Merges of bytes to characters have the first ranks: one for each byte of a character after its first. */
const CHARACTER_RANKS = 3;

/** Longer pieces and more merges are refused: a small file could ask for hours of work with them. */
const LONGEST_PIECE = 1024;
const MOST_MERGES = 1 << 22;

function tooMuch(reason: string): TesseraError {
  return new TesseraError('unsupported', `The SentencePiece model cannot be used: its BPE has ${reason}.`, {
    hint: `Pieces of up to ${LONGEST_PIECE} bytes can be used; those that are found whole may be user-defined.`,
  });
}

/** The merges of the pieces: calls `add` with the two parts of each piece and the piece, for all ways to part it. */
export function eachMerge(
  file: SentencePieceFile,
  table: TokenTable,
  symbol: (from: number, to: number) => number,
  add: (left: number, right: number, id: number) => void,
): void {
  const { types } = file;
  const { bytes, offsets } = table;
  const nodes = tokenTrie(table, (id) => types[id] === PIECE.normal);
  let count = 0;
  for (let id = 0; id < table.size; id++) {
    if (types[id] !== PIECE.normal) continue;
    const from = offsets[id] as number;
    const to = offsets[id + 1] as number;
    const first = from + lengthOf(bytes[from] as number);
    if (first === to) continue;
    if (to - from > LONGEST_PIECE) throw tooMuch(`a piece of ${to - from} bytes`);
    // The left part is a piece, found along the trie, or the first character.
    let node = 0;
    for (let end = from; end < to - 1; ) {
      const child = (nodes[node] as number) + (bytes[end++] as number) * NODE;
      const isPiece = nodes[child + 1] === node && (nodes[child + 2] as number) >= 0;
      node = child;
      if (!isPiece && end !== first) continue;
      const right = symbol(end, to);
      if (right < 0) continue;
      if (++count > MOST_MERGES) throw tooMuch(`more than ${MOST_MERGES} ways to part its pieces`);
      add(symbol(from, end), right, id);
    }
  }
}

/** The merger of a BPE model's words; `byteIds` for byte fallback. */
export function sentencePieceMerger(
  file: SentencePieceFile,
  table: TokenTable,
  byteIds: Int32Array | undefined,
): WordMerger {
  const { scores, types, unknown } = file;
  const { bytes: text, offsets, size } = table;
  /** The bytes of each symbol that is no piece: those of `size` and above. */
  const extra: Uint8Array[] = [];
  const extraIds = new Map<number, number>();
  const extraSymbol = (bytes: Uint8Array): number => {
    // A character or a part of one, of up to 4 bytes, as one number with its length.
    let key = bytes.length;
    for (const byte of bytes) key = key * 256 + byte;
    const known = extraIds.get(key);
    if (known !== undefined) return known;
    const id = size + extra.length;
    extra.push(bytes);
    extraIds.set(key, id);
    return id;
  };
  const symbol = (from: number, to: number): number => {
    const id = table.find(text, from, to);
    if (id !== -1 && types[id] === PIECE.normal) return id;
    return to - from === lengthOf(text[from] as number) ? extraSymbol(text.slice(from, to)) : -1;
  };
  const merges: number[] = [];
  eachMerge(file, table, symbol, (left, right, id) => {
    merges.push(left, right, id);
  });
  const byScore = [...new Set(merges.filter((_, i) => i % 3 === 2).map((id) => scores[id] as number))].sort(
    (a, b) => b - a,
  );
  const ranks = new Map(byScore.map((score, rank) => [score, rank + CHARACTER_RANKS]));

  const symbolOfBytes = (bytes: Uint8Array): number => {
    const id = table.find(bytes, 0, bytes.length);
    return id !== -1 && types[id] === PIECE.normal ? id : extraSymbol(bytes);
  };
  const firsts = Int32Array.from({ length: 256 }, (_, byte) => symbolOfBytes(Uint8Array.of(byte)));
  const characters: number[] = [];
  const seen = new Set<string>();
  for (let id = 0; id < size; id++) {
    if (types[id] !== PIECE.normal) continue;
    for (let at = offsets[id] as number; at < (offsets[id + 1] as number); ) {
      const length = lengthOf(text[at] as number);
      const character = text.slice(at, at + length);
      at += length;
      if (length === 1 || seen.has(character.join())) continue;
      seen.add(character.join());
      let left = firsts[character[0] as number] as number;
      for (let end = 2; end <= length; end++) {
        const result = symbolOfBytes(character.slice(0, end));
        characters.push(left, firsts[character[end - 1] as number] as number, end - 2, result);
        left = result;
      }
    }
  }
  const { table: mergeTable, add } = mergeTableBuilder(merges.length / 3 + characters.length / 4 + CHARACTER_RANKS);
  for (let i = 0; i < characters.length; i += 4) {
    add(characters[i] as number, characters[i + 1] as number, characters[i + 2] as number, characters[i + 3] as number);
  }
  for (let i = 0; i < merges.length; i += 3) {
    const id = merges[i + 2] as number;
    add(merges[i] as number, merges[i + 1] as number, ranks.get(scores[id] as number) as number, id);
  }
  const merge = wordMerger(mergeTable, { byteIds: firsts, unknown: -1, fuseUnknown: false });

  return (bytes, from, to, out, at) => {
    const count = merge(bytes, from, to, out, at);
    let isKnown = true;
    for (let i = at; i < at + count; i++) if ((out[i] as number) >= size) isKnown = false;
    if (isKnown) return count;
    // Symbols that are no piece: their bytes, or one unknown piece for a run of them.
    const symbols = out.slice(at, at + count);
    let end = at;
    let isUnknown = false;
    for (const each of symbols) {
      if (each < size) out[end++] = each;
      else if (byteIds !== undefined) {
        for (const byte of extra[each - size] as Uint8Array) out[end++] = byteIds[byte] as number;
      } else if (!isUnknown) out[end++] = unknown;
      isUnknown = each >= size;
    }
    return end - at;
  };
}

/** The bytes of the character that a byte leads: 1 to 4. */
function lengthOf(lead: number): number {
  return lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}
