/**
 * Split patterns as hand-written scanners over UTF-8 bytes: a regular expression reads text at 25 to 30 MB/s in V8,
 * these read it several times as fast and never build a string. A scanner gives the end of the word that starts at
 * `at`; words lie end to end, so that splitting loses nothing.
 *
 * Written out: GPT-2's pattern (Radford et al. 2019), cl100k's, which Llama 3 has as it is and Qwen 2 with numbers of one
 * digit, and o200k's, which ends words where case begins anew. The others go the way of `regular-expression.ts`.
 */

import {
  ASCII,
  ASCII_CASES,
  CASELESS,
  caseWide,
  classifyAt,
  classifyWide,
  LETTER,
  LOWER,
  MARK,
  NUMBER,
  OTHER,
  SPACE,
  UPPER,
} from './characters.js';

/** Gives the end of the word that starts at `at`; `at < end`. */
export type Scanner = (bytes: Uint8Array, at: number, end: number) => number;

/** Splits nothing. */
export const wholeRange: Scanner = (_bytes, _at, end) => end;

/** The published source of each pattern, by its name. */
export const SPLIT_PATTERNS = {
  gpt2: "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  cl100k:
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  qwen2:
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  o200k: [
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    '\\p{N}{1,3}',
    ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*',
    '\\s*[\\r\\n]+',
    '\\s+(?!\\S)',
    '\\s+',
  ].join('|'),
} as const;

/** A pattern that has a name and a scanner. */
export type SplitPatternName = keyof typeof SPLIT_PATTERNS;

/** The scanner of a pattern's source, where one is written. */
export function findScanner(source: string): Scanner | undefined {
  return SCANNERS.get(source);
}

/** Splits by GPT-2's pattern. */
export function scanGpt2(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at] as number;
  let start = at;
  if (first === 0x20) {
    start++;
    if (start === end) return end;
  } else if (first === 0x27) {
    const length = contraction(bytes, at, end);
    if (length > 0) return at + length;
  }
  const byte = bytes[start] as number;
  const kind = byte < 0x80 ? (ASCII[byte] as number) : classifyWide(bytes, start, end) & 7;
  return kind === SPACE ? scanSpace(bytes, at, end) : scanClass(bytes, start, end, kind);
}

/** Splits by cl100k's pattern: at most three digits a word. */
export const scanCl100k: Scanner = (bytes, at, end) => scanCl100kLike(bytes, at, end, 3);

/** Splits by Qwen 2's pattern: one digit a word. */
export const scanQwen2: Scanner = (bytes, at, end) => scanCl100kLike(bytes, at, end, 1);

/** Splits by o200k's pattern: a word ends before an upper-case letter that follows a lower-case one. */
export const scanO200k: Scanner = (bytes, at, end) => {
  const first = bytes[at] as number;
  const wide = first < 0x80 ? (ASCII_CASES[first] as number) | 8 : caseWide(bytes, at, end);
  const kind = wide & 7;
  if (kind === LOWER) return withContraction(bytes, scanLower(bytes, at + (wide >> 3), end), end);
  const second = at + (wide >> 3);
  if (kind === NUMBER) return scanNumber(bytes, second, end, 3);
  if (kind === UPPER || kind === CASELESS) return withContraction(bytes, scanCased(bytes, at, end), end);
  // One character that is neither a line's end, a letter nor a number joins the letters after it.
  if (first !== 0x0a && first !== 0x0d && second < end) {
    const next = bytes[second] as number;
    const follows = next < 0x80 ? (ASCII_CASES[next] as number) : caseWide(bytes, second, end) & 7;
    if (follows === LOWER) return withContraction(bytes, scanLower(bytes, second, end), end);
    if (follows === UPPER || follows > LOWER) {
      const stop = scanCased(bytes, second, end);
      // A mark is itself a letter: where only upper case follows, the word of lower case is the mark.
      if (kind !== MARK || !isUpper(bytes, second, stop, end)) return withContraction(bytes, stop, end);
    }
    if (kind === MARK) return withContraction(bytes, second, end);
    if (kind === OTHER || (first === 0x20 && follows === OTHER)) return scanSymbols(bytes, second, end);
  } else if (kind === MARK) return second;
  else if (kind === OTHER) return second;
  return scanSpaceToLineEnd(bytes, at, end);
};

