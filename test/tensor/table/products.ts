/** Reductions beside sums and extremes, running products and extremes, products of vectors, einsum. */

import * as t from 'tessera-kit/tensor';
import {
  along,
  at,
  distinct,
  floats,
  given,
  indices,
  make,
  type OperationCase,
  type OperationRow,
  positions,
  row,
  rows,
  total,
  turn,
  type Value,
} from './value.js';

type Reduction = (x: t.Tensor, axes?: readonly number[] | number, options?: t.ReduceOptions) => t.Tensor;
type Line = (list: readonly number[]) => number;

const { POSITIVE_INFINITY: INF, NEGATIVE_INFINITY: MINUS, NaN: NAN } = Number;

function reduced(
  apply: Reduction,
  f: Line,
  values: (shape: readonly number[]) => Value = floats,
  kind?: Value['kind'],
): OperationCase[] {
  return [
    { inputs: [values([6])], apply: (x) => apply(x), reference: along(f, undefined, false, kind) },
    { inputs: [values([3, 4])], apply: (x) => apply(x, 0), reference: along(f, [0], false, kind) },
    { inputs: [values([3, 4])], apply: (x) => apply(x, -1, { keepDims: true }), reference: along(f, [1], true, kind) },
    { inputs: [values([2, 3, 4])], apply: (x) => apply(x, [-1, 0]), reference: along(f, [0, 2], false, kind) },
    { inputs: [values([2, 1, 3])], apply: (x) => apply(x, [1]), reference: along(f, [1], false, kind) },
    {
      inputs: [values([])],
      apply: (x) => apply(x),
      reference: (x) => ({ kind: kind ?? x.kind, shape: [], data: [f(x.data)] }),
    },
  ];
}

const product: Line = (list) => list.reduce((all, value) => all * value, 1);
const length2: Line = (list) => Math.sqrt(total(list.map((value) => value * value)));
const length1: Line = (list) => total(list.map(Math.abs));
const longest: Line = (list) => Math.max(...list.map(Math.abs));
const logSum: Line = (list) => {
  const top = Math.max(...list);
  return Number.isFinite(top) ? top + Math.log(total(list.map((value) => Math.exp(value - top)))) : top;
};
const deviation =
  (ddof: number): Line =>
  (list) => {
    const mean = total(list) / list.length;
    return Math.sqrt(total(list.map((value) => (value - mean) ** 2)) / (list.length - ddof));
  };
const least: Line = (list) => list.indexOf(Math.min(...list));

/** Zeros among numbers, so that products and counts meet none, one and several in a line. */
const holed = (shape: readonly number[]): Value => {
  const { data, ...rest } = floats(shape);
  return { ...rest, data: data.map((value, place) => (place % 3 === 1 || place === 4 ? 0 : value)) };
};

/** `f` along an axis by turning that axis last. */
function onAxis(f: (x: Value) => Value, axis: number) {
  return (x: Value): Value => {
    const order = x.shape.map((_, index) => index);
    const last = order.length - 1;
    [order[axis], order[last]] = [last, axis];
    return turn(f(turn(x, order)), order);
  };
}

/** Running values of `f` over the places before (or, in reverse, after) each one, itself included unless `exclusive`. */
function running(f: Line, exclusive = false, reverse = false) {
  return rows((list) =>
    list.map((_, i) => f(list.filter((_value, j) => (j === i ? !exclusive : reverse ? j > i : j < i)))),
  );
}

function cumulative(apply: (x: t.Tensor, axis?: number) => t.Tensor, f: Line, values = floats): OperationCase[] {
  return [
    { inputs: [values([6])], apply: (x) => apply(x), reference: running(f) },
    { inputs: [values([1])], apply: (x) => apply(x), reference: running(f) },
    { inputs: [values([2, 3, 4])], apply: (x) => apply(x, -1), reference: running(f) },
    { inputs: [values([19, 2])], apply: (x) => apply(x, 0), reference: onAxis(running(f), 0) },
    { inputs: [indices([7], 5)], apply: (x) => apply(x), reference: running(f) },
    { inputs: [indices([7], 5, 'int64')], apply: (x) => apply(x), reference: running(f) },
  ];
}

/** Sums over every value of every label, which is what the subscripts mean. */
function summation(inputs: readonly string[], output: string, values: readonly Value[]): Value {
  const labels = [...new Set([...inputs.join(''), ...output])];
  const sizes = labels.map((label) => {
    const found = inputs.flatMap((text, operand) =>
      [...text].flatMap((letter, axis) => (letter === label ? [values[operand]?.shape[axis] ?? 1] : [])),
    );
    return Math.max(...found);
  });
  const shape = [...output].map((label) => sizes[labels.indexOf(label)] ?? 1);
  const sums = new Map<string, number>();
  for (const place of positions(sizes)) {
    const position = (text: string) => [...text].map((letter) => place[labels.indexOf(letter)] ?? 0);
    const term = values.reduce((all, value, operand) => all * at(value, position(inputs[operand] ?? '')), 1);
    const key = position(output).join();
    sums.set(key, (sums.get(key) ?? 0) + term);
  }
  return make(shape, (position) => sums.get(position.join()) ?? 0, values[0]?.kind);
}

