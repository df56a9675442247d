/**
 * AdamW: Adam with decoupled weight decay (Kingma & Ba, arXiv 1412.6980; Loshchilov & Hutter, arXiv 1711.05101),
 * with the update that PyTorch's `AdamW` makes.
 *
 * The moments are kept without their factors 1 - beta, M = beta1 M + g and V = beta2 V + g^2, so that each tensor is
 * passed over as few times as possible: p = k p - s M / (sqrt(V) + e). The scalars k, s and e carry the bias
 * corrections; they are computed once a step, in float64.
 */

import { add, arrayLeaves, mul, type Shape, specLeaves, square } from '../tensor/index.js';
import { adamScalars, adamStep } from './optimizers/adam-step.js';
import {
  checkOptimizer,
  type DescribedOptimizer,
  decayed,
  type LeafMoments,
  type LeafOptions,
  leafOptimizer,
  type ScalarType,
} from './optimizers/leaf.js';

export type { DescribedOptimizer } from './optimizers/leaf.js';

/** Options of {@link adamW}. */
export interface AdamWOptions extends LeafOptions {
  /** How slowly the averages of gradients and of their squares forget (default 0.9 and 0.95). */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second moment (default 1e-8). */
  readonly epsilon?: number;
  /** The share of a weight that is taken away at each step, times the rate (default 0.1). */
  readonly weightDecay?: number;
  /** In which type the scalars are computed (default float64; float32 for devices that have no doubles). */
  readonly scalars?: ScalarType;
  /** The moments of an earlier run to begin with. Leaves that it does not have begin at zero. */
  readonly start?: AdamWStart;
}

/** Where AdamW begins when it goes on from an earlier run. */
export interface AdamWStart {
  /** Trees of arrays, or any part of them, named as the parameters are. */
  readonly moments: AdamWMoments<unknown>;
  /** Updates that they have seen, by which the bias corrections count on. */
  readonly steps: number;
}

/** The moments of AdamW: unnormalized averages of gradients and of their squares. Frozen leaves have none. */
export type AdamWMoments<P> = LeafMoments<P, 'first' | 'second'>;

/**
 * AdamW. `update` counts its steps by `call.step`, from 0; leaves without a gradient are returned unchanged.
 * @throws bad-option for numbers out of range.
 */
export function adamW<P = unknown>(options: AdamWOptions = {}): DescribedOptimizer<P, AdamWMoments<P>> {
  const { betas = [0.9, 0.95], epsilon = 1e-8, weightDecay = 0.1, scalars = 'float64', start } = options;
  const [beta1, beta2] = betas;
  checkOptimizer('AdamW', { betas, positive: { epsilon }, weightDecay });
  return leafOptimizer(
    options,
    {
      description: { name: 'adamw', betas: [beta1, beta2], epsilon, weightDecay },
      weightDecay,
      moments: ['first', 'second'],
      keep: (_name, { shape }) => shape,
      shared: (rate, step) => adamScalars(rate, step, { betas, epsilon, scalars }),
      move: (leaf) => {
        const first = add(mul(leaf.moment('first'), beta1), leaf.gradient);
        const second = add(mul(leaf.moment('second'), beta2), square(leaf.gradient));
        const parameter = adamStep(leaf, { first, second }, () => decayed(leaf, leaf.shared.rate));
        return { parameter, moments: { first, second } };
      },
    },
    start,
  );
}

/** How many numbers a tree of arrays or specs holds. */
export function countParameters(tree: unknown): number {
  return specLeaves(tree).reduce(
    (total, [, { shape }]) => total + shape.reduce<number>((size, dimension) => size * Number(dimension), 1),
    0,
  );
}

/** The paths of a tree that an optimizer trains: floating leaves that are not frozen. */
export function trainablePaths(
  parameters: unknown,
  optimizer: { frozen?(path: string, shape: Shape): boolean },
): string[] {
  return arrayLeaves(parameters).flatMap(([path, { dtype, shape }]) =>
    dtype.startsWith('float') && optimizer.frozen?.(path, shape) !== true ? [path] : [],
  );
}
