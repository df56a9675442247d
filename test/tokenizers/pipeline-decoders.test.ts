import type { Json, JsonObject } from 'tessera-kit/formats';
import { loadTokenizer } from 'tessera-kit/tokenizers';
import { describe, expect, it } from 'vitest';
import { expectSame, file, SHOWING } from './native.js';

const tokens = [
  ...[
    '<pad>',
    '|',
    'hello',
    '##lo',
    '##',
    ' ',
    '  ',
    '▁',
    '▁the',
    'a▁b',
    '▁▁',
    '.',
    '?',
    ' !',
    ' ,',
    "'",
    " ' ",
    'n',
    "n't",
    "'m",
  ],
  ...[
    "'s",
    "'ve",
    "'re",
    'do not',
    ' do not',
    'not',
    'do',
    '</w>',
    'end</w>',
    'a</w>b',
    'é',
    'Ġworld',
    'ÃĦ',
    'Ã',
    '©',
    'Ĥ',
    'x',
    'xx',
  ],
  ...[
    '<0xC3>',
    '<0xA9>',
    '<0xE4>',
    '<0xB8>',
    '<0xAD>',
    '<0x41>',
    '<0xFF>',
    '<0x0a>',
    '<0xZZ>',
    '<0x+1>',
    '中',
    '😀',
    'aaa',
    '<s>',
    '</s>',
  ],
];
const model: JsonObject = {
  type: 'WordLevel',
  unk_token: '<pad>',
  vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
};
const added: Json = ['<s>', '</s>'].map((content) => ({
  id: tokens.indexOf(content),
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
}));

const byteLevel: JsonObject = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true };
const replace = (pattern: Json, content: string): JsonObject => ({ type: 'Replace', pattern, content });
const strip = (content: string, start: number, stop: number): JsonObject => ({ type: 'Strip', content, start, stop });
const wordPiece = (cleanup: boolean): JsonObject => ({ type: 'WordPiece', prefix: '##', cleanup });
const metaspace = (scheme: string): JsonObject => ({
  type: 'Metaspace',
  replacement: '▁',
  prepend_scheme: scheme,
  split: true,
});
const ctc = (cleanup: boolean): JsonObject => ({ type: 'CTC', pad_token: '<pad>', word_delimiter_token: '|', cleanup });
const fallback: JsonObject = { type: 'ByteFallback' };
const fuse: JsonObject = { type: 'Fuse' };
const suffix: JsonObject = { type: 'BPEDecoder', suffix: '</w>' };
const sequence = (...decoders: readonly JsonObject[]): JsonObject => ({ type: 'Sequence', decoders });

describe('a decoder gives the text that the native library gives, whole and as a stream', () => {
  it.each<[string, JsonObject | null]>([
    ['none', null],
    ['ByteLevel', byteLevel],
    ['WordPiece', wordPiece(false)],
    ['WordPiece, cleaned up', wordPiece(true)],
    ['Metaspace', metaspace('always')],
    ['Metaspace, first', metaspace('first')],
    ['Metaspace, never', metaspace('never')],
    ['BPEDecoder', suffix],
    ['ByteFallback', fallback],
    ['Fuse', fuse],
    ['Strip, left', strip('x', 1, 0)],
    ['Strip, right', strip('x', 0, 1)],
    ['Strip of none', strip(' ', 0, 0)],
    ['Replace of a string', replace({ String: '▁' }, ' ')],
    ['Replace of a pattern', replace({ Regex: '[aeo]+' }, '$&')],
    ['CTC', ctc(false)],
    ['CTC, cleaned up', ctc(true)],
    ['as in Llama 2', sequence(replace({ String: '▁' }, ' '), fallback, fuse, strip(' ', 1, 0))],
    ['Strip of a text', sequence(fuse, strip('a', 2, 0))],
    ['Replace in a text', sequence(fuse, replace({ String: 'a' }, 'bb'))],
    ['Replace of more in a text', sequence(fuse, replace({ String: 'aaa' }, 'b'))],
    ['Replace of a pattern in a text', sequence(fuse, replace({ Regex: '\\s+' }, ' '))],
    ['WordPiece in a text', sequence(fuse, wordPiece(true))],
    ['Metaspace in a text', sequence(fuse, metaspace('always'))],
    ['BPEDecoder in a text', sequence(fuse, suffix)],
    ['ByteFallback in a text', sequence(fuse, fallback)],
    ['CTC in a text', sequence(fuse, ctc(true))],
    ['ByteLevel and Fuse', sequence(byteLevel, fuse)],
    ['ByteLevel after a replacement', sequence(replace({ String: 'x' }, 'Ġ'), byteLevel)],
    ['ByteLevel twice', sequence(byteLevel, byteLevel)],
    ['Strip behind ByteLevel', sequence(byteLevel, strip('h', 1, 0))],
    ['an empty Sequence', sequence()],
  ])('%s', (_, decoder) => expectSame(file({ decoder, added_tokens: added }, model), { ids: false, numRuns: 400 }));

  it('passes on what later tokens cannot change, and no more', () => {
    const bytes = loadTokenizer(
      file({ decoder: sequence(replace({ String: '▁' }, ' '), fallback, fuse, strip(' ', 1, 0)) }, model),
    );
    const decoder = bytes.createDecoder();
    const push = (token: string): string => decoder.pushText(tokens.indexOf(token));
    expect(['▁the', '▁', '<0xC3>', '<0xA9>', 'x'].map(push)).toEqual(['the', ' ', '', '', 'éx']);
    expect(push('<0xFF>') + decoder.flushText()).toBe('\ufffd');
    expect(push('▁the')).toBe('the');
  });

  it('strips the end of a text, too', () => {
    const tokenizer = loadTokenizer(file({ decoder: sequence(fuse, strip('x', 1, 2)) }, model));
    const ids = ['xx', 'hello', 'x', 'xx'].map((token) => tokens.indexOf(token));
    expect(tokenizer.decode(ids)).toBe('xhellox');
    expect(tokenizer.decode(ids.slice(2, 3))).toBe('');
    const decoder = tokenizer.createDecoder();
    expect(ids.map((id) => decoder.pushText(id)).join('') + decoder.flushText()).toBe('xhellox');
  });

  it('keeps bytes that are not UTF-8 where the tokens are bytes', () => {
    const tokenizer = loadTokenizer(file({ decoder: byteLevel }, model));
    expect([...tokenizer.decodeBytes([tokens.indexOf('Ã')])]).toEqual([0xc3]);
    expect(tokenizer.decode([tokens.indexOf('Ã')])).toBe('\ufffd');
    const showing = loadTokenizer(file({ decoder: fallback }, SHOWING));
    expect(showing.decode([0xc3, 0xa9, 0xff])).toBe('\ufffd\ufffd\ufffd');
  });
});
