/**
 * Normalizers of a tokenizer.json, from bytes to bytes. Those that treat characters one by one, but for marks and their
 * like, remember what each becomes (`character-map.ts`).
 */

import { isJsonObject, type Json } from '../../formats/json.js';
import { BYTE_CHARACTERS } from '../byte-level.js';
import { precompiledNormalizer } from '../precompiled.js';
import { byCharacters, joinsClusters, joinsOthers } from './character-map.js';
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
  lowerCase,
  normalForm,
  SPACE,
  textOf,
} from './unicode.js';

/** Takes UTF-8 to UTF-8; gives the same array where nothing changes. */
export type Normalizer = (bytes: Uint8Array) => Uint8Array;

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
      return byCharacters((text) => normalForm(text, type), joinsOthers);
    case 'Lowercase':
      return byCharacters(lowerCase, never);
    case 'StripAccents':
      return byCharacters((text) => text.replace(ACCENTS, ''), never);
    case 'Nmt':
      return byCharacters(normalizeNmt, never);
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
      return byCharacters(precompiledNormalizer(stringOf(value, 'precompiled_charsmap', where)), joinsClusters);
    default:
      return unknownComponent('normalizer', type, where);
  }
}

const never = (): boolean => false;

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
  const normalize = (given: string): string => {
    let text = given;
    if (cleans)
      text = text
        .replace(/[\t\n\r]/g, ' ')
        .replace(BERT_CONTROLS, '')
        .replace(/\p{White_Space}/gu, ' ');
    if (separates) text = text.replace(CHINESE, ' $& ');
    if (strips) text = normalForm(text, 'NFD').replace(BERT_ACCENTS, '');
    return lowers ? lowerCase(text) : text;
  };
  return byCharacters(normalize, strips ? (character, result) => result !== '' && joinsOthers(character) : never);
}

/** The blocks of Chinese characters that BERT's own code lists. */
const CHINESE =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

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
