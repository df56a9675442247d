/** Attention scores of queries that share key heads, and what is added to them: for every kind of attention here. */

import { add, cast, type Dimension, mul, reshape, type Shape, sub, type Tensor } from '../tensor/index.js';

/** What is added to the score of a key that is not seen. */
export const MASKED = -1e9;

/** Queries that share a key head, as more rows of it: `[batch, kvHeads, group * time, head]`. */
export function grouped(query: Tensor, kvHeads: Dimension): Tensor {
  const [batch = 1, heads = 1, time = 1, head = 1] = query.shape;
  if (heads === kvHeads) return query;
  const group = Number(heads) / Number(kvHeads);
  const rows: Dimension = typeof time === 'number' ? group * time : -1;
  return reshape(query, [batch, kvHeads, rows, head]);
}

/** 0 where the bool tensor holds, a large negative number elsewhere. */
export function biasOf(allowed: Tensor): Tensor {
  return mul(sub(cast(allowed, 'float32'), 1), -MASKED);
}

/** Scores of grouped queries with a bias per query and key, for each query head where it has more than one. */
export function biased(scores: Tensor, bias: Tensor, time: Dimension): Tensor {
  const [batch = 1, kvHeads = 1, rows = 1, keys = 1] = scores.shape;
  if (rows === time) return add(scores, bias);
  const group: Dimension = typeof time === 'number' ? Number(rows) / time : Number(String(rows).split('*')[0]);
  const [biasBatch = 1, biasHeads = 1, biasRows = 1, biasKeys = 1] = bias.shape;
  const heads: Shape = biasHeads === 1 ? [1, 1] : [kvHeads, group];
  const apart = reshape(scores, [batch, kvHeads, group, time, keys]);
  return reshape(add(apart, reshape(bias, [biasBatch, ...heads, biasRows, biasKeys])), scores.shape);
}
