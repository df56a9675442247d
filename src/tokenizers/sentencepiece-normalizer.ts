/**
 * SentencePiece's normalizer (github.com/google/sentencepiece, `src/normalizer.cc`) over bytes: rules of the charsmap,
 * user-defined pieces kept as they are, spaces at the ends and in runs taken out, a space put in front, U+2581 for spaces.
 */

import { PIECE, type SentencePieceFile } from './sentencepiece-file.js';
import { NODE, tokenTrie } from './unigram-trie.js';
import type { TokenTable } from './vocabulary.js';

/** Text that went through a normalizer: `bytes[0, length)`, good until the next call. */
export interface NormalizedBytes {
  bytes: Uint8Array<ArrayBuffer>;
  length: number;
}

/** How much of a buffer is kept between calls. */
const KEPT = 1 << 22;
const SPACE = 0x20;
const REPLACEMENT = Uint8Array.of(0xef, 0xbf, 0xbd);

/** Tells how long the user-defined piece at a place is, and which; 0 where none starts. */
export interface UserDefined {
  match(bytes: Uint8Array, at: number, to: number): number;
  id(): number;
  /** 1 for each byte that one starts with. */
  readonly starts: Uint8Array;
}

/** The matcher of user-defined pieces, the longest first, or undefined where there are none. */
export function userDefinedPieces(table: TokenTable, types: Uint8Array): UserDefined | undefined {
  if (!types.includes(PIECE.userDefined)) return undefined;
  const nodes = tokenTrie(table, (id) => types[id] === PIECE.userDefined);
  const starts = new Uint8Array(256);
  types.forEach((type, id) => {
    if (type === PIECE.userDefined) starts[table.bytes[table.offsets[id] as number] as number] = 1;
  });
  let found = -1;
  return {
    starts,
    id: () => found,
    match: (bytes, at, to) => {
      let length = 0;
      let node = 0;
      for (let end = at; end < to; ) {
        const child = (nodes[node] as number) + (bytes[end++] as number) * NODE;
        if (nodes[child + 1] !== node) break;
        node = child;
        if ((nodes[child + 2] as number) < 0) continue;
        found = nodes[child + 2] as number;
        length = end - at;
      }
      return length;
    },
  };
}

/** The normalizer of a model. */
export function sentencePieceNormalizer(
  file: SentencePieceFile,
  userDefined: UserDefined | undefined,
): (bytes: Uint8Array, from: number, to: number) => NormalizedBytes {
  const { charsmap, addDummyPrefix, removeExtraWhitespaces, escapeWhitespaces, whitespaceAsSuffix } = file;
  const isPlain = plainBytes(file, userDefined);
  const result: NormalizedBytes = { bytes: new Uint8Array(1024), length: 0 };
  let out = result.bytes;
  let length = 0;
  const reserve = (more: number): void => {
    if (length + more <= out.length) return;
    const grown = new Uint8Array((length + more) * 2);
    grown.set(out.subarray(0, length));
    out = grown;
  };
  const space = (): void => {
    if (escapeWhitespaces) {
      out[length++] = 0xe2;
      out[length++] = 0x96;
      out[length++] = 0x81;
    } else out[length++] = SPACE;
  };
  // What replaces the text at a place: `source[start, end)`.
  let source: Uint8Array = REPLACEMENT;
  let start = 0;
  let end = 0;
  /** Finds the replacement of what is at a place and returns how much it replaces. */
  const prefix = (bytes: Uint8Array, at: number, to: number): number => {
    const user = userDefined === undefined ? 0 : userDefined.match(bytes, at, to);
    if (user === 0) {
      const matched = charsmap === undefined ? 0 : charsmap.match(bytes, at, to);
      if (matched > 0 && charsmap !== undefined) {
        source = charsmap.pool;
        start = charsmap.start();
        end = charsmap.end();
        return matched;
      }
    }
    const size = user === 0 ? characterLength(bytes, at, to) : user;
    if (size === 0) {
      source = REPLACEMENT;
      start = 0;
      end = REPLACEMENT.length;
      return 1;
    }
    source = bytes;
    start = at;
    end = at + size;
    return size;
  };

  return (bytes, from, to) => {
    if (out.length > KEPT) out = new Uint8Array(1024);
    length = 0;
    let at = from;
    if (removeExtraWhitespaces) {
      while (at < to) {
        const size = prefix(bytes, at, to);
        if (end - start !== 1 || source[start] !== SPACE) break;
        at += size;
      }
    }
    if (at < to) {
      reserve(to - at + 64);
      if (addDummyPrefix && !whitespaceAsSuffix) space();
      let afterSpace = removeExtraWhitespaces;
      while (at < to) {
        const byte = bytes[at] as number;
        if (isPlain[byte] === 1 && (at + 1 === to || (bytes[at + 1] as number) < 0x80)) {
          if (length + 3 > out.length) reserve(to - at + 64);
          at++;
          if (byte !== SPACE) {
            out[length++] = byte;
            afterSpace = false;
          } else if (!afterSpace) {
            space();
            afterSpace = removeExtraWhitespaces;
          }
          continue;
        }
        at += prefix(bytes, at, to);
        let each = start;
        while (afterSpace && each < end && source[each] === SPACE) each++;
        if (each < end) {
          reserve((end - each) * 3);
          afterSpace = removeExtraWhitespaces && source[end - 1] === SPACE;
          for (; each < end; each++) {
            if (source[each] === SPACE) space();
            else out[length++] = source[each] as number;
          }
        }
      }
      if (removeExtraWhitespaces) {
        if (escapeWhitespaces) {
          while (out[length - 1] === 0x81 && out[length - 2] === 0x96 && out[length - 3] === 0xe2) length -= 3;
        } else while (length > 0 && out[length - 1] === SPACE) length--;
      }
      reserve(3);
      if (addDummyPrefix && whitespaceAsSuffix) space();
    }
    result.bytes = out;
    result.length = length;
    return result;
  };
}

/** 1 for each ASCII byte that stands for itself wherever an ASCII byte or the end follows. */
function plainBytes({ charsmap }: SentencePieceFile, userDefined: UserDefined | undefined): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => {
    if (byte >= 0x80 || userDefined?.starts[byte] === 1) return 0;
    if (charsmap === undefined) return 1;
    return charsmap.mayStart(byte) ? 0 : 1;
  });
}

/** The bytes of the character at a place: 1 to 4, or 0 where the bytes are not UTF-8. */
export function characterLength(bytes: Uint8Array, at: number, to: number): number {
  const lead = bytes[at] as number;
  if (lead < 0x80) return 1;
  const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > to) return 0;
  const second = bytes[at + 1] as number;
  // Overlong forms, surrogates and what lies beyond Unicode are shut out by the second byte.
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let each = at + 2; each < at + length; each++) if (((bytes[each] as number) & 0xc0) !== 0x80) return 0;
  return length;
}
