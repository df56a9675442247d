import type { Json, JsonObject } from 'tessera-kit/formats';
import { describe, it } from 'vitest';
import { expectSame, file } from './native.js';

const sequence = (list: string, ...parts: readonly JsonObject[]): JsonObject => ({ type: 'Sequence', [list]: parts });
const bert = (clean: boolean, chinese: boolean, accents: boolean | null, lower: boolean): JsonObject => ({
  type: 'BertNormalizer',
  clean_text: clean,
  handle_chinese_chars: chinese,
  strip_accents: accents,
  lowercase: lower,
});
const replace = (pattern: Json, content: string): JsonObject => ({ type: 'Replace', pattern, content });

describe('a normalizer gives what the native library gives', () => {
  it.each<[string, JsonObject]>([
    ['BertNormalizer, all of it', bert(true, true, null, true)],
    ['BertNormalizer, cleaning', bert(true, false, false, false)],
    ['BertNormalizer, Chinese', bert(false, true, null, false)],
    ['BertNormalizer, accents', bert(false, false, true, false)],
    ['BertNormalizer, lower case with accents', bert(false, false, false, true)],
    ['NFC', { type: 'NFC' }],
    ['NFD', { type: 'NFD' }],
    ['NFKC', { type: 'NFKC' }],
    ['NFKD', { type: 'NFKD' }],
    ['Lowercase', { type: 'Lowercase' }],
    ['Strip', { type: 'Strip', strip_left: true, strip_right: true }],
    ['Strip, left', { type: 'Strip', strip_left: true, strip_right: false }],
    ['Strip, right', { type: 'Strip', strip_left: false, strip_right: true }],
    ['StripAccents', { type: 'StripAccents' }],
    ['NFD and StripAccents', sequence('normalizers', { type: 'NFD' }, { type: 'StripAccents' })],
    ['Replace of a string', replace({ String: 'a' }, '$&aa')],
    ['Replace of spaces', replace({ String: ' ' }, '▁')],
    ['Replace of a longer string', replace({ String: '▁▁' }, '▁')],
    ['Replace by nothing', replace({ String: 'é' }, '')],
    ['Replace of a pattern', replace({ Regex: '\\s+' }, '_')],
    ['Replace of what may be empty', replace({ Regex: 'a*' }, '-')],
    ['Prepend', { type: 'Prepend', prepend: '▁x' }],
    ['Nmt', { type: 'Nmt' }],
    ['ByteLevel', { type: 'ByteLevel' }],
    ['an empty Sequence', sequence('normalizers')],
    [
      'a Sequence in a Sequence',
      sequence('normalizers', { type: 'Prepend', prepend: 'Á' }, sequence('normalizers', bert(true, true, null, true))),
    ],
  ])('%s', (_, normalizer) => expectSame(file({ normalizer })));
});

const split = (pattern: Json, behavior: string, invert = false): JsonObject => ({
  type: 'Split',
  pattern,
  behavior,
  invert,
});
const byteLevel = (space: boolean, regex: boolean): JsonObject => ({
  type: 'ByteLevel',
  add_prefix_space: space,
  trim_offsets: true,
  use_regex: regex,
});
const metaspace = (scheme: string, splits: boolean, replacement = '▁'): JsonObject => ({
  type: 'Metaspace',
  replacement,
  prepend_scheme: scheme,
  split: splits,
});
const BEHAVIORS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'];

describe('a pre-tokenizer cuts as the native library cuts', () => {
  it.each<[string, JsonObject]>([
    ['BertPreTokenizer', { type: 'BertPreTokenizer' }],
    ['Whitespace', { type: 'Whitespace' }],
    ['WhitespaceSplit', { type: 'WhitespaceSplit' }],
    ['Digits', { type: 'Digits', individual_digits: false }],
    ['Digits, one by one', { type: 'Digits', individual_digits: true }],
    ['CharDelimiterSplit', { type: 'CharDelimiterSplit', delimiter: 'a' }],
    ['UnicodeScripts', { type: 'UnicodeScripts' }],
    ['FixedLength', { type: 'FixedLength', length: 3 }],
    ...[true, false].flatMap((space): [string, JsonObject][] => [
      [`ByteLevel, ${space}, with its pattern`, byteLevel(space, true)],
      [`ByteLevel, ${space}, whole`, byteLevel(space, false)],
    ]),
    ...['first', 'never', 'always'].flatMap((scheme): [string, JsonObject][] => [
      [`Metaspace, ${scheme}`, metaspace(scheme, true)],
      [`Metaspace, ${scheme}, whole`, metaspace(scheme, false)],
    ]),
    ['Metaspace with another mark', metaspace('always', true, '_')],
    ['Metaspace of old', { type: 'Metaspace', replacement: '▁', add_prefix_space: true }],
    ['Punctuation', { type: 'Punctuation' }],
    ...BEHAVIORS.flatMap((behavior): [string, JsonObject][] => [
      [`Punctuation, ${behavior}`, { type: 'Punctuation', behavior }],
      [`Split at a string, ${behavior}`, split({ String: 'a' }, behavior)],
      [`Split at a string, ${behavior}, inverted`, split({ String: ' ' }, behavior, true)],
      [`Split at a pattern, ${behavior}`, split({ Regex: '\\s+|\\d' }, behavior)],
      [`Split at a pattern, ${behavior}, inverted`, split({ Regex: '\\p{L}+' }, behavior, true)],
      [`Split at what may be empty, ${behavior}`, split({ Regex: 'a*' }, behavior)],
      [`Split at nothing, ${behavior}`, split({ String: '' }, behavior)],
    ]),
    [
      'a Sequence',
      sequence(
        'pretokenizers',
        { type: 'WhitespaceSplit' },
        { type: 'Punctuation' },
        { type: 'Digits', individual_digits: true },
      ),
    ],
    ['ByteLevel within', sequence('pretokenizers', byteLevel(true, true), { type: 'Digits', individual_digits: true })],
    ['ByteLevel twice', sequence('pretokenizers', byteLevel(true, true), byteLevel(false, false))],
    ['Metaspace after Whitespace', sequence('pretokenizers', { type: 'WhitespaceSplit' }, metaspace('always', true))],
    [
      'Metaspace first after Whitespace',
      sequence('pretokenizers', { type: 'WhitespaceSplit' }, metaspace('first', true)),
    ],
    ['BERT and scripts', sequence('pretokenizers', { type: 'BertPreTokenizer' }, { type: 'UnicodeScripts' })],
    ['Whitespace and more', sequence('pretokenizers', { type: 'Whitespace' }, { type: 'FixedLength', length: 2 })],
    ['an empty Sequence', sequence('pretokenizers')],
  ])('%s', (_, pre) => expectSame(file({ pre_tokenizer: pre }), { numRuns: 120, decodes: false }));
});
