/** Slow arrays of ordinary numbers, and the reference that every operation is compared with. */

import { type DType, type NDArray, random, type Tensor, array as toArray } from 'tessera-kit/tensor';

/** An array of numbers in row-major order; `float` ones run as float32 and, where there is a kernel, float64. */
export interface Value {
  readonly kind: 'float' | 'int32' | 'int64' | 'bool';
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** One use of an operation: what goes in, how it is applied, and what must come out. */
export interface OperationCase {
  readonly inputs: readonly Value[];
  readonly apply: (...inputs: Tensor[]) => Tensor | readonly Tensor[];
  readonly reference: (...inputs: Value[]) => Value | readonly Value[];
  /** The inputs whose gradients are checked; all of kind float when absent. */
  readonly gradients?: readonly number[];
}

/** A row of the table: an exported operation with its cases. */
export interface OperationRow {
  readonly operation: string;
  /** False where the runtime has no float64 kernel. */
  readonly float64: boolean;
  readonly cases: readonly OperationCase[];
}

/** A row whose operation runs in float64 too. */
export function row(operation: string, ...cases: OperationCase[]): OperationRow {
  return { operation, float64: true, cases };
}

/** A row for float32 only. */
export function row32(operation: string, ...cases: OperationCase[]): OperationRow {
  return { operation, float64: false, cases };
}

/** The element count of a shape. */
export function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

let seed = 0;

/** Uniform values in [low, high) that differ from call to call and are the same in every run of the tests. */
export function floats(shape: readonly number[], low = -2, high = 2): Value {
  // Whole multiples of 2^-20, which float32 holds exactly.
  const { data } = random(seed++).uniform(shape, low, high);
  return { kind: 'float', shape, data: Array.from(data, (value) => Math.round(value * 2 ** 20) / 2 ** 20) };
}

/** Values whose differences are at least 1 / 8, in random order: no two tie. */
export function distinct(shape: readonly number[]): Value {
  const order = random(seed++).permutation(count(shape)).data;
  return { kind: 'float', shape, data: Array.from(order, (place) => (place - order.length / 2) / 8 + 0.0625) };
}

/** Given values. */
export function given(
  data: readonly number[],
  shape: readonly number[] = [data.length],
  kind: Value['kind'] = 'float',
): Value {
  return { kind, shape, data };
}

/** Random whole numbers in [0, below). */
export function indices(shape: readonly number[], below: number, kind: 'int32' | 'int64' = 'int32'): Value {
  return { kind, shape, data: Array.from(random(seed++).integers(shape, below).data) };
}

/** Random truth values. */
export function bools(shape: readonly number[]): Value {
  return { kind: 'bool', shape, data: Array.from(random(seed++).bernoulli(shape, 0.5).data) };
}

/** The position along every axis of each element, in row-major order. */
export function positions(shape: readonly number[]): number[][] {
  let all: number[][] = [[]];
  for (const size of shape) all = all.flatMap((head) => Array.from({ length: size }, (_, index) => [...head, index]));
  return all;
}

/** A value computed place by place. */
export function make(
  shape: readonly number[],
  at: (position: readonly number[]) => number,
  kind: Value['kind'] = 'float',
): Value {
  return { kind, shape, data: positions(shape).map(at) };
}

/** The element at a position; axes of size 1 and missing leading axes repeat. */
export function at(value: Value, position: readonly number[]): number {
  const skip = position.length - value.shape.length;
  let offset = 0;
  for (const [axis, size] of value.shape.entries())
    offset = offset * size + (size === 1 ? 0 : (position[axis + skip] ?? 0));
  return value.data[offset] ?? Number.NaN;
}

/** The broadcast shape of all. */
export function common(...values: readonly Value[]): number[] {
  const rank = Math.max(...values.map(({ shape }) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = values.map(({ shape }) => shape[shape.length - rank + axis] ?? 1);
    return sizes.find((size) => size !== 1) ?? 1;
  });
}

/** A function of numbers applied place by place to broadcast values. */
export function each(f: (...numbers: number[]) => number, kind?: Value['kind']) {
  return (...values: Value[]): Value =>
    make(
      common(...values),
      (position) => f(...values.map((value) => at(value, position))),
      kind ?? values.at(-1)?.kind,
    );
}

/** A function of lists applied along axes, which stay with size 1 or go. */
export function along(
  f: (list: readonly number[]) => number,
  axes?: readonly number[],
  keepDims = false,
  kind?: Value['kind'],
) {
  return (x: Value): Value => {
    const over = axes ?? x.shape.map((_, axis) => axis);
    const kept = x.shape.map((size, axis) => (over.includes(axis) ? 1 : size));
    const lists = new Map<string, number[]>();
    for (const [index, position] of positions(x.shape).entries()) {
      const key = position.map((place, axis) => (over.includes(axis) ? 0 : place)).join();
      const list = lists.get(key) ?? [];
      list.push(x.data[index] ?? Number.NaN);
      lists.set(key, list);
    }
    const data = positions(kept).map((position) => f(lists.get(position.join()) ?? []));
    return { kind: kind ?? x.kind, shape: keepDims ? kept : kept.filter((_, axis) => !over.includes(axis)), data };
  };
}

/** A function from list to list applied along the last axis. */
export function rows(f: (list: readonly number[]) => readonly number[]) {
  return (x: Value): Value => {
    const width = x.shape.at(-1) ?? 1;
    const data: number[] = [];
    for (let start = 0; start < x.data.length; start += width) data.push(...f(x.data.slice(start, start + width)));
    return { ...x, data };
  };
}

/** The values with the axes in another order. */
export function turn(x: Value, axes: readonly number[]): Value {
  const shape = axes.map((axis) => x.shape[axis] ?? 1);
  return make(
    shape,
    (position) => {
      const source: number[] = [];
      for (const [to, from] of axes.entries()) source[from] = position[to] ?? 0;
      return at(x, source);
    },
    x.kind,
  );
}

/** Adds numbers. */
export function total(list: readonly number[]): number {
  return list.reduce((sum, value) => sum + value, 0);
}

/** `e ** x / sum(e ** x)`. */
export function softmaxOf(list: readonly number[]): number[] {
  const top = Math.max(...list);
  const powers = list.map((value) => Math.exp(value - top));
  return powers.map((power) => power / total(powers));
}

/** The error function to about 1e-15: its Taylor series near 0, a continued fraction elsewhere. */
export function erfOf(x: number): number {
  if (x < 0) return -erfOf(-x);
  if (x < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 100; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let k = 80; k > 0; k--) fraction = k / 2 / (x + fraction);
  return 1 - Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction);
}

/** The array to feed for a value. */
export function feed(value: Value, float: 'float32' | 'float64'): NDArray {
  const dtype: DType = value.kind === 'float' ? float : value.kind;
  return toArray(value.data, value.shape, dtype);
}
