/** A trie over bytes in two typed arrays: (node, byte) finds the next node through a table with open addressing. */

/** Finds the longest token that starts at a place. */
export interface ByteTrie {
  /** Adds a token's bytes `bytes[from, to)` below `root`. */
  add(root: number, bytes: Uint8Array, from: number, to: number, id: number): void;
  /** The node after `byte`, or -1. */
  step(node: number, byte: number): number;
  /** The id of the token that ends at a node, or -1. */
  readonly ids: Int32Array;
}

/** An empty trie with room for tokens of so many bytes, all together; its roots are the nodes below `roots`. */
export function byteTrie(bytes: number, roots: number): ByteTrie {
  let capacity = 64;
  while (capacity < bytes * 2) capacity *= 2;
  const mask = capacity - 1;
  const keys = new Int32Array(capacity).fill(-1);
  const nodes = new Int32Array(capacity);
  const ids = new Int32Array(bytes + roots).fill(-1);
  let count = roots;
  const slotOf = (key: number): number => {
    const hash = Math.imul(key, 0x9e3779b1);
    let slot = ((hash >>> 15) ^ hash) & mask;
    while (keys[slot] !== key && keys[slot] !== -1) slot = (slot + 1) & mask;
    return slot;
  };
  return {
    ids,
    step: (node, byte) => {
      const key = (node << 8) | byte;
      const slot = slotOf(key);
      return keys[slot] === key ? (nodes[slot] as number) : -1;
    },
    add: (root, token, from, to, id) => {
      let node = root;
      for (let at = from; at < to; at++) {
        const key = (node << 8) | (token[at] as number);
        const slot = slotOf(key);
        if (keys[slot] !== key) {
          keys[slot] = key;
          nodes[slot] = count++;
        }
        node = nodes[slot] as number;
      }
      ids[node] = id;
    },
  };
}