const SCANNERS: ReadonlyMap<string, Scanner> = new Map<string, Scanner>([
  [SPLIT_PATTERNS.gpt2, scanGpt2],
  [SPLIT_PATTERNS.cl100k, scanCl100k],
  [SPLIT_PATTERNS.qwen2, scanQwen2],
  [SPLIT_PATTERNS.o200k, scanO200k],
]);

function scanCl100kLike(bytes: Uint8Array, at: number, end: number, digits: number): number {
  const first = bytes[at] as number;
  if (first === 0x27) {
    const length = contractionOfAnyCase(bytes, at, end);
    if (length > 0) return at + length;
  }
  const wide = first < 0x80 ? (ASCII[first] as number) | 8 : classifyWide(bytes, at, end);
  const kind = wide & 7;
  const second = at + (wide >> 3);
  if (kind === LETTER) return scanClass(bytes, second, end, LETTER);
  if (kind === NUMBER) return scanNumber(bytes, second, end, digits);
  const next = second < end ? classifyAt(bytes, second, end) & 7 : 0;
  // One character that is neither a line's end, a letter nor a number joins the letters after it.
  if (next === LETTER && first !== 0x0a && first !== 0x0d) return scanClass(bytes, second, end, LETTER);
  if (kind === OTHER || (first === 0x20 && next === OTHER)) {
    let stop = scanClass(bytes, second, end, OTHER);
    while (stop < end && isLineEnd(bytes[stop] as number)) stop++;
    return stop;
  }
  return scanSpaceToLineEnd(bytes, at, end);
}

const QUICK: ReadonlySet<Scanner> = new Set(SCANNERS.values());

/**
 * True for a scanner of a pattern by which a space (or none) and ASCII letters, of which only the first may be upper case,
 * are one word where ASCII follows that is neither a letter nor an apostrophe.
 */
export function endsAsciiWords(scan: Scanner): boolean {
  return QUICK.has(scan);
}

/** The end of a run of lower case: letters that are not upper case, and marks. */
function scanLower(bytes: Uint8Array, at: number, end: number): number {
  let stop = at;
  while (stop < end) {
    const byte = bytes[stop] as number;
    if (byte < 0x80) {
      if (ASCII_CASES[byte] !== LOWER) return stop;
      stop++;
    } else {
      const wide = caseWide(bytes, stop, end);
      if ((wide & 7) < LOWER) return stop;
      stop += wide >> 3;
    }
  }
  return stop;
}

/**
 * The end of the word that begins with a letter that may be upper case: a run of upper case with the lower case after it;
 * where none follows, the run up to its last letter that is both, or else all of it.
 */
function scanCased(bytes: Uint8Array, at: number, end: number): number {
  let both = -1;
  let stop = at;
  while (stop < end) {
    const byte = bytes[stop] as number;
    const wide = byte < 0x80 ? (ASCII_CASES[byte] as number) | 8 : caseWide(bytes, stop, end);
    const kind = wide & 7;
    if (kind === LOWER) return scanLower(bytes, stop, end);
    if (kind !== UPPER && kind < LOWER) break;
    stop += wide >> 3;
    if (kind !== UPPER) both = stop;
  }
  return both > 0 ? both : stop;
}

/** True where `[at, stop)` is upper case alone, with nothing after it that could end a word of lower case. */
function isUpper(bytes: Uint8Array, at: number, stop: number, end: number): boolean {
  for (let each = at; each < stop; ) {
    const wide = caseAt(bytes, each, end);
    if ((wide & 7) !== UPPER) return false;
    each += wide >> 3;
  }
  return true;
}

function caseAt(bytes: Uint8Array, at: number, end: number): number {
  const byte = bytes[at] as number;
  return byte < 0x80 ? (ASCII_CASES[byte] as number) | 8 : caseWide(bytes, at, end);
}

