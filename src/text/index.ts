/** Unicode text: words, sentences and graphemes that joined are the text, counts, offsets, scripts. */

export { unicodeWords, wordBoundaries } from './word-break.js';
export * from './word-splitter.js';
