/** Recurrences over long axes, convolution over a length known only by name, gradients of one's own, and what is refused. */

import {
  array,
  causalConv1d,
  clip,
  customGradient,
  evaluate,
  exportProgram,
  gradients,
  mul,
  type NDArray,
  random,
  scan,
  square,
  straightThrough,
  sum,
  type Tensor,
} from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';

/** The states and, for a loss of the sum of `weights * states`, the gradients of decays and inputs, in float64. */
function direct(a: ArrayLike<number>, b: ArrayLike<number>, weights: ArrayLike<number>, channels: number) {
  const size = b.length;
  const states = new Float64Array(size);
  const toInput = new Float64Array(size);
  const toDecay = new Float64Array(size);
  for (let i = 0; i < size; i++) states[i] = (a[i] ?? 0) * (states[i - channels] ?? 0) + (b[i] ?? 0);
  for (let i = size - 1; i >= 0; i--) {
    toInput[i] = (weights[i] ?? 0) + (a[i + channels] ?? 0) * (toInput[i + channels] ?? 0);
    toDecay[i] = (toInput[i] ?? 0) * (states[i - channels] ?? 0);
  }
  return { states, toInput, toDecay };
}

function numbers(x: NDArray | undefined): number[] {
  return x === undefined ? [] : Array.from({ length: x.data.length }, (_, i) => Number(x.data[i]));
}

/** The largest difference, relative to 1 + the size of the largest value. */
function distance(found: NDArray, expected: Float64Array): number {
  const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  return expected.reduce((most, value, i) => Math.max(most, Math.abs(Number(found.data[i]) - value) / scale), 0);
}

describe('scan over 8,192 places', () => {
  const [length, channels] = [8192, 3];
  const draw = random(5).child('scan');
  const inputs = draw.child('b').normal([1, length, channels]);
  const weights = draw.child('w').normal([1, length, channels]);
  const near = draw.child('a').uniform([1, length, channels], 0, 1).data;
  const kinds: readonly (readonly [string, (i: number) => number, number])[] = [
    ['drawn from 0 to 1', (i) => near[i] ?? 0, 2e-6],
    // Products of so many float32 numbers this near to 1 lose their last bits, in any order.
    ['within 1e-4 of 1', (i) => 1 - 1e-4 * (near[i] ?? 0), 5e-5],
    ['exactly 1', () => 1, 2e-6],
    ['within 1e-30 of 0', (i) => 1e-30 * (near[i] ?? 0), 2e-6],
    ['0 or 1 by turns', (i) => Number((near[i] ?? 0) < 0.9), 2e-6],
  ];
  test.each(kinds)('with decays %s equals a loop in float64', async (_name, decay, tolerance) => {
    const decays = array(
      Array.from(inputs.data, (_, i) => decay(i)),
      inputs.shape,
    );
    const found = await evaluate(
      (a: Tensor, b: Tensor, w: Tensor) => {
        const states = scan(a, b);
        const [toDecay, toInput] = gradients(sum(mul(states, w)), [a, b]);
        return { states, toDecay, toInput };
      },
      decays,
      inputs,
      weights,
    );
    const expected = direct(decays.data as Float32Array, inputs.data, weights.data, channels);
    expect(distance(found.states, expected.states)).toBeLessThan(tolerance);
    expect(distance(found.toInput, expected.toInput)).toBeLessThan(tolerance);
    expect(distance(found.toDecay, expected.toDecay)).toBeLessThan(2 * tolerance);
  });

  test('takes few nodes: their number grows with the logarithm of the length', () => {
    const nodes = (size: number) =>
      exportProgram<object, { a: Tensor; b: Tensor }, Tensor>((_state, { a, b }) => ({ out: scan(a, b) }), {
        state: {},
        input: {
          a: { dtype: 'float32', shape: ['batch', size, 1] },
          b: { dtype: 'float32', shape: ['batch', size, 4] },
        },
      }).nodes;
    expect(nodes(8192) - nodes(1024)).toBe(nodes(1024) - nodes(128));
    expect(nodes(8192)).toBeLessThan(300);
  });
});