/** A word's end with the contraction behind it. */
function withContraction(bytes: Uint8Array, stop: number, end: number): number {
  return stop < end && bytes[stop] === 0x27 ? stop + contractionOfAnyCase(bytes, stop, end) : stop;
}

/** The end of a run of symbols and marks with the line ends and slashes behind it. */
function scanSymbols(bytes: Uint8Array, at: number, end: number): number {
  let stop = at;
  while (stop < end) {
    const wide = caseAt(bytes, stop, end);
    const kind = wide & 7;
    if (kind !== OTHER && kind !== MARK) break;
    stop += wide >> 3;
  }
  while (stop < end && (isLineEnd(bytes[stop] as number) || bytes[stop] === 0x2f)) stop++;
  return stop;
}

/** The end of the run of characters of one class. */
function scanClass(bytes: Uint8Array, at: number, end: number, kind: number): number {
  let stop = at;
  while (stop < end) {
    const byte = bytes[stop] as number;
    if (byte < 0x80) {
      if (ASCII[byte] !== kind) return stop;
      stop++;
    } else {
      const wide = classifyWide(bytes, stop, end);
      if ((wide & 7) !== kind) return stop;
      stop += wide >> 3;
    }
  }
  return stop;
}

/** `\s+(?!\S)|\s+`: a run of white space without its last character, which joins what follows it. */
function scanSpace(bytes: Uint8Array, at: number, end: number): number {
  let last = at;
  let stop = at;
  while (stop < end) {
    const wide = classifyAt(bytes, stop, end);
    if ((wide & 7) !== SPACE) return last > at ? last : stop;
    last = stop;
    stop += wide >> 3;
  }
  return stop;
}

/** `\s*[\r\n]+|\s+(?!\S)|\s+`: as `scanSpace`, but a run with line ends goes to the last of them. */
function scanSpaceToLineEnd(bytes: Uint8Array, at: number, end: number): number {
  let lineEnd = -1;
  let last = at;
  let stop = at;
  while (stop < end) {
    const wide = classifyAt(bytes, stop, end);
    if ((wide & 7) !== SPACE) break;
    last = stop;
    stop += wide >> 3;
    if (isLineEnd(bytes[last] as number)) lineEnd = stop;
  }
  if (lineEnd > 0) return lineEnd;
  return stop < end && last > at ? last : stop;
}

/** The end of at most `digits` numbers, of which the first was read. */
function scanNumber(bytes: Uint8Array, at: number, end: number, digits: number): number {
  let stop = at;
  for (let count = 1; count < digits && stop < end; count++) {
    const wide = classifyAt(bytes, stop, end);
    if ((wide & 7) !== NUMBER) break;
    stop += wide >> 3;
  }
  return stop;
}

/** The length of 's, 't, 're, 've, 'm, 'll or 'd, or 0. */
function contraction(bytes: Uint8Array, at: number, end: number): number {
  const first = at + 1 < end ? bytes[at + 1] : 0;
  const second = at + 2 < end ? bytes[at + 2] : 0;
  return contractionOf(first as number, second as number);
}

function contractionOfAnyCase(bytes: Uint8Array, at: number, end: number): number {
  const first = at + 1 < end ? (bytes[at + 1] as number) : 0;
  const second = at + 2 < end ? (bytes[at + 2] as number) : 0;
  // The long s, U+017F, is an s where case does not matter.
  if (first === 0xc5 && second === 0xbf) return 3;
  return contractionOf(first < 0x80 ? first | 0x20 : first, second < 0x80 ? second | 0x20 : second);
}

function contractionOf(first: number, second: number): number {
  switch (first) {
    case 0x73: // s
    case 0x74: // t
    case 0x6d: // m
    case 0x64: // d
      return 2;
    case 0x72: // re
    case 0x76: // ve
      return second === 0x65 ? 3 : 0;
    case 0x6c: // ll
      return second === 0x6c ? 3 : 0;
    default:
      return 0;
  }
}

function isLineEnd(byte: number): boolean {
  return byte === 0x0a || byte === 0x0d;
}
