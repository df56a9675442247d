import { Tokenizer as Native } from '@anush008/tokenizers';
import fc from 'fast-check';
import { loadTokenizer } from 'tessera-kit/tokenizers';
import { describe, expect, it } from 'vitest';
import { readPythonLiteral } from '../../dist/tokenizers/python-literal.js';
import { rwkvTokenizer } from '../../dist/tokenizers/rwkv.js';

const literal = (byte: number): string =>
  byte >= 0x80
    ? `b'\\x${byte.toString(16)}'`
    : byte < 0x20 || byte === 0x7f
      ? `'\\x${byte.toString(16).padStart(2, '0')}'`
      : byte === 0x27
        ? `"'"`
        : byte === 0x5c
          ? `'\\\\'`
          : `'${String.fromCharCode(byte)}'`;
const BYTES = Array.from({ length: 256 }, (_, byte) => `${byte + 1} ${literal(byte)} 1`);
const WORDS = [
  `257 'ab' 2`,
  `258 'abcd' 4`,
  `259 ' a' 2`,
  `260 '\\n\\n' 2`,
  `261 "don't" 5`,
  `262 'é' 2`,
  `263 b'\\xe4\\xbd' 2`,
  `264 '你好' 6`,
  `265 '  ' 2`,
];
const FILE = `${[...BYTES, ...WORDS].join('\n')}\n`;
const tokenizer = rwkvTokenizer(FILE, 'toy');

/** The longest token at each place, looked for in the plainest way. */
function greedy(text: string): number[] {
  const tokens = new Map(
    [...BYTES, ...WORDS].map((line) => {
      const [id = '', ...rest] = line.split(' ');
      return [Buffer.from(readPythonLiteral(rest.slice(0, -1).join(' ')) ?? []).toString('hex'), Number(id)];
    }),
  );
  const bytes = Buffer.from(text);
  const ids: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    for (let length = 6; length > 0; length--) {
      const id = at + length <= bytes.length ? tokens.get(bytes.subarray(at, at + length).toString('hex')) : undefined;
      if (id === undefined) continue;
      ids.push(id);
      at += length;
      break;
    }
  }
  return ids;
}

describe("RWKV's vocabulary", () => {
  it('takes the longest token at each place', () => {
    expect([...tokenizer.encode('abc')]).toEqual([257, 100]);
    expect([...tokenizer.encode("abcd don't")]).toEqual([258, 33, 261]);
    expect([...tokenizer.encode('你你好')]).toEqual([263, 0xa0 + 1, 264]);
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'd', ' ', '\n', 'é', '你', '好', "don't", '😀') });
    fc.assert(
      fc.property(text, (each) => {
        expect([...tokenizer.encode(each)]).toEqual(greedy(each));
      }),
      { numRuns: 300 },
    );
  });

  it('gives every byte back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
        expect(tokenizer.decodeBytes(tokenizer.encodeBytes(bytes))).toEqual(new Uint8Array(bytes));
      }),
    );
    expect(tokenizer.lossy).toBe(false);
  });

  it('reads the end of text only where it is asked to', () => {
    const [name = ''] = [...tokenizer.special.keys()];
    expect([...tokenizer.encode(`ab${name}ab`)]).toEqual([257, 0, 257]);
    expect(tokenizer.encode(`ab${name}ab`, { parseSpecialTokens: false })).not.toContain(0);
    expect(tokenizer.decode([257, 0], { skipSpecialTokens: true })).toBe('ab');
  });

  it('is saved as a tokenizer.json that gives the same ids, here and in the native library', async () => {
    const json = tokenizer.save()[0]?.text ?? '';
    const [again, native] = [loadTokenizer(json), Native.fromString(json)];
    for (const text of ["abcd ab\n\ndon't", '你你好 é é', 'a😀b', '  \t x']) {
      expect(again.encode(text)).toEqual(tokenizer.encode(text));
      const ids = (await native.encode(text, null, { addSpecialTokens: false })).getIds();
      expect([...ids].map(Number)).toEqual([...tokenizer.encode(text)]);
      expect(again.decode(again.encode(text))).toBe(text);
    }
  });

  it.each([
    ['an id twice', `${FILE}257 'zz' 2`, /toy, line 266: the id 257 is there twice/],
    ['a token twice', `${FILE}300 'ab' 2`, /toy, line 266: its token has the id 257 too/],
    ['a false length', `${FILE}300 'xyz' 2`, /toy, line 266: the token is of 3 bytes, not 2/],
    ['no literal', `${FILE}300 __import__('os') 16`, /toy, line 266: there is no Python literal/],
    ['no id', `${FILE}x 'xyz' 3`, /toy, line 266: it has no id from 1/],
    ['an id beyond measure', `${FILE}99999999 'xyz' 3`, /toy, line 266: an id of 99999999/],
    ['a byte without a token', BYTES.slice(1).join('\n'), /toy: no token is the byte 0/],
    ['nothing', '', /toy holds no tokens/],
  ])('is refused with %s', (_what, text, message) => expect(() => rwkvTokenizer(text, 'toy')).toThrow(message));
});

describe("Python's literals", () => {
  it.each([
    [`'a"b'`, [97, 34, 98]],
    [`"it's"`, [105, 116, 39, 115]],
    [`'\\x00\\t\\n\\r\\\\\\''`, [0, 9, 10, 13, 92, 39]],
    [`'\\xe9'`, [0xc3, 0xa9]],
    [`b'\\xe9\\x80'`, [0xe9, 0x80]],
    [`'\\u4f60\\U0001f600'`, [0xe4, 0xbd, 0xa0, 0xf0, 0x9f, 0x98, 0x80]],
    [`'\\101\\0'`, [65, 0]],
  ])('%s', (text, bytes) => expect([...(readPythonLiteral(text) ?? [])]).toEqual(bytes));

  it.each([
    `'a`,
    `a'`,
    `''a'`,
    `'\\'`,
    `'\\q'`,
    `'\\xg0'`,
    `'\\ud800'`,
    `'\\U00110000'`,
    `b'\\u0041'`,
    `b'\\400'`,
    `b'é€'`,
    '',
  ])('%s is none', (text) => expect(readPythonLiteral(text)).toBeUndefined());
});
