/**
 * Words, sentences and graphemes as a language's readers see them: `Intl.Segmenter` with its dictionaries, so that Thai,
 * Khmer, Lao, Burmese, Chinese and Japanese are cut into words too. Segments lie end to end: joined they are the text.
 *
 * What differs between engines: rules and dictionaries are those of the engine's ICU (Node 20.20 has ICU 78 with
 * Unicode 17; pages have their browser's), and those of Chinese, Japanese, Thai and Burmese differ most. Use word-break.ts
 * where two machines must agree.
 *
 * V8's iterator copies the whole text for each segment, which makes it quadratic: English words at 1.8 MB/s in a text of
 * 4 KB, 0.6 in one of 16 KB, 0.2 in one of 64 KB. So texts are segmented in windows that end where no rule looks across: for graphemes at
 * any boundary; for words after white space or an ideographic stop; for sentences after the last but two of a window. A
 * run of more than 16,384 units of Chinese or Thai without any stop is cut at a word near there. Words and graphemes of
 * Latin text below U+0300 are cut without `Intl` where a probe says that the engine cuts them alike, and a test compares
 * the two. On Tiny Shakespeare, in processor time on one core of a busy machine: graphemes 27 MB/s, sentences 24, words 3.
 */

import { TesseraError } from '../host/error.js';
import { latinGraphemeEnds, latinWordEnds } from './latin.js';

/** A piece of a text. */
export interface Segment {
  /** The piece itself: the text from `start` to `end`. */
  readonly text: string;
  /** In UTF-16 code units. */
  readonly start: number;
  readonly end: number;
}

/** A word, or what lies between words. */
export interface WordSegment extends Segment {
  /** It holds letters, numbers or ideographs, and is not only white space, punctuation or symbols. */
  readonly wordLike: boolean;
}

/** Options of the segmenters. */
export interface SegmentOptions {
  /** The language as a BCP 47 tag (default `und`: the rules of no language). */
  readonly locale?: string;
}

/** The words of a text and what lies between them. @throws bad-option for a tag that is no language. */
export function* words(text: string, options: SegmentOptions = {}): Generator<WordSegment> {
  const { locale = 'und' } = options;
  const segmenter = segmenterOf(locale, 'word');
  const quick = cutsLatinAlike(locale);
  for (let start = 0; start < text.length; ) {
    const latin = quick ? latinRun(text, start) : start;
    if (latin > start) {
      for (const marked of latinWordEnds(text, start, latin)) {
        const end = marked >> 1;
        yield { text: text.slice(start, end), start, end, wordLike: (marked & 1) === 1 };
        start = end;
      }
      continue;
    }
    for (const piece of window(segmenter, text, start, safeForWords, 2)) {
      const end = start + piece.segment.length;
      yield { text: piece.segment, start, end, wordLike: piece.isWordLike === true };
      start = end;
    }
  }
}

/** The sentences of a text, each with the white space after it. @throws bad-option for a tag that is no language. */
export function* sentences(text: string, options: SegmentOptions = {}): Generator<Segment> {
  const segmenter = segmenterOf(options.locale ?? 'und', 'sentence');
  for (let start = 0; start < text.length; ) {
    for (const { segment } of window(segmenter, text, start, () => false, 3)) {
      yield { text: segment, start, end: start + segment.length };
      start += segment.length;
    }
  }
}

/** The graphemes of a text: what a reader calls a character. The rules are those of no language. */
export function* graphemes(text: string): Generator<string> {
  const segmenter = segmenterOf('und', 'grapheme');
  for (let start = 0; start < text.length; ) {
    const latin = latinRun(text, start);
    if (latin > start) {
      for (const end of latinGraphemeEnds(text, start, latin)) {
        yield text.slice(start, end);
        start = end;
      }
      continue;
    }
    for (const { segment } of window(segmenter, text, start, () => true, 1)) {
      yield segment;
      start += segment.length;
    }
  }
}

/** Units of a window at first, and the size from which any boundary will do. */
const WINDOW = 1024;
const LARGE = 16_384;

/**
 * The segments of a window that starts at `start`, as far as no character after the window can change them: to the
 * paragraph's end, or to the last `safe` boundary that leaves `spare` segments. The window doubles until there is one.
 */
