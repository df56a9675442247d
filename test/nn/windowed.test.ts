/** Windowed attention against a loop in float64 and full attention with a band, whole rows and from caches. */

import { type Attend, type CachedRows, cached, windowed } from 'tessera-kit/nn';
import {
  array,
  attention,
  type Call,
  constant,
  exportProgram,
  gradients,
  mul,
  type NDArray,
  random,
  sum,
  type Tensor,
} from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';
import { testRuntime } from '../runtime.js';

const runtime = await testRuntime();

interface Projections<L = Tensor> {
  readonly query: L;
  readonly key: L;
  readonly value: L;
}

const numbers = (x: NDArray | undefined): number[] =>
  x === undefined ? [] : Array.from({ length: x.data.length }, (_, i) => Number(x.data[i]));

function furthest(found: readonly number[], expected: readonly number[]): number {
  expect(found.length).toBe(expected.length);
  return expected.reduce((most, value, i) => Math.max(most, Math.abs((found[i] ?? Number.NaN) - value)), 0);
}

function projections(seed: number, heads: number, kvHeads: number, time: number, batch = 2): Projections<NDArray> {
  const draw = random(seed);
  return {
    query: draw.child('query').normal([batch, heads, time, 8]),
    key: draw.child('key').normal([batch, kvHeads, time, 8]),
    value: draw.child('value').normal([batch, kvHeads, time, 8]),
  };
}

/** Every query over its own keys, in float64. */
function direct({ query, key, value }: Projections<NDArray>, window: number): number[] {
  const [batch = 1, heads = 1, time = 1, head = 1] = query.shape;
  const kvHeads = key.shape[1] ?? 1;
  const [q, k, v] = [query, key, value].map(numbers);
  const out: number[] = [];
  for (let row = 0; row < batch * heads; row++) {
    const [b, h] = [Math.floor(row / heads), row % heads];
    const from = (b * kvHeads + Math.floor(h / (heads / kvHeads))) * time;
    for (let i = 0; i < time; i++) {
      const seen = Array.from({ length: time }, (_, j) => j).filter((j) => j <= i && j >= i - window);
      const weights = seen.map((j) => {
        let score = 0;
        for (let d = 0; d < head; d++)
          score += (q?.[(row * time + i) * head + d] ?? 0) * (k?.[(from + j) * head + d] ?? 0);
        return Math.exp(score / Math.sqrt(head));
      });
      const total = weights.reduce((all, weight) => all + weight, 0);
      for (let d = 0; d < head; d++) {
        out.push(seen.reduce((all, j, n) => all + ((weights[n] ?? 0) / total) * (v?.[(from + j) * head + d] ?? 0), 0));
      }
    }
  }
  return out;
}

async function run<Out>(f: (input: Projections, call: Call) => Out, given: Projections<NDArray>, training = false) {
  const program = await runtime.compile<object, Projections, Out>((_state, input, call) => ({ out: f(input, call) }), {
    state: {},
    input: given as never,
    training,
    seed: 3,
  });
  const { out } = await program.run(runtime.join({}), given as never);
  await program.dispose();
  return out as unknown;
}

const attend = (choice: Attend) => (input: Projections, call: Call) =>
  choice(0, input.query, input.key, input.value, call);

const CASES: readonly (readonly [string, number, number, number, number])[] = [
  ['blocks longer than the window', 2, 2, 200, 9],
  ['blocks as long as the window', 2, 2, 256, 64],
  ['a length that is no multiple of the block', 1, 1, 333, 100],
  ['a window of several blocks', 2, 1, 700, 300],
  ['a window of several blocks and little more', 1, 1, 310, 300],
  ['heads that share keys', 6, 2, 150, 17],
  ['one key head for all', 4, 1, 130, 64],
  ['a single block', 2, 1, 50, 7],
  ['a window of 0: each position itself', 2, 2, 70, 0],
  ['a window as long as the rows', 2, 2, 40, 39],
  ['a window longer than the rows', 2, 1, 40, 1000],
];

