/**
 * Dynamic loss scaling for products in half precision (Micikevicius et al., arXiv 1710.03740, section 3.2). The loss is
 * multiplied by a factor before gradients are taken, so that small ones do not vanish, and gradients are divided by it
 * afterwards. An update whose gradients are not all finite changes nothing and halves the factor; after
 * {@link GROWTH_INTERVAL} good ones it doubles.
 */

import {
  add,
  constant,
  greaterEqual,
  lessEqual,
  logicalNot,
  mapTensors,
  maximum,
  minimum,
  mul,
  type NDArray,
  type Tensor,
  TesseraError,
  tensorLeaves,
  where,
} from '../tensor/index.js';

/** The state of the scaling: the factor, and good updates since it changed; float32 scalars. */
export interface LossScaling<L = Tensor> {
  readonly factor: L;
  readonly calm: L;
}

/** Good updates after which the factor doubles. */
export const GROWTH_INTERVAL = 2000;
const FIRST = 2 ** 16;
const LARGEST = 2 ** 24;
/** Below this no factor helps: something overflows by itself. */
export const SMALLEST_SCALE = 2 ** -14;

/** The scaling of a fresh run. */
export function initLossScaling(): LossScaling<NDArray> {
  const scalar = (value: number): NDArray => ({ dtype: 'float32', shape: [], data: Float32Array.of(value) });
  return { factor: scalar(FIRST), calm: scalar(0) };
}

/** True for a number, false for NaN and the infinities: a bool scalar. */
export function isFiniteScalar(x: Tensor): Tensor {
  return lessEqual(mul(x, x), 3.4e38);
}

/** The scaling after an update. */
export function nextLossScaling({ factor, calm }: LossScaling, finite: Tensor): LossScaling {
  const counted = add(calm, 1);
  const due = greaterEqual(counted, GROWTH_INTERVAL);
  const grown = where(due, minimum(mul(factor, 2), LARGEST), factor);
  return {
    factor: where(finite, grown, maximum(mul(factor, 0.5), SMALLEST_SCALE)),
    calm: where(finite, where(due, constant(0), counted), constant(0)),
  };
}

/** Each tensor of `next` if `finite` holds, else the one in its place in `before`. */
export function keepIfFinite<T>(finite: Tensor, next: T, before: unknown): T {
  const old = new Map(tensorLeaves(before));
  return mapTensors(next, (tensor, path) => {
    const kept = old.get(path);
    return kept === undefined || kept === tensor ? tensor : where(finite, tensor, kept);
  });
}

/** 1 if not all was finite, as a float32 scalar to report. */
export function overflowed(finite: Tensor): Tensor {
  return where(logicalNot(finite), constant(1), constant(0));
}

/**
 * Looks at what an update reported.
 * @returns whether the update was left out. @throws not-finite when no smaller factor is left to try.
 */
export function seeOverflow(step: number, figures: Readonly<Record<string, number>>, last: string): boolean {
  if (figures.overflow !== 1) return false;
  const { lossScale = 0 } = figures;
  if (lossScale > SMALLEST_SCALE) return true;
  throw new TesseraError(
    'not-finite',
    `Step ${step} overflowed in float16 even at the smallest loss scale, ${lossScale}. ${last}`,
    { hint: 'Something beyond 65,504 is multiplied: take a lower rate, or float32 products.' },
  );
}
