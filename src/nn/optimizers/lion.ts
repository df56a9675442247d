/** Lion (Chen et al., arXiv 2302.06675, algorithm 2): the sign of an interpolated momentum. One moment, steps of one size. */

import { add, mul, sign, sub } from '../../tensor/index.js';
import {
  checkOptimizer,
  type DescribedOptimizer,
  decayed,
  type LeafMoments,
  type LeafOptions,
  leafOptimizer,
} from './leaf.js';

/** Options of {@link lion}. */
export interface LionOptions extends LeafOptions {
  /** How much of the momentum is in the step's direction, and how slowly it forgets (default 0.9 and 0.99). */
  readonly betas?: readonly [number, number];
  /** The share of a weight that is taken away at each step, times the rate (default 1: rates are a tenth of AdamW's). */
  readonly weightDecay?: number;
}

/** Lion. Take a third to a tenth of AdamW's rate. @throws bad-option for numbers out of range. */
export function lion<P = unknown>(options: LionOptions = {}): DescribedOptimizer<P, LeafMoments<P, 'first'>> {
  const { betas = [0.9, 0.99], weightDecay = 1 } = options;
  const [beta1, beta2] = betas;
  checkOptimizer('Lion', { betas, weightDecay });
  return leafOptimizer(options, {
    description: { name: 'lion', betas: [beta1, beta2], weightDecay },
    weightDecay,
    moments: ['first'],
    keep: (_name, { shape }) => shape,
    shared: (rate) => rate,
    move: (leaf) => {
      const { gradient, shared, scaled } = leaf;
      const before = leaf.moment('first');
      const mix = (beta: number) => add(mul(before, beta), mul(gradient, 1 - beta));
      const parameter = sub(decayed(leaf, shared), mul(sign(mix(beta1)), scaled(shared)));
      return { parameter, moments: { first: mix(beta2) } };
    },
  });
}
