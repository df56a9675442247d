/**
 * The hot loop of encoding: scan a word, look it up, copy its ids. Words come back so often that merging is the
 * exception; a cache of bounded memory keeps the ids of words seen.
 *
 * A word of up to 16 bytes is its own key, four 32-bit loads, and its first three ids
 * lie beside the key: two entries fill one cache line and are searched as two ways. Most words are a space and ASCII
 * letters, of which the first may be upper case: their end is found in the loaded key, four bytes at a time, without the
 * scanner. Longer words (up to 256 bytes) have a
 * second table whose keys lie in an arena. Where a table's pool is full it starts afresh.
 */

import type { WordMerger } from './merges.js';
import { endsAsciiWords, type Scanner } from './scanners.js';

/** A growing list of ids. */
export interface IdSink {
  ids: Int32Array<ArrayBuffer>;
  length: number;
}

/** Encodes words. */
export interface WordEncoder {
  /** Splits `bytes[from, to)` by the scanner and appends the ids of its words. */
  encode(bytes: Uint8Array, from: number, to: number, scan: Scanner, sink: IdSink): void;
  /** Lets go of the bytes that were read last. */
  release(): void;
  /** Forgets all words. */
  clear(): void;
}

/** A sink with room for `capacity` ids. */
export function idSink(capacity: number): IdSink {
  return { ids: new Int32Array(capacity), length: 0 };
}

/** Makes room for `more` ids. */
export function reserve(sink: IdSink, more: number): void {
  if (sink.length + more <= sink.ids.length) return;
  const grown = new Int32Array(Math.max(sink.length + more, sink.ids.length * 2));
  grown.set(sink.ids.subarray(0, sink.length));
  sink.ids = grown;
}

/** Appends ids. */
export function pushIds(sink: IdSink, ids: readonly number[]): void {
  reserve(sink, ids.length);
  for (const id of ids) sink.ids[sink.length++] = id;
}

/** Entries of the short table, and their 32-bit fields: four of key, length and count, up to three ids or a place. */
const SHORT_ENTRIES = 1 << 16;
const FIELDS = 8;
const SHORT_BYTES = 16;
const INLINE_IDS = 3;
/** Ids of words with more than three. */
const SHORT_POOL = 1 << 18;
/** Entries of the long table: [hash, length, place of the key, place of the ids, count]. */
const LONG_ENTRIES = 1 << 13;
const LONG_FIELDS = 5;
const LONG_BYTES = 256;
const LONG_ARENA = 1 << 19;
/** Bytes that one call of the inner loop reads. */
const STRETCH = 1 << 13;

/** Keep the first n bytes of four little-endian 32-bit loads: four masks for each n. */
const MASKS = Int32Array.from({ length: (SHORT_BYTES + 1) * 4 }, (_, i) => {
  const bytes = (i >> 2) - (i & 3) * 4;
  return bytes >= 4 ? -1 : bytes <= 0 ? 0 : (1 << (bytes * 8)) - 1;
});

/** 1 for ASCII that ends a word of letters by every pattern: no letter, and no apostrophe, behind which letters may join. */
const WORD_ENDS = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte < 0x80 && byte !== 0x27 && !/[a-z]/i.test(String.fromCharCode(byte)) ? 1 : 0,
);

/** The top bit of each of four bytes that is no lower-case ASCII letter. */
function notLower(word: number): number {
  const low = word & 0x7f7f7f7f;
  return ~((low + 0x1f1f1f1f) & ~(low + 0x05050505) & ~word) & 0x80808080;
}

/** The place of the first byte whose top bit is set, of four. */
function firstOf(marks: number): number {
  return (31 - Math.clz32(marks & -marks)) >> 3;
}

