/** Divergences between two sets of logits, as distillation uses them. All over the last axis; the mean is over rows. */

import {
  add,
  exp,
  logSoftmax,
  maximum,
  minimum,
  mul,
  neg,
  softplus,
  sub,
  sum,
  type Tensor,
} from '../../tensor/index.js';
import type { LossParts } from '../module.js';
import { checkNumber, type LossWeights, partsOf } from './parts.js';

/** Options of the divergences. */
export interface DivergenceOptions extends LossWeights {
  /**
   * Both sets of logits are divided by it, and the loss is multiplied by its square, so that the gradients keep their size
   * (Hinton et al., arXiv 1503.02531; default 1).
   */
  readonly temperature?: number;
}

/** Options of {@link klDivergence}. */
export interface KlOptions extends DivergenceOptions {
  /** `forward`: KL(teacher, student), which covers all that the teacher says (default). `reverse`: KL(student, teacher). */
  readonly direction?: 'forward' | 'reverse';
}

/**
 * The Kullback-Leibler divergence of softmax distributions, `sum(p (log p - log q))` in nats. Logits of student and teacher
 * `[..., classes]`, weights `[...]`. Gradients flow into both; `stopGradient` keeps a teacher as it is.
 * @throws bad-option for a temperature that is not above 0.
 */
export function klDivergence(student: Tensor, teacher: Tensor, options: KlOptions = {}): LossParts {
  const { direction = 'forward', temperature = 1, weights } = options;
  const [ours, theirs] = [logs(student, temperature), logs(teacher, temperature)];
  const rows = direction === 'forward' ? divergence(theirs, ours) : divergence(ours, theirs);
  return partsOf(mul(rows, temperature ** 2), weights);
}

/**
 * The Jensen-Shannon divergence of softmax distributions, `(KL(p, m) + KL(q, m)) / 2` with `m = (p + q) / 2`: symmetric, at
 * most log 2 (times the squared temperature). Logits `[..., classes]`, weights `[...]`.
 * @throws bad-option for a temperature that is not above 0.
 */
export function jensenShannon(a: Tensor, b: Tensor, options: DivergenceOptions = {}): LossParts {
  const { temperature = 1, weights } = options;
  const [p, q] = [logs(a, temperature), logs(b, temperature)];
  // log(e ** p + e ** q) is the larger plus log(1 + e ** -|p - q|).
  const [larger, smaller] = [maximum(p, q), minimum(p, q)];
  const middle = sub(add(larger, softplus(neg(sub(larger, smaller)))), Math.LN2);
  const rows = add(divergence(p, middle), divergence(q, middle));
  return partsOf(mul(rows, temperature ** 2 / 2), weights);
}

function logs(logits: Tensor, temperature: number): Tensor {
  checkNumber('divergence', 'temperature', temperature);
  return logSoftmax(temperature === 1 ? logits : mul(logits, 1 / temperature));
}

function divergence(p: Tensor, q: Tensor): Tensor {
  return sum(mul(exp(p), sub(p, q)), -1);
}
