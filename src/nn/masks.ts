/**
 * Which key a query may see: bool tensors, true where it may, that broadcast to `[batch, heads, query, key]`. Several are
 * joined with `logicalAnd`; a query left without any key gets zeros from `bidirectional`.
 */

import {
  add,
  type Dimension,
  equal,
  greaterEqual,
  less,
  lessEqual,
  logicalAnd,
  logicalNot,
  logicalOr,
  range,
  reshape,
  type Tensor,
  TesseraError,
} from '../tensor/index.js';

/** Positions of the queries, counted as the keys are: `[queries, 1]`, and of the keys: `[1, keys]`. */
function places(queries: Dimension, keys: Dimension, offset: number): { readonly query: Tensor; readonly key: Tensor } {
  return { query: reshape(add(range(queries), offset), [queries, 1]), key: reshape(range(keys), [1, keys]) };
}

function lastQueries(queries: Dimension, keys: Dimension): number {
  if (queries === keys) return 0;
  if (typeof queries === 'number' && typeof keys === 'number') return keys - queries;
  throw new TesseraError(
    'bad-option',
    `A mask of ${queries} queries and ${keys} keys needs the offset of the queries.`,
  );
}

/**
 * Query i, which stands at `i + offset` among the keys, sees those up to itself: `[queries, keys]`. Without an offset the
 * last query stands at the last key.
 * @throws bad-option when sizes are different names and no offset is given.
 */
export function causalMask(queries: Dimension, keys: Dimension = queries, offset = lastQueries(queries, keys)): Tensor {
  const { query, key } = places(queries, keys, offset);
  return lessEqual(key, query);
}

/**
 * Position i sees positions `i - before` to `i + after`: `[time, time]`. With `after` 0 it is what `windowed` computes
 * at a cost that grows with the length only.
 * @throws bad-option when a reach is no whole number from 0.
 */
export function bandMask(time: Dimension, before: number, after = before): Tensor {
  for (const reach of [before, after]) {
    if (!Number.isInteger(reach) || reach < 0)
      throw new TesseraError('bad-option', `The reach of a band is a whole number from 0, not ${reach}.`);
  }
  const { query, key } = places(time, time, 0);
  return logicalAnd(greaterEqual(key, add(query, -before)), lessEqual(key, add(query, after)));
}

/** Of each row the first `lengths` int32 `[batch]` keys are seen, the padding behind them is not: `[batch, 1, 1, keys]`. */
export function lengthMask(lengths: Tensor, keys: Dimension): Tensor {
  return less(reshape(range(keys), [1, 1, 1, keys]), reshape(lengths, [lengths.shape[0] ?? 1, 1, 1, 1]));
}

/**
 * The first `prefix` int32 `[batch]` positions of each row see each other, later ones see all before them
 * (Raffel et al., arXiv 1910.10683, section 3.2.1): `[batch, 1, time, time]`.
 */
export function prefixMask(prefix: Tensor, time: Dimension): Tensor {
  return logicalOr(reshape(causalMask(time), [1, 1, time, time]), lengthMask(prefix, time));
}

/** What sets segments apart. */
export interface SegmentMaskOptions {
  /** Segments of the keys `[batch, keys]`, where they are not the queries themselves. */
  readonly keys?: Tensor;
  /** The number of positions that belong to no segment: they see nothing and are not seen. */
  readonly padding?: number;
}

/**
 * Several texts packed into one row (Krell et al., arXiv 2107.02027) do not see each other. `segments` int32
 * `[batch, queries]` numbers the text of each position: `[batch, 1, queries, keys]`.
 */
export function segmentMask(segments: Tensor, options: SegmentMaskOptions = {}): Tensor {
  const { keys = segments, padding } = options;
  const [batch = 1, queries = 1] = segments.shape;
  const [query, key] = [
    reshape(segments, [batch, 1, queries, 1]),
    reshape(keys, [keys.shape[0] ?? 1, 1, 1, keys.shape[1] ?? 1]),
  ];
  const same = equal(query, key);
  return padding === undefined ? same : logicalAnd(same, logicalNot(equal(query, padding)));
}
