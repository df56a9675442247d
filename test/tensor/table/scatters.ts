/** Writing by index, tuples of indices, and reductions over segments. */

import * as t from 'tessera-kit/tensor';
import {
  at,
  bools,
  distinct,
  floats,
  given,
  indices,
  make,
  type OperationCase,
  type OperationRow,
  positions,
  row,
  total,
  type Value,
} from './value.js';

type Combine = (old: number, update: number) => number;

const COMBINE: Readonly<Record<t.ScatterReduction, Combine>> = {
  set: (_old, update) => update,
  add: (old, update) => old + update,
  max: Math.max,
  min: Math.min,
};

const reductions = ['set', 'add', 'max', 'min'] as const;

/** Writes the updates one after another to the places they name. */
function written(reduction: t.ScatterReduction, place: (update: readonly number[], ids: Value) => readonly number[]) {
  return (x: Value, ids: Value, updates: Value): Value => {
    const values = new Map(positions(x.shape).map((p) => [p.join(), at(x, p)]));
    for (const p of positions(updates.shape)) {
      const key = place(p, ids).join();
      values.set(key, COMBINE[reduction](values.get(key) ?? Number.NaN, at(updates, p)));
    }
    return { ...x, data: [...values.values()] };
  };
}

const elementAt = (axis: number) => (p: readonly number[], ids: Value) =>
  p.map((place, index) => (index === axis ? at(ids, p) : place));
const rowAt = (p: readonly number[], ids: Value) => [
  at(ids, p.slice(0, ids.shape.length)),
  ...p.slice(ids.shape.length),
];
const tupleAt = (p: readonly number[], ids: Value) => {
  const lead = ids.shape.length - 1;
  const depth = ids.shape.at(-1) ?? 0;
  return [...Array.from({ length: depth }, (_, k) => at(ids, [...p.slice(0, lead), k])), ...p.slice(lead)];
};

/** Two values of which no two elements tie. */
function apart(first: readonly number[], second: readonly number[]): readonly [Value, Value] {
  const [a, b] = [first, second].map((shape) => shape.reduce((product, size) => product * size, 1));
  const { data } = distinct([(a ?? 0) + (b ?? 0)]);
  return [given(data.slice(0, a), first), given(data.slice(a), second)];
}

function elementCases(shape: readonly number[], ids: Value, axis: number): OperationCase[] {
  return reductions.map((reduction) => {
    const [x, updates] = apart(shape, ids.shape);
    return {
      inputs: [x, ids, updates],
      apply: (a, i, u) => t.scatterElements(a, i, u, axis, reduction),
      reference: written(reduction, elementAt(axis)),
    };
  });
}

function rowCases(shape: readonly number[], ids: Value): OperationCase[] {
  return reductions.map((reduction) => {
    const [x, updates] = apart(shape, [...ids.shape, ...shape.slice(1)]);
    return {
      inputs: [x, ids, updates],
      apply: (a, i, u) => t.scatterRows(a, i, u, reduction),
      reference: written(reduction, rowAt),
    };
  });
}

function tupleCases(shape: readonly number[], ids: Value): OperationCase[] {
  return reductions.map((reduction) => {
    const depth = ids.shape.at(-1) ?? 0;
    const [x, updates] = apart(shape, [...ids.shape.slice(0, -1), ...shape.slice(depth)]);
    return {
      inputs: [x, ids, updates],
      apply: (a, i, u) => t.scatterND(a, i, u, reduction),
      reference: written(reduction, tupleAt),
    };
  });
}

const repeated = given([1, 0, 1, 1, 3, 0], [2, 3], 'int32');
const pairs = given([0, 1, 2, 0, 0, 1, 1, 2], [4, 2], 'int32');

/** The gradients of the sum of `f(x, u)`. */
function slopes(f: (x: t.Tensor, u: t.Tensor) => t.Tensor) {
  return (x: t.Tensor, u: t.Tensor) => t.gradients(t.sum(f(x, u)), [x, u]);
}

function half(x: t.Tensor): t.Tensor {
  return t.cast(x, 'float16');
}

