/** Stochastic gradient descent with momentum (Polyak, 1964) and Nesterov's look-ahead (Sutskever et al., 2013), as PyTorch's `SGD`. */

import { add, mul, sub, TesseraError } from '../../tensor/index.js';
import {
  checkOptimizer,
  type DescribedOptimizer,
  type LeafMoments,
  type LeafOptions,
  leafOptimizer,
  penalized,
} from './leaf.js';

/** Options of {@link sgd}. */
export interface SgdOptions extends LeafOptions {
  /** How much of the last direction stays (default 0.9); 0 keeps no moments. */
  readonly momentum?: number;
  /** Look ahead along the momentum (default false). */
  readonly nesterov?: boolean;
  /** The decay, added to the gradient (default 0). */
  readonly weightDecay?: number;
}

/**
 * SGD: `M = momentum M + g`, and the step is `rate M`, or `rate (g + momentum M)` with `nesterov`.
 * @throws bad-option for numbers out of range, and for Nesterov without momentum.
 */
export function sgd<P = unknown>(options: SgdOptions = {}): DescribedOptimizer<P, LeafMoments<P, 'first'>> {
  const { momentum = 0.9, nesterov = false, weightDecay = 0 } = options;
  checkOptimizer('SGD', { momentum, weightDecay });
  if (nesterov && momentum === 0) {
    throw new TesseraError('bad-option', "Nesterov's SGD needs a momentum above 0.");
  }
  return leafOptimizer(options, {
    description: { name: 'sgd', momentum, nesterov, weightDecay },
    weightDecay,
    moments: ['first'],
    keep: (_name, { shape }) => (momentum === 0 ? undefined : shape),
    shared: (rate) => rate,
    move: (leaf) => {
      const { parameter, shared, scaled } = leaf;
      const g = penalized(leaf);
      if (momentum === 0) return { parameter: sub(parameter, mul(g, scaled(shared))), moments: {} };
      const first = add(mul(leaf.moment('first'), momentum), g);
      const direction = nesterov ? add(g, mul(first, momentum)) : first;
      return { parameter: sub(parameter, mul(direction, scaled(shared))), moments: { first } };
    },
  });
}
