/** Losses that want one score above another. */

import {
  add,
  cast,
  equal,
  mul,
  neg,
  range,
  relu,
  reshape,
  softplus,
  square,
  sub,
  sum,
  type Tensor,
} from '../../tensor/index.js';
import type { LossParts } from '../module.js';
import { targetColumn } from './classification.js';
import { type LossWeights, partsOf } from './parts.js';

/** A margin, and weights. */
export interface MarginOptions extends LossWeights {
  /** How far apart scores must be to cost nothing. */
  readonly margin?: number;
}

/** Options of {@link hinge} and {@link multiMargin}. */
export interface HingeOptions extends MarginOptions {
  /** Square the violations. */
  readonly squared?: boolean;
}

/** The hinge: `max(0, margin - y x)` over all elements, for labels `y` of -1 and 1 of the scores' shape; margin 1. */
export function hinge(scores: Tensor, labels: Tensor, options: HingeOptions = {}): LossParts {
  const { margin = 1, squared = false, weights } = options;
  const violations = relu(sub(margin, mul(labels, scores)));
  return partsOf(squared ? square(violations) : violations, weights);
}

/**
 * The multi-class margin loss of PyTorch's `MultiMarginLoss`: `sum over j != y of max(0, margin - x_y + x_j) / classes` a
 * row; margin 1. Logits `[..., classes]`, targets int32 `[...]`, weights `[...]`; the mean is over rows.
 */
export function multiMargin(logits: Tensor, targets: Tensor, options: HingeOptions = {}): LossParts {
  const { margin = 1, squared = false, weights } = options;
  const classes = Number(logits.shape.at(-1) ?? 1);
  const column = [...targets.shape, 1];
  const violations = relu(add(sub(logits, reshape(targetColumn(logits, targets), column)), margin));
  const own = equal(reshape(targets, column), cast(range(classes), 'int32'));
  const others = mul(squared ? square(violations) : violations, sub(1, cast(own, logits.dtype)));
  return partsOf(mul(sum(others, -1), 1 / classes), weights);
}

/** `max(0, margin - y (a - b))` over all elements: `a` above `b` where the label is 1, below it where it is -1; margin 0. */
export function marginRanking(a: Tensor, b: Tensor, labels: Tensor, options: MarginOptions = {}): LossParts {
  const { margin = 0, weights } = options;
  return partsOf(relu(sub(margin, mul(labels, sub(a, b)))), weights);
}

/**
 * Bayesian personalized ranking (Rendle et al., arXiv 1205.2618): `-log(sigmoid(positive - negative))` over all elements of
 * the scores, which broadcast: positives `[users, 1]` against several negatives `[users, n]` each.
 */
export function bayesianRanking(positive: Tensor, negative: Tensor, options: LossWeights = {}): LossParts {
  return partsOf(softplus(neg(sub(positive, negative))), options.weights);
}
