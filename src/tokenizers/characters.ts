/**
 * Classes of characters as split patterns see them (`\p{L}`, `\p{N}`, `\s`, the rest), read from UTF-8 bytes. The
 * table of code points is filled from the engine's own Unicode, 256 code points when one of them is first met, so no
 * tables are shipped and text in few scripts pays for few. A byte that is not part of well-formed UTF-8 is a character
 * of its own, of the class of U+FFFD, the rest.
 */

/** A letter: `\p{L}`. */
export const LETTER = 1;
/** A number: `\p{N}`. */
export const NUMBER = 2;
/** White space as Unicode defines it (with U+0085 and without U+FEFF, which JavaScript's `\s` has otherwise). */
export const SPACE = 3;
/** Everything else: punctuation, symbols, marks, controls, bytes that are not UTF-8. */
export const OTHER = 4;

/** The class of each byte below 0x80; 0 above, where `classifyWide` tells. */
export const ASCII: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => (byte < 0x80 ? classify(byte) : 0));

const CLASSES = new Uint8Array(0x110000);

/** The class of a code point. */
export function classOf(point: number): number {
  const known = CLASSES[point] ?? OTHER;
  if (known !== 0) return known;
  const start = point & ~0xff;
  for (let each = start; each < start + 256; each++) CLASSES[each] = classify(each);
  return CLASSES[point] as number;
}

/** The class of the character at `at`, whose first byte is at least 0x80, plus 8 times its length in bytes. */
export function classifyWide(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at] as number;
  if (lead < 0xe0) {
    if (lead >= 0xc2 && at + 1 < end) {
      const second = bytes[at + 1] as number;
      if ((second & 0xc0) === 0x80) return classOf(((lead & 0x1f) << 6) | (second & 0x3f)) | 16;
    }
  } else if (lead < 0xf0) {
    if (at + 2 < end) {
      const second = bytes[at + 1] as number;
      const third = bytes[at + 2] as number;
      const point = ((lead & 0x0f) << 12) | ((second & 0x3f) << 6) | (third & 0x3f);
      // Overlong forms and surrogates are not UTF-8.
      if ((second & 0xc0) === 0x80 && (third & 0xc0) === 0x80 && point >= 0x800 && (point & 0xf800) !== 0xd800) {
        return classOf(point) | 24;
      }
    }
  } else if (lead < 0xf5 && at + 3 < end) {
    const second = bytes[at + 1] as number;
    const third = bytes[at + 2] as number;
    const fourth = bytes[at + 3] as number;
    const point = ((lead & 0x07) << 18) | ((second & 0x3f) << 12) | ((third & 0x3f) << 6) | (fourth & 0x3f);
    const continues = (second & 0xc0) === 0x80 && (third & 0xc0) === 0x80 && (fourth & 0xc0) === 0x80;
    if (continues && point >= 0x10000 && point < 0x110000) return classOf(point) | 32;
  }
  return OTHER | 8;
}

/** The class of the character at `at`, plus 8 times its length in bytes. */
export function classifyAt(bytes: Uint8Array, at: number, end: number): number {
  const byte = bytes[at] as number;
  return byte < 0x80 ? (ASCII[byte] as number) | 8 : classifyWide(bytes, at, end);
}

/** The code point before `at`, or -1 at the start. */
export function pointBefore(bytes: Uint8Array, at: number, start: number): number {
  let from = at - 1;
  while (from > start && at - from < 4 && ((bytes[from] as number) & 0xc0) === 0x80) from--;
  return from < start ? -1 : pointAt(bytes, from, at);
}

/** The code point at `at`, U+FFFD for bytes that are not UTF-8, or -1 at the end. */
export function pointAt(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return -1;
  const length = classifyAt(bytes, at, end) >> 3;
  const lead = bytes[at] as number;
  if (length === 1) return lead < 0x80 ? lead : 0xfffd;
  let point = lead & (0x7f >> length);
  for (let each = at + 1; each < at + length; each++) point = (point << 6) | ((bytes[each] as number) & 0x3f);
  return point;
}

function classify(point: number): number {
  const character = String.fromCodePoint(point);
  if (/\p{L}/u.test(character)) return LETTER;
  if (/\p{N}/u.test(character)) return NUMBER;
  return /\p{White_Space}/u.test(character) ? SPACE : OTHER;
}
