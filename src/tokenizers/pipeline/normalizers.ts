/**
 * Normalizers of a tokenizer.json, from bytes to bytes. Those that treat ASCII byte by byte (Bert, Lowercase, Nmt, the
 * normal forms) read blocks of it through a table and make strings only of blocks with other characters; a block starts
 * at a space, which nothing before it changes.
 */

import { isJsonObject, type Json } from '../../formats/json.js';
import { BYTE_CHARACTERS } from '../byte-level.js';
import { precompiledNormalizer } from '../precompiled.js';
import { findMatches, readPattern } from './patterns.js';
import { booleanOf, type Component, componentOf, listOf, stringOf, unknownComponent } from './read.js';
import {
  ACCENTS,
  BERT_ACCENTS,
  BERT_CONTROLS,
  bytesOf,
  codePointSet,
  decodeAt,
  flagsOf,
  isAscii,
  lowerCase,
  normalForm,
  SPACE,
  textOf,
} from './unicode.js';

/** Takes UTF-8 to UTF-8; gives the same array where nothing changes. */
export type Normalizer = (bytes: Uint8Array) => Uint8Array;

/** Bytes of a block, at least, before a space may end it. */
const BLOCK = 512;
/** In a table of ASCII: the byte is left out. */
const DROPPED = -1;

/** Reads a `normalizer`, or undefined for none. @throws unsupported, naming what is not known; bad-file. */
export function readNormalizer(given: Json | undefined, where: string): Normalizer | undefined {
  if (given === undefined || given === null) return undefined;
  const value = componentOf(given, 'normalizer', where);
  const { type } = value;
  switch (type) {
    case 'Sequence': {
      const parts = listOf(value, 'normalizers', where)
        .map((part) => readNormalizer(part, where))
        .filter((part) => part !== undefined);
      return (bytes) => parts.reduce((result, normalize) => normalize(result), bytes);
    }
    case 'BertNormalizer':
      return readBert(value, where);
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return inBlocks(IDENTITY, (text) => normalForm(text, type));
    case 'Lowercase':
      return inBlocks(LOWER, lowerCase);
    case 'StripAccents':
      return inBlocks(IDENTITY, (text) => text.replace(ACCENTS, ''));
    case 'Nmt':
      return inBlocks(NMT, normalizeNmt);
    case 'Strip':
      return strip(booleanOf(value, 'strip_left', where), booleanOf(value, 'strip_right', where));
    case 'Prepend': {
      const prefix = bytesOf(stringOf(value, 'prepend', where));
      return (bytes) => (bytes.length === 0 ? bytes : joinBytes(prefix, bytes));
    }
    case 'ByteLevel':
      return spellAll;
    case 'Replace':
      return readReplace(value, where);
    case 'Precompiled':
      return precompiled(stringOf(value, 'precompiled_charsmap', where));
    default:
      return unknownComponent('normalizer', type, where);
  }
}

const IDENTITY = Int16Array.from({ length: 128 }, (_, byte) => byte);
const LOWER = IDENTITY.map((byte) => (byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte));
const NMT = IDENTITY.map((byte) => {
  if (byte === 0x09 || byte === 0x0a || byte === 0x0c || byte === 0x0d) return 0x20;
  return (byte > 0 && byte < 0x20) || byte === 0x7f ? DROPPED : byte;
});

const NMT_CONTROLS = codePointSet('1-8 b e-1f 7f 8f 9f', 'g');
const NMT_SPACES = codePointSet('9 a c d 1680 200b-200f 2028 2029 2581 feff fffd', 'g');

function normalizeNmt(text: string): string {
  return text.replace(NMT_CONTROLS, '').replace(NMT_SPACES, ' ');
}

function readBert(value: Component, where: string): Normalizer {
  const cleans = booleanOf(value, 'clean_text', where);
  const separates = booleanOf(value, 'handle_chinese_chars', where);
  const lowers = booleanOf(value, 'lowercase', where);
  const strips = typeof value.strip_accents === 'boolean' ? value.strip_accents : lowers;
  const table = (lowers ? LOWER : IDENTITY).map((byte, at) => {
    if (!cleans) return byte;
    if (at === 0x09 || at === 0x0a || at === 0x0d) return 0x20;
    return at < 0x20 || at === 0x7f ? DROPPED : byte;
  });
  return inBlocks(table, (given) => {
    let text = given;
    if (cleans)
      text = text
        .replace(/[\t\n\r]/g, ' ')
        .replace(BERT_CONTROLS, '')
        .replace(/\p{White_Space}/gu, ' ');
    if (separates) text = text.replace(CHINESE, ' $& ');
    if (strips) text = normalForm(text, 'NFD').replace(BERT_ACCENTS, '');
    return lowers ? lowerCase(text) : text;
  });
}

/** The blocks of Chinese characters that BERT's own code lists. */
const CHINESE =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

/** SentencePiece's compiled rules; a carriage return before a line feed is one character with it. */
function precompiled(charsmap: string): Normalizer {
  const normalize = precompiledNormalizer(charsmap);
  const results = Array.from({ length: 128 }, (_, byte) => normalize(String.fromCharCode(byte)));
  if (results.some((text) => text.length > 1 || text > '\u007f')) return (bytes) => bytesOf(normalize(textOf(bytes)));
  const table = Int16Array.from(results, (text) => (text === '' ? DROPPED : text.charCodeAt(0)));
  return inBlocks(table, normalize, 0x0d);
}

