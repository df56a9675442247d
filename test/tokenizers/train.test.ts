import fc from 'fast-check';
import { type Tokenizer, type TrainBpeOptions, type TrainProgress, trainBpe } from 'tessera-kit/tokenizers';
import { describe, expect, it } from 'vitest';
import { BYTE_CHARACTERS, BYTES_IN_ORDER, spellBytes } from '../../dist/tokenizers/byte-level.js';
import { CORPUS } from './texts.js';

const train = async (texts: readonly string[], options: Partial<TrainBpeOptions> = {}): Promise<Tokenizer> =>
  (await trainBpe(texts, { vocabularySize: 1000, endOfText: false, ...options })).tokenizer;

const mergesOf = (tokenizer: Tokenizer): readonly string[] => JSON.parse(tokenizer.save()[0]?.text ?? '').model.merges;

describe('trainBpe', () => {
  it('merges the most frequent pair, then the next', async () => {
    // Counts: "low" 5, "lower" 2, "newest" 6, "widest" 3 (the example of Sennrich et al. 2016), without spaces.
    const words = { low: 5, lower: 2, newest: 6, widest: 3 };
    const texts = Object.entries(words).flatMap(([word, count]) => new Array<string>(count).fill(word));
    // e+s 9, es+t 9, l+o 7, lo+w 7, then n+e, e+w, w+est all 6: lowest ids first, and e comes before n and w.
    expect((await mergesOf(await train(texts))).slice(0, 5)).toEqual(['e s', 'es t', 'l o', 'lo w', 'e w']);
  });

  it('breaks ties by the lowest ids', async () => {
    expect(mergesOf(await train(['ba', 'ab', 'zz', 'az']))).toEqual(['a b', 'a z', 'b a', 'z z']);
  });

  it('counts overlapping pairs as they stand and merges from the left', async () => {
    // aaaaa: a+a counts 4; then aa aa a: the new pairs count 1 each, lowest ids first: (a, ...) is gone, aa+a before aa+aa.
    const tokenizer = await train(['aaaaa']);
    expect(mergesOf(tokenizer)).toEqual(['a a', 'aa a', 'aa aaa']);
    expect(tokenizer.encode('aaaaa')).toHaveLength(1);
  });

  it('gives special tokens the first ids, then the bytes in the order of their characters, then merges', async () => {
    const tokenizer = await train(['abab'], { endOfText: '<end>', specialTokens: ['<pad>'] });
    expect([...tokenizer.special]).toEqual([
      ['<end>', 0],
      ['<pad>', 1],
    ]);
    expect(tokenizer.endOfText).toBe(0);
    BYTES_IN_ORDER.forEach((byte, i) => {
      expect(tokenizer.vocabulary.id(Uint8Array.of(byte))).toBe(2 + i);
    });
    expect(BYTES_IN_ORDER.slice(0, 3).map((byte) => BYTE_CHARACTERS[byte])).toEqual(['!', '"', '#']);
    expect(tokenizer.vocabulary.id('ab')).toBe(258);
  });

  it('stops at the size, at the frequency, and when no pair is left', async () => {
    const texts = ['abcd abcd abx'];
    expect((await train(texts, { vocabularySize: 257 })).vocabulary.size).toBe(257);
    expect(mergesOf(await train(texts, { minFrequency: 3 }))).toEqual(['a b']);
    // c d, a b, then Ġ ab, ab cd, Ġab x, Ġab cd.
    const { report } = await trainBpe(texts, { vocabularySize: 5000 });
    expect(report).toEqual({ bytes: 13, words: 3, tokens: 257 + 6 });
  });

  it('never merges across words or texts', async () => {
    expect(mergesOf(await train(CORPUS)).filter((merge) => /[a-z] ?Ġ/.test(merge))).toEqual([]);
    expect(mergesOf(await train(['a', 'b', 'a', 'b']))).toEqual([]);
  });

  it('learns the same from strings, from bytes and from a stream', async () => {
    const encoder = new TextEncoder();
    const stream = async function* () {
      for (const text of CORPUS) yield encoder.encode(text);
    };
    const options = { vocabularySize: 700 };
    const [one, two] = [await trainBpe(CORPUS, options), await trainBpe(stream(), options)];
    expect(two.tokenizer.save()).toEqual(one.tokenizer.save());
    expect(two.report).toEqual(one.report);
  });

  it('learns what a slow trainer learns', async () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'é'), minLength: 1, maxLength: 9 });
    await fc.assert(
      fc.asyncProperty(fc.array(word, { minLength: 1, maxLength: 25 }), async (words) => {
        expect(mergesOf(await train([words.join(' ')]))).toEqual(slowMerges(words));
      }),
      { numRuns: 150 },
    );
  });

  it('reports what it does and can be stopped', async () => {
    const events: TrainProgress[] = [];
    await trainBpe(CORPUS, { vocabularySize: 400, onProgress: (event) => events.push(event) });
    expect(events.at(-1)).toEqual({ stage: 'merge', tokens: 400, of: 400 });
    expect(events.some(({ stage }) => stage === 'count')).toBe(true);
    const controller = new AbortController();
    const endless = function* () {
      for (;;) yield CORPUS[0] ?? '';
    };
    setTimeout(() => controller.abort(), 100);
    await expect(trainBpe(endless(), { vocabularySize: 400, signal: controller.signal })).rejects.toMatchObject({
      code: 'aborted',
    });
  });

  it.each<[string, Partial<TrainBpeOptions>, readonly string[], RegExp]>([
    ['too small a vocabulary', { vocabularySize: 100 }, ['a'], /vocabulary of 100 tokens is too small/],
    ['half a token', { vocabularySize: 300.5 }, ['a'], /too small/],
    ['a negative frequency', { minFrequency: -1 }, ['a'], /smallest frequency of -1/],
    ['a special token twice', { specialTokens: ['<a>', '<a>'] }, ['a'], /there twice/],
    ['a pattern that is none', { splitPattern: { source: '[' } }, ['a'], /split pattern "\["/],
    ['no text', {}, [], /no text/],
    ['empty texts', {}, ['', ''], /no text/],
  ])('refuses %s', async (_, options, texts, message) => {
    await expect(train(texts, options)).rejects.toThrow(message);
  });
});

