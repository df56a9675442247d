import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Json, JsonObject } from 'tessera-kit/formats';
import { loadTokenizer } from 'tessera-kit/tokenizers';
import { describe, expect, it } from 'vitest';
import { expectSame, file, SHOWING } from './native.js';

const data = join(process.env.TESSERA_DATA ?? 'data', 'tokenizers');

function readText(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : gunzipSync(readFileSync(`${path}.gz`)).toString('utf8');
}

interface Reference {
  readonly text: string;
  readonly ids: readonly number[];
  readonly ids_with_special: readonly number[];
  readonly decoded: string;
}

describe.skipIf(!existsSync(data))('a published tokenizer (set TESSERA_DATA)', () => {
  const names = ['roberta-base', 'clip', 'phi-3-mini', 'minilm-l6-v2', 't5-small'];
  it.each(names)('gives the recorded ids and texts, read, written and read again: %s', (name) => {
    const read = loadTokenizer(readText(join(data, name, 'tokenizer.json')));
    const lines = readText(join(data, 'reference', `${name}.tokenizer-json.jsonl`))
      .trim()
      .split('\n');
    expect(lines.length).toBeGreaterThan(100);
    const written = loadTokenizer(read.save()[0]?.text ?? '');
    for (const line of lines) {
      const { text, ids, ids_with_special: withSpecial, decoded }: Reference = JSON.parse(line);
      expect([...read.encode(text)], text).toEqual(ids);
      expect([...written.encode(text)]).toEqual(ids);
      expect([...read.encode(text, { addSpecialTokens: true })]).toEqual(withSpecial);
      expect(read.decode(ids)).toBe(decoded);
      const decoder = read.createDecoder();
      expect(ids.map((id) => decoder.pushText(id)).join('') + decoder.flushText()).toBe(decoded);
    }
  });
});

const pieces: readonly Json[] = [
  ...[
    '<unk>',
    '▁',
    'a',
    'b',
    'ab',
    'h',
    'e',
    'l',
    'o',
    'hello',
    '▁hello',
    '▁the',
    'the',
    't',
    's',
    '▁a',
    '中',
    '文字',
    'é',
  ],
].map((token, id) => [token, id === 0 ? 0 : -1 - ((id * 7) % 11) - 1 / (1 + token.length)]);
const unigram = (changes: JsonObject = {}): JsonObject => ({ type: 'Unigram', unk_id: 0, vocab: pieces, ...changes });
const metaspace: JsonObject = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true };
const bytes: readonly Json[] = Object.keys(SHOWING.vocab ?? {}).map((token) => [token, -20]);

describe('Unigram in a tokenizer.json gives what the native library gives', () => {
  it.each<[string, JsonObject]>([
    ['alone', file({}, unigram())],
    ['with Metaspace', file({ pre_tokenizer: metaspace, decoder: metaspace }, unigram())],
    [
      'as in T5',
      file({ pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, metaspace] } }, unigram()),
    ],
    ['with bytes', file({ pre_tokenizer: metaspace }, unigram({ vocab: [...pieces, ...bytes], byte_fallback: true }))],
  ])('%s', (_, json) => expectSame(json, { numRuns: 250 }));
});

