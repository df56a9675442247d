import fc from 'fast-check';
import { corpusFromStrings } from 'tessera-kit/formats';
import { arraySource, type BatchSource, functionSource, type TokenBatch, tokenSource } from 'tessera-kit/nn';
import { type Arrays, array, random, type Tensor } from 'tessera-kit/tensor';
import { describe, expect, it } from 'vitest';

async function take<B>(source: BatchSource<B>, count: number): Promise<Arrays<B>[]> {
  const batches: Arrays<B>[] = [];
  while (batches.length < count) {
    const batch = await source.next();
    if (batch === undefined) break;
    batches.push(batch);
  }
  return batches;
}

type Rows = { readonly x: Tensor; readonly id: Tensor };
const rows = {
  x: array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], [7, 2]),
  id: array([0, 1, 2, 3, 4, 5, 6], [7], 'int64'),
};
const ids = (batches: readonly Arrays<Rows>[]): number[] =>
  batches.flatMap((batch) => Array.from(batch.id.data, Number));

describe('arraySource', () => {
  it('gives rows of all arrays together', async () => {
    const [batch] = await take(arraySource(rows, { batch: 3, seed: 5 }), 1);
    expect(batch?.x.shape).toEqual([3, 2]);
    expect(Array.from(batch?.x.data ?? [], Number)).toEqual(
      ids(batch === undefined ? [] : [batch]).flatMap((id) => [2 * id, 2 * id + 1]),
    );
  });

  it('gives every row at most once an epoch, in another order each time, and ends', async () => {
    const batches = await take(arraySource(rows, { batch: 2, seed: 1, epochs: 3 }), 100);
    expect(batches).toHaveLength(9);
    const orders = [0, 3, 6].map((start) => ids(batches.slice(start, start + 3)));
    for (const order of orders) expect(new Set(order).size).toBe(6);
    expect(new Set(orders.map(String)).size).toBeGreaterThan(1);
  });

  it('keeps the order without shuffling', async () => {
    expect(ids(await take(arraySource(rows, { batch: 3, shuffle: false }), 3))).toEqual([0, 1, 2, 3, 4, 5, 0, 1, 2]);
  });

  it('goes on from any cursor', async () => {
    const whole = ids(await take(arraySource(rows, { batch: 2, seed: 9 }), 12));
    for (let cut = 0; cut < 12; cut++) {
      const first = arraySource(rows, { batch: 2, seed: 9 });
      await take(first, cut);
      const second = arraySource(rows, { batch: 2, seed: 9 });
      await second.seek(JSON.parse(JSON.stringify(first.cursor())));
      expect(ids(await take(second, 12 - cut))).toEqual(whole.slice(2 * cut));
    }
  });

  it('refuses too few rows, unequal arrays and foreign cursors', async () => {
    expect(() => arraySource(rows, { batch: 8 })).toThrow('7 rows, fewer than one batch of 8');
    expect(() => arraySource({ x: array([1, 2]), y: array([1]) }, { batch: 1 })).toThrow('"y" has 1 rows');
    expect(() => arraySource(rows, { batch: 0.5 })).toThrow('batch must be a whole number');
    await expect(arraySource(rows, { batch: 2 }).seek({ epoch: 'x' })).rejects.toThrow('not one of this data');
  });
});

describe('functionSource', () => {
  it('counts, seeks and ends', async () => {
    const source = functionSource((index) => (index < 4 ? { n: array([index]) } : undefined));
    await source.seek({ index: 2 });
    expect((await take(source, 9)).map((batch) => batch.n.data[0])).toEqual([2, 3]);
    expect(source.cursor()).toEqual({ index: 4 });
  });
});

const bytes = (text: Uint8Array): ArrayLike<number> => text;
const END = 256;
const options = { batch: 2, length: 4, endOfText: END };
const inputs = (batches: readonly Arrays<TokenBatch>[]): number[] =>
  batches.flatMap((batch) => Array.from(batch.inputs.data, Number));

