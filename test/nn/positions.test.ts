/** Positions against their papers' formulas, evaluated one number at a time and in another form. */

import {
  addPositions,
  axialRotaryTables,
  initPositions,
  type RotaryScaling,
  readRotaryOptions,
  rotaryRates,
  scaledRotaryTables,
  sinusoidalPositions,
} from 'tessera-kit/nn';
import { constant, type NDArray, random, rotary, rotaryTables, type Tensor } from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';
import { testRuntime } from '../runtime.js';
import { furthest, numbers, run, slopeError } from './checks.js';

const runtime = await testRuntime();

describe('added positions', () => {
  test('sinusoids are those of the paper, and of tensor2tensor in halves', () => {
    const [positions, width] = [50, 8];
    const paper = numbers(sinusoidalPositions(positions, width));
    const halves = numbers(sinusoidalPositions(positions, width, { layout: 'halves' }));
    for (let p = 0; p < positions; p++) {
      for (let i = 0; i < 4; i++) {
        const angle = p / 10000 ** ((2 * i) / width);
        expect(paper[p * width + 2 * i]).toBeCloseTo(Math.sin(angle), 6);
        expect(paper[p * width + 2 * i + 1]).toBeCloseTo(Math.cos(angle), 6);
        const timescale = Math.exp((-i * Math.log(10000)) / 3);
        expect(halves[p * width + i]).toBeCloseTo(Math.sin(p * timescale), 6);
        expect(halves[p * width + 4 + i]).toBeCloseTo(Math.cos(p * timescale), 6);
      }
    }
    expect(() => sinusoidalPositions(3, 5)).toThrow('Sinusoids come in pairs: a width of 5 is not even.');
  });

  test('are added row by row, or where the rows stand, with slopes to the table', async () => {
    interface Given<L = Tensor> {
      readonly x: L;
      readonly table: { readonly weight: L };
      readonly at?: L;
    }
    const table = initPositions(random(1), 5, 3, 1);
    const x = random(2).normal([4, 3]);
    const at: NDArray = { dtype: 'int32', shape: [2, 2], data: Int32Array.of(4, 1, 1, 0) };
    const f = ({ x: rows, table: t, at: positions }: Given) =>
      addPositions(t.weight, rows, { batch: 2, time: 2, positions });
    for (const [positions, places] of [
      [undefined, [0, 1, 0, 1]],
      [at, [4, 1, 1, 0]],
    ] as const) {
      const given = { x, table, ...(positions === undefined ? {} : { at: positions }) };
      const found = (await run<Given, Tensor>(runtime, f, given as never)) as NDArray;
      const expected = numbers(x).map(
        (v, i) => v + Number(table.weight.data[(places[Math.floor(i / 3)] ?? 0) * 3 + (i % 3)]),
      );
      expect(furthest(numbers(found), expected)).toBeLessThan(1e-6);
      expect(await slopeError<Given>(runtime, f, given as never)).toBeLessThan(1e-8);
    }
  });
});

const rates = (turned: number, scaling?: RotaryScaling, length = 1, theta?: number) =>
  rotaryRates(
    { turned, ...(scaling === undefined ? {} : { scaling }), ...(theta === undefined ? {} : { theta }) },
    length,
  );

/** Wavelengths in positions, pair by pair. */
const wavelengths = (list: readonly number[]): number[] => list.map((rate) => (2 * Math.PI) / rate);

function expectClose(found: readonly number[], expected: readonly number[]): void {
  expect(found.length).toBe(expected.length);
  for (const [i, value] of expected.entries())
    expect(Math.abs((found[i] ?? Number.NaN) / value - 1), `pair ${i}`).toBeLessThan(1e-12);
}

