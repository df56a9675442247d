/** Losses of logits against classes. Cross-entropy with one class a row, smoothing and class weights is in loss.ts. */

import {
  add,
  type Dimension,
  exp,
  gatherElements,
  logSoftmax,
  maximum,
  mul,
  neg,
  pow,
  reshape,
  softplus,
  square,
  sub,
  sum,
  type Tensor,
} from '../../tensor/index.js';
import type { LossParts } from '../module.js';
import { checkNumber, type LossWeights, logSumExp, partsOf } from './parts.js';

/** Options of {@link binaryCrossEntropy}. */
export interface BinaryCrossEntropyOptions extends LossWeights {
  /** How much more the positive part counts: a number, or a tensor that broadcasts to the logits. */
  readonly positiveWeight?: number | Tensor;
}

/**
 * Binary cross-entropy with logits: `-w y log(sigmoid(x)) - (1 - y) log(1 - sigmoid(x))` with the positive weight `w`, in
 * nats, over all elements. Targets are probabilities `y` of the logits' shape. Computed as
 * `(1 - y) x + (1 + (w - 1) y) log(1 + e ** -x)`, as PyTorch's `BCEWithLogitsLoss`.
 */
export function binaryCrossEntropy(
  logits: Tensor,
  targets: Tensor,
  options: BinaryCrossEntropyOptions = {},
): LossParts {
  const { positiveWeight, weights } = options;
  const tail = softplus(neg(logits));
  const factor = positiveWeight === undefined ? undefined : add(mul(sub(positiveWeight, 1), targets), 1);
  const positive = factor === undefined ? tail : mul(factor, tail);
  return partsOf(add(mul(sub(1, targets), logits), positive), weights);
}

/**
 * Cross-entropy against a distribution: `-sum(q log softmax(x))` a row, in nats. Logits and target probabilities
 * `[..., classes]`, weights `[...]`; the mean is over rows.
 */
export function softTargetCrossEntropy(logits: Tensor, probabilities: Tensor, options: LossWeights = {}): LossParts {
  return partsOf(neg(sum(mul(probabilities, logSoftmax(logits)), -1)), options.weights);
}

/** Options of {@link zLoss}. */
export interface ZLossOptions extends LossWeights {
  /** Default 1e-4, as PaLM. */
  readonly coefficient?: number;
}

/**
 * The z-loss, `coefficient * log(sum(e ** x)) ** 2` a row: keeps the softmax's normalizer near 1 (PaLM, arXiv 2204.02311,
 * section 5; ST-MoE, arXiv 2202.08906). Logits `[..., classes]`, weights `[...]`. Its mean is made to be the `extra` of
 * another loss.
 */
export function zLoss(logits: Tensor, options: ZLossOptions = {}): LossParts {
  const { coefficient = 1e-4, weights } = options;
  return partsOf(mul(square(logSumExp(logits)), coefficient), weights);
}

/** Options of the focal losses. */
export interface FocalOptions extends LossWeights {
  /** How much less what is already right counts (default 2); 0 is plain cross-entropy. */
  readonly gamma?: number;
}

/** Options of {@link binaryFocal}. */
export interface BinaryFocalOptions extends FocalOptions {
  /** The weight of positive targets, `1 - alpha` that of negative ones (default: both 1). The paper has 0.25. */
  readonly alpha?: number;
}

/**
 * The focal loss (arXiv 1708.02002, eq. 5): `-alpha_t (1 - p_t) ** gamma log(p_t)` over all elements, with `p_t` the
 * probability given to the truth. Targets are 0 or 1, of the logits' shape. `(1 - p_t) ** gamma` is
 * `e ** (-gamma log(1 + e ** s))` of the logit `s` for the truth, which neither overflows nor has a steep gradient at 0.
 * @throws bad-option for a gamma below 0.
 */
export function binaryFocal(logits: Tensor, targets: Tensor, options: BinaryFocalOptions = {}): LossParts {
  const { gamma = 2, alpha, weights } = options;
  checkNumber('focal loss', 'gamma', gamma, 0, true);
  const forTruth = mul(logits, sub(mul(targets, 2), 1));
  const terms = mul(exp(mul(softplus(forTruth), -gamma)), softplus(neg(forTruth)));
  if (alpha === undefined) return partsOf(terms, weights);
  return partsOf(mul(terms, add(mul(targets, 2 * alpha - 1), 1 - alpha)), weights);
}

/**
 * The focal loss over classes: `-(1 - p) ** gamma log(p)` a row, with `p` the softmax's probability of the target.
 * Logits `[..., classes]`, targets int32 `[...]`, weights `[...]`; the mean is over rows.
 * @throws bad-option for a gamma below 0.
 */
export function focal(logits: Tensor, targets: Tensor, options: FocalOptions = {}): LossParts {
  const { gamma = 2, weights } = options;
  checkNumber('focal loss', 'gamma', gamma, 0, true);
  const chosen = targetColumn(logSoftmax(logits), targets);
  // The power has no slope at 0 that could be computed when gamma is below 1.
  const left = maximum(sub(1, exp(chosen)), 1e-7);
  return partsOf(neg(gamma === 0 ? chosen : mul(pow(left, gamma), chosen)), weights);
}

/** Of each row of `x` `[..., classes]` the element that `targets` int32 `[...]` names: `[...]`. */
export function targetColumn(x: Tensor, targets: Tensor): Tensor {
  const column: readonly Dimension[] = [...targets.shape, 1];
  return reshape(gatherElements(x, reshape(targets, column), -1), targets.shape);
}
