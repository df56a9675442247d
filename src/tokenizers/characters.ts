/**
 * Classes of characters as split patterns see them (`\p{L}`, `\p{N}`, `\s`, the rest; for patterns that look at case,
 * finer ones), read from UTF-8 bytes. The tables of code points are filled from the engine's own Unicode, 256 code points when one of them is first met, so none are
 * shipped and text in few scripts pays for few. A byte that is not part of well-formed UTF-8 is a character
 * of its own, of the class of U+FFFD, the rest.
 */

/** A letter: `\p{L}`. */
export const LETTER = 1;
/** A number: `\p{N}`. */
export const NUMBER = 2;
/** White space as Unicode defines it (with U+0085 and without U+FEFF, which JavaScript's `\s` has otherwise). */
export const SPACE = 3;
/** Where case matters, 1 is a letter that is upper case or title case, and letters and marks have classes of their own. */
export const UPPER = 1;
/** A lower-case letter, `\p{Ll}`. */
export const LOWER = 5;
/** A letter without case, `\p{Lm}` or `\p{Lo}`. */
export const CASELESS = 6;
/** A mark, `\p{M}`, which case patterns count among letters of either case. */
export const MARK = 7;
/** Everything else: punctuation, symbols, marks, controls, bytes that are not UTF-8. */
export const OTHER = 4;

/** The class of each byte below 0x80; 0 above, where `classifyWide` tells. */
export const ASCII: Uint8Array = asciiTable(classify);
/** The same where case matters. */
export const ASCII_CASES: Uint8Array = asciiTable(classifyCase);

/** The class of a code point. */
export const classOf = lazyTable(classify);
/** The class of the character at `at`, whose first byte is at least 0x80, plus 8 times its length in bytes. */
export const classifyWide = wideClassifier(classOf);
/** The same where case matters. */
export const caseWide = wideClassifier(lazyTable(classifyCase));

function asciiTable(classOfPoint: (point: number) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (byte < 0x80 ? classOfPoint(byte) : 0));
}

/** Classes of code points, made when the first of their 256 is asked for. */
function lazyTable(classOfPoint: (point: number) => number): (point: number) => number {
  const classes = new Uint8Array(0x110000);
  const fill = (point: number): number => {
    const start = point & ~0xff;
    for (let each = start; each < start + 256; each++) classes[each] = classOfPoint(each);
    return classes[point] as number;
  };
  return (point) => {
    const known = classes[point] ?? OTHER;
    return known !== 0 ? known : fill(point);
  };
}

function wideClassifier(classOfPoint: (point: number) => number) {
  return (bytes: Uint8Array, at: number, end: number): number => {
    const lead = bytes[at] as number;
    if (lead < 0xe0) {
      if (lead >= 0xc2 && at + 1 < end) {
        const second = bytes[at + 1] as number;
        if ((second & 0xc0) === 0x80) return classOfPoint(((lead & 0x1f) << 6) | (second & 0x3f)) | 16;
      }
    } else if (lead < 0xf0) {
      if (at + 2 < end) {
        const second = bytes[at + 1] as number;
        const third = bytes[at + 2] as number;
        const point = ((lead & 0x0f) << 12) | ((second & 0x3f) << 6) | (third & 0x3f);
        // Overlong forms and surrogates are not UTF-8.
        if ((second & 0xc0) === 0x80 && (third & 0xc0) === 0x80 && point >= 0x800 && (point & 0xf800) !== 0xd800) {
          return classOfPoint(point) | 24;
        }
      }
    } else if (lead < 0xf5 && at + 3 < end) {
      const second = bytes[at + 1] as number;
      const third = bytes[at + 2] as number;
      const fourth = bytes[at + 3] as number;
      const point = ((lead & 0x07) << 18) | ((second & 0x3f) << 12) | ((third & 0x3f) << 6) | (fourth & 0x3f);
      const continues = (second & 0xc0) === 0x80 && (third & 0xc0) === 0x80 && (fourth & 0xc0) === 0x80;
      if (continues && point >= 0x10000 && point < 0x110000) return classOfPoint(point) | 32;
    }
    return OTHER | 8;
  };
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

function classifyCase(point: number): number {
  const kind = classify(point);
  const character = String.fromCodePoint(point);
  if (kind === LETTER) {
    if (/\p{Ll}/u.test(character)) return LOWER;
    return /[\p{Lu}\p{Lt}]/u.test(character) ? UPPER : CASELESS;
  }
  return kind === OTHER && /\p{M}/u.test(character) ? MARK : kind;
}