describe('rotary scaling', () => {
  test('none is the plain table', () => {
    const [found, expected] = [scaledRotaryTables(20, { turned: 8, theta: 500 }), rotaryTables(20, 8, 500)];
    expect(numbers(found.cosines)).toEqual(numbers(expected.cosines));
    expect(numbers(found.sines)).toEqual(numbers(expected.sines));
  });

  test('linear: position p stands where p / factor stood', () => {
    const found = scaledRotaryTables(33, { turned: 6, scaling: { kind: 'linear', factor: 4 } });
    const plain = rotaryTables(9, 6);
    for (let p = 0; p < 9; p++) {
      const row = (x: NDArray, at: number) => numbers(x).slice(3 * at, 3 * at + 3);
      expect(furthest(row(found.cosines, 4 * p), row(plain.cosines, p))).toBeLessThan(1e-6);
      expect(furthest(row(found.sines, 4 * p), row(plain.sines, p))).toBeLessThan(1e-6);
    }
  });

  test('NTK-aware: the fastest pair is kept, the slowest interpolated, the others between by one ratio', () => {
    const [plain, found] = [rates(64).rates, rates(64, { kind: 'ntk', factor: 8 }).rates];
    expectClose(
      found,
      plain.map((rate, pair) => rate / 8 ** (pair / 31)),
    );
  });

  test('dynamic NTK: nothing within the length of training, then as much as the text needs', () => {
    const scaling = { kind: 'dynamic', factor: 2, originalLength: 100 } as const;
    expectClose(rates(16, scaling, 60).rates, rates(16).rates);
    expectClose(rates(16, scaling, 100).rates, rates(16).rates);
    // 2 * 300 / 100 - 1 = 5 times at the slowest pair.
    expectClose(
      rates(16, scaling, 300).rates,
      rates(16).rates.map((rate, pair) => rate / 5 ** (pair / 7)),
    );
  });

  test('YaRN: kept above beta fast, interpolated below beta slow, a ramp over whole pairs between', () => {
    const [turned, factor, originalLength, theta] = [128, 16, 4096, 10000];
    const scaling = { kind: 'yarn', factor, originalLength } as const;
    const { rates: found, attentionFactor } = rates(turned, scaling, 1, theta);
    const waves = wavelengths(rates(turned, undefined, 1, theta).rates);
    // Pairs that turn more often than 32 times, and less than once, by looking.
    const turns = waves.map((wave) => originalLength / wave);
    const low = turns.findLastIndex((t) => t >= 32);
    const high = turns.findIndex((t) => t <= 1);
    const expected = waves.map((wave, pair) => {
      const share = pair <= low ? 0 : pair >= high ? 1 : (pair - low) / (high - low);
      return (2 * Math.PI * (share / factor + 1 - share)) / wave;
    });
    expectClose(found, expected);
    expect([low, high]).toEqual([20, 46]);
    expect(attentionFactor).toBeCloseTo(1 + Math.log(16) / 10, 12);
  });

  test('YaRN: the attention factor given, weighted, or none without stretching; a ramp without rounding', () => {
    const scaling = { kind: 'yarn', factor: 40, originalLength: 4096 } as const;
    expect(rates(64, { ...scaling, attentionFactor: 1.25 }).attentionFactor).toBe(1.25);
    expect(rates(64, { ...scaling, mscale: 1, mscaleAll: 1 }).attentionFactor).toBe(1);
    expect(rates(64, { ...scaling, mscale: 0.7, mscaleAll: 1 }).attentionFactor).toBeCloseTo(
      (0.07 * Math.log(40) + 1) / (0.1 * Math.log(40) + 1),
      12,
    );
    expect(rates(64, { ...scaling, factor: 1 }).attentionFactor).toBe(1);
    const sharp = rates(64, { ...scaling, truncate: false }).rates;
    const waves = wavelengths(rates(64).rates);
    // The ramp is linear in the logarithm of the turns: from 32 turns to 1.
    expectClose(
      sharp,
      waves.map((wave) => {
        const share = Math.min(1, Math.max(0, Math.log(32 / (4096 / wave)) / Math.log(32)));
        return (2 * Math.PI * (share / 40 + 1 - share)) / wave;
      }),
    );
  });

  test('the attention factor multiplies what queries and keys have in common', async () => {
    const options = { turned: 4, scaling: { kind: 'yarn', factor: 8, originalLength: 4, attentionFactor: 3 } } as const;
    const tables = scaledRotaryTables(6, options);
    const lengths = numbers(tables.cosines).map((c, i) => Math.hypot(c, numbers(tables.sines)[i] ?? 0));
    expect(furthest(lengths, new Array(12).fill(3))).toBeLessThan(1e-6);
    // A gradient through the scaled turn: its transpose.
    const x = random(1).normal([1, 1, 6, 4]);
    const found = (await run<Tensor, Tensor>(
      runtime,
      (given) =>
        rotary(
          given,
          constant({ dtype: 'int64', shape: [1, 6], data: BigInt64Array.from([0n, 1n, 2n, 3n, 4n, 5n]) }),
          constant(tables.cosines),
          constant(tables.sines),
        ),
      x as never,
    )) as NDArray;
    const sizes = (list: readonly number[]) =>
      Array.from({ length: 6 }, (_, row) => Math.hypot(...list.slice(4 * row, 4 * row + 4)));
    expect(
      furthest(
        sizes(numbers(found)),
        sizes(numbers(x)).map((size) => 3 * size),
      ),
    ).toBeLessThan(1e-5);
  });

  test('llama3: long waves divided, short ones kept, those between blended', () => {
    const scaling = {
      kind: 'llama3',
      factor: 8,
      originalLength: 8192,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
    } as const;
    const waves = wavelengths(rates(128, undefined, 1, 500000).rates);
    const kinds = { long: 0, short: 0, between: 0 };
    const expected = waves.map((wave) => {
      if (wave > 8192) {
        kinds.long++;
        return (2 * Math.PI) / (8 * wave);
      }
      if (wave < 2048) {
        kinds.short++;
        return (2 * Math.PI) / wave;
      }
      kinds.between++;
      const smooth = (8192 / wave - 1) / 3;
      return ((1 - smooth) * 2 * Math.PI) / (8 * wave) + (smooth * 2 * Math.PI) / wave;
    });
    expectClose(rates(128, scaling, 1, 500000).rates, expected);
    expect(Object.values(kinds).every((count) => count > 2)).toBe(true);
  });

  test('longrope: a divisor a pair, by the length of the text, and an attention factor', () => {
    const [shortFactors, longFactors] = [
      [1, 1.1, 1.2],
      [2, 4, 8],
    ];
    const scaling = { kind: 'longrope', originalLength: 100, shortFactors, longFactors, factor: 32 } as const;
    const plain = rates(6).rates;
    const divided = (list: readonly number[]) => plain.map((rate, pair) => rate / (list[pair] ?? 0));
    expectClose(rates(6, scaling, 100).rates, divided(shortFactors));
    expectClose(rates(6, scaling, 101).rates, divided(longFactors));
    expect(rates(6, scaling).attentionFactor).toBeCloseTo(Math.sqrt(1 + Math.log(32) / Math.log(100)), 12);
    expect(() => rates(8, scaling)).toThrow("The rotary scaling's shortFactors must be 4 numbers above 0.");
  });

  test('refuses what cannot be turned', () => {
    expect(() => rates(7)).toThrow('Rotary positions turn pairs of dimensions, not 7.');
    expect(() => rates(8, { kind: 'linear', factor: 0 })).toThrow(
      "The rotary scaling's factor must be above 0, not 0.",
    );
  });
});

