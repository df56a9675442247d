/** Adam (arXiv 1412.6980) and AMSGrad (Reddi et al., arXiv 1904.09237), with decay in the gradient, as PyTorch's `Adam`. */

import { add, maximum, mul, square } from '../../tensor/index.js';
import { adamScalars, adamStep } from './adam-step.js';
import {
  checkOptimizer,
  type DescribedOptimizer,
  type LeafMoments,
  type LeafOptions,
  leafOptimizer,
  penalized,
  type ScalarType,
} from './leaf.js';

/** Options of {@link adam}. */
export interface AdamOptions extends LeafOptions {
  /** How slowly the averages of gradients and of their squares forget (default 0.9 and 0.999). */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second moment (default 1e-8). */
  readonly epsilon?: number;
  /** The decay, added to the gradient (default 0); AdamW has it apart. */
  readonly weightDecay?: number;
  /** Divide by the largest second moment so far, so that steps never grow by forgetting (default false). */
  readonly amsgrad?: boolean;
  /** In which type the scalars are computed (default float64). */
  readonly scalars?: ScalarType;
}

/** Adam. @throws bad-option for numbers out of range. */
export function adam<P = unknown>(
  options: AdamOptions = {},
): DescribedOptimizer<P, LeafMoments<P, 'first' | 'second' | 'largest'>> {
  const { betas = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0, amsgrad = false, scalars = 'float64' } = options;
  const [beta1, beta2] = betas;
  checkOptimizer('Adam', { betas, positive: { epsilon }, weightDecay });
  return leafOptimizer(options, {
    description: { name: 'adam', betas: [beta1, beta2], epsilon, weightDecay, amsgrad },
    weightDecay,
    moments: ['first', 'second', 'largest'],
    keep: (name, { shape }) => (name === 'largest' && !amsgrad ? undefined : shape),
    shared: (rate, step) => adamScalars(rate, step, { betas, epsilon, scalars }),
    move: (leaf) => {
      const g = penalized(leaf);
      const first = add(mul(leaf.moment('first'), beta1), g);
      const second = add(mul(leaf.moment('second'), beta2), square(g));
      if (!amsgrad) return { parameter: adamStep(leaf, { first, second }), moments: { first, second } };
      const largest = maximum(leaf.moment('largest'), second);
      return { parameter: adamStep(leaf, { first, second: largest }), moments: { first, second, largest } };
    },
  });
}
