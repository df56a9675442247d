/**
 * Added tokens: texts that become one id before anything else is split, special ones such as `<|endoftext|>` among
 * them. Found as Hugging Face's library finds them: the leftmost, and of those the longest; first the tokens that match
 * the text as it is, then, in what is left and normalized, the others; with white space taken in on either side
 * (`lstrip`, `rstrip`) and whole words only (`single_word`) where the token asks for it.
 */

import { isJsonObject, type Json } from '../formats/json.js';
import { TesseraError } from '../host/error.js';
import { pointAt, pointBefore } from './characters.js';

/** A token that is found in the text by its content. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly bytes: Uint8Array;
  readonly special: boolean;
  readonly singleWord: boolean;
  readonly stripsLeft: boolean;
  readonly stripsRight: boolean;
  readonly normalized: boolean;
}

/** Walks over `bytes[from, to)`, calling back for each stretch of text and each token between. */
export type AddedTokenSplitter = (
  bytes: Uint8Array,
  from: number,
  to: number,
  parseSpecial: boolean,
  onText: (bytes: Uint8Array, from: number, to: number) => void,
  onToken: (id: number) => void,
) => void;

/** Reads the `added_tokens` of a tokenizer.json. @throws bad-file. */
export function readAddedTokens(value: Json | undefined, where: string): readonly AddedToken[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new TesseraError('bad-file', `${where}: added_tokens is not a list.`);
  const encoder = new TextEncoder();
  const ids = new Map<number, string>();
  const contents = new Map<string, number>();
  return value.map((entry: Json): AddedToken => {
    const { id, content } = isJsonObject(entry) ? entry : {};
    if (
      !isJsonObject(entry) ||
      typeof id !== 'number' ||
      !Number.isInteger(id) ||
      id < 0 ||
      typeof content !== 'string'
    ) {
      throw new TesseraError('bad-file', `${where}: an added token needs a whole "id" and a "content".`);
    }
    const other = ids.get(id) ?? contents.get(content);
    if (other !== undefined) {
      throw new TesseraError(
        'bad-file',
        `${where}: the added token ${JSON.stringify(content)}, id ${id}, is there twice.`,
      );
    }
    ids.set(id, content);
    contents.set(content, id);
    return {
      id,
      content,
      bytes: encoder.encode(content),
      special: entry.special === true,
      singleWord: entry.single_word === true,
      stripsLeft: entry.lstrip === true,
      stripsRight: entry.rstrip === true,
      normalized: entry.normalized === true,
    };
  });
}

/** The splitter for some added tokens, or undefined when there are none. */
export function addedTokenSplitter(tokens: readonly AddedToken[]): AddedTokenSplitter | undefined {
  const wanted = tokens.filter(({ bytes }) => bytes.length > 0);
  if (wanted.length === 0) return undefined;
  const longestFirst = [...wanted].sort((a, b) => b.bytes.length - a.bytes.length);
  const byFirst = Array.from({ length: 256 }, (_, byte) => {
    const group = longestFirst.filter(({ bytes }) => bytes[0] === byte);
    return group.length === 0 ? undefined : group;
  });
  const firsts = Uint8Array.from(new Set(wanted.map(({ bytes }) => bytes[0] as number)));
  const seek = firsts.length <= 4 ? seekFew(firsts) : seekMany(byFirst);
  return (bytes, from, to, parseSpecial, onText, onToken) => {
    let textStart = from;
    for (let at = seek(bytes, from, to, true); at < to; ) {
      const token = byFirst[bytes[at] as number]?.find((each) => isAt(each.bytes, bytes, at, to));
      if (token === undefined) {
        at = seek(bytes, at + 1, to, false);
        continue;
      }
      const end = at + token.bytes.length;
      const isWanted = (parseSpecial || !token.special) && !(token.singleWord && isInWord(bytes, from, at, end, to));
      if (isWanted) {
        const start = token.stripsLeft ? spaceBefore(bytes, at, textStart) : at;
        if (textStart < start) onText(bytes, textStart, start);
        onToken(token.id);
        textStart = token.stripsRight ? spaceAfter(bytes, end, to) : end;
      }
      at = seek(bytes, Math.max(end, textStart), to, false);
    }
    if (textStart < to) onText(bytes, textStart, to);
  };
}

type Seek = (bytes: Uint8Array, from: number, to: number, isFirst: boolean) => number;

/** Few first bytes: the engine's own search for each of them, remembered until it is passed. */
function seekFew(firsts: Uint8Array): Seek {
  const places = new Int32Array(firsts.length);
  return (bytes, from, to, isFirst) => {
    let best = to;
    for (let i = 0; i < firsts.length; i++) {
      let place = places[i] as number;
      if (isFirst || place < from) {
        place = bytes.indexOf(firsts[i] as number, from);
        if (place === -1) place = 0x7fffffff;
        places[i] = place;
      }
      if (place < best) best = place;
    }
    return best;
  };
}

function seekMany(byFirst: readonly unknown[]): Seek {
  const isFirstByte = Uint8Array.from({ length: 256 }, (_, byte) => (byFirst[byte] === undefined ? 0 : 1));
  return (bytes, from, to) => {
    let at = from;
    while (at < to && isFirstByte[bytes[at] as number] === 0) at++;
    return at;
  };
}

function isAt(token: Uint8Array, bytes: Uint8Array, at: number, to: number): boolean {
  if (at + token.length > to) return false;
  for (let i = 0; i < token.length; i++) if (token[i] !== bytes[at + i]) return false;
  return true;
}

/** A letter, mark, digit or connector touches the token on either side. */
function isInWord(bytes: Uint8Array, from: number, start: number, end: number, to: number): boolean {
  return isWordPoint(pointBefore(bytes, start, from)) || isWordPoint(pointAt(bytes, end, to));
}

function isWordPoint(point: number): boolean {
  return point >= 0 && /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u.test(String.fromCodePoint(point));
}

function spaceBefore(bytes: Uint8Array, at: number, from: number): number {
  let start = at;
  for (;;) {
    const point = pointBefore(bytes, start, from);
    if (point < 0 || !/\p{White_Space}/u.test(String.fromCodePoint(point))) return start;
    start -= lengthOf(point);
  }
}

function spaceAfter(bytes: Uint8Array, at: number, to: number): number {
  let end = at;
  for (;;) {
    const point = pointAt(bytes, end, to);
    if (point < 0 || !/\p{White_Space}/u.test(String.fromCodePoint(point))) return end;
    end += lengthOf(point);
  }
}

/** Bytes of a code point in UTF-8. */
function lengthOf(point: number): number {
  return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
}
