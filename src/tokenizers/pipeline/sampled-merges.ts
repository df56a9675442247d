/**
 * BPE-dropout (Provilkov, Emelianenko & Voita 2020, arXiv 1910.13267): each merge is passed over with a probability,
 * and comes up again after the next one that is made. Merges wait on a heap by rank, then place.
 */

import type { MergeTable, WordMerger } from '../merges.js';
import { hashPair } from '../pair-index.js';
import type { SymbolFiller } from './bpe-symbols.js';

/** A merger that asks `isPassed` before each merge; words have at most `most` symbols for each byte. */
export function sampledMerger(
  table: MergeTable,
  fill: SymbolFiller,
  most: number,
  isPassed: () => boolean,
): WordMerger {
  const { slots, mask } = table;
  const find = (left: number, right: number): number => {
    for (let slot = hashPair(left, right) & mask; ; slot = (slot + 1) & mask) {
      const place = slot << 2;
      if (slots[place] === -1) return -1;
      if (slots[place] === left && slots[place + 1] === right) return place;
    }
  };
  return (bytes, from, to, out, at) => {
    const symbols = new Int32Array((to - from) * most);
    const length = fill(bytes, from, to, symbols);
    const next = Int32Array.from({ length }, (_, i) => i + 1);
    const previous = Int32Array.from({ length }, (_, i) => i - 1);
    const isGone = new Uint8Array(length);
    /** Rank times length plus place: the order in which merges come up. */
    const heap: number[] = [];
    const results = new Map<number, number>();
    const skipped: number[] = [];
    const offer = (position: number): void => {
      const right = next[position] as number;
      if (right >= length) return;
      const place = find(symbols[position] as number, symbols[right] as number);
      if (place < 0) return;
      const key = (slots[place + 2] as number) * length + position;
      results.set(key, slots[place + 3] as number);
      pushKey(heap, key);
    };
    for (let position = 0; position + 1 < length; position++) offer(position);
    for (let key = popKey(heap); key !== undefined; key = popKey(heap)) {
      if (isPassed()) {
        skipped.push(key);
        continue;
      }
      while (skipped.length > 0) pushKey(heap, skipped.pop() as number);
      const position = key % length;
      const right = next[position] as number;
      if (isGone[position] === 1 || right >= length) continue;
      const place = find(symbols[position] as number, symbols[right] as number);
      // The pair may have changed since it was noted.
      if (place < 0 || slots[place + 3] !== results.get(key)) continue;
      symbols[position] = slots[place + 3] as number;
      isGone[right] = 1;
      const after = next[right] as number;
      next[position] = after;
      if (after < length) previous[after] = position;
      const before = previous[position] as number;
      if (before >= 0) offer(before);
      offer(position);
    }
    let count = 0;
    for (let position = 0; position < length; position = next[position] as number) {
      out[at + count++] = symbols[position] as number;
    }
    return count;
  };
}

/** Puts a key on a heap whose least is first. */
function pushKey(heap: number[], key: number): void {
  let hole = heap.length;
  heap.push(key);
  while (hole > 0) {
    const parent = (hole - 1) >> 1;
    const above = heap[parent] as number;
    if (above <= key) break;
    heap[hole] = above;
    hole = parent;
  }
  heap[hole] = key;
}

/** Takes the least key off a heap. */
function popKey(heap: number[]): number | undefined {
  const least = heap[0];
  const moved = heap.pop();
  if (moved === undefined || heap.length === 0) return least;
  let hole = 0;
  for (let child = 1; child < heap.length; child = hole * 2 + 1) {
    if (child + 1 < heap.length && (heap[child + 1] as number) < (heap[child] as number)) child++;
    if ((heap[child] as number) >= moved) break;
    heap[hole] = heap[child] as number;
    hole = child;
  }
  heap[hole] = moved;
  return least;
}
