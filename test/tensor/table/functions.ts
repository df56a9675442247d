/** Functions of one and two floating variables: values, accuracy near 0, edges of the domain. */

import * as t from 'tessera-kit/tensor';
import { binary, unary } from './elementwise.js';
import {
  bools,
  distinct,
  each,
  floats,
  given,
  type OperationCase,
  type OperationRow,
  row,
  type Value,
} from './value.js';

type Unary = (x: t.Tensor) => t.Tensor;
type Number1 = (x: number) => number;
type Binary = (a: t.Tensor, b: t.Tensor) => t.Tensor;
type Number2 = (a: number, b: number) => number;

const { POSITIVE_INFINITY: INF, NEGATIVE_INFINITY: MINUS, NaN: NAN } = Number;

/** Values around 2^-20, enlarged again, where what cancels would lose every digit. */
function tiny(apply: Unary, f: Number1, exponent = 20): OperationCase {
  const scale = 2 ** exponent;
  return {
    inputs: [floats([9])],
    apply: (x) => t.mul(apply(t.mul(x, 1 / scale)), scale),
    reference: each((x) => f(x / scale) * scale),
  };
}

/** Given places, without gradients. */
function edges(apply: Unary, f: Number1, places: readonly number[]): OperationCase {
  return { inputs: [given(places)], apply, reference: each(f), gradients: [] };
}

function pairs(apply: Binary, f: Number2, places: readonly (readonly [number, number])[]): OperationCase {
  const [a, b] = [places.map(([first]) => first), places.map(([, second]) => second)];
  return { inputs: [given(a), given(b)], apply, reference: each(f), gradients: [] };
}

/** A constant is computed on the host, in agreement with the kernel. */
function folded(apply: Unary, f: Number1, places: readonly number[]): OperationCase {
  return {
    inputs: [given([0])],
    apply: (x) => t.add(x, apply(t.constant(t.array(places, [places.length], x.dtype)))),
    reference: () => each(f)(given(places)),
    gradients: [],
  };
}

function smooth(name: string, apply: Unary, f: Number1, low = -2, high = 2): OperationRow {
  const middle = [0.25, 0.5, 0.75].map((part) => low + part * (high - low));
  return row(name, ...unary(apply, f, low, high), folded(apply, f, middle));
}

/** A row with more cases. */
function also({ operation, float64, cases }: OperationRow, ...more: OperationCase[]): OperationRow {
  return { operation, float64, cases: [...cases, ...more] };
}

/** Values at least 1 / 16 away from every whole number and every half. */
function between(shape: readonly number[]): Value {
  const { data, ...rest } = distinct(shape);
  return { ...rest, data: data.map((value) => Math.floor(value * 8) / 8 + 1 / 16) };
}

/** Functions that jump, away from the jumps; and at them. */
function stepped(name: string, apply: Unary, f: Number1, places: readonly number[]): OperationRow {
  const cases = [[], [7], [2, 3, 4]].map((shape) => ({ inputs: [between(shape)], apply, reference: each(f) }));
  return row(name, ...cases, edges(apply, f, [...places, INF, MINUS, NAN]), folded(apply, f, places));
}

function test(name: string, apply: Unary, f: (x: number) => boolean): OperationRow {
  const places = [0, -3, INF, MINUS, NAN, 1e30];
  const reference = each((x) => Number(f(x)), 'bool');
  return row(name, { inputs: [given(places)], apply, reference }, { inputs: [floats([2, 3])], apply, reference });
}

/** The slope of a function that is not smooth everywhere is checked where it is. */
function kinked(name: string, apply: Unary, f: Number1, places: readonly number[]): OperationRow {
  const cases = [[], [7], [2, 3, 4]].map((shape) => ({ inputs: [between(shape)], apply, reference: each(f) }));
  return row(name, ...cases, edges(apply, f, places), folded(apply, f, places));
}

const evenly = (x: number): number =>
  Math.abs(x - Math.trunc(x)) === 0.5 ? 2 * Math.round(x / 2) : Math.sign(x) * Math.round(Math.abs(x));
