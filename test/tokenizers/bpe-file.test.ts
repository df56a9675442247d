import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from 'tessera-kit/formats';
import { byteTokenizer, loadTokenizer, openTokenizer, trainBpe } from 'tessera-kit/tokenizers';
import { describe, expect, it } from 'vitest';
import { CORPUS, drawer } from './texts.js';

const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };

/** A tokenizer.json of five letters, some merges and whatever is given. */
function file(changes: JsonObject = {}, model: JsonObject = {}): JsonObject {
  return {
    version: '1.0',
    added_tokens: [{ id: 9, content: '<|endoftext|>', special: true, normalized: false }],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      vocab: { a: 0, b: 1, c: 2, Ġ: 3, ab: 4, bc: 5, abc: 6, Ġa: 7, é: 8 },
      merges: ['a b', 'b c', 'ab c'],
      ...model,
    },
    ...changes,
  };
}

describe('a tokenizer.json', () => {
  it('merges the pair of lowest rank first', () => {
    const tokenizer = loadTokenizer(file());
    expect([...tokenizer.encode('abc')]).toEqual([6]);
    expect([...tokenizer.encode('bcab')]).toEqual([5, 4]);
    expect([...loadTokenizer(file({}, { merges: ['b c', 'a b', 'ab c'] })).encode('abc')]).toEqual([0, 5]);
  });

  it('merges long words as short ones, whatever the order of the ranks', () => {
    const draw = drawer(3);
    for (let round = 0; round < 60; round++) {
      const tokens = ['a', 'b'];
      const merges: [string, string][] = [];
      while (merges.length < 12) {
        const pair: [string, string] = [tokens[draw(tokens.length)] ?? '', tokens[draw(tokens.length)] ?? ''];
        if (merges.some(([left, right]) => left === pair[0] && right === pair[1])) continue;
        merges.push(pair);
        if (!tokens.includes(pair.join(''))) tokens.push(pair.join(''));
      }
      const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
      merges.sort(() => draw(3) - 1);
      const tokenizer = loadTokenizer(file({ added_tokens: [] }, { vocab, merges }));
      const word = Array.from({ length: 100 }, () => 'ab'[draw(2)]).join('');
      const expected = [...word];
      for (;;) {
        const ranks = expected.map((left, i) =>
          merges.findIndex((merge) => merge[0] === left && merge[1] === expected[i + 1]),
        );
        const best = Math.min(...ranks.map((rank) => (rank === -1 ? 99 : rank)));
        if (best === 99) break;
        expected.splice(ranks.indexOf(best), 2, merges[best]?.join('') ?? '');
      }
      expect([...tokenizer.encode(word)].map((id) => tokenizer.decode([id]))).toEqual(expected);
    }
  });

  it('may have its merges as pairs', () => {
    const tokenizer = loadTokenizer(
      file(
        {},
        {
          merges: [
            ['a', 'b'],
            ['ab', 'c'],
          ],
        },
      ),
    );
    expect([...tokenizer.encode('abcbc')]).toEqual([6, 1, 2]);
    expect(JSON.parse(tokenizer.save()[0]?.text ?? '').model.merges).toEqual([
      ['a', 'b'],
      ['ab', 'c'],
    ]);
  });

  it('may ask for whole words before merges', () => {
    expect([...loadTokenizer(file({}, { merges: [] })).encode('abc')]).toEqual([0, 1, 2]);
    expect([...loadTokenizer(file({}, { merges: [], ignore_merges: true })).encode('abc')]).toEqual([6]);
  });

  it('leaves a byte without a token out, or puts the unknown token there, and says that it is lossy', () => {
    const without = loadTokenizer(file());
    expect([...without.encode('axxb')]).toEqual([4]);
    expect(without.lossy).toBe(true);
    expect([...loadTokenizer(file({}, { unk_token: 'c' })).encode('axxb')]).toEqual([0, 2, 2, 1]);
    expect([...loadTokenizer(file({}, { unk_token: 'c', fuse_unk: true })).encode('axxb')]).toEqual([0, 2, 1]);
  });

  it('may add a space before the text', () => {
    const tokenizer = loadTokenizer(file({ pre_tokenizer: { ...byteLevel, add_prefix_space: true } }));
    expect([...tokenizer.encode('ab')]).toEqual([3, 4]);
    expect([...tokenizer.encode(' ab')]).toEqual([3, 4]);
    expect([...tokenizer.encode('')]).toEqual([]);
  });

  it('may normalize', () => {
    const tokens = { e: 0, Ã: 1, '©': 2, Ì: 3, ģ: 4 };
    const tokenizer = loadTokenizer(
      file({ normalizer: { type: 'NFC' }, added_tokens: [] }, { vocab: tokens, merges: [] }),
    );
    expect([...tokenizer.encode('e\u0301')]).toEqual([1, 2]);
    expect(tokenizer.decode([1, 2])).toBe('é');
  });

  it('keeps added tokens whole, the longest first, and decodes them as they are', () => {
    const added: readonly JsonObject[] = [
      { id: 9, content: '<a>', special: true, normalized: false },
      { id: 10, content: '<a><b>', special: false, normalized: false },
      { id: 11, content: 'é', special: false, normalized: false },
      { id: 12, content: 'cc', special: false, normalized: true, single_word: true },
      { id: 13, content: '<m>', special: true, normalized: false, lstrip: true, rstrip: true },
    ];
    const tokenizer = loadTokenizer(
      file({ added_tokens: added }, { vocab: { a: 0, b: 1, c: 2, Ġ: 3, ab: 4 }, merges: ['a b'] }),
    );
    expect([...tokenizer.encode('ab<a><b><a>ab')]).toEqual([4, 10, 9, 4]);
    expect([...tokenizer.encode('é cc bcc')]).toEqual([11, 3, 12, 3, 1, 2, 2]);
    expect([...tokenizer.encode('a  <m> b')]).toEqual([0, 13, 1]);
    expect(tokenizer.decode([9, 11, 10])).toBe('<a>é<a><b>');
    expect(tokenizer.decode([9, 11, 10], { skipSpecialTokens: true })).toBe('é<a><b>');
  });

  it('reads special tokens as text when asked to', () => {
    const tokenizer = byteTokenizer();
    expect([...tokenizer.encode('<|endoftext|>')]).toEqual([256]);
    expect(tokenizer.encode('<|endoftext|>', { parseSpecialTokens: false })).toHaveLength(13);
  });

  it('adds what the post-processor adds when asked to', () => {
    const template: JsonObject = {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: 'x', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { x: { id: 'x', ids: [9], tokens: ['x'] } },
    };
    const processor: JsonObject = {
      type: 'Sequence',
      processors: [{ type: 'ByteLevel', trim_offsets: false }, template],
    };
    const tokenizer = loadTokenizer(file({ post_processor: processor }));
    expect([...tokenizer.encode('ab', { addSpecialTokens: true })]).toEqual([9, 4]);
    expect([...tokenizer.encode('ab')]).toEqual([4]);
    const roberta = { type: 'RobertaProcessing', sep: ['c', 2], cls: ['a', 0] };
    expect([...loadTokenizer(file({ post_processor: roberta })).encode('b', { addSpecialTokens: true })]).toEqual([
      0, 1, 2,
    ]);
  });

  it('is written again with everything that it said', () => {
    const whole = file({
      truncation: { direction: 'Right', max_length: 8, strategy: 'LongestFirst', stride: 0 },
      normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }] },
      post_processor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false },
    });
    const written = JSON.parse(loadTokenizer(whole).save()[0]?.text ?? '');
    expect(written).toMatchObject(whole);
    expect(loadTokenizer(written).save()).toEqual(loadTokenizer(whole).save());
  });

  it('keeps the configuration beside it', () => {
    const config = { eos_token: { content: '<|endoftext|>' }, chat_template: '{{ messages }}', model_max_length: 7 };
    const tokenizer = loadTokenizer(file(), { config });
    expect(tokenizer.endOfText).toBe(9);
    const saved = tokenizer.save({ maxLength: 64, config: { add_bos_token: true } })[1]?.text ?? '';
    expect(JSON.parse(saved)).toEqual({ ...config, model_max_length: 64, add_bos_token: true });
  });
});

