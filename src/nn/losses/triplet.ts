/** Triplet losses (FaceNet, arXiv 1503.03832): an anchor nearer to what belongs to it than to what does not. */

import {
  add,
  cast,
  constant,
  greater,
  less,
  logicalAnd,
  logicalNot,
  matmul,
  max,
  maximum,
  min,
  mul,
  relu,
  reshape,
  sqrt,
  sub,
  sumSquares,
  type Tensor,
  transpose,
  where,
} from '../../tensor/index.js';
import type { LossParts } from '../module.js';
import { sameIds } from './contrastive.js';
import type { MarginOptions } from './margin.js';
import { partsOf } from './parts.js';

/** Options of {@link triplet}. */
export interface TripletOptions extends MarginOptions {
  /** Compare squared distances, as FaceNet does (default false, as PyTorch's `TripletMarginLoss`). */
  readonly squared?: boolean;
}

/**
 * `max(0, d(anchor, positive) - d(anchor, negative) + margin)` a row, with Euclidean distances; margin 1. Three tensors
 * `[..., width]`, weights `[...]`; the mean is over rows.
 */
export function triplet(anchor: Tensor, positive: Tensor, negative: Tensor, options: TripletOptions = {}): LossParts {
  const { margin = 1, squared = false, weights } = options;
  const distance = (x: Tensor): Tensor => rooted(sumSquares(sub(anchor, x), -1), squared);
  return partsOf(relu(add(sub(distance(positive), distance(negative)), margin)), weights);
}

/** The root, with slope 0 where two vectors are the same. */
function rooted(squares: Tensor, squared: boolean): Tensor {
  return squared ? squares : sqrt(maximum(squares, 1e-12));
}

/** Euclidean distances, or their squares, between all rows of `x` `[n, width]`: `[n, n]`. */
export function pairwiseDistances(x: Tensor, squared = false): Tensor {
  const [n = 1] = x.shape;
  const sizes = sumSquares(x, -1, { keepDims: true }); // [n, 1]
  const products = matmul(x, x, { transposeB: true });
  const squares = add(add(sizes, transpose(sizes, [1, 0])), mul(products, -2));
  // Rounding leaves small numbers, also negative ones, where 0 belongs.
  const apart = sub(1, constant(identityRows(Number(n))));
  return mul(rooted(maximum(squares, 0), squared), apart);
}

function identityRows(n: number) {
  const data = Float32Array.from({ length: n * n }, (_, i) => Number(Math.floor(i / n) === i % n));
  return { dtype: 'float32', shape: [n, n], data } as const;
}

/** Options of {@link batchTriplet}. */
export interface BatchTripletOptions {
  /** Default 0.2, as FaceNet. */
  readonly margin?: number;
  /** Compare squared distances (default true, as FaceNet). */
  readonly squared?: boolean;
  /**
   * `semi-hard` (FaceNet, section 3.2; default): for each pair of a class, the nearest vector of another class that is
   * farther away than the pair; where there is none, the farthest of all. The mean is over pairs.
   * `hard` (batch-hard, arXiv 1703.07737): for each anchor its farthest fellow and its nearest stranger. The mean is over
   * anchors that have both.
   */
  readonly mining?: 'semi-hard' | 'hard';
}

/**
 * The triplet loss of a batch whose triplets are found inside of it. `embeddings` `[n, width]`, `classes` int32 `[n]`.
 * Semi-hard mining compares all triplets, `n ** 3` numbers. A batch without any triplet costs 0.
 */
export function batchTriplet(embeddings: Tensor, classes: Tensor, options: BatchTripletOptions = {}): LossParts {
  const { margin = 0.2, squared = true, mining = 'semi-hard' } = options;
  const n = Number(embeddings.shape[0]);
  const distances = pairwiseDistances(embeddings, squared); // [anchor, other]
  const same = sameIds(classes);
  const fellows = logicalAnd(same, cast(sub(1, constant(identityRows(n))), 'bool'));
  const strangers = logicalNot(same);
  const violation = (near: Tensor, far: Tensor): Tensor => relu(add(sub(near, far), margin));
  const farthest = where(strangers, distances, NONE_FAR);
  const isMet = (some: Tensor): Tensor => greater(max(cast(some, distances.dtype), 1, { keepDims: true }), 0.5);
  if (mining === 'hard') {
    const near = max(where(fellows, distances, NONE_FAR), 1, { keepDims: true });
    const far = min(where(strangers, distances, NONE_NEAR), 1, { keepDims: true });
    const counted = cast(logicalAnd(isMet(fellows), isMet(strangers)), distances.dtype);
    return partsOf(where(cast(counted, 'bool'), violation(near, far), 0), counted);
  }
  const pairs = reshape(distances, [n, n, 1]); // [anchor, fellow, 1]
  const others = reshape(distances, [n, 1, n]); // [anchor, 1, stranger]
  const beyond = logicalAnd(reshape(strangers, [n, 1, n]), greater(others, pairs)); // [anchor, fellow, stranger]
  const nearest = min(where(beyond, others, NONE_NEAR), 2); // [anchor, fellow]
  const chosen = where(less(nearest, NONE_NEAR / 2), nearest, max(farthest, 1, { keepDims: true }));
  const counted = cast(logicalAnd(fellows, isMet(strangers)), distances.dtype);
  return partsOf(where(cast(counted, 'bool'), violation(distances, chosen), 0), counted);
}

/** Distances that are never the smallest, or the largest. */
const NONE_NEAR = 1e30;
const NONE_FAR = -1e30;
