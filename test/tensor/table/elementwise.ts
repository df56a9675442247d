/** Arithmetic, comparison, logic and functions of one variable. */

import * as t from 'tessera-kit/tensor';
import {
  bools,
  each,
  erfOf,
  floats,
  given,
  type OperationCase,
  type OperationRow,
  row,
  row32,
  type Value,
} from './value.js';

type Binary = (a: t.Tensor, b: t.Tensor) => t.Tensor;

const SHAPES: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[], []],
  [[5], [5]],
  [[2, 3], [3]],
  [
    [4, 1, 3],
    [2, 1],
  ],
  [
    [1, 3],
    [2, 3, 1],
  ],
];

/** Two operands over several shapes that broadcast, their values from given ranges. */
export function binary(
  apply: Binary,
  f: (a: number, b: number) => number,
  ...ranges: (readonly [number, number])[]
): OperationCase[] {
  const [first = [-2, 2], second = first] = ranges;
  return SHAPES.map(([a, b]) => ({ inputs: [floats(a, ...first), floats(b, ...second)], apply, reference: each(f) }));
}

/** `[operation, tie]`: equal operands on every second place. */
function tied(apply: Binary, f: (a: number, b: number) => number): OperationCase {
  return { inputs: [given([1, 2, 3, -1]), given([1, 5, 3, -2])], apply, reference: each(f), gradients: [] };
}

function compare(apply: Binary, f: (a: number, b: number) => boolean): OperationCase[] {
  const reference = each((a, b) => Number(f(a, b)), 'bool');
  const whole = (kind: 'int32' | 'int64') => [given([1, 2, 3, -4], [4], kind), given([1, 5, 2, -4], [4], kind)];
  return [
    { inputs: [floats([2, 3]), floats([3])], apply, reference },
    { inputs: [given([0, 1, -1, 2]), given([0, 1, 1, -2])], apply, reference },
    { inputs: whole('int32'), apply, reference },
    { inputs: whole('int64'), apply, reference },
  ];
}

/** One operand in three shapes. */
export function unary(apply: (x: t.Tensor) => t.Tensor, f: (x: number) => number, low = -2, high = 2): OperationCase[] {
  return [[], [7], [2, 3, 4]].map((shape) => ({ inputs: [floats(shape, low, high)], apply, reference: each(f) }));
}

function whole(apply: Binary, f: (a: number, b: number) => number): OperationCase[] {
  return (['int32', 'int64'] as const).map((kind) => ({
    inputs: [given([7, -6, 5, 100], [2, 2], kind), given([3, 4], [2], kind)],
    apply,
    reference: each(f),
  }));
}

const truth = (apply: Binary, f: (a: number, b: number) => number): OperationCase[] => [
  { inputs: [bools([3, 4]), bools([4])], apply, reference: each(f, 'bool') },
];

const chosen = each((condition, a, b) => (condition !== 0 ? a : b));

function casts(from: Value, to: t.DType, kind: Value['kind'], f: (x: number) => number): OperationCase {
  return { inputs: [from], apply: (x) => t.cast(x, to), reference: each(f, kind) };
}

const softplusOf = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