/** An encoder of words whose ids `merge` finds when they are first met. */
export function wordEncoder(merge: WordMerger): WordEncoder {
  let table = new Int32Array(0);
  let pool = new Int32Array(0);
  let pooled = 0;
  const tail = new Uint8Array(SHORT_BYTES * 2);
  let view: DataView = new DataView(tail.buffer);
  let viewed: Uint8Array = tail;
  const long = longWords(merge);
  const look = (bytes: Uint8Array): void => {
    if (viewed === bytes) return;
    viewed = bytes;
    view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };

  /** Merges a word that is in neither way of its set, and remembers it. */
  const learn = (
    bytes: Uint8Array,
    at: number,
    end: number,
    entry: number,
    ids: Int32Array,
    length: number,
  ): number => {
    const made = merge(bytes, at, end, ids, length);
    if (made > INLINE_IDS && pooled + made > SHORT_POOL) {
      table.fill(0);
      pooled = 0;
    }
    // The newer word takes the first way; what was there moves to the second.
    for (let i = 0; i < FIELDS; i++) table[entry + FIELDS + i] = table[entry + i] as number;
    for (let i = 0; i < 4; i++) {
      table[entry + i] = view.getInt32(at + i * 4, true) & (MASKS[(end - at) * 4 + i] as number);
    }
    table[entry + 4] = (end - at) | (made << 5);
    if (made <= INLINE_IDS) {
      for (let i = 0; i < made; i++) table[entry + 5 + i] = ids[length + i] as number;
    } else {
      table[entry + 5] = pooled;
      for (let i = 0; i < made; i++) pool[pooled++] = ids[length + i] as number;
    }
    return made;
  };

  /** Encodes the words that start in `bytes[from, stop)`; returns where the last one ends. */
  const run = (bytes: Uint8Array, from: number, stop: number, to: number, scan: Scanner, sink: IdSink): number => {
    const entries = table;
    const loads = view;
    const isQuick = endsAsciiWords(scan);
    let { ids, length } = sink;
    let at = from;
    while (at < stop) {
      const word0 = loads.getInt32(at, true);
      const word1 = loads.getInt32(at + 4, true);
      const word2 = loads.getInt32(at + 8, true);
      const word3 = loads.getInt32(at + 12, true);
      let size = 0;
      if (isQuick) {
        // A space in front is read as a letter, and the first letter in lower case.
        const isSpaced = (word0 & 0xff) === 0x20;
        let marks = notLower(isSpaced ? (word0 ^ 0x41) | 0x2000 : word0 | 0x20);
        if (marks !== 0) size = firstOf(marks);
        else {
          marks = notLower(word1);
          if (marks !== 0) size = 4 + firstOf(marks);
          else {
            marks = notLower(word2);
            if (marks !== 0) size = 8 + firstOf(marks);
          }
        }
        if (size === 0 || (isSpaced && size === 1) || at + size >= to || WORD_ENDS[bytes[at + size] as number] === 0)
          size = 0;
      }
      if (size === 0) size = scan(bytes, at, to) - at;
      const end = at + size;
      if (length + size > ids.length) {
        sink.length = length;
        reserve(sink, size);
        ids = sink.ids;
      }
      if (size > SHORT_BYTES) {
        length += long.encode(bytes, loads, at, end, ids, length);
        at = end;
        continue;
      }
      // No branches on the size, which cannot be predicted.
      const mask = size * 4;
      const key0 = word0 & (MASKS[mask] as number);
      const key1 = word1 & (MASKS[mask + 1] as number);
      const key2 = word2 & (MASKS[mask + 2] as number);
      const key3 = word3 & (MASKS[mask + 3] as number);
      let hash = Math.imul(key0, 0x9e3779b1) ^ Math.imul(key1, 0x85ebca6b);
      hash ^= Math.imul(key2, 0xc2b2ae35) ^ Math.imul(key3, 0x27d4eb2f) ^ size;
      hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
      // Two neighbors, in one cache line, are one set.
      const set = (((hash >>> 16) ^ hash) & (SHORT_ENTRIES - 2)) * FIELDS;
      let entry = set;
      let meta = entries[entry + 4] as number;
      let difference =
        ((entries[entry] as number) ^ key0) |
        ((entries[entry + 1] as number) ^ key1) |
        ((entries[entry + 2] as number) ^ key2) |
        ((entries[entry + 3] as number) ^ key3) |
        ((meta & 31) ^ size);
      if (difference !== 0) {
        entry += FIELDS;
        meta = entries[entry + 4] as number;
        difference =
          ((entries[entry] as number) ^ key0) |
          ((entries[entry + 1] as number) ^ key1) |
          ((entries[entry + 2] as number) ^ key2) |
          ((entries[entry + 3] as number) ^ key3) |
          ((meta & 31) ^ size);
        if (difference !== 0) {
          length += learn(bytes, at, end, set, ids, length);
          at = end;
          continue;
        }
      }
      const count = meta >> 5;
      at = end;
      if (count === 1) ids[length++] = entries[entry + 5] as number;
      else if (count <= INLINE_IDS) {
        for (let i = 0; i < count; i++) ids[length++] = entries[entry + 5 + i] as number;
      } else {
        const place = entries[entry + 5] as number;
        for (let i = 0; i < count; i++) ids[length++] = pool[place + i] as number;
      }
    }
    sink.length = length;
    return at;
  };

  return {
    release: () => look(tail),
    clear: () => {
      table = new Int32Array(0);
      pool = new Int32Array(0);
      pooled = 0;
      long.clear();
    },
    encode: (bytes, from, to, scan, sink) => {
      if (table.length === 0) {
        table = new Int32Array(SHORT_ENTRIES * FIELDS);
        pool = new Int32Array(SHORT_POOL);
      }
      // A word's key is loaded as 16 bytes, so the words that start in the last 15 are read from a copy with room.
      const safe = Math.min(to, bytes.length - SHORT_BYTES + 1);
      let at = from;
      if (at < safe) look(bytes);
      // In stretches: V8 compiles a function that is called again better than a loop that is entered once.
      while (at < safe) at = run(bytes, at, Math.min(safe, at + STRETCH), to, scan, sink);
      if (at >= to) return;
      tail.fill(0);
      tail.set(bytes.subarray(at, to));
      look(tail);
      run(tail, 0, to - at, to - at, scan, sink);
    },
  };
}

