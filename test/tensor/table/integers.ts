/** Remainders, whole quotients, bits and shifts. */

import * as t from 'tessera-kit/tensor';
import { binary } from './elementwise.js';
import { bools, each, floats, given, type OperationCase, type OperationRow, row } from './value.js';

type Binary = (a: t.Operand, b: t.Operand) => t.Tensor;
type Bits = (a: bigint, b: bigint) => bigint;

const LEAST = { int32: -(2 ** 31), int64: -(2 ** 53) } as const;
const MOST = { int32: 2 ** 31 - 1, int64: 2 ** 53 - 1 } as const;
const WIDTH = { int32: 32, int64: 64 } as const;
const KINDS = ['int32', 'int64'] as const;

const modulo = (a: number, b: number): number => (b === 0 ? 0 : ((a % b) + b) % b);

/** Whole numbers of every pair of signs, under divisors that the hardware cannot take, and constant ones. */
function whole(apply: Binary, f: (a: number, b: number) => number): OperationCase[] {
  return KINDS.flatMap((kind) => {
    const numbers = given([7, -7, 0, 6, -6, LEAST[kind]], [6, 1], kind);
    const constant = (divisor: number): OperationCase => ({
      inputs: [numbers],
      apply: (a) => apply(a, divisor),
      reference: each((a) => f(a, divisor)),
    });
    return [
      { inputs: [numbers, given([3, -3, 1, -2], [4], kind)], apply, reference: each(f) },
      { inputs: [given([7, -7, 0, 5], [4, 1], kind), given([0, -1], [2], kind)], apply, reference: each(f) },
      constant(3),
      constant(-4),
      constant(0),
    ];
  });
}

/** The most negative number under -1, which ends a process that divides it: given by its wrapping. */
function least(apply: Binary, result: number): OperationCase {
  const inputs = [given([LEAST.int32, 5], [2], 'int32'), given([-1, -1], [2], 'int32')];
  return { inputs, apply, reference: () => given([result, result === 0 ? 0 : -5], [2], 'int32') };
}

/** Floating operands whose quotients stay away from whole numbers, where the functions jump. */
function quotients(apply: Binary, f: (a: number, b: number) => number): OperationCase[] {
  return [
    { inputs: [given([7.3, -7.3, 5.2, -5.2], [4, 1]), given([2, -2, 3], [3])], apply, reference: each(f) },
    { inputs: [given([0.4, -0.3, 2.2]), given([1, 1, -0.7])], apply, reference: each(f) },
    { inputs: [floats([3], 1.1, 1.9)], apply: (x) => apply(x, -1), reference: each((a) => f(a, -1)) },
  ];
}

function bits(apply: Binary, f: Bits): OperationCase[] {
  const both = (kind: 'int32' | 'int64' | 'bool', width: number) =>
    each((a, b) => Number(BigInt.asIntN(width, f(BigInt(a), BigInt(b)))), kind);
  return [
    ...KINDS.flatMap((kind): OperationCase[] => [
      {
        inputs: [given([5, -6, 0, MOST[kind]], [4, 1], kind), given([3, -1, LEAST[kind]], [3], kind)],
        apply,
        reference: both(kind, WIDTH[kind]),
      },
      {
        inputs: [given([0], [1], kind)],
        apply: (x) => t.add(x, apply(t.constant(t.array([12, -7], [2], kind)), 10)),
        reference: () => both(kind, WIDTH[kind])(given([12, -7], [2], kind), given([10], [1], kind)),
      },
    ]),
    { inputs: [bools([3, 4]), bools([4])], apply, reference: both('bool', 2) },
    {
      inputs: [given([5, 200, 255], [3], 'int32'), given([3, 129, 15], [3], 'int32')],
      apply: (a, b) => t.cast(apply(t.cast(a, 'uint8'), t.cast(b, 'uint8')), 'int32'),
      reference: both('int32', 32),
    },
  ];
}

