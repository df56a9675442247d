/**
 * Dynamic chunking (arXiv 2507.07955, section 2.2): the router that says where chunks begin, the chunks as the vectors at
 * their first positions, and the way back, an exponential moving average over chunks copied to the positions.
 *
 * Shapes are static. A row has at most `most` chunks; where more begin, those with the lowest probabilities are dropped.
 * Chunks beyond a row's own number stand after all of them, so that nothing causal ever reads them.
 */

import {
  add,
  broadcastTo,
  cast,
  concat,
  constant,
  cumsum,
  div,
  gather,
  gatherElements,
  greater,
  logicalAnd,
  matmul,
  maximum,
  minimum,
  mul,
  range,
  reshape,
  rsqrt,
  scan,
  scatterElementsAdd,
  slice,
  stopGradient,
  straightThrough,
  sub,
  sum,
  sumSquares,
  type Tensor,
  topK,
  where,
} from '../../tensor/index.js';

/** Two square maps without biases, the identity at first. */
export interface RoutingParameters<L = Tensor> {
  readonly query: { readonly weight: L };
  readonly key: { readonly weight: L };
}

/** 1 / |x| of each row of `[..., width]`, as PyTorch's `normalize` bounds it. */
function inverseNorm(x: Tensor): Tensor {
  return rsqrt(maximum(sumSquares(x, -1), 1e-24));
}

/** `(1 - cos(q, k)) / 2` within 0 and 1: of `[..., width]` each, `[...]`. */
function dissimilarity(query: Tensor, key: Tensor): Tensor {
  const cosine = mul(sum(mul(query, key), -1), mul(inverseNorm(query), inverseNorm(key)));
  return minimum(1, maximum(0, mul(sub(1, cosine), 0.5)));
}

/** The probability that a chunk begins at `current`, seen from `previous`, the position before it: `[rows, width]` each. */
export function boundaryBetween(parameters: RoutingParameters, previous: Tensor, current: Tensor): Tensor {
  return dissimilarity(matmul(previous, parameters.query.weight), matmul(current, parameters.key.weight));
}

/**
 * The probabilities `[batch, time]` of `hidden` `[batch, time, width]`: the earlier position is the query (the reference
 * code; the paper writes it the other way round). Where `starts` holds a sequence begins, and the probability is 1.
 */
export function boundaryProbabilities(parameters: RoutingParameters, hidden: Tensor, starts: Tensor): Tensor {
  const [batch = 1, time = 1] = hidden.shape;
  const first = broadcastTo(constant(1), [batch, 1]);
  if (time === 1) return first;
  const query = matmul(hidden, parameters.query.weight);
  const key = matmul(hidden, parameters.key.weight);
  const later = dissimilarity(slice(query, 1, 0, -1), slice(key, 1, 1));
  return where(starts, 1, concat([first, later], 1));
}

/** Where the chunks of a batch begin. */
export interface Chunks {
  /** Positions of a row, and the most chunks that one can have. */
  readonly time: number;
  readonly most: number;
  /** float32 `[batch, time]`. */
  readonly probabilities: Tensor;
  /** bool `[batch, time]`: a chunk begins here. */
  readonly boundaries: Tensor;
  /** int32 `[batch, most]`: where the chunks begin, in order, then other positions. */
  readonly positions: Tensor;
  /** bool `[batch, most]`: the chunk exists. */
  readonly exists: Tensor;
  /** int32 `[batch, time]`: the chunk that a position belongs to. */
  readonly chunkOf: Tensor;
  /** float32 scalar: boundaries that were dropped. */
  readonly dropped: Tensor;
}

/**
 * Chunks from probabilities: a chunk begins where the probability is above a half (a tie is none), if `valid` holds there.
 * @param starts bool `[batch, time]`, positions that are kept before all others.
 */
export function chunksOf(probabilities: Tensor, starts: Tensor, valid: Tensor | undefined, most: number): Chunks {
  const [batch = 1, time] = probabilities.shape.map(Number);
  if (time === undefined) throw new Error('probabilities of a batch');
  const above = greater(probabilities, 0.5);
  const wanted = valid === undefined ? above : logicalAnd(above, valid);
  const boundaries = most < time ? mostLikely(probabilities, starts, wanted, most) : wanted;
  const index = range(time, { dtype: 'float32' });
  const order = add(sub(time, index), mul(cast(boundaries, 'float32'), time));
  const { positions } = topK(order, most, 1); // [batch, most]
  const chunkOf = sub(cumsum(cast(boundaries, 'int32'), 1), 1);
  const kept = sum(cast(boundaries, 'float32'), 1, { keepDims: true });
  const exists = greater(broadcastTo(kept, [batch, most]), range(most, { dtype: 'float32' }));
  const dropped = sub(sum(cast(wanted, 'float32')), sum(kept));
  return { time, most, probabilities, boundaries, positions, exists, chunkOf, dropped };
}