interface LongWords {
  /** Writes the ids of the word `bytes[at, end)` to `ids[length...]` and returns how many there are. */
  encode(bytes: Uint8Array, view: DataView, at: number, end: number, ids: Int32Array, length: number): number;
  clear(): void;
}

/** The cache of words of 17 to 256 bytes; longer ones are merged each time. */
function longWords(merge: WordMerger): LongWords {
  let table = new Int32Array(0);
  let arena = new Uint8Array(0);
  let pool = new Int32Array(0);
  let used = 0;
  let pooled = 0;
  const empty = (): void => {
    for (let entry = 1; entry < table.length; entry += LONG_FIELDS) table[entry] = 0;
    used = 0;
    pooled = 0;
  };
  return {
    clear: () => {
      table = new Int32Array(0);
      arena = new Uint8Array(0);
      pool = new Int32Array(0);
      used = 0;
      pooled = 0;
    },
    encode: (bytes, view, at, end, ids, length) => {
      const size = end - at;
      if (size > LONG_BYTES) return merge(bytes, at, end, ids, length);
      if (table.length === 0) {
        table = new Int32Array(LONG_ENTRIES * LONG_FIELDS);
        arena = new Uint8Array(LONG_ARENA);
        pool = new Int32Array(LONG_ARENA / 2);
      }
      let hash = size;
      for (let each = at; each < end; each += 4) {
        // The last load overlaps the one before it.
        const word = view.getInt32(each + 4 <= end ? each : end - 4, true);
        hash = Math.imul(hash ^ word, 0x9e3779b1) ^ (hash >>> 15);
      }
      hash = Math.imul(hash, 0x85ebca6b);
      const entry = (((hash >>> 15) ^ hash) & (LONG_ENTRIES - 1)) * LONG_FIELDS;
      if (
        table[entry] === hash &&
        table[entry + 1] === size &&
        isAt(arena, table[entry + 2] as number, bytes, at, end)
      ) {
        const place = table[entry + 3] as number;
        const count = table[entry + 4] as number;
        for (let i = 0; i < count; i++) ids[length + i] = pool[place + i] as number;
        return count;
      }
      const made = merge(bytes, at, end, ids, length);
      if (used + size > arena.length || pooled + made > pool.length) empty();
      table[entry] = hash;
      table[entry + 1] = size;
      table[entry + 2] = used;
      table[entry + 3] = pooled;
      table[entry + 4] = made;
      for (let from = at; from < end; from++) arena[used++] = bytes[from] as number;
      for (let i = 0; i < made; i++) pool[pooled++] = ids[length + i] as number;
      return made;
    },
  };
}

function isAt(arena: Uint8Array, place: number, bytes: Uint8Array, at: number, end: number): boolean {
  for (let from = at, to = place; from < end; from++, to++) if (arena[to] !== bytes[from]) return false;
  return true;
}