describe('a tokenizer that cannot be read', () => {
  const split = (part: JsonObject) => ({ pre_tokenizer: { type: 'Sequence', pretokenizers: [part, byteLevel] } });
  const regex = { Regex: 'a' };
  it.each<[string, string | JsonObject, RegExp]>([
    ['broken JSON', '{"model": ', /not valid JSON/],
    ['something else than an object', '[1]', /must hold a JSON object/],
    ['no model', {}, /has no "model"/],
    ['another model', file({}, { type: 'Polygram' }), /the model "Polygram"/],
    ['no vocabulary', file({}, { vocab: [] }), /has no "vocab"/],
    ['an empty vocabulary', file({ added_tokens: [] }, { vocab: {}, merges: [] }), /vocabulary is empty/],
    ['an id that is no number', file({}, { vocab: { a: '0' } }), /"a" has the id "0"/],
    ['a negative id', file({}, { vocab: { a: -1 } }), /"a" has the id -1/],
    ['an id twice', file({}, { vocab: { a: 0, b: 0 } }), /"a" and "b" have the same id, 0/],
    ['an id far beyond the others', file({}, { vocab: { a: 2 ** 40 }, merges: [] }), /cannot be right/],
    [
      'an added token with the id of another',
      file({ added_tokens: [{ id: 2, content: '<x>' }] }),
      /"<x>" and "c" have the same id/,
    ],
    ['an added token with two ids', file({ added_tokens: [{ id: 20, content: 'c' }] }), /the id 2 in the model and 20/],
    [
      'an added token twice',
      file({
        added_tokens: [
          { id: 9, content: 'x' },
          { id: 9, content: 'y' },
        ],
      }),
      /there twice/,
    ],
    ['an added token without content', file({ added_tokens: [{ id: 9 }] }), /needs a whole "id" and a "content"/],
    ['no merges', file({}, { merges: null }), /no list of "merges"/],
    ['a merge of a missing token', file({}, { merges: ['a x'] }), /merge 0, "a x", needs the token "x"/],
    ['a merge into a missing token', file({}, { merges: ['a b', 'b b'] }), /merge 1, "b b", needs the token "bb"/],
    ['a merge of three', file({}, { merges: ['a b c'] }), /not two tokens/],
    ['a merge of one', file({}, { merges: [['a']] }), /not two tokens/],
    ['a dropout beyond 1', file({}, { dropout: 1.5 }), /dropout is 1.5, not a probability/],
    ['an unknown normalizer', file({ normalizer: { type: 'Sparkle' } }), /the normalizer "Sparkle"/],
    ['an unknown pre-tokenizer', file(split({ type: 'Cleaver' })), /the pre-tokenizer "Cleaver"/],
    ['an unknown behavior', file(split({ type: 'Split', pattern: regex, behavior: 'Sideways' })), /"Sideways"/],
    [
      'a pattern that is none',
      file(split({ type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated' })),
      /pattern "\("/,
    ],
    ['no pattern', file(split({ type: 'Split', behavior: 'Isolated' })), /has no pattern/],
    ['an unknown post-processor', file({ post_processor: { type: 'Glue' } }), /the post-processor "Glue"/],
    [
      'a template without ids',
      file({ post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: 'x' } }] } }),
      /"x" has no ids/,
    ],
    ['an unknown decoder', file({ decoder: { type: 'Oracle' } }), /the decoder "Oracle"/],
  ])('says so: %s', (_, json, message) => {
    expect(() => loadTokenizer(json)).toThrow(message);
    expect(() => loadTokenizer(json)).toThrow(expect.objectContaining({ name: 'TesseraError' }));
  });

  it('has no token for an id out of range', () => {
    const tokenizer = loadTokenizer(file());
    for (const id of [10, -1, 0.5, Number.NaN]) {
      expect(() => tokenizer.decode([0, id])).toThrow(/No token has the id/);
      expect(() => tokenizer.createDecoder().push(id)).toThrow(/No token has the id/);
      expect(() => tokenizer.vocabulary.token(id)).toThrow(/the vocabulary has 10 ids/);
    }
  });
});

describe('openTokenizer', () => {
  it('opens a file, a folder and the byte tokenizer', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tessera-'));
    try {
      const { tokenizer } = await trainBpe(CORPUS, { vocabularySize: 300 });
      for (const { file: name, text } of tokenizer.save({ maxLength: 99 })) await writeFile(join(folder, name), text);
      const opened = await openTokenizer(folder);
      expect(opened.save()).toEqual(tokenizer.save({ maxLength: 99 }));
      expect((await openTokenizer(join(folder, 'tokenizer.json'))).save()).toEqual(opened.save());
      expect((await openTokenizer('bytes')).name).toBe('bytes');
      await expect(openTokenizer(join(folder, 'none.json'))).rejects.toMatchObject({ code: 'not-found' });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