/** `written` as the library reads it, `meant` in letters only. */
function einsum(written: string, meant: string, ...values: Value[]): OperationCase {
  const [left = '', output = ''] = meant.split('->');
  return {
    inputs: values,
    apply: (...tensors) => t.einsum(written, ...tensors),
    reference: (...given) => summation(left.split(','), output, given),
  };
}

const plain = (subscripts: string, ...shapes: (readonly number[])[]): OperationCase =>
  einsum(subscripts, subscripts, ...shapes.map((shape) => floats(shape)));

export const products: readonly OperationRow[] = [
  row(
    'prod',
    ...reduced(t.prod, product),
    ...reduced(t.prod, product, holed),
    { inputs: [given([2, 0, 3, 0, 0, 4], [2, 3])], apply: (x) => t.prod(x, 1), reference: along(product, [1]) },
    { inputs: [indices([3, 4], 5)], apply: (x) => t.prod(x, 1), reference: along(product, [1]) },
  ),
  row(
    'cumprod',
    ...cumulative(t.cumprod, product),
    ...cumulative(t.cumprod, product, holed),
    ...[true, false].flatMap((exclusive) =>
      [true, false].map((reverse) => ({
        inputs: [floats([2, 11, 3])],
        apply: (x: t.Tensor) => t.cumprod(x, 1, { exclusive, reverse }),
        reference: onAxis(running(product, exclusive, reverse), 1),
      })),
    ),
    {
      inputs: [floats([3, 1])],
      apply: (x) => t.cumprod(x, 1, { exclusive: true }),
      reference: running(product, true),
    },
  ),
  row('cummax', ...cumulative(t.cummax, (list) => Math.max(...list), distinct)),
  row('cummin', ...cumulative(t.cummin, (list) => Math.min(...list), distinct)),
  row(
    'any',
    ...reduced(t.any, (list) => Number(list.some((value) => value !== 0)), holed, 'bool').map((one) => ({
      ...one,
      gradients: [],
    })),
    {
      inputs: [given([0, 0, 0, 0, 1, 0, NAN, 0], [4, 2])],
      apply: (x) => t.any(x, 1),
      reference: () => given([0, 0, 1, 1], [4], 'bool'),
      gradients: [],
    },
  ),
  row(
    'all',
    ...reduced(t.all, (list) => Number(list.every((value) => value !== 0)), holed, 'bool').map((one) => ({
      ...one,
      gradients: [],
    })),
    {
      inputs: [given([1, 0, 1, 1, 1, 0, NAN, 2], [4, 2], 'float')],
      apply: (x) => t.all(x, 1),
      reference: () => given([0, 1, 0, 1], [4], 'bool'),
      gradients: [],
    },
    {
      inputs: [indices([3, 4], 3)],
      apply: (x) => t.all(x, 1),
      reference: along((list) => Number(list.every(Boolean)), [1], false, 'bool'),
    },
  ),
  row(
    'countNonzero',
    ...reduced(t.countNonzero, (list) => list.filter(Boolean).length, holed, 'int32').map((one) => ({
      ...one,
      gradients: [],
    })),
  ),
  row(
    'argmin',
    {
      inputs: [distinct([3, 4])],
      apply: (x) => [t.argmin(x), t.argmin(x, 0, { keepDims: true }), t.argmax(x, -2, { keepDims: true })],
      reference: (x) => [
        along(least, [1], false, 'int32')(x),
        along(least, [0], true, 'int32')(x),
        along((list) => list.indexOf(Math.max(...list)), [0], true, 'int32')(x),
      ],
    },
    { inputs: [given([3, 1, 1, 2])], apply: (x) => t.argmin(x), reference: along(least, [0], false, 'int32') },
  ),
  row(
    'standardDeviation',
    ...reduced(t.standardDeviation, deviation(0)).slice(0, 4),
    {
      inputs: [floats([3, 4])],
      apply: (x) => t.standardDeviation(x, 1, { ddof: 1, keepDims: true }),
      reference: along(deviation(1), [1], true),
    },
    {
      inputs: [floats([2, 3, 4])],
      apply: (x) => t.square(t.standardDeviation(x, [0, 2], { ddof: 1.5 })),
      reference: along((list) => deviation(1.5)(list) ** 2, [0, 2]),
    },
    {
      inputs: [floats([5])],
      apply: (x) => t.variance(x, 0, { ddof: 1 }),
      reference: along((list) => deviation(1)(list) ** 2, [0]),
    },
  ),
  row(
    'logSumExp',
    ...reduced(t.logSumExp, logSum),
    {
      inputs: [given([1000, 1000, -1000, MINUS, MINUS, MINUS, INF, 1], [4, 2])],
      apply: (x) => t.logSumExp(x, 1),
      reference: along(logSum, [1]),
      gradients: [],
    },
    {
      inputs: [given([20, 20, -20, MINUS, MINUS, MINUS], [3, 2])],
      apply: (x) => t.gradients(t.sum(t.logSumExp(x, 1)), x),
      reference: () => given([0.5, 0.5, 1, 0, 0, 0], [3, 2]),
      gradients: [],
    },
  ),
  row(
    'vectorNorm',
    ...reduced(t.vectorNorm, length2),
    ...reduced((x, axes, options) => t.vectorNorm(x, axes, { order: 1, ...options }), length1),
    ...reduced((x, axes, options) => t.vectorNorm(x, axes, { order: INF, ...options }), longest, distinct).slice(1, 4),
    {
      inputs: [given([0, 0, 3, 4], [2, 2])],
      apply: (x) => t.gradients(t.sum(t.vectorNorm(x, 1)), x),
      reference: () => given([0, 0, 0.6, 0.8], [2, 2]),
      gradients: [],
    },
  ),
  row(
    'outer',
    einsum('i,j->ij', 'i,j->ij', floats([3]), floats([4])),
    { ...plain('i,j->ij', [3], [4]), apply: t.outer },
    { ...plain('ab,cd->abcd', [2, 2], [1, 3]), apply: (a, b) => t.reshape(t.outer(a, b), [2, 2, 1, 3]) },
    { ...einsum('', 'i,j->ij', indices([3], 9), indices([2], 9)), apply: t.outer },
  ),
  row(
    'dot',
    ...(
      [
        ['i,i->', [5], [5]],
        ['ij,jk->ik', [2, 3], [3, 4]],
        ['ij,j->i', [2, 3], [3]],
        ['j,jk->k', [3], [3, 4]],
        ['abj,cjd->abcd', [2, 3, 4], [2, 4, 3]],
        [',ij->ij', [], [2, 3]],
        ['ij,->ij', [2, 3], []],
      ] as const
    ).map(([meant, a, b]) => ({ ...plain(meant, a, b), apply: t.dot })),
    { ...einsum('', 'ij,jk->ik', indices([2, 3], 9), indices([3, 2], 9)), apply: t.dot },
  ),
  row(
    'einsum',
    plain('ij,jk->ik', [2, 3], [3, 4]),
    plain('ij,kj->ik', [2, 3], [4, 3]),
    plain('ji,jk->ki', [3, 2], [3, 4]),
    plain('bij,bjk->bik', [2, 3, 4], [2, 4, 5]),
    plain('bhid,bhjd->bhij', [2, 3, 4, 5], [2, 3, 2, 5]),
    plain('bihd,bjhd->bhij', [2, 4, 3, 5], [2, 2, 3, 5]),
    plain('bhij,bjhd->bihd', [2, 3, 4, 2], [2, 2, 3, 5]),
    plain('i,i->', [5], [5]),
    plain('ij,ij->', [2, 3], [2, 3]),
    plain('ij,ij->i', [2, 3], [2, 3]),
    plain('i,j->ji', [2], [3]),
    plain('ij->ji', [2, 3]),
    plain('ij->', [2, 3]),
    plain('ijk->ki', [2, 3, 4]),
    plain('ii->', [3, 3]),
    plain('ii->i', [3, 3]),
    plain('iji->ji', [3, 2, 3]),
    plain('iii->i', [2, 2, 2]),
    plain('ij,jj->i', [2, 3], [3, 3]),
    plain('ij,ik,il->jkl', [2, 3], [2, 4], [2, 2]),
    plain('ij,jk,kl->il', [2, 3], [3, 4], [4, 2]),
    plain('a,b,c,d->dcba', [2], [1], [3], [2]),
    plain('ij,k->j', [2, 3], [4]),
    plain(',ij,->ji', [], [2, 3], []),
    plain('bi,bij,bj->b', [2, 3], [2, 3, 4], [2, 4]),
    einsum('ij,jk', 'ij,jk->ik', floats([2, 3]), floats([3, 4])),
    einsum('ba', 'ba->ab', floats([2, 3])),
    einsum('ii', 'ii->', floats([3, 3])),
    einsum(' i j , j k -> k i ', 'ij,jk->ki', floats([2, 3]), floats([3, 4])),
    einsum('...ij,...jk->...ik', 'abij,abjk->abik', floats([2, 2, 2, 3]), floats([2, 2, 3, 4])),
    einsum('...ij,...jk', 'abij,bjk->abik', floats([2, 3, 2, 3]), floats([3, 3, 4])),
    einsum('...ij,...jk->...ik', 'abij,abjk->abik', floats([2, 1, 2, 3]), floats([1, 3, 3, 4])),
    einsum('i...,...->...i', 'iab,ab->abi', floats([2, 3, 4]), floats([3, 4])),
    einsum('...->', 'ab->', floats([2, 3])),
    einsum('...i,...i', 'ai,ai->a', floats([2, 3]), floats([2, 3])),
    einsum('ij,jk->ik', 'ij,jk->ik', floats([2, 1]), floats([3, 4])),
    einsum('ij,jk->ik', 'ij,jk->ik', indices([2, 3], 9), indices([3, 2], 9)),
    einsum('bji,bkj->bik', 'bji,bkj->bik', indices([2, 3, 2], 9, 'int64'), indices([2, 2, 3], 9, 'int64')),
  ),
];