/** The definition of BPE training, counted afresh for each merge; `Ġ` before each word but the first. */
function slowMerges(words: readonly string[]): readonly string[] {
  const ids = new Map(BYTES_IN_ORDER.map((byte, id) => [BYTE_CHARACTERS[byte] ?? '', id]));
  const encoder = new TextEncoder();
  const sequences = words.map((word, i) => [...spellBytes(encoder.encode(i === 0 ? word : ` ${word}`))]);
  const merges: string[] = [];
  for (;;) {
    const counts = new Map<string, number>();
    for (const symbols of sequences) {
      for (let i = 1; i < symbols.length; i++) {
        const pair = `${symbols[i - 1]} ${symbols[i]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    const order = (pair: string): readonly number[] => pair.split(' ').map((symbol) => ids.get(symbol) ?? -1);
    const [best] = [...counts].sort(([one, n], [other, m]) => {
      const [[a = 0, b = 0], [c = 0, d = 0]] = [order(one), order(other)];
      return m - n || a - c || b - d;
    });
    if (best === undefined) return merges;
    const [left, right] = best[0].split(' ');
    const made = `${left}${right}`;
    if (!ids.has(made)) ids.set(made, ids.size);
    merges.push(best[0]);
    for (const symbols of sequences) {
      for (let i = 0; i + 1 < symbols.length; i++) {
        if (symbols[i] === left && symbols[i + 1] === right) symbols.splice(i, 2, made);
      }
    }
  }
}
