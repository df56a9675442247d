/**
 * Muon (Jordan et al., 2024, kellerjordan.github.io/posts/muon; scaled as in arXiv 2502.16982): momentum whose matrix is
 * made nearly orthogonal by five Newton-Schulz iterations, so that all directions of a weight move alike. For the matrices
 * inside of a model; embeddings, heads and vectors are AdamW's. Updates as PyTorch's `torch.optim.Muon`, whose weights are
 * `[out, in]` where ours are `[in, out]`.
 */

import {
  add,
  div,
  matmul,
  mul,
  type Shape,
  sqrt,
  sub,
  sumSquares,
  type Tensor,
  TesseraError,
} from '../tensor/index.js';
import { type AdamWOptions, adamW } from './optimizer.js';
import { byPath } from './optimizers/by-path.js';
import {
  checkOptimizer,
  type DescribedOptimizer,
  decayed,
  type LeafMoments,
  type LeafOptions,
  leafOptimizer,
} from './optimizers/leaf.js';
import { matchPaths, type PathTest } from './paths.js';

/** The coefficients of the quintic iteration, which raise small singular values fastest and leave large ones near 1. */
export const NEWTON_SCHULZ: readonly [number, number, number] = [3.4445, -4.775, 2.0315];

/** Options of {@link muon}. */
export interface MuonOptions extends LeafOptions {
  /** How much of the momentum stays (default 0.95). */
  readonly momentum?: number;
  /** Look ahead along the momentum (default true). */
  readonly nesterov?: boolean;
  /** The share of a weight that is taken away at each step, times the rate (default 0.1). */
  readonly weightDecay?: number;
  /** Iterations (default 5). */
  readonly iterations?: number;
  /** The iteration `a X + b X X' X + c X X' X X' X` (default {@link NEWTON_SCHULZ}). */
  readonly coefficients?: readonly [number, number, number];
  /**
   * What the orthogonal update is multiplied by. `original`: sqrt(max(1, out / in)). `match_rms_adamw` (default):
   * 0.2 sqrt(max(in, out)), which makes updates as large as AdamW's, so that its rate and decay fit (arXiv 2502.16982, eq. 4).
   */
  readonly adjust?: 'original' | 'match_rms_adamw';
}

/**
 * Muon, for trees that have matrices only (the last two axes of a tensor are one): `M = b M + (1 - b) g`, the direction
 * `(1 - b) g + b M` made orthogonal.
 * @throws bad-option for numbers out of range, and, from `init`, for a parameter without two axes.
 */
export function muon<P = unknown>(options: MuonOptions = {}): DescribedOptimizer<P, LeafMoments<P, 'first'>> {
  const { momentum = 0.95, nesterov = true, weightDecay = 0.1, iterations = 5 } = options;
  const { coefficients = NEWTON_SCHULZ, adjust = 'match_rms_adamw' } = options;
  checkOptimizer('Muon', { momentum, weightDecay });
  if (!Number.isSafeInteger(iterations) || iterations < 1) {
    throw new TesseraError('bad-option', `Muon takes a whole number of iterations from 1, not ${iterations}.`);
  }
  return leafOptimizer(options, {
    description: {
      name: 'muon',
      momentum,
      nesterov,
      weightDecay,
      iterations,
      coefficients: [...coefficients],
      adjust,
    },
    weightDecay,
    moments: ['first'],
    keep: (_name, { shape }, path) => {
      if (shape.length >= 2) return shape;
      throw new TesseraError('bad-option', `Muon moves matrices; the parameter "${path}" is [${shape.join(', ')}].`, {
        hint: 'muonWithAdamW leaves such parameters to AdamW.',
      });
    },
    shared: (rate) => rate,
    move: (leaf) => {
      const { parameter, gradient, shared, scaled } = leaf;
      const fresh = mul(gradient, 1 - momentum);
      const first = add(mul(leaf.moment('first'), momentum), fresh);
      const direction = nesterov ? add(mul(first, momentum), fresh) : first;
      const update = orthogonalized(direction, iterations, coefficients);
      const size = scaled(mul(shared, adjustment(parameter.shape, adjust)));
      return { parameter: sub(decayed(leaf, shared), mul(update, size)), moments: { first } };
    },
  });
}

function adjustment(shape: Shape, adjust: NonNullable<MuonOptions['adjust']>): number {
  const [inputs, outputs] = [Number(shape.at(-2)), Number(shape.at(-1))];
  return adjust === 'original' ? Math.sqrt(Math.max(1, outputs / inputs)) : 0.2 * Math.sqrt(Math.max(inputs, outputs));
}

/**
 * Newton-Schulz: `x` `[..., m, n]` divided by its norm, then towards the nearest orthogonal matrix, with products of the
 * shorter side.
 */
export function orthogonalized(
  x: Tensor,
  iterations = 5,
  [a, b, c]: readonly [number, number, number] = NEWTON_SCHULZ,
): Tensor {
  const isTall = Number(x.shape.at(-2)) > Number(x.shape.at(-1));
  let y = div(x, add(sqrt(sumSquares(x, [-2, -1], { keepDims: true })), 1e-7));
  for (let i = 0; i < iterations; i++) {
    const gram = matmul(y, y, isTall ? { transposeA: true } : { transposeB: true });
    const polynomial = add(mul(gram, b), matmul(gram, gram, { scale: c }));
    y = add(mul(y, a), isTall ? matmul(y, polynomial) : matmul(polynomial, y));
  }
  return y;
}

/** Options of {@link muonWithAdamW}. */
export interface MuonWithAdamWOptions extends MuonOptions {
  /** What is Muon's (default: matrices but those of {@link MUON_SPARES}). */
  readonly matrices?: PathTest;
  /** Of the AdamW for the rest; decay, factors and frozen paths are shared unless given here. */
  readonly rest?: AdamWOptions;
}

/** Matrices that Muon is not for: tables of embeddings and positions, and heads. */
export const MUON_SPARES: readonly string[] = [
  'embedding*',
  '**.embedding*',
  'positions',
  '**.positions',
  'head',
  '**.head',
];

/** Muon for the matrices inside of a model and AdamW for embeddings, positions, heads and vectors, under one rate. */
export function muonWithAdamW<P = unknown>(
  options: MuonWithAdamWOptions = {},
): DescribedOptimizer<P, Readonly<Record<string, unknown>>> {
  const { rest, matrices, ...own } = options;
  const spared = matchPaths(MUON_SPARES);
  const { decay, multiplier, freeze, weightDecay } = own;
  return byPath({
    muon: {
      optimizer: muon(own),
      paths: matrices ?? ((path, shape) => shape.length === 2 && !spared(path)),
    },
    adamw: { optimizer: adamW({ decay, multiplier, freeze, weightDecay, ...rest }) },
  });
}
