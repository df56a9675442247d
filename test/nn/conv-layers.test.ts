/** Convolution layers and batch normalization against loops and formulas, and a small net of all of them that learns. */

import {
  adamW,
  applyConv1d,
  applyConv2d,
  applyConvTranspose2d,
  applySeparableConv2d,
  type BatchNormState,
  batchNorm,
  type ConvParameters,
  initBatchNorm,
  initConv1d,
  initConv2d,
  initConvTranspose1d,
  initConvTranspose2d,
  initialBatchNormState,
  initLinear,
  initSeparableConv2d,
  type LinearParameters,
  linear,
  type NormParameters,
} from 'tessera-kit/nn';
import {
  type Arrays,
  array,
  arrayLeaves,
  type Call,
  cast,
  constant,
  crossEntropyRows,
  evaluate,
  globalAvgPool,
  gradients,
  maxPool2d,
  mean,
  mul,
  type NDArray,
  random,
  relu,
  specsOf,
  sum,
  type Tensor,
  TesseraError,
} from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';
import { testRuntime } from '../runtime.js';

const runtime = await testRuntime();

const numbers = (x: NDArray | undefined): number[] => Array.from(x?.data ?? [], Number);
const largest = (a: readonly number[], b: readonly number[]): number => {
  expect(a.length).toBe(b.length);
  return Math.max(...a.map((value, index) => Math.abs(value - (b[index] ?? Number.NaN))));
};

describe('fresh parameters', () => {
  test.each([
    ['conv1d', initConv1d(random(1), { inputs: 6, outputs: 8, kernel: 5, groups: 2 }), [8, 3, 5], 3 * 5],
    ['conv2d', initConv2d(random(1), { inputs: 6, outputs: 8, kernel: [3, 2] }), [8, 6, 3, 2], 6 * 6],
    ['convTranspose1d', initConvTranspose1d(random(1), { inputs: 6, outputs: 8, kernel: 4 }), [6, 8, 4], 8 * 4],
    [
      'convTranspose2d',
      initConvTranspose2d(random(1), { inputs: 6, outputs: 8, kernel: 2, groups: 2 }),
      [6, 4, 2, 2],
      4 * 4,
    ],
  ] as const)('of %s fill their fan-in bound and do not pass it', (_name, { weight, bias }, shape, fanIn) => {
    expect(weight.shape).toEqual(shape);
    expect(bias?.shape).toEqual([8]);
    const top = Math.max(...[...numbers(weight), ...numbers(bias)].map(Math.abs));
    expect(top).toBeLessThanOrEqual(1 / Math.sqrt(fanIn));
    expect(top).toBeGreaterThan(0.9 / Math.sqrt(fanIn));
    // A uniform distribution's variance is a third of its bound's square.
    const square = average(numbers(weight).map((value) => value ** 2));
    expect(square * 3 * fanIn).toBeGreaterThan(0.8);
    expect(square * 3 * fanIn).toBeLessThan(1.2);
  });

  test('are the seed’s, and differ between weight and bias', () => {
    const shape = { inputs: 2, outputs: 4, kernel: 3 };
    expect(initConv2d(random(3), shape)).toEqual(initConv2d(random(3), shape));
    expect(initConv2d(random(3), shape)).not.toEqual(initConv2d(random(4), shape));
    expect(initConv2d(random(3), { ...shape, bias: false }).bias).toBeUndefined();
  });

  test('are refused in a sentence where sizes do not fit', () => {
    expect(() => initConv2d(random(1), { inputs: 6, outputs: 8, kernel: 3, groups: 4 })).toThrow(
      '4 groups do not divide 6 and 8 channels.',
    );
    expect(() => initConv1d(random(1), { inputs: 6, outputs: 8, kernel: 0 })).toThrow(TesseraError);
  });
});

function average(list: readonly number[]): number {
  return list.reduce((total, value) => total + value, 0) / list.length;
}

/** Parameters as constants of a trace. */
function fixed<L extends { readonly weight: NDArray; readonly bias?: NDArray }>({ weight, bias }: L): ConvParameters {
  return { weight: constant(weight), bias: bias && constant(bias) };
}

