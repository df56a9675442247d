/** Draws: the same path is the same draw, other paths differ, and values have the distribution they say. */

import fc from 'fast-check';
import { add, createRuntime, type Runtime, random, type Tensor } from 'tessera-kit/tensor';
import { afterAll, describe, expect, test } from 'vitest';

const N = 40_000;
const mean = (values: ArrayLike<number>) => Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
const moment = (values: ArrayLike<number>, power: number) => mean(Array.from(values, (value) => value ** power));

describe('the same path', () => {
  test('is the same draw, whatever was drawn before', () => {
    const path = () => random(5).child('layers').child(3).at(17);
    const source = path();
    source.uniform([9]);
    for (const verb of ['normal', 'uniform'] as const) expect(source[verb]([8])).toEqual(path()[verb]([8]));
    expect(source.permutation(20)).toEqual(path().permutation(20));
  });

  test('differs from every other seed, step and child', () => {
    const paths = [
      random(1),
      random(2),
      random(2 ** 33 + 1),
      random(1).at(0),
      random(1).at(1),
      random(1).at(2 ** 32),
      random(1).at(0).at(0),
      random(1).child(''),
      random(1).child('a'),
      random(1).child('b'),
      random(1).child('ab'),
      random(1).child('a').child('b'),
      random(1).child('b').child('a'),
      random(1).child(0),
      random(1).child('0'),
      random(1).child('a').at(1),
      random(1).at(1).child('a'),
    ];
    const first = paths.map((path) => path.uniform([4]).data.join());
    expect(new Set(first).size).toBe(paths.length);
  });

  test('never meets another in a thousand children and steps', () => {
    const keys = Array.from({ length: 1000 }, (_, i) => [
      random(0).child(i),
      random(0).at(i),
      random(i + 1).child('x'),
      random(0).child(`layer${i}`),
    ]).flat();
    expect(new Set(keys.map((key) => key.integers([2], 2 ** 31).data.join())).size).toBe(keys.length);
  });

  test('has first values that never change', () => {
    const source = random(42).child('weights');
    expect(Array.from(source.integers([4], 1000).data)).toEqual([30, 151, 754, 86]);
    for (const [i, value] of [-0.95178205, -1.55851471, 0.38857475].entries()) {
      expect(source.normal([3]).data[i]).toBeCloseTo(value, 6);
    }
    expect(Array.from(source.uniform([3]).data)).toEqual([0.3867882490158081, 0.31461918354034424, 0.981477677822113]);
    expect(Array.from(source.bernoulli([8], 0.5).data)).toEqual([0, 1, 0, 1, 1, 0, 0, 1]);
    expect(Array.from(source.permutation(6).data)).toEqual([4, 0, 3, 5, 1, 2]);
    expect(Array.from(random(7).at(3).integers([4], 1000).data)).toEqual([601, 747, 756, 48]);
  });
});

describe('the distribution', () => {
  test('of normal values has mean 0, variance 1, no skew and a kurtosis of 3', () => {
    const { data } = random(1).normal([N]);
    expect(Math.abs(mean(data))).toBeLessThan(4 / Math.sqrt(N));
    expect(Math.abs(moment(data, 2) - 1)).toBeLessThan(4 * Math.sqrt(2 / N));
    expect(Math.abs(moment(data, 3))).toBeLessThan(4 * Math.sqrt(15 / N));
    expect(Math.abs(moment(data, 4) - 3)).toBeLessThan(4 * Math.sqrt(96 / N));
    expect(moment(random(1).normal([N], 0.02).data, 2) / 0.0004).toBeCloseTo(moment(data, 2), 5);
  });

  test('of uniform values fills [low, high) evenly', () => {
    const { data } = random(2).uniform([N], -3, 5);
    expect(Math.abs(mean(data) - 1)).toBeLessThan((4 * 8) / Math.sqrt(12 * N));
    expect(
      chiSquare(
        Array.from(data, (value) => Math.floor((value + 3) * 2)),
        16,
      ),
    ).toBeLessThan(40);
    expect(Math.min(...data)).toBeGreaterThanOrEqual(-3);
    expect(Math.max(...data)).toBeLessThan(5);
  });

  test('of uniform values never reaches the upper end by rounding', () => {
    // Near 2^10 float32 is coarser than the draws, and about one in 2^14 would round up to the end.
    const { data } = random(3).uniform([200_000], 1023, 1024);
    expect(data.every((value) => value >= 1023 && value < 1024)).toBe(true);
  });

  test('of bernoulli values has its rate', () => {
    for (const rate of [0, 0.1, 0.5, 0.9, 1]) {
      const { data } = random(4).bernoulli([N], rate);
      expect(Math.abs(mean(data) - rate)).toBeLessThanOrEqual(4 * Math.sqrt((rate * (1 - rate)) / N) + 1 / 65536);
    }
    const pairs = random(4).bernoulli([N], 0.5).data;
    expect(
      chiSquare(
        Array.from({ length: N / 2 }, (_, i) => (pairs[2 * i] ?? 0) * 2 + (pairs[2 * i + 1] ?? 0)),
        4,
      ),
    ).toBeLessThan(21);
  });

  test('of whole numbers is even for any bound', () => {
    for (const below of [1, 2, 7, 10, 31]) {
      expect(chiSquare(random(5).child(below).integers([N], below).data, below)).toBeLessThan(
        below + 5 * Math.sqrt(2 * below),
      );
    }
    const large = random(5).integers([1000], 3 * 2 ** 29).data;
    expect(Math.max(...large)).toBeGreaterThan(2 ** 30);
    expect(Math.min(...large)).toBeGreaterThanOrEqual(0);
  });

  test('of neighbouring steps is not correlated', () => {
    const rows = Array.from({ length: 200 }, (_, step) => random(6).at(step).normal([200]).data);
    const products = rows.slice(1).flatMap((row, i) => Array.from(row, (value, j) => value * (rows[i]?.[j] ?? 0)));
    expect(Math.abs(mean(products))).toBeLessThan(4 / Math.sqrt(products.length));
  });

  test('of a permutation holds every number once, and every order is as likely', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 0, max: 300 }), (seed, n) => {
        const { data } = random(seed).permutation(n);
        return [...data].sort((a, b) => a - b).every((value, index) => value === index) && data.length === n;
      }),
    );
    const orders = Array.from({ length: 12_000 }, (_, i) =>
      Number.parseInt(random(7).at(i).permutation(3).data.join(''), 3),
    );
    const kinds = [...new Set(orders)];
    expect(kinds).toHaveLength(6);
    expect(
      chiSquare(
        orders.map((order) => kinds.indexOf(order)),
        6,
      ),
    ).toBeLessThan(23);
  });

  test('of a stream stays in [0, 1)', () => {
    const next = random(8).stream();
    const data = Array.from({ length: N }, next);
    expect(Math.abs(mean(data) - 0.5)).toBeLessThan(4 / Math.sqrt(12 * N));
    expect(Math.max(...data)).toBeLessThan(1);
  });

  test('refuses a bound without whole numbers below it', () => {
    for (const bound of [0, -1, 1.5, 2 ** 31 + 1, Number.NaN])
      expect(() => random(0).integers([1], bound)).toThrow(`not ${bound}`);
  });
});