describe('tokenSource', () => {
  it('joins documents by end-of-text, with targets one ahead', async () => {
    const [batch] = await take(tokenSource(corpusFromStrings(['abc', 'de', 'fgh']), bytes, options), 1);
    const stream = [END, 97, 98, 99, END, 100, 101, END, 102, 103, 104, END];
    expect(batch?.inputs).toEqual({ dtype: 'int32', shape: [2, 4], data: Int32Array.from(stream.slice(0, 8)) });
    expect(batch?.targets).toEqual({ dtype: 'int32', shape: [2, 4], data: Int32Array.from(stream.slice(1, 9)) });
  });

  it('gives each window once an epoch, shuffled, from another place each time', async () => {
    const text = String.fromCharCode(...Array.from({ length: 98 }, (_, i) => 33 + (i % 90)));
    const source = tokenSource(corpusFromStrings([text]), bytes, { ...options, random: random(1) });
    // 100 tokens: 24 or 25 windows of 4, 12 batches an epoch.
    const epochs = [inputs(await take(source, 12)), inputs(await take(source, 12))];
    const starts = epochs.map((epoch) => epoch.filter((_, i) => i % 4 === 0));
    for (const list of starts) expect(new Set(list).size).toBeGreaterThan(20);
    expect(starts[0]).not.toEqual(starts[1]);
    expect(source.cursor()).toMatchObject({ epoch: 1, block: 0, index: 12, tokens: 100 });
  });

  it('goes on from any cursor, in one block or many, kept or forgotten', async () => {
    const texts = Array.from({ length: 40 }, (_, i) => `document ${i} ${'x'.repeat(i % 7)}`);
    const arbitrary = fc.record({
      cut: fc.integer({ min: 0, max: 90 }),
      blockTokens: fc.constantFrom(20, 64, 1000),
      memoryTokens: fc.constantFrom(0, 100, 10_000),
      shuffle: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(arbitrary, async ({ cut, blockTokens, memoryTokens, shuffle }) => {
        const make = () =>
          tokenSource(corpusFromStrings(texts), bytes, {
            ...options,
            blockTokens,
            memoryTokens,
            random: shuffle ? random(7) : undefined,
          });
        const first = make();
        await take(first, cut);
        const cursor = JSON.parse(JSON.stringify(first.cursor()));
        const rest = inputs(await take(first, 90));
        const second = make();
        await second.seek(cursor);
        expect(inputs(await take(second, 90))).toEqual(rest);
        await first.seek(cursor);
        expect(inputs(await take(first, 90))).toEqual(rest);
      }),
      { numRuns: 40 },
    );
  });

  it('tokenizes a text that fits in memory once', async () => {
    let calls = 0;
    const encode = (text: Uint8Array): ArrayLike<number> => {
      calls++;
      return text;
    };
    const source = tokenSource(corpusFromStrings(['some text here', 'and more', 'and so on']), encode, {
      ...options,
      blockTokens: 12,
      epochs: 5,
    });
    await take(source, 1000);
    expect(calls).toBe(3);
  });

  it('keeps ids above 16 bits', async () => {
    const source = tokenSource(
      corpusFromStrings(['abcdefghi']),
      (text) => Int32Array.from(text, (byte) => byte + (byte > 100 ? 100_000 : 0)),
      options,
    );
    expect(inputs(await take(source, 1))).toEqual([END, 97, 98, 99, 100, 100_101, 100_102, 100_103]);
  });

  it('reports its progress', async () => {
    const seen: number[] = [];
    await take(
      tokenSource(corpusFromStrings(['some text here']), bytes, {
        ...options,
        report: ({ tokens, done }) => done && seen.push(tokens),
      }),
      1,
    );
    expect(seen).toEqual([15]);
  });

  it('refuses a text shorter than a batch, and another text at a resume', async () => {
    await expect(tokenSource(corpusFromStrings(['abc']), bytes, options).next()).rejects.toThrow(
      'The text has 5 tokens; one batch of 2 rows of 4 needs 9.',
    );
    const source = tokenSource(corpusFromStrings(['some text here']), bytes, options);
    await source.next();
    await expect(
      tokenSource(corpusFromStrings(['some other text']), bytes, options).seek(source.cursor()),
    ).rejects.toThrow('not one of this data');
  });

  it('stops when it is told to', async () => {
    const source = tokenSource(corpusFromStrings(['some text here']), bytes, {
      ...options,
      signal: AbortSignal.abort(),
    });
    await expect(source.next()).rejects.toThrow('stopped');
  });
});
