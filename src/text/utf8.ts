/** Characters read from UTF-8 bytes (Unicode, table 3-7), where they may also be torn or no UTF-8 at all. */

/** The bytes are no well-formed character: the first one stands alone. */
export const INVALID = -1;
/** The bytes may become a character when more come. */
export const INCOMPLETE = -2;

/** The character at `at`, as 8 times its code point plus its length in bytes; {@link INVALID} or {@link INCOMPLETE}. */
export function decodePoint(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at] as number;
  if (lead < 0x80) return (lead << 3) | 1;
  const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length === 0) return INVALID;
  if (at + 1 >= end) return INCOMPLETE;
  const second = bytes[at + 1] as number;
  // The second byte's range shuts out overlong forms, surrogates and what lies above U+10FFFF.
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return INVALID;
  let point = ((lead & (0x7f >> length)) << 6) | (second & 0x3f);
  for (let each = at + 2; each < at + length; each++) {
    if (each >= end) return INCOMPLETE;
    const byte = bytes[each] as number;
    if ((byte & 0xc0) !== 0x80) return INVALID;
    point = (point << 6) | (byte & 0x3f);
  }
  return (point << 3) | length;
}

/** Whether no well-formed character spans the place before `at`; `end` is where the bytes end. */
export function isCharacterStart(bytes: Uint8Array, at: number, end: number): boolean {
  if (at >= end || ((bytes[at] as number) & 0xc0) !== 0x80) return true;
  for (let back = 1; back <= 3 && back <= at; back++) {
    if (((bytes[at - back] as number) & 0xc0) === 0x80) continue;
    const decoded = decodePoint(bytes, at - back, end);
    return decoded < 0 || (decoded & 7) <= back;
  }
  return true;
}
