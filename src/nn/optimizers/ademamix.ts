/** AdEMAMix (Pagliardini et al., arXiv 2409.03137): AdamW whose direction also has a slow average of gradients. */

import {
  add,
  cast,
  div,
  exp,
  minimum,
  mul,
  pow,
  sqrt,
  square,
  sub,
  type Tensor,
  TesseraError,
} from '../../tensor/index.js';
import {
  checkOptimizer,
  type DescribedOptimizer,
  decayed,
  type LeafMoments,
  type LeafOptions,
  leafOptimizer,
  type ScalarType,
} from './leaf.js';

/** Options of {@link adEmaMix}. */
export interface AdEmaMixOptions extends LeafOptions {
  /** How slowly the fast average, the squares and the slow average forget (default 0.9, 0.999 and 0.9999). */
  readonly betas?: readonly [number, number, number];
  /** How much of the slow average is added (default 5). */
  readonly alpha?: number;
  /** Steps over which alpha and the slow beta rise to their values (section 3.1; default 0: at once). */
  readonly warmup?: number;
  readonly epsilon?: number;
  /** The share of a weight that is taken away at each step, times the rate (default 0.1). */
  readonly weightDecay?: number;
  /** In which type the scalars are computed (default float64). */
  readonly scalars?: ScalarType;
}

type Moment = 'first' | 'slow' | 'second';

interface Scalars {
  readonly rate: Tensor;
  readonly correction1: Tensor;
  readonly correction2: Tensor;
  readonly alpha: Tensor | number;
  readonly beta3: Tensor | number;
}

/** AdEMAMix. @throws bad-option for numbers out of range. */
export function adEmaMix<P = unknown>(options: AdEmaMixOptions = {}): DescribedOptimizer<P, LeafMoments<P, Moment>> {
  const { betas = [0.9, 0.999, 0.9999], alpha = 5, warmup = 0, epsilon = 1e-8 } = options;
  const { weightDecay = 0.1, scalars = 'float64' } = options;
  const [beta1, beta2, beta3] = betas;
  checkOptimizer('AdEMAMix', {
    betas,
    positive: { epsilon, alpha },
    weightDecay,
  });
  if (!(warmup >= 0))
    throw new TesseraError('bad-option', `The warm-up of AdEMAMix must be at least 0, not ${warmup}.`);
  return leafOptimizer<P, Moment, Scalars>(options, {
    description: { name: 'ademamix', betas: [...betas], alpha, warmup, epsilon, weightDecay },
    weightDecay,
    moments: ['first', 'slow', 'second'],
    keep: (_name, { shape }) => shape,
    shared: (rate, step) => {
      const t = add(cast(step, scalars), 1);
      const share = warmup === 0 ? undefined : minimum(mul(t, 1 / warmup), 1);
      return {
        rate: cast(rate, scalars),
        correction1: sub(1, pow(beta1, t)),
        correction2: sub(1, pow(beta2, t)),
        alpha: share === undefined ? alpha : mul(share, alpha),
        beta3: share === undefined ? beta3 : risingBeta(beta1, beta3, share),
      };
    },
    move: (leaf) => {
      const { gradient, shared, parameter, scaled } = leaf;
      const own = (x: Tensor | number): Tensor | number => (typeof x === 'number' ? x : cast(x, parameter.dtype));
      const average = (name: Moment, beta: Tensor | number, x: Tensor): Tensor =>
        add(mul(leaf.moment(name), own(beta)), mul(x, sub1(own(beta))));
      const first = average('first', beta1, gradient);
      const slow = average('slow', shared.beta3, gradient);
      const second = average('second', beta2, square(gradient));
      const above = add(div(first, own(shared.correction1)), mul(slow, own(shared.alpha)));
      const below = add(sqrt(div(second, own(shared.correction2))), epsilon);
      const next = sub(decayed(leaf, shared.rate), mul(div(above, below), scaled(shared.rate)));
      return { parameter: next, moments: { first, slow, second } };
    },
  });
}

function sub1(x: Tensor | number): Tensor | number {
  return typeof x === 'number' ? 1 - x : sub(1, x);
}

/** From `low` to `high` so that the half-life of the average grows in a line (section 3.1 and appendix A.1). */
function risingBeta(low: number, high: number, share: Tensor): Tensor {
  const [a, b] = [Math.log(low), Math.log(high)];
  return minimum(exp(div(a * b, add(mul(sub(1, share), b), mul(share, a)))), high);
}