/** Of the wanted boundaries the `most` likeliest of each row. */
function mostLikely(probabilities: Tensor, starts: Tensor, wanted: Tensor, most: number): Tensor {
  const score = where(wanted, where(starts, 2, stopGradient(probabilities)), -1);
  const { positions } = topK(score, most, 1);
  const none = broadcastTo(constant(0), score.shape);
  const chosen = scatterElementsAdd(none, positions, broadcastTo(constant(1), positions.shape), 1);
  return logicalAnd(wanted, greater(chosen, 0.5));
}

/** Rows `[batch * count]` of a flat table of `size` rows a sequence, from places `[batch, count]` within a sequence. */
function flatPlaces(places: Tensor, size: number): Tensor {
  const [batch = 1] = places.shape.map(Number);
  const first = mul(reshape(range(batch), [batch, 1]), size);
  return reshape(add(places, first), [-1]);
}

/** The vectors with which chunks begin: of `[batch * time, width]`, `[batch * most, width]`. */
export function takeChunks(x: Tensor, chunks: Chunks): Tensor {
  return gather(x, flatPlaces(chunks.positions, chunks.time), 0);
}

/** A flag of each position as a flag of each chunk, false for those that do not exist. */
export function flagsOfChunks(flags: Tensor, chunks: Chunks): Tensor {
  const taken = gatherElements(cast(flags, 'int32'), chunks.positions, 1);
  return logicalAnd(greater(taken, 0), chunks.exists);
}

/** Probabilities within the bounds that the average takes. */
export function clampedProbability(probability: Tensor): Tensor {
  return minimum(1 - 1e-4, maximum(1e-4, probability));
}

/**
 * The moving average over chunks, `P_j z_j + (1 - P_j) zbar_{j-1}` from 0 on: weights `[batch, most]`, values
 * `[batch, most, width]`.
 */
export function averageChunks(weights: Tensor, values: Tensor): Tensor {
  const [batch = 1, most = 1] = values.shape.map(Number);
  const column = reshape(weights, [batch, most, 1]);
  return scan(sub(1, column), mul(column, values));
}

/** Chunks back to positions: `z` `[batch * most, width]` averaged and copied, `[batch * time, width]`. */
export function spreadChunks(z: Tensor, chunks: Chunks): Tensor {
  const { most, probabilities, positions, chunkOf } = chunks;
  const width = z.shape.at(-1) ?? 1;
  const weights = clampedProbability(gatherElements(probabilities, positions, 1));
  const averaged = averageChunks(weights, reshape(z, [-1, most, width]));
  return gather(reshape(averaged, z.shape), flatPlaces(chunkOf, most), 0);
}

/** The probability of what was decided: that of a boundary where one is, of none elsewhere. `[batch, time]`. */
export function confidence({ probabilities, boundaries }: Pick<Chunks, 'probabilities' | 'boundaries'>): Tensor {
  return where(boundaries, probabilities, sub(1, probabilities));
}

/** 1 going forward; its gradient is that of `x` (the straight-through estimator of arXiv 1308.3432). */
export function alwaysOne(x: Tensor): Tensor {
  return straightThrough(broadcastTo(constant(1), x.shape), x);
}

/**
 * The ratio loss `N / (N - 1) ((N - 1) F G + (1 - F) (1 - G))` (equation 10): `F` the share of boundaries, through which
 * no gradient flows, `G` the mean probability. 1 where both are 1 / N.
 */
export function ratioLoss(share: Tensor, probability: Tensor, ratio: number): Tensor {
  const f = stopGradient(share);
  const both = mul(mul(f, probability), ratio - 1);
  return mul(add(both, mul(sub(1, f), sub(1, probability))), ratio / (ratio - 1));
}

/** The share of boundaries and the mean probability over the whole batch, of the positions that exist. */
export function boundaryRates(chunks: Chunks, valid: Tensor | undefined): { share: Tensor; probability: Tensor } {
  const { probabilities, boundaries } = chunks;
  const hard = sum(cast(boundaries, 'float32'));
  if (valid === undefined) {
    const count = probabilities.shape.map(Number).reduce((product, size) => product * size, 1);
    return { share: mul(hard, 1 / count), probability: mul(sum(probabilities), 1 / count) };
  }
  const counted = cast(valid, 'float32');
  const count = sum(counted);
  return { share: div(hard, count), probability: div(sum(mul(probabilities, counted)), count) };
}
