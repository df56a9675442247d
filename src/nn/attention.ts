/**
 * Causal self-attention with grouped queries (Ainslie et al., arXiv 2305.13245) and optional rotary positions.
 *
 * One layer serves training, cached decoding and export: where keys and values come from is an argument, `attend`,
 * that the caller chooses for the whole model.
 */

import {
  add,
  attention as attend,
  type Call,
  cast,
  concat,
  constant,
  type Dimension,
  greaterEqual,
  less,
  logicalAnd,
  matmul,
  mul,
  type NDArray,
  type Random,
  range,
  reshape,
  rotary,
  type Shape,
  softmax,
  splitSizes,
  sub,
  type Tensor,
  transpose,
} from '../tensor/index.js';
import { dropout, initLinear, type LinearParameters, linear } from './layers.js';

/** Parameters of an attention layer. */
export interface AttentionParameters<L = Tensor> {
  readonly query: LinearParameters<L>;
  readonly key: LinearParameters<L>;
  readonly value: LinearParameters<L>;
  readonly out: LinearParameters<L>;
}

/** How an attention layer is built. `kvHeads` divides `heads`; `head` is the width of one. */
export interface AttentionOptions {
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly head: number;
  readonly bias: boolean;
  readonly deviation?: number;
  readonly outDeviation?: number;
}

/** Fresh parameters of an attention layer. */
export function initAttention(random: Random, options: AttentionOptions): AttentionParameters<NDArray> {
  const { width, heads, kvHeads, head, bias, deviation, outDeviation } = options;
  return {
    query: initLinear(random.child('query'), width, heads * head, { bias, deviation }),
    key: initLinear(random.child('key'), width, kvHeads * head, { bias, deviation }),
    value: initLinear(random.child('value'), width, kvHeads * head, { bias, deviation }),
    out: initLinear(random.child('out'), heads * head, width, { bias, deviation: outDeviation ?? deviation }),
  };
}

/** Rotary positions for a whole model: int64 `[batch, time]` and the tables of `rotaryTables`. */
export interface RotaryContext {
  readonly positions: Tensor;
  readonly cosines: Tensor;
  readonly sines: Tensor;
}

/** 0, 1, 2, ... in each of a known number of rows: int64 `[batch, time]`. */
export function rowPositions(batch: Dimension, time: Dimension): Tensor {
  const [rows, columns] = [Number(batch), Number(time)];
  const data = BigInt64Array.from({ length: rows * columns }, (_, index) => BigInt(index % columns));
  return constant({ dtype: 'int64', shape: [rows, columns], data });
}

/** Mixes queries `[batch, heads, time, head]` with keys and values `[batch, kvHeads, time, head]` of layer `layer`. */
export type Attend = (layer: number, query: Tensor, key: Tensor, value: Tensor, call: Call) => Tensor;

/** Where a layer stands and how its rows are laid out. */
export interface SelfAttentionOptions extends AttentionOptions {
  readonly layer: number;
  readonly batch: Dimension;
  readonly time: Dimension;
  readonly rotary?: RotaryContext;
  readonly attend: Attend;
}

/**
 * Self-attention of `x` `[batch * time, width]`: rows stay flat between products, which spares two reshapes for each.
 * @returns the same shape.
 */
export function selfAttention(
  parameters: AttentionParameters,
  x: Tensor,
  options: SelfAttentionOptions,
  call: Call,
): Tensor {
  const { batch, time, head } = options;
  const apart = (projected: Tensor, heads: number, turned: boolean): Tensor => {
    const rows = options.rotary;
    if (!turned || rows === undefined) return transpose(reshape(projected, [batch, time, heads, head]), [0, 2, 1, 3]);
    const rotated = rotary(reshape(projected, [batch, time, heads * head]), rows.positions, rows.cosines, rows.sines);
    return transpose(reshape(rotated, [batch, time, heads, head]), [0, 2, 1, 3]);
  };
  const query = apart(linear(parameters.query, x), options.heads, true); // [batch, heads, time, head]
  const key = apart(linear(parameters.key, x), options.kvHeads, true);
  const value = apart(linear(parameters.value, x), options.kvHeads, false);
  const mixed = transpose(options.attend(options.layer, query, key, value, call), [0, 2, 1, 3]);
  return linear(parameters.out, reshape(mixed, [x.shape[0] ?? 1, options.heads * head]));
}

