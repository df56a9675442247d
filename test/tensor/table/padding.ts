/** One-hot vectors, padding, flipping and repeating. */

import * as t from 'tessera-kit/tensor';
import {
  at,
  bools,
  floats,
  given,
  indices,
  make,
  type OperationCase,
  type OperationRow,
  row,
  type Value,
} from './value.js';

type Sizes = readonly (readonly [number, number])[];

/** Where a place outside takes its value from. */
const OUTSIDE: Readonly<Record<t.PadMode, (place: number, size: number) => number | undefined>> = {
  constant: () => undefined,
  edge: (place, size) => Math.min(Math.max(place, 0), size - 1),
  reflect: (place, size) => {
    const turn = 2 * (size - 1);
    const inside = ((place % turn) + turn) % turn;
    return inside < size ? inside : turn - inside;
  },
  wrap: (place, size) => ((place % size) + size) % size,
};

function padded(sizes: Sizes, mode: t.PadMode, value: number) {
  return (x: Value): Value => {
    const kept = x.shape.map((size, axis) => {
      const [before = 0, after = 0] = sizes[axis] ?? [];
      return [Math.max(-before, 0), size - Math.max(-after, 0)] as const;
    });
    const shape = x.shape.map((size, axis) => size + (sizes[axis]?.[0] ?? 0) + (sizes[axis]?.[1] ?? 0));
    return make(
      shape,
      (position) => {
        const source: number[] = [];
        for (const [axis, p] of position.entries()) {
          const [from, to] = kept[axis] ?? [0, 0];
          const place = p - Math.max(sizes[axis]?.[0] ?? 0, 0);
          const inside = place >= 0 && place < to - from ? place : OUTSIDE[mode](place, to - from);
          if (inside === undefined) return value;
          source.push(from + inside);
        }
        return at(x, source);
      },
      x.kind,
    );
  };
}

function pads(x: Value, sizes: Sizes, mode: t.PadMode = 'constant', value = 0): OperationCase {
  return {
    inputs: [x],
    apply: (tensor) => t.pad(tensor, sizes, { mode, value }),
    reference: padded(sizes, mode, value),
  };
}

const modes = ['constant', 'edge', 'reflect', 'wrap'] as const;

function flipped(axes: readonly number[]) {
  return (x: Value): Value =>
    make(
      x.shape,
      (p) =>
        at(
          x,
          p.map((place, axis) => (axes.includes(axis) ? (x.shape[axis] ?? 1) - 1 - place : place)),
        ),
      x.kind,
    );
}

function flips(x: Value, axes: readonly number[]): OperationCase {
  return {
    inputs: [x],
    apply: (tensor) => t.flip(tensor, axes.length === 1 ? (axes[0] ?? 0) - x.shape.length : axes),
    reference: flipped(axes),
  };
}

function repeats(x: Value, counts: number | readonly number[], axis: number): OperationCase {
  return {
    inputs: [x],
    apply: (tensor) => t.repeat(tensor, counts, axis - x.shape.length),
    reference: (value) => {
      const size = value.shape[axis] ?? 1;
      const places = Array.from({ length: size }, (_, place) =>
        new Array<number>(typeof counts === 'number' ? counts : (counts[place] ?? 0)).fill(place),
      ).flat();
      return make(
        value.shape.map((own, index) => (index === axis ? places.length : own)),
        (p) =>
          at(
            value,
            p.map((place, index) => (index === axis ? (places[place] ?? 0) : place)),
          ),
        value.kind,
      );
    },
  };
}

function hot(depth: number, axis: number, on = 1, off = 0, kind: Value['kind'] = 'float') {
  return (ids: Value): Value =>
    make(
      [...ids.shape.slice(0, axis), depth, ...ids.shape.slice(axis)],
      (p) => (at(ids, [...p.slice(0, axis), ...p.slice(axis + 1)]) === p[axis] ? on : off),
      kind,
    );
}

