/** Reductions, softmax, the largest entries, running sums and matrix products. */

import * as t from 'tessera-kit/tensor';
import {
  along,
  at,
  common,
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
  softmaxOf,
  total,
  turn,
  type Value,
} from './value.js';

type Reduction = (x: t.Tensor, axes?: readonly number[] | number, options?: t.ReduceOptions) => t.Tensor;

function reduced(
  apply: Reduction,
  f: (list: readonly number[]) => number,
  values: (shape: readonly number[]) => Value = floats,
): OperationCase[] {
  return [
    { inputs: [values([6])], apply: (x) => apply(x), reference: along(f) },
    { inputs: [values([3, 4])], apply: (x) => apply(x, 0), reference: along(f, [0]) },
    { inputs: [values([3, 4])], apply: (x) => apply(x, -1, { keepDims: true }), reference: along(f, [1], true) },
    { inputs: [values([2, 3, 4])], apply: (x) => apply(x, [0, 2]), reference: along(f, [0, 2]) },
    { inputs: [values([2, 1, 3])], apply: (x) => apply(x, [1]), reference: along(f, [1]) },
    { inputs: [values([])], apply: (x) => apply(x), reference: (x) => ({ ...x, data: [f(x.data)] }) },
  ];
}

const average = (list: readonly number[]) => total(list) / list.length;
const squares = (list: readonly number[]) => total(list.map((value) => value * value));
const spread = (list: readonly number[]) => total(list.map((value) => (value - average(list)) ** 2)) / list.length;
const place = (list: readonly number[]) => list.indexOf(Math.max(...list));

/** `f` along an axis by turning that axis last. */
function onAxis(f: (x: Value) => Value, axis: number) {
  return (x: Value): Value => {
    const order = x.shape.map((_, index) => index);
    const last = order.length - 1;
    [order[axis], order[last]] = [last, axis];
    return turn(f(turn(x, order)), order);
  };
}

function normalized(
  apply: (x: t.Tensor, axis?: number) => t.Tensor,
  f: (list: readonly number[]) => number[],
): OperationCase[] {
  return [
    { inputs: [floats([5])], apply: (x) => apply(x), reference: rows(f) },
    { inputs: [floats([2, 3, 4], -30, 30)], apply: (x) => apply(x), reference: rows(f) },
    { inputs: [floats([3, 4])], apply: (x) => apply(x, 0), reference: onAxis(rows(f), 0) },
    { inputs: [floats([2, 3, 4])], apply: (x) => apply(x, -2), reference: onAxis(rows(f), 1) },
    { inputs: [given([1000, 1000, -1000, 999], [2, 2])], apply: (x) => apply(x), reference: rows(f), gradients: [] },
  ];
}

const sums = (list: readonly number[]) => list.map((_, index) => total(list.slice(0, index + 1)));

/** Running sums of the places before (or, in reverse, after) each one, itself included unless `exclusive`. */
function runs(exclusive: boolean, reverse: boolean) {
  return (list: readonly number[]) =>
    list.map((_, i) => total(list.filter((_, j) => (j === i ? !exclusive : reverse ? j > i : j < i))));
}

function largest(x: Value, k: number, axis: number): Value[] {
  const shape = x.shape.map((size, index) => (index === axis ? k : size));
  const sorted = (position: readonly number[]) => {
    const line = Array.from({ length: x.shape[axis] ?? 0 }, (_, index) => index);
    const value = (index: number) =>
      at(
        x,
        position.map((p, d) => (d === axis ? index : p)),
      );
    const index = line.sort((a, b) => value(b) - value(a) || a - b)[position[axis] ?? 0] ?? 0;
    return { index, value: value(index) };
  };
  return [make(shape, (p) => sorted(p).value), make(shape, (p) => sorted(p).index, 'int32')];
}

function topK(x: Value, k: number, axis: number): OperationCase {
  return {
    inputs: [x],
    apply: (tensor) => {
      const { values, positions: places } = t.topK(tensor, k, axis - x.shape.length);
      return [values, places];
    },
    reference: (value) => largest(value, k, axis),
  };
}

/** The product of batches of matrices. */
export function product(a: Value, b: Value): Value {
  const batch = common(
    { ...a, shape: a.shape.slice(0, -2), data: [] },
    { ...b, shape: b.shape.slice(0, -2), data: [] },
  );
  const inner = a.shape.at(-1) ?? 1;
  return make(
    [...batch, a.shape.at(-2) ?? 1, b.shape.at(-1) ?? 1],
    (p) => {
      const [head, m = 0, n = 0] = [p.slice(0, -2), p.at(-2), p.at(-1)];
      return total(positions([inner]).map(([k = 0]) => at(a, [...head, m, k]) * at(b, [...head, k, n])));
    },
    a.kind,
  );
}

function swap(x: Value): Value {
  const order = x.shape.map((_, axis) => axis);
  order.push(...order.splice(-2).reverse());
  return turn(x, order);
}