describe('layers', () => {
  test('a causal convolution sees nothing after its place', async () => {
    const parameters = initConv1d(random(2), { inputs: 3, outputs: 4, kernel: 3 });
    const x = random(5).normal([1, 3, 12]);
    const changed = { ...x, data: x.data.map((value, index) => (index % 12 >= 7 ? value + 1 : value)) };
    const run = (value: NDArray): Promise<NDArray> =>
      evaluate((given: Tensor) => applyConv1d(fixed(parameters), given, { padding: 'causal', dilation: 2 }), value);
    const [before, after] = [await run(x), await run(changed)];
    const moved = numbers(before).map((value, index) => value !== numbers(after)[index]);
    expect(moved.filter((_, index) => index % 12 < 7)).not.toContain(true);
    expect(moved.filter((_, index) => index % 12 === 7)).toEqual([true, true, true, true]);
  });

  test('a depthwise-separable convolution is the dense one whose kernel is the product of its two', async () => {
    const parameters = initSeparableConv2d(random(7), { inputs: 3, outputs: 5, kernel: 3 });
    const [depthwise, pointwise] = [numbers(parameters.depthwise.weight), numbers(parameters.pointwise.weight)];
    expect(parameters.depthwise.bias).toBeUndefined();
    const dense = Array.from({ length: 5 * 3 * 9 }, (_, index) => {
      const [o, c, tap] = [Math.floor(index / 27), Math.floor(index / 9) % 3, index % 9];
      return (pointwise[o * 3 + c] ?? 0) * (depthwise[c * 9 + tap] ?? 0);
    });
    const [found, expected] = await evaluate(
      (x: Tensor) => {
        const own = { depthwise: fixed(parameters.depthwise), pointwise: fixed(parameters.pointwise) };
        const weight = constant(array(dense, [5, 3, 3, 3]));
        const settings = { padding: 'same', stride: 2 } as const;
        return [
          applySeparableConv2d(own, x, settings),
          applyConv2d({ weight, bias: own.pointwise.bias }, x, settings),
        ] as const;
      },
      random(8).normal([2, 3, 7, 6]),
    );
    expect(found.shape).toEqual([2, 5, 4, 3]);
    expect(largest(numbers(found), numbers(expected))).toBeLessThan(1e-5);
  });

  test('a transposed convolution undoes the size of its convolution', async () => {
    const down = initConv2d(random(1), { inputs: 3, outputs: 4, kernel: 4 });
    const up = initConvTranspose2d(random(2), { inputs: 4, outputs: 3, kernel: 4 });
    const y = await evaluate(
      (x: Tensor) => {
        const settings = { stride: 2, padding: 1 };
        return applyConvTranspose2d(fixed(up), applyConv2d(fixed(down), x, settings), settings);
      },
      random(3).normal([2, 3, 8, 6]),
    );
    expect(y.shape).toEqual([2, 3, 8, 6]);
  });
});

