/** Norms against their formulas, place by place in float64, and their slopes against central differences. */

import {
  adaLNZero,
  adaptiveLayerNorm,
  film,
  type GroupNormOptions,
  groupNorm,
  initGroupNorm,
  initModulation,
  initWeightNormLinear,
  instanceNorm,
  type LinearParameters,
  l2Normalize,
  modulate,
  type NormParameters,
  type WeightNormParameters,
  weightNormLinear,
} from 'tessera-kit/nn';
import { mul, type NDArray, random, type Tensor, tanh, transpose } from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';
import { testRuntime } from '../runtime.js';
import { doubles, furthest, numbers, run, slopeError } from './checks.js';

const runtime = await testRuntime();

interface Normed<L = Tensor> {
  readonly x: L;
  readonly parameters: Partial<NormParameters<L>>;
}

/** Normal values with a mean and a deviation of their own in each sample. */
function uneven(shape: readonly number[], seed: number): NDArray {
  const x = random(seed).normal(shape);
  const each = x.data.length / (shape[0] ?? 1);
  return { ...x, data: x.data.map((value, i) => value * (1 + Math.floor(i / each)) + 2) };
}

const moments = (list: readonly number[]): readonly [number, number] => {
  const mean = list.reduce((a, b) => a + b, 0) / list.length;
  return [mean, list.reduce((a, b) => a + (b - mean) ** 2, 0) / list.length];
};

function direct({ x, parameters }: Normed<NDArray>, options: GroupNormOptions): number[] {
  const { groups, layout = 'channels-first', epsilon = 1e-5 } = options;
  const [batch = 1] = x.shape;
  const channels = (layout === 'channels-first' ? x.shape[1] : x.shape.at(-1)) ?? 1;
  const places = x.data.length / batch / channels;
  const index = (b: number, c: number, p: number) =>
    layout === 'channels-first' ? (b * channels + c) * places + p : (b * places + p) * channels + c;
  const out = new Array<number>(x.data.length);
  for (let b = 0; b < batch; b++) {
    for (let g = 0; g < groups; g++) {
      const own: number[] = [];
      for (let c = (g * channels) / groups; c < ((g + 1) * channels) / groups; c++)
        for (let p = 0; p < places; p++) own.push(index(b, c, p));
      const [mean, variance] = moments(own.map((i) => Number(x.data[i])));
      for (const i of own) {
        const c = layout === 'channels-first' ? Math.floor(i / places) % channels : i % channels;
        const normal = (Number(x.data[i]) - mean) / Math.sqrt(variance + epsilon);
        out[i] = normal * Number(parameters.weight?.data[c] ?? 1) + Number(parameters.bias?.data[c] ?? 0);
      }
    }
  }
  return out;
}

describe('group norm', () => {
  const affine = (channels: number): NormParameters<NDArray> => ({
    weight: random(1).uniform([channels], 0.5, 2),
    bias: random(2).normal([channels]),
  });
  const cases: readonly (readonly [string, readonly number[], GroupNormOptions, boolean])[] = [
    ['pictures', [2, 6, 3, 4], { groups: 3 }, true],
    ['pictures, channels last', [2, 3, 4, 6], { groups: 3, layout: 'channels-last' }, true],
    ['sound', [3, 4, 7], { groups: 2 }, true],
    ['volumes, channels last', [2, 2, 3, 2, 4], { groups: 2, layout: 'channels-last' }, true],
    ['rows without places', [3, 8], { groups: 2 }, true],
    ['rows without places, channels last', [3, 8], { groups: 4, layout: 'channels-last' }, true],
    ['one group, not affine, a larger epsilon', [2, 4, 5], { groups: 1, epsilon: 0.5 }, false],
  ];
  const apply =
    (options: GroupNormOptions) =>
    ({ x, parameters }: Normed): Tensor =>
      groupNorm(parameters, x, options);

  test.each(cases)('equals its formula and has its slopes: %s', async (_name, shape, options, withParameters) => {
    const channels = (options.layout === 'channels-last' ? shape.at(-1) : shape[1]) ?? 1;
    const given = { x: uneven(shape, 5), parameters: withParameters ? affine(channels) : {} };
    const found = (await run<Normed, Tensor>(runtime, apply(options), given as never)) as NDArray;
    expect(furthest(numbers(found), direct(given, options))).toBeLessThan(5e-6);
    const double = (await run<Normed, Tensor>(runtime, apply(options), doubles(given) as never)) as NDArray;
    expect(furthest(numbers(double), direct(given, options))).toBeLessThan(1e-12);
    expect(await slopeError<Normed>(runtime, apply(options), given as never)).toBeLessThan(1e-8);
  });

  test('with as many groups as channels is instance norm, and starts as the identity of normed values', async () => {
    for (const layout of ['channels-first', 'channels-last'] as const) {
      const given = { x: uneven([2, 3, 3], 6), parameters: initGroupNorm(3) };
      const found = (await run<Normed, Tensor>(
        runtime,
        ({ x, parameters }) => instanceNorm(parameters, x, { layout }),
        given as never,
      )) as NDArray;
      expect(furthest(numbers(found), direct({ x: given.x, parameters: {} }, { groups: 3, layout }))).toBeLessThan(
        5e-6,
      );
    }
  });

  test('refuses groups that do not divide the channels', async () => {
    const given = { x: uneven([2, 6, 3], 5), parameters: {} };
    await expect(run<Normed, Tensor>(runtime, apply({ groups: 4 }), given as never)).rejects.toThrow(
      'groupNorm cannot make 4 groups of the channels of [2, 6, 3], channels-first.',
    );
  });
});

