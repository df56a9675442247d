/** Documents in one piece of memory, and their ids in another. */

import type { EncodeOptions, Tokenizer } from './tokenizer.js';

/** The bytes of some documents, one after the other. */
export interface TextBatch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** How many bytes each document has. */
  readonly lengths: Int32Array<ArrayBuffer>;
}

/** The ids of some documents, one after the other. */
export interface IdBatch {
  readonly ids: Int32Array<ArrayBuffer>;
  /** How many ids each document has. */
  readonly counts: Int32Array<ArrayBuffer>;
}

/** Encodes a batch. */
export function encodeBatch(tokenizer: Tokenizer, { bytes, lengths }: TextBatch, options: EncodeOptions): IdBatch {
  const counts = new Int32Array(lengths.length);
  let ids = new Int32Array(Math.ceil(bytes.length / 3) + 16);
  let length = 0;
  let at = 0;
  for (const [index, size] of lengths.entries()) {
    const made = tokenizer.encodeBytes(bytes.subarray(at, at + size), options);
    at += size;
    if (length + made.length > ids.length) {
      const grown = new Int32Array(Math.max(length + made.length, ids.length * 2));
      grown.set(ids.subarray(0, length));
      ids = grown;
    }
    ids.set(made, length);
    length += made.length;
    counts[index] = made.length;
  }
  return { ids: ids.slice(0, length), counts };
}