describe('a gradient of one’s own', () => {
  const x = array([-1.5, 0.2, 0.7, 3]);

  test('straightThrough has the value of the one and the gradient of the other, exactly', async () => {
    const found = await evaluate((soft: Tensor) => {
      const hard = clip(square(soft), 0.1, 0.3);
      const value = straightThrough(hard, soft);
      return { value, hard, slope: gradients(sum(mul(value, value)), soft) };
    }, x);
    expect(found.value.data).toEqual(found.hard.data);
    expect(numbers(found.slope)).toEqual(numbers(found.hard).map((value) => 2 * value));
  });

  test('replaces what would be derived, also inside another gradient', async () => {
    const triple = customGradient(
      (t: Tensor) => square(t),
      ({ inputs: [t], gradient }) => [mul(mul(gradient, t), 3)],
    );
    const [once, twice] = await evaluate((t: Tensor) => {
      const first = gradients(sum(triple(t)), t);
      return [first, gradients(sum(mul(first, first)), t)] as const;
    }, x);
    expect(numbers(once)).toEqual(numbers(x).map((value) => Math.fround(3 * value)));
    for (const [i, value] of x.data.entries()) expect(Number(twice.data[i])).toBeCloseTo(18 * Number(value), 4);
  });

  test('of a wrong shape is refused where it is taken', async () => {
    const wrong = customGradient(
      (t: Tensor) => t,
      ({ gradient }) => [sum(gradient)],
    );
    await expect(evaluate((t: Tensor) => gradients(sum(wrong(t)), t), x)).rejects.toMatchObject({
      code: 'bad-shape',
      message: expect.stringContaining('the gradient of input 0 is [] and the input [4]'),
    });
  });
});

test('causalConv1d takes a time that is only a name, and place t sees nothing after t', async () => {
  const [x, weight] = [random(1).normal([2, 9, 5]), random(2).normal([5, 4])];
  const changed = { ...x, data: x.data.map((value, i) => (i % 45 >= 6 * 5 ? value + 1 : value)) };
  const [one, other] = await Promise.all([x, changed].map((rows) => evaluate(causalConv1d, rows, weight)));
  const early = (y: NDArray | undefined) => numbers(y).filter((_, i) => i % 45 < 6 * 5);
  expect(early(other)).toEqual(early(one));
  expect(other?.data).not.toEqual(one?.data);
  const named = exportProgram<object, { x: Tensor; weight: Tensor }, Tensor>(
    (_state, input) => ({ out: causalConv1d(input.x, input.weight) }),
    {
      state: {},
      input: {
        x: { dtype: 'float32', shape: ['batch', 'time', 5] },
        weight: { dtype: 'float32', shape: [5, 4] },
      },
    },
  );
  expect(named.model.graph?.node?.map(({ opType }) => opType)).toContain('Conv');
});

describe('what does not fit is refused with a sentence', () => {
  const refused: Readonly<Record<string, readonly [(x: Tensor) => Tensor, string]>> = {
    'decays of another length': [
      (x) => scan(sum(x, 0, { keepDims: true }), sum(x, [0, 1], { keepDims: true })),
      'scan cannot use decays',
    ],
    'a kernel of other channels': [(x) => causalConv1d(x, sum(x, 0)), 'causalConv1d cannot apply a kernel [4, 5]'],
    'a clip whose ends cross': [(x) => clip(x, 2, 1), 'clip cannot keep values between 2 and 1'],
    'a surrogate of another shape': [(x) => straightThrough(x, sum(x)), 'straightThrough cannot send the gradient'],
  };
  test.each(Object.entries(refused))('%s', async (_name, [f, sentence]) => {
    await expect(evaluate(f, random(1).normal([2, 4, 5]))).rejects.toMatchObject({
      code: 'bad-shape',
      message: expect.stringContaining(sentence),
    });
  });
});