/** Pearson's statistic against equal shares. */
function chiSquare(values: ArrayLike<number>, kinds: number): number {
  const counts = new Array<number>(kinds).fill(0);
  for (const value of Array.from(values)) counts[value] = (counts[value] ?? 0) + 1;
  const share = values.length / kinds;
  return counts.reduce((total, found) => total + (found - share) ** 2 / share, 0);
}

describe('draws inside a trace', () => {
  let runtime: Runtime | undefined;
  const start = async () => (runtime ??= await createRuntime({ worker: false }));
  afterAll(() => runtime?.dispose());

  test('depend on seed, path, step and micro-step alone', async () => {
    const r = await start();
    const draw = async (seed: number, extra: boolean) =>
      r.compile<object, object, { a: Tensor; b: Tensor; again: Tensor; first: Tensor }>(
        (_state, _input, call) => {
          if (extra) call.at('new').random.normal([50]);
          const [a, b] = [call.at('a').random, call.at('b').random];
          return {
            out: {
              a: a.normal([6]),
              b: b.normal([6]),
              again: add(a.normal([6]), 0),
              first: call.random.bernoulli([16], 0.5),
            },
          };
        },
        { state: {}, input: {}, seed },
      );
    const none = r.join({});
    const [program, wider, other] = [await draw(1, false), await draw(1, true), await draw(2, false)];
    const { out } = await program.run(none, {}, { step: 3 });
    expect(out.again).toEqual(out.a);
    expect(out.b.data).not.toEqual(out.a.data);
    expect((await wider.run(none, {}, { step: 3 })).out).toEqual(out);
    expect((await program.run(none, {}, { step: 3 })).out).toEqual(out);
    for (const differs of [
      await program.run(none, {}, { step: 4 }),
      await program.run(none, {}, { step: 3, micro: 1 }),
      await other.run(none, {}, { step: 3 }),
    ]) {
      expect(differs.out.a.data).not.toEqual(out.a.data);
    }
  });

  test('of every verb have the values that the host says', async () => {
    const r = await start();
    const program = await r.compile<object, object, Record<string, Tensor>>(
      (_state, _input, { random: draw }) => ({
        out: {
          u: draw.uniform([2000], 2, 3),
          i: draw.integers([2000], 5),
          b: draw.bernoulli([2000], 0.25),
          p: draw.permutation(9),
          n: draw.normal([2000], 0.5),
        },
      }),
      { state: {}, input: {} },
    );
    const { out } = await program.run(r.join({}), {});
    const values = (name: string) => Array.from(out[name]?.data ?? [], Number);
    expect(mean(values('u'))).toBeCloseTo(2.5, 1);
    expect(new Set(values('i'))).toEqual(new Set([0, 1, 2, 3, 4]));
    expect(mean(values('b'))).toBeCloseTo(0.25, 1);
    expect(values('p').sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(moment(values('n'), 2)).toBeCloseTo(0.25, 1);
  });

  test('categorical picks classes by their chances', async () => {
    const r = await start();
    const chances = [0.1, 0.4, 0, 0.3, 0.2];
    const logits = chances.map((chance) => (chance === 0 ? -1e9 : Math.log(chance) + 5));
    const rows = 4000;
    const program = await r.compile<object, { logits: Tensor }, Tensor>(
      (_state, input, call) => ({ out: call.random.categorical(input.logits) }),
      {
        state: {},
        input: { logits: { dtype: 'float32', shape: [rows, 5] } },
      },
    );
    const data = Float32Array.from({ length: rows * 5 }, (_, i) => logits[i % 5] ?? 0);
    const { out } = await program.run(r.join({}), { logits: { dtype: 'float32', shape: [rows, 5], data } });
    expect([out.dtype, out.shape]).toEqual(['int32', [rows]]);
    for (const [kind, chance] of chances.entries()) {
      const share = Array.from(out.data, Number).filter((value) => value === kind).length / rows;
      expect(Math.abs(share - chance)).toBeLessThan(4 * Math.sqrt((chance * (1 - chance)) / rows) + 1e-9);
    }
  });
});
