/** Losses that tell matching pairs of vectors from the other pairs of a batch. */

import {
  add,
  cast,
  concat,
  constant,
  div,
  equal,
  exp,
  greater,
  logicalAnd,
  logicalNot,
  matmul,
  maximum,
  minimum,
  mul,
  neg,
  type Operand,
  reshape,
  softplus,
  sub,
  sum,
  type Tensor,
  TesseraError,
  transpose,
} from '../../tensor/index.js';
import type { LossParts } from '../module.js';
import { checkNumber, logSumExp, partsOf } from './parts.js';
import { unitRows } from './regression.js';

/** Options of {@link infoNce}. */
export interface InfoNceOptions {
  /** What similarities are divided by (default 0.07). */
  readonly temperature?: number;
  /** What similarities are multiplied by instead, such as {@link clipScale} of a learned parameter. */
  readonly scale?: Tensor;
  /** Compare directions: rows are divided by their length (default true). */
  readonly normalize?: boolean;
  /** Also tell the right query for each key, and take the mean of both ways, as CLIP does. */
  readonly symmetric?: boolean;
  /**
   * bool `[queries, keys]`: which keys belong to a query (default: the key of the same row). Of several, each is to be as
   * likely (SupCon's outer form, arXiv 2004.11362, eq. 2); a query without any is not counted.
   */
  readonly positives?: Tensor;
  /** More vectors that belong to no query: `[n, width]` for all, or each query's own `[queries, n, width]`. */
  readonly negatives?: Tensor;
  /** bool `[queries, keys]`: pairs that are left out, such as {@link sameIds}; a positive pair stays. */
  readonly exclude?: Tensor;
}

const NEVER = -1e9;

/**
 * InfoNCE with the other keys of the batch as negatives (van den Oord et al., arXiv 1807.03748): the cross-entropy of a
 * query's own key among all, in nats. `queries` `[n, width]`, `keys` `[m, width]`; the mean is over queries.
 * @throws bad-option for a temperature that is not above 0, or queries and keys of two numbers without `positives`.
 */
export function infoNce(queries: Tensor, keys: Tensor, options: InfoNceOptions = {}): LossParts {
  const { normalize = true, symmetric = false, negatives, exclude, temperature = 0.07 } = options;
  checkNumber('InfoNCE loss', 'temperature', temperature);
  const direction = (x: Tensor): Tensor => (normalize ? unitRows(x) : x);
  const scaled = (x: Tensor): Tensor => mul(x, options.scale ?? 1 / temperature);
  const [q, k] = [direction(queries), direction(keys)];
  const scores = scaled(matmul(q, k, { transposeB: true })); // [n, m]
  const belongs = options.positives ?? constant(identity(queries, keys));
  const more = negatives === undefined ? undefined : scaled(against(q, direction(negatives)));
  const there = pick(scores, belongs, exclude, more);
  if (!symmetric) return there;
  const back = pick(turned(scores), turned(belongs), exclude && turned(exclude));
  return halves(there, back);
}

/** One way: of each row of `scores` the log-likelihood of what belongs to it, among all columns and `more`. */
function pick(scores: Tensor, belongs: Tensor, exclude: Tensor | undefined, more?: Tensor): LossParts {
  const own = cast(belongs, scores.dtype);
  const barred = exclude && mul(cast(logicalAnd(exclude, logicalNot(cast(belongs, 'bool'))), scores.dtype), NEVER);
  const seen = barred === undefined ? scores : add(scores, barred);
  const all = logSumExp(more === undefined ? seen : concat([seen, more], 1)); // [rows]
  const number = sum(own, -1);
  const mean = div(sum(mul(own, scores), -1), maximum(number, 1));
  return partsOf(sub(all, mean), cast(greater(number, 0), scores.dtype));
}

/** The mean of two losses, as one total over the first one's count. */
function halves(a: LossParts, b: LossParts): LossParts {
  return { total: mul(add(a.total, mul(b.total, div(a.count, maximum(b.count, 1)))), 0.5), count: a.count };
}

