/** Attention that sees a window of earlier positions: within whole rows, and to caches of which each row has its own place. */

import { type Attend, type CachedRows, cached } from '../../nn/index.js';
import {
  add,
  attention,
  concat,
  constant,
  greaterEqual,
  less,
  logicalAnd,
  matmul,
  range,
  reshape,
  softmax,
  splitSizes,
  sub,
  type Tensor,
  where,
} from '../../tensor/index.js';

const MASKED = -1e9;

/** Causal attention within whole rows of which each position sees itself and `window` earlier ones. */
export function banded(time: number, window: number): Attend {
  const data = new Float32Array(time * time).fill(MASKED);
  for (let t = 0; t < time; t++) data.fill(0, t * time + Math.max(0, t - window), t * time + t + 1);
  const bias = constant({ dtype: 'float32', shape: [time, time], data });
  return (_layer, query, key, value) => attention(query, key, value, bias);
}

/**
 * Attention of single new positions to caches `[rows, heads, capacity, head]`, of which the first `at` int32 `[rows]` are
 * filled, and to themselves; of the cache only the last `window` filled places are seen (-1: all).
 */
export function cachedWindow(caches: readonly CachedRows[], at: Tensor, window: number, rows: CachedRows[]): Attend {
  if (window < 0) return cached(caches, at, rows);
  return (layer, query, key, value) => {
    const cache = caches[layer];
    if (cache === undefined) throw new Error(`no cache for layer ${layer}`);
    rows[layer] = { key, value };
    const [batch = 1] = query.shape;
    const capacity = cache.key.shape[2] ?? 1;
    const places = reshape(range(capacity), [1, 1, 1, capacity]);
    const filled = reshape(at, [batch, 1, 1, 1]);
    const seen = logicalAnd(less(places, filled), greaterEqual(places, sub(filled, window)));
    const scale = 1 / Math.sqrt(Number(query.shape[3]));
    const before = add(matmul(query, cache.key, { transposeB: true, scale }), where(seen, 0, MASKED));
    const here = matmul(query, key, { transposeB: true, scale });
    const [old, fresh] = splitSizes(softmax(concat([before, here], 3)), [capacity, 1], 3);
    if (old === undefined || fresh === undefined) throw new Error('two parts were split');
    return add(matmul(old, cache.value), matmul(fresh, value));
  };
}
