/**
 * Learning byte-pair merges (Sennrich et al. 2016) by incremental counts: a merge touches only the words that hold its
 * pair, and only the counts of the pairs beside it.
 *
 * The same merges in the same order as Hugging Face's `BpeTrainer` with the byte-level alphabet: special tokens have
 * the first ids, then the 256 bytes in the order of their characters; of all pairs the most frequent is merged, of equals
 * the one with the lowest ids; a pair's own count is not lowered when it is merged, so that a pair whose token is
 * made a second time, by another merge, is counted as there. Where that makes a pair merge twice, its later rank holds.
 */

import { BYTE_CHARACTERS, BYTES_IN_ORDER } from './byte-level.js';
import type { WordCounts } from './count-words.js';
import { pairIndex, wordLists } from './pair-index.js';

/** What merges are learned for. */
export interface MergeTargets {
  /** Tokens to reach: special tokens, bytes and merges. */
  readonly vocabularySize: number;
  /** A pair that is rarer is not merged. */
  readonly minFrequency: number;
  /** Tokens that get the first ids. */
  readonly specialTokens: readonly string[];
}

/** A learned vocabulary. */
export interface LearnedMerges {
  /** The spelling of each id: special tokens as they are, the others in the byte-level alphabet. */
  readonly spellings: readonly string[];
  /** The pairs of ids, in the order of their rank. */
  readonly merges: readonly (readonly [left: number, right: number])[];
}

/** How often `learnMerges` hands over. */
const MERGES_A_STEP = 64;

/** Learns merges; yields the number of tokens from time to time, so that the caller can report, rest or stop. */
export function* learnMerges(words: WordCounts, targets: MergeTargets): Generator<number, LearnedMerges> {
  const spellings = [...targets.specialTokens];
  const ids = new Map(spellings.map((spelling, id) => [spelling, id]));
  const idOf = (spelling: string): number => {
    const known = ids.get(spelling);
    if (known !== undefined) return known;
    ids.set(spelling, spellings.length);
    return spellings.push(spelling) - 1;
  };
  const byteIds = new Int32Array(256);
  for (const byte of BYTES_IN_ORDER) byteIds[byte] = idOf(BYTE_CHARACTERS[byte] ?? '');

  const { offsets, counts } = words;
  const symbols = Int32Array.from(words.bytes, (byte) => byteIds[byte] as number);
  const lengths = Int32Array.from(counts, (_, word) => (offsets[word + 1] as number) - (offsets[word] as number));
  const pairs = pairIndex();
  const lists = wordLists();
  const queue = entryQueue(pairs);
  /** The pairs that grew in this round, and the words in which they did. */
  let grown = new Map<number, number>();
  const note = (left: number, right: number, count: number, word: number): void => {
    const pair = pairs.add(left, right, count);
    grown.set(pair, lists.push(grown.get(pair) ?? -1, word));
  };
  const enqueue = (): void => {
    for (const [pair, head] of grown) if (pairs.count(pair) > 0) queue.push(pair, pairs.count(pair), head);
    grown = new Map();
  };
  for (let word = 0; word < words.size; word++) {
    const end = offsets[word + 1] as number;
    for (let at = (offsets[word] as number) + 1; at < end; at++) {
      note(symbols[at - 1] as number, symbols[at] as number, counts[word] as number, word);
    }
  }
  enqueue();

  /** Merges a pair in one word, with the changes that this makes to the counts. */
  const mergeIn = (word: number, left: number, right: number, made: number): void => {
    const start = offsets[word] as number;
    const end = start + (lengths[word] as number);
    const count = counts[word] as number;
    let to = start;
    for (let at = start; at < end; at++, to++) {
      if (symbols[at] !== left || at + 1 >= end || symbols[at + 1] !== right) {
        symbols[to] = symbols[at] as number;
        continue;
      }
      if (to > start) {
        const before = symbols[to - 1] as number;
        pairs.add(before, left, -count);
        note(before, made, count, word);
      }
      at++;
      symbols[to] = made;
      if (at + 1 < end) {
        const after = symbols[at + 1] as number;
        pairs.add(right, after, -count);
        note(made, after, count, word);
      }
    }
    lengths[word] = to - start;
  };

  const merges = new Map<number, readonly [number, number]>();
  for (let round = 1; spellings.length < targets.vocabularySize; round++) {
    const top = queue.pop();
    if (top === undefined || top.count < Math.max(1, targets.minFrequency)) break;
    const [left, right] = [pairs.left(top.pair), pairs.right(top.pair)];
    const made = idOf(`${spellings[left]}${spellings[right]}`);
    merges.delete(top.pair);
    merges.set(top.pair, [left, right]);
    for (let node = top.head; node !== -1; node = lists.take(node)) mergeIn(lists.word(node), left, right, made);
    enqueue();
    if (round % MERGES_A_STEP === 0) yield spellings.length;
  }
  return { spellings, merges: [...merges.values()] };
}

/** A pair that waits to be merged in some words. */
interface Entry {
  readonly pair: number;
  readonly count: number;
  /** The first of its list of words. */
  readonly head: number;
}

interface EntryQueue {
  push(pair: number, count: number, head: number): void;
  /** The entry of the highest count, of equals the one with the lowest ids. */
  pop(): Entry | undefined;
}

/** A binary heap; an entry whose pair has another count by now goes back to where it belongs. */
function entryQueue(pairs: ReturnType<typeof pairIndex>): EntryQueue {
  const heap: Entry[] = [];
  const isBefore = (a: Entry, b: Entry): boolean => {
    if (a.count !== b.count) return a.count > b.count;
    const order = pairs.left(a.pair) - pairs.left(b.pair);
    return (order === 0 ? pairs.right(a.pair) - pairs.right(b.pair) : order) < 0;
  };
  const push = (entry: Entry): void => {
    let hole = heap.push(entry) - 1;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      const above = heap[parent] as Entry;
      if (!isBefore(entry, above)) break;
      heap[hole] = above;
      hole = parent;
    }
    heap[hole] = entry;
  };
  const removeTop = (): Entry | undefined => {
    const top = heap[0];
    const moved = heap.pop();
    if (top === undefined || moved === undefined || heap.length === 0) return top;
    let hole = 0;
    for (let child = 1; child < heap.length; child = hole * 2 + 1) {
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Entry, heap[child] as Entry)) child++;
      const below = heap[child] as Entry;
      if (!isBefore(below, moved)) break;
      heap[hole] = below;
      hole = child;
    }
    heap[hole] = moved;
    return top;
  };
  return {
    push: (pair, count, head) => push({ pair, count, head }),
    pop: () => {
      for (;;) {
        const top = removeTop();
        const count = top === undefined ? 0 : pairs.count(top.pair);
        if (top === undefined || top.count === count) return top;
        push({ ...top, count });
      }
    },
  };
}
