/** Unicode text: words, sentences and graphemes that joined are the text, counts, offsets, scripts. */

export * from './counts.js';
export * from './normalization.js';
export * from './offsets.js';
export * from './scripts.js';
export * from './segments.js';
export * from './truncate.js';
export { unicodeWords, wordBoundaries } from './word-break.js';
export * from './word-splitter.js';
