/**
 * The unigram language model (Kudo 2018, arXiv 1804.10959): of all ways to cut a word into pieces the one whose scores
 * add up to most, found by Viterbi's algorithm over a trie of the pieces' bytes, in time linear in the word and with
 * nothing allocated but working space that grows to the longest word.
 *
 * Equal sums are decided as the libraries decide them: the piece that starts first keeps its place. Sums are rounded as
 * theirs are: Hugging Face's library (github.com/huggingface/tokenizers) adds in double precision, SentencePiece
 * (github.com/google/sentencepiece) keeps them in single precision.
 */

import { TesseraError } from '../host/error.js';
import type { WordMerger } from './merges.js';
import { NODE, tokenTrie } from './unigram-trie.js';
import type { TokenTable } from './vocabulary.js';

/** What the score of an unknown character lies below the least score. */
export const UNKNOWN_PENALTY = 10;
/** Places of a word for which working space is kept. */
const KEPT = 1 << 20;

/** The pieces and what is done with characters that have none. */
export interface UnigramOptions {
  /** The pieces' bytes. */
  readonly table: TokenTable;
  /** The log probability of each id: [table.size]. */
  readonly scores: ArrayLike<number>;
  /** The ids that may be a piece of text; without it, all. */
  readonly isPiece?: (id: number) => boolean;
  /** The id for characters without a piece, or -1: such a character is an error. */
  readonly unknown: number;
  /** The score of a character without a piece; without it, the least score of a piece minus 10. */
  readonly unknownScore?: number;
  /** A run of unknown characters is one unknown token (`fuse_unk`). Both libraries do so; on unless switched off. */
  readonly fuseUnknown?: boolean;
  /** Byte fallback: the ids of the tokens `<0x00>` to `<0xFF>`, -1 where one is missing: [256]. */
  readonly byteIds?: Int32Array;
  /**
   * Whose arithmetic: double precision and unknown text looked up whole as Hugging Face's library does (the default),
   * or SentencePiece's single precision.
   */
  readonly rule?: 'huggingface' | 'sentencepiece';
}

/** The pieces that start at a place. */
export type PieceVisitor = (end: number, id: number, score: number) => void;

/** A unigram model. */
export interface UnigramModel {
  /** The best segmentation of a word. */
  readonly merge: WordMerger;
  /** Tells `visit` each piece that starts at `at`, the unknown character's too, the shortest first; returns its end. */
  pieces(bytes: Uint8Array, at: number, to: number, visit: PieceVisitor): number;
  /**
   * Writes the ids of a segmentation, `ends` being where each of its pieces ends and `ids` their ids: runs of unknown
   * characters become one token, or bytes.
   */
  write(
    bytes: Uint8Array,
    from: number,
    ends: ArrayLike<number>,
    ids: ArrayLike<number>,
    count: number,
    out: Int32Array,
    at: number,
  ): number;
}

