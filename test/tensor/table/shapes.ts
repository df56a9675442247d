/** Operations that move values: shape, joining, cutting, looking up and adding back. */

import * as t from 'tessera-kit/tensor';
import {
  at,
  bools,
  count,
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

function like(shape: readonly number[]) {
  return (x: Value): Value => ({ ...x, shape });
}

function repeat(shape: readonly number[]) {
  return (x: Value): Value => make(shape, (position) => at(x, position), x.kind);
}

function turned(shape: readonly number[], axes?: readonly number[]): OperationCase {
  const order = axes ?? shape.map((_, axis) => shape.length - 1 - axis);
  return { inputs: [floats(shape)], apply: (x) => t.transpose(x, axes), reference: (x) => turn(x, order) };
}

function part(axis: number, start: number, end: number) {
  return (x: Value): Value => {
    const shape = x.shape.map((size, index) => (index === axis ? end - start : size));
    return make(
      shape,
      (position) =>
        at(
          x,
          position.map((place, index) => (index === axis ? place + start : place)),
        ),
      x.kind,
    );
  };
}

function joined(axis: number) {
  return (...values: Value[]): Value => {
    const sizes = values.map(({ shape }) => shape[axis] ?? 0);
    const shape = (values[0]?.shape ?? []).map((size, index) =>
      index === axis ? sizes.reduce((a, b) => a + b) : size,
    );
    return make(
      shape,
      (position) => {
        let place = position[axis] ?? 0;
        let source = 0;
        while (place >= (sizes[source] ?? 0)) place -= sizes[source++] ?? 1;
        return at(
          values[source] ?? given([]),
          position.map((p, index) => (index === axis ? place : p)),
        );
      },
      values[0]?.kind,
    );
  };
}

function taken(axis: number) {
  return (x: Value, ids: Value): Value => {
    const shape = [...x.shape.slice(0, axis), ...ids.shape, ...x.shape.slice(axis + 1)];
    const inner = ids.shape.length;
    return make(
      shape,
      (p) => at(x, [...p.slice(0, axis), at(ids, p.slice(axis, axis + inner)), ...p.slice(axis + inner)]),
      x.kind,
    );
  };
}

function picked(axis: number) {
  return (x: Value, ids: Value): Value =>
    make(
      ids.shape,
      (p) =>
        at(
          x,
          p.map((place, index) => (index === axis ? at(ids, p) : place)),
        ),
      x.kind,
    );
}

/** Adds the updates one after another. */
function added(place: (update: readonly number[], ids: Value) => readonly number[]) {
  return (x: Value, ids: Value, updates: Value): Value => {
    const sums = new Map<string, number>();
    make(updates.shape, (p) => {
      const key = place(p, ids).join();
      sums.set(key, (sums.get(key) ?? 0) + at(updates, p));
      return 0;
    });
    return make(x.shape, (p) => at(x, p) + (sums.get(p.join()) ?? 0));
  };
}

const elementAt = (axis: number) => (p: readonly number[], ids: Value) =>
  p.map((place, index) => (index === axis ? at(ids, p) : place));
const rowAt = (p: readonly number[], ids: Value) => [
  at(ids, p.slice(0, ids.shape.length)),
  ...p.slice(ids.shape.length),
];

function scatterRows(table: readonly number[], ids: Value): OperationCase {
  const updates = floats([...ids.shape, ...table.slice(1)]);
  return { inputs: [floats(table), ids, updates], apply: t.scatterRowsAdd, reference: added(rowAt) };
}

const repeated = given([1, 0, 1, 1, 3, 0], [2, 3], 'int32');

export const shapes: readonly OperationRow[] = [
  row(
    'reshape',
    { inputs: [floats([2, 6])], apply: (x) => t.reshape(x, [3, 4]), reference: like([3, 4]) },
    { inputs: [floats([2, 6])], apply: (x) => t.reshape(x, [-1, 2, 3]), reference: like([2, 2, 3]) },
    { inputs: [floats([1, 1])], apply: (x) => t.reshape(x, []), reference: like([]) },
    { inputs: [indices([4], 9)], apply: (x) => t.reshape(t.reshape(x, [2, 2]), [4, 1]), reference: like([4, 1]) },
  ),
  row('squeeze', { inputs: [floats([1, 3, 1])], apply: (x) => t.squeeze(x, [0, -1]), reference: like([3]) }),
  row('expandDims', {
    inputs: [floats([2, 3])],
    apply: (x) => [t.expandDims(x, 1), t.expandDims(x, -1)],
    reference: (x) => [like([2, 1, 3])(x), like([2, 3, 1])(x)],
  }),
  row(
    'transpose',
    turned([2, 3]),
    turned([2, 3, 4]),
    turned([2, 3, 4, 5], [0, 2, 1, 3]),
    turned([2, 3, 4], [2, 0, 1]),
    turned([2, 1, 4], [1, 0, 2]),
    {
      inputs: [floats([2, 3, 4])],
      apply: (x) => t.transpose(t.transpose(x, [1, 2, 0]), [1, 0, 2]),
      reference: (x) => turn(x, [2, 1, 0]),
    },
    { inputs: [bools([2, 3])], apply: (x) => t.transpose(x), reference: (x) => turn(x, [1, 0]) },
  ),
  row(
    'broadcastTo',
    { inputs: [floats([3])], apply: (x) => t.broadcastTo(x, [2, 3]), reference: repeat([2, 3]) },
    { inputs: [floats([2, 1, 2])], apply: (x) => t.broadcastTo(x, [3, 2, 4, 2]), reference: repeat([3, 2, 4, 2]) },
    { inputs: [floats([])], apply: (x) => t.broadcastTo(x, [2, 2]), reference: repeat([2, 2]) },
  ),
  row('unbroadcast', {
    inputs: [floats([3, 2, 4])],
    apply: (x) => t.unbroadcast(x, [2, 1]),
    reference: (x) =>
      make([2, 1], ([i = 0]) =>
        [0, 1, 2].flatMap((a) => [0, 1, 2, 3].map((b) => at(x, [a, i, b]))).reduce((p, q) => p + q),
      ),
  }),
  row(
    'concat',
    { inputs: [floats([2, 3]), floats([4, 3])], apply: (a, b) => t.concat([a, b], 0), reference: joined(0) },
    {
      inputs: [floats([2, 1, 2]), floats([2, 3, 2]), floats([2, 2, 2])],
      apply: (...all) => t.concat(all, 1),
      reference: joined(1),
    },
    {
      inputs: [indices([2], 5, 'int64'), indices([3], 5, 'int64')],
      apply: (a, b) => t.concat([a, b], -1),
      reference: joined(0),
    },
    { inputs: [floats([2])], apply: (x) => t.concat([x, x], 0), reference: (x) => joined(0)(x, x) },
  ),
  row(
    'slice',
    { inputs: [floats([5, 2])], apply: (x) => t.slice(x, 0, 1, 4), reference: part(0, 1, 4) },
    { inputs: [floats([2, 5, 3])], apply: (x) => t.slice(x, 1, -2), reference: part(1, 3, 5) },
    { inputs: [floats([2, 6])], apply: (x) => t.slice(x, -1, 0, -4), reference: part(1, 0, 2) },
    { inputs: [floats([4])], apply: (x) => t.slice(x, 0, 0), reference: (x) => x },
  ),
  row('split', {
    inputs: [floats([2, 6])],
    apply: (x) => t.split(x, 3, 1),
    reference: (x) => [part(1, 0, 2)(x), part(1, 2, 4)(x), part(1, 4, 6)(x)],
  }),
  row(
    'splitSizes',
    {
      inputs: [floats([2, 6])],
      apply: (x) => t.splitSizes(x, [1, 3, 2], 1),
      reference: (x) => [part(1, 0, 1)(x), part(1, 1, 4)(x), part(1, 4, 6)(x)],
    },
    {
      inputs: [floats([5, 2])],
      apply: (x) => t.splitSizes(x, [2, 3], 0).slice(1),
      reference: (x) => [part(0, 2, 5)(x)],
    },
  ),
  row(
    'gather',
    { inputs: [floats([5, 3]), repeated], apply: (x, i) => t.gather(x, i), reference: taken(0) },
    { inputs: [floats([4]), indices([6], 4, 'int64')], apply: (x, i) => t.gather(x, i), reference: taken(0) },
    { inputs: [floats([4, 2, 3]), repeated], apply: (x, i) => t.gather(x, i), reference: taken(0) },
    { inputs: [floats([4, 3]), given([2], [], 'int32')], apply: (x, i) => t.gather(x, i), reference: taken(0) },
    { inputs: [floats([3, 5]), indices([4], 5)], apply: (x, i) => t.gather(x, i, 1), reference: taken(1) },
    { inputs: [floats([2, 5, 3]), repeated], apply: (x, i) => t.gather(x, i, -2), reference: taken(1) },
  ),
  row(
    'gatherElements',
    { inputs: [floats([3, 4]), indices([3, 2], 4)], apply: (x, i) => t.gatherElements(x, i), reference: picked(1) },
    {
      inputs: [floats([3, 4]), indices([5, 4], 3, 'int64')],
      apply: (x, i) => t.gatherElements(x, i, 0),
      reference: picked(0),
    },
  ),
  row(
    'scatterElementsAdd',
    {
      inputs: [floats([3, 4]), given([1, 1, 0, 2, 2, 2], [2, 3], 'int32'), floats([2, 3])],
      apply: (x, i, u) => t.scatterElementsAdd(x, i, u),
      reference: added(elementAt(1)),
    },
    {
      inputs: [floats([3, 2]), indices([6, 2], 3, 'int64'), floats([6, 2])],
      apply: (x, i, u) => t.scatterElementsAdd(x, i, u, 0),
      reference: added(elementAt(0)),
    },
  ),
  row(
    'scatterRowsAdd',
    scatterRows([5, 3], repeated),
    scatterRows([4], indices([9], 4, 'int64')),
    scatterRows([4, 2, 3], repeated),
    scatterRows([4, 3], given([2], [], 'int32')),
    scatterRows([1100, 2], given([1099, 0, 1099, 7], [4], 'int32')),
    {
      inputs: [given([2, 2, 0], [3], 'int32'), floats([3, 4])],
      apply: (i, u) => t.scatterRowsAdd(t.broadcastTo(t.constant(0, u.dtype), [3, 4]), i, u),
      reference: (i, u) =>
        added(rowAt)(
          make([3, 4], () => 0),
          i,
          u,
        ),
    },
  ),
  row('range', {
    inputs: [floats([3])],
    apply: (x) => [
      t.range(4),
      t.range(3, { start: -1, dtype: 'int64' }),
      t.mul(x, t.cast(t.range(3, { dtype: 'float32' }), x.dtype)),
    ],
    reference: (x) => [
      given([0, 1, 2, 3], [4], 'int32'),
      given([-1, 0, 1], [3], 'int64'),
      make([count(x.shape)], ([i = 0]) => i * at(x, [i])),
    ],
  }),
];
