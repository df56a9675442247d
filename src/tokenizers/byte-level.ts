/**
 * The byte-level alphabet of GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners", section 2.2):
 * 256 printable characters that stand for the 256 bytes in `vocab.json` and `tokenizer.json`. A byte that prints stands
 * for itself; the others take the characters from U+0100 on, in order.
 */

/** The character of each byte. */
export const BYTE_CHARACTERS: readonly string[] = makeCharacters();

/** The bytes in the order of their characters, which is the order in which trainers give them ids. */
export const BYTES_IN_ORDER: readonly number[] = Array.from({ length: 256 }, (_, byte) => byte).sort(
  (a, b) => codeOf(a) - codeOf(b),
);

/** The byte of each character code below 512, or -1. */
const CHARACTER_BYTES = makeBytes();

/** The byte-level spelling of bytes: one character a byte. */
export function spellBytes(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += BYTE_CHARACTERS[byte];
  return text;
}

/** The bytes that a byte-level spelling stands for, or undefined when a character stands for none. */
export function readSpelling(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) {
    const byte = CHARACTER_BYTES[text.charCodeAt(at)] ?? -1;
    if (byte < 0) return undefined;
    bytes[at] = byte;
  }
  return bytes;
}

function makeCharacters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrinted(byte) ? byte : next++));
}

function makeBytes(): Int16Array {
  const bytes = new Int16Array(512).fill(-1);
  BYTE_CHARACTERS.forEach((character, byte) => {
    bytes[character.charCodeAt(0)] = byte;
  });
  return bytes;
}

/** The bytes that are visible characters of Latin-1, the soft hyphen left out. */
function isPrinted(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
}

function codeOf(byte: number): number {
  return BYTE_CHARACTERS[byte]?.charCodeAt(0) ?? 0;
}
