import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Tokenizer as Native } from '@anush008/tokenizers';
import { random } from 'tessera-kit/tensor';
import { sentencePieceToJson, sentencePieceTokenizer } from 'tessera-kit/tokenizers';
import { describe, expect, it } from 'vitest';
import { BYTES, USUAL, type WrittenModel, writeCharsmap, writeModel } from './sentencepiece-writer.js';
import { drawer } from './texts.js';

const normal = (...pieces: (readonly [string, number])[]) => pieces.map(([piece, score]) => ({ piece, score }));

const UNIGRAM: WrittenModel = {
  pieces: [
    ...USUAL,
    { piece: '<sep>', type: 4 },
    ...normal(['▁', -2], ['▁a', -3], ['a', -2.5], ['b', -3], ['ab', -3.25], ['▁ab', -4], ['é', -4], ['fi', -4.5]),
  ],
  charsmap: writeCharsmap({ '\t': ' ', ﬁ: 'fi', 'e\u0301': 'é' }),
};
const BPE: WrittenModel = {
  type: 'bpe',
  byteFallback: true,
  removeExtraWhitespaces: false,
  pieces: [
    ...USUAL,
    ...BYTES,
    ...normal(
      ['ab', -1],
      ['▁ab', -2],
      ['▁a', -3],
      ['éa', -4],
      ['▁', -5],
      ['a', -6],
      ['b', -7],
      ['é', -8],
      ['▁▁', -2.5],
    ),
  ],
};
const TEXTS = ['', ' ', 'a', 'ab  ab', ' ab ab b ', 'e\u0301a ab\tﬁ', 'xy ab 中', 'b'.repeat(300), '\n', '▁a', '   ab'];

const ids = (model: WrittenModel, text: string) => [...sentencePieceTokenizer(writeModel(model)).encode(text)];
const texts = (model: WrittenModel, text: string) => {
  const tokenizer = sentencePieceTokenizer(writeModel(model));
  return Array.from(tokenizer.encode(text), (id) => model.pieces[id]?.piece ?? '');
};