const MASKED = -1e9;

/** 0 where query i may see key j (j <= i + offset), a large negative number elsewhere: `[queries, keys]`. */
export function causalBias(queries: number, keys: number, offset = keys - queries): NDArray<'float32'> {
  const data = new Float32Array(queries * keys);
  for (let i = 0; i < queries; i++) data.fill(MASKED, i * keys + Math.max(0, i + offset + 1), (i + 1) * keys);
  return { dtype: 'float32', shape: [queries, keys], data };
}

/** Queries that share a key head, as more rows of it: `[batch, kvHeads, group * time, head]`. */
function grouped(query: Tensor, kvHeads: Dimension): Tensor {
  const [batch = 1, heads = 1, time = 1, head = 1] = query.shape;
  if (heads === kvHeads) return query;
  const group = Number(heads) / Number(kvHeads);
  const rows: Dimension = typeof time === 'number' ? group * time : -1;
  return reshape(query, [batch, kvHeads, rows, head]);
}

/** Full causal attention within the rows given, as training and evaluation use it; `dropout` acts on the weights. */
export function causal(time: number, probability = 0): Attend {
  return (_layer, query, key, value, call) => {
    const kvHeads = key.shape[1] ?? 1;
    const q = grouped(query, kvHeads);
    const bias = causalBias(time, time);
    const group = Number(q.shape[2]) / time;
    const tiled = group === 1 ? bias : { ...bias, shape: [group * time, time], data: repeat(bias.data, group) };
    if (!call.training || probability === 0) return reshape(attend(q, key, value, constant(tiled)), query.shape);
    const scale = 1 / Math.sqrt(Number(query.shape[3]));
    const weights = softmax(add(matmul(q, key, { transposeB: true, scale }), constant(tiled)));
    return reshape(matmul(dropout(weights, probability, call.at('weights')), value), query.shape);
  };
}

function repeat(data: Float32Array, times: number): Float32Array {
  const result = new Float32Array(data.length * times);
  for (let i = 0; i < times; i++) result.set(data, i * data.length);
  return result;
}

/** 0 where the bool tensor holds, a large negative number elsewhere. */
function biasOf(allowed: Tensor): Tensor {
  return mul(sub(cast(allowed, 'float32'), 1), -MASKED);
}

/** Among `time` positions, what each one sees: itself and those before it. */
function orderBias(time: Dimension): Tensor {
  const now = range(time);
  return biasOf(greaterEqual(reshape(now, [1, 1, time, 1]), reshape(now, [1, 1, 1, time])));
}

/** Scores with a bias per query and key, whose query rows repeat for each head of a group. */
function biased(scores: Tensor, bias: Tensor, time: Dimension): Tensor {
  const [batch = 1, kvHeads = 1, rows = 1, keys = 1] = scores.shape;
  if (rows === time) return add(scores, bias);
  const group: Dimension = typeof time === 'number' ? Number(rows) / time : Number(String(rows).split('*')[0]);
  const [biasBatch = 1, , biasRows = 1, biasKeys = 1] = bias.shape;
  const apart = reshape(scores, [batch, kvHeads, group, time, keys]);
  return reshape(add(apart, reshape(bias, [biasBatch, 1, 1, biasRows, biasKeys])), scores.shape);
}

/** What cached attention adds for later steps. */
export interface CachedRows {
  readonly key: Tensor;
  readonly value: Tensor;
}

