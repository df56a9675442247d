/**
 * Byte-pair merging (Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units"): of all
 * adjacent pairs the one of lowest rank is merged first, the leftmost of equals, until none is left.
 *
 * Ranks sit in a table with open addressing over (left, right). Words of up to 24 bytes are merged in place by a plain
 * scan for the minimum; those of up to 256, such as clauses of scripts without spaces, with their ranks on a heap; longer
 * ones through a linked list of symbols and a list of positions for each rank, in n log n, so that a word of a megabyte
 * takes well under a second. Nothing is allocated for the first two, and only typed arrays for a long one.
 */

import { hashPair } from './pair-index.js';
import type { TokenTable } from './vocabulary.js';

/** Merges by rank, ready for look-up. */
export interface MergeTable {
  readonly count: number;
  /** [left, right, rank, result] in each slot; left is -1 where the slot is empty. */
  readonly slots: Int32Array;
  readonly mask: number;
  /** A bit for the hash of each pair: most pairs that have no merge are told by it, from far less memory. */
  readonly filter: Int32Array;
}

/** Merges a word: writes the ids of `bytes[from, to)` to `out[at...]` and returns how many there are. */
export type WordMerger = (bytes: Uint8Array, from: number, to: number, out: Int32Array, at: number) => number;

/** How bytes become the first symbols of a word. */
export interface SymbolTable {
  /** The id of each byte's token, or -1: [256]. */
  readonly byteIds: Int32Array;
  /** What stands for a byte without a token; -1: the byte is left out. */
  readonly unknown: number;
  /** A run of unknown bytes is one unknown token. */
  readonly fuseUnknown: boolean;
  /** Where symbols are not bytes: writes a word's first symbols, at most one a byte, and returns how many there are. */
  readonly fill?: (bytes: Uint8Array, from: number, to: number, target: Int32Array) => number;
}

/** Symbols of a short word, which is searched for its least rank each time, and of one that keeps its ranks on a heap. */
const SHORT = 24;
const MIDDLE = 256;
/** More than any rank. */
const NO_RANK = 0x7fffffff;

/** A merge table in the making. */
export interface MergeTableBuilder {
  readonly table: MergeTable;
  /** Adds a merge; a pair that is there already takes the new rank. */
  add(left: number, right: number, rank: number, result: number): void;
  /** The place in the table's slots of a pair's merge, or -1. */
  find(left: number, right: number): number;
}

/** An empty table with room for `count` merges. */
export function mergeTableBuilder(count: number): MergeTableBuilder {
  let capacity = 64;
  while (capacity < count * 2) capacity *= 2;
  const slots = new Int32Array(capacity * 4).fill(-1);
  const mask = capacity - 1;
  // Four bits for each slot: an eighth of them are set at most.
  const filter = new Int32Array(capacity >> 3);
  const add = (left: number, right: number, rank: number, result: number): void => {
    const hash = hashPair(left, right);
    const bit = filterBit(hash, filter);
    filter[bit >>> 5] = (filter[bit >>> 5] as number) | (1 << bit);
    let slot = hash & mask;
    while (slots[slot * 4] !== -1 && !(slots[slot * 4] === left && slots[slot * 4 + 1] === right)) {
      slot = (slot + 1) & mask;
    }
    slots[slot * 4] = left;
    slots[slot * 4 + 1] = right;
    slots[slot * 4 + 2] = rank;
    slots[slot * 4 + 3] = result;
  };
  return { table: { count, slots, mask, filter }, add, find: finder(slots, mask, filter) };
}

/** Makes the table from [left, right, result] triples in the order of their rank; a pair given twice has its last rank. */
export function mergeTable(triples: Int32Array): MergeTable {
  const { table, add } = mergeTableBuilder(triples.length / 3);
  for (let rank = 0; rank < table.count; rank++) {
    add(triples[rank * 3] as number, triples[rank * 3 + 1] as number, rank, triples[rank * 3 + 2] as number);
  }
  return table;
}

