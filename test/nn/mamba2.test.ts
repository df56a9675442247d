/** Mamba-2 against a loop in float64: whole rows, steps from states handed on, gradients, fresh parameters, cost. */

import {
  frozen,
  initialMamba2State,
  initMamba2,
  type Mamba2Carry,
  type Mamba2Options,
  type Mamba2Parameters,
  type Mamba2State,
  mamba2,
  mamba2Sizes,
  mamba2StateSpecs,
  stateSpace,
} from 'tessera-kit/nn';
import {
  array,
  arrayLeaves,
  concat,
  constant,
  evaluate,
  exportProgram,
  gradients,
  mapArrays,
  mul,
  type NDArray,
  random,
  reshape,
  slice,
  sum,
  type Tensor,
} from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';
import { testRuntime } from '../runtime.js';

const runtime = await testRuntime();

type Weights = Mamba2Parameters<NDArray>;

const silu = (x: number) => x / (1 + Math.exp(-x));
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const numbers = (x: NDArray | undefined): number[] =>
  x === undefined ? [] : Array.from({ length: x.data.length }, (_, i) => Number(x.data[i]));

/** Row vectors times a matrix `[in, out]`. */
function times(rows: readonly (readonly number[])[], matrix: NDArray): number[][] {
  const [inputs = 0, outputs = 0] = matrix.shape;
  return rows.map((row) =>
    Array.from({ length: outputs }, (_, o) => {
      let total = 0;
      for (let i = 0; i < inputs; i++) total += (row[i] ?? 0) * Number(matrix.data[i * outputs + o]);
      return total;
    }),
  );
}

/** The layer on one row of `[time][width]`, position by position in float64, as the paper's recurrence says. */
function direct(weights: Weights, options: Mamba2Options, x: readonly (readonly number[])[]): number[][] {
  const { inner, heads, head, groups, state, channels, convolution } = mamba2Sizes(options);
  const [kernel, bias] = [numbers(weights.convolution.weight), numbers(weights.convolution.bias)];
  const [dtBias, logA, skip, norm] = [weights.dtBias, weights.logA, weights.skip, weights.norm.weight].map(numbers);
  const states = new Float64Array(heads * head * state);
  const projected = times(x, weights.in.weight);
  const rows = projected.map((row, t) => {
    const near = Array.from({ length: channels }, (_, c) => {
      let total = bias[c] ?? 0;
      for (let k = 0; k < convolution; k++) {
        total += (kernel[c * convolution + k] ?? 0) * (projected[t - convolution + 1 + k]?.[inner + c] ?? 0);
      }
      return silu(total);
    });
    const y = Array.from({ length: inner }, (_, channel) => {
      const h = Math.floor(channel / head);
      const group = Math.floor(h / (heads / groups));
      const dt = softplus((row[inner + channels + h] ?? 0) + (dtBias?.[h] ?? 0));
      const decay = Math.exp(-dt * Math.exp(logA?.[h] ?? 0));
      let read = (skip?.[h] ?? 0) * (near[channel] ?? 0);
      for (let n = 0; n < state; n++) {
        const at = channel * state + n;
        states[at] = (states[at] ?? 0) * decay + dt * (near[channel] ?? 0) * (near[inner + group * state + n] ?? 0);
        read += (states[at] ?? 0) * (near[inner + (groups + group) * state + n] ?? 0);
      }
      return read;
    });
    const gate = row.slice(0, inner).map(silu);
    const before = options.normBeforeGate === true ? y : y.map((value, i) => value * (gate[i] ?? 0));
    const width = inner / groups;
    const normal = before.map((value, i) => {
      const start = Math.floor(i / width) * width;
      const mean = before.slice(start, start + width).reduce((total, v) => total + v * v, 0) / width;
      return (value / Math.sqrt(mean + 1e-5)) * (norm?.[i] ?? 0);
    });
    return options.normBeforeGate === true ? normal.map((value, i) => value * (gate[i] ?? 0)) : normal;
  });
  return times(rows, weights.out.weight);
}

function directRows(weights: Weights, options: Mamba2Options, x: NDArray): number[] {
  const [batch = 1, time = 1, width = 1] = x.shape;
  const values = numbers(x);
  return Array.from({ length: batch }, (_, b) =>
    direct(
      weights,
      options,
      Array.from({ length: time }, (_, t) => values.slice((b * time + t) * width, (b * time + t + 1) * width)),
    ),
  ).flat(2);
}

function whole(options: Mamba2Options) {
  return (parameters: Mamba2Parameters, x: Tensor): Tensor => {
    const [batch = 1, time = 1] = x.shape;
    const flat = reshape(x, [-1, options.width]);
    return reshape(mamba2(parameters, flat, { ...options, layer: 0, batch, time }), x.shape);
  };
}