describe('a .model file', () => {
  it('is read as a unigram model', () => {
    expect(texts(UNIGRAM, 'ab aé')).toEqual(['▁ab', '▁a', 'é']);
    expect(texts(UNIGRAM, '  a\t\tﬁ<sep>b  ')).toEqual(['▁a', '▁', 'fi', '<sep>', 'b']);
    expect(texts(UNIGRAM, 'xyz')).toEqual(['▁', '<unk>']);
    expect(texts(UNIGRAM, '<s>a')).toEqual(['▁', '<unk>', 'a']);
    expect(ids(UNIGRAM, '   ')).toEqual([]);
    const tokenizer = sentencePieceTokenizer(writeModel(UNIGRAM));
    expect(tokenizer.name).toBe('unigram');
    expect(tokenizer.decode(tokenizer.encode('  ab   xa '))).toBe('ab  \u2047 a');
    expect(tokenizer.decode(tokenizer.encode('xa'), { skipSpecialTokens: true })).toBe('a');
    expect([tokenizer.endOfText, tokenizer.special.get('<s>'), tokenizer.vocabulary.id(' ab')]).toEqual([2, 1, 9]);
    expect(new TextDecoder().decode(tokenizer.vocabulary.token(9))).toBe(' ab');
    expect(new TextDecoder().decode(tokenizer.vocabulary.token(2))).toBe('</s>');
    expect(() => tokenizer.decode([99])).toThrow(/No token has the id 99/);
  });

  it('is read as BPE with byte fallback', () => {
    expect(texts(BPE, 'ab  ab')).toEqual(['▁ab', '▁', '▁ab']);
    expect(texts(BPE, 'é  b')).toEqual(['▁', 'é', '▁▁', 'b']);
    expect(texts(BPE, 'x')).toEqual(['▁', '<0x78>']);
    expect(texts(BPE, 'éa中')).toEqual(['▁', 'éa', '<0xE4>', '<0xB8>', '<0xAD>']);
    const tokenizer = sentencePieceTokenizer(writeModel(BPE), { beginsText: true });
    for (const text of TEXTS) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.replaceAll('▁', ' '));
    expect([...tokenizer.encode('a', { addSpecialTokens: true })]).toEqual([1, ...tokenizer.encode('a')]);
    // A byte that is no character is U+FFFD, each one.
    expect(tokenizer.decode(tokenizer.encode('中').slice(0, 3))).toBe('\ufffd\ufffd');
    // A control piece parts the bytes around it.
    const [first, second] = [USUAL.length + 0xc3, USUAL.length + 0xa9];
    expect(tokenizer.decode([first, second])).toBe('é');
    expect(tokenizer.decode([first, 1, second])).toBe('\ufffd\ufffd');
    const parted = tokenizer.createDecoder();
    expect([parted.pushText(first), parted.pushText(1), parted.pushText(second)]).toEqual(['', '\ufffd', '\ufffd']);
    const stream = tokenizer.createDecoder();
    const parts = Array.from(tokenizer.encode(' 中ab'), (id) => stream.pushText(id));
    expect([parts.join('') + stream.flushText(), parts[0]]).toEqual([' 中ab', ' ']);
  });

  it('merges the highest score first and the leftmost of equals, a long word as a short one', () => {
    const pieces = [...USUAL, ...normal(['▁', -9], ['a', -9], ['b', -9], ['ab', 0], ['ba', 0], ['aba', -1])];
    const model: WrittenModel = { type: 'bpe', pieces };
    expect(texts(model, 'babab')).toEqual(['▁', 'ba', 'ba', 'b']);
    expect(texts(model, 'ab'.repeat(40))).toEqual(['▁', ...Array.from({ length: 40 }, () => 'ab')]);
    const user: WrittenModel = { type: 'bpe', pieces: [...pieces, { piece: 'bb', type: 4 }] };
    expect(texts(user, 'abbab')).toEqual(['▁', 'a', 'bb', 'ab']);
  });

  it('follows the specification of its normalizer', () => {
    expect(texts({ ...UNIGRAM, addDummyPrefix: false }, 'ab a')).toEqual(['ab', '▁a']);
    expect(texts({ ...UNIGRAM, removeExtraWhitespaces: false }, ' a ')).toEqual(['▁', '▁a', '▁']);
    const suffix: WrittenModel = {
      pieces: [...USUAL, ...normal(['a▁', -1], ['a', -2], ['▁', -3])],
      whitespaceAsSuffix: true,
    };
    expect(texts(suffix, 'a aa')).toEqual(['a▁', 'a', 'a▁']);
    expect(texts({ ...suffix, type: 'bpe' }, 'a aa')).toEqual(['a▁', 'a', 'a▁']);
    const plain: WrittenModel = { pieces: [...USUAL, ...normal([' a', -1], ['a', -2])], escapeWhitespaces: false };
    expect(texts(plain, 'a a')).toEqual([' a', ' a']);
    const surface = sentencePieceTokenizer(writeModel({ ...UNIGRAM, unknownSurface: '?' }));
    expect(surface.decode([0])).toBe('?');
  });

  it('samples where it is asked to', () => {
    const tokenizer = sentencePieceTokenizer(writeModel(UNIGRAM), { alpha: 0.3 });
    const drawn = new Set(
      Array.from({ length: 50 }, (_, i) => tokenizer.encode('ab ab', { random: random(i) }).join()),
    );
    expect(drawn.size).toBeGreaterThan(5);
    for (const each of drawn) expect(tokenizer.decode(each.split(',').map(Number))).toBe('ab ab');
    expect(tokenizer.encode('ab ab', { random: random(4) })).toEqual(tokenizer.encode('ab ab', { random: random(4) }));
    expect(tokenizer.encode('ab ab')).toEqual(sentencePieceTokenizer(writeModel(UNIGRAM)).encode('ab ab'));
  });

  it.each([
    ['unigram', UNIGRAM],
    ['bpe', BPE],
  ] as const)('is converted to a tokenizer.json for the native library: %s', async (_, model) => {
    const file = writeModel(model);
    const tokenizer = sentencePieceTokenizer(file, { endsText: true });
    const native = Native.fromString(tokenizer.save()[0]?.text ?? '');
    for (const text of TEXTS.filter((each) => !each.includes('▁'))) {
      const encoded = await native.encode(text, null, { addSpecialTokens: true });
      const ours = tokenizer.encode(text, { addSpecialTokens: true });
      expect([...encoded.getIds()], JSON.stringify(text)).toEqual([...ours]);
      expect(await native.decode([...tokenizer.encode(text)], false)).toBe(tokenizer.decode(tokenizer.encode(text)));
    }
  });

  it('is not converted where a tokenizer.json cannot say the same', () => {
    const refuses = (model: WrittenModel) => (reason: RegExp) =>
      expect(() => sentencePieceToJson(writeModel(model))).toThrow(reason);
    refuses({ ...UNIGRAM, whitespaceAsSuffix: true })(/treat_whitespace_as_suffix/);
    refuses({ ...UNIGRAM, escapeWhitespaces: false })(/escape_whitespaces/);
    refuses({ type: 'bpe', pieces: [...USUAL, ...normal(['a', -1], ['b', -1], ['ab', 0], ['ba', 0])] })(/equal scores/);
    refuses({ type: 'bpe', pieces: [...USUAL, ...normal(['a', -1], ['ab', 0])] })(/"b" is in a piece/);
  });

  it('says what is wrong with it', () => {
    const open = (model: WrittenModel) => () => sentencePieceTokenizer(writeModel(model), { where: 'x.model' });
    expect(open({ pieces: [] })).toThrow(/^x\.model cannot be read as a SentencePiece model: it has no pieces/);
    expect(open({ pieces: normal(['a', 0]) })).toThrow(/no unknown piece/);
    expect(open({ pieces: [...USUAL, ...USUAL] })).toThrow(/there twice/);
    expect(open({ pieces: [...USUAL, ...BYTES] })).toThrow(/no byte fallback/);
    expect(open({ pieces: USUAL, byteFallback: true })).toThrow(/0 bytes of 256/);
    expect(open({ pieces: [...USUAL, ...normal(['a', Number.NaN])] })).toThrow(/no number for a score/);
    expect(open({ type: 'bpe', pieces: [...USUAL, ...normal(['a'.repeat(1025), 0])] })).toThrow(
      /a piece of 1025 bytes/,
    );
    expect(() => sentencePieceTokenizer(Uint8Array.of(0x1a, 0xff))).toThrow(/ends within a number/);
  });

  it('merges deep chains of pieces that make way for better ones', () => {
    const pieces = Array.from({ length: 400 }, (_, i) => ({ piece: 'a'.repeat(i + 1), score: i }));
    const tokenizer = sentencePieceTokenizer(writeModel({ type: 'bpe', pieces: [...USUAL, ...pieces] }));
    expect(tokenizer.encode('a'.repeat(100_000)).length).toBe(251);
  });

  it.each([
    ['unigram', UNIGRAM],
    ['bpe', BPE],
  ] as const)('takes no harm from damage: %s', (_, model) => {
    const file = writeModel(model);
    const draw = drawer(5);
    let opened = 0;
    let refused = 0;
    const attempt = (bytes: Uint8Array): void => {
      try {
        const tokenizer = sentencePieceTokenizer(bytes);
        for (const text of TEXTS) tokenizer.decode(tokenizer.encode(text));
        opened++;
      } catch (error) {
        expect(error).toMatchObject({ name: 'TesseraError' });
        refused++;
      }
    };
    for (let i = 0; i < 60; i++) attempt(file.subarray(0, draw(file.length)));
    for (let i = 0; i < 120; i++) {
      const copy = file.slice();
      const place = draw(copy.length);
      copy[place] = (copy[place] ?? 0) ^ (1 << draw(8));
      attempt(copy);
    }
    expect(refused).toBeGreaterThan(20);
    expect(opened).toBeGreaterThan(0);
  });
});

describe('recorded ids and texts of the library', () => {
  const folder = join(process.env.TESSERA_DATA ?? 'data', 'tokenizers');
  it.skipIf(!existsSync(folder)).each([
    ['llama2.sentencepiece', 'llama2/tokenizer.model'],
    ['sp-test-en.sentencepiece', 'sentencepiece-test/test_model.model'],
    ['sp-test-ja.sentencepiece', 'sentencepiece-test/test_ja_model.model'],
  ])('are those of %s (set TESSERA_DATA)', (reference, model) => {
    const tokenizer = sentencePieceTokenizer(readFileSync(join(folder, model)));
    const lines = gunzipSync(readFileSync(join(folder, 'reference', `${reference}.jsonl.gz`))).toString();
    for (const line of lines.trim().split('\n')) {
      const { text, ids: expected, decoded } = JSON.parse(line) as { text: string; ids: number[]; decoded: string };
      expect([...tokenizer.encode(text)], text).toEqual(expected);
      expect(tokenizer.decode(expected)).toBe(decoded);
    }
  });
});
