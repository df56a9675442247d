/**
 * A trie over the bytes of tokens as a double array (Aoe 1989, "An Efficient Digital Search Algorithm by Using a
 * Double-Array Structure"): one array, three numbers a node, one comparison a byte.
 */

import type { TokenBytes } from './vocabulary.js';

/** Numbers of a node: where its children start, its parent's place, the id of the token that ends there or -1. */
export const NODE = 3;
/** How many of the last nodes are searched for room; what is free before them stays so. */
const SEARCHED = 512;

/**
 * The nodes; the root is at 0. The child of the node at `place` by a byte is at `c = nodes[place] + byte * NODE`, and it
 * is there when `nodes[c + 1] === place`; `nodes[c + 2]` is its token. Every `c` is within the array. Of tokens with the
 * same bytes the last counts; empty ones are left out.
 */
export function tokenTrie({ bytes, offsets, present }: TokenBytes, isToken: (id: number) => boolean): Int32Array {
  const ids: number[] = [];
  for (let id = 0; id < present.length; id++) {
    if (present[id] === 1 && isToken(id) && (offsets[id + 1] as number) > (offsets[id] as number)) ids.push(id);
  }
  const from = (id: number): number => offsets[id] as number;
  const length = (id: number): number => from(id + 1) - from(id);
  ids.sort((a, b) => {
    const most = Math.min(length(a), length(b));
    for (let i = 0; i < most; i++) {
      const difference = (bytes[from(a) + i] as number) - (bytes[from(b) + i] as number);
      if (difference !== 0) return difference;
    }
    return length(a) - length(b) || a - b;
  });

  let nodes = new Int32Array(1024 * NODE).fill(-1);
  nodes[1] = 0;
  /** All nodes from here on are free. */
  let end = 1;
  let firstFree = 1;
  const room = (count: number): void => {
    if (count * NODE <= nodes.length) return;
    const grown = new Int32Array(Math.max(count * NODE, nodes.length * 2)).fill(-1);
    grown.set(nodes);
    nodes = grown;
  };
  const isFree = (node: number): boolean => nodes[node * NODE + 1] === -1;
  const labels: number[] = [];
  /** A base at which all labels' nodes are free. */
  const place = (): number => {
    const least = labels[0] as number;
    firstFree = Math.max(firstFree, end - SEARCHED);
    while (firstFree < end && !isFree(firstFree)) firstFree++;
    for (let node = Math.max(firstFree, least + 1); node < end; node++) {
      const base = node - least;
      if (isFree(node) && labels.every((label) => base + label >= end || isFree(base + label))) return base;
    }
    return Math.max(end - least, 1);
  };

  // [place of the node, first id, last id, depth] of nodes whose children are not made yet.
  const open: number[] = ids.length === 0 ? [] : [0, 0, ids.length, 0];
  nodes[0] = NODE;
  while (open.length > 0) {
    const depth = open.pop() as number;
    const last = open.pop() as number;
    let first = open.pop() as number;
    const parent = open.pop() as number;
    while (first < last && length(ids[first] as number) === depth) nodes[parent + 2] = ids[first++] as number;
    nodes[parent] = NODE;
    if (first === last) continue;
    labels.length = 0;
    for (let i = first; i < last; i++) {
      const label = bytes[from(ids[i] as number) + depth] as number;
      if (labels.at(-1) !== label) labels.push(label);
    }
    const base = place();
    room(base + 257);
    nodes[parent] = base * NODE;
    for (const label of labels) {
      nodes[(base + label) * NODE + 1] = parent;
      end = Math.max(end, base + label + 1);
    }
    let start = first;
    for (const label of labels) {
      let stop = start;
      while (stop < last && bytes[from(ids[stop] as number) + depth] === label) stop++;
      open.push((base + label) * NODE, start, stop, depth + 1);
      start = stop;
    }
  }
  return nodes.slice(0, (end + 257) * NODE).fill(-1, end * NODE);
}