function window(
  segmenter: Intl.Segmenter,
  text: string,
  start: number,
  safe: (text: string, at: number) => boolean,
  spare: number,
): Intl.SegmentData[] {
  for (let size = WINDOW; ; size *= 2) {
    const [end, whole] = windowEnd(text, start, size);
    const found = [...segmenter.segment(text.slice(start, end))];
    if (whole) return found;
    let at = start;
    let keep = 0;
    for (let index = 0; index < found.length - spare; index++) {
      at += found[index]?.segment.length ?? 0;
      if (size >= LARGE || safe(text, at)) keep = index + 1;
    }
    // Sentences have no safe place but the distance to the window's end.
    if (keep === 0 && spare === 3) keep = found.length - spare;
    if (keep > 0) return found.slice(0, keep);
  }
}

/** Where a window ends, and whether a paragraph does: a line feed, after which every rule begins anew. */
function windowEnd(text: string, start: number, size: number): readonly [end: number, whole: boolean] {
  const limit = start + size;
  const feed = text.lastIndexOf('\n', Math.min(limit, text.length) - 1);
  if (limit >= text.length) return [text.length, true];
  if (feed >= start) return [feed + 1, true];
  const high = (text.charCodeAt(limit - 1) & 0xfc00) === 0xd800;
  return [high ? limit - 1 : limit, false];
}

const STOPS = new Set('\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f');
const SOLID = /[\p{L}\p{N}]/u;

/** No rule for words looks across: white space or an ideographic stop before, a letter or number after. */
function safeForWords(text: string, at: number): boolean {
  const before = text.charAt(at - 1);
  if (before !== ' ' && before !== '\u3000' && !STOPS.has(before)) return false;
  return SOLID.test(String.fromCodePoint(text.codePointAt(at) ?? 0));
}

/** The end of the Latin run at `start`, before the character that what follows might join to; `start` when there is none. */
function latinRun(text: string, start: number): number {
  const limit = Math.min(text.length, start + 4 * LARGE);
  let end = start;
  while (end < limit && text.charCodeAt(end) < 0x300) end++;
  if (end === text.length) return end;
  // The last line feed or space that a letter follows: what comes after it may belong to what is not Latin.
  for (let at = end - 1; at > start; at--) {
    const before = text.charCodeAt(at - 1);
    if (before === 0x0a || (before === 0x20 && isPlain(text.charCodeAt(at)))) return at;
  }
  return start;
}

const isPlain = (unit: number): boolean => (unit >= 0x61 && unit <= 0x7a) || (unit >= 0x41 && unit <= 0x5a);

const PROBE =
  "a:b can't 1,000.5 x_y a.b 'q' a'1 1'a 3:4 1;2 e\u00ad_ \u00b7a\u00b7b \u2000 a\u02d7b \u00aa\u00bd\t\r\n\n";
const alike = new Map<string, boolean>();

/** Whether the engine cuts Latin words of a locale by the rules of word-break.ts; some ICUs part letters at a colon. */
function cutsLatinAlike(locale: string): boolean {
  const known = alike.get(locale);
  if (known !== undefined) return known;
  let start = 0;
  const ours = latinWordEnds(PROBE, 0, PROBE.length).map((marked) => {
    const piece = `${PROBE.slice(start, marked >> 1)}${(marked & 1) === 1}`;
    start = marked >> 1;
    return piece;
  });
  const theirs = [...segmenterOf(locale, 'word').segment(PROBE)].map((piece) => `${piece.segment}${piece.isWordLike}`);
  const same = ours.length === theirs.length && ours.every((piece, index) => piece === theirs[index]);
  alike.set(locale, same);
  return same;
}

const segmenters = new Map<string, Intl.Segmenter>();

function segmenterOf(locale: string, granularity: 'word' | 'sentence' | 'grapheme'): Intl.Segmenter {
  const key = `${locale} ${granularity}`;
  let segmenter = segmenters.get(key);
  if (segmenter === undefined) {
    try {
      segmenter = new Intl.Segmenter(locale, { granularity });
    } catch (cause) {
      throw new TesseraError('bad-option', `"${locale}" is not the tag of a language.`, {
        hint: 'Give a BCP 47 tag such as en, pt-BR or zh-Hant.',
        cause,
      });
    }
    segmenters.set(key, segmenter);
  }
  return segmenter;
}
