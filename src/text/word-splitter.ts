/**
 * The lossless word splitter of Hierarchical Autoregressive Transformers (Neitemeier et al., arXiv 2501.10322): text as
 * the words that such a model reads, whose bytes joined are the text. The rule is that of the public crate hat-splitter
 * 0.1.10 (github.com/Aleph-Alpha-Research/hat-splitter, src/split.rs) over Unicode 16.0:
 *
 *   1. cut at the word boundaries of UAX #29 (word-break.ts);
 *   2. cut after every punctuation character, \p{P};
 *   3. cut between a lower-case letter and an upper-case one, \p{Ll}\p{Lu};
 *   4. a piece is a space (exactly one U+0020), white space, one punctuation character, or a word;
 *   5. from left to right a piece joins the one before it when they are space and word, space and punctuation, word and
 *      punctuation, or punctuation twice: one leading space and all trailing punctuation belong to a word;
 *   6. what is longer than `maxBytes` is cut, between characters where one fits.
 *
 * The crate also merges neighboring single spaces; UAX #29 (WB3d) has merged them before. Notable: any bytes are split,
 * where the crate takes valid UTF-8 only. A byte that is not part of well-formed UTF-8 is a character of the class of
 * U+FFFD; byte values that UTF-8 never uses may stand for special tokens and are words by themselves, and the text on
 * their two sides is split apart. A stream gives the same words as the whole, however it is cut in chunks. Every
 * character is read twice at most, so the time is linear whatever the words' lengths; a stream holds one word in memory.
 * `wordEnds` reads Tiny Shakespeare at 51 MB/s of processor time on one core of a busy machine, `splitWords` at 10.
 *
 * A word is known to be complete only when the next one begins, since punctuation joins.
 */

import { TesseraError } from '../host/error.js';
import { decodePoint, INCOMPLETE, isCharacterStart } from './utf8.js';
import { AT_HELD, classTable, HERE, LOWER, PUNCTUATION, UPPER, WHITE_SPACE, WordBreaker } from './word-break.js';

/** Options of the splitter. */
export interface WordSplitterOptions {
  /** The longest word in bytes (default: no limit; the released models have 100). */
  readonly maxBytes?: number;
  /** Bytes that are words by themselves (default: those that UTF-8 never uses, 0xC0, 0xC1 and 0xF5 to 0xFF). */
  readonly special?: readonly number[];
}

const UNUSED_BYTES: readonly number[] = [0xc0, 0xc1, ...Array.from({ length: 11 }, (_, i) => 0xf5 + i)];

/** The words of a text, joined the text. Words are cut in the middle of a character only where `maxBytes` is below its length. */
export function splitWords(text: string, options: WordSplitterOptions = {}): string[] {
  const bytes = new TextEncoder().encode(text);
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let start = 0;
  return Array.from(wordEnds(bytes, options), (end) => {
    const word = decoder.decode(bytes.subarray(start, end));
    start = end;
    return word;
  });
}

/** The words of bytes as views of them. */
export function splitWordBytes(bytes: Uint8Array, options: WordSplitterOptions = {}): Uint8Array[] {
  let start = 0;
  return Array.from(wordEnds(bytes, options), (end) => {
    const word = bytes.subarray(start, end);
    start = end;
    return word;
  });
}

/** Where each word of the bytes ends; the first starts at 0, each other where the one before it ends. */
export function wordEnds(bytes: Uint8Array, options: WordSplitterOptions = {}): Uint32Array {
  const scan = new WordScan(options);
  scan.read(bytes, bytes.length, true);
  return scan.takeEnds();
}

/** Splits bytes that come in chunks. Words are copies. */
export interface WordStream {
  /** The words that are complete now. */
  push(chunk: Uint8Array): Uint8Array[];
  /** The words that were held back. The stream then begins anew. */
  finish(): Uint8Array[];
}

/** A splitter for a stream of bytes: the same words as of the whole, wherever chunks end. @throws bad-option. */
export function wordStream(options: WordSplitterOptions = {}): WordStream {
  let scan = new WordScan(options);
  let buffer = new Uint8Array(1024);
  let filled = 0;
  const take = (): Uint8Array[] => {
    let start = 0;
    const words = Array.from(scan.takeEnds(), (end) => {
      const word = buffer.slice(start, end);
      start = end;
      return word;
    });
    if (start > 0) {
      buffer.copyWithin(0, start, filled);
      filled -= start;
      scan.shift(start);
    }
    return words;
  };
  return {
    push(chunk) {
      if (filled + chunk.length > buffer.length) {
        const larger = new Uint8Array(Math.max(2 * buffer.length, filled + chunk.length));
        larger.set(buffer.subarray(0, filled));
        buffer = larger;
      }
      buffer.set(chunk, filled);
      filled += chunk.length;
      scan.read(buffer, filled, false);
      return take();
    },
    finish() {
      scan.read(buffer, filled, true);
      const words = take();
      scan = new WordScan(options);
      filled = 0;
      return words;
    },
  };
}

// The kinds of pieces; NONE before the first.
const NONE = 0;
const SPACE = 1;
const SPACES = 2;
const MARK = 3;
const WORD = 4;

/** Where a scan of bytes stands. Offsets count from the start of the bytes it is given. */
class WordScan {
  private readonly table = classTable();
  private readonly breaker = new WordBreaker(true);
  private readonly special = new Uint8Array(256);
  private readonly maxBytes: number;
  private at = 0; // the next character
  private piece = 0; // where the piece between word boundaries began
  private word = 0; // where the word began that grows
  private kind = NONE; // the kind of its last piece
  private ends = new Uint32Array(64);
  private count = 0;

