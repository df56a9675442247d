import fc from 'fast-check';
import { ENCODINGS, isEncodingName, loadTokenizer, type Tokenizer, tiktokenTokenizer } from 'tessera-kit/tokenizers';
import { get_encoding } from 'tiktoken';
import { afterAll, describe, expect, it } from 'vitest';
import { openEncoding } from './encodings.js';
import { CORPUS, TROUBLE } from './texts.js';

const MORE = [
  '\ufeffmarked',
  'מִלִּים \u202eright to left',
  'HTTPServer getURLFor XMLa 漢字AB ǅabc ʰx',
  'a'.repeat(20_000),
];

describe.each(['o200k_base', 'cl100k_base', 'p50k_base', 'r50k_base'] as const)('%s', (name) => {
  const ours = openEncoding(name);
  const theirs = get_encoding(name);
  afterAll(() => theirs.free());

  const check = (text: string): void => {
    const ids = ours.encode(text, { parseSpecialTokens: false });
    expect([...ids]).toEqual([...theirs.encode_ordinary(text)]);
    expect(ours.decode(ids)).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(new TextEncoder().encode(text)));
  };

  it('gives the ids that tiktoken gives', () => {
    for (const text of [...CORPUS, ...TROUBLE, ...MORE]) check(text);
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 60 }), check), { numRuns: 400 });
    fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), check), { numRuns: 200 });
  });

  it('takes special tokens in the text where it is told to', () => {
    const text = 'one<|endoftext|>two';
    expect([...ours.encode(text)]).toEqual([...theirs.encode(text, 'all')]);
    expect(ours.special).toEqual(new Map(Object.entries(ENCODINGS[name].special)));
    expect(ours.endOfText).toBe(ENCODINGS[name].special['<|endoftext|>']);
  });

  it('is the same when it is read from the tokenizer.json that it saves', () => {
    const [file] = ours.save();
    const again = loadTokenizer(file?.text ?? '');
    for (const text of [...CORPUS.slice(0, 4), ...TROUBLE]) expect(again.encode(text)).toEqual(ours.encode(text));
  });
});

it('knows encodings by name', () => {
  expect(isEncodingName('o200k_harmony')).toBe(true);
  expect(isEncodingName('toString')).toBe(false);
  const harmony = ENCODINGS.o200k_harmony.special as Readonly<Record<string, number>>;
  expect(harmony['<|channel|>']).toBe(200005);
  expect(harmony['<|reserved_200013|>']).toBe(200013);
  expect(harmony['<|endofprompt|>']).toBe(200018);
  expect(new Set(Object.values(harmony)).size).toBe(Object.keys(harmony).length);
});

describe('rank files', () => {
  const base64 = (...bytes: number[]): string => Buffer.from(bytes).toString('base64');
  const bytes = Array.from({ length: 256 }, (_, byte) => `${base64(byte)} ${byte}`);
  const open = (lines: readonly string[], special?: Readonly<Record<string, number>>): Tokenizer =>
    tiktokenTokenizer(new TextEncoder().encode(lines.join('\n')), { split: 'gpt2', special, where: 'toy' });

  it('may come in any order, with gaps, empty lines and carriage returns', () => {
    const ab = open([`${base64(97, 98)} 300`, '', ...[...bytes].reverse().map((line) => `${line}\r`), '']);
    expect([...ab.encode('abab')]).toEqual([300, 300]);
    expect(ab.vocabulary.size).toBe(301);
  });

  it('merge by the rank of what pairs join to, through ranks that are higher', () => {
    // abc is of lower rank than ab, on the way to it.
    const tokenizer = open([...bytes, `${base64(97, 98, 99)} 256`, `${base64(97, 98)} 257`, `${base64(98, 120)} 258`]);
    expect([...tokenizer.encode('abcab')]).toEqual([256, 257]);
    expect([...tokenizer.encode('abx')]).toEqual([257, 120]);
    // No merges lead to the token, which a word can still be as a whole.
    const alone = open([...bytes, `${base64(97, 98, 99)} 256`]);
    expect([...alone.encode('abc')]).toEqual([256]);
    expect([...alone.encode('abcd')]).toEqual([97, 98, 99, 100]);
  });

  it.each([
    ['nothing', [], /toy holds no ranks/],
    ['a line without a rank', [...bytes, 'YWI='], /toy, line 257: there is no token in base64 before a space/],
    ['a rank that is no number', [...bytes, 'YWI= x'], /toy, line 257: there is no rank after the token/],
    ['more on a line', [...bytes, 'YWI= 256 7'], /toy, line 257: there is more after the rank/],
    ['a rank beyond measure', [...bytes, 'YWI= 99999999'], /toy, line 257: a rank of 99999999 cannot be right/],
    ['no base64', ['{"model": 1}'], /toy, line 1: there is no token in base64/],
    ['a rank twice', [...bytes, 'YWI= 97'], /toy: the rank 97 is there twice/],
    [
      'a token twice',
      [...bytes, 'YWI= 256', 'YWI= 257'],
      /toy: the token of the rank 257 is there twice|rank 256 is there twice/,
    ],
    ['a byte without a token', bytes.slice(0, 255), /toy: no token is the byte 255/],
  ])('are refused in a sentence: %s', (_what, lines, message) => {
    expect(() => open(lines)).toThrow(message);
  });

  it('refuse a special token at the id of another', () => {
    expect(() => open(bytes, { '<|x|>': 97 })).toThrow(/the rank 97 is also a special token/);
  });
});
