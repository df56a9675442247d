/**
 * Byte-pair merging (Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units"): of all
 * adjacent pairs the one of lowest rank is merged first, the leftmost of equals, until none is left.
 *
 * Ranks sit in a table with open addressing over (left, right). Words of up to 48 bytes are merged in place by a plain
 * scan for the minimum; longer ones through a linked list and a heap of (rank, position), in n log n, so that a word of
 * a megabyte takes well under a second. Nothing is allocated for a short word, and only typed arrays for a long one.
 */

/** Merges by rank, ready for look-up. */
export interface MergeTable {
  readonly count: number;
  /** [left, right, rank, result] in each slot; left is -1 where the slot is empty. */
  readonly slots: Int32Array;
  readonly mask: number;
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
}

const SHORT = 48;
/** Keys of the heap are rank * POSITIONS + position, exact in a double. */
const POSITIONS = 2 ** 31;

/** Makes the table from [left, right, result] triples in the order of their rank; a pair given twice has its last rank. */
export function mergeTable(triples: Int32Array): MergeTable {
  const count = triples.length / 3;
  let capacity = 64;
  while (capacity < count * 2) capacity *= 2;
  const slots = new Int32Array(capacity * 4).fill(-1);
  const mask = capacity - 1;
  for (let rank = 0; rank < count; rank++) {
    const left = triples[rank * 3] as number;
    const right = triples[rank * 3 + 1] as number;
    let slot = hashPair(left, right) & mask;
    while (slots[slot * 4] !== -1 && !(slots[slot * 4] === left && slots[slot * 4 + 1] === right)) {
      slot = (slot + 1) & mask;
    }
    slots[slot * 4] = left;
    slots[slot * 4 + 1] = right;
    slots[slot * 4 + 2] = rank;
    slots[slot * 4 + 3] = triples[rank * 3 + 2] as number;
  }
  return { count, slots, mask };
}

/** The function that merges words by a table. */
export function wordMerger({ slots, mask }: MergeTable, { byteIds, unknown, fuseUnknown }: SymbolTable): WordMerger {
  const isComplete = byteIds.every((id) => id >= 0);
  const symbols = new Int32Array(SHORT);
  const found = new Int32Array(SHORT);

  /** The place in `slots` of the pair's merge, or -1. */
  const find = (left: number, right: number): number => {
    for (let slot = hashPair(left, right) & mask; ; slot = (slot + 1) & mask) {
      const place = slot << 2;
      const known = slots[place] as number;
      if (known === left && slots[place + 1] === right) return place;
      if (known === -1) return -1;
    }
  };

  /** Writes the word's first symbols and returns how many there are. */
  const fill = (bytes: Uint8Array, from: number, to: number, target: Int32Array): number => {
    let count = 0;
    if (isComplete) {
      for (let at = from; at < to; at++) target[count++] = byteIds[bytes[at] as number] as number;
      return count;
    }
    let isUnknown = false;
    for (let at = from; at < to; at++) {
      const id = byteIds[bytes[at] as number] as number;
      if (id >= 0) target[count++] = id;
      else if (unknown >= 0 && !(fuseUnknown && isUnknown)) target[count++] = unknown;
      isUnknown = id < 0;
    }
    return count;
  };

  const mergeShort: WordMerger = (bytes, from, to, out, at) => {
    let count = fill(bytes, from, to, symbols);
    for (let i = 0; i + 1 < count; i++) found[i] = find(symbols[i] as number, symbols[i + 1] as number);
    while (count > 1) {
      let best = -1;
      let place = -1;
      let rank = 0x7fffffff;
      for (let i = 0; i + 1 < count; i++) {
        const each = found[i] as number;
        if (each >= 0 && (slots[each + 2] as number) < rank) {
          rank = slots[each + 2] as number;
          best = i;
          place = each;
        }
      }
      if (best < 0) break;
      symbols[best] = slots[place + 3] as number;
      count--;
      for (let i = best + 1; i < count; i++) {
        symbols[i] = symbols[i + 1] as number;
        found[i] = found[i + 1] as number;
      }
      if (best > 0) found[best - 1] = find(symbols[best - 1] as number, symbols[best] as number);
      if (best + 1 < count) found[best] = find(symbols[best] as number, symbols[best + 1] as number);
    }
    for (let i = 0; i < count; i++) out[at + i] = symbols[i] as number;
    return count;
  };

  const mergeLong: WordMerger = (bytes, from, to, out, at) => {
    const ids = new Int32Array(to - from);
    const count = fill(bytes, from, to, ids);
    const next = Int32Array.from(ids, (_, i) => i + 1);
    const previous = Int32Array.from(ids, (_, i) => i - 1);
    const places = new Int32Array(count + 1).fill(-1);
    // Every merge pushes at most two pairs and there are fewer merges than symbols.
    const heap = new Float64Array(count * 3 + 1);
    let size = 0;
    const offer = (position: number): void => {
      const place = find(ids[position] as number, ids[next[position] as number] as number);
      places[position] = place;
      if (place < 0) return;
      const key = (slots[place + 2] as number) * POSITIONS + position;
      let hole = size++;
      while (hole > 0) {
        const parent = (hole - 1) >> 1;
        const above = heap[parent] as number;
        if (above <= key) break;
        heap[hole] = above;
        hole = parent;
      }
      heap[hole] = key;
    };
    for (let position = 0; position + 1 < count; position++) offer(position);
    while (size > 0) {
      const key = heap[0] as number;
      size = removeTop(heap, size);
      const rank = Math.floor(key / POSITIONS);
      const position = key - rank * POSITIONS;
      const place = places[position] as number;
      // The pair at this position may have changed or gone since it was offered.
      if (place < 0 || slots[place + 2] !== rank) continue;
      const right = next[position] as number;
      const after = next[right] as number;
      ids[position] = slots[place + 3] as number;
      places[right] = -1;
      next[position] = after;
      if (after < count) {
        previous[after] = position;
        offer(position);
      } else places[position] = -1;
      if (position > 0) offer(previous[position] as number);
    }
    let made = 0;
    for (let position = 0; position < count; position = next[position] as number) {
      out[at + made++] = ids[position] as number;
    }
    return made;
  };

  return (bytes, from, to, out, at) => (to - from <= SHORT ? mergeShort : mergeLong)(bytes, from, to, out, at);
}

/** Takes the least key off a heap and returns the size that is left. */
function removeTop(heap: Float64Array, size: number): number {
  const rest = size - 1;
  const moved = heap[rest] as number;
  let hole = 0;
  for (let child = 1; child < rest; child = hole * 2 + 1) {
    if (child + 1 < rest && (heap[child + 1] as number) < (heap[child] as number)) child++;
    const below = heap[child] as number;
    if (below >= moved) break;
    heap[hole] = below;
    hole = child;
  }
  heap[hole] = moved;
  return rest;
}

function hashPair(left: number, right: number): number {
  const hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  return (hash ^ (hash >>> 15)) >>> 0;
}
