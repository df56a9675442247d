/**
 * Unicode as Hugging Face's library knows it. Its normalizers and pre-tokenizers carry tables of several ages, older than
 * the engine's: what was added to Unicode since is listed here as ranges of code points, so that both say the same of
 * every character. (Compared code point by code point with tokenizers 0.22, github.com/huggingface/tokenizers.)
 */

/** Format characters that BertNormalizer keeps. */
const LATE_CONTROLS = ['890-891 8e2 110cd 13430-1343f'].join(' ');

/** Nonspacing marks that BertNormalizer keeps. */
const LATE_NONSPACING = [
  '7fd 897-89f 8ca-8e1 9fe afa-aff b55 c04 c3c d00 d3b-d3c d81 eba ece 180f 1885-1886 1abf-1add 1ae0-1aeb',
  '1df6-1dfb a82c a8c5 a8ff a9bd 10d24-10d27 10d69-10d6d 10eab-10eac 10efa-10eff 10f46-10f50 10f82-10f85 11070',
  '11073-11074 110c2 111c9 111cf 1123e 11241 1133b 113bb-113c0 113ce 113d0 113d2 113e1-113e2 11438-1143f',
  '11442-11444 11446 1145e 1182f-11837 11839-1183a 1193b-1193c 1193e 11943 119d4-119d7 119da-119db 119e0',
  '11a01-11a0a 11a33-11a38 11a3b-11a3e 11a47 11a51-11a56 11a59-11a5b 11a8a-11a96 11a98-11a99 11b60 11b62-11b64',
  '11b66 11c30-11c36 11c38-11c3d 11c3f 11c92-11ca7 11caa-11cb0 11cb2-11cb3 11cb5-11cb6 11d31-11d36 11d3a',
  '11d3c-11d3d 11d3f-11d45 11d47 11d90-11d91 11d95 11d97 11ef3-11ef4 11f00-11f01 11f36-11f3a 11f40 11f42 11f5a',
  '13440 13447-13455 1611e-16129 1612d-1612f 16f4f 16fe4 1cf00-1cf2d 1cf30-1cf46 1e000-1e006 1e008-1e018',
  '1e01b-1e021 1e023-1e024 1e026-1e02a 1e08f 1e130-1e136 1e2ae 1e2ec-1e2ef 1e4ec-1e4ef 1e5ee-1e5ef 1e6e3 1e6e6',
  '1e6ee-1e6ef 1e6f5 1e944-1e94a',
].join(' ');

/** Marks that StripAccents keeps. */
const LATE_MARKS = [
  '7fd 897-89f 8ca-8d3 9fe afa-aff b55 c04 c3c cf3 d00 d3b-d3c d81 eba ece 1715 180f 1abf-1add 1ae0-1aeb 1cf7',
  '1df6-1dfa a82c a8ff 10d24-10d27 10d69-10d6d 10eab-10eac 10efa-10eff 10f46-10f50 10f82-10f85 11070',
  '11073-11074 110c2 11145-11146 111c9 111ce-111cf 11241 1133b 113b8-113c0 113c2 113c5 113c7-113ca 113cc-113d0',
  '113d2 113e1-113e2 1145e 1182c-1183a 11930-11935 11937-11938 1193b-1193e 11940 11942-11943 119d1-119d7',
  '119da-119e0 119e4 11a01-11a0a 11a33-11a39 11a3b-11a3e 11a47 11a51-11a5b 11a8a-11a99 11b60-11b67 11d31-11d36',
  '11d3a 11d3c-11d3d 11d3f-11d45 11d47 11d8a-11d8e 11d90-11d91 11d93-11d97 11ef3-11ef6 11f00-11f01 11f03',
  '11f34-11f3a 11f3e-11f42 11f5a 13440 13447-13455 1611e-1612f 16f4f 16f7f-16f87 16fe4 16ff0-16ff1 1cf00-1cf2d',
  '1cf30-1cf46 1e08f 1e130-1e136 1e2ae 1e2ec-1e2ef 1e4ec-1e4ef 1e5ee-1e5ef 1e6e3 1e6e6 1e6ee-1e6ef 1e6f5',
].join(' ');

/** Punctuation that the pre-tokenizers do not know. */
const LATE_PUNCTUATION = [
  '61d 9fd a76 c77 c84 1b4e-1b4f 1b7d-1b7f 2e43-2e4f 2e52-2e5d 10d6e 10ead 10ed0 10f55-10f59 10f86-10f89',
  '113d4-113d5 113d7-113d8 1144b-1144f 1145a-1145b 1145d 11660-1166c 116b9 1183b 11944-11946 119e2 11a3f-11a46',
  '11a9a-11a9c 11a9e-11aa2 11b00-11b09 11be1 11c41-11c45 11c70-11c71 11ef7-11ef8 11f43-11f4f 11fff 12ff1-12ff2',
  '16d6d-16d6f 16e97-16e9a 16fe2 1e5ff 1e95e-1e95f',
].join(' ');

/** Word characters that Whitespace does not know. */
const LATE_WORDS = [
  '88f c5c cdc 1acf-1add 1ae0-1aeb a7ce-a7cf a7d2 a7d4 a7f1 10940-10959 10ec5-10ec7 10efa-10efb 11b60-11b67',
  '11db0-11ddb 11de0-11de9 16ea0-16eb8 16ebb-16ed3 16ff2-16ff6 187f8-187ff 18d09-18d1e 18d80-18df2 1e6c0-1e6de',
  '1e6e0-1e6f5 1e6fe-1e6ff 2b73a-2b73f 2cea2-2cead 323b0-33479',
].join(' ');

