/** Python's literals of strings and bytes, as `repr` writes them, read without running anything. */

const ESCAPES: Readonly<Record<string, number>> = {
  '\\': 0x5c,
  "'": 0x27,
  '"': 0x22,
  a: 7,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
};

/** How many hexadecimal digits follow the letter of an escape. */
const DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/**
 * The bytes of `'...'` or `"..."` (as UTF-8) or of `b'...'`; undefined for what is no such literal. A literal of bytes
 * holds ASCII only, and `\u` means nothing in it.
 */
export function readPythonLiteral(literal: string): Uint8Array | undefined {
  const isBytes = literal.startsWith('b');
  const body = isBytes ? literal.slice(1) : literal;
  const quote = body.charAt(0);
  if ((quote !== "'" && quote !== '"') || body.length < 2 || !body.endsWith(quote)) return undefined;
  const characters = [...body.slice(1, -1)];
  const points: number[] = [];
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i] ?? '';
    if (character === quote) return undefined;
    if (character !== '\\') {
      points.push(character.codePointAt(0) ?? 0);
      continue;
    }
    const letter = characters[++i] ?? '';
    const digits = DIGITS[letter];
    const octal = /^[0-7]{1,3}/.exec(characters.slice(i, i + 3).join(''))?.[0];
    if (Object.hasOwn(ESCAPES, letter)) points.push(ESCAPES[letter] ?? 0);
    else if (octal !== undefined) {
      points.push(Number.parseInt(octal, 8));
      i += octal.length - 1;
    } else if (digits !== undefined && Object.hasOwn(DIGITS, letter) && !(isBytes && letter !== 'x')) {
      const hex = characters.slice(i + 1, i + 1 + digits).join('');
      if (hex.length !== digits || !/^[\da-f]+$/i.test(hex)) return undefined;
      points.push(Number.parseInt(hex, 16));
      i += digits;
    } else return undefined;
  }
  if (isBytes) return points.every((point) => point <= 0xff) ? Uint8Array.from(points) : undefined;
  if (points.some((point) => point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))) return undefined;
  const bytes = new TextEncoder().encode(points.map((point) => String.fromCodePoint(point)).join(''));
  return bytes;
}
