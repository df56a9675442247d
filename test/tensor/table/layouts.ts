/** Tensors from sizes, and moves of elements. */

import * as t from 'tessera-kit/tensor';
import {
  at,
  bools,
  each,
  floats,
  given,
  indices,
  make,
  type OperationCase,
  type OperationRow,
  row,
  turn,
  type Value,
} from './value.js';

/** One operand, moved: where each element of the result comes from. */
function moved(
  x: Value,
  apply: (x: t.Tensor) => t.Tensor,
  shape: readonly number[],
  from: (position: readonly number[]) => readonly number[],
): OperationCase {
  return { inputs: [x], apply, reference: (value) => make(shape, (position) => at(value, from(position)), value.kind) };
}

/** What is made of no operand: added to a scalar 0, so that there is something to feed. */
function made(apply: (dtype: t.DType) => t.Tensor, expected: Value): OperationCase {
  return {
    inputs: [given([0], [], expected.kind)],
    apply: (zero) => t.add(zero, apply(zero.dtype)),
    reference: () => expected,
    gradients: [],
  };
}

const numbers = (data: readonly number[], kind: Value['kind'] = 'float') => given(data, [data.length], kind);
/** A bool result as int32, which can be added. */
const whole = (mask: t.Tensor) => t.cast(mask, 'int32');
const floating = (dtype: t.DType): 'float32' | 'float64' => (dtype === 'float64' ? 'float64' : 'float32');

function triangle(x: Value, diagonal: number, upper: boolean): Value {
  return make(
    x.shape,
    (position) => {
      const [i = 0, j = 0] = position.slice(-2);
      return (upper ? j - i >= diagonal : j - i <= diagonal) ? at(x, position) : 0;
    },
    x.kind,
  );
}

function triangles(apply: (x: t.Tensor, diagonal?: number) => t.Tensor, upper: boolean): OperationCase[] {
  return [
    { inputs: [floats([3, 3])], apply: (x) => apply(x), reference: (x) => triangle(x, 0, upper) },
    ...[-2, -1, 1, 4].map((diagonal) => ({
      inputs: [floats([2, 3, 4])],
      apply: (x: t.Tensor) => apply(x, diagonal),
      reference: (x: Value) => triangle(x, diagonal, upper),
    })),
    { inputs: [bools([4, 3])], apply: (x) => apply(x, 1), reference: (x) => triangle(x, 1, upper) },
    { inputs: [indices([4, 3], 9)], apply: (x) => apply(x), reference: (x) => triangle(x, 0, upper) },
  ];
}

const mask = (rows: number, columns: number, diagonal: number): Value =>
  make([rows, columns], ([i = 0, j = 0]) => Number(j - i <= diagonal), 'int32');
const identity = (rows: number, columns: number, diagonal: number): Value =>
  make([rows, columns], ([i = 0, j = 0]) => Number(j - i === diagonal));
const wrap = (place: number, size: number): number => ((place % size) + size) % size;
const tiled = (
  x: Value,
  repeats: readonly number[],
  shape: readonly number[],
  whole: readonly number[],
): OperationCase =>
  moved(
    x,
    (tensor) => t.tile(tensor, repeats),
    whole,
    (position) => position.slice(-x.shape.length || position.length).map((place, axis) => place % (shape[axis] ?? 1)),
  );