describe('batch normalization', () => {
  const [batch, channels, places] = [3, 2, 4];
  const x = array(
    Array.from(random(4).normal([batch * channels * places], 2).data, Number),
    [batch, channels, 2, 2],
    'float64',
  );
  const weight = array([1.5, -0.5], [2], 'float64');
  const bias = array([0.25, 1], [2], 'float64');
  const before = { mean: array([0.5, -1], [2], 'float64'), variance: array([2, 0.5], [2], 'float64') };
  const of = (values: readonly number[], c: number): number[] =>
    values.filter((_, index) => Math.floor(index / places) % channels === c);
  const statistics = (values: readonly number[]) => {
    const center = average(values);
    return { center, variance: average(values.map((value) => (value - center) ** 2)) };
  };

  /** The layer in loops. */
  function direct(values: readonly number[], factors: readonly number[], offsets: readonly number[]): number[] {
    const each = [0, 1].map((c) => statistics(of(values, c)));
    return values.map((value, index) => {
      const c = Math.floor(index / places) % channels;
      const { center, variance } = each[c] ?? { center: Number.NaN, variance: Number.NaN };
      return ((value - center) / Math.sqrt(variance + 1e-5)) * (factors[c] ?? 0) + (offsets[c] ?? 0);
    });
  }

  test('while training has the batch’s statistics and renews the averages', async () => {
    const { y, state } = await evaluate(
      (given: Tensor, own: { weight: Tensor; bias: Tensor }, averages: BatchNormState) =>
        batchNorm(own, averages, given, { training: true, momentum: 0.25 }),
      x,
      { weight, bias },
      before,
    );
    expect(largest(numbers(y), direct(numbers(x), numbers(weight), numbers(bias)))).toBeLessThan(1e-12);
    const each = [0, 1].map((c) => statistics(of(numbers(x), c)));
    const count = batch * places;
    const centers = each.map(({ center }, c) => 0.75 * Number(before.mean.data[c]) + 0.25 * center);
    const spreads = each.map(
      ({ variance }, c) => 0.75 * Number(before.variance.data[c]) + (0.25 * variance * count) / (count - 1),
    );
    expect(largest(numbers(state.mean), centers)).toBeLessThan(1e-12);
    expect(largest(numbers(state.variance), spreads)).toBeLessThan(1e-12);
  });

  test('has the slopes of its loops, for input, weight and bias', async () => {
    const factors = numbers(random(9).uniform([x.data.length], 0.5, 1.5));
    const slopes = await evaluate(
      (given: Tensor, own: { weight: Tensor; bias: Tensor }, averages: BatchNormState) => {
        const { y } = batchNorm(own, averages, given, { training: true });
        const loss = sum(mul(mul(y, y), cast(constant(array(factors, x.shape, 'float64')), 'float64')));
        return gradients(loss, { x: given, ...own });
      },
      x,
      { weight, bias },
      before,
    );
    const given = { x: numbers(x), weight: numbers(weight), bias: numbers(bias) };
    const loss = (parts: typeof given): number =>
      direct(parts.x, parts.weight, parts.bias).reduce((total, y, index) => total + y * y * (factors[index] ?? 0), 0);
    for (const name of ['x', 'weight', 'bias'] as const) {
      const expected = given[name].map((_, place) => {
        const moved = (step: number): number =>
          loss({ ...given, [name]: given[name].map((value, index) => (index === place ? value + step : value)) });
        return (moved(1e-5) - moved(-1e-5)) / 2e-5;
      });
      expect(largest(numbers(slopes[name]), expected), name).toBeLessThan(1e-6);
    }
  });

  test('otherwise has the averages, which stay', async () => {
    const { y, state } = await evaluate(
      (given: Tensor, own: { weight: Tensor; bias: Tensor }, averages: BatchNormState) =>
        batchNorm(own, averages, given, { training: false }),
      x,
      { weight, bias },
      before,
    );
    const expected = numbers(x).map((value, index) => {
      const c = Math.floor(index / places) % channels;
      const scale = Number(weight.data[c]) / Math.sqrt(Number(before.variance.data[c]) + 1e-5);
      return (value - Number(before.mean.data[c])) * scale + Number(bias.data[c]);
    });
    expect(largest(numbers(y), expected)).toBeLessThan(1e-12);
    expect(numbers(state.mean)).toEqual(numbers(before.mean));
  });

  test('refuses to train on one number a channel, and vectors of other channels', async () => {
    const run = (shape: readonly number[]): Promise<unknown> =>
      evaluate(
        (given: Tensor, own: { weight: Tensor; bias: Tensor }, averages: BatchNormState) =>
          batchNorm(own, averages, given, { training: true }).y,
        array(new Float64Array(shape.reduce((a, b) => a * b)), shape, 'float64'),
        { weight, bias },
        before,
      );
    await expect(run([1, 2])).rejects.toThrow('more than one number a channel');
    await expect(run([4, 3])).rejects.toThrow('vectors of its channels');
  });
});

interface Net<L = Tensor> {
  readonly first: ConvParameters<L>;
  readonly norm: NormParameters<L>;
  readonly second: ConvParameters<L>;
  readonly head: LinearParameters<L>;
}