/** Applies a table to blocks of ASCII and a function to the others, and to those that have the `odd` byte. */
function inBlocks(table: Int16Array, normalize: (text: string) => string, odd = -1): Normalizer {
  const isIdentity = table.every((byte, at) => byte === at);
  return (bytes) => {
    const { length } = bytes;
    if (isIdentity && odd < 0 && isAscii(bytes, 0, length)) return bytes;
    let out = new Uint8Array(length + 16);
    let to = 0;
    for (let from = 0; from < length; ) {
      let end = Math.min(from + BLOCK, length);
      while (end < length && bytes[end] !== 0x20) end++;
      if (isAscii(bytes, from, end) && !(odd >= 0 && bytes.subarray(from, end).includes(odd))) {
        if (to + end - from > out.length) out = grown(out, to + length - from);
        for (let at = from; at < end; at++) {
          const byte = table[bytes[at] as number] as number;
          out[to] = byte;
          to += byte === DROPPED ? 0 : 1;
        }
      } else {
        const block = bytesOf(normalize(textOf(bytes.subarray(from, end))));
        if (to + block.length > out.length) out = grown(out, to + block.length + length - end);
        out.set(block, to);
        to += block.length;
      }
      from = end;
    }
    return out.subarray(0, to);
  };
}

function grown(bytes: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const more = new Uint8Array(Math.max(length, bytes.length + (bytes.length >> 1)));
  more.set(bytes);
  return more;
}

function strip(left: boolean, right: boolean): Normalizer {
  return (bytes) => {
    let from = 0;
    let to = bytes.length;
    while (left && from < to) {
      const character = decodeAt(bytes, from, to);
      if ((flagsOf(character >> 3) & SPACE) === 0) break;
      from += character & 7;
    }
    while (right && to > from) {
      let start = to - 1;
      while (start > from && ((bytes[start] as number) & 0xc0) === 0x80) start--;
      if ((flagsOf(decodeAt(bytes, start, to) >> 3) & SPACE) === 0) break;
      to = start;
    }
    return bytes.subarray(from, to);
  };
}

function readReplace(value: Component, where: string): Normalizer {
  const content = stringOf(value, 'content', where);
  const { pattern } = value;
  if (isJsonObject(pattern) && typeof pattern.String === 'string' && pattern.String !== '') {
    return replaceBytes(bytesOf(pattern.String), bytesOf(content));
  }
  const expression = readPattern(pattern, 'Replace', where);
  return (bytes) => bytesOf(replaceText(textOf(bytes), expression, content));
}

/** Puts `content` where the expression matches. */
export function replaceText(text: string, expression: RegExp, content: string): string {
  let result = '';
  let at = 0;
  for (const [start, end] of findMatches(text, expression)) {
    result += text.slice(at, start) + content;
    at = end;
  }
  return at === 0 && result === '' ? text : result + text.slice(at);
}

/** Puts `content` for each occurrence of `pattern`, from the left. */
function replaceBytes(pattern: Uint8Array, content: Uint8Array): Normalizer {
  const first = pattern[0] as number;
  const isAt = (bytes: Uint8Array, at: number): boolean => {
    for (let i = 1; i < pattern.length; i++) if (bytes[at + i] !== pattern[i]) return false;
    return true;
  };
  return (bytes) => {
    let count = 0;
    for (let at = bytes.indexOf(first); at !== -1; ) {
      const isFound = isAt(bytes, at);
      if (isFound) count++;
      at = bytes.indexOf(first, at + (isFound ? pattern.length : 1));
    }
    if (count === 0) return bytes;
    const out = new Uint8Array(bytes.length + count * (content.length - pattern.length));
    let to = 0;
    for (let at = 0; at < bytes.length; ) {
      if (bytes[at] === first && isAt(bytes, at)) {
        for (let i = 0; i < content.length; i++) out[to++] = content[i] as number;
        at += pattern.length;
      } else out[to++] = bytes[at++] as number;
    }
    return out;
  };
}

function joinBytes(one: Uint8Array, other: Uint8Array): Uint8Array {
  const out = new Uint8Array(one.length + other.length);
  out.set(one);
  out.set(other, one.length);
  return out;
}

/** The UTF-8 of each byte's character in the byte-level alphabet: one or two bytes, and a 0 where there is one. */
const SPELLINGS = Uint8Array.from(
  BYTE_CHARACTERS.flatMap((character) => {
    const code = character.charCodeAt(0);
    return code < 0x80 ? [code, 0] : [0xc0 | (code >> 6), 0x80 | (code & 0x3f)];
  }),
);

/** Writes the byte-level spelling of `bytes[from, to)` to `out[at...]`, which needs twice the room; returns its end. */
export function spellInto(bytes: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  let end = at;
  for (let each = from; each < to; each++) {
    const byte = bytes[each] as number;
    out[end++] = SPELLINGS[byte * 2] as number;
    const second = SPELLINGS[byte * 2 + 1] as number;
    if (second !== 0) out[end++] = second;
  }
  return end;
}

function spellAll(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length * 2);
  return out.subarray(0, spellInto(bytes, 0, bytes.length, out, 0));
}