/** Fresh weights with larger, different values than those of a start, so that every part counts. */
function lively(options: Mamba2Options, seed: number): Weights {
  const fresh = initMamba2(random(seed), { ...options, deviation: 0.3, outDeviation: 0.3 });
  const { inner, heads } = mamba2Sizes(options);
  return {
    ...fresh,
    skip: random(seed).child('skip').normal([heads]),
    norm: { weight: random(seed).child('norm').uniform([inner], 0.5, 1.5) },
    dtBias: random(seed).child('dt').uniform([heads], -3, 1),
  };
}

function furthest(found: readonly number[], expected: readonly number[]): number {
  expect(found.length).toBe(expected.length);
  return expected.reduce((most, value, i) => Math.max(most, Math.abs((found[i] ?? Number.NaN) - value)), 0);
}

const SMALL: Mamba2Options = { width: 12, head: 4, state: 5, chunk: 8 };
const SHAPES: readonly (readonly [string, Mamba2Options, number])[] = [
  ['several chunks, the last not full', SMALL, 27],
  ['whole chunks', SMALL, 16],
  ['less than a chunk', SMALL, 5],
  ['one position', SMALL, 1],
  ['groups that share B and C', { ...SMALL, head: 3, groups: 2 }, 21],
  ['the norm before the gate', { ...SMALL, normBeforeGate: true }, 11],
  ['a wider convolution and no expansion', { ...SMALL, expand: 1, convolution: 6 }, 19],
];

describe('whole rows', () => {
  test.each(SHAPES)('equal the recurrence, position by position: %s', async (_name, options, time) => {
    const weights = lively(options, 3);
    const x = random(4).normal([2, time, options.width]);
    const found = await evaluate(whole(options), weights, x);
    expect(furthest(numbers(found), directRows(weights, options, x))).toBeLessThan(2e-5);
  });
});

interface Step {
  readonly x: Tensor;
  readonly lengths: Tensor;
}

/** Reads the rows of `x` in calls that give each row its own number of new positions; what each row gave, in order. */
async function inPieces(
  options: Mamba2Options,
  weights: Weights,
  x: NDArray,
  pieces: readonly (readonly number[])[],
): Promise<number[]> {
  const [batch = 1, time = 1, width = 1] = x.shape;
  const values = numbers(x);
  const program = await runtime.compile<{ readonly kept: readonly Mamba2State[] }, Step, Tensor>(
    ({ kept }, input) => {
      const next: Mamba2State[] = [];
      const [, positions = 1] = input.x.shape;
      const carry = { states: kept, lengths: input.lengths, next };
      const flat = reshape(input.x, [-1, width]);
      const out = mamba2(frozen<Mamba2Parameters>(weights), flat, {
        ...options,
        layer: 0,
        batch: 'batch',
        time: positions,
        carry,
      });
      return { state: { kept: next }, out };
    },
    {
      state: { kept: [mamba2StateSpecs(options, 'batch')] },
      input: {
        x: { dtype: 'float32', shape: ['batch', 'time', width] },
        lengths: { dtype: 'int32', shape: ['batch'] },
      },
    },
  );
  const state = await runtime.upload<{ readonly kept: readonly Mamba2State<NDArray>[] }>({
    kept: [initialMamba2State(options, batch)],
  });
  const read = new Array<number>(batch).fill(0);
  const given: number[][] = Array.from({ length: batch }, () => []);
  for (const lengths of pieces) {
    const most = Math.max(1, ...lengths);
    // Positions beyond a row's length hold numbers that must not matter.
    const rows = Array.from({ length: batch * most * width }, (_, i) => 50 + (i % 7));
    for (const [row, length] of lengths.entries()) {
      const from = (row * time + (read[row] ?? 0)) * width;
      for (const [i, value] of values.slice(from, from + length * width).entries())
        rows[row * most * width + i] = value;
    }
    const { out } = await program.run(state as never, {
      x: array(rows, [batch, most, width]),
      lengths: array(lengths, [batch], 'int32'),
    });
    const found = numbers(out);
    for (const [row, length] of lengths.entries()) {
      given[row]?.push(...found.slice(row * most * width, (row * most + length) * width));
      read[row] = (read[row] ?? 0) + length;
    }
  }
  await program.dispose();
  await state.dispose();
  return given.flat();
}