function look(x: Value, ids: Value): Value {
  const shape = [...ids.shape.slice(0, -1), ...x.shape.slice(ids.shape.at(-1))];
  return make(shape, (p) => at(x, tupleAt(p, ids)), x.kind);
}

/** A function of each segment's values, column by column. */
function bySegment(f: (list: readonly number[]) => number, segments: number) {
  return (x: Value, ids: Value): Value => {
    const rest = x.shape.slice(ids.shape.length);
    return make(
      [segments, ...rest],
      ([segment = 0, ...column]) =>
        f(positions(ids.shape).flatMap((p) => (at(ids, p) === segment ? [at(x, [...p, ...column])] : []))),
      x.kind,
    );
  };
}

type Segmented = (x: t.Tensor, ids: t.Tensor, segments: number) => t.Tensor;

/** Ids out of order; segments 2 and 5 have no rows. */
const ids = given([4, 0, 1, 0, 3, 4, 0], [7], 'int32');

function segmented(apply: Segmented, f: (list: readonly number[]) => number): OperationCase[] {
  const case_ = (x: Value, of: Value, segments: number): OperationCase => ({
    inputs: [x, of],
    apply: (values, names) => apply(values, names, segments),
    reference: bySegment(f, segments),
  });
  return [
    case_(distinct([7, 3]), ids, 6),
    case_(distinct([7]), ids, 6),
    case_(distinct([7, 2, 2]), { ...ids, kind: 'int64' }, 6),
    case_(distinct([2, 3, 4]), repeated, 5),
    case_(distinct([1, 2]), given([0], [1], 'int32'), 1),
  ];
}

const largest = (list: readonly number[]) => (list.length === 0 ? 0 : Math.max(...list));
const smallest = (list: readonly number[]) => (list.length === 0 ? 0 : Math.min(...list));

function whole(apply: Segmented, f: (list: readonly number[]) => number): OperationCase[] {
  return (['int32', 'int64'] as const).map((kind) => ({
    inputs: [{ ...indices([7, 2], 9, kind) }, ids],
    apply: (x, of) => apply(t.sub(x, 12), of, 6),
    reference: (x, of) => bySegment(f, 6)({ ...x, data: x.data.map((value) => value - 12) }, of),
  }));
}

function softmaxOver(x: Value, of: Value): Value {
  const rest = (p: readonly number[]) => p.slice(of.shape.length);
  const own = (p: readonly number[]) => at(of, p.slice(0, of.shape.length));
  const all = positions(x.shape);
  return make(x.shape, (p) => {
    const peers = all.filter((q) => own(q) === own(p) && rest(q).join() === rest(p).join()).map((q) => at(x, q));
    return 1 / total(peers.map((peer) => Math.exp(peer - at(x, p))));
  });
}

