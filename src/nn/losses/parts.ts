/** What all losses share: from a loss for each element or row to a total and a count. */

import {
  add,
  broadcastTo,
  constant,
  div,
  exp,
  log,
  max,
  mul,
  type Shape,
  squeeze,
  stopGradient,
  sub,
  sum,
  type Tensor,
  TesseraError,
} from '../../tensor/index.js';
import type { LossParts } from '../module.js';

/** Weights of single terms. */
export interface LossWeights {
  /** A weight for each term, broadcast to the terms; 0 leaves one out. The mean is over the sum of the weights. */
  readonly weights?: Tensor;
}

/** The mean that an update takes of a loss: `total / count + extra`, a scalar. */
export function meanLoss({ total, count, extra }: LossParts): Tensor {
  const mean = div(total, count);
  return extra === undefined ? mean : add(mean, extra);
}

/** The sum of terms and their number; with weights, the weighted sum and the sum of the weights. */
export function partsOf(terms: Tensor, weights: Tensor | undefined): LossParts {
  if (weights === undefined) return { total: sum(terms), count: numberOf(terms.shape, terms) };
  return { total: sum(mul(terms, weights)), count: sum(broadcastTo(weights, terms.shape)) };
}

function numberOf(shape: Shape, terms: Tensor): Tensor {
  let count = 1;
  for (const size of shape) {
    if (typeof size !== 'number') return sum(broadcastTo(constant(1, terms.dtype), shape));
    count *= size;
  }
  return constant(count, terms.dtype);
}

/** `log(sum(e ** x))` over the last axis, without overflow: `[..., n]` to `[...]`. */
export function logSumExp(x: Tensor): Tensor {
  const top = stopGradient(max(x, -1, { keepDims: true }));
  return squeeze(add(log(sum(exp(sub(x, top)), -1, { keepDims: true })), top), [x.shape.length - 1]);
}

/** @throws bad-option unless `value` is a finite number above `least` (or equal to it, where `orEqual`). */
export function checkNumber(loss: string, name: string, value: number, least = 0, orEqual = false): void {
  if (Number.isFinite(value) && (orEqual ? value >= least : value > least)) return;
  const range = orEqual ? `at least ${least}` : `above ${least}`;
  throw new TesseraError('bad-option', `The ${name} of the ${loss} must be ${range}, not ${value}.`);
}