const HALVES = [-2.5, -1.5, -0.5, 0, 0.5, 1.5, 2.5, 3, 1e7];
const softplusOf = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const logAddExpOf = (a: number, b: number) => (a === b ? a + Math.LN2 : Math.max(a, b) + softplusOf(-Math.abs(a - b)));
const hardOf = (x: number) => Math.min(Math.max(x / 6 + 0.5, 0), 1);
const eluOf = (alpha: number) => (x: number) => (x > 0 ? x : alpha * Math.expm1(x));
const leakyOf = (slope: number) => (x: number) => (x > 0 ? x : slope * x);

/** `f` of a variable that was doubled three times: values in [-16, 16]. */
const wide = (apply: Unary, f: Number1): OperationCase => ({
  inputs: [floats([9])],
  apply: (x) => apply(t.mul(x, 8)),
  reference: each((x) => f(8 * x)),
});

export const functions: readonly OperationRow[] = [
  stepped('ceil', t.ceil, Math.ceil, HALVES),
  stepped('round', t.round, evenly, HALVES),
  stepped('trunc', t.trunc, Math.trunc, HALVES),
  also(smooth('tan', t.tan, Math.tan, -1.4, 1.4), tiny(t.tan, Math.tan)),
  also(
    smooth('asin', t.asin, Math.asin, -0.95, 0.95),
    tiny(t.asin, Math.asin),
    edges(t.asin, Math.asin, [-1, 1, 1 - 2 ** -20, 1.5, 0, NAN]),
  ),
  also(
    smooth('acos', t.acos, Math.acos, -0.95, 0.95),
    edges(t.acos, Math.acos, [-1, 1, 1 - 2 ** -20, -1 + 2 ** -20, 1.5, 0, NAN]),
  ),
  also(
    smooth('atan', t.atan, Math.atan, -6, 6),
    tiny(t.atan, Math.atan),
    edges(t.atan, Math.atan, [INF, MINUS, NAN, 1e30, -1e9]),
  ),
  also(smooth('sinh', t.sinh, Math.sinh), tiny(t.sinh, Math.sinh), edges(t.sinh, Math.sinh, [INF, MINUS, NAN, 30])),
  also(smooth('cosh', t.cosh, Math.cosh), edges(t.cosh, Math.cosh, [INF, MINUS, NAN, 30])),
  also(
    smooth('asinh', t.asinh, Math.asinh, -6, 6),
    tiny(t.asinh, Math.asinh),
    edges(t.asinh, Math.asinh, [INF, MINUS, NAN, 2 ** 40, -(2 ** 100)]),
  ),
  also(
    smooth('acosh', t.acosh, Math.acosh, 1.2, 6),
    edges(t.acosh, Math.acosh, [1, 1 + 2 ** -12, 0.5, -1, -2, INF, NAN, 2 ** 40, 2 ** 100]),
  ),
  also(
    smooth('atanh', t.atanh, Math.atanh, -0.9, 0.9),
    tiny(t.atanh, Math.atanh),
    edges(t.atanh, Math.atanh, [1, -1, 1.5, -1.5, NAN, 0]),
  ),
  also(
    smooth('expm1', t.expm1, Math.expm1),
    tiny(t.expm1, Math.expm1),
    tiny(t.expm1, Math.expm1, 8),
    edges(t.expm1, Math.expm1, [INF, MINUS, NAN, 50, -50, 0]),
  ),
  also(
    smooth('log1p', t.log1p, Math.log1p, -0.8, 6),
    tiny(t.log1p, Math.log1p),
    tiny(t.log1p, Math.log1p, 8),
    edges(t.log1p, Math.log1p, [INF, -1, -2, NAN, 2 ** 60, 0, 2 ** -80]),
  ),
  also(smooth('log2', t.log2, Math.log2, 0.3, 6), edges(t.log2, Math.log2, [0, INF, -1, NAN, 8])),
  also(smooth('log10', t.log10, Math.log10, 0.3, 6), edges(t.log10, Math.log10, [0, INF, -1, NAN, 1000])),
  also(
    smooth('exp2', t.exp2, (x) => 2 ** x),
    edges(t.exp2, (x) => 2 ** x, [INF, MINUS, NAN, 100, -100, 3]),
  ),
  also(
    smooth('cbrt', t.cbrt, Math.cbrt, 0.3, 6),
    smooth('cbrt', t.cbrt, Math.cbrt, -6, -0.3).cases[2] ?? edges(t.cbrt, Math.cbrt, [-1]),
    edges(t.cbrt, Math.cbrt, [0, 1, -27, 2 ** 90, INF, MINUS, NAN]),
  ),
  row(
    'logAddExp',
    ...binary(t.logAddExp, logAddExpOf),
    pairs(t.logAddExp, logAddExpOf, [
      [1000, 1000],
      [1000, -1000],
      [MINUS, MINUS],
      [MINUS, 3],
      [INF, INF],
      [NAN, 1],
    ]),
  ),
  row(
    'hypot',
    ...binary(t.hypot, (a, b) => Math.hypot(a, b), [0.3, 2]),
    pairs(t.hypot, (a, b) => Math.hypot(a, b), [
      [0, 0],
      [3, -4],
      [2 ** 90, 2 ** 91],
      [INF, 2],
      [INF, MINUS],
    ]),
    {
      inputs: [given([0, 3]), given([0, 4])],
      apply: (a, b) => t.gradients(t.sum(t.hypot(a, b)), [a, b]),
      reference: () => [given([0, 0.6]), given([0, 0.8])],
      gradients: [],
    },
  ),
  row(
    'atan2',
    ...binary(t.atan2, Math.atan2, [0.3, 2], [-2, -0.3]),
    ...binary(t.atan2, Math.atan2, [-2, -0.3], [0.3, 2]),
    pairs(t.atan2, Math.atan2, [
      [0, 1],
      [0, -1],
      [-0, -1],
      [-0, 1],
      [1, 0],
      [-1, -0],
      [0, 0],
      [0, -0],
      [-0, -0],
    ]),
    pairs(t.atan2, Math.atan2, [
      [INF, INF],
      [INF, MINUS],
      [MINUS, 3],
      [2, MINUS],
      [-2, INF],
      [NAN, 1],
      [2, 3],
    ]),
  ),
  smooth('softsign', t.softsign, (x) => x / (1 + Math.abs(x))),
  also(kinked('elu', t.elu, eluOf(1), [0, -50, 50]), {
    inputs: [between([7])],
    apply: (x) => t.elu(x, 0.3),
    reference: each(eluOf(0.3)),
  }),
  also(kinked('leakyRelu', t.leakyRelu, leakyOf(0.01), [0, -50, 50]), {
    inputs: [between([7])],
    apply: (x) => t.leakyRelu(x, 1.5),
    reference: each(leakyOf(1.5)),
  }),
  also(kinked('hardSigmoid', t.hardSigmoid, hardOf, [-3, 3, 50, -50]), wide(t.hardSigmoid, hardOf)),
  also(
    kinked('hardSwish', t.hardSwish, (x) => x * hardOf(x), [-3, 3, 50, -50]),
    wide(t.hardSwish, (x) => x * hardOf(x)),
  ),
  also(
    smooth('mish', t.mish, (x) => x * Math.tanh(softplusOf(x))),
    wide(t.mish, (x) => x * Math.tanh(softplusOf(x))),
  ),
  also(
    smooth('logSigmoid', t.logSigmoid, (x) => -softplusOf(-x)),
    edges(t.logSigmoid, (x) => -softplusOf(-x), [-1000, 1000, 0]),
  ),
  test('isnan', t.isnan, Number.isNaN),
  test('isinf', t.isinf, (x) => Math.abs(x) === INF),
  test('isfinite', t.isfinite, Number.isFinite),
  row(
    'notEqual',
    {
      inputs: [given([1, 2, NAN]), given([1, 3, NAN])],
      apply: t.notEqual,
      reference: each((a, b) => Number(a !== b), 'bool'),
    },
    ...(['int32', 'int64'] as const).map((kind) => ({
      inputs: [given([1, 2, 3, 4], [2, 2], kind), given([1, 4], [2], kind)],
      apply: t.notEqual,
      reference: each((a, b) => Number(a !== b), 'bool'),
    })),
    { inputs: [bools([3, 4]), bools([4])], apply: t.notEqual, reference: each((a, b) => Number(a !== b)) },
  ),
  row('logicalXor', {
    inputs: [bools([3, 4]), bools([4])],
    apply: t.logicalXor,
    reference: each((a, b) => Number(a !== b)),
  }),
];
