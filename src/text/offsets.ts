/**
 * Where a place in a text is in each unit: bytes of UTF-8 (what tokenizers count), UTF-16 code units (what JavaScript
 * counts), code points (what Python counts). A table holds the three of every 64th code point and walks from there, so it
 * takes under a byte for each of the text's units and a look-up takes constant time but for the search.
 */

import { TesseraError } from '../host/error.js';

/** A unit that offsets count. */
export type OffsetUnit = 'bytes' | 'units' | 'codePoints';

/** The offsets of a text, converted. */
export interface OffsetTable {
  /** The text's length in a unit. */
  length(unit: OffsetUnit): number;
  /**
   * The offset in another unit. A place inside a character is moved to the character's start.
   * @throws bad-option for an offset outside of the text.
   */
  convert(offset: number, from: OffsetUnit, to: OffsetUnit): number;
}

const STEP = 64;

/** A table for a text. A lone surrogate is one code point of three bytes, as U+FFFD, which encoders put in its place. */
export function offsetTable(text: string): OffsetTable {
  const places: Record<OffsetUnit, Float64Array> = {
    bytes: new Float64Array(Math.ceil(text.length / STEP) + 1),
    units: new Float64Array(Math.ceil(text.length / STEP) + 1),
    codePoints: new Float64Array(Math.ceil(text.length / STEP) + 1),
  };
  const here: Record<OffsetUnit, number> = { bytes: 0, units: 0, codePoints: 0 };
  let marks = 0;
  while (here.units < text.length) {
    if (here.codePoints % STEP === 0) {
      for (const unit of UNITS) places[unit][marks] = here[unit];
      marks++;
    }
    pass(text, here);
  }
  return {
    length: (unit) => here[unit],
    convert(offset, from, to) {
      if (!Number.isInteger(offset) || offset < 0 || offset > here[from]) {
        throw new TesseraError('bad-option', `The offset ${offset} is not inside of a text of ${here[from]} ${from}.`);
      }
      if (offset === here[from]) return here[to];
      const mark = lastAtMost(places[from], marks, offset);
      const at: Record<OffsetUnit, number> = {
        bytes: places.bytes[mark] ?? 0,
        units: places.units[mark] ?? 0,
        codePoints: places.codePoints[mark] ?? 0,
      };
      for (;;) {
        const before = at[to];
        pass(text, at);
        if (at[from] > offset) return before;
      }
    },
  };
}

const UNITS: readonly OffsetUnit[] = ['bytes', 'units', 'codePoints'];

/** Moves over the next character. */
function pass(text: string, at: Record<OffsetUnit, number>): void {
  const point = text.codePointAt(at.units) ?? 0;
  at.bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  at.units += point < 0x10000 ? 1 : 2;
  at.codePoints++;
}

/** The index of the last of the first `count` ascending values that is at most `value`. */
function lastAtMost(values: Float64Array, count: number, value: number): number {
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((values[middle] ?? 0) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}
