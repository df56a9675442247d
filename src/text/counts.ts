/** What a text measures, without regard to language. */

import { graphemes } from './segments.js';

/** How long a text is, in five units. */
export interface TextCounts {
  /** Graphemes: what a reader calls characters, by the engine's Unicode. */
  readonly graphemes: number;
  readonly codePoints: number;
  /** UTF-16 code units: the string's `length`. */
  readonly units: number;
  /** Bytes in UTF-8; a lone surrogate counts as U+FFFD, three bytes. */
  readonly bytes: number;
  /** Lines as {@link splitLines} cuts them. */
  readonly lines: number;
}

/** Counts a text. */
export function countText(text: string): TextCounts {
  let clusters = 0;
  for (const _ of graphemes(text)) clusters++;
  return {
    graphemes: clusters,
    codePoints: countCodePoints(text),
    units: text.length,
    bytes: countBytes(text),
    lines: splitLines(text).length,
  };
}

/** Code points; a lone surrogate is one. */
export function countCodePoints(text: string): number {
  let count = text.length;
  for (let at = 1; at < text.length; at++) {
    if ((text.charCodeAt(at) & 0xfc00) === 0xdc00 && (text.charCodeAt(at - 1) & 0xfc00) === 0xd800) count--;
  }
  return count;
}

/** Bytes in UTF-8; a lone surrogate counts as U+FFFD, three bytes. */
export function countBytes(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    count += unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
    // The second half of a pair: three and three make four.
    if ((unit & 0xfc00) === 0xdc00 && at > 0 && (text.charCodeAt(at - 1) & 0xfc00) === 0xd800) count -= 2;
  }
  return count;
}

const LINE = /[^\r\n\v\f\u0085\u2028\u2029]*(?:\r\n|[\r\n\v\f\u0085\u2028\u2029]|$)/y;

/** The lines of a text with their ends (Unicode's newline guidelines, section 5.8); joined they are the text. */
export function splitLines(text: string): string[] {
  const lines: string[] = [];
  for (let at = 0; at < text.length; at = LINE.lastIndex) {
    LINE.lastIndex = at;
    lines.push(LINE.exec(text)?.[0] ?? '');
  }
  return lines;
}

/** The paragraphs of a text, each with the blank lines after it; joined they are the text. Blank lines at the start are the first's. */
export function splitParagraphs(text: string): string[] {
  const paragraphs: string[] = [];
  let current: string[] = [];
  let begun = false;
  let ended = false;
  for (const line of splitLines(text)) {
    const blank = line.trim() === '';
    if (!blank && ended) {
      paragraphs.push(current.join(''));
      current = [];
      ended = false;
    }
    current.push(line);
    if (!blank) begun = true;
    else if (begun) ended = true;
  }
  if (current.length > 0) paragraphs.push(current.join(''));
  return paragraphs;
}
