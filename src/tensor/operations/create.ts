/** Tensors from sizes and numbers: filled, spaced, and the identity. */

import { constant, type Dimension, type Shape, shapeError, type Tensor } from '../graph.js';
import { array, type DType } from '../ndarray.js';
import { broadcastTo } from './broadcast.js';
import { add, cast, equal } from './elementwise.js';
import { range } from './gather.js';
import { expandDims } from './shape.js';

/** `value` everywhere. */
export function full(shape: Shape, value: number, dtype: DType = 'float32'): Tensor {
  return broadcastTo(constant(value, dtype), shape);
}

/** 0 everywhere, in the shape and dtype of `x`. */
export function zerosLike(x: Tensor): Tensor {
  return full(x.shape, 0, x.dtype);
}

/** 1 everywhere, in the shape and dtype of `x`. */
export function onesLike(x: Tensor): Tensor {
  return full(x.shape, 1, x.dtype);
}

/** Which diagonal, and of what dtype. */
export interface EyeOptions {
  /** Default: as many as rows. */
  readonly columns?: Dimension;
  /** 0 (the default): the main diagonal; above it when positive, below when negative. */
  readonly diagonal?: number;
  readonly dtype?: DType;
}

/** 1 on a diagonal and 0 elsewhere: `[rows, columns]`. */
export function eye(rows: Dimension, options: EyeOptions = {}): Tensor {
  const { columns = rows, diagonal = 0, dtype = 'float32' } = options;
  const place = expandDims(add(range(rows), diagonal), 1);
  return cast(equal(place, range(columns)), dtype);
}

/** Whether the end belongs to the numbers, and their dtype. */
export interface LinspaceOptions {
  /** Default true. */
  readonly endpoint?: boolean;
  readonly dtype?: 'float32' | 'float64';
}

/** `count` numbers at equal distances from `start` to `stop`: `[count]`. */
export function linspace(start: number, stop: number, count: number, options: LinspaceOptions = {}): Tensor {
  const { endpoint = true, dtype = 'float32' } = options;
  if (!Number.isInteger(count) || count < 0) throw shapeError(`linspace gives a whole number of values, not ${count}.`);
  const gaps = endpoint ? count - 1 : count;
  const values = Array.from({ length: count }, (_, index) =>
    endpoint && index > 0 && index === gaps ? stop : start + ((stop - start) * index) / Math.max(gaps, 1),
  );
  return constant(array(values, [count], dtype));
}

/** `start, start + step, ...` as long as `stop` is not reached: `ceil((stop - start) / step)` numbers. */
export function arange(start: number, stop: number, step = 1, dtype?: DType): Tensor {
  const count = Math.max(Math.ceil((stop - start) / step), 0);
  if (step === 0 || !Number.isFinite(count))
    throw shapeError(`arange cannot go from ${start} to ${stop} in steps of ${step}.`);
  const values = Array.from({ length: count }, (_, index) => start + index * step);
  const whole = [start, stop, step].every(Number.isInteger);
  return constant(array(values, [count], dtype ?? (whole ? 'int32' : 'float32')));
}
