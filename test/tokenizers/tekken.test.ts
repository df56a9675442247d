import { loadTokenizer } from 'tessera-kit/tokenizers';
import { describe, expect, it } from 'vitest';
import { tekkenTokenizer } from '../../dist/tokenizers/tekken.js';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const VOCAB = [
  ...Array.from({ length: 256 }, (_, rank) => ({
    rank,
    token_bytes: Buffer.from([rank]).toString('base64'),
    token_str: null,
  })),
  ...['ab', 'abc', ' a', 'beyond'].map((text, i) => ({ rank: 256 + i, token_bytes: base64(text), token_str: text })),
];
const CONFIG = {
  pattern: '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|\\s+',
  num_vocab_tokens: 260,
  default_vocab_size: 259 + 25,
  default_num_special_tokens: 25,
  version: 'v3',
};

describe('tekken.json', () => {
  const tokenizer = tekkenTokenizer({ config: CONFIG, vocab: VOCAB });

  it('has the special tokens first, and ranks after them', () => {
    expect([...tokenizer.encode('abc ab')]).toEqual([25 + 257, 25 + 32, 25 + 256]);
    expect([...tokenizer.encode('</s>[INST]')]).toEqual([2, 3]);
    expect(tokenizer.special.get('<SPECIAL_24>')).toBe(24);
    expect(tokenizer.special.size).toBe(25);
    expect(tokenizer.endOfText).toBe(2);
    expect(tokenizer.decode([282, 0])).toBe('abc<unk>');
  });

  it('leaves out what is beyond its size', () => {
    expect(tokenizer.vocabulary.size).toBe(284);
    expect(tokenizer.vocabulary.id('beyond')).toBeUndefined();
  });

  it('lists special tokens of later versions', () => {
    const listed = [
      { rank: 0, token_str: '<unk>', is_control: true },
      { rank: 1, token_str: '<bos>', is_control: true },
    ];
    const later = tekkenTokenizer({ config: CONFIG, vocab: VOCAB, special_tokens: listed });
    expect([...later.special.keys()].slice(0, 3)).toEqual(['<unk>', '<bos>', '<SPECIAL_2>']);
  });

  it('is the same as the tokenizer.json that it saves', () => {
    const again = loadTokenizer(tokenizer.save()[0]?.text ?? '');
    for (const text of ['abc ab 12\n', 'über</s> 你好']) expect(again.encode(text)).toEqual(tokenizer.encode(text));
  });

  it.each([
    ['no vocabulary', { config: CONFIG }, /is no tekken\.json/],
    [
      'a size beyond its tokens',
      { config: { ...CONFIG, default_vocab_size: 9999 }, vocab: VOCAB },
      /says 9999 tokens, 25 of them special, and lists 260 others/,
    ],
    [
      'no size',
      { config: { ...CONFIG, default_vocab_size: 'x' }, vocab: VOCAB },
      /"default_vocab_size" is "x", not a whole number/,
    ],
    [
      'special tokens beyond measure',
      { config: { ...CONFIG, default_num_special_tokens: 1e9, default_vocab_size: 1e9 }, vocab: VOCAB },
      /special/,
    ],
    [
      'an entry without a rank',
      { config: CONFIG, vocab: [...VOCAB.slice(0, 259), { token_bytes: 'YQ==' }] },
      /entry 259 of "vocab" has no "rank"/,
    ],
    [
      'a rank twice',
      { config: CONFIG, vocab: [...VOCAB.slice(0, 259), { rank: 7, token_bytes: base64('xy') }] },
      /is there twice/,
    ],
    [
      'a token that is no base64',
      { config: CONFIG, vocab: [...VOCAB.slice(0, 258), { rank: 258, token_bytes: '!' }] },
      /no token in base64/,
    ],
    [
      'a special token out of range',
      { config: CONFIG, vocab: VOCAB, special_tokens: [{ rank: 25, token_str: 'x' }] },
      /entry 0 of "special_tokens" needs/,
    ],
    [
      'a special token twice',
      {
        config: CONFIG,
        vocab: VOCAB,
        special_tokens: [
          { rank: 0, token_str: 'x' },
          { rank: 1, token_str: 'x' },
        ],
      },
      /special token is there twice/,
    ],
  ])('is refused with %s', (_what, file, message) => expect(() => tekkenTokenizer(file)).toThrow(message));
});