/** Which bit of a filter stands for a hash: other bits of it than those that choose the slot. */
function filterBit(hash: number, filter: Int32Array): number {
  return Math.imul(hash, 0x2c1b3c6d) >>> (27 - (31 - Math.clz32(filter.length)));
}

function finder(slots: Int32Array, mask: number, filter: Int32Array): (left: number, right: number) => number {
  const shift = 27 - (31 - Math.clz32(filter.length));
  return (left, right) => {
    const hash = hashPair(left, right);
    const bit = Math.imul(hash, 0x2c1b3c6d) >>> shift;
    if ((((filter[bit >>> 5] as number) >>> bit) & 1) === 0) return -1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const place = slot << 2;
      const known = slots[place] as number;
      if (known === left && slots[place + 1] === right) return place;
      if (known === -1) return -1;
    }
  };
}

/** The function that merges words by a table. */
export function wordMerger(table: MergeTable, symbolTable: SymbolTable): WordMerger {
  const { count, slots, mask, filter } = table;
  const { byteIds, unknown, fuseUnknown } = symbolTable;
  const isComplete = byteIds.every((id) => id >= 0);
  const symbols = new Int32Array(MIDDLE);
  const ranks = new Int32Array(MIDDLE);
  const results = new Int32Array(MIDDLE);
  const after = new Int32Array(MIDDLE);
  const before = new Int32Array(MIDDLE + 1);
  // Every merge offers at most two pairs and there are fewer merges than symbols.
  const queue = new Int32Array(MIDDLE * 3);
  const find = finder(slots, mask, filter);
  const pairs = isComplete ? bytePairs(byteIds, slots, find) : undefined;

  /** Notes the merge of a pair at a position of a short word. */
  const note = (position: number, left: number, right: number): void => {
    const place = find(left, right);
    if (place < 0) ranks[position] = NO_RANK;
    else {
      ranks[position] = slots[place + 2] as number;
      results[position] = slots[place + 3] as number;
    }
  };

  /** Writes the word's first symbols and returns how many there are. */
  const fillBytes = (bytes: Uint8Array, from: number, to: number, target: Int32Array): number => {
    let length = 0;
    if (isComplete) {
      for (let at = from; at < to; at++) target[length++] = byteIds[bytes[at] as number] as number;
      return length;
    }
    let isUnknown = false;
    for (let at = from; at < to; at++) {
      const id = byteIds[bytes[at] as number] as number;
      if (id >= 0) target[length++] = id;
      else if (unknown >= 0 && !(fuseUnknown && isUnknown)) target[length++] = unknown;
      isUnknown = id < 0;
    }
    return length;
  };

  const fill = symbolTable.fill ?? fillBytes;

  /** Fills the first symbols of a word of at most MIDDLE bytes and the merges of their pairs; returns how many there are. */
  const begin = (bytes: Uint8Array, from: number, to: number): number => {
    const length = fill(bytes, from, to, symbols);
    if (pairs === undefined) {
      for (let i = 0; i + 1 < length; i++) note(i, symbols[i] as number, symbols[i + 1] as number);
      return length;
    }
    let pair = bytes[from] as number;
    for (let i = 0; i + 1 < length; i++) {
      pair = ((pair << 8) | (bytes[from + i + 1] as number)) & 0xffff;
      ranks[i] = pairs[pair * 2] as number;
      results[i] = pairs[pair * 2 + 1] as number;
    }
    return length;
  };

  const mergeShort: WordMerger = (bytes, from, to, out, at) => {
    let length = begin(bytes, from, to);
    while (length > 1) {
      let best = 0;
      let rank = ranks[0] as number;
      for (let i = 1; i + 1 < length; i++) {
        const each = ranks[i] as number;
        if (each < rank) {
          rank = each;
          best = i;
        }
      }
      if (rank === NO_RANK) break;
      const result = results[best] as number;
      symbols[best] = result;
      length--;
      for (let i = best + 1; i < length; i++) {
        symbols[i] = symbols[i + 1] as number;
        ranks[i] = ranks[i + 1] as number;
        results[i] = results[i + 1] as number;
      }
      if (best > 0) note(best - 1, symbols[best - 1] as number, result);
      if (best + 1 < length) note(best, result, symbols[best + 1] as number);
    }
    for (let i = 0; i < length; i++) out[at + i] = symbols[i] as number;
    return length;
  };

  /** Ranks and positions on a heap as one number each, `rank * MIDDLE + position`; those that no longer hold are passed over. */
  const mergeMiddle: WordMerger = (bytes, from, to, out, at) => {
    const length = begin(bytes, from, to);
    let queued = 0;
    for (let i = 0; i < length; i++) {
      after[i] = i + 1;
      before[i] = i - 1;
      if (i + 1 < length && ranks[i] !== NO_RANK) queued = pushRank(queue, queued, (ranks[i] as number) * MIDDLE + i);
    }
    while (queued > 0) {
      const least = queue[0] as number;
      queued = popRank(queue, queued);
      const position = least % MIDDLE;
      if (ranks[position] !== (least - position) / MIDDLE) continue;
      const right = after[position] as number;
      const next = after[right] as number;
      const left = before[position] as number;
      const result = results[position] as number;
      symbols[position] = result;
      after[position] = next;
      ranks[right] = NO_RANK;
      if (next < length) {
        before[next] = position;
        note(position, result, symbols[next] as number);
        const rank = ranks[position] as number;
        if (rank !== NO_RANK) queued = pushRank(queue, queued, rank * MIDDLE + position);
      } else ranks[position] = NO_RANK;
      if (left >= 0) {
        note(left, symbols[left] as number, result);
        const rank = ranks[left] as number;
        if (rank !== NO_RANK) queued = pushRank(queue, queued, rank * MIDDLE + left);
      }
    }
    let made = 0;
    for (let position = 0; position < length; position = after[position] as number) {
      out[at + made++] = symbols[position] as number;
    }
    return made;
  };

  /** The first node of each rank's list of positions, made when the first long word comes; all empty between words. */
  let heads = new Int32Array(0);

  const mergeLong: WordMerger = (bytes, from, to, out, at) => {
    if (heads.length === 0) heads = new Int32Array(count).fill(-1);
    const ids = new Int32Array(to - from);
    const length = fill(bytes, from, to, ids);
    const next = Int32Array.from(ids, (_, i) => i + 1);
    const previous = Int32Array.from(ids, (_, i) => i - 1);
    /** The place in `slots` of the pair that starts at each position. */
    const places = new Int32Array(length + 1).fill(-1);
    // Every merge offers at most two pairs and there are fewer merges than symbols.
    const nodePositions = new Int32Array(length * 3 + 1);
    const nodeNext = new Int32Array(length * 3 + 1);
    const ranks = new Int32Array(Math.min(count, length * 3) + 1);
    let nodes = 0;
    let queued = 0;
    const put = (rank: number, position: number): void => {
      const head = heads[rank] as number;
      if (head === -1) queued = pushRank(ranks, queued, rank);
      nodePositions[nodes] = position;
      nodeNext[nodes] = head;
      heads[rank] = nodes++;
    };
    /** Notes the pair at a position; returns its rank, or more than any rank. */
    const offer = (position: number): number => {
      const place = find(ids[position] as number, ids[next[position] as number] as number);
      places[position] = place;
      if (place < 0) return NO_RANK;
      const rank = slots[place + 2] as number;
      put(rank, position);
      return rank;
    };
    for (let position = length - 2; position >= 0; position--) offer(position);
    /** The positions noted for a rank, from left to right. */
    const takeAll = (rank: number): Int32Array => {
      let size = 0;
      for (let node = heads[rank] as number; node !== -1; node = nodeNext[node] as number) size++;
      const positions = new Int32Array(size);
      let isSorted = true;
      let node = heads[rank] as number;
      for (let i = 0; i < size; i++, node = nodeNext[node] as number) {
        positions[i] = nodePositions[node] as number;
        if (i > 0 && (positions[i] as number) < (positions[i - 1] as number)) isSorted = false;
      }
      heads[rank] = -1;
      return isSorted ? positions : positions.sort();
    };
    /** Merges all pairs of a rank below `limit`, and those that come of it. */
    const mergeBelow = (limit: number): void => {
      while (queued > 0 && (ranks[0] as number) < limit) {
        const rank = ranks[0] as number;
        queued = popRank(ranks, queued);
        for (const position of takeAll(rank)) {
          const place = places[position] as number;
          // The pair at this position may have changed or gone since it was noted.
          if (place < 0 || slots[place + 2] !== rank) continue;
          const right = next[position] as number;
          const after = next[right] as number;
          ids[position] = slots[place + 3] as number;
          places[right] = -1;
          places[position] = -1;
          next[position] = after;
          let lowest = NO_RANK;
          if (after < length) {
            previous[after] = position;
            lowest = offer(position);
          }
          if (position > 0) lowest = Math.min(lowest, offer(previous[position] as number));
          // In a trained vocabulary a merge only makes way for later ones; in another, what it made way for is next.
          if (lowest <= rank) mergeBelow(rank + 1);
        }
      }
    };
    mergeBelow(NO_RANK);
    let made = 0;
    for (let position = 0; position < length; position = next[position] as number) {
      out[at + made++] = ids[position] as number;
    }
    return made;
  };

  const middle = count * MIDDLE < 2 ** 31 ? MIDDLE : SHORT;
  return (bytes, from, to, out, at) => {
    const size = to - from;
    return (size <= SHORT ? mergeShort : size <= middle ? mergeMiddle : mergeLong)(bytes, from, to, out, at);
  };
}