describe('steps from states that are handed on', () => {
  const options = { ...SMALL, groups: 2, head: 3 };
  const weights = lively(options, 3);
  const x = random(4).normal([2, 21, options.width]);
  const pieces: Readonly<Record<string, readonly (readonly number[])[]>> = {
    'one position at a time': Array.from({ length: 21 }, () => [1, 1]),
    'a prompt, then one at a time': [[15, 15], ...Array.from({ length: 6 }, () => [1, 1])],
    'rows of different lengths, some of them 0': [
      [2, 9],
      [0, 1],
      [1, 0],
      [11, 4],
      [0, 0],
      [6, 3],
      [1, 4],
    ],
  };
  test.each(Object.entries(pieces))('give what whole rows give: %s', async (_name, lengths) => {
    const found = await inPieces(options, weights, x, lengths);
    expect(furthest(found, directRows(weights, options, x))).toBeLessThan(2e-5);
    expect(furthest(found, numbers(await evaluate(whole(options), weights, x)))).toBeLessThan(4e-5);
  });

  test('in chunks, where more positions of known number come than a chunk holds', async () => {
    const first = 4;
    const found = await evaluate(
      (parameters: Mamba2Parameters, rows: Tensor, initial: Mamba2State, lengths: Tensor) => {
        let carry: Mamba2Carry = { states: [initial], next: [] };
        const read = (from: number, to: number): Tensor => {
          const now = reshape(slice(rows, 1, from, to), [2 * (to - from), options.width]);
          const y = mamba2(parameters, now, { ...options, layer: 0, batch: 2, time: to - from, carry });
          carry = { states: carry.next, lengths, next: [] };
          return reshape(y, [2, to - from, options.width]);
        };
        const early = read(0, first);
        // The second row ends 3 positions before the last.
        const late = read(first, 21);
        return { y: concat([early, late], 1), kept: carry.states };
      },
      weights,
      x,
      initialMamba2State(options, 2),
      array([21 - first, 18 - first], [2], 'int32'),
    );
    const expected = directRows(weights, options, x);
    const real = (list: readonly number[]) => list.slice(0, (21 + 18) * options.width);
    expect(furthest(real(numbers(found.y)), real(expected))).toBeLessThan(2e-5);
    const alone = await evaluate(
      (parameters: Mamba2Parameters, rows: Tensor, initial: Mamba2State) => {
        const next: Mamba2State[] = [];
        const flat = reshape(slice(slice(rows, 0, 1, 2), 1, 0, 18), [18, options.width]);
        const carry = { states: [initial], next };
        const y = mamba2(parameters, flat, { ...options, layer: 0, batch: 1, time: 18, carry });
        return { y, next };
      },
      weights,
      x,
      initialMamba2State(options, 1),
    );
    for (const name of ['convolution', 'states'] as const) {
      const both = numbers(found.kept[0]?.[name]);
      expect(furthest(both.slice(both.length / 2), numbers(alone.next[0]?.[name])), name).toBeLessThan(1e-5);
    }
  });

  test('for a program of single positions, without lengths, the same', async () => {
    const single = await evaluate(
      (parameters: Mamba2Parameters, rows: Tensor, initial: Mamba2State) => {
        let states = initial;
        const outputs: Tensor[] = [];
        for (let t = 0; t < 5; t++) {
          const next: Mamba2State[] = [];
          const now = reshape(slice(rows, 1, t, t + 1), [2, options.width]);
          const carry = { states: [states], next };
          outputs.push(mamba2(parameters, now, { ...options, layer: 0, batch: 2, time: 1, carry }));
          states = next[0] ?? initial;
        }
        return reshape(
          concat(
            outputs.map((y) => reshape(y, [2, 1, options.width])),
            1,
          ),
          [2, 5, options.width],
        );
      },
      weights,
      { ...x, shape: [2, 21, options.width] },
      initialMamba2State(options, 2),
    );
    const first = numbers(x).filter((_, i) => i % (21 * options.width) < 5 * options.width);
    const expected = directRows(weights, options, array(first, [2, 5, options.width]));
    expect(furthest(numbers(single), expected)).toBeLessThan(2e-5);
  });
});

describe('gradients', () => {
  test.each(SHAPES)('agree with directional differences of the loop in float64: %s', async (_name, options, time) => {
    const weights = lively(options, 7);
    const x = random(8).normal([1, time, options.width]);
    const factors = random(9).normal([1, time, options.width]);
    const slopes = await evaluate(
      (parameters: Mamba2Parameters, rows: Tensor, w: Tensor) =>
        gradients(sum(mul(whole(options)(parameters, rows), w)), { parameters, rows }),
      weights,
      x,
      factors,
    );
    const loss = (tree: { readonly parameters: Weights; readonly rows: NDArray }): number =>
      directRows(tree.parameters, options, tree.rows).reduce((total, y, i) => total + y * (factors.data[i] ?? 0), 0);
    const base = { parameters: weights, rows: x };
    for (const [path, slope] of arrayLeaves(slopes)) {
      const along = random(10).child(path).normal([slope.data.length]).data;
      const moved = (step: number) =>
        loss(
          mapArrays(base, (leaf, at) =>
            at !== path
              ? leaf
              : {
                  dtype: 'float64',
                  shape: leaf.shape,
                  data: Float64Array.from(numbers(leaf), (v, i) => v + step * (along[i] ?? 0)),
                },
          ) as typeof base,
        );
      const step = 2 ** -12;
      const numeric = (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * step);
      const terms = numbers(slope).map((value, i) => value * (along[i] ?? 0));
      const size = terms.reduce((total, term) => total + Math.abs(term), 1);
      const analytic = terms.reduce((total, term) => total + term, 0);
      expect(Math.abs(analytic - numeric) / size, path).toBeLessThan(2e-5);
    }
  });
});

