/**
 * Pre-tokenizers of a tokenizer.json, one stage after the other. A stage takes pieces, which are ranges of bytes, to
 * finer ones, or writes the bytes anew (ByteLevel's alphabet, Metaspace's marks). Where white space is all that is left
 * out and nothing is written anew (BERT's, Whitespace), one scanner does it all, see `scanners.ts`.
 */

import type { Json } from '../../formats/json.js';
import { TesseraError } from '../../host/error.js';
import { findScanner, type Scanner, SPLIT_PATTERNS } from '../scanners.js';
import { type Behavior, cut, findMatches, readBehavior, readPattern } from './patterns.js';
import { booleanOf, type Component, characterOf, componentOf, countOf, listOf, unknownComponent } from './read.js';
import { prefixSpaces, readMetaspace, type Stage, spellPieces } from './rewriting-stages.js';
import { scanBert, scanWhitespace, scanWhitespaceSplit } from './scanners.js';
import { scriptOf } from './scripts.js';
import { decodeAt, flagsOf, isAscii, lengthAt, NUMERIC, PUNCTUATION, SPACE, textOf, WORD } from './unicode.js';

/** How a text is cut into words. */
export interface PreTokenizer {
  readonly stages: readonly Stage[];
  /** Cuts what the stages leave into words that may begin with white space, which is no part of them. */
  readonly scan?: Scanner;
  /** Bytes become characters of the byte-level alphabet, all of them, and nothing else happens to them. */
  readonly keepsBytes: boolean;
}

/** Reads a `pre_tokenizer`. @throws unsupported, naming what is not known; bad-file. */
export function readPreTokenizer(given: Json | undefined, where: string): PreTokenizer {
  const parts = flatten(given, where);
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) {
    const scan = SCANNERS[first.type];
    if (scan !== undefined) return { stages: [], scan, keepsBytes: false };
  }
  const levels = parts.filter(({ type }) => type === 'ByteLevel');
  return {
    stages: parts.flatMap((part) => readStage(part, where)),
    keepsBytes:
      levels.length === 1 &&
      levels[0]?.add_prefix_space !== true &&
      parts.every(({ type, behavior }) => KEEPING.has(type) && behavior !== 'Removed'),
  };
}

/** What cuts text and leaves none of it out. */
const KEEPING: ReadonlySet<string> = new Set(['ByteLevel', 'Digits', 'FixedLength', 'Punctuation', 'Split']);

const SCANNERS: Readonly<Record<string, Scanner | undefined>> = {
  BertPreTokenizer: scanBert,
  Whitespace: scanWhitespace,
  WhitespaceSplit: scanWhitespaceSplit,
};

function flatten(given: Json | undefined, where: string): readonly Component[] {
  if (given === undefined || given === null) return [];
  const value = componentOf(given, 'pre_tokenizer', where);
  if (value.type !== 'Sequence') return [value];
  return listOf(value, 'pretokenizers', where).flatMap((part) => flatten(part, where));
}

function readStage(value: Component, where: string): readonly Stage[] {
  switch (value.type) {
    case 'BertPreTokenizer':
      return [byFlags(SPACE, 'Removed'), byFlags(PUNCTUATION, 'Isolated')];
    case 'WhitespaceSplit':
      return [byFlags(SPACE, 'Removed')];
    case 'Whitespace':
      return [whitespaceStage];
    case 'Punctuation':
      return [byFlags(PUNCTUATION, readBehavior(value, where, 'Isolated'))];
    case 'Digits':
      return [byFlags(NUMERIC, booleanOf(value, 'individual_digits', where) ? 'Isolated' : 'Contiguous')];
    case 'CharDelimiterSplit': {
      const delimiter = characterOf(value, 'delimiter', where).codePointAt(0);
      return [byPoints((point) => point === delimiter, 'Removed')];
    }
    case 'FixedLength':
      return [fixedLength(value, where)];
    case 'UnicodeScripts':
      return [scriptStage];
    case 'Metaspace':
      return [readMetaspace(value, where)];
    case 'Split':
      return [readSplit(value, where)];
    case 'ByteLevel':
      return readByteLevel(value, where);
    default:
      return unknownComponent('pre-tokenizer', value.type, where);
  }
}

/** A stage that works on each piece for itself and leaves the bytes as they are. */
function refine(one: (bytes: Uint8Array, from: number, to: number, pieces: number[]) => void): Stage {
  return ({ bytes, ranges }) => {
    const finer: number[] = [];
    for (let i = 0; i < ranges.length; i += 2) one(bytes, ranges[i] as number, ranges[i + 1] as number, finer);
    return { bytes, ranges: finer };
  };
}

/** Each character of which `isMatch` says yes is a match. */
function byPoints(isMatch: (point: number) => boolean, behavior: Behavior): Stage {
  return refine((bytes, from, to, pieces) => {
    const spans: number[] = [];
    let start = from;
    for (let at = from; at < to; ) {
      const character = decodeAt(bytes, at, to);
      const next = at + (character & 7);
      if (isMatch(character >> 3)) {
        if (start < at) spans.push(start, at, 0);
        spans.push(at, next, 1);
        start = next;
      }
      at = next;
    }
    if (start < to) spans.push(start, to, 0);
    cut(spans, behavior, pieces);
  });
}