export const layouts: readonly OperationRow[] = [
  row(
    'full',
    made(
      (dtype) => t.full([2, 3], 1.5, dtype),
      make([2, 3], () => 1.5),
    ),
    made(() => t.full([], -4, 'int32'), given([-4], [], 'int32')),
  ),
  row(
    'zerosLike',
    { inputs: [floats([2, 3])], apply: t.zerosLike, reference: each(() => 0), gradients: [] },
    {
      inputs: [indices([2], 9, 'int64')],
      apply: t.zerosLike,
      reference: each(() => 0),
    },
  ),
  row(
    'onesLike',
    { inputs: [floats([2, 3])], apply: t.onesLike, reference: each(() => 1), gradients: [] },
    {
      inputs: [bools([2])],
      apply: t.onesLike,
      reference: each(() => 1),
    },
  ),
  row(
    'eye',
    made((dtype) => t.eye(3, { dtype }), identity(3, 3, 0)),
    made((dtype) => t.eye(2, { columns: 4, diagonal: 1, dtype }), identity(2, 4, 1)),
    made((dtype) => t.eye(3, { columns: 2, diagonal: -1, dtype }), identity(3, 2, -1)),
    made((dtype) => t.eye(300, { dtype }), identity(300, 300, 0)),
  ),
  row(
    'linspace',
    made((dtype) => t.linspace(0, 1, 5, { dtype: floating(dtype) }), numbers([0, 0.25, 0.5, 0.75, 1])),
    made((dtype) => t.linspace(2, -1, 4, { endpoint: false, dtype: floating(dtype) }), numbers([2, 1.25, 0.5, -0.25])),
    made((dtype) => t.linspace(3, 9, 1, { dtype: floating(dtype) }), numbers([3])),
    made(
      (dtype) => t.linspace(0, 0.7, 8, { dtype: floating(dtype) }),
      make([8], ([i = 0]) => (0.7 * i) / 7),
    ),
  ),
  row(
    'arange',
    made((dtype) => t.arange(0, 1, 0.25, dtype), numbers([0, 0.25, 0.5, 0.75])),
    made((dtype) => t.arange(1, -1, -0.5, dtype), numbers([1, 0.5, 0, -0.5])),
    made(() => t.arange(2, 9, 3), numbers([2, 5, 8], 'int32')),
    made(() => t.arange(-2, 2, 1, 'int64'), numbers([-2, -1, 0, 1], 'int64')),
  ),
  row(
    'stack',
    {
      inputs: [floats([2, 3]), floats([2, 3])],
      apply: (a, b) => t.stack([a, b]),
      reference: (a, b) => make([2, 2, 3], ([which, ...rest]) => at(which === 0 ? a : b, rest)),
    },
    {
      inputs: [floats([2, 3]), floats([2, 3])],
      apply: (a, b) => t.stack([a, b, a], -1),
      reference: (a, b) => make([2, 3, 3], ([i = 0, j = 0, which]) => at(which === 1 ? b : a, [i, j])),
    },
    {
      inputs: [floats([]), floats([])],
      apply: (a, b) => t.stack([a, b]),
      reference: (a, b) => numbers([...a.data, ...b.data]),
    },
  ),
  row(
    'unstack',
    {
      inputs: [floats([3, 2])],
      apply: (x) => t.unstack(x),
      reference: (x) => [0, 1, 2].map((which) => make([2], ([i = 0]) => at(x, [which, i]))),
    },
    {
      inputs: [floats([2, 2, 3])],
      apply: (x) => t.unstack(x, -2),
      reference: (x) => [0, 1].map((which) => make([2, 3], ([i = 0, j = 0]) => at(x, [i, which, j]))),
    },
  ),
  row(
    'tile',
    tiled(floats([3]), [2], [3], [6]),
    tiled(floats([2, 3]), [2, 3], [2, 3], [4, 9]),
    tiled(floats([2, 3]), [2], [2, 3], [2, 6]),
    tiled(floats([3]), [2, 1, 2], [3], [2, 1, 6]),
    tiled(floats([2, 1, 3]), [1, 4, 1], [2, 1, 3], [2, 4, 3]),
    tiled(indices([2, 2], 9), [1, 2], [2, 2], [2, 4]),
    tiled(bools([2]), [3], [2], [6]),
  ),
  row(
    'roll',
    moved(
      floats([5]),
      (x) => t.roll(x, 2),
      [5],
      ([i = 0]) => [wrap(i - 2, 5)],
    ),
    moved(
      floats([5]),
      (x) => t.roll(x, -7),
      [5],
      ([i = 0]) => [wrap(i + 7, 5)],
    ),
    moved(
      floats([2, 3]),
      (x) => t.roll(x, 1, -1),
      [2, 3],
      ([i = 0, j = 0]) => [i, wrap(j - 1, 3)],
    ),
    moved(
      floats([2, 3]),
      (x) => t.roll(x, [1, 2], [0, 1]),
      [2, 3],
      ([i = 0, j = 0]) => [wrap(i - 1, 2), wrap(j - 2, 3)],
    ),
    {
      inputs: [floats([2, 3])],
      apply: (x) => t.roll(x, 1),
      reference: (x) => ({ ...x, data: x.data.map((_, i) => x.data[wrap(i - 1, 6)] ?? 0) }),
    },
  ),
  row(
    'diff',
    {
      inputs: [floats([5])],
      apply: (x) => [t.diff(x), t.diff(x, 2), t.diff(x, 0)],
      reference: (x) => [
        make([4], ([i = 0]) => at(x, [i + 1]) - at(x, [i])),
        make([3], ([i = 0]) => at(x, [i + 2]) - 2 * at(x, [i + 1]) + at(x, [i])),
        x,
      ],
    },
    {
      inputs: [floats([3, 2])],
      apply: (x) => t.diff(x, 1, 0),
      reference: (x) => make([2, 2], ([i = 0, j = 0]) => at(x, [i + 1, j]) - at(x, [i, j])),
    },
    {
      inputs: [indices([4], 9)],
      apply: (x) => t.diff(x),
      reference: (x) => make([3], ([i = 0]) => at(x, [i + 1]) - at(x, [i]), 'int32'),
    },
  ),
  row('swapAxes', {
    inputs: [floats([2, 3, 4])],
    apply: (x) => [t.swapAxes(x, 0, -1), t.swapAxes(x, 1, 1)],
    reference: (x) => [turn(x, [2, 1, 0]), x],
  }),
  row('moveAxis', {
    inputs: [floats([2, 3, 4, 2])],
    apply: (x) => [
      t.moveAxis(x, 0, -1),
      t.moveAxis(x, -1, 1),
      t.moveAxis(x, [0, 1], [-1, -2]),
      t.moveAxis(x, [2, 0], [0, 3]),
    ],
    reference: (x) => [turn(x, [1, 2, 3, 0]), turn(x, [0, 3, 1, 2]), turn(x, [2, 3, 1, 0]), turn(x, [2, 1, 3, 0])],
  }),
  row(
    'diagonal',
    moved(
      floats([3, 3]),
      (x) => t.diagonal(x),
      [3],
      ([i = 0]) => [i, i],
    ),
    moved(
      floats([2, 4]),
      (x) => t.diagonal(x, 2),
      [2],
      ([i = 0]) => [i, i + 2],
    ),
    moved(
      floats([4, 2]),
      (x) => t.diagonal(x, -1),
      [2],
      ([i = 0]) => [i + 1, i],
    ),
    moved(
      floats([3, 2, 4]),
      (x) => t.diagonal(x, 1, 0, -1),
      [2, 3],
      ([j = 0, i = 0]) => [i, j, i + 1],
    ),
    moved(
      floats([3, 2, 4]),
      (x) => t.diagonal(x, 0, 2, 0),
      [2, 3],
      ([j = 0, i = 0]) => [i, j, i],
    ),
  ),
  row('trace', {
    inputs: [floats([3, 4])],
    apply: (x) => [t.trace(x), t.trace(x, 1)],
    reference: (x) => [
      given([[0, 1, 2].reduce((sum, i) => sum + at(x, [i, i]), 0)], []),
      given([[0, 1, 2].reduce((sum, i) => sum + at(x, [i, i + 1]), 0)], []),
    ],
  }),
  row('tril', ...triangles(t.tril, false)),
  row('triu', ...triangles(t.triu, true)),
  row(
    'tri',
    made(() => whole(t.tri(3)), mask(3, 3, 0)),
    made(() => whole(t.tri(2, 4, 1)), mask(2, 4, 1)),
    made(() => whole(t.tri(4, 2, -1)), mask(4, 2, -1)),
    made(() => whole(t.tri(400, 400, 3)), mask(400, 400, 3)),
  ),
];
