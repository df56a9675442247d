/** Clipping gradients by their global norm (Pascanu et al., arXiv 1211.5063). */

import {
  add,
  constant,
  div,
  mapTensors,
  minimum,
  mul,
  reshape,
  sqrt,
  sumSquares,
  type Tensor,
  tensorLeaves,
} from '../tensor/index.js';

/**
 * The square root of the sum of squares of all numbers in a tree, as a float32 scalar. Summed in float32 in one pass a
 * tensor: right to about 1e-5 at a million numbers, 1e-3 at sixteen.
 */
export function globalNorm(gradients: unknown): Tensor {
  // In the order in which the way back makes them: the runtime follows a sum's terms from the first to the last, and so
  // finishes one layer, whose insides it can then let go of, before it goes on to the one below.
  const ordered = tensorLeaves(gradients).sort(([, a], [, b]) => a.node.id - b.node.id);
  // Axes of size 1 broadcast, so that one reshape at the end does for all of them.
  const squares = ordered.map(([, gradient]) => sumSquares(gradient, undefined, { keepDims: true }));
  const [first, ...rest] = squares;
  if (first === undefined) return constant(0);
  return sqrt(
    reshape(
      rest.reduce((total, square) => add(total, square), first),
      [],
    ),
  );
}

/** `min(1, limit / (norm + 1e-6))`, the factor that PyTorch's `clip_grad_norm_` applies. */
export function clipFactor(norm: Tensor, limit: number): Tensor {
  return minimum(div(constant(limit), add(norm, 1e-6)), 1);
}

/** Every tensor of a tree times a scalar. */
export function scaleTree<P>(tree: P, factor: Tensor): P {
  return mapTensors(tree, (leaf) => mul(leaf, factor));
}

/** Gradients of a total, divided by `count` and clipped, in one multiplication a tensor. */
export function clippedMean<P>(
  gradients: P,
  count: Tensor,
  limit: number | undefined,
): { readonly gradients: P; readonly norm: Tensor } {
  const norm = div(globalNorm(gradients), count);
  const mean = div(constant(1), count);
  const factor = limit === undefined ? mean : mul(mean, clipFactor(norm, limit));
  return { gradients: scaleTree(gradients, factor), norm };
}