/** Similarities `[queries, n]` to vectors that all share, or that each query has of its own. */
function against(q: Tensor, negatives: Tensor): Tensor {
  if (negatives.shape.length === 2) return matmul(q, negatives, { transposeB: true });
  const [rows = 1, width = 1] = q.shape;
  const apart = matmul(reshape(q, [rows, 1, width]), negatives, { transposeB: true }); // [queries, 1, n]
  return reshape(apart, [rows, negatives.shape[1] ?? 1]);
}

function turned(matrix: Tensor): Tensor {
  return transpose(matrix, [1, 0]);
}

function identity(queries: Tensor, keys: Tensor) {
  const [rows, columns] = [Number(queries.shape[0]), Number(keys.shape[0])];
  if (rows !== columns) {
    throw new TesseraError('bad-option', `InfoNCE cannot pair ${rows} queries with ${columns} keys row by row.`, {
      hint: 'Say with positives which keys belong to which query.',
    });
  }
  const data = Float32Array.from({ length: rows * rows }, (_, i) => Number(Math.floor(i / rows) === i % rows));
  return { dtype: 'float32', shape: [rows, rows], data } as const;
}

/** bool `[n, n]`: true where two rows have one id (int32 `[n]`): duplicates, for `exclude`, or a class, for `positives`. */
export function sameIds(ids: Tensor): Tensor {
  const [n = 1] = ids.shape;
  return equal(reshape(ids, [n, 1]), reshape(ids, [1, n]));
}

/** What CLIP's learned scale starts from: `e` to this is 1 / 0.07. */
export const CLIP_LOG_SCALE: number = Math.log(1 / 0.07);

/** CLIP's learned scale of similarities, `min(e ** logScale, 100)` of a scalar parameter (arXiv 2103.00020, section 2.5). */
export function clipScale(logScale: Tensor, largest = 100): Tensor {
  return minimum(exp(logScale), largest);
}

/**
 * CLIP's loss (arXiv 2103.00020, figure 3): symmetric {@link infoNce} of `images` and `texts` `[n, width]` under a learned
 * scale, a scalar that begins at {@link CLIP_LOG_SCALE}. The mean is over pairs.
 */
export function clipLoss(
  images: Tensor,
  texts: Tensor,
  logScale: Tensor,
  options: Pick<InfoNceOptions, 'positives' | 'exclude'> = {},
): LossParts {
  return infoNce(images, texts, { ...options, symmetric: true, scale: clipScale(logScale) });
}

/** What SigLIP's scale and bias start from: `e` to the first is 10 (arXiv 2303.15343, section 3.2). */
export const SIGLIP_START: { readonly logScale: number; readonly bias: number } = {
  logScale: Math.log(10),
  bias: -10,
};

/** Options of {@link sigLip}. */
export interface SigLipOptions {
  /** The log of the scale, and the bias, scalars: learned, or {@link SIGLIP_START}. */
  readonly logScale?: Operand;
  readonly bias?: Operand;
  /** bool `[n, m]`: which pairs belong together (default: those of the same row). */
  readonly positives?: Tensor;
  /** bool `[n, m]`: pairs that are left out; a positive pair stays. */
  readonly exclude?: Tensor;
}

/**
 * SigLIP's sigmoid loss (arXiv 2303.15343, algorithm 1): `-log(sigmoid(z (e ** logScale cos + bias)))` of every pair, with z
 * 1 for pairs that belong together and -1 for others, summed. `images` `[n, width]`, `texts` `[m, width]`; the count is the
 * number of images.
 * @throws bad-option for two numbers of rows without `positives`.
 */
export function sigLip(images: Tensor, texts: Tensor, options: SigLipOptions = {}): LossParts {
  const { logScale = SIGLIP_START.logScale, bias = SIGLIP_START.bias, exclude } = options;
  const scale = typeof logScale === 'number' ? Math.exp(logScale) : exp(logScale);
  const logits = add(mul(matmul(unitRows(images), unitRows(texts), { transposeB: true }), scale), bias);
  const belongs = options.positives ?? constant(identity(images, texts));
  const own = cast(belongs, logits.dtype);
  const terms = softplus(neg(mul(logits, sub(mul(own, 2), 1))));
  const kept = exclude && maximum(own, cast(logicalNot(exclude), logits.dtype));
  return {
    total: sum(kept === undefined ? terms : mul(terms, kept)),
    count: constant(Number(images.shape[0])),
  };
}
