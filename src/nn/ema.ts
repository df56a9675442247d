/** An exponential moving average of parameters (Polyak & Juditsky, 1992; as used by Tarvainen & Valpola, arXiv 1703.01780). */

import { add, mapTensors, mul, sub, type Tensor, TesseraError, tensorLeaves } from '../tensor/index.js';

/** How parameters are averaged. */
export interface AverageOptions {
  /** The share of the average that stays at each step, for example 0.999. */
  readonly decay: number;
  /** Begin with a faster average, `min(decay, (1 + t) / (10 + t))` at update t (default true). */
  readonly warmup?: boolean;
}

/** What the average takes from the parameters at a step counted from 0: 1 minus the decay. @throws bad-option. */
export function averageWeight(options: AverageOptions, step: number): number {
  const { decay, warmup = true } = options;
  if (!(decay >= 0 && decay < 1))
    throw new TesseraError('bad-option', `The decay of an average must be at least 0 and below 1, not ${decay}.`);
  return 1 - (warmup ? Math.min(decay, (2 + step) / (11 + step)) : decay);
}

/** `average + weight (parameters - average)`, leaf by leaf; leaves that `parameters` does not have stay as they are. */
export function averageTree<P>(average: P, parameters: unknown, weight: Tensor): P {
  const leaves = new Map(tensorLeaves(parameters));
  return mapTensors(average, (old, path) => {
    const leaf = leaves.get(path);
    return leaf === undefined ? old : add(old, mul(sub(leaf, old), weight));
  });
}