test('products grow in proportion to the length', () => {
  const options = { width: 64, head: 16, state: 16 };
  const flops = (time: number) =>
    exportProgram<object, { readonly x: Tensor }, Tensor>(
      (_state, { x }) => ({ out: whole(options)(frozen<Mamba2Parameters>(initMamba2(random(1), options)), x) }),
      { state: {}, input: { x: { dtype: 'float32', shape: [1, time, 64] } } },
    ).flops;
  expect(Math.log2(flops(8192) / flops(2048)) / 2).toBeLessThan(1.05);
});

describe('a recurrence of strong decays beside weak ones', () => {
  test('keeps its digits over long chunks', async () => {
    const [time, state] = [300, 4];
    const draw = random(11);
    const rates = Array.from(draw.child('dt').uniform([time], 0, 1).data, (u) => (u < 0.1 ? 400 * u : 1e-3 * u));
    const [x, b, c] = [
      draw.child('x').normal([time]),
      draw.child('b').normal([time, state]),
      draw.child('c').normal([time, state]),
    ];
    const { y } = await evaluate(
      (dt: Tensor, values: Tensor, keys: Tensor, queries: Tensor) =>
        stateSpace(
          {
            x: reshape(values, [1, time, 1, 1]),
            dt: reshape(dt, [1, time, 1]),
            a: constant(array([-4])),
            b: reshape(keys, [1, time, 1, state]),
            c: reshape(queries, [1, time, 1, state]),
          },
          128,
        ),
      array(rates),
      x,
      b,
      c,
    );
    const states = new Float64Array(state);
    const expected = Array.from({ length: time }, (_, t) => {
      const dt = Math.fround(rates[t] ?? 0);
      let read = 0;
      for (let n = 0; n < state; n++) {
        states[n] = (states[n] ?? 0) * Math.exp(-4 * dt) + dt * (x.data[t] ?? 0) * (b.data[t * state + n] ?? 0);
        read += (states[n] ?? 0) * (c.data[t * state + n] ?? 0);
      }
      return read;
    });
    const largest = Math.max(...expected.map(Math.abs));
    expect(furthest(numbers(y), expected) / largest).toBeLessThan(1e-6);
  });
});

describe('fresh parameters', () => {
  const options = { width: 2048, head: 8, state: 2 };
  const fresh = initMamba2(random(1), options);

  test('have step sizes log-uniform from 0.001 to 0.1, rates uniform from 1 to 16 and skips of 1', () => {
    const logarithms = numbers(fresh.dtBias).map((bias) => Math.log10(softplus(bias)));
    const rates = numbers(fresh.logA).map(Math.exp);
    const mean = (list: readonly number[]) => list.reduce((total, value) => total + value, 0) / list.length;
    expect(Math.min(...logarithms)).toBeGreaterThan(-3.0001);
    expect(Math.max(...logarithms)).toBeLessThan(-0.9999);
    expect(mean(logarithms)).toBeCloseTo(-2, 1);
    expect(Math.min(...rates)).toBeGreaterThan(0.9999);
    expect(Math.max(...rates)).toBeLessThan(16.0001);
    expect(Math.abs(mean(rates) - 8.5)).toBeLessThan(0.7);
    expect(new Set(numbers(fresh.skip))).toEqual(new Set([1]));
    expect(Math.max(...numbers(fresh.convolution.weight).map(Math.abs))).toBeLessThanOrEqual(0.5);
  });

  test('have the published shapes, transposed', () => {
    const shapes = Object.fromEntries(arrayLeaves(fresh).map(([path, leaf]) => [path, leaf.shape]));
    expect(shapes).toEqual({
      'in.weight': [2048, 2 * 4096 + 2 * 2 + 512],
      'convolution.weight': [4096 + 2 * 2, 4],
      'convolution.bias': [4096 + 2 * 2],
      dtBias: [512],
      logA: [512],
      skip: [512],
      'norm.weight': [4096],
      'out.weight': [4096, 2048],
    });
  });
});

test.each([
  [{ width: 12, head: 5 }, 'does not divide into heads of 5'],
  [{ width: 12, head: 8, groups: 2 }, '2 groups'],
  [{ width: 12, head: 4, state: 0 }, 'a whole number from 1 for state, not 0'],
] as const)('sizes that do not divide are refused: %j', (options, sentence) => {
  expect(() => mamba2Sizes(options)).toThrow(sentence);
});
