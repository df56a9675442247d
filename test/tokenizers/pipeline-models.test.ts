import type { Json, JsonObject } from 'tessera-kit/formats';
import { random } from 'tessera-kit/tensor';
import { loadTokenizer } from 'tessera-kit/tokenizers';
import { describe, expect, it } from 'vitest';
import { expectSame, file, nativeIds, openBoth, SHOWING } from './native.js';

const vocabOf = (...tokens: readonly string[]): JsonObject =>
  Object.fromEntries(tokens.map((token, id) => [token, id]));
const BYTES = Object.keys(SHOWING.vocab ?? {});
const special = (id: number, content: string, more: JsonObject = {}): JsonObject => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
  ...more,
});

const PIECES = [
  '[UNK]',
  'hello',
  'he',
  'h',
  '##e',
  '##l',
  '##llo',
  '##o',
  'world',
  'W',
  '##orld',
  '##or',
  'un',
  '##believ',
  '##able',
];
const wordPiece = (changes: JsonObject = {}): JsonObject => ({
  type: 'WordPiece',
  unk_token: '[UNK]',
  continuing_subword_prefix: '##',
  max_input_chars_per_word: 12,
  vocab: vocabOf(
    ...PIECES,
    'a',
    '##a',
    '##b',
    'é',
    '##é',
    '中',
    '文',
    '##字',
    '!',
    '?',
    '1',
    '2',
    '##2',
    '##3',
    'the',
    'of',
    '##',
    "'",
    's',
  ),
  ...changes,
});
const whitespace = { type: 'Whitespace' };
const LETTERS = ['<unk>', ...'abehlorwtdunsivf ▁é中'];
const merges = [
  'h e',
  'l l',
  'he ll',
  'hell o',
  'w o',
  'r l',
  'wo rl',
  'worl d',
  '▁ h',
  '▁ t',
  '▁t he',
  'a b',
  'b a',
  '▁ ▁',
];
const results = merges.map((merge) => merge.replace(' ', ''));
const characters = (changes: JsonObject = {}): JsonObject => ({
  type: 'BPE',
  unk_token: '<unk>',
  fuse_unk: false,
  vocab: vocabOf(...LETTERS, ...results, ...BYTES),
  merges,
  ...changes,
});
const spaces: JsonObject = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
const prepend: JsonObject = { type: 'Prepend', prepend: '▁' };
const llama: JsonObject = { type: 'Sequence', normalizers: [prepend, spaces] };

