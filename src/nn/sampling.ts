/** Choosing the next token from logits, on the host. */

import { TesseraError } from '../host/error.js';
import type { GenerateOptions } from './module.js';

/** The part of the options that a single choice needs. */
export type SamplingOptions = Pick<GenerateOptions, 'temperature' | 'topK' | 'topP' | 'repetitionPenalty'>;

/** Refuses options that make no sense. @throws bad-option. */
export function checkSampling({ temperature = 1, topK, topP = 1, repetitionPenalty = 1 }: SamplingOptions): void {
  const refuse = (what: string): never => {
    throw new TesseraError('bad-option', what);
  };
  if (!(temperature >= 0)) refuse(`The temperature must be 0 or more, not ${temperature}.`);
  if (topK !== undefined && (!Number.isInteger(topK) || topK < 1))
    refuse(`top-k must be a whole number from 1, not ${topK}.`);
  if (!(topP > 0 && topP <= 1)) refuse(`top-p must be above 0 and at most 1, not ${topP}.`);
  if (!(repetitionPenalty > 0)) refuse(`The repetition penalty must be above 0, not ${repetitionPenalty}.`);
}

/** The position of the largest value; the first of equals. */
export function argmaxOf(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] ?? 0) > (values[best] ?? 0)) best = i;
  return best;
}

/**
 * A token drawn from `softmax(logits / temperature)`, cut by top-k and nucleus (Holtzman et al., arXiv 1904.09751).
 * `logits` is changed by the penalty; `seen` are the tokens so far; `uniform` gives numbers in [0, 1).
 */
export function sampleToken(
  logits: Float32Array,
  options: SamplingOptions,
  uniform: () => number,
  seen: Iterable<number> = [],
): number {
  const { temperature = 1, topK = logits.length, topP = 1, repetitionPenalty = 1 } = options;
  if (repetitionPenalty !== 1) {
    for (const token of new Set(seen)) {
      const logit = logits[token] ?? 0;
      logits[token] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    }
  }
  if (temperature === 0) return argmaxOf(logits);
  let order = Uint32Array.from(logits, (_, index) => index);
  if (topK < logits.length || topP < 1) {
    order.sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b);
    order = order.subarray(0, topK);
  }
  const top = logits[topK < logits.length || topP < 1 ? (order[0] ?? 0) : argmaxOf(logits)] ?? 0;
  const weights = Float64Array.from(order, (token) => Math.exp(((logits[token] ?? 0) - top) / temperature));
  let total = weights.reduce((sum, weight) => sum + weight, 0);
  let kept = weights.length;
  if (topP < 1) {
    let running = 0;
    for (kept = 0; kept < weights.length && running < topP * total; kept++) running += weights[kept] ?? 0;
    total = running;
  }
  let rest = uniform() * total;
  for (let i = 0; i < kept; i++) {
    rest -= weights[i] ?? 0;
    if (rest < 0) return order[i] ?? 0;
  }
  return order[kept - 1] ?? 0;
}