describe('length norms', () => {
  test('L2: rows have length 1, zeros stay zeros and have finite slopes', async () => {
    const x = random(3).normal([3, 4]);
    x.data.fill(0, 4, 8);
    const found = numbers((await run<Tensor, Tensor>(runtime, (t) => l2Normalize(t), x as never)) as NDArray);
    const lengths = [0, 1, 2].map((row) => Math.hypot(...found.slice(4 * row, 4 * row + 4)));
    expect(furthest(lengths, [1, 0, 1])).toBeLessThan(1e-6);
    const first = numbers(x).slice(0, 4);
    expect(
      furthest(
        found.slice(0, 4),
        first.map((v) => v / Math.hypot(...first)),
      ),
    ).toBeLessThan(1e-6);
    expect(await slopeError<Tensor>(runtime, (t) => l2Normalize(t, 0), random(4).normal([3, 4]) as never)).toBeLessThan(
      1e-8,
    );
    // At zeros the length is below the bound, which leaves a slope of 1 / epsilon.
    expect(await slopeError<Tensor>(runtime, (t) => l2Normalize(t, -1, 0.1), x as never)).toBeLessThan(1e-8);
  });

  interface Linear<L = Tensor> {
    readonly x: L;
    readonly parameters: WeightNormParameters<L>;
  }
  const apply = ({ x, parameters }: Linear): Tensor => weightNormLinear(parameters, x);

  test('of weights: starts as the plain layer, and a direction has no length of its own', async () => {
    const parameters = initWeightNormLinear(random(7), 5, 3, { bias: true, deviation: 1 });
    const given = { x: random(8).normal([4, 5]), parameters };
    const found = numbers((await run<Linear, Tensor>(runtime, apply, given as never)) as NDArray);
    const plain = Array.from({ length: 12 }, (_, i) => {
      let value = 0;
      for (let k = 0; k < 5; k++)
        value += Number(given.x.data[Math.floor(i / 3) * 5 + k]) * Number(parameters.direction.data[k * 3 + (i % 3)]);
      return value;
    });
    expect(furthest(found, plain)).toBeLessThan(1e-5);
    const longer = {
      ...parameters,
      direction: { ...parameters.direction, data: (parameters.direction.data as Float32Array).map((v) => 9 * v) },
    };
    const same = (await run<Linear, Tensor>(runtime, apply, { ...given, parameters: longer } as never)) as NDArray;
    expect(furthest(numbers(same), found)).toBeLessThan(1e-5);
    expect(await slopeError<Linear>(runtime, apply, given as never)).toBeLessThan(1e-8);
  });
});

interface Conditioned<L = Tensor> {
  readonly x: L;
  readonly condition: L;
  readonly parameters: LinearParameters<L>;
}

