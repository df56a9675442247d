/**
 * Pattention (Wang et al., arXiv 2410.23168, equations 6 and 7): attention whose keys and values are parameters, which
 * takes the place of every linear map. Inputs are queries; there is no factor of 1 / sqrt(width).
 *
 * Rows of scores are divided by their norm plus a small epsilon, so that a row of zeros (a query of zeros, or all tokens
 * masked) gives zeros and no NaN. The factor tau is an argument: the square root of a number of tokens that stays what it
 * was when a model grows.
 */

import type { NDArray, Random } from '../../tensor/index.js';
import {
  add,
  cast,
  div,
  exp,
  gelu,
  matmul,
  max,
  maximum,
  mul,
  softmax,
  sqrt,
  stopGradient,
  sub,
  sum,
  sumSquares,
  type Tensor,
} from '../../tensor/index.js';

/**
 * How scores become weights, under the names of the published code:
 * - `l2_norm_gelu`: `GELU(tau A / |A|)` (the default);
 * - `gelu_l2_norm`: `tau GELU(A) / |GELU(A)|`;
 * - `softmax`: `tau ** 2 exp(A) / sum exp(A)`.
 *
 * In the first two a token whose key is zero gives a weight of zero and adds nothing to the norm; in the third it does not.
 */
export type PattentionKind = 'l2_norm_gelu' | 'gelu_l2_norm' | 'softmax';

/** All kinds. */
export const PATTENTION_KINDS: readonly PattentionKind[] = ['l2_norm_gelu', 'gelu_l2_norm', 'softmax'];

/** Parameter tokens: `key` `[tokens, in]` and `value` `[tokens, out]`. */
export interface PattentionParameters<L = Tensor> {
  readonly key: L;
  readonly value: L;
}

/** How a Pattention layer computes. */
export interface PattentionOptions {
  readonly kind?: PattentionKind;
  /** The number of tokens under the root of tau (default: those that the layer has). */
  readonly tauTokens?: number;
  /** Added to the norm of a row (default 1e-5). */
  readonly epsilon?: number;
  /**
   * Which tokens take part: bool `[tokens]`, or with more axes before to broadcast to the scores. It sets scores to zero
   * before the norm; in the softmax kind it acts after the exponential, where a score of zero would still count.
   */
  readonly mask?: Tensor;
}

/** Fresh tokens: keys and values normal with the deviations given. */
export function initPattention(
  random: Random,
  sizes: { readonly tokens: number; readonly inputs: number; readonly outputs: number },
  deviations: { readonly key: number; readonly value: number },
): PattentionParameters<NDArray> {
  return {
    key: random.child('key').normal([sizes.tokens, sizes.inputs], deviations.key),
    value: random.child('value').normal([sizes.tokens, sizes.outputs], deviations.value),
  };
}

/** `weights(x K^T) V`: `[..., in]` to `[..., out]`. */
export function pattention(parameters: PattentionParameters, x: Tensor, options: PattentionOptions = {}): Tensor {
  const tauTokens = options.tauTokens ?? Number(parameters.key.shape[0]);
  const scores = matmul(x, parameters.key, { transposeB: true }); // [..., tokens]
  return matmul(pattentionWeights(scores, { ...options, tauTokens }), parameters.value);
}

/** The weights of tokens for scores `[..., tokens]`: the same shape. */
export function pattentionWeights(scores: Tensor, options: PattentionOptions & { readonly tauTokens: number }): Tensor {
  const { kind = 'l2_norm_gelu', tauTokens, epsilon = 1e-5, mask } = options;
  const kept = mask === undefined ? undefined : cast(mask, scores.dtype);
  switch (kind) {
    case 'l2_norm_gelu':
      return gelu(scaledRows(kept === undefined ? scores : mul(scores, kept), Math.sqrt(tauTokens), epsilon));
    case 'gelu_l2_norm':
      return scaledRows(gelu(kept === undefined ? scores : mul(scores, kept)), Math.sqrt(tauTokens), epsilon);
    case 'softmax': {
      if (kept === undefined) return mul(softmax(scores), tauTokens);
      const powers = mul(exp(sub(scores, stopGradient(max(scores, -1, { keepDims: true })))), kept);
      return mul(powers, div(tauTokens, add(sum(powers, -1, { keepDims: true }), SMALLEST)));
    }
  }
}

/** Keeps roots and quotients of rows of zeros finite, gradients too; far below what else is added. */
const SMALLEST = 1e-30;

/** Rows brought to the length `length`, up to the epsilon. */
function scaledRows(rows: Tensor, length: number, epsilon: number): Tensor {
  const norm = sqrt(maximum(sumSquares(rows, -1, { keepDims: true }), SMALLEST));
  return mul(rows, div(length, add(norm, epsilon)));
}