/** Each character that has the flag is a match. */
function byFlags(flag: number, behavior: Behavior): Stage {
  if (behavior !== 'Removed' && behavior !== 'Isolated') {
    return byPoints((point) => (flagsOf(point) & flag) !== 0, behavior);
  }
  const isKept = behavior === 'Isolated';
  const ascii = Uint8Array.from({ length: 128 }, (_, byte) => flagsOf(byte) & flag);
  return refine((bytes, from, to, pieces) => {
    let start = from;
    for (let at = from; at < to; ) {
      const byte = bytes[at] as number;
      let next = at + 1;
      let matched: number;
      if (byte < 0x80) matched = ascii[byte] as number;
      else {
        const character = decodeAt(bytes, at, to);
        matched = flagsOf(character >> 3) & flag;
        next = at + (character & 7);
      }
      if (matched !== 0) {
        if (start < at) pieces.push(start, at);
        if (isKept) pieces.push(at, next);
        start = next;
      }
      at = next;
    }
    if (start < to) pieces.push(start, to);
  });
}

/** `\w+|[^\w\s]+`: runs of one kind, without white space. */
const whitespaceStage = refine((bytes, from, to, pieces) => {
  let start = from;
  let kind = SPACE;
  for (let at = from; at < to; ) {
    const character = decodeAt(bytes, at, to);
    const next = flagsOf(character >> 3) & (SPACE | WORD);
    if (next !== kind) {
      if (kind !== SPACE) pieces.push(start, at);
      start = at;
      kind = next;
    }
    at += character & 7;
  }
  if (kind !== SPACE && start < to) pieces.push(start, to);
});

function fixedLength(value: Component, where: string): Stage {
  const length = countOf(value, 'length', where, 5);
  if (length === 0) throw new TesseraError('bad-file', `${where}: FixedLength cuts into pieces of 0 characters.`);
  return refine((bytes, from, to, pieces) => {
    let start = from;
    let count = 0;
    for (let at = from; at < to; ) {
      at += lengthAt(bytes, at, to);
      if (++count % length === 0 || at === to) {
        pieces.push(start, at);
        start = at;
      }
    }
  });
}

/** Cuts where the script changes; what has none joins what is before it. The text before the first script is lost. */
const scriptStage = refine((bytes, from, to, pieces) => {
  let last: string | undefined;
  let start = -1;
  for (let at = from; at < to; ) {
    const character = decodeAt(bytes, at, to);
    const script = scriptOf(character >> 3);
    if (script !== 'Any') {
      if (script !== last) {
        if (start >= 0) pieces.push(start, at);
        start = at;
      }
      last = script;
    }
    at += character & 7;
  }
  if (start >= 0) pieces.push(start, to);
});

function readSplit(value: Component, where: string): Stage {
  const expression = readPattern(value.pattern, 'Split', where);
  const behavior = readBehavior(value, where);
  const isInverted = booleanOf(value, 'invert', where, false);
  const { pattern } = value;
  const source = typeof pattern === 'object' && pattern !== null && 'Regex' in pattern ? pattern.Regex : undefined;
  const scan = typeof source === 'string' && behavior === 'Isolated' ? findScanner(source) : undefined;
  return scan === undefined ? byExpression(expression, behavior, isInverted) : byScanner(scan);
}

function byScanner(scan: Scanner): Stage {
  return refine((bytes, from, to, pieces) => {
    for (let at = from; at < to; ) {
      const end = scan(bytes, at, to);
      pieces.push(at, end);
      at = end;
    }
  });
}

function byExpression(expression: RegExp, behavior: Behavior, isInverted: boolean): Stage {
  const matched = isInverted ? 0 : 1;
  return refine((bytes, from, to, pieces) => {
    const text = textOf(bytes.subarray(from, to));
    // Places in the text become places in the bytes as the walk goes on.
    const walk = isAscii(bytes, from, to) ? (place: number) => from + place : byteWalker(bytes, from, to);
    const spans: number[] = [];
    let at = from;
    for (const [start, end] of findMatches(text, expression)) {
      const startByte = walk(start);
      const endByte = walk(end);
      if (at < startByte) spans.push(at, startByte, 1 - matched);
      spans.push(startByte, endByte, matched);
      at = endByte;
    }
    if (at < to) spans.push(at, to, 1 - matched);
    cut(spans, behavior, pieces);
  });
}

/** Takes rising places in the text of `bytes[from, to)`, in UTF-16 units, to places in the bytes. */
function byteWalker(bytes: Uint8Array, from: number, to: number): (place: number) => number {
  let unit = 0;
  let at = from;
  return (place) => {
    while (unit < place && at < to) {
      const length = lengthAt(bytes, at, to);
      unit += length === 4 ? 2 : 1;
      at += length;
    }
    return at;
  };
}

function readByteLevel(value: Component, where: string): readonly Stage[] {
  const stages: Stage[] = [];
  if (booleanOf(value, 'add_prefix_space', where, false)) stages.push(prefixSpaces);
  if (booleanOf(value, 'use_regex', where, true)) {
    const scan = findScanner(SPLIT_PATTERNS.gpt2);
    stages.push(
      scan === undefined
        ? byExpression(readPattern({ Regex: SPLIT_PATTERNS.gpt2 }, 'ByteLevel', where), 'Isolated', false)
        : byScanner(scan),
    );
  }
  return [...stages, spellPieces];
}