/** Makes the model. */
export function unigramModel(options: UnigramOptions): UnigramModel {
  const { table, unknown, fuseUnknown = true, byteIds, rule = 'huggingface' } = options;
  const isPiece = options.isPiece ?? ((): boolean => true);
  const isSingle = rule === 'sentencepiece';
  const scores = Float64Array.from({ length: table.size }, (_, id) => options.scores[id] ?? 0);
  const unknownScore = options.unknownScore ?? leastScore(table, scores, isPiece) - UNKNOWN_PENALTY;
  const nodes = tokenTrie(table, isPiece);

  let best = new Float64Array(0);
  /** Where the best piece that ends at a place starts, then where the one that starts there ends. */
  let starts = new Int32Array(0);
  let ends = new Int32Array(0);
  let ids = new Int32Array(0);
  const reserve = (size: number): void => {
    if (size < best.length && best.length <= KEPT) return;
    const length = size < KEPT ? Math.min(KEPT, Math.max(256, size * 2)) : size + 1;
    best = new Float64Array(length);
    starts = new Int32Array(length);
    ends = new Int32Array(length);
    ids = new Int32Array(length);
  };

  /** Fills `ends` and `ids` with the best segmentation and returns how many pieces it has. */
  const viterbi = (bytes: Uint8Array, from: number, to: number): number => {
    const size = to - from;
    reserve(size);
    const sums = best;
    const begins = starts;
    const chosen = ids;
    begins.fill(-1, 0, size + 1);
    sums[0] = 0;
    for (let start = 0; start < size; ) {
      const here = sums[start] as number;
      const next = Math.min(size, start + characterLength(bytes[from + start] as number));
      let isKnown = false;
      let node = 0;
      for (let end = start; end < size; ) {
        const child = (nodes[node] as number) + (bytes[from + end++] as number) * NODE;
        if (nodes[child + 1] !== node) break;
        node = child;
        const id = nodes[child + 2] as number;
        if (id < 0) continue;
        const sum = (scores[id] as number) + here;
        if (begins[end] === -1 || sum > (sums[end] as number)) {
          sums[end] = isSingle ? Math.fround(sum) : sum;
          begins[end] = start;
          chosen[end] = id;
        }
        if (end === next) isKnown = true;
      }
      if (!isKnown) {
        const sum = isSingle ? Math.fround(unknownScore + here) : unknownScore + here;
        if (begins[next] === -1 || sum > (sums[next] as number)) {
          sums[next] = sum;
          begins[next] = start;
          chosen[next] = unknown;
        }
      }
      start = next;
    }
    // Backwards along the best pieces; the result lies at the end of the arrays, then moves to their start.
    let first = size + 1;
    for (let end = size; end > 0; end = begins[end] as number) {
      first--;
      ends[first] = from + end;
      chosen[first] = chosen[end] as number;
    }
    const count = size + 1 - first;
    ends.copyWithin(0, first, size + 1);
    chosen.copyWithin(0, first, size + 1);
    return count;
  };

  const write: UnigramModel['write'] = (bytes, from, pieceEnds, pieceIds, count, out, at) => {
    let to = at;
    let start = from;
    for (let i = 0; i < count; i++) {
      let end = pieceEnds[i] as number;
      const id = pieceIds[i] as number;
      if (id !== unknown) {
        out[to++] = id;
        start = end;
        continue;
      }
      while (fuseUnknown && i + 1 < count && pieceIds[i + 1] === unknown) end = pieceEnds[++i] as number;
      to += writeUnknown(bytes, start, end, out, to);
      start = end;
    }
    return to - at;
  };

  /** Unknown text: a token that the trie has not, its bytes, or the unknown token. */
  const writeUnknown: WordMerger = (bytes, from, to, out, at) => {
    const whole = isSingle ? -1 : table.find(bytes, from, to);
    if (whole !== -1) {
      out[at] = whole;
      return 1;
    }
    if (byteIds !== undefined) {
      let hasAll = true;
      for (let each = from; each < to; each++) hasAll &&= (byteIds[bytes[each] as number] as number) >= 0;
      if (hasAll) {
        for (let each = from; each < to; each++) out[at + each - from] = byteIds[bytes[each] as number] as number;
        return to - from;
      }
    }
    if (unknown === -1) throw missingUnknown(bytes, from, to);
    out[at] = unknown;
    return 1;
  };

  return {
    merge: (bytes, from, to, out, at) => {
      if (from === to) return 0;
      const count = viterbi(bytes, from, to);
      return write(bytes, from, ends, ids, count, out, at);
    },
    write,
    pieces: (bytes, at, to, visit) => {
      const next = Math.min(to, at + characterLength(bytes[at] as number));
      let isKnown = false;
      let node = 0;
      for (let end = at; end < to; ) {
        const child = (nodes[node] as number) + (bytes[end++] as number) * NODE;
        if (nodes[child + 1] !== node) break;
        node = child;
        const id = nodes[child + 2] as number;
        if (id < 0) continue;
        visit(end, id, scores[id] as number);
        if (end === next) isKnown = true;
      }
      if (!isKnown) visit(next, unknown, unknownScore);
      return next;
    },
  };
}

/** The bytes of the character that a byte leads: 1 to 4. */
function characterLength(lead: number): number {
  return lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

function leastScore(table: TokenTable, scores: Float64Array, isPiece: (id: number) => boolean): number {
  let least = Number.POSITIVE_INFINITY;
  for (let id = 0; id < table.size; id++) {
    if (table.present[id] === 1 && isPiece(id)) least = Math.min(least, scores[id] as number);
  }
  return least === Number.POSITIVE_INFINITY ? 0 : least;
}

function missingUnknown(bytes: Uint8Array, from: number, to: number): TesseraError {
  const text = JSON.stringify(new TextDecoder().decode(bytes.subarray(from, Math.min(to, from + 40))));
  return new TesseraError('bad-input', `No piece stands for ${text}, and the vocabulary has no unknown token.`, {
    hint: 'The "unk_id" of a Unigram model names the token for unknown characters.',
  });
}