export const scatters: readonly OperationRow[] = [
  row(
    'scatterElements',
    ...elementCases([3, 4], given([1, 1, 0, 2, 2, 2], [2, 3], 'int32'), 1),
    ...elementCases([3, 2], indices([6, 2], 3, 'int64'), 0),
    ...elementCases([5], indices([8], 5), 0),
    ...elementCases([2, 4, 2], indices([2, 5, 2], 4), 1),
    {
      // Ties share, the value that was there included.
      inputs: [given([1, 5, 2]), given([5, 7, 7, 5])],
      apply: slopes((x, u) => t.scatterElements(x, t.constant(t.array([1, 2, 2, 1], [4], 'int32')), u, 0, 'max')),
      reference: () => [given([1, 1 / 3, 0]), given([1 / 3, 0.5, 0.5, 1 / 3])],
      gradients: [],
    },
    {
      inputs: [bools([2, 3]), indices([2, 3], 3), bools([2, 3])],
      apply: (x, i, u) => t.scatterElements(x, i, u),
      reference: written('set', elementAt(1)),
    },
    {
      inputs: [distinct([4]), indices([6], 4), distinct([6])],
      apply: (x, i, u) =>
        reductions.map((reduction) => t.cast(t.scatterElements(half(x), i, half(u), 0, reduction), x.dtype)),
      reference: (x, i, u) => reductions.map((reduction) => written(reduction, elementAt(0))(x, i, u)),
      gradients: [],
    },
  ),
  row(
    'scatterRows',
    ...rowCases([5, 3], repeated),
    ...rowCases([4], indices([9], 4, 'int64')),
    ...rowCases([4, 2, 3], repeated),
    ...rowCases([4, 3], given([2], [], 'int32')),
    {
      inputs: [make([3, 1], ([i = 0]) => i), make([3, 1], () => 1)],
      apply: slopes((x, u) => t.scatterRows(x, t.constant(t.array([1, 0, 1], [3], 'int32')), u, 'min')),
      reference: () => [given([1, 1 / 3, 1], [3, 1]), given([1 / 3, 0, 1 / 3], [3, 1])],
      gradients: [],
    },
    {
      inputs: [bools([3, 2]), given([2, 2], [2], 'int32'), bools([2, 2])],
      apply: (x, i, u) => t.scatterRows(x, i, u),
      reference: written('set', rowAt),
    },
  ),
  row(
    'scatterND',
    ...tupleCases([3, 4], pairs),
    ...tupleCases([3, 4, 2], { ...pairs, kind: 'int64' }),
    ...tupleCases([5, 2], given([3, 0, 3], [3, 1], 'int32')),
    ...tupleCases([2, 3, 4], given([0, 0, 1, 1, 2, 3, 0, 0, 1, 1, 1, 1], [2, 2, 3], 'int32')),
  ),
  row(
    'gatherND',
    { inputs: [floats([3, 4]), pairs], apply: t.gatherND, reference: look },
    { inputs: [floats([3, 4, 2]), { ...pairs, kind: 'int64' }], apply: t.gatherND, reference: look },
    { inputs: [floats([5, 2]), given([3, 0, 3], [1, 3, 1], 'int32')], apply: t.gatherND, reference: look },
    { inputs: [indices([2, 3, 4], 99), given([1, 2, 3], [3], 'int32')], apply: t.gatherND, reference: look },
  ),
  row(
    'segmentSum',
    ...segmented(t.segmentSum, total),
    ...whole(t.segmentSum, total),
    {
      // Too many segments for a product.
      inputs: [distinct([4, 2]), given([1200, 3, 1200, 7], [4], 'int32')],
      apply: (x, of) => t.segmentSum(x, of, 1201),
      reference: bySegment(total, 1201),
    },
    {
      inputs: [distinct([7, 2]), ids],
      apply: (x, of) => t.cast(t.segmentSum(half(x), of, 6), x.dtype),
      reference: bySegment(total, 6),
      gradients: [],
    },
  ),
  row('segmentMean', ...segmented(t.segmentMean, (list) => (list.length === 0 ? 0 : total(list) / list.length))),
  row('segmentMax', ...segmented(t.segmentMax, largest), ...whole(t.segmentMax, largest), {
    inputs: [distinct([7, 2]), ids],
    apply: (x, of) => t.segmentMax(x, of, 6, { empty: -3.5 }),
    reference: bySegment((list) => (list.length === 0 ? -3.5 : Math.max(...list)), 6),
  }),
  row('segmentMin', ...segmented(t.segmentMin, smallest), ...whole(t.segmentMin, smallest), {
    inputs: [given([2, 2, 3, 1]), given([0, 0, 0, 2], [4], 'int32')],
    apply: (x, of) => [t.segmentMin(x, of, 3), t.gradients(t.sum(t.segmentMin(x, of, 3)), x)],
    reference: () => [given([2, 0, 1]), given([0.5, 0.5, 0, 1])],
    gradients: [],
  }),
  row(
    'segmentSoftmax',
    { inputs: [floats([7, 3]), ids], apply: (x, of) => t.segmentSoftmax(x, of, 6), reference: softmaxOver },
    { inputs: [floats([7]), ids], apply: (x, of) => t.segmentSoftmax(x, of, 6), reference: softmaxOver },
    { inputs: [floats([2, 3, 4]), repeated], apply: (x, of) => t.segmentSoftmax(x, of, 4), reference: softmaxOver },
    {
      inputs: [given([900, 901, -900, -900]), given([0, 0, 1, 1], [4], 'int32')],
      apply: (x, of) => t.segmentSoftmax(x, of, 3),
      reference: softmaxOver,
      gradients: [],
    },
  ),
];
