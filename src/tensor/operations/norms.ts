/** Norms, and the logarithm of a sum of exponentials. */

import { type Operation, shapeError, type Tensor } from '../graph.js';
import { reduce, reduction } from '../reduction.js';
import type { ReduceOptions } from './broadcast.js';
import { abs, div, equal, exp, mul, only, sign, sub, where } from './elementwise.js';
import { max } from './reduce.js';

/** A reduction whose gradient at each place is a factor of its own times that of the result. */
const slopeReduction = (name: string, onnx: string, slope: (x: Tensor, y: Tensor) => Tensor): Operation =>
  reduction(name, onnx, (node, [g]) => [g && mul(g, slope(only(node.inputs), only(node.outputs)))]);

const LOWEST = -3e38;

const logSumExpOperation = slopeReduction('logSumExp', 'ReduceLogSumExp', (x, y) =>
  // Where every x is minus infinity so is y, and each share is 0.
  exp(sub(x, where(equal(y, Number.NEGATIVE_INFINITY), LOWEST, y))),
);

/** `log(sum(e ** x))` over `axes` (default: all), without overflow; its gradient is the softmax. */
export function logSumExp(x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor {
  return reduce(logSumExpOperation, x, axes, options);
}

const norm1Operation = slopeReduction('norm1', 'ReduceL1', (x) => sign(x));
const norm2Operation = slopeReduction('norm2', 'ReduceL2', (x, y) => div(x, where(equal(y, 0), 1, y)));

/** Which norm, and whether the axes stay. */
export interface NormOptions extends ReduceOptions {
  /** 1: the sum of magnitudes; 2 (the default): the Euclidean length; Infinity: the largest magnitude. */
  readonly order?: number;
}

/**
 * The vector norm over `axes` (default: all, as if flattened). The gradient of a Euclidean length of 0 is 0, that of a
 * magnitude at 0 too; a largest magnitude that several places attain sends them equal shares.
 * @throws bad-shape for an order other than 1, 2 and Infinity.
 */
export function vectorNorm(x: Tensor, axes?: readonly number[] | number, options: NormOptions = {}): Tensor {
  const { order = 2, ...rest } = options;
  if (order === Number.POSITIVE_INFINITY) return max(abs(x), axes, rest);
  if (order !== 1 && order !== 2) throw shapeError(`vectorNorm knows the orders 1, 2 and Infinity, not ${order}.`);
  return reduce(order === 1 ? norm1Operation : norm2Operation, x, axes, rest, abs);
}
