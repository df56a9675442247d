/** Sorting, searching in sorted lists, medians and quantiles. */

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
  row,
  total,
  type Value,
} from './value.js';

/** The values along an axis through a position. */
function line(x: Value, position: readonly number[], axis: number): number[] {
  return Array.from({ length: x.shape[axis] ?? 1 }, (_, place) =>
    at(
      x,
      position.map((p, d) => (d === axis ? place : p)),
    ),
  );
}

/** Positions in order: a stable sort of (value, position) pairs. */
function order(list: readonly number[], descending: boolean): number[] {
  return list
    .map((value, place) => [value, place] as const)
    .sort(([a, i], [b, j]) => (descending ? b - a : a - b) || i - j)
    .map(([, place]) => place);
}

function sortedOf(x: Value, axis: number, descending: boolean): readonly [Value, Value] {
  const rank = (position: readonly number[]) => {
    const values = line(x, position, axis);
    const place = order(values, descending)[position[axis] ?? 0] ?? 0;
    return [values[place] ?? Number.NaN, place] as const;
  };
  return [make(x.shape, (p) => rank(p)[0], x.kind), make(x.shape, (p) => rank(p)[1], 'int32')];
}

function sorts(part: 0 | 1, cases: readonly (readonly [Value, number, boolean])[]): OperationCase[] {
  const apply = part === 0 ? t.sort : t.argsort;
  return cases.map(([x, axis, descending]) => ({
    inputs: [x],
    apply: (tensor) => apply(tensor, { axis: axis - x.shape.length, descending }),
    reference: (value) => sortedOf(value, axis, descending)[part],
  }));
}

const lists: readonly (readonly [Value, number, boolean])[] = [
  [distinct([7]), 0, false],
  [distinct([3, 5]), 1, true],
  [distinct([4, 3]), 0, false],
  [distinct([2, 3, 4]), 1, true],
  [floats([3, 1]), 1, false],
  [indices([3, 6], 4), 1, false],
  [indices([3, 6], 4, 'int64'), 0, true],
  [given([-5, 2 ** 31 - 1, -(2 ** 31), 0], [4], 'int32'), 0, false],
];

/** Many ties, in whole numbers and floats. */
const tied: readonly (readonly [Value, number, boolean])[] = [
  [indices([700], 5), 0, false],
  [indices([700], 5, 'int64'), 0, true],
  [indices([40, 2], 3), 0, true],
];

function search(list: Value, values: Value): OperationCase[] {
  return (['left', 'right'] as const).map((side) => ({
    inputs: [list, values],
    apply: (sorted, found) => t.searchSorted(sorted, found, { side }),
    reference: (sorted, found) =>
      make(
        found.shape,
        (position) => {
          const own =
            sorted.shape.length === 1
              ? sorted.data
              : line(sorted, [...position.slice(0, -1), 0], sorted.shape.length - 1);
          const value = at(found, position);
          return own.filter((entry) => (side === 'left' ? entry < value : entry <= value)).length;
        },
        'int32',
      ),
  }));
}

function rising(size: number, kind: Value['kind'] = 'float'): Value {
  return make([size], ([i = 0]) => Math.floor(i / 2) - 4, kind);
}

const batched = make([2, 3, 20], ([a = 0, b = 0, i = 0]) => (i * (a + 1)) / 4 - b);

function quantileOf(q: number, method: t.QuantileMethod) {
  return (list: readonly number[]): number => {
    const values = [...list].sort((a, b) => a - b);
    const rank = q * (values.length - 1);
    const [low = 0, high = 0] = [values[Math.floor(rank)], values[Math.ceil(rank)]];
    const near = [Math.floor(rank), Math.ceil(rank)].sort(
      (a, b) => Math.abs(a - rank) - Math.abs(b - rank) || (a % 2) - (b % 2),
    );
    return {
      linear: low + (high - low) * (rank - Math.floor(rank)),
      lower: low,
      higher: high,
      midpoint: (low + high) / 2,
      nearest: values[near[0] ?? 0] ?? Number.NaN,
    }[method];
  };
}

const methods = ['linear', 'lower', 'higher', 'nearest', 'midpoint'] as const;