describe('whole rows', () => {
  test.each(CASES)('equal a loop over every query and its keys: %s', async (_name, heads, kvHeads, time, window) => {
    const given = projections(1, heads, kvHeads, time);
    const found = (await run(attend(windowed(time, window)), given)) as NDArray;
    expect(found.shape).toEqual(given.query.shape);
    expect(furthest(numbers(found), direct(given, window))).toBeLessThan(2e-6);
  });

  test('have the gradients of full attention with a band of a mask', async () => {
    const [time, window] = [150, 70];
    const given = projections(2, 3, 3, time);
    const mask = array(
      Array.from({ length: time * time }, (_, place) => {
        const [i, j] = [Math.floor(place / time), place % time];
        return j <= i && j >= i - window ? 0 : -1e9;
      }),
      [time, time],
    );
    const full: Attend = (_layer, query, key, value) => attention(query, key, value, constant(mask));
    const weights = random(5).normal([2, 3, time, 8]);
    const slopes = (choice: Attend) =>
      run((input, call) => gradients(sum(mul(attend(choice)(input, call), constant(weights))), input), given);
    const [found, expected] = (await Promise.all([
      slopes(windowed(time, window)),
      slopes(full),
    ])) as Projections<NDArray>[];
    for (const name of ['query', 'key', 'value'] as const) {
      expect(furthest(numbers(found?.[name]), numbers(expected?.[name])), name).toBeLessThan(1e-5);
    }
  });

  test('drop weights while training only, and keep their mean', async () => {
    const given = projections(3, 2, 1, 300);
    const ones = { ...given, value: { ...given.value, data: new Float32Array(given.value.data.length).fill(1) } };
    const trained = numbers((await run(attend(windowed(300, 64, 0.25)), ones, true)) as NDArray);
    const mean = trained.reduce((total, value) => total + value, 0) / trained.length;
    expect(Math.abs(mean - 1)).toBeLessThan(0.05);
    expect(Math.max(...trained.map((value) => Math.abs(value - 1)))).toBeGreaterThan(0.1);
    const evaluated = numbers((await run(attend(windowed(300, 64, 0.25)), ones)) as NDArray);
    expect(Math.max(...evaluated.map((value) => Math.abs(value - 1)))).toBeLessThan(1e-5);
  });

  test('cost products in proportion to the length', () => {
    const flops = (time: number) =>
      exportProgram<object, Projections, Tensor>(
        (_state, input, call) => ({ out: attend(windowed(time, 128))(input, call) }),
        {
          state: {},
          input: projections(1, 2, 2, time, 1) as never,
        },
      ).flops;
    expect(Math.log2(flops(8192) / flops(2048)) / 2).toBeLessThan(1.05);
  });

  test('refuse a window that is no whole number', () => {
    expect(() => windowed(10, -1)).toThrow('An attention window is a whole number from 0, not -1.');
  });
});

describe('from caches', () => {
  const [batch, heads, kvHeads, time, window] = [2, 4, 2, 40, 6];
  const pieces: Readonly<Record<string, readonly number[]>> = {
    'one position at a time': new Array<number>(time).fill(1),
    'several at a time, some more than the window': [3, 1, 20, 2, 9, 5],
  };
  test.each(Object.entries(pieces))('equal whole rows: %s', async (_name, lengths) => {
    const given = projections(4, heads, kvHeads, time, batch);
    const cache = { dtype: 'float32', shape: ['batch', kvHeads, 'capacity', 8] } as const;
    const fresh = (count: number) => ({ dtype: 'float32', shape: ['batch', count, 'time', 8] }) as const;
    const program = await runtime.compile<CachedRows, Projections & { readonly at: Tensor }, Tensor>(
      (state, input, call) => {
        const rows: CachedRows[] = [];
        const out = cached([state], input.at, rows, window)(0, input.query, input.key, input.value, call);
        const [added] = rows;
        if (added === undefined) throw new Error('no rows');
        return {
          append: [
            { leaf: state.key, rows: added.key, at: input.at },
            { leaf: state.value, rows: added.value, at: input.at },
          ],
          out,
        };
      },
      {
        state: { key: cache, value: cache },
        input: {
          query: fresh(heads),
          key: fresh(kvHeads),
          value: fresh(kvHeads),
          at: { dtype: 'int32', shape: ['batch'] },
        },
      },
    );
    const empty = {
      dtype: 'float32',
      shape: [batch, kvHeads, 64, 8],
      data: new Float32Array(batch * kvHeads * 512),
    } as const;
    const state = await runtime.upload({ key: empty, value: empty });
    const expected = direct(given, window);
    let at = 0;
    for (const length of lengths) {
      const cut = (x: NDArray): NDArray => {
        const count = x.shape[1] ?? 1;
        const data = numbers(x).filter(
          (_, i) => Math.floor(i / 8) % time >= at && Math.floor(i / 8) % time < at + length,
        );
        return array(data, [batch, count, length, 8]);
      };
      const { out } = await program.run(state as never, {
        query: cut(given.query),
        key: cut(given.key),
        value: cut(given.value),
        at: array([at, at], [batch], 'int32'),
      });
      const whole = array(expected, given.query.shape);
      expect(furthest(numbers(out), numbers(cut(whole)))).toBeLessThan(2e-6);
      at += length;
    }
    await program.dispose();
    await state.dispose();
  });
});
