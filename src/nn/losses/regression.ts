/** Losses of numbers against numbers. `prediction` and `target` have one shape; the mean is over all elements. */

import {
  abs,
  add,
  div,
  greater,
  maximum,
  minimum,
  mul,
  relu,
  softplus,
  sqrt,
  square,
  sub,
  sum,
  sumSquares,
  type Tensor,
  where,
} from '../../tensor/index.js';
import type { LossParts } from '../module.js';
import { checkNumber, type LossWeights, partsOf } from './parts.js';

/** Mean squared error: `(prediction - target) ** 2`. */
export function meanSquaredError(prediction: Tensor, target: Tensor, options: LossWeights = {}): LossParts {
  return partsOf(square(sub(prediction, target)), options.weights);
}

/** Mean absolute error, L1: `|prediction - target|`; its gradient at 0 is 0. */
export function meanAbsoluteError(prediction: Tensor, target: Tensor, options: LossWeights = {}): LossParts {
  return partsOf(abs(sub(prediction, target)), options.weights);
}

/** Options of {@link huber}. */
export interface HuberOptions extends LossWeights {
  /** Where the parabola becomes a line (default 1). */
  readonly delta?: number;
}

/**
 * Huber's loss (1964): `d ** 2 / 2` up to `|d| = delta` and `delta (|d| - delta / 2)` beyond.
 * @throws bad-option for a delta that is not above 0.
 */
export function huber(prediction: Tensor, target: Tensor, options: HuberOptions = {}): LossParts {
  const { delta = 1 } = options;
  checkNumber('Huber loss', 'delta', delta);
  return partsOf(huberTerms(sub(prediction, target), delta), options.weights);
}

/** With `q = min(|d|, delta)`, both pieces are `q ** 2 / 2 + delta (|d| - q)`. */
function huberTerms(difference: Tensor, delta: number): Tensor {
  const size = abs(difference);
  const near = minimum(size, delta);
  return add(mul(square(near), 0.5), mul(sub(size, near), delta));
}

/** Options of {@link smoothL1}. */
export interface SmoothL1Options extends LossWeights {
  /** Where the parabola becomes a line (default 1). */
  readonly beta?: number;
}

/**
 * Smooth L1 (Girshick, arXiv 1504.08083): `d ** 2 / (2 beta)` up to `|d| = beta`, `|d| - beta / 2` beyond: Huber's over beta.
 * @throws bad-option for a beta that is not above 0.
 */
export function smoothL1(prediction: Tensor, target: Tensor, options: SmoothL1Options = {}): LossParts {
  const { beta = 1 } = options;
  checkNumber('smooth L1 loss', 'beta', beta);
  return partsOf(mul(huberTerms(sub(prediction, target), beta), 1 / beta), options.weights);
}

/** `log(cosh(prediction - target))`, computed as `|d| + log(1 + e ** (-2 |d|)) - log 2`, which does not overflow. */
export function logCosh(prediction: Tensor, target: Tensor, options: LossWeights = {}): LossParts {
  const size = abs(sub(prediction, target));
  return partsOf(sub(add(size, softplus(mul(size, -2))), Math.LN2), options.weights);
}

/** Options of {@link cosineEmbedding}. */
export interface CosineEmbeddingOptions extends LossWeights {
  /** Pairs that do not belong together cost nothing below this cosine (default 0). */
  readonly margin?: number;
}

/**
 * PyTorch's `CosineEmbeddingLoss`: `1 - cos(a, b)` for pairs of label 1, `max(0, cos(a, b) - margin)` for pairs of label
 * -1. `a` and `b` are `[..., width]`, labels (and weights) float `[...]`; the mean is over pairs.
 */
export function cosineEmbedding(a: Tensor, b: Tensor, labels: Tensor, options: CosineEmbeddingOptions = {}): LossParts {
  const { margin = 0, weights } = options;
  const cosine = cosineSimilarity(a, b);
  return partsOf(where(greater(labels, 0), sub(1, cosine), relu(sub(cosine, margin))), weights);
}

/** The cosine of the angle between rows of the last axis: two tensors `[..., width]` to `[...]`; 0 for rows of zeros. */
export function cosineSimilarity(a: Tensor, b: Tensor): Tensor {
  const sizes = mul(sumSquares(a, -1), sumSquares(b, -1));
  return div(sum(mul(a, b), -1), sqrt(maximum(sizes, 1e-16)));
}

/** Rows of the last axis divided by their length, at least 1e-8: `[..., width]`. */
export function unitRows(x: Tensor): Tensor {
  return div(x, sqrt(maximum(sumSquares(x, -1, { keepDims: true }), 1e-16)));
}
