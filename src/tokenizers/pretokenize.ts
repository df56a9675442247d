/**
 * Pre-tokenizers: how a text is cut into the words that are merged one by one. Read from the `pre_tokenizer` of a
 * tokenizer.json: ByteLevel, Split, and sequences of them. A single pattern with a scanner is read byte by byte;
 * everything else by regular expressions over decoded stretches, where a byte that is not UTF-8 is a word of its own.
 */

import { isJsonObject, type Json, type JsonObject } from '../formats/json.js';
import { findInvalidUtf8 } from '../formats/utf8.js';
import { TesseraError } from '../host/error.js';
import { literalPattern, translatePattern } from './regular-expression.js';
import { findScanner, type Scanner, SPLIT_PATTERNS, type SplitPatternName } from './scanners.js';

/** How a text is cut into words. */
export interface PreTokenizer {
  /** A text that does not start with a space is given one. */
  readonly addsSpace: boolean;
  /** Some of the text may be left out. */
  readonly dropsText: boolean;
  /** The scanner that cuts, where one does. */
  readonly scan?: Scanner;
  /** Else, the words in `bytes[from, to)`: start and end of each, in turn. */
  readonly split?: (bytes: Uint8Array, from: number, to: number) => readonly number[];
}

/** Takes ranges [start, end, ...] to finer ones. */
type Stage = { readonly scan: Scanner } | { readonly expression: RegExp; readonly keeps: 'all' | 'matches' | 'gaps' };

/** The `pre_tokenizer` of a split pattern: a name, `none`, or the source of a regular expression. */
export function preTokenizerJson(pattern: SplitPatternName | 'none' | { readonly source: string }): JsonObject {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };
  if (pattern === 'gpt2' || pattern === 'none') return { ...byteLevel, use_regex: pattern === 'gpt2' };
  const source = typeof pattern === 'string' ? SPLIT_PATTERNS[pattern] : pattern.source;
  return {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { Regex: source }, behavior: 'Isolated', invert: false },
      { ...byteLevel, use_regex: false },
    ],
  };
}

/** Reads a `pre_tokenizer`. @throws unsupported, naming what is not known; bad-file. */
export function readPreTokenizer(value: Json | undefined, where: string): PreTokenizer {
  const parts = flatten(value, where);
  if (!parts.some(({ type }) => type === 'ByteLevel')) {
    throw new TesseraError('unsupported', `${where} is not byte-level: its pre_tokenizer has no ByteLevel.`);
  }
  const stages: Stage[] = [];
  let addsSpace = false;
  for (const part of parts) {
    if (part.type === 'Split') stages.push(readSplit(part, where));
    else if (part.type === 'ByteLevel') {
      if (part.add_prefix_space === true) {
        if (stages.length > 0) {
          throw new TesseraError(
            'unsupported',
            `${where}: a ByteLevel with add_prefix_space after a Split is not known.`,
          );
        }
        addsSpace = true;
      }
      if (part.use_regex !== false) stages.push(stageOf(SPLIT_PATTERNS.gpt2));
    } else {
      throw new TesseraError(
        'unsupported',
        `${where}: the pre-tokenizer ${JSON.stringify(part.type)} is not known here.`,
      );
    }
  }
  const [first] = stages;
  const dropsText = stages.some((stage) => 'keeps' in stage && stage.keeps !== 'all');
  if (first === undefined) return { addsSpace, dropsText, scan: (_bytes, _at, end) => end };
  if (stages.length === 1 && 'scan' in first) return { addsSpace, dropsText, scan: first.scan };
  return {
    addsSpace,
    dropsText,
    split: (bytes, from, to) =>
      stages.reduce<readonly number[]>((ranges, stage) => refine(stage, bytes, ranges), [from, to]),
  };
}

function flatten(value: Json | undefined, where: string): readonly JsonObject[] {
  if (value === undefined || value === null) return [];
  if (!isJsonObject(value)) throw new TesseraError('bad-file', `${where}: a pre_tokenizer is not an object.`);
  if (value.type !== 'Sequence') return [value];
  if (!Array.isArray(value.pretokenizers)) {
    throw new TesseraError('bad-file', `${where}: a Sequence of pre-tokenizers has no "pretokenizers".`);
  }
  return value.pretokenizers.flatMap((part: Json) => flatten(part, where));
}

function readSplit(part: JsonObject, where: string): Stage {
  const { pattern, behavior } = part;
  const isInverted = part.invert === true;
  const keeps =
    behavior === 'Isolated' ? 'all' : behavior === 'Removed' ? (isInverted ? 'matches' : 'gaps') : undefined;
  if (keeps === undefined) {
    throw new TesseraError(
      'unsupported',
      `${where}: the Split behavior ${JSON.stringify(behavior)} is not known here.`,
    );
  }
  const source = isJsonObject(pattern) ? pattern.Regex : pattern;
  if (typeof source === 'string') {
    return keeps === 'all' ? stageOf(source) : { expression: translatePattern(source), keeps };
  }
  if (isJsonObject(pattern) && typeof pattern.String === 'string') {
    return { expression: literalPattern(pattern.String), keeps };
  }
  throw new TesseraError('bad-file', `${where}: a Split has no pattern.`);
}

function stageOf(source: string): Stage {
  const scan = findScanner(source);
  return scan === undefined ? { expression: translatePattern(source), keeps: 'all' } : { scan };
}

function refine(stage: Stage, bytes: Uint8Array, ranges: readonly number[]): readonly number[] {
  const finer: number[] = [];
  for (let i = 0; i < ranges.length; i += 2) {
    const end = ranges[i + 1] as number;
    if ('scan' in stage) {
      for (let at = ranges[i] as number; at < end; ) {
        const next = stage.scan(bytes, at, end);
        finer.push(at, next);
        at = next;
      }
    } else {
      for (let at = ranges[i] as number; at < end; ) {
        const stretch = bytes.subarray(at, end);
        const broken = findInvalidUtf8(stretch);
        const length = broken === -1 ? stretch.length : broken;
        if (length > 0) splitText(stage, stretch.subarray(0, length), at, finer);
        at += length;
        if (broken !== -1) finer.push(at, ++at);
      }
    }
  }
  return finer;
}

/** Splits a stretch of UTF-8 that starts at byte `offset` and appends its ranges. */
function splitText(
  { expression, keeps }: Extract<Stage, { readonly expression: RegExp }>,
  stretch: Uint8Array,
  offset: number,
  finer: number[],
): void {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(stretch);
  let index = 0;
  let at = offset;
  for (const match of text.matchAll(expression)) {
    if (match[0].length === 0) continue;
    const start = at + utf8Length(text, index, match.index);
    if (start > at && keeps !== 'matches') finer.push(at, start);
    index = match.index + match[0].length;
    at = start + utf8Length(text, match.index, index);
    if (keeps !== 'gaps') finer.push(start, at);
  }
  const end = offset + stretch.length;
  if (at < end && keeps !== 'matches') finer.push(at, end);
}

/** Bytes of `text.slice(from, to)` in UTF-8; the text has no lone surrogates. */
function utf8Length(text: string, from: number, to: number): number {
  let length = 0;
  for (let i = from; i < to; i++) {
    const unit = text.charCodeAt(i);
    length += unit < 0x80 ? 1 : unit < 0x800 ? 2 : (unit & 0xf800) === 0xd800 ? 2 : 3;
  }
  return length;
}
