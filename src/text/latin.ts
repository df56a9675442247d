/** Latin text below U+0300 cut into words and graphemes without `Intl.Segmenter`, to the same pieces. */

import { AT_HELD, characterClass, HERE, WordBreaker } from './word-break.js';

// Letters, numbers, and what ICU's rule status calls a word beside them.
const WORD_CLASSES: ReadonlySet<number> = new Set([1, 2, 3, 4, 20]);

const CLASSES: Uint8Array = Uint8Array.from({ length: 0x300 }, (_, point) => characterClass(point) >> 3);

/** The ends of the words from `start` to `end`, where the text is below U+0300, and whether each is more than a gap. */
export function* latinWordEnds(
  text: string,
  start: number,
  end: number,
): Generator<{ readonly end: number; readonly wordLike: boolean }> {
  const breaker = new WordBreaker();
  let wordLike = false;
  let later = false; // letters after the boundary that is held
  for (let at = start; at < end; at++) {
    const current = CLASSES[text.charCodeAt(at)] ?? 0;
    const waitedAt = breaker.held;
    const says = breaker.step(current, at);
    if ((says & AT_HELD) !== 0) {
      yield { end: waitedAt, wordLike };
      wordLike = later;
    }
    if ((says & HERE) !== 0) {
      yield { end: at, wordLike };
      wordLike = false;
    }
    if (breaker.held === at) later = false;
    const counts = WORD_CLASSES.has(current);
    wordLike ||= counts;
    later ||= counts;
  }
  if (breaker.end() !== 0) {
    yield { end: breaker.held, wordLike };
    wordLike = later;
  }
  if (end > start) yield { end, wordLike };
}

/** The ends of the graphemes from `start` to `end`, where the text is below U+0300: only CR LF has two characters. */
export function* latinGraphemeEnds(text: string, start: number, end: number): Generator<number> {
  for (let at = start; at < end; at++) {
    if (text.charCodeAt(at) !== 0x0d || at + 1 === end || text.charCodeAt(at + 1) !== 0x0a) yield at + 1;
  }
}