describe('rotary positions of a config.json', () => {
  const config = { hidden_size: 256, num_attention_heads: 4, max_position_embeddings: 4096, rope_theta: 5000 };
  test.each<readonly [string, object, object]>([
    ['no scaling', { rope_scaling: null }, { turned: 64, theta: 5000 }],
    [
      'the default by name, in the newer form',
      { rope_theta: undefined, rope_parameters: { rope_type: 'default', rope_theta: 7 } },
      { turned: 64, theta: 7 },
    ],
    ['a partial turn', { partial_rotary_factor: 0.4 }, { turned: 25, theta: 5000 }],
    [
      'a partial turn in the newer form, and a head of its own',
      { head_dim: 80, rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.5 } },
      { turned: 40, theta: 5000 },
    ],
    [
      'linear, under its older name',
      { rope_scaling: { type: 'linear', factor: 4 } },
      { turned: 64, theta: 5000, scaling: { kind: 'linear', factor: 4 } },
    ],
    [
      'dynamic',
      { rope_scaling: { rope_type: 'dynamic', factor: 2 } },
      { turned: 64, theta: 5000, scaling: { kind: 'dynamic', factor: 2, originalLength: 4096 } },
    ],
    [
      'llama3',
      {
        rope_scaling: {
          rope_type: 'llama3',
          factor: 8,
          low_freq_factor: 1,
          high_freq_factor: 4,
          original_max_position_embeddings: 8192,
        },
      },
      {
        turned: 64,
        theta: 5000,
        scaling: { kind: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 8192 },
      },
    ],
    [
      'yarn as DeepSeek has it',
      {
        rope_scaling: {
          type: 'yarn',
          factor: 40,
          beta_fast: 32,
          beta_slow: 1,
          mscale: 1,
          mscale_all_dim: 1,
          original_max_position_embeddings: 4096,
        },
      },
      {
        turned: 64,
        theta: 5000,
        scaling: { kind: 'yarn', factor: 40, originalLength: 4096, betaFast: 32, betaSlow: 1, mscale: 1, mscaleAll: 1 },
      },
    ],
    [
      'yarn as gpt-oss has it',
      { rope_scaling: { rope_type: 'yarn', factor: 32, truncate: false, original_max_position_embeddings: 4096 } },
      { turned: 64, theta: 5000, scaling: { kind: 'yarn', factor: 32, originalLength: 4096, truncate: false } },
    ],
    [
      'longrope as Phi-3 has it',
      {
        original_max_position_embeddings: 1024,
        rope_scaling: { type: 'su', short_factor: [1, 2], long_factor: [3, 4] },
      },
      {
        turned: 64,
        theta: 5000,
        scaling: { kind: 'longrope', originalLength: 1024, shortFactors: [1, 2], longFactors: [3, 4], factor: 4 },
      },
    ],
  ])('%s', (_name, extra, expected) => {
    expect(readRotaryOptions({ ...config, ...extra })).toEqual(expected);
  });

  test('one for each type of layer', () => {
    const rope_parameters = {
      full_attention: { rope_type: 'linear', rope_theta: 1e6, factor: 8 },
      sliding_attention: { rope_type: 'default', rope_theta: 1e4 },
    };
    expect(readRotaryOptions({ ...config, rope_parameters }, 'full_attention')).toEqual({
      turned: 64,
      theta: 1e6,
      scaling: { kind: 'linear', factor: 8 },
    });
    expect(() => readRotaryOptions({ ...config, rope_parameters })).toThrow('several types of layers');
  });

  test('what is not known or not there is named', () => {
    const read = (rope_scaling: unknown) => () => readRotaryOptions({ ...config, rope_scaling });
    expect(read({ type: 'mrope', mrope_section: [1] })).toThrow('asks for rotary positions of type "mrope"');
    expect(read({ type: 'linear' })).toThrow('The rotary parameters lack the number "factor".');
    expect(read({ type: 'linear', factor: '2' })).toThrow('"factor" in config.json is "2", not a number.');
    expect(read({ type: 'longrope', factor: 2, short_factor: [1] })).toThrow('lack the list of numbers "long_factor"');
    expect(read(7)).toThrow('The rotary parameters in config.json are no object.');
    expect(() => readRotaryOptions({})).toThrow('lacks the numbers "hidden_size" and "num_attention_heads"');
  });
});

