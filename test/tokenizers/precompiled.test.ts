import { Tokenizer as Native } from '@anush008/tokenizers';
import { describe, expect, it } from 'vitest';
import { precompiledNormalizer } from '../../dist/tokenizers/precompiled.js';
import { writeCharsmap } from './sentencepiece-writer.js';
import { drawer } from './texts.js';

const RULES = {
  '\t': ' ',
  '\r': ' ',
  ﬁ: 'fi',
  Ａ: 'A',
  'e\u0301': 'é',
  '①': '1',
  ｶ: 'カ',
  ｶﾞ: 'ガ',
  '\u200b': '',
  ab: 'X',
};
const PARTS = [
  ...Object.keys(RULES),
  'e',
  'a',
  'b',
  ' ',
  '\n',
  '\r\n',
  '\u0301',
  'é',
  '가',
  '👨‍👩‍👧',
  '\u0600',
  'क्षि',
  '\ufeff',
];
const draw = drawer(3);
const texts = Array.from({ length: 300 }, () =>
  Array.from({ length: 1 + draw(10) }, () => PARTS[draw(PARTS.length)]).join(''),
);

describe('a precompiled charsmap', () => {
  const charsmap = writeCharsmap(RULES);
  const base64 = btoa(String.fromCharCode(...charsmap));

  it('goes by grapheme clusters as the native library does', async () => {
    const normalize = precompiledNormalizer(base64);
    // Every character is a token of its own, so that ids tell the normalized text.
    const characters = [...new Set([...PARTS.join(''), ...Object.values(RULES).join('')])];
    const native = Native.fromString(
      JSON.stringify({
        version: '1.0',
        truncation: null,
        padding: null,
        added_tokens: [],
        normalizer: { type: 'Precompiled', precompiled_charsmap: base64 },
        pre_tokenizer: null,
        post_processor: null,
        decoder: null,
        model: { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0], ...characters.map((each) => [each, -1])] },
      }),
    );
    for (const text of texts) {
      const ids = (await native.encode(text, null, { addSpecialTokens: false })).getIds();
      expect(normalize(text), JSON.stringify(text)).toBe(
        Array.from(ids, (id) => (id === 0 ? '<unk>' : characters[id - 1])).join(''),
      );
    }
  });

  it('takes the longest rule at each place as SentencePiece does', () => {
    const normalize = precompiledNormalizer(charsmap, { graphemes: false });
    const rules = new RegExp(
      Object.keys(RULES)
        .sort((a, b) => b.length - a.length)
        .join('|'),
      'gu',
    );
    for (const text of [...texts, 'ｶ'.repeat(500)]) {
      expect(normalize(text)).toBe(text.replace(rules, (found) => RULES[found as keyof typeof RULES]));
    }
    // In clusters the shortest rule counts, and what is left of the cluster goes.
    expect(normalize('Ａ\u0301ｶﾞ')).toBe('A\u0301ガ');
    expect(precompiledNormalizer(charsmap)('Ａ\u0301')).toBe('A');
  });

  it('replaces lone surrogates', () => {
    expect(precompiledNormalizer(charsmap)('a\ud800b')).toBe('a\ufffdb');
    expect(precompiledNormalizer(charsmap, { graphemes: false })('a\ud800b')).toBe('a\ufffdb');
  });

  it('takes no harm from damage', () => {
    for (const cut of [0, 3, 4, 100]) {
      expect(() => precompiledNormalizer(charsmap.subarray(0, cut))).toThrow(/precompiled_charsmap cannot be read/);
    }
    expect(() => precompiledNormalizer('%%')).toThrow(/no base64/);
    const flips = drawer(9);
    let changed = 0;
    for (let round = 0; round < 300; round++) {
      const copy = charsmap.slice();
      for (let i = 0; i < 60; i++) copy[4 + flips(copy.length - 4)] = flips(256);
      for (const graphemes of [true, false]) {
        const text = texts[round] as string;
        const result = precompiledNormalizer(copy, { graphemes })(text);
        expect(result.length).toBeLessThan(1_000_000);
        if (result !== precompiledNormalizer(charsmap, { graphemes })(text)) changed++;
      }
    }
    expect(changed).toBeGreaterThan(0);
  });
});