/** Convolution, batch norm, pooling, convolution, the mean over places, logits. */
function logitsOf(net: Net, averages: BatchNormState, x: Tensor, call: Call) {
  const { y, state } = batchNorm(net.norm, averages, applyConv2d(net.first, x, { padding: 1 }), call);
  const pooled = maxPool2d(relu(y), { kernel: 2 });
  const deep = relu(applyConv2d(net.second, pooled, { padding: 'same' }));
  return { logits: linear(net.head, globalAvgPool(deep)), state };
}

/** Pictures of 8 x 8 with a bar of 4, upright (class 0) or lying (class 1), somewhere in noise. */
function bars(seed: number, count: number) {
  const draw = random(seed);
  const data = draw.child('noise').normal([count, 1, 8, 8], 0.3).data;
  const kinds = numbers(draw.child('kind').integers([count], 2));
  const rows = numbers(draw.child('row').integers([count], 5));
  const columns = numbers(draw.child('column').integers([count], 5));
  for (const [index, kind] of kinds.entries()) {
    for (let step = 0; step < 4; step++) {
      const at =
        kind === 0
          ? ((rows[index] ?? 0) + step) * 8 + (columns[index] ?? 0)
          : (rows[index] ?? 0) * 8 + (columns[index] ?? 0) + step;
      data[index * 64 + at] = (data[index * 64 + at] ?? 0) + 1;
    }
  }
  return { x: array(data, [count, 1, 8, 8]), kinds: array(kinds, [count], 'int32') };
}

describe('a small net of convolutions, batch norm and pooling', () => {
  test('learns upright bars from lying ones, its averages a state beside the weights', async () => {
    interface State {
      readonly net: Net;
      readonly moments: { readonly first: Net; readonly second: Net };
      readonly averages: BatchNormState;
    }
    interface Batch {
      readonly x: Tensor;
      readonly kinds: Tensor;
    }
    const optimizer = adamW<Net>({ weightDecay: 0 });
    const net: Arrays<Net> = {
      first: initConv2d(random(1), { inputs: 1, outputs: 8, kernel: 3, bias: false }),
      norm: initBatchNorm(8),
      second: initConv2d(random(2), { inputs: 8, outputs: 8, kernel: 3 }),
      head: initLinear(random(3), 8, 2, { bias: true }),
    };
    const values = { net, moments: optimizer.init(net), averages: initialBatchNormState(8) };
    const state = await runtime.upload(values);
    const specs = { state: specsOf<State>(values), input: specsOf<Batch>(bars(1, 32)) };
    const training = await runtime.compile<State, Batch, Tensor>(
      (given, { x, kinds }, call) => {
        const { logits, state: averages } = logitsOf(given.net, given.averages, x, call);
        const loss = mean(crossEntropyRows(logits, kinds));
        const slopes = gradients(loss, given.net);
        const next = optimizer.update(given.net, slopes, given.moments, constant(0.02), call);
        return { state: { net: next.parameters, moments: next.moments, averages }, out: loss };
      },
      { ...specs, training: true },
    );
    const deciding = await runtime.compile<State, Batch, Tensor>(
      (given, { x }, call) => ({ out: logitsOf(given.net, given.averages, x, call).logits }),
      { ...specs, input: specsOf<Batch>(bars(1, 128)) },
    );
    for (let step = 0; step < 60; step++) await training.run(state, bars(100 + step, 32), { step });
    const held = bars(7, 128);
    const { out } = await deciding.run(state, held);
    const logits = numbers(out);
    const right = numbers(held.kinds).filter(
      (kind, row) => ((logits[2 * row + 1] ?? 0) > (logits[2 * row] ?? 0) ? 1 : 0) === kind,
    );
    expect(right.length / 128).toBeGreaterThan(0.95);
    const { averages } = await state.read();
    expect(arrayLeaves(averages).every(([, leaf]) => numbers(leaf).every(Number.isFinite))).toBe(true);
    expect(numbers(averages.variance)).not.toEqual(numbers(values.averages.variance));
  });
});
