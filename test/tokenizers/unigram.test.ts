import { Tokenizer as Native } from '@anush008/tokenizers';
import { random } from 'tessera-kit/tensor';
import { describe, expect, it } from 'vitest';
import { type UnigramModel, unigramModel } from '../../dist/tokenizers/unigram.js';
import { nBestSegmentations, sampledUnigram } from '../../dist/tokenizers/unigram-lattice.js';
import { tokenTable } from '../../dist/tokenizers/vocabulary.js';
import { file } from './native.js';
import { BYTES } from './sentencepiece-writer.js';
import { drawer } from './texts.js';

const utf8 = new TextEncoder();
type Vocabulary = readonly (readonly [string, number])[];

const make = (vocabulary: Vocabulary, options: Partial<Parameters<typeof unigramModel>[0]> = {}): UnigramModel =>
  unigramModel({
    table: tokenTable(vocabulary.map(([piece]) => utf8.encode(piece))),
    scores: vocabulary.map(([, score]) => score),
    unknown: 0,
    ...options,
  });

const encode = ({ merge }: UnigramModel, text: string): number[] => {
  const bytes = utf8.encode(text);
  const out = new Int32Array(bytes.length);
  return [...out.subarray(0, merge(bytes, 0, bytes.length, out, 0))];
};

/** Pieces over a small alphabet; scores are multiples of a half, so that sums are often equal. */
function drawVocabulary(seed: number): Vocabulary {
  const draw = drawer(seed);
  const alphabet = ['a', 'b', 'é', '中', '😀'];
  const pieces = new Set(['a', 'é']);
  while (pieces.size < 40) {
    pieces.add(Array.from({ length: 1 + draw(4) }, () => alphabet[draw(alphabet.length)]).join(''));
  }
  return [['<unk>', 0], ...[...pieces].map((piece) => [piece, -draw(12) / 2] as const)];
}

function drawTexts(seed: number): string[] {
  const draw = drawer(seed);
  const alphabet = ['a', 'b', 'é', '中', '😀', 'x', 'ж', '<unk>', ' '];
  return Array.from({ length: 150 }, () =>
    Array.from({ length: draw(30) }, () => alphabet[draw(alphabet.length)]).join(''),
  );
}

describe('the unigram model', () => {
  it.each([false, true])('gives the ids of the native library, byte fallback %s', async (byteFallback) => {
    for (let seed = 1; seed <= 6; seed++) {
      const vocabulary: Vocabulary = [
        ...drawVocabulary(seed),
        ...(byteFallback ? BYTES.map(({ piece }) => [piece, -20] as const) : []),
      ];
      const first = vocabulary.length - 256;
      const model = make(vocabulary, byteFallback ? { byteIds: Int32Array.from(BYTES, (_, i) => first + i) } : {});
      const native = Native.fromString(
        JSON.stringify(file({}, { type: 'Unigram', unk_id: 0, vocab: vocabulary, byte_fallback: byteFallback })),
      );
      for (const text of drawTexts(seed)) {
        const ids = (await native.encode(text, null, { addSpecialTokens: false })).getIds();
        expect(encode(model, text), JSON.stringify(text)).toEqual([...ids]);
      }
    }
  });

  it('fuses unknown characters, or not', () => {
    const vocabulary: Vocabulary = [
      ['<unk>', 0],
      ['a', -1],
    ];
    expect(encode(make(vocabulary), 'xyaz')).toEqual([0, 1, 0]);
    expect(encode(make(vocabulary, { fuseUnknown: false }), 'xyaz')).toEqual([0, 0, 1, 0]);
    expect(() => encode(make(vocabulary, { unknown: -1 }), 'xa')).toThrow(/No piece stands for "x"/);
  });

  it('reads a long text in linear time', () => {
    const model = make([...drawVocabulary(1), ['a'.repeat(64), -3]]);
    const ids = encode(model, 'a'.repeat(1 << 18));
    expect(ids.length).toBe((1 << 18) / 64);
  });

  const small = make([
    ['<unk>', 0],
    ['a', -1],
    ['b', -2],
    ['ab', -2.5],
    ['ba', -3.5],
  ]);
  /** All segmentations of "aba" and their scores. */
  const all = new Map([
    ['1,2,1', -4],
    ['3,1', -3.5],
    ['1,4', -4.5],
  ]);

  it('finds the n best segmentations', () => {
    const bytes = utf8.encode('xabax');
    const best = nBestSegmentations(small, bytes, 1, 4, 10);
    expect(best.map(({ ids, score }) => [ids.join(), score])).toEqual([...all].sort((a, b) => b[1] - a[1]));
    expect(nBestSegmentations(small, bytes, 1, 4, 1)[0]?.ids).toEqual(Int32Array.of(3, 1));
    expect(() => nBestSegmentations(small, bytes, 1, 4, 0)).toThrow(/ask for 1 to 1024/);
  });

  it.each([0, 0.5, 2])('draws segmentations in proportion to their probability to the power %s', (alpha) => {
    const sample = sampledUnigram(small, alpha);
    const bytes = utf8.encode('aba');
    const out = new Int32Array(3);
    const draw = random(7).stream();
    const counts = new Map<string, number>();
    const rounds = 20_000;
    for (let i = 0; i < rounds; i++) {
      const ids = out.subarray(0, sample(bytes, 0, 3, out, 0, draw)).join();
      counts.set(ids, (counts.get(ids) ?? 0) + 1);
    }
    const total = [...all.values()].reduce((sum, score) => sum + Math.exp(alpha * score), 0);
    expect(counts.size).toBe(3);
    // Five standard deviations.
    for (const [ids, score] of all) {
      const p = Math.exp(alpha * score) / total;
      expect(Math.abs((counts.get(ids) ?? 0) - p * rounds)).toBeLessThan(5 * Math.sqrt(rounds * p * (1 - p)));
    }
  });

  it('refuses a senseless alpha', () => {
    expect(() => sampledUnigram(small, -1)).toThrow(/alpha is -1/);
    expect(() => sampledUnigram(small, Number.NaN)).toThrow(/alpha is NaN/);
  });
});
