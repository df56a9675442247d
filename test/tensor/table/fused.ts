/** Norms, GELU, rotary positions, attention, cross-entropy. */

import * as t from 'tessera-kit/tensor';
import { product } from './reductions.js';
import {
  at,
  each,
  erfOf,
  floats,
  given,
  indices,
  make,
  type OperationCase,
  type OperationRow,
  row,
  row32,
  rows,
  softmaxOf,
  total,
  turn,
  type Value,
} from './value.js';

function scaled(x: Value, weight: Value, bias?: Value): Value {
  return make(x.shape, (p) => at(x, p) * at(weight, p) + (bias === undefined ? 0 : at(bias, p)));
}

function layerNormOf(epsilon: number) {
  return (x: Value, weight: Value, bias?: Value): Value => {
    const normal = rows((list) => {
      const mean = total(list) / list.length;
      const deviation = Math.sqrt(total(list.map((value) => (value - mean) ** 2)) / list.length + epsilon);
      return list.map((value) => (value - mean) / deviation);
    })(x);
    return scaled(normal, weight, bias);
  };
}

function rmsNormOf(epsilon: number) {
  return (x: Value, weight: Value): Value =>
    scaled(
      rows((list) => list.map((value) => value / Math.sqrt(total(list.map((v) => v * v)) / list.length + epsilon)))(x),
      weight,
    );
}

const geluOf = (x: number) => 0.5 * x * (1 + erfOf(x / Math.SQRT2));
const tanhGeluOf = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** Rotates the pairs `(i, i + head / 2)` of `[batch, heads, time, head]`. */
function rotated(x: Value, places: Value, cosines: Value, sines: Value): Value {
  const half = (x.shape[3] ?? 0) / 2;
  return make(x.shape, ([b = 0, h = 0, time = 0, i = 0]) => {
    const angle = [at(places, [b, time]), i % half];
    const other = at(x, [b, h, time, (i + half) % (2 * half)]);
    return at(x, [b, h, time, i]) * at(cosines, angle) + (i < half ? -other : other) * at(sines, angle);
  });
}

const tables = t.rotaryTables(9, 6);
const cosines = given(Array.from(tables.cosines.data), [9, 3]);
const sines = given(Array.from(tables.sines.data), [9, 3]);

const spin: OperationCase[] = [
  {
    inputs: [floats([2, 3, 4, 6]), indices([2, 4], 9, 'int64'), cosines, sines],
    apply: (x, positions, cos, sin) => t.rotary(x, positions, cos, sin),
    reference: rotated,
    gradients: [0],
  },
  {
    inputs: [floats([2, 4, 18]), indices([2, 4], 9, 'int64'), cosines, sines],
    apply: (x, positions, cos, sin) => t.rotary(x, positions, cos, sin),
    reference: (x, ...rest) => {
      const apart = turn({ ...x, shape: [2, 4, 3, 6] }, [0, 2, 1, 3]);
      return { ...turn(rotated(apart, ...(rest as [Value, Value, Value])), [0, 2, 1, 3]), shape: x.shape };
    },
    gradients: [0],
  },
  {
    // Three heads of 10, of which the first 6 dimensions turn.
    inputs: [floats([2, 4, 30]), indices([2, 4], 9, 'int64'), cosines, sines],
    apply: (x, positions, cos, sin) => t.rotary(x, positions, cos, sin, 3),
    reference: (x, ...rest) => {
      const apart = turn({ ...x, shape: [2, 4, 3, 10] }, [0, 2, 1, 3]);
      const first = make([2, 3, 4, 6], (p) => at(apart, p));
      const turned = rotated(first, ...(rest as [Value, Value, Value]));
      const whole = make(apart.shape, (p) => at((p[3] ?? 0) < 6 ? turned : apart, p));
      return { ...turn(whole, [0, 2, 1, 3]), shape: x.shape };
    },
    gradients: [0],
  },
];

function attend(scale: number) {
  return (query: Value, key: Value, value: Value, bias?: Value): Value => {
    const raw = product(query, turn(key, [0, 1, 3, 2]));
    const scores = make(raw.shape, (p) => at(raw, p) * scale + (bias === undefined ? 0 : at(bias, p)));
    return product(rows(softmaxOf)(scores), value);
  };
}

function mixed(query: number[], source: number[], value: number[], bias?: number[], scale?: number): OperationCase {
  return {
    inputs: [query, source, value, ...(bias === undefined ? [] : [bias])].map((shape) => floats(shape)),
    apply: (q, k, v, b) => t.attention(q, k, v, b, scale),
    reference: attend(scale ?? 1 / Math.sqrt(query[3] ?? 1)),
  };
}

function entropy(logits: Value, targets: Value): Value {
  return make(targets.shape, ([r = 0]) => {
    const width = logits.shape[1] ?? 1;
    const chances = softmaxOf(logits.data.slice(r * width, (r + 1) * width));
    return -Math.log(chances[at(targets, [r])] ?? Number.NaN);
  });
}

export const fused: readonly OperationRow[] = [
  row(
    'layerNorm',
    {
      inputs: [floats([3, 8]), floats([8]), floats([8])],
      apply: (x, w, b) => t.layerNorm(x, w, b),
      reference: layerNormOf(1e-5),
    },
    { inputs: [floats([2, 3, 5]), floats([5])], apply: (x, w) => t.layerNorm(x, w), reference: layerNormOf(1e-5) },
    {
      inputs: [floats([7]), floats([7]), floats([7])],
      apply: (x, w, b) => t.layerNorm(x, w, b, 0.5),
      reference: layerNormOf(0.5),
    },
  ),
  row(
    'rmsNorm',
    { inputs: [floats([3, 8]), floats([8])], apply: (x, w) => t.rmsNorm(x, w), reference: rmsNormOf(1e-6) },
    { inputs: [floats([2, 3, 5]), floats([5])], apply: (x, w) => t.rmsNorm(x, w, 0.5), reference: rmsNormOf(0.5) },
  ),
  row32('gelu', {
    inputs: [floats([2, 3, 4], -4, 4)],
    apply: (x) => [t.gelu(x), t.gelu(x, 'tanh')],
    reference: (x) => [each(geluOf)(x), each(tanhGeluOf)(x)],
  }),
  row32('rotary', ...spin),
  row(
    'attention',
    mixed([2, 3, 4, 5], [2, 3, 4, 5], [2, 3, 4, 5]),
    mixed([2, 3, 4, 5], [2, 3, 6, 5], [2, 3, 6, 7], [4, 6], 0.3),
    mixed([1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 1, 3]),
    mixed([2, 4, 3, 5], [2, 1, 6, 5], [2, 1, 6, 5], [3, 6]),
  ),
  row(
    'crossEntropyRows',
    {
      inputs: [floats([6, 5], -4, 4), given([0, 4, 4, 2, 1, 2], [6], 'int32')],
      apply: t.crossEntropyRows,
      reference: entropy,
    },
    {
      inputs: [floats([3, 4]), indices([3], 4, 'int64')],
      apply: (x, y) => t.mul(t.sum(t.crossEntropyRows(x, y)), 0.25),
      reference: (x, y) => given([total(entropy(x, y).data) / 4], []),
    },
  ),
];
