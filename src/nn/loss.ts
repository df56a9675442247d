/** Losses as totals and counts, so that what is divided is decided once, at the update. */

import {
  cast,
  constant,
  crossEntropyRows,
  type Dimension,
  equal,
  logicalNot,
  maximum,
  mul,
  reshape,
  sum,
  type Tensor,
} from '../tensor/index.js';
import type { LossParts, Objective, TokenBatch } from './module.js';

/** What is counted in a cross-entropy. */
export interface CrossEntropyOptions {
  /** A target that is not counted. */
  readonly ignoreIndex?: number;
  /** A weight for each target, of the targets' shape. */
  readonly weights?: Tensor;
}

/**
 * `-log softmax(logits)[target]` summed over all positions, in nats, and the number (or weight) of positions.
 * `logits` `[..., classes]`, `targets` int32 `[...]`.
 */
export function crossEntropy(logits: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): LossParts {
  const classes = logits.shape.at(-1) ?? 1;
  const flatTargets = reshape(targets, [-1]);
  const rows: Dimension = flatTargets.shape[0] ?? 1;
  const flat = reshape(logits, [rows, classes]);
  const { ignoreIndex, weights } = options;
  if (ignoreIndex === undefined && weights === undefined) {
    return { total: sum(crossEntropyRows(flat, flatTargets)), count: constant(Number(rows)) };
  }
  const counted = ignoreIndex === undefined ? undefined : cast(logicalNot(equal(flatTargets, ignoreIndex)), 'float32');
  const given = weights === undefined ? undefined : reshape(weights, [rows]);
  const factor = counted === undefined ? given : given === undefined ? counted : mul(counted, given);
  const losses = crossEntropyRows(flat, ignoreIndex === undefined ? flatTargets : maximum(flatTargets, 0));
  if (factor === undefined) throw new Error('a factor was given');
  return { total: sum(mul(losses, factor)), count: sum(factor) };
}

/** Next-token prediction: the mean cross-entropy of a model that turns `inputs` into logits. */
export function nextToken(options: { readonly ignoreIndex?: number } = {}): Objective<TokenBatch, Tensor> {
  return {
    loss: (model, _own, batch, call) => crossEntropy(model(batch, call), batch.targets, options),
  };
}