function middle(list: readonly number[]): number {
  const values = [...list].sort((a, b) => a - b);
  const half = values.slice(Math.ceil(values.length / 2) - 1, Math.floor(values.length / 2) + 1);
  return total(half) / half.length;
}

export const sorting: readonly OperationRow[] = [
  row(
    'sort',
    ...sorts(0, lists),
    ...sorts(0, tied),
    {
      // Of ties too the gradient goes back to where each stood.
      inputs: [given([3, 1, 3, 1])],
      apply: (x) => [
        t.gradients(t.sum(t.mul(t.sort(x), t.cast(t.range(4, { dtype: 'float32' }), x.dtype))), x),
        t.argsort(x),
      ],
      reference: () => [given([2, 0, 3, 1]), given([1, 3, 0, 2], [4], 'int32')],
      gradients: [],
    },
    {
      inputs: [distinct([9])],
      apply: (x) => t.cast(t.sort(t.cast(x, 'float16'), { descending: true }), x.dtype),
      reference: (x) => sortedOf(x, 0, true)[0],
      gradients: [],
    },
  ),
  row('argsort', ...sorts(1, lists), ...sorts(1, tied), {
    inputs: [given([0.5, -0, 0, 0.5, -1, 0.5])],
    apply: (x) => [t.argsort(x), t.argsort(x, { descending: true })],
    reference: () => [given([4, 1, 2, 0, 3, 5], [6], 'int32'), given([0, 3, 5, 1, 2, 4], [6], 'int32')],
  }),
  row(
    'searchSorted',
    ...search(rising(5), floats([2, 7], -7, 3)),
    ...search(rising(1), given([-5, -4, 0])),
    ...search(rising(17, 'int32'), given([-9, -4, -3, 0, 3, 4, 5, 900], [2, 4], 'int32')),
    ...search(
      rising(100),
      make([60], ([i = 0]) => i - 7.5),
    ),
    ...search(
      rising(64),
      make([60], ([i = 0]) => i - 7),
    ),
    ...search(
      rising(63, 'int64'),
      make([40], ([i = 0]) => i - 7, 'int64'),
    ),
    ...search(
      batched,
      make([2, 3, 5], ([a = 0, , i = 0]) => i * 2 - a),
    ),
    ...search(
      make([2, 4], ([a = 0, i = 0]) => i + a),
      floats([2, 9], -1, 6),
    ),
  ),
  row('bucketize', {
    inputs: [given([-1, 0, 0.5, 1, 2, 9], [2, 3]), given([0, 1, 2])],
    apply: (x, edges) => [t.bucketize(x, edges), t.bucketize(x, edges, { right: true })],
    reference: () => [given([0, 0, 1, 1, 2, 3], [2, 3], 'int32'), given([0, 1, 1, 2, 3, 3], [2, 3], 'int32')],
  }),
  row(
    'quantile',
    ...methods.flatMap((method) =>
      [0, 0.3, 0.5, 1].map((q) => ({
        inputs: [distinct([3, 6])],
        apply: (x: t.Tensor) => t.quantile(x, q, 1, { method }),
        reference: along(quantileOf(q, method), [1]),
      })),
    ),
    { inputs: [distinct([2, 3, 4])], apply: (x) => t.quantile(x, 0.9), reference: along(quantileOf(0.9, 'linear')) },
    {
      inputs: [distinct([2, 3, 4])],
      apply: (x) => t.quantile(x, 0.25, [0, -1], { keepDims: true }),
      reference: along(quantileOf(0.25, 'linear'), [0, 2], true),
    },
    { inputs: [floats([])], apply: (x) => t.quantile(x, 0.4), reference: (x) => x },
  ),
  row(
    'median',
    { inputs: [distinct([7])], apply: (x) => t.median(x), reference: along(middle) },
    { inputs: [distinct([3, 4])], apply: (x) => t.median(x, 0), reference: along(middle, [0]) },
    {
      inputs: [distinct([2, 3, 2])],
      apply: (x) => t.median(x, [0, 2], { keepDims: true }),
      reference: along(middle, [0, 2], true),
    },
  ),
];