describe('a model gives what the native library gives', () => {
  const prefixed = [
    '<unk>',
    'a',
    '@b',
    '@a',
    'b',
    '@l',
    'h',
    '@e',
    '@o',
    'ab',
    'he',
    '@ll',
    'hell',
    'hello',
    'a@',
    '@c',
  ];
  const suffixed = [
    '<unk>',
    'a',
    'b',
    'a$',
    'b$',
    'h',
    'e',
    'l',
    'o$',
    'ab',
    'ab$',
    'he',
    'll',
    'hell',
    'hello$',
    'é$',
    '!',
    '!$',
  ];
  it.each<[string, JsonObject, JsonObject]>([
    ['WordPiece', wordPiece(), whitespace],
    ['WordPiece after BERT', wordPiece(), { type: 'BertPreTokenizer' }],
    [
      'WordPiece of sentences',
      wordPiece({ max_input_chars_per_word: 100 }),
      { type: 'Split', pattern: { String: ' ' }, behavior: 'Removed', invert: false },
    ],
    ['WordPiece with another prefix', wordPiece({ continuing_subword_prefix: '#' }), whitespace],
    ['WordPiece without a prefix', wordPiece({ continuing_subword_prefix: '' }), { type: 'WhitespaceSplit' }],
    ['WordPiece of no characters', wordPiece({ max_input_chars_per_word: 0 }), whitespace],
    [
      'WordLevel',
      { type: 'WordLevel', unk_token: '<unk>', vocab: vocabOf('<unk>', 'hello', 'World', 'a', '中', '!', '12', 'é') },
      whitespace,
    ],
    ['BPE', characters(), whitespace],
    ['BPE, fusing the unknown', characters({ fuse_unk: true }), { type: 'WhitespaceSplit' }],
    ['BPE that drops the unknown', characters({ unk_token: null }), whitespace],
    ['BPE, whole words first', characters({ ignore_merges: true, merges: [] }), whitespace],
    ['BPE with bytes', characters({ byte_fallback: true }), whitespace],
    [
      'BPE with some bytes',
      characters({
        byte_fallback: true,
        vocab: vocabOf(...LETTERS, ...results, ...BYTES.slice(0, 230)),
        fuse_unk: true,
      }),
      whitespace,
    ],
    [
      'BPE with a prefix',
      characters({
        continuing_subword_prefix: '@',
        vocab: vocabOf(...prefixed),
        merges: ['a @b', 'h @e', '@l @l', 'he @ll', 'hell @o'],
      }),
      whitespace,
    ],
    [
      'BPE with a suffix',
      characters({
        end_of_word_suffix: '$',
        vocab: vocabOf(...suffixed),
        merges: ['a b', 'a b$', 'h e', 'l l', 'he ll', 'hell o$'],
      }),
      whitespace,
    ],
    [
      'BPE with a prefix, a suffix and bytes',
      characters({
        end_of_word_suffix: '$',
        continuing_subword_prefix: '@',
        byte_fallback: true,
        merges: ['h e'],
        vocab: vocabOf('<unk>', 'h', 'e', 'he', '@e', '$', 'h$', ...BYTES),
        continuing_subword_suffix: null,
      }),
      whitespace,
    ],
    ['BPE whose dropout passes nothing over', characters({ dropout: 0 }), whitespace],
  ])('%s', (_, model, pre) => expectSame(file({ pre_tokenizer: pre }, model), { numRuns: 200 }));

  it.each<[string, JsonObject, JsonObject]>([
    ['as in Llama 2', characters({ byte_fallback: true, fuse_unk: true }), llama],
    ['without bytes', characters({ fuse_unk: true }), llama],
    [
      'with a token across spaces',
      characters({ vocab: vocabOf(...LETTERS, ...results, 'o▁', 'a▁'), merges: [...merges, 'o ▁', 'a ▁'] }),
      llama,
    ],
    [
      'with spaces as they are',
      characters({ merges: ['  h', ...merges.slice(0, 8)].slice(1) }),
      { type: 'Strip', strip_left: true, strip_right: false },
    ],
  ])('BPE of whole sentences, %s', (_, model, normalizer) => expectSame(file({ normalizer }, model), { numRuns: 200 }));

  it('BPE whose dropout passes everything over', async () => {
    const json = file({ pre_tokenizer: whitespace }, characters({ dropout: 1 }));
    const { ours, native } = openBoth(json);
    for (const text of ['hello world', 'the abba', 'é中!']) {
      expect([...ours.encode(text, { random: random(1) })]).toEqual(await nativeIds(native, text));
    }
  });

  it('BPE with dropout samples segmentations of the same text, again the same from the same seed', () => {
    const tokenizer = loadTokenizer(
      file({ pre_tokenizer: whitespace, decoder: { type: 'Fuse' } }, characters({ dropout: 0.4 })),
    );
    const seen = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const ids = tokenizer.encode('hello', { random: random(seed) });
      expect(tokenizer.decode(ids)).toBe('hello');
      expect(tokenizer.encode('hello', { random: random(seed) })).toEqual(ids);
      seen.add(ids.join(' '));
    }
    expect(seen.size).toBeGreaterThan(4);
    expect(tokenizer.encode('hello')).toHaveLength(1);
  });

  it('is quick with a word of a megabyte', () => {
    const long = 'ab'.repeat(1 << 19);
    expect(loadTokenizer(file({}, characters({ byte_fallback: true }))).encode(long)).toHaveLength(1 << 19);
    expect(loadTokenizer(file({}, wordPiece({ max_input_chars_per_word: 1 << 21 }))).encode(long)).toHaveLength(
      1 << 20,
    );
  });
});

describe('added tokens, as the native library finds them', () => {
  const model = characters({ byte_fallback: true, fuse_unk: true });
  const first = Object.keys(model.vocab ?? {}).length;
  const tokens = (...parts: readonly (readonly [string, JsonObject])[]): Json =>
    parts.map(([content, more], i) => special(first + i, content, more));
  it.each<[string, JsonObject]>([
    ['as they are', { added_tokens: tokens(['<s>', {}], ['[MASK]', { lstrip: true }], ['!', { rstrip: true }]) }],
    [
      'normalized',
      { normalizer: llama, added_tokens: tokens(['World', { normalized: true, special: false }], ['<s>', {}]) },
    ],
    [
      'in lower case',
      { normalizer: { type: 'Lowercase' }, added_tokens: tokens(['World', { normalized: true }], ['Ab', {}]) },
    ],
    [
      'whole words',
      { added_tokens: tokens(['Ab', { single_word: true, special: false }], ['12', { single_word: true }]) },
    ],
    [
      'before Metaspace',
      {
        pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: true },
        added_tokens: tokens(['<s>', {}], ['the', { normalized: true }]),
      },
    ],
  ])('%s', (_, parts) => expectSame(file(parts, model), { numRuns: 250, decodes: false }));

  it('are put around a text by post-processors', async () => {
    const added = tokens(['<s>', {}], ['</s>', {}]);
    const [s, e] = [first, first + 1];
    const template: JsonObject = {
      type: 'TemplateProcessing',
      single: [
        { SpecialToken: { id: 'both', type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: '</s>', type_id: 0 } },
      ],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: {
        both: { id: 'both', ids: [s, s], tokens: ['<s>', '<s>'] },
        '</s>': { id: '</s>', ids: [e], tokens: ['</s>'] },
      },
    };
    const bert: JsonObject = { type: 'BertProcessing', sep: ['</s>', e], cls: ['<s>', s] };
    const roberta: JsonObject = { ...bert, type: 'RobertaProcessing', trim_offsets: true, add_prefix_space: false };
    const byteLevel: JsonObject = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true };
    const all: readonly JsonObject[] = [
      template,
      bert,
      roberta,
      byteLevel,
      { type: 'Sequence', processors: [byteLevel, bert, template] },
    ];
    for (const processor of all) {
      await expectSame(file({ added_tokens: added, post_processor: processor }, model), {
        numRuns: 20,
        decodes: false,
      });
    }
  });
});