function shifts(apply: Binary, f: Bits, gone: (a: number) => number): OperationCase[] {
  return [
    ...KINDS.flatMap((kind): OperationCase[] => {
      const width = WIDTH[kind];
      const shifted = (a: number, n: number) =>
        n < 0 || n >= width ? gone(a) : Number(BigInt.asIntN(width, f(BigInt(a), BigInt(n))));
      const numbers = given([1, -1, 5, -6, 1000], [5, 1], kind);
      const constant = (count: number): OperationCase => ({
        inputs: [numbers],
        apply: (a) => apply(a, count),
        reference: each((a) => shifted(a, count)),
      });
      return [
        { inputs: [numbers, given([0, 1, 7, width - 1, width, -1], [6], kind)], apply, reference: each(shifted) },
        ...[0, 3, width - 1, width, -2].map(constant),
        {
          inputs: [given([0], [1], kind)],
          apply: (x) => t.add(x, apply(t.constant(t.array([12, -7], [2], kind)), 2)),
          reference: () => each((a) => shifted(a, 2))(given([12, -7], [2], kind)),
        },
      ];
    }),
    {
      inputs: [given([1, 200, 255], [3, 1], 'int32'), given([0, 1, 7, 8], [4], 'int32')],
      apply: (a, n) => t.cast(apply(t.cast(a, 'uint8'), t.cast(n, 'uint8')), 'int32'),
      reference: each((a, n) => (n >= 8 ? 0 : Number(BigInt.asUintN(8, f(BigInt(a), BigInt(n)))))),
    },
  ];
}

const floored = (a: number, b: number): number => Math.floor(a / b);

export const integers: readonly OperationRow[] = [
  row('mod', ...quotients(t.mod, modulo), ...whole(t.mod, modulo), least(t.mod, 0), {
    inputs: [given([5, -5, 1]), given([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 0])],
    apply: t.mod,
    reference: () => given([5, Number.POSITIVE_INFINITY, Number.NaN]),
    gradients: [],
  }),
  row(
    'fmod',
    ...quotients(t.fmod, (a, b) => a % b),
    ...whole(t.fmod, (a, b) => (b === 0 ? 0 : a % b)),
    least(t.fmod, 0),
  ),
  row(
    'floorDivide',
    ...quotients(t.floorDivide, floored),
    ...whole(t.floorDivide, (a, b) => (b === 0 ? 0 : Number((BigInt(a) - BigInt(modulo(a, b))) / BigInt(b)))),
    least(t.floorDivide, LEAST.int32),
    ...binary(t.floorDivide, floored, [0.1, 0.4], [1, 2]),
    {
      inputs: [given([1, -5, 0, 6]), given([0, Number.POSITIVE_INFINITY, 0, 3])],
      apply: t.floorDivide,
      reference: () => given([Number.POSITIVE_INFINITY, -1, Number.NaN, 2]),
      gradients: [],
    },
  ),
  row('bitwiseAnd', ...bits(t.bitwiseAnd, (a, b) => a & b)),
  row('bitwiseOr', ...bits(t.bitwiseOr, (a, b) => a | b)),
  row('bitwiseXor', ...bits(t.bitwiseXor, (a, b) => a ^ b)),
  row(
    'bitwiseNot',
    ...KINDS.map((kind) => ({
      inputs: [given([0, -1, 5, LEAST[kind] + 1], [4], kind)],
      apply: t.bitwiseNot,
      reference: each((a) => -1 - a),
    })),
    { inputs: [bools([5])], apply: t.bitwiseNot, reference: each((a) => 1 - a) },
    {
      inputs: [given([0, 7, 255], [3], 'int32')],
      apply: (a) => t.cast(t.bitwiseNot(t.cast(a, 'uint8')), 'int32'),
      reference: each((a) => 255 - a),
    },
  ),
  row(
    'leftShift',
    ...shifts(
      t.leftShift,
      (a, b) => a << b,
      () => 0,
    ),
  ),
  row(
    'rightShift',
    ...shifts(
      t.rightShift,
      (a, b) => a >> b,
      (a) => (a < 0 ? -1 : 0),
    ),
  ),
];
