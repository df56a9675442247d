/**
 * The step that Adam and AdamW make, with moments kept without their factors 1 - beta: M = beta1 M + g and
 * V = beta2 V + g^2. The scalars carry the bias corrections; they are computed once a step.
 */

import { add, cast, div, mul, pow, sqrt, sub, type Tensor } from '../../tensor/index.js';
import type { LeafStep, ScalarType } from './leaf.js';

/** The scalars of a step, all of one type. */
export interface AdamScalars {
  readonly rate: Tensor;
  /** 1 / (what turns M / sqrt(V) into the ratio of the corrected moments). */
  readonly correction: Tensor;
  readonly epsilon: Tensor;
}

/** What the scalars are made from. */
export interface AdamConstants {
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly scalars: ScalarType;
}

/**
 * With m = (1 - b1) M / (1 - b1^t), v = (1 - b2) V / (1 - b2^t) and c = sqrt((1 - b2) / (1 - b2^t)):
 * m / (sqrt(v) + epsilon) = ((1 - b1) / (1 - b1^t) / c) M / (sqrt(V) + epsilon / c).
 */
export function adamScalars(rate: Tensor, step: Tensor, { betas, epsilon, scalars }: AdamConstants): AdamScalars {
  const [beta1, beta2] = betas;
  const t = add(cast(step, scalars), 1);
  const left = (beta: number): Tensor => sub(1, pow(beta, t));
  const c = sqrt(div(1 - beta2, left(beta2)));
  return { rate: cast(rate, scalars), correction: div(div(1 - beta1, left(beta1)), c), epsilon: div(epsilon, c) };
}

/** `kept - s M / (sqrt(V) + e)` with `s` the rate times the correction; `kept` is the parameter after any decay. */
export function adamStep(
  { parameter, shared, scaled }: LeafStep<string, AdamScalars>,
  moments: { readonly first: Tensor; readonly second: Tensor },
  keep: () => Tensor = () => parameter,
): Tensor {
  const size = scaled(mul(shared.rate, shared.correction));
  const kept = keep();
  const direction = div(moments.first, add(sqrt(moments.second), cast(shared.epsilon, parameter.dtype)));
  return sub(kept, mul(direction, size));
}
