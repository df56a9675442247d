import {
  decipherProbe,
  lookupRows,
  lookupSource,
  NOT_COUNTED,
  permutationRows,
  substitutionCipher,
  taskAccuracy,
} from 'tessera-kit/language-models';
import {
  cast,
  concat,
  equal,
  type NDArray,
  random,
  reshape,
  slice,
  type Tensor,
  TesseraError,
} from 'tessera-kit/tensor';
import { describe, expect, it } from 'vitest';
import { testRuntime } from '../runtime.js';

const runtime = await testRuntime();

describe('tasks', () => {
  const symbols = [3, 4, 5, 6, 7, 8, 9, 10];

  it('look-up rows ask for the partners that they list', () => {
    const { inputs, targets } = lookupRows({ symbols, pairs: 3, length: 11 }, 20, random(1));
    for (let row = 0; row < 20; row++) {
      const own = Array.from(inputs.data.subarray(row * 11, row * 11 + 11));
      expect(new Set(own.slice(0, 6)).size).toBe(6);
      for (const id of own) expect(symbols).toContain(id);
      const asked = Array.from(targets.data.subarray(row * 11, row * 11 + 11));
      for (const [at, answer] of asked.entries()) {
        if (at < 6 || at % 2 === 1) expect(answer).toBe(NOT_COUNTED);
        else expect(answer).toBe(own[own.indexOf(Number(own[at])) + 1]);
        if (at > 6 && at % 2 === 1) expect(own[at]).toBe(asked[at - 1]);
      }
    }
  });

  it('look-up grows from two pairs to the whole', async () => {
    const source = lookupSource({ symbols, pairs: 4, length: 13, growth: 6 }, 3, random(1));
    const pairs: number[] = [];
    for (let i = 0; i < 8; i++) {
      const targets = (await source.next())?.targets.data ?? new Int32Array();
      pairs.push(Array.from(targets, Number).findIndex((target) => target !== NOT_COUNTED) / 2);
    }
    expect(pairs).toEqual([2, 2, 3, 3, 4, 4, 4, 4]);
  });

  it('permutation rows apply one rearrangement to every string', () => {
    const { inputs, targets } = permutationRows({ symbols, size: 3, examples: 3 }, 10, random(1));
    for (let row = 0; row < 10; row++) {
      const own = Array.from(inputs.data.subarray(row * 18, row * 18 + 18));
      const places = [3, 4, 5].map((at) => own.slice(0, 3).indexOf(Number(own[at])));
      for (const start of [6, 12]) {
        expect(places.map((place) => own[start + place])).toEqual(own.slice(start + 3, start + 6));
        expect(Array.from(targets.data.subarray(row * 18 + start + 2, row * 18 + start + 5))).toEqual(
          own.slice(start + 3, start + 6),
        );
      }
    }
    const last = permutationRows({ symbols, size: 3, examples: 3, counted: 'last' }, 1, random(1)).targets.data;
    expect(last.filter((target) => target !== NOT_COUNTED)).toHaveLength(3);
  });

  it('exact match counts first answers, all answers and whole rows', async () => {
    // A model that repeats the token before: right where the answer is that.
    const echo = {
      apply: (_state: Record<string, never>, { inputs }: { readonly inputs: Tensor }): Tensor => {
        const flat = reshape(inputs, [-1, 1]);
        const names = Array.from({ length: 11 }, (_, id) => cast(equal(flat, id), 'float32'));
        return concat(names, 1);
      },
    };
    const leaf = (data: number[]): NDArray<'int32'> => ({ dtype: 'int32', shape: [2, 4], data: Int32Array.from(data) });
    const batch = {
      inputs: leaf([1, 2, 3, 4, 5, 6, 7, 8]),
      targets: leaf([NOT_COUNTED, 2, 9, NOT_COUNTED, 5, NOT_COUNTED, 7, 8]),
    };
    expect(await taskAccuracy(runtime, echo, {}, [batch, batch])).toEqual({ first: 1, all: 4 / 5, rows: 1 / 2 });
  });

  it.each([
    ['too many pairs', () => lookupRows({ symbols, pairs: 5, length: 20 }, 1, random(0)), /5 pairs .* 8 symbols/],
    ['no place to ask', () => lookupRows({ symbols, pairs: 3, length: 6 }, 1, random(0)), /no place for a query/],
    ['strings too long', () => permutationRows({ symbols, size: 9, examples: 3 }, 1, random(0)), /9 different symbols/],
    ['one string', () => permutationRows({ symbols, size: 3, examples: 1 }, 1, random(0)), /at least 2 strings/],
  ])('%s is refused', (_name, make, message) => {
    expect(make).toThrow(message);
    expect(make).toThrow(TesseraError);
  });
});

describe('deciphering', () => {
  // 0 0 1 0 0 1 ...: which symbol stands for 1 shows only in how it is used.
  const text = Int32Array.from({ length: 600 }, (_, i) => (i % 3 === 2 ? 1 : 0));
  const options = { length: 12, batch: 8, steps: 150, rate: 2e-2, tests: 4 } as const;

  it('a cipher is a permutation', () => {
    expect(Array.from(substitutionCipher(20, random(1))).sort((a, b) => a - b)).toEqual([...Array(20).keys()]);
  });

  it.each(['linear', 'mlp', 'similarity'] as const)(
    'a %s probe reads states that know the pattern, not bare symbols',
    async (kind) => {
      const same = (ids: Tensor, back: number): Tensor => {
        const [rows = 1, time = 1] = ids.shape;
        const now = slice(ids, 1, back, Number(time));
        const then = slice(ids, 1, 0, Number(time) - back);
        const match = cast(equal(now, then), 'float32');
        return reshape(concat([cast(equal(slice(ids, 1, 0, back), -1), 'float32'), match], 1), [
          Number(rows) * Number(time),
          1,
        ]);
      };
      const embeddings: NDArray = { dtype: 'float32', shape: [2, 2], data: Float32Array.of(1, 0.2, -0.3, 1) };
      // Whether a symbol equals the one before, and the one three before.
      const knowing = {
        width: 3,
        vocabulary: 2,
        states: (ids: Tensor) => {
          const before = same(ids, 1);
          const shifted = same(ids, 2);
          return concat([before, shifted, cast(equal(before, before), 'float32')], 1);
        },
      };
      const bare = { width: 1, vocabulary: 2, states: (ids: Tensor) => cast(reshape(ids, [-1, 1]), 'float32') };
      const texts = { train: text, test: text };
      const found = await decipherProbe(runtime, knowing, texts, { ...options, kind, embeddings });
      expect(found.commonest).toBeGreaterThan(0.6);
      expect(Math.min(...found.accuracy.subarray(3))).toBe(1);
      const blind = await decipherProbe(runtime, bare, texts, { ...options, kind, embeddings });
      expect(Math.max(...blind.accuracy.subarray(3))).toBeLessThan(1);
    },
  );

  it('needs embeddings for similarity, and a text of a window', async () => {
    const model = { width: 1, vocabulary: 2, states: (ids: Tensor) => cast(reshape(ids, [-1, 1]), 'float32') };
    await expect(
      decipherProbe(runtime, model, { train: text, test: text }, { ...options, kind: 'similarity' }),
    ).rejects.toThrow(/needs embeddings of 2 tokens/);
    const short = Int32Array.of(0, 1);
    await expect(decipherProbe(runtime, model, { train: short, test: text }, options)).rejects.toThrow(
      /shorter than a window/,
    );
  });
});