describe('axial rotary positions', () => {
  test('turn half of the pairs with the row, half with the column, and leave what is before', () => {
    const [rows, columns, head, before] = [3, 4, 16, 2];
    const { cosines, sines } = axialRotaryTables({ rows, columns, head, before });
    expect(cosines.shape).toEqual([14, 8]);
    const [c, s] = [numbers(cosines), numbers(sines)];
    expect(c.slice(0, 16)).toEqual(new Array(16).fill(1));
    expect(s.slice(0, 16)).toEqual(new Array(16).fill(0));
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        const row = (before + y * columns + x) * 8;
        const angles = [y, x].flatMap((place) =>
          [1, 100 ** -0.25, 100 ** -0.5, 100 ** -0.75].map((rate) => place * rate),
        );
        expect(furthest(c.slice(row, row + 8), angles.map(Math.cos))).toBeLessThan(1e-6);
        expect(furthest(s.slice(row, row + 8), angles.map(Math.sin))).toBeLessThan(1e-6);
      }
    }
  });

  test('make scores depend on the two distances only', async () => {
    const { cosines, sines } = axialRotaryTables({ rows: 4, columns: 4, head: 8 });
    const [query, key] = [random(1).normal([8]), random(2).normal([8])];
    const everywhere = (x: NDArray): NDArray => ({
      ...x,
      shape: [1, 1, 16, 8],
      data: Float32Array.from({ length: 128 }, (_, i) => Number(x.data[i % 8])),
    });
    const positions = constant({
      dtype: 'int64',
      shape: [1, 16],
      data: BigInt64Array.from({ length: 16 }, (_, i) => BigInt(i)),
    });
    const turned = await run<readonly Tensor[], readonly Tensor[]>(
      runtime,
      (given) => given.map((x) => rotary(x, positions, constant(cosines), constant(sines))),
      [everywhere(query), everywhere(key)] as never,
    );
    const [q, k] = (turned as unknown as readonly NDArray[]).map(numbers);
    const score = (a: number, b: number) =>
      Array.from({ length: 8 }, (_, d) => (q?.[a * 8 + d] ?? 0) * (k?.[b * 8 + d] ?? 0)).reduce((x, y) => x + y, 0);
    // From (y, x) to (y + 1, x + 2), wherever that is.
    const same = [
      [0, 6],
      [1, 7],
      [4, 10],
      [9, 15],
    ].map(([a = 0, b = 0]) => score(a, b));
    for (const value of same) expect(value).toBeCloseTo(same[0] ?? Number.NaN, 5);
    expect(Math.abs(score(0, 9) - score(0, 6))).toBeGreaterThan(1e-3);
  });

  test('refuse a head that does not divide', () => {
    expect(() => axialRotaryTables({ rows: 2, columns: 2, head: 6 })).toThrow('a head of a multiple of 4');
  });
});