  constructor(options: WordSplitterOptions) {
    const { maxBytes = Number.POSITIVE_INFINITY, special = UNUSED_BYTES } = options;
    if (!(maxBytes === Number.POSITIVE_INFINITY || Number.isInteger(maxBytes)) || maxBytes < 1) {
      throw new TesseraError('bad-option', `The longest word must have at least one byte, not ${maxBytes}.`);
    }
    for (const byte of special) {
      if (!(byte >= 0 && byte < 0x80) && !UNUSED_BYTES.includes(byte)) {
        throw new TesseraError(
          'bad-option',
          `The byte ${byte} occurs inside characters and cannot be a word by itself.`,
          {
            hint: 'Take one below 128, or one that UTF-8 never uses: 192, 193 and 245 to 255.',
          },
        );
      }
      this.special[byte] = 1;
    }
    this.maxBytes = maxBytes;
  }

  /** Reads on to `length`; `last` when the text ends there. */
  read(bytes: Uint8Array, length: number, last: boolean): void {
    const { table, breaker, special } = this;
    const letter = table[0x61] ?? 0;
    let at = this.at;
    while (at < length) {
      const lead = bytes[at] as number;
      let point = lead;
      let next = at + 1;
      if (special[lead] === 1) {
        this.endText(bytes, at);
        this.emit(next);
        this.piece = this.word = at = next;
        continue;
      }
      if (lead >= 0x80) {
        const decoded = decodePoint(bytes, at, length);
        if (decoded === INCOMPLETE && !last) break;
        if (decoded >= 0) {
          point = decoded >> 3;
          next = at + (decoded & 7);
        } else point = 0xfffd;
      }
      const says = breaker.step((table[point] as number) >> 3, at);
      if (says !== 0) {
        if ((says & AT_HELD) !== 0) this.endPiece(bytes, breaker.held);
        if ((says & HERE) !== 0) this.endPiece(bytes, at);
      }
      at = next;
      if (breaker.inLetters) while (at < length && isPlainLetter(bytes[at] as number, table, letter)) at++;
    }
    this.at = at;
    if (last) this.endText(bytes, length);
  }

  /** The ends found since the last call. */
  takeEnds(): Uint32Array {
    const ends = this.ends.slice(0, this.count);
    this.count = 0;
    return ends;
  }

  /** The bytes now begin `by` later. */
  shift(by: number): void {
    this.at -= by;
    this.piece -= by;
    this.word -= by;
    this.breaker.held -= by;
  }

  private endText(bytes: Uint8Array, end: number): void {
    if (this.breaker.end() === AT_HELD) this.endPiece(bytes, this.breaker.held);
    this.endPiece(bytes, end);
    this.endWord(bytes, end);
    this.breaker.reset();
  }

  /** Cuts a piece between word boundaries after punctuation and where the case rises. */
  private endPiece(bytes: Uint8Array, end: number): void {
    const { table } = this;
    let start = this.piece;
    let before = NONE;
    let blank = true;
    for (let at = start; at < end; ) {
      const lead = bytes[at] as number;
      let point = lead;
      let next = at + 1;
      if (lead >= 0x80) {
        const decoded = decodePoint(bytes, at, end);
        if (decoded >= 0) {
          point = decoded >> 3;
          next = at + (decoded & 7);
        } else point = 0xfffd;
      }
      const now = (table[point] as number) & 7;
      if (before === LOWER && now === UPPER) {
        this.addPart(bytes, start, WORD);
        start = at;
        blank = true;
      }
      if (now !== WHITE_SPACE) blank = false;
      if (now === PUNCTUATION) {
        this.addPart(bytes, start, at === start ? MARK : WORD);
        start = next;
        blank = true;
      }
      before = now;
      at = next;
    }
    if (start < end) {
      const oneSpace = blank && end - start === 1 && bytes[start] === 0x20;
      this.addPart(bytes, start, oneSpace ? SPACE : blank ? SPACES : WORD);
    }
    this.piece = end;
  }

  /** Joins a part that starts at `start` to the word, or begins a new word with it. */
  private addPart(bytes: Uint8Array, start: number, kind: number): void {
    const joins =
      kind === MARK
        ? this.kind === SPACE || this.kind === WORD || this.kind === MARK
        : kind === WORD && this.kind === SPACE;
    if (!joins) this.endWord(bytes, start);
    this.kind = kind;
  }

  /** Ends the word that grows, in pieces of at most `maxBytes`. */
  private endWord(bytes: Uint8Array, end: number): void {
    let start = this.word;
    while (end - start > this.maxBytes) {
      let cut = start + this.maxBytes;
      while (cut > start && !isCharacterStart(bytes, cut, end)) cut--;
      start = cut > start ? cut : start + this.maxBytes;
      this.emit(start);
    }
    if (end > start) this.emit(end);
    this.word = end;
    this.kind = NONE;
  }

  private emit(end: number): void {
    if (this.count === this.ends.length) {
      const larger = new Uint32Array(2 * this.count);
      larger.set(this.ends);
      this.ends = larger;
    }
    this.ends[this.count++] = end;
  }
}

function isPlainLetter(byte: number, table: Uint8Array, letter: number): boolean {
  return byte < 0x80 && ((table[byte] as number) ^ letter) < 8;
}