/** Of the cached places those that are filled and, given a window, not too far before each new position. */
function seenBefore(at: Tensor, batch: Dimension, time: Dimension, capacity: Dimension, window: number): Tensor {
  const places = reshape(range(capacity), [1, 1, 1, capacity]);
  const filled = less(places, reshape(at, [batch, 1, 1, 1]));
  if (window < 0) return filled;
  const oldest = add(reshape(sub(at, window), [batch, 1, 1, 1]), reshape(range(time), [1, 1, time, 1]));
  return logicalAnd(filled, greaterEqual(places, oldest));
}

/** Among new positions, what each one sees: itself and those before it, `window` of them at most. */
function seenHere(time: Dimension, window: number): Tensor {
  if (window < 0 || (typeof time === 'number' && window >= time - 1)) return orderBias(time);
  const now = range(time);
  const [queries, keys] = [reshape(now, [1, 1, time, 1]), reshape(now, [1, 1, 1, time])];
  return biasOf(logicalAnd(greaterEqual(queries, keys), greaterEqual(keys, sub(queries, window))));
}

/**
 * Attention to rows cached before and to the rows given. Caches are `[batch, kvHeads, capacity, head]`, of which the
 * first `at` `[batch]` (int32) are filled; `rows` receives what is to be appended, layer by layer.
 * With a `window` a position sees that many before it and itself, as `windowed` has it; -1: all.
 * Nothing of the cache is copied: the two parts are scored apart and share one softmax.
 */
export function cached(caches: readonly CachedRows[], at: Tensor, rows: CachedRows[], window = -1): Attend {
  return (layer, query, key, value) => {
    const cache = caches[layer];
    if (cache === undefined) throw new Error(`no cache for layer ${layer}`);
    rows[layer] = { key, value };
    const [batch = 1, , time = 1] = query.shape;
    const capacity = cache.key.shape[2] ?? 1;
    const seen = biasOf(seenBefore(at, batch, time, capacity, window));
    const q = grouped(query, key.shape[1] ?? 1);
    const scale = 1 / Math.sqrt(Number(query.shape[3]));
    const past = matmul(q, cache.key, { transposeB: true, scale });
    const before = window < 0 ? add(past, seen) : biased(past, seen, time);
    const scores = matmul(q, key, { transposeB: true, scale });
    // A single new position sees itself.
    const here = time === 1 ? scores : biased(scores, seenHere(time, window), time);
    const [old, fresh] = splitSizes(softmax(concat([before, here], 3)), [capacity, time], 3);
    if (old === undefined || fresh === undefined) throw new Error('two parts were split');
    return reshape(add(matmul(old, cache.value), matmul(fresh, value)), query.shape);
  };
}

/**
 * Attention as exported decoders write it: past keys and values are joined with the new ones and given back whole.
 * `mask` int64 `[batch, past + time]` is 1 for tokens that exist.
 */
export function joined(past: readonly CachedRows[], mask: Tensor, present: CachedRows[]): Attend {
  return (layer, query, key, value) => {
    const before = past[layer];
    if (before === undefined) throw new Error(`no past for layer ${layer}`);
    const keys = concat([before.key, key], 2);
    const values = concat([before.value, value], 2);
    present[layer] = { key: keys, value: values };
    const time = query.shape[2] ?? 1;
    const total = keys.shape[2] ?? 1;
    const [batch = 1] = mask.shape;
    // Query i stands at past + i; the position of a key is its index.
    const positions = range(total);
    const [, here] = splitSizes(positions, [before.key.shape[2] ?? 1, time], 0);
    if (here === undefined) throw new Error('two parts were split');
    const order = greaterEqual(reshape(here, [1, 1, time, 1]), reshape(positions, [1, 1, 1, total]));
    const bias = mul(
      mul(sub(mul(cast(order, 'float32'), reshape(cast(mask, 'float32'), [batch, 1, 1, total])), 1), -1),
      MASKED,
    );
    const q = grouped(query, key.shape[1] ?? 1);
    const scale = 1 / Math.sqrt(Number(query.shape[3]));
    const scores = biased(matmul(q, keys, { transposeB: true, scale }), bias, time);
    return reshape(matmul(softmax(scores), values), query.shape as Shape);
  };
}