describe('norms with a condition', () => {
  const given = (shape: readonly number[], width: number, parts = 2, deviation = 0.5): Conditioned<NDArray> => ({
    x: uneven(shape, 1),
    condition: random(2).normal([2, 5]),
    parameters: initModulation(random(3), { condition: 5, width, parts, deviation }),
  });

  /** `parts` vectors of a sample. */
  function vectors({ condition, parameters }: Conditioned<NDArray>, sample: number, parts: number): number[][] {
    const outputs = parameters.weight.shape[1] ?? 1;
    const all = Array.from({ length: outputs }, (_, column) => {
      let value = Number(parameters.bias?.data[column] ?? 0);
      for (let k = 0; k < 5; k++) {
        const c = Number(condition.data[sample * 5 + k]);
        value += (c / (1 + Math.exp(-c))) * Number(parameters.weight.data[k * outputs + column]);
      }
      return value;
    });
    return Array.from({ length: parts }, (_, part) =>
      all.slice((part * outputs) / parts, ((part + 1) * outputs) / parts),
    );
  }

  test('FiLM scales and shifts each channel of a sample, wherever the channels are', async () => {
    const one = given([2, 3, 2, 2], 3);
    const f = ({ x, condition, parameters }: Conditioned) => film(parameters, x, condition, { axis: 1 });
    const found = numbers((await run<Conditioned, Tensor>(runtime, f, one as never)) as NDArray);
    const expected = numbers(one.x).map((value, i) => {
      const [shift, scale] = vectors(one, Math.floor(i / 12), 2);
      const channel = Math.floor(i / 4) % 3;
      return value * (1 + (scale?.[channel] ?? 0)) + (shift?.[channel] ?? 0);
    });
    expect(furthest(found, expected)).toBeLessThan(1e-5);
    const last = ({ x, condition, parameters }: Conditioned) =>
      transpose(film(parameters, transpose(x, [0, 2, 3, 1]), condition), [0, 3, 1, 2]);
    expect(
      furthest(numbers((await run<Conditioned, Tensor>(runtime, last, one as never)) as NDArray), found),
    ).toBeLessThan(1e-6);
    expect(await slopeError<Conditioned>(runtime, f, one as never)).toBeLessThan(1e-8);
  });

  test('adaptive layer norm scales and shifts normed rows', async () => {
    const one = given([2, 3, 4], 4);
    const f = ({ x, condition, parameters }: Conditioned) => adaptiveLayerNorm(parameters, x, condition);
    const found = numbers((await run<Conditioned, Tensor>(runtime, f, one as never)) as NDArray);
    const expected = numbers(one.x).map((value, i) => {
      const row = Math.floor(i / 4);
      const [mean, variance] = moments(numbers(one.x).slice(4 * row, 4 * row + 4));
      const [shift, scale] = vectors(one, Math.floor(i / 12), 2);
      return ((value - mean) / Math.sqrt(variance + 1e-6)) * (1 + (scale?.[i % 4] ?? 0)) + (shift?.[i % 4] ?? 0);
    });
    expect(furthest(found, expected)).toBeLessThan(1e-5);
    expect(await slopeError<Conditioned>(runtime, f, one as never)).toBeLessThan(1e-8);
  });

  test('adaLN-Zero is the identity at the start, then a gated branch of a modulated norm', async () => {
    const f = ({ x, condition, parameters }: Conditioned) =>
      adaLNZero(parameters, x, condition, (normal) => tanh(mul(normal, 2)));
    const fresh = given([2, 3, 4], 4, 3, 0);
    const same = (await run<Conditioned, Tensor>(runtime, f, fresh as never)) as NDArray;
    expect(numbers(same)).toEqual(numbers(fresh.x));
    const one = given([2, 3, 4], 4, 3);
    const found = numbers((await run<Conditioned, Tensor>(runtime, f, one as never)) as NDArray);
    const expected = numbers(one.x).map((value, i) => {
      const row = Math.floor(i / 4);
      const [mean, variance] = moments(numbers(one.x).slice(4 * row, 4 * row + 4));
      const [shift, scale, gate] = vectors(one, Math.floor(i / 12), 3);
      const normal =
        ((value - mean) / Math.sqrt(variance + 1e-6)) * (1 + (scale?.[i % 4] ?? 0)) + (shift?.[i % 4] ?? 0);
      return value + (gate?.[i % 4] ?? 0) * Math.tanh(2 * normal);
    });
    expect(furthest(found, expected)).toBeLessThan(1e-5);
    expect(await slopeError<Conditioned>(runtime, f, one as never)).toBeLessThan(1e-8);
    // A fresh gate lets no gradient to the branch but one to itself, so that training can start.
    expect(await slopeError<Conditioned>(runtime, f, fresh as never)).toBeLessThan(1e-8);
  });

  test('refuse what does not fit', async () => {
    const one = given([2, 3, 4], 3);
    await expect(
      run<Conditioned, Tensor>(runtime, ({ x, condition }) => modulate(x, condition, condition), one as never),
    ).rejects.toThrow('A modulation of [2, 5] does not fit axis -1 of [2, 3, 4].');
  });
});