function multiply(
  a: readonly number[],
  b: readonly number[],
  options: t.MatmulOptions = {},
  bias?: number,
): OperationCase {
  const { transposeA = false, transposeB = false, scale = 1 } = options;
  return {
    inputs: [floats(a), floats(b), ...(bias === undefined ? [] : [floats([bias])])],
    apply: (x, y, z) => t.matmul(x, y, { ...options, bias: z }),
    reference: (x, y, z) => {
      const raw = product(transposeA ? swap(x) : x, transposeB ? swap(y) : y);
      return make(raw.shape, (p) => at(raw, p) * scale + (z === undefined ? 0 : at(z, p)));
    },
  };
}

export const reductions: readonly OperationRow[] = [
  row(
    'sum',
    ...reduced(t.sum, total),
    { inputs: [floats([5, 20])], apply: (x) => t.sum(x, 0), reference: along(total, [0]) },
    { inputs: [floats([1, 5, 1, 20])], apply: (x) => t.sum(x, [0, 1]), reference: along(total, [0, 1]) },
    { inputs: [indices([3, 4], 9)], apply: (x) => t.sum(x, 1), reference: along(total, [1]) },
  ),
  row('mean', ...reduced(t.mean, average)),
  row('max', ...reduced(t.max, (list) => Math.max(...list), distinct), {
    inputs: [given([2, 2, 1, 0, 0, 0], [2, 3])],
    apply: (x) => t.max(x, 1),
    reference: along((list) => Math.max(...list), [1]),
    gradients: [],
  }),
  row('min', ...reduced(t.min, (list) => Math.min(...list), distinct)),
  row('sumSquares', ...reduced(t.sumSquares, squares)),
  row('variance', ...reduced(t.variance, spread)),
  row(
    'argmax',
    {
      inputs: [distinct([3, 4])],
      apply: (x) => [t.argmax(x), t.argmax(x, 0)],
      reference: (x) => [along(place, [1], false, 'int32')(x), along(place, [0], false, 'int32')(x)],
    },
    { inputs: [given([1, 3, 3, 2])], apply: (x) => t.argmax(x), reference: along(place, [0], false, 'int32') },
  ),
  row('softmax', ...normalized(t.softmax, softmaxOf)),
  row(
    'logSoftmax',
    ...normalized(t.logSoftmax, (list) => {
      const top = Math.max(...list);
      const normal = top + Math.log(total(list.map((value) => Math.exp(value - top))));
      return list.map((value) => value - normal);
    }),
  ),
  row('topK', topK(distinct([7]), 3, 0), topK(distinct([3, 5]), 2, 1), topK(distinct([4, 3]), 4, 0), {
    ...topK(given([1, 5, 5, 0, 5, 2], [2, 3]), 2, 1),
    gradients: [],
  }),
  row(
    'cumsum',
    { inputs: [floats([6])], apply: (x) => t.cumsum(x), reference: rows(sums) },
    { inputs: [floats([2, 3, 4])], apply: (x) => t.cumsum(x), reference: rows(sums) },
    { inputs: [floats([3, 4])], apply: (x) => t.cumsum(x, 0), reference: onAxis(rows(sums), 0) },
    { inputs: [indices([5], 9)], apply: (x) => t.cumsum(x), reference: rows(sums) },
    ...([true, false] as const).flatMap((exclusive) =>
      [true, false].map((reverse) => ({
        inputs: [floats([2, 4, 3])],
        apply: (x: t.Tensor) => t.cumsum(x, 1, { exclusive, reverse }),
        reference: onAxis(rows(runs(exclusive, reverse)), 1),
      })),
    ),
  ),
  row(
    'matmul',
    multiply([2, 3], [3, 4]),
    multiply([3, 2], [3, 4], { transposeA: true }),
    multiply([2, 3], [4, 3], { transposeB: true, scale: 0.3 }),
    multiply([3, 2], [4, 3], { transposeA: true, transposeB: true, scale: -1.7 }),
    multiply([2, 3], [3, 4], { scale: 0.7 }, 4),
    multiply([5, 2, 3], [3, 4]),
    multiply([2, 5, 2, 3], [3, 4], { scale: 0.3 }, 4),
    multiply([5, 3, 2], [3, 4], { transposeA: true }),
    multiply([5, 3, 2], [3, 4], { transposeA: true }, 4),
    multiply([2, 3], [5, 3, 4]),
    multiply([3, 2], [5, 3, 4], { transposeA: true }),
    multiply([5, 2, 3], [5, 3, 4]),
    multiply([5, 2, 3], [5, 4, 3], { transposeB: true, scale: 0.3 }),
    multiply([2, 1, 2, 3], [3, 3, 4]),
    multiply([2, 1, 3, 2], [3, 4, 3], { transposeA: true, transposeB: true, scale: 0.3 }),
    multiply([1, 1], [1, 1]),
    { inputs: [indices([2, 3], 9), indices([3, 2], 9)], apply: (a, b) => t.matmul(a, b), reference: product },
    { inputs: [indices([2, 2, 3], 9), indices([2, 3, 2], 9)], apply: (a, b) => t.matmul(a, b), reference: product },
  ),
];