export const elementwise: readonly OperationRow[] = [
  row('add', ...binary(t.add, (a, b) => a + b), ...whole(t.add, (a, b) => a + b)),
  row('sub', ...binary(t.sub, (a, b) => a - b), ...whole(t.sub, (a, b) => a - b)),
  row('mul', ...binary(t.mul, (a, b) => a * b), ...whole(t.mul, (a, b) => a * b)),
  row('div', ...binary(t.div, (a, b) => a / b, [-2, 2], [0.5, 3]), ...whole(t.div, (a, b) => Math.trunc(a / b)), {
    inputs: [floats([3])],
    apply: (x) => [t.div(x, 4), t.div(x, 3), t.div(2, t.add(x, 5))],
    reference: (x) => [each((a) => a / 4)(x), each((a) => a / 3)(x), each((a) => 2 / (a + 5))(x)],
  }),
  row('pow', ...binary(t.pow, (a, b) => a ** b, [0.3, 3], [-2, 3]), {
    inputs: [given([-2, -1, 0, 1, 3])],
    apply: (x) => [t.pow(x, 2), t.pow(x, 3), t.pow(x, 1)],
    reference: (x) => [each((a) => a ** 2)(x), each((a) => a ** 3)(x), x],
  }),
  row('maximum', ...binary(t.maximum, Math.max), tied(t.maximum, Math.max)),
  row('minimum', ...binary(t.minimum, Math.min), tied(t.minimum, Math.min)),
  row('equal', ...compare(t.equal, (a, b) => a === b), ...truth(t.equal, (a, b) => Number(a === b))),
  row('less', ...compare(t.less, (a, b) => a < b)),
  row('lessEqual', ...compare(t.lessEqual, (a, b) => a <= b)),
  row('greater', ...compare(t.greater, (a, b) => a > b)),
  row('greaterEqual', ...compare(t.greaterEqual, (a, b) => a >= b)),
  row('logicalAnd', ...truth(t.logicalAnd, (a, b) => a * b)),
  row('logicalOr', ...truth(t.logicalOr, (a, b) => Math.max(a, b))),
  row('logicalNot', { inputs: [bools([3, 4])], apply: t.logicalNot, reference: each((a) => 1 - a, 'bool') }),
  row('neg', ...unary(t.neg, (x) => -x), {
    inputs: [given([3, -4], [2], 'int32')],
    apply: t.neg,
    reference: each((x) => -x),
  }),
  row('exp', ...unary(t.exp, Math.exp)),
  row('log', ...unary(t.log, Math.log, 0.2, 4)),
  row('sqrt', ...unary(t.sqrt, Math.sqrt, 0.2, 4)),
  row('rsqrt', ...unary(t.rsqrt, (x) => 1 / Math.sqrt(x), 0.2, 4)),
  row('reciprocal', ...unary(t.reciprocal, (x) => 1 / x, 0.3, 3)),
  row('abs', ...unary(t.abs, Math.abs), {
    inputs: [given([0, -3, 2])],
    apply: t.abs,
    reference: each(Math.abs),
    gradients: [],
  }),
  row('sign', ...unary(t.sign, Math.sign)),
  row('floor', ...unary(t.floor, Math.floor)),
  row('sin', ...unary(t.sin, Math.sin)),
  row('cos', ...unary(t.cos, Math.cos)),
  row('tanh', ...unary(t.tanh, Math.tanh)),
  row32('erf', ...unary(t.erf, erfOf), ...unary(t.erf, erfOf, -5, 5)),
  row(
    'sigmoid',
    ...unary(t.sigmoid, (x) => 1 / (1 + Math.exp(-x))),
    ...unary(t.sigmoid, (x) => 1 / (1 + Math.exp(-x)), -30, 30),
  ),
  row('relu', ...unary(t.relu, (x) => Math.max(x, 0))),
  row('softplus', ...unary(t.softplus, softplusOf), ...unary(t.softplus, softplusOf, -30, 30), {
    inputs: [given([-1000, -100, 100, 1000])],
    apply: t.softplus,
    reference: each(softplusOf),
  }),
  row(
    'clip',
    ...unary(
      (x) => t.clip(x, -1, 0.5),
      (x) => Math.min(Math.max(x, -1), 0.5),
    ),
    {
      inputs: [given([-1, 0.5, 2, -3])],
      apply: (x) => t.clip(x, -1, 0.5),
      reference: each((x) => Math.min(Math.max(x, -1), 0.5)),
      gradients: [],
    },
  ),
  row('square', ...unary(t.square, (x) => x * x)),
  row('silu', ...unary(t.silu, (x) => x / (1 + Math.exp(-x)))),
  row(
    'where',
    { inputs: [bools([2, 3]), floats([2, 3]), floats([2, 3])], apply: t.where, reference: chosen },
    { inputs: [bools([2, 1]), floats([3]), floats([])], apply: t.where, reference: chosen },
    {
      inputs: [bools([3]), floats([2, 1])],
      apply: (c, x) => t.where(c, x, -7),
      reference: (c, x) => chosen(c, x, given([-7], [])),
    },
  ),
  row(
    'cast',
    casts(floats([2, 3]), 'float64', 'float', (x) => x),
    casts(given([0, 1, -2, 3.7, -3.7]), 'int32', 'int32', Math.trunc),
    casts(given([0, 1, -2, 3.7, -3.7]), 'int64', 'int64', Math.trunc),
    casts(given([0, 1, -2, 0.5]), 'bool', 'bool', (x) => Number(x !== 0)),
    casts(given([5, -6], [2], 'int32'), 'float32', 'float', (x) => x),
    casts(given([5, -6], [2], 'int64'), 'int32', 'int32', (x) => x),
    casts(bools([4]), 'float32', 'float', (x) => x),
    {
      inputs: [floats([4])],
      apply: (x) => t.cast(t.mul(t.cast(x, 'float32'), 2), 'float64'),
      reference: each((x) => x * 2),
    },
  ),
  row('stopGradient', {
    inputs: [floats([3])],
    apply: t.stopGradient,
    reference: (x) => x,
    gradients: [],
  }),
];
