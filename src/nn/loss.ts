/** Losses as totals and counts, so that what is divided is decided once, at the update. */

import {
  add,
  cast,
  constant,
  crossEntropyRows,
  type Dimension,
  equal,
  gather,
  gatherElements,
  logicalNot,
  matmul,
  maximum,
  mean,
  mul,
  reshape,
  sub,
  sum,
  type Tensor,
  TesseraError,
} from '../tensor/index.js';
import type { LossParts, Objective, TokenBatch } from './module.js';

/** What is counted in a cross-entropy. */
export interface CrossEntropyOptions {
  /** A target that is not counted. */
  readonly ignoreIndex?: number;
  /** A weight for each target, of the targets' shape. */
  readonly weights?: Tensor;
  /** A weight for each class, `[classes]`; the count is then the sum of the targets' weights, as PyTorch has it. */
  readonly classWeights?: Tensor;
  /** The share of the target that is spread over all classes (Szegedy et al., arXiv 1512.00567; default 0). */
  readonly labelSmoothing?: number;
}

/**
 * `-log softmax(logits)[target]` summed over all positions, in nats, and the number (or weight) of positions.
 * `logits` `[..., classes]`, `targets` int32 `[...]`.
 * @throws bad-option for a label smoothing outside of 0 to 1.
 */
export function crossEntropy(logits: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): LossParts {
  const { ignoreIndex, weights, classWeights, labelSmoothing = 0 } = options;
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new TesseraError('bad-option', `The label smoothing must be from 0 to 1, not ${labelSmoothing}.`);
  }
  const classes = logits.shape.at(-1) ?? 1;
  const flatTargets = reshape(targets, [-1]);
  const rows: Dimension = flatTargets.shape[0] ?? 1;
  const flat = reshape(logits, [rows, classes]);
  const named = ignoreIndex === undefined ? flatTargets : maximum(flatTargets, 0);
  const plain = crossEntropyRows(flat, named);
  const losses = smoothed(plain, flat, named, { classWeights, labelSmoothing });
  const counted = ignoreIndex === undefined ? undefined : cast(logicalNot(equal(flatTargets, ignoreIndex)), 'float32');
  const given = weights === undefined ? undefined : reshape(weights, [rows]);
  const factor = counted === undefined ? given : given === undefined ? counted : mul(counted, given);
  const total = sum(factor === undefined ? losses : mul(losses, factor));
  const own = classWeights && gather(classWeights, named);
  const worth = own === undefined ? factor : factor === undefined ? own : mul(own, factor);
  return { total, count: worth === undefined ? constant(Number(rows)) : sum(worth) };
}

/**
 * `(1 - s) w_y L_y + s sum(w_j L_j) / classes` of rows `[rows]`, where `L_j` is the loss had the target been j. With the
 * logits x, `L_j = L_y + x_y - x_j`, so that no second softmax is needed.
 */
function smoothed(
  plain: Tensor,
  logits: Tensor,
  targets: Tensor,
  { classWeights, labelSmoothing }: { readonly classWeights?: Tensor; readonly labelSmoothing: number },
): Tensor {
  const own = classWeights === undefined ? plain : mul(plain, gather(classWeights, targets));
  if (labelSmoothing === 0) return own;
  const [rows = 1, classes = 1] = logits.shape;
  const chosen = reshape(gatherElements(logits, reshape(targets, [rows, 1]), 1), [rows]);
  if (classWeights === undefined) return add(plain, mul(sub(chosen, mean(logits, 1)), labelSmoothing));
  const weighted = reshape(matmul(logits, reshape(classWeights, [classes, 1])), [rows]);
  const spread = sub(mul(add(plain, chosen), mean(classWeights)), mul(weighted, 1 / Number(classes)));
  return add(mul(own, 1 - labelSmoothing), mul(spread, labelSmoothing));
}

/** Next-token prediction: the mean cross-entropy of a model that turns `inputs` into logits. */
export function nextToken(options: { readonly ignoreIndex?: number } = {}): Objective<TokenBatch, Tensor> {
  return {
    loss: (model, _own, batch, call) => crossEntropy(model(batch, call), batch.targets, options),
  };
}