export const padding: readonly OperationRow[] = [
  row(
    'oneHot',
    { inputs: [indices([6], 4)], apply: (i) => t.oneHot(i, 4), reference: hot(4, 1) },
    {
      inputs: [indices([2, 3], 5, 'int64')],
      apply: (i) => [t.oneHot(i, 5, { axis: 0 }), t.oneHot(i, 5, { axis: -2, on: 0.5, off: -2 })],
      reference: (i) => [hot(5, 0)(i), hot(5, 1, 0.5, -2)(i)],
    },
    {
      inputs: [given([-1, 3, 0, 9])],
      apply: (i) => t.oneHot(t.cast(i, 'int32'), 3),
      reference: hot(3, 1),
      gradients: [],
    },
    {
      inputs: [indices([4], 3)],
      apply: (i) => [t.oneHot(i, 3, { dtype: 'bool' }), t.oneHot(i, 3, { dtype: 'int64', on: 7 })],
      reference: (i) => [hot(3, 1, 1, 0, 'bool')(i), hot(3, 1, 7, 0, 'int64')(i)],
    },
    {
      inputs: [given([2], [], 'int32')],
      apply: (i) => t.cast(t.oneHot(i, 3, { dtype: 'float16', on: 0.5, off: 2 }), 'float32'),
      reference: hot(3, 0, 0.5, 2),
    },
  ),
  row(
    'pad',
    ...modes.flatMap((mode) => [
      pads(floats([5]), [[2, 3]], mode),
      pads(
        floats([3, 4]),
        [
          [1, 2],
          [3, 0],
        ],
        mode,
      ),
      pads(
        floats([2, 3, 4]),
        [
          [0, 0],
          [2, 2],
          [0, 3],
        ],
        mode,
      ),
      pads(
        floats([2, 3, 4, 5]),
        [
          [1, 0],
          [0, 1],
          [2, 1],
          [1, 4],
        ],
        mode,
      ),
      pads(
        floats([6, 5]),
        [
          [-2, 1],
          [1, -1],
        ],
        mode,
      ),
      pads(
        indices([2, 3], 9),
        [
          [1, 1],
          [1, 2],
        ],
        mode,
      ),
    ]),
    ...modes.map((mode): OperationCase => {
      // Of a constant, on the host while tracing.
      const x = floats([3, 4]);
      const sizes: Sizes = [
        [2, 1],
        [0, 3],
      ];
      return {
        inputs: [],
        apply: () => t.pad(t.constant(t.array(x.data, x.shape)), sizes, { mode, value: -1.5 }),
        reference: () => padded(sizes, mode, -1.5)(x),
      };
    }),
    pads(
      floats([2, 3]),
      [
        [1, 0],
        [0, 2],
      ],
      'constant',
      -2.5,
    ),
    pads(floats([2, 3]), [
      [-1, 0],
      [-1, -1],
    ]),
    pads(floats([3]), [[2, 2]], 'reflect'),
    pads(floats([3]), [[3, 3]], 'wrap'),
    pads(
      bools([2, 2]),
      [
        [0, 1],
        [1, 0],
      ],
      'constant',
      1,
    ),
    {
      inputs: [given([1, 2, 3])],
      apply: (x) => t.cast(t.pad(t.cast(x, 'float16'), [[1, 2]], { value: 0.5 }), x.dtype),
      reference: () => given([0.5, 1, 2, 3, 0.5, 0.5]),
      gradients: [],
    },
  ),
  row(
    'flip',
    flips(floats([5]), [0]),
    flips(floats([3, 4]), [1]),
    flips(floats([2, 3, 4]), [0, 2]),
    flips(indices([3, 2], 9, 'int64'), [0]),
    { inputs: [bools([3, 2])], apply: (x) => t.flip(x), reference: flipped([0, 1]) },
    {
      inputs: [floats([3])],
      apply: (x) => t.mul(x, t.cast(t.flip(t.constant(t.array([1, 2, 4]))), x.dtype)),
      reference: (x) => make([3], ([i = 0]) => at(x, [i]) * 2 ** (2 - i)),
    },
  ),
  row(
    'repeat',
    repeats(floats([4]), 3, 0),
    repeats(floats([2, 3]), 2, 1),
    repeats(floats([2, 3, 2]), 2, 1),
    repeats(floats([2, 3]), 1, 0),
    repeats(floats([4, 2]), [2, 0, 1, 3], 0),
    repeats(indices([2, 3], 9), [1, 2, 0], 1),
  ),
];