/** `ignore_merges`: a word that is a token is not merged. */
export function wholeWordsFirst(merge: WordMerger, table: TokenTable): WordMerger {
  return (bytes, from, to, out, at) => {
    const id = table.find(bytes, from, to);
    if (id === -1) return merge(bytes, from, to, out, at);
    out[at] = id;
    return 1;
  };
}

/** [rank, result] of the merge of every pair of bytes: those that a word begins with need no search. */
function bytePairs(byteIds: Int32Array, slots: Int32Array, find: (left: number, right: number) => number): Int32Array {
  const pairs = new Int32Array(65536 * 2);
  for (let pair = 0; pair < 65536; pair++) {
    const place = find(byteIds[pair >> 8] as number, byteIds[pair & 0xff] as number);
    pairs[pair * 2] = place < 0 ? NO_RANK : (slots[place + 2] as number);
    pairs[pair * 2 + 1] = place < 0 ? -1 : (slots[place + 3] as number);
  }
  return pairs;
}

/** Puts a rank on a heap whose least is first; returns the new size. */
function pushRank(ranks: Int32Array, size: number, rank: number): number {
  let hole = size;
  while (hole > 0) {
    const parent = (hole - 1) >> 1;
    const above = ranks[parent] as number;
    if (above <= rank) break;
    ranks[hole] = above;
    hole = parent;
  }
  ranks[hole] = rank;
  return size + 1;
}

/** Takes the least rank off a heap; returns the new size. */
function popRank(ranks: Int32Array, size: number): number {
  const rest = size - 1;
  const moved = ranks[rest] as number;
  let hole = 0;
  for (let child = 1; child < rest; child = hole * 2 + 1) {
    if (child + 1 < rest && (ranks[child + 1] as number) < (ranks[child] as number)) child++;
    const below = ranks[child] as number;
    if (below >= moved) break;
    ranks[hole] = below;
    hole = child;
  }
  ranks[hole] = moved;
  return rest;
}
