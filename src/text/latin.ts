/** Latin text below U+0300 cut into words and graphemes without `Intl.Segmenter`, to the same pieces. */

import { AT_HELD, characterClass, HERE, WordBreaker } from './word-break.js';

// Letters, numbers, and what ICU's rule status calls a word beside them.
const WORD_CLASSES: Uint8Array = Uint8Array.from({ length: 32 }, (_, c) => (c !== 0 && (c < 5 || c === 20) ? 1 : 0));

const CLASSES: Uint8Array = Uint8Array.from({ length: 0x300 }, (_, point) => characterClass(point) >> 3);

/**
 * The ends of the words from `start` to `end`, where the text is below U+0300: each twice its offset, plus one where the
 * word is more than a gap.
 */
export function latinWordEnds(text: string, start: number, end: number): number[] {
  const breaker = new WordBreaker();
  const found: number[] = [];
  let wordLike = 0;
  let later = 0; // letters after the boundary that is held
  for (let at = start; at < end; at++) {
    const current = CLASSES[text.charCodeAt(at)] ?? 0;
    const waitedAt = breaker.held;
    const says = breaker.step(current, at);
    if (says !== 0) {
      if ((says & AT_HELD) !== 0) {
        found.push(2 * waitedAt + wordLike);
        wordLike = later;
      }
      if ((says & HERE) !== 0) {
        found.push(2 * at + wordLike);
        wordLike = 0;
      }
    }
    if (breaker.held === at) later = 0;
    const counts = WORD_CLASSES[current] ?? 0;
    wordLike |= counts;
    later |= counts;
  }
  if (breaker.end() !== 0) {
    found.push(2 * breaker.held + wordLike);
    wordLike = later;
  }
  if (end > start) found.push(2 * end + wordLike);
  return found;
}

/** The ends of the graphemes from `start` to `end`, where the text is below U+0300: only CR LF has two characters. */
export function* latinGraphemeEnds(text: string, start: number, end: number): Generator<number> {
  for (let at = start; at < end; at++) {
    if (text.charCodeAt(at) !== 0x0d || at + 1 === end || text.charCodeAt(at + 1) !== 0x0a) yield at + 1;
  }
}