/** Characters that have no decomposition there. */
const LATE_FORMS = [
  '32ff a7f1-a7f4 ab69 105c9 105e4 10781-10785 10787-107b0 107b2-107ba 11383 11385 1138e 11391 113c5',
  '113c7-113c8 11938 16121-16128 16d68-16d6a 1ccd6-1ccf9 1e030-1e06d 1f16c 1fbf0-1fbf9',
].join(' ');

/** A character class for regular expressions, `[...]` without its brackets, of a list of ranges. */
function classOfRanges(list: string): string {
  return list
    .split(' ')
    .map((range) => range.replace(/[0-9a-f]+/g, '\\u{$&}'))
    .join('');
}

/** An expression for one character of a list of ranges. */
export function codePointSet(list: string, flags = ''): RegExp {
  return new RegExp(`[${classOfRanges(list)}]`, `u${flags}`);
}

/** `[...]` of the characters of a class that are in none of the listed ranges, as a global expression. */
function without(members: string, late: string): RegExp {
  return new RegExp(`(?![${classOfRanges(late)}])[${members}]`, 'gu');
}

/** What BertNormalizer takes out: controls, format characters and private use, U+FFFD. */
export const BERT_CONTROLS: RegExp = without('\\0\\u{FFFD}\\p{Cc}\\p{Cf}\\p{Co}', LATE_CONTROLS);
/** The accents that BertNormalizer takes out of decomposed text. */
export const BERT_ACCENTS: RegExp = without('\\p{Mn}', LATE_NONSPACING);
/** What StripAccents takes out; two letters of Vedic Sanskrit were marks once. */
export const ACCENTS: RegExp = without('\\p{M}\\u{1cf2}\\u{1cf3}', LATE_MARKS);
/** Characters that stand as they are when text is decomposed or composed. */
const OPAQUE = codePointSet(`${LATE_MARKS} ${LATE_FORMS}`);
const OPAQUE_OR_TEXT = new RegExp(`[${classOfRanges(`${LATE_MARKS} ${LATE_FORMS}`)}]+`, 'gu');

/** One of Unicode's normal forms, of the characters that the library's tables have. */
export function normalForm(text: string, form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'): string {
  if (form === 'NFC' || !OPAQUE.test(text)) return text.normalize(form);
  let result = '';
  let at = 0;
  for (const match of text.matchAll(OPAQUE_OR_TEXT)) {
    result += text.slice(at, match.index).normalize(form) + match[0];
    at = match.index + match[0].length;
  }
  return result + text.slice(at).normalize(form);
}

/** Lower case character by character: a final sigma is like any other. */
export function lowerCase(text: string): string {
  return text.replaceAll('\u03a3', '\u03c3').toLowerCase();
}

/** White space, `\p{White_Space}`. */
export const SPACE = 1;
/** Punctuation: `\p{P}` and the symbols of ASCII. */
export const PUNCTUATION = 2;
/** A number, `\p{N}`. */
export const NUMERIC = 4;
/** A letter, mark, digit, connector or joiner: `\w`. */
export const WORD = 8;
const KNOWN = 128;

const PUNCTUATION_CLASS = new RegExp(
  `^(?![${classOfRanges(LATE_PUNCTUATION)}])[\\p{P}!-/:-@\\[-\`{-~\\u{166d}\\u{111c9}]`,
  'u',
);
const WORD_CLASS = new RegExp(
  `^(?![${classOfRanges(LATE_WORDS)}])[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]`,
  'u',
);

function classify(point: number): number {
  const character = String.fromCodePoint(point);
  return (
    KNOWN |
    (/\p{White_Space}/u.test(character) ? SPACE : 0) |
    (PUNCTUATION_CLASS.test(character) ? PUNCTUATION : 0) |
    (/\p{N}/u.test(character) ? NUMERIC : 0) |
    (WORD_CLASS.test(character) ? WORD : 0)
  );
}

let flags = new Uint8Array(0);

/** What a code point is: SPACE, PUNCTUATION, NUMERIC and WORD, each of which it may be. */
export function flagsOf(point: number): number {
  if (flags.length === 0) flags = new Uint8Array(0x110000);
  const known = flags[point] ?? KNOWN;
  if (known !== 0) return known;
  const start = point & ~0xff;
  for (let each = start; each < start + 256; each++) flags[each] = classify(each);
  return flags[point] as number;
}

/** The code point at `at`, times 8, plus its bytes: U+FFFD of one byte where the bytes are not UTF-8. */
export function decodeAt(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at] as number;
  if (lead < 0x80) return (lead << 3) | 1;
  const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > end) return INVALID;
  let point = lead & (0x7f >> length);
  for (let each = at + 1; each < at + length; each++) {
    const byte = bytes[each] as number;
    if ((byte & 0xc0) !== 0x80) return INVALID;
    point = (point << 6) | (byte & 0x3f);
  }
  const isWrong =
    length === 3 ? point < 0x800 || (point & 0xf800) === 0xd800 : length === 4 && (point < 0x10000 || point > 0x10ffff);
  return isWrong ? INVALID : (point << 3) | length;
}

const INVALID = (0xfffd << 3) | 1;

/** The bytes of the character at `at`: 1 to 4. */
export function lengthAt(bytes: Uint8Array, at: number, end: number): number {
  return (bytes[at] as number) < 0x80 ? 1 : decodeAt(bytes, at, end) & 7;
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const encoder = new TextEncoder();

/** Bytes as text; what is not UTF-8 is U+FFFD. */
export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** Text as UTF-8. */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

/** True where no byte is above 0x7f. */
export function isAscii(bytes: Uint8Array, from: number, to: number): boolean {
  let any = 0;
  for (let at = from; at < to; at++) any |= bytes[at] as number;
  return any < 0x80;
}