const words: JsonObject = { type: 'WordLevel', unk_token: 'a', vocab: { a: 0, b: 1 } };
const pre = (pre_tokenizer: JsonObject): JsonObject => file({ pre_tokenizer }, words);
const norm = (normalizer: JsonObject): JsonObject => file({ normalizer }, words);
const dec = (decoder: JsonObject): JsonObject => file({ decoder }, words);
const post = (post_processor: JsonObject): JsonObject => file({ post_processor }, words);
const bpe = (changes: JsonObject): JsonObject =>
  file({}, { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'], ...changes });

describe('a file that cannot be read is told in a sentence', () => {
  it.each<[string, JsonObject, RegExp]>([
    ['no model', { added_tokens: [] }, /has no "model"/],
    ['an unknown model', file({}, { type: 'Bigram', vocab: {} }), /the model "Bigram" is not known/],
    ['an unknown normalizer', norm({ type: 'Sparkle' }), /the normalizer "Sparkle" is not known/],
    [
      'an unknown normalizer within',
      norm({ type: 'Sequence', normalizers: [{ type: 'Dim' }] }),
      /the normalizer "Dim"/,
    ],
    ['a normalizer without a type', norm({}), /the normalizer has no "type"/],
    ['a Sequence of nothing', norm({ type: 'Sequence' }), /"normalizers" of Sequence is null, not a list/],
    ['an unknown pre-tokenizer', pre({ type: 'Cleaver' }), /the pre-tokenizer "Cleaver" is not known/],
    ['an unknown decoder', dec({ type: 'Oracle' }), /the decoder "Oracle" is not known/],
    ['an unknown post-processor', post({ type: 'Glue' }), /the post-processor "Glue" is not known/],
    ['a template without the text', post({ type: 'TemplateProcessing', single: [] }), /lacks the text/],
    [
      'a template with the text twice',
      post({
        type: 'TemplateProcessing',
        single: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      }),
      /must have it once, as "A"/,
    ],
    ['a missing flag', norm({ type: 'BertNormalizer', clean_text: true }), /"handle_chinese_chars" of BertNormalizer/],
    [
      'a flag that is none',
      norm({ type: 'Strip', strip_left: 1, strip_right: true }),
      /"strip_left" of Strip is 1, not/,
    ],
    ['a Prepend of nothing', norm({ type: 'Prepend' }), /"prepend" of Prepend is null, not a string/],
    ['a Replace without a pattern', norm({ type: 'Replace', content: '' }), /a Replace has no pattern/],
    [
      'an invalid pattern',
      norm({ type: 'Replace', content: '', pattern: { Regex: '(' } }),
      /pattern "\(" cannot be used/,
    ],
    [
      'an invalid Split',
      pre({ type: 'Split', behavior: 'Removed', pattern: { Regex: '[' } }),
      /pattern "\[" cannot be/,
    ],
    ['a Split behavior', pre({ type: 'Split', behavior: 'Sideways', pattern: { String: 'a' } }), /behavior "Sideways"/],
    ['a delimiter of two', pre({ type: 'CharDelimiterSplit', delimiter: 'ab' }), /"delimiter" .* not one character/],
    ['a length of 0', pre({ type: 'FixedLength', length: 0 }), /pieces of 0 characters/],
    ['a length of half', pre({ type: 'FixedLength', length: 1.5 }), /"length" of FixedLength is 1.5/],
    [
      'a scheme',
      pre({ ...metaspace, prepend_scheme: 'twice' }),
      /prepend_scheme "twice" is not first, never or always/,
    ],
    ['a Strip of two', dec({ type: 'Strip', content: '', start: 1, stop: 0 }), /"content" of Strip is "", not one/],
    ['a damaged charsmap', norm({ type: 'Precompiled', precompiled_charsmap: 'AAAA' }), /./],
    ['an id twice', file({}, { ...words, vocab: { a: 0, b: 0 } }), /"a" and "b" have the same id, 0/],
    ['a vocabulary of nothing', file({}, { ...words, vocab: {} }), /the vocabulary is empty/],
    ['a vocabulary that is none', file({}, { ...words, vocab: [] }), /has no "vocab"/],
    ['an id out of all bounds', file({}, { ...words, vocab: { a: 2 ** 31 } }), /cannot be right/],
    [
      'an added token with the id of another',
      file({ added_tokens: [{ id: 1, content: '<x>' }] }, words),
      /"<x>" and "b" have the same id, 1/,
    ],
    [
      'an added token with two ids',
      file({ added_tokens: [{ id: 5, content: 'b' }] }, words),
      /id 1 in the model and 5/,
    ],
    [
      'a limit that is none',
      file({}, { ...words, type: 'WordPiece', max_input_chars_per_word: -1 }),
      /max_input_chars/,
    ],
    [
      'a prefix that is none',
      bpe({ end_of_word_suffix: '$', continuing_subword_prefix: 3 }),
      /_prefix" is 3, not a string/,
    ],
    ['a dropout beyond 1', bpe({ dropout: 2 }), /dropout is 2, not a probability/],
    ['no merges', bpe({ byte_fallback: true, merges: null }), /no list of "merges"/],
    ['a merge of a missing token', bpe({ byte_fallback: true, merges: ['a x'] }), /needs the token "x"/],
    ['a merge into a missing token', bpe({ byte_fallback: true, merges: ['b b'] }), /needs the token "bb"/],
    ['pieces that are none', file({}, unigram({ vocab: [['a']] })), /piece 0, \["a"\], is not a token and its log/],
    ['no pieces', file({}, unigram({ vocab: [] })), /the vocabulary is empty/],
    ['an unknown piece that is none', file({}, unigram({ unk_id: 99 })), /unk_id is 99, and its 19 pieces/],
  ])('%s', (_, json, message) => {
    expect(() => loadTokenizer(json)).toThrow(message);
    expect(() => loadTokenizer(json)).toThrow(expect.objectContaining({ name: 'TesseraError' }));
  });

  it('or, where a text needs what the vocabulary lacks, when that text comes', () => {
    const missing = { ...words, unk_token: '?' };
    const tokenizer = loadTokenizer(file({ pre_tokenizer: { type: 'Whitespace' } }, missing));
    expect([...tokenizer.encode('a b')]).toEqual([0, 1]);
    expect(() => tokenizer.encode('a c')).toThrow(/No token stands for "c"/);
    expect([...tokenizer.encode('b a')]).toEqual([1, 0]);
    expect(() => loadTokenizer(bpe({ byte_fallback: true, unk_token: '?' })).encode('c')).toThrow(
      /lacks the unknown token "\?"/,
    );
    expect(() => tokenizer.decode([2])).toThrow(/No token has the id 2/);
    expect(() => tokenizer.createDecoder().push(-1)).toThrow(/No token has the id -1/);
  });
});

describe('what a tokenizer says of itself', () => {
  it('has the name of its model, and says when text may not come back', () => {
    const byteLevel: JsonObject = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
    const digits: JsonObject = { type: 'Digits', individual_digits: true };
    const vocab = Object.fromEntries(
      Array.from({ length: 324 }, (_, i) => String.fromCharCode(i + 1)).map((character, id) => [character, id]),
    );
    const starcoder = loadTokenizer(
      file(
        { pre_tokenizer: { type: 'Sequence', pretokenizers: [digits, byteLevel] }, decoder: byteLevel },
        { type: 'BPE', vocab, merges: [] },
      ),
    );
    expect(starcoder.lossy).toBe(false);
    expect(starcoder.name).toBe('bpe');
    const any = Uint8Array.from({ length: 256 }, (_, i) => 255 - i);
    expect(starcoder.decodeBytes(starcoder.encodeBytes(any))).toEqual(any);
    const lossy = loadTokenizer(file({ pre_tokenizer: { type: 'Whitespace' } }, words));
    expect(lossy.lossy).toBe(true);
    expect(lossy.name).toBe('wordlevel');
    expect(lossy.vocabulary.id('b')).toBe(1);
    expect(new TextDecoder().decode(lossy.vocabulary.token(1))).toBe('b');
    lossy.clearCache();
    expect([...lossy.encode('b')]).toEqual([1]);
  });

  it('reads special tokens as text when asked to', () => {
    const tokenizer = loadTokenizer(file({ added_tokens: [{ id: 256, content: '<s>', special: true }] }));
    expect([...tokenizer.encode('<s>')]).toEqual([256]);
    expect(tokenizer.encode('<s>', { parseSpecialTokens: false })).toHaveLength(5);
  });

  it('keeps truncation and padding, and the components as they were', () => {
    const json = file({ truncation: { max_length: 3 }, padding: { pad_id: 0 }, decoder: metaspace }, words);
    expect(JSON.parse(loadTokenizer(json).save()[0]?.text ?? '')).toEqual(json);
  });
});
