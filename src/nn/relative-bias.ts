/**
 * Biases of attention scores by the distance between query and key: fixed slopes (ALiBi; Press et al., arXiv 2108.12409)
 * and learned buckets (T5; Raffel et al., arXiv 1910.10683, section 2.1).
 */

import { type NDArray, type Random, type Tensor, TesseraError, transpose, zeros } from '../tensor/index.js';
import { embed } from './layers.js';

/**
 * The slope of each head: `2^(-8 h / heads)` for h from 1 where `heads` is a power of two. Other counts take the slopes
 * of the power below, then every other one of the power above, as the published code does.
 * @throws bad-option when `heads` is no whole number from 1.
 */
export function alibiSlopes(heads: number): readonly number[] {
  if (!Number.isInteger(heads) || heads < 1)
    throw new TesseraError('bad-option', `ALiBi needs a whole number of heads from 1, not ${heads}.`);
  const below = 2 ** Math.floor(Math.log2(heads));
  const of = (count: number): number[] => Array.from({ length: count }, (_, h) => 2 ** ((-8 * (h + 1)) / count));
  const between = of(2 * below).filter((_, h) => h % 2 === 0);
  return [...of(below), ...between.slice(0, heads - below)];
}

/** Which queries and keys a bias is for. */
export interface RelativePlaces {
  readonly queries: number;
  /** Default: as many as queries. */
  readonly keys?: number;
  /** Where among the keys the first query stands (default: so that the last query stands at the last key). */
  readonly offset?: number;
}

/**
 * `-slope * |query - key|`: `[heads, queries, keys]`. Keys behind a causal query are masked in any case, so that the same
 * numbers serve both directions.
 */
export function alibiBias(heads: number, options: RelativePlaces): NDArray<'float32'> {
  const { queries, keys = queries, offset = keys - queries } = options;
  const bias = zeros([heads, queries, keys]);
  let place = 0;
  for (const slope of alibiSlopes(heads)) {
    for (let query = 0; query < queries; query++) {
      for (let key = 0; key < keys; key++) bias.data[place++] = -slope * Math.abs(query + offset - key);
    }
  }
  return bias;
}

/** How distances are put into buckets. */
export interface RelativeBucketOptions extends RelativePlaces {
  /** Default 32. */
  readonly buckets?: number;
  /** The distance from which on all share the last bucket (default 128). */
  readonly maxDistance?: number;
  /** Half of the buckets are for keys behind the query (default true); false: those share the bucket of distance 0. */
  readonly bidirectional?: boolean;
}

/**
 * The bucket of each query and key, int32 `[queries, keys]`: half of a direction's buckets hold one distance each, the
 * rest grow with its logarithm up to `maxDistance`.
 * @throws bad-option when there are too few buckets, or distances below `maxDistance` have none.
 */
export function relativeBuckets(options: RelativeBucketOptions): NDArray<'int32'> {
  const { queries, keys = queries, offset = keys - queries } = options;
  const { buckets = 32, maxDistance = 128, bidirectional = true } = options;
  const each = bidirectional ? Math.floor(buckets / 2) : buckets;
  const exact = Math.floor(each / 2);
  if (exact < 1 || !(maxDistance > exact)) {
    throw new TesseraError(
      'bad-option',
      `${buckets} buckets for distances up to ${maxDistance} are too few, or more than there are distances.`,
    );
  }
  const bucketOf = (distance: number): number => {
    if (distance < exact) return distance;
    const share = Math.log(distance / exact) / Math.log(maxDistance / exact);
    return Math.min(each - 1, exact + Math.floor(share * (each - exact)));
  };
  const result = zeros([queries, keys], 'int32');
  for (let query = 0; query < queries; query++) {
    for (let key = 0; key < keys; key++) {
      const ahead = key - query - offset;
      const bucket = bidirectional ? bucketOf(Math.abs(ahead)) + (ahead > 0 ? each : 0) : bucketOf(Math.max(0, -ahead));
      result.data[query * keys + key] = bucket;
    }
  }
  return result;
}

/** A number for each bucket and head, `[buckets, heads]`. */
export interface RelativeBiasParameters<L = Tensor> {
  readonly weight: L;
}

/** Fresh numbers, normal. */
export function initRelativeBias(
  random: Random,
  options: { readonly heads: number; readonly buckets?: number; readonly deviation?: number },
): RelativeBiasParameters<NDArray> {
  const { heads, buckets = 32, deviation = 0.02 } = options;
  return { weight: random.child('weight').normal([buckets, heads], deviation) };
}

/** The bias of buckets `[queries, keys]`: `[heads, queries, keys]`. T5 shares one among all layers of a stack. */
export function relativeBias({ weight }: RelativeBiasParameters, buckets: Tensor): Tensor {
  return transpose(embed(weight, buckets), [2, 0, 1]);
}
