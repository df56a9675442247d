/** Operations along time, and functions with gradients of their own. */

import * as t from 'tessera-kit/tensor';
import { at, each, floats, given, make, type OperationCase, type OperationRow, row, type Value } from './value.js';

/** One place after another, in the order of the recurrence. */
function recurrence(along: number, reverse = false) {
  return (a: Value, b: Value, initial?: Value): Value => {
    const axis = along < 0 ? along + b.shape.length : along;
    const [shape, length] = [b.shape, b.shape[axis] ?? 0];
    const states = new Map<string, number>();
    const order = Array.from({ length }, (_, index) => (reverse ? length - 1 - index : index));
    const slices = make(
      shape.map((size, index) => (index === axis ? 1 : size)),
      () => 0,
    );
    for (const [reached, place] of order.entries()) {
      make(slices.shape, (position) => {
        const here = position.map((index, dimension) => (dimension === axis ? place : index));
        const last = position.map((index, dimension) => (dimension === axis ? (order[reached - 1] ?? 0) : index));
        const before = reached > 0 ? (states.get(last.join()) ?? 0) : initial === undefined ? 0 : at(initial, position);
        states.set(here.join(), at(a, here) * before + at(b, here));
        return 0;
      });
    }
    return make(shape, (position) => states.get(position.join()) ?? Number.NaN);
  };
}

function recur(decays: readonly number[], shape: readonly number[], options: t.ScanOptions = {}): OperationCase {
  return {
    inputs: [floats(decays, 0, 1), floats(shape)],
    apply: (a, b) => t.scan(a, b, options),
    reference: (a, b) => recurrence(options.axis ?? 1, options.reverse)(a, b),
  };
}

function fromState(shape: readonly number[], state: readonly number[], reverse: boolean): OperationCase {
  return {
    inputs: [floats(shape, 0, 1), floats(shape), floats(state)],
    apply: (a, b, initial) => t.scan(a, b, { axis: 0, reverse, initial }),
    reference: recurrence(0, reverse),
  };
}

function convolved(x: Value, weight: Value, bias?: Value): Value {
  const width = weight.shape[1] ?? 0;
  return make(x.shape, ([b = 0, time = 0, c = 0]) => {
    let total = bias === undefined ? 0 : at(bias, [c]);
    for (let k = 0; k < width; k++) {
      const source = time - (width - 1) + k;
      if (source >= 0) total += at(weight, [c, k]) * at(x, [b, source, c]);
    }
    return total;
  });
}

function convolve([batch, time, channels]: readonly [number, number, number], width: number, biased: boolean) {
  return {
    inputs: [
      floats([batch, time, channels]),
      floats([channels, width]),
      ...(biased ? [floats([channels])] : []),
    ] as readonly Value[],
    apply: t.causalConv1d,
    reference: convolved,
  };
}

/** `log(1 + e ** x)` written so that its derived gradient would be NaN for large x, with a gradient that is not. */
const stable = t.customGradient(
  (x: t.Tensor) => t.where(t.greater(x, 20), x, t.log(t.add(t.exp(x), 1))),
  ({ inputs: [x], gradient }) => [t.mul(gradient, t.sigmoid(x))],
);

/** A product whose gradients use inputs and output. */
const product = t.customGradient(
  (a: t.Tensor, b: t.Tensor) => t.mul(a, t.exp(b)),
  ({ inputs: [, b], output, gradient }) => [t.mul(gradient, t.exp(b)), t.mul(gradient, output)],
);

export const sequences: readonly OperationRow[] = [
  row(
    'scan',
    recur([2, 5, 3], [2, 5, 3]),
    recur([2, 1, 3], [2, 1, 3]),
    recur([2, 8, 1], [2, 8, 3]),
    recur([9, 3], [2, 9, 3]),
    recur([2, 1, 1], [2, 17, 3]),
    recur([70], [70], { axis: 0 }),
    recur([2, 3, 70], [2, 3, 70], { axis: -1 }),
    recur([2, 21, 3], [2, 21, 3], { reverse: true }),
    recur([21, 1], [2, 21, 3], { reverse: true }),
    fromState([11, 3], [1, 3], false),
    fromState([11, 3], [1, 1], true),
    fromState([1, 3], [1, 3], false),
    {
      // Decays of exactly 0 and 1, and beyond.
      inputs: [given([0, 1, 1, 0, -1, 0.5, 1, 1, 0, 1, 2, 1], [1, 12]), floats([1, 12])],
      apply: (a, b) => t.scan(a, b),
      reference: recurrence(1),
    },
  ),
  row(
    'causalConv1d',
    convolve([2, 7, 3], 4, true),
    convolve([1, 5, 2], 3, false),
    convolve([2, 2, 3], 4, true),
    convolve([3, 1, 2], 4, true),
    convolve([2, 4, 3], 1, false),
  ),
  row(
    'customGradient',
    {
      inputs: [floats([2, 3])],
      apply: (x) => stable(x),
      reference: each((x) => Math.log1p(Math.exp(x))),
    },
    { inputs: [given([100, 200])], apply: (x) => stable(x), reference: (x) => x },
    {
      inputs: [floats([3]), floats([3])],
      apply: (a, b) => product(a, b),
      reference: each((a, b) => a * Math.exp(b)),
    },
  ),
  row('straightThrough', {
    inputs: [floats([4]), floats([4])],
    apply: t.straightThrough,
    reference: (value) => value,
    gradients: [],
  }),
];
