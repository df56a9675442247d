/**
 * Words and how often each occurs, which is all that a BPE trainer needs of a text. Words lie end to end in one array of
 * bytes and are found through a table with open addressing; counts are doubles, exact up to 2^53. Memory grows with the
 * different words, not with the text.
 */

import type { PreTokenizer } from './pretokenize.js';
import { hashBytes } from './vocabulary.js';

/** Different words and their counts. */
export interface WordCounts {
  /** How many different words there are. */
  readonly size: number;
  /** The bytes of all words, in the order in which they were first met. */
  readonly bytes: Uint8Array;
  /** Where each word starts, and where the last one ends: [size + 1]. */
  readonly offsets: Int32Array;
  /** How often each word occurs: [size]. */
  readonly counts: Float64Array;
}

/** Counts the words of texts that are given one by one. */
export interface WordCounter {
  /** Bytes read so far. */
  readonly bytesRead: number;
  /** Different words so far. */
  readonly size: number;
  /** Counts the words of one text; no word reaches from one text into the next. */
  add(text: string | Uint8Array): void;
  /** What was counted so far, as views of the counter's memory. */
  counts(): WordCounts;
}

/** A counter of the words that the pre-tokenizer cuts. */
export function wordCounter({ scan, split }: PreTokenizer): WordCounter {
  const encoder = new TextEncoder();
  let bytes = new Uint8Array(1 << 16);
  let offsets = new Int32Array(1 << 13);
  let counts = new Float64Array(1 << 13);
  let hashes = new Int32Array(1 << 13);
  let slots = new Int32Array(1 << 14).fill(-1);
  let size = 0;
  let bytesRead = 0;

  const grow = (): void => {
    offsets = copyTo(new Int32Array(offsets.length * 2), offsets);
    counts = copyTo(new Float64Array(counts.length * 2), counts);
    hashes = copyTo(new Int32Array(hashes.length * 2), hashes);
    slots = new Int32Array(slots.length * 2).fill(-1);
    const mask = slots.length - 1;
    for (let word = 0; word < size; word++) {
      let slot = (hashes[word] as number) & mask;
      while (slots[slot] !== -1) slot = (slot + 1) & mask;
      slots[slot] = word;
    }
  };

  const addWord = (text: Uint8Array, from: number, to: number): void => {
    const hash = hashBytes(text, from, to) | 0;
    const mask = slots.length - 1;
    let slot = hash & mask;
    for (; slots[slot] !== -1; slot = (slot + 1) & mask) {
      const word = slots[slot] as number;
      if (
        hashes[word] === hash &&
        isWord(bytes, offsets[word] as number, offsets[word + 1] as number, text, from, to)
      ) {
        counts[word] = (counts[word] as number) + 1;
        return;
      }
    }
    const start = offsets[size] as number;
    const end = start + to - from;
    if (end > bytes.length) bytes = copyTo(new Uint8Array(Math.max(end, bytes.length * 2)), bytes);
    for (let at = from; at < to; at++) bytes[start + at - from] = text[at] as number;
    slots[slot] = size;
    hashes[size] = hash;
    counts[size] = 1;
    offsets[++size] = end;
    if (size + 1 >= offsets.length) grow();
  };

  return {
    get bytesRead() {
      return bytesRead;
    },
    get size() {
      return size;
    },
    add: (given) => {
      const text = typeof given === 'string' ? encoder.encode(given) : given;
      const { length } = text;
      bytesRead += length;
      if (scan !== undefined) {
        for (let at = 0; at < length; ) {
          const end = scan(text, at, length);
          addWord(text, at, end);
          at = end;
        }
      } else if (split !== undefined && length > 0) {
        const ranges = split(text, 0, length);
        for (let i = 0; i < ranges.length; i += 2) addWord(text, ranges[i] as number, ranges[i + 1] as number);
      }
    },
    counts: () => ({
      size,
      bytes: bytes.subarray(0, offsets[size]),
      offsets: offsets.subarray(0, size + 1),
      counts: counts.subarray(0, size),
    }),
  };
}

function isWord(bytes: Uint8Array, start: number, end: number, text: Uint8Array, from: number, to: number): boolean {
  if (end - start !== to - from) return false;
  for (let at = start, other = from; at < end; at++, other++) if (bytes[at] !== text[other]) return false;
  return true;
}

function copyTo<T extends { set(from: T): void }>(target: T, source: T): T {
  target.set(source);
  return target;
}
