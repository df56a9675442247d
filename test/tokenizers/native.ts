/** Hugging Face's native library beside ours: the same tokenizer.json, the same texts, the same ids and decodes. */

import { Tokenizer as NativeTokenizer } from '@anush008/tokenizers';
import fc from 'fast-check';
import type { JsonObject } from 'tessera-kit/formats';
import { loadTokenizer, type Tokenizer } from 'tessera-kit/tokenizers';
import { expect } from 'vitest';

/** Both tokenizers of a file. */
export interface Pair {
  readonly ours: Tokenizer;
  readonly native: NativeTokenizer;
}

export function openBoth(file: JsonObject): Pair {
  return { ours: loadTokenizer(file), native: NativeTokenizer.fromString(JSON.stringify(file)) };
}

/** The native library's ids. */
export async function nativeIds(native: NativeTokenizer, text: string, addSpecialTokens = false): Promise<number[]> {
  return (await native.encode(text, null, { addSpecialTokens })).getIds();
}

/** A model that shows each word: its bytes as they are, and after its last character those of a mark. */
export const SHOWING: JsonObject = {
  type: 'BPE',
  vocab: Object.fromEntries(
    Array.from({ length: 256 }, (_, byte) => [`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`, byte]),
  ),
  merges: [],
  end_of_word_suffix: '\u0001|',
  byte_fallback: true,
};

/** A tokenizer.json of a model and whatever is given. */
export function file(parts: JsonObject, model: JsonObject = SHOWING): JsonObject {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    ...parts,
    model,
  };
}

const pieces = [
  ' ',
  '  ',
  '\t',
  '\n',
  '\r\n',
  'a',
  'Ab',
  "'s",
  "n't",
  ' do not',
  'é',
  'e\u0301',
  'Ω',
  'Σ',
  'ς',
  'İ',
  'ß',
  'ﬁ',
]
  .concat([
    '１',
    '²',
    '½',
    '٣',
    '12',
    '345',
    '!',
    '?',
    '.',
    ',',
    '-',
    '_',
    '…',
    '«',
    '¿',
    '。',
    '中',
    '文字',
    'ひらがな',
    'カナー',
  ])
  .concat([
    '한글',
    'ก็',
    'नमस्ते',
    'שָׁלוֹם',
    'العربية',
    '😀',
    '👩‍👩‍👧',
    '🇹🇷',
    '\u00a0',
    '\u2003',
    '\u200b',
    '\u200d',
    '\ufeff',
    '\ufffd',
  ])
  .concat([
    '▁',
    '▁▁',
    '##',
    'Ġ',
    '<0x41>',
    '\u0000',
    '\u0007',
    '\u007f',
    '\u0085',
    '\u00ad',
    '𝒳',
    '\u{20000}',
    '\u0344',
    '\u0f73',
    '\u1cf2',
  ])
  .concat([
    'hello',
    'World',
    'unbelievable',
    'the',
    'of the',
    '<s>',
    '[MASK]',
    '#',
    '+',
    '$',
    '^',
    '|',
    '\u{10400}',
    '\u{e000}',
    '\u0378',
  ]);

/** Characters of Unicode 17, which the engine knows and the library's regular expressions do not. */
const LATER = new RegExp(
  `[${[
    '88f c5c cdc 1acf-1add 1ae0-1aeb 20c1 2b96 a7ce-a7cf a7d2 a7d4 a7f1 fbc3-fbd2 fd90-fd91 fdc8-fdce 10940-10959',
    '10ec5-10ec7 10ed0-10ed8 10efa-10efb 11b60-11b67 11db0-11ddb 11de0-11de9 16ea0-16eb8 16ebb-16ed3 16ff2-16ff6',
    '187f8-187ff 18d09-18d1e 18d80-18df2 1ccfa-1ccfc 1ceba-1ced0 1cee0-1cef0 1e6c0-1e6ff 1f6d8 1f777-1f77a',
    '1f8d0-1f8d8 1fa54-1fa57 1fa8a 1fa8e 1fac8 1facd 1faea 1faef 1fbfa 2b73a-2b73f 2cea2-2cead 323b0-33479 295',
  ]
    .join(' ')
    .replace(/[0-9a-f]+/g, '\\u{$&}')
    .replaceAll(' ', '')}]`,
  'gu',
);

/** Texts of all sorts: fragments that matter to some component, and any characters. */
export const texts: fc.Arbitrary<string> = fc.oneof(
  { weight: 3, arbitrary: fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((parts) => parts.join('')) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }).map((text) => text.replace(LATER, '')) },
  { weight: 1, arbitrary: fc.string({ unit: 'grapheme', maxLength: 12 }) },
);

/** The same ids for any text, and for what was saved; the same decode of any ids, whole and streamed. */
export async function expectSame(
  file: JsonObject,
  { numRuns = 150, ids = true, decodes = true }: { numRuns?: number; ids?: boolean; decodes?: boolean } = {},
): Promise<void> {
  const { ours, native } = openBoth(file);
  const again = loadTokenizer(JSON.parse(ours.save()[0]?.text ?? ''));
  const known = Array.from({ length: ours.vocabulary.size }, (_, id) => id).filter(
    (id) => native.idToToken(id) !== null,
  );
  await fc.assert(
    fc.asyncProperty(
      texts,
      fc.array(fc.constantFrom(...known), { minLength: 1, maxLength: 10 }),
      async (text, some) => {
        if (ids) {
          const expected = await nativeIds(native, text);
          expect([...ours.encode(text)], JSON.stringify(text)).toEqual(expected);
          expect([...ours.encode(text, { addSpecialTokens: true })]).toEqual(await nativeIds(native, text, true));
          expect([...again.encode(text)]).toEqual(expected);
        }
        if (decodes) {
          for (const skipSpecialTokens of [false, true]) {
            const given = some;
            const decoded = await native.decode(given, skipSpecialTokens);
            expect(ours.decode(given, { skipSpecialTokens }), JSON.stringify(given)).toBe(decoded);
            const decoder = ours.createDecoder({ skipSpecialTokens });
            const streamed = given.map((id) => decoder.pushText(id)).join('') + decoder.flushText();
            expect(streamed).toBe(decoded);
          }
        }
      },
    ),
    { numRuns },
  );
}
