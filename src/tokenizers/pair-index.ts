/**
 * What a BPE trainer knows of adjacent pairs: how often each occurs, and lists of the words in which it does, all in
 * typed arrays that grow. A list belongs to an entry of the queue, and a pair may have several entries (see
 * `learn-merges.ts`).
 */

/** Pairs of symbols, numbered in the order in which they were first met. */
export interface PairIndex {
  readonly left: (pair: number) => number;
  readonly right: (pair: number) => number;
  readonly count: (pair: number) => number;
  /** Changes a pair's count; returns the pair's number. */
  add(left: number, right: number, change: number): number;
}

/** An empty index. */
export function pairIndex(): PairIndex {
  let slots = new Int32Array(1 << 12).fill(-1);
  let lefts = new Int32Array(1 << 11);
  let rights = new Int32Array(1 << 11);
  let counts = new Float64Array(1 << 11);
  let size = 0;
  const grow = (): void => {
    const [oldLefts, oldRights, oldCounts] = [lefts, rights, counts];
    lefts = new Int32Array(oldLefts.length * 2);
    lefts.set(oldLefts);
    rights = new Int32Array(oldRights.length * 2);
    rights.set(oldRights);
    counts = new Float64Array(oldCounts.length * 2);
    counts.set(oldCounts);
    slots = new Int32Array(slots.length * 2).fill(-1);
    const mask = slots.length - 1;
    for (let pair = 0; pair < size; pair++) {
      let slot = hashPair(lefts[pair] as number, rights[pair] as number) & mask;
      while (slots[slot] !== -1) slot = (slot + 1) & mask;
      slots[slot] = pair;
    }
  };
  return {
    left: (pair) => lefts[pair] as number,
    right: (pair) => rights[pair] as number,
    count: (pair) => counts[pair] as number,
    add: (left, right, change) => {
      const mask = slots.length - 1;
      let slot = hashPair(left, right) & mask;
      for (; slots[slot] !== -1; slot = (slot + 1) & mask) {
        const pair = slots[slot] as number;
        if (lefts[pair] === left && rights[pair] === right) {
          counts[pair] = (counts[pair] as number) + change;
          return pair;
        }
      }
      const pair = size++;
      slots[slot] = pair;
      lefts[pair] = left;
      rights[pair] = right;
      counts[pair] = change;
      if (size === lefts.length) grow();
      return pair;
    },
  };
}

/** Lists of words, each built at its head. */
export interface WordLists {
  /** Puts a word before the list `head` (-1: empty), unless it is already first; returns the new head. */
  push(head: number, word: number): number;
  word(node: number): number;
  /** Frees the node and returns the next one, or -1. */
  take(node: number): number;
}

/** Empty lists over one pool of nodes. */
export function wordLists(): WordLists {
  let words = new Int32Array(1 << 12);
  let next = new Int32Array(1 << 12);
  let size = 0;
  let free = -1;
  return {
    push: (head, word) => {
      if (head !== -1 && words[head] === word) return head;
      let node = free;
      if (node !== -1) free = next[node] as number;
      else {
        if (size === words.length) {
          const [oldWords, oldNext] = [words, next];
          words = new Int32Array(size * 2);
          words.set(oldWords);
          next = new Int32Array(size * 2);
          next.set(oldNext);
        }
        node = size++;
      }
      words[node] = word;
      next[node] = head;
      return node;
    },
    word: (node) => words[node] as number,
    take: (node) => {
      const following = next[node] as number;
      next[node] = free;
      free = node;
      return following;
    },
  };
}

/** Mixes two ids into a slot's bits. */
export function hashPair(left: number, right: number): number {
  const hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  return (hash ^ (hash >>> 15)) >>> 0;
}
