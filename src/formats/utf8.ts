/** UTF-8 checked and explained: where it breaks, and whether bytes are text at all. */

/** The offset of the first byte that is not part of well-formed UTF-8 (Unicode, table 3-7), or -1. */
export function findInvalidUtf8(bytes: Uint8Array): number {
  const { length } = bytes;
  for (let at = 0; at < length; ) {
    const lead = bytes[at] as number;
    if (lead < 0x80) {
      at++;
      continue;
    }
    const more = lead < 0xc2 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : lead < 0xf5 ? 3 : 0;
    // The second byte's range shuts out overlong forms, surrogates and what lies above U+10FFFF.
    const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
    const second = bytes[at + 1] ?? 0;
    if (more === 0 || second < low || second > high) return at;
    for (let i = 2; i <= more; i++) if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return at;
    at += more + 1;
  }
  return -1;
}

/** The largest offset of at most `limit` at which no UTF-8 sequence is cut in two. */
export function characterStart(bytes: Uint8Array, limit: number): number {
  let at = Math.min(limit, bytes.length);
  for (let i = 0; i < 3 && at > 0 && at < bytes.length && ((bytes[at] as number) & 0xc0) === 0x80; i++) at--;
  return at;
}

/** How many line feeds are in the first `end` bytes. */
export function countLines(bytes: Uint8Array, end: number = bytes.length): number {
  let lines = 0;
  for (let at = bytes.indexOf(0x0a); at !== -1 && at < end; at = bytes.indexOf(0x0a, at + 1)) lines++;
  return lines;
}

/** 1 for the bytes that are control characters other than backspace, white space and escape. */
const CONTROL = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte < 0x20 && (byte < 0x08 || byte > 0x0d) && byte !== 0x1b ? 1 : 0,
);

/** Why bytes are not text, as the end of a sentence, or undefined; `offset` is where they begin in their file. */
export function describeBinary(bytes: Uint8Array, offset: number): string | undefined {
  if (offset === 0 && bytes.length >= 2) {
    const mark = ((bytes[0] as number) << 8) | (bytes[1] as number);
    if (mark === 0xfffe || mark === 0xfeff) return 'is UTF-16 text, and UTF-8 is needed';
  }
  const zero = bytes.indexOf(0);
  if (zero !== -1) return `is not text: byte ${offset + zero} is zero`;
  let controls = 0;
  for (let at = 0; at < bytes.length; at++) controls += CONTROL[bytes[at] as number] as number;
  // Stray control characters occur in real prose; one in fifty does not.
  return controls > 8 && controls > bytes.length / 50
    ? `is not text: ${controls} of ${bytes.length} bytes are control characters`
    : undefined;
}
