/**
 * Attention layers with grouped queries (Ainslie et al., arXiv 2305.13245), optional rotary positions and optional norms
 * of queries and keys: over a sequence itself, or from one sequence over another.
 *
 * One layer serves training, cached decoding and export: what each query sees, and where keys and values come from, is
 * an argument, `attend`, that the caller chooses for the whole model. The causal ones are here, those of any mask or bias
 * in bidirectional.ts, those of a window in windowed.ts.
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
import {
  dropout,
  initLinear,
  initNorm,
  type LinearParameters,
  linear,
  type NormKind,
  type NormParameters,
  norm,
} from './layers.js';
import { biased, biasOf, grouped, MASKED } from './scores.js';

/** Parameters of an attention layer. */
export interface AttentionParameters<L = Tensor> {
  readonly query: LinearParameters<L>;
  readonly key: LinearParameters<L>;
  readonly value: LinearParameters<L>;
  readonly out: LinearParameters<L>;
  /** Norms over each head `[head]`, where the layer has them. */
  readonly queryNorm?: NormParameters<L>;
  readonly keyNorm?: NormParameters<L>;
}

/** How an attention layer is built. `kvHeads` divides `heads`; `head` is the width of one. */
export interface AttentionOptions {
  readonly width: number;
  /** Width of the rows that keys and values are made from (default `width`). */
  readonly source?: number;
  /** Norms every head of queries and keys before they turn and meet (arXiv 2010.04245, 2302.05442); absent: none. */
  readonly qkNorm?: NormKind;
  readonly heads: number;
  readonly kvHeads: number;
  readonly head: number;
  readonly bias: boolean;
  readonly deviation?: number;
  readonly outDeviation?: number;
}

/** Fresh parameters of an attention layer. */
export function initAttention(random: Random, options: AttentionOptions): AttentionParameters<NDArray> {
  const { width, heads, kvHeads, head, bias, deviation, outDeviation, qkNorm, source = width } = options;
  return {
    query: initLinear(random.child('query'), width, heads * head, { bias, deviation }),
    key: initLinear(random.child('key'), source, kvHeads * head, { bias, deviation }),
    value: initLinear(random.child('value'), source, kvHeads * head, { bias, deviation }),
    out: initLinear(random.child('out'), heads * head, width, { bias, deviation: outDeviation ?? deviation }),
    ...(qkNorm === undefined ? {} : { queryNorm: initNorm(qkNorm, head), keyNorm: initNorm(qkNorm, head) }),
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

/** How the heads of a projection are laid out and prepared. */
interface HeadsOptions {
  readonly batch: Dimension;
  readonly time: Dimension;
  readonly heads: number;
  readonly head: number;
  readonly qkNorm?: NormKind;
  readonly norm?: NormParameters;
  readonly rotary?: RotaryContext;
}

const QK_EPSILON = 1e-6;

/** `[batch * time, heads * head]` as `[batch, heads, time, head]`, normed and turned where that is asked for. */
function toHeads(projected: Tensor, options: HeadsOptions): Tensor {
  const { batch, time, heads, head, qkNorm, rotary: turn } = options;
  let x = projected;
  if (qkNorm !== undefined && options.norm !== undefined)
    x = norm(qkNorm, options.norm, reshape(x, [-1, head]), QK_EPSILON);
  if (turn !== undefined) {
    // Tables of fewer frequencies than half a head turn only its first dimensions.
    const partly = Number(turn.cosines.shape[1]) * 2 < head ? heads : undefined;
    x = rotary(reshape(x, [batch, time, heads * head]), turn.positions, turn.cosines, turn.sines, partly);
  }
  return transpose(reshape(x, [batch, time, heads, head]), [0, 2, 1, 3]);
}

/** `[batch, heads, time, head]` back as flat rows, through the last map. */
function fromHeads(out: LinearParameters, mixed: Tensor, rows: Dimension, options: AttentionOptions): Tensor {
  return linear(out, reshape(transpose(mixed, [0, 2, 1, 3]), [rows, options.heads * options.head]));
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
  const query = toHeads(linear(parameters.query, x), { ...options, norm: parameters.queryNorm });
  const { key, value } = keysAndValues(parameters, x, options, options.rotary);
  const mixed = options.attend(options.layer, query, key, value, call);
  return fromHeads(parameters.out, mixed, x.shape[0] ?? 1, options);
}

function keysAndValues(
  parameters: AttentionParameters,
  rows: Tensor,
  options: AttentionOptions & Pick<SelfAttentionOptions, 'batch' | 'time'>,
  turn?: RotaryContext,
): CachedRows {
  const form = { batch: options.batch, time: options.time, heads: options.kvHeads, head: options.head };
  const { qkNorm } = options;
  return {
    key: toHeads(linear(parameters.key, rows), { ...form, qkNorm, norm: parameters.keyNorm, rotary: turn }),
    value: toHeads(linear(parameters.value, rows), form),
  };
}

/**
 * Keys and values `[batch, kvHeads, sources, head]` that {@link crossAttention} reads, of `rows`
 * `[batch * sources, source]`. They are the same for every query: a decoder makes them once.
 */
export function sourceRows(
  parameters: AttentionParameters,
  rows: Tensor,
  options: AttentionOptions & { readonly batch: Dimension; readonly sources: Dimension },
): CachedRows {
  return keysAndValues(parameters, rows, { ...options, time: options.sources });
}

/**
 * Attention from `x` `[batch * time, width]` over the rows of another sequence, of any length and width
 * (Vaswani et al., arXiv 1706.03762, section 3.2.3). `source` is what {@link sourceRows} made of them.
 * @returns the shape of `x`.
 */
export function crossAttention(
  parameters: AttentionParameters,
  x: Tensor,
  source: CachedRows,
  options: Omit<SelfAttentionOptions, 'rotary'>,
  call: Call,
): Tensor {
  const { qkNorm, batch, time, heads, head } = options;
  const form = { batch, time, heads, head, qkNorm, norm: parameters.queryNorm };
  const query = toHeads(linear(parameters.query, x), form);
  const mixed = options.attend(options.layer, query, source.key, source.value, call);
  return fromHeads(parameters.out, mixed, x.shape[0] ?? 1, options);
}

/** 0 where query i may see key j (j <= i + offset), a large negative number elsewhere: `[queries, keys]`. */
export function causalBias(queries: number, keys: number, offset = keys - queries): NDArray<'float32'> {
  const data = new Float32Array(queries * keys);
  for (let i = 0; i < queries; i++) data.fill(MASKED, i * keys + Math.max(0, i + offset + 1), (i + 1) * keys);
  return { dtype: 'float32', shape: [queries, keys], data };
}

/** Full causal attention within the rows given, as training and evaluation use it; `dropout` acts on the weights. */
export function causal(time: number, probability = 0): Attend {
  return (_layer, query, key, value, call) => {
    const kvHeads = key.shape[1] ?? 1;
    const q = grouped(query, kvHeads);
    const bias = causalBias(time, time);
    const group = Number(q.shape[2]) / time;
    const tiled = group === 1 ? bias : { ...bias, shape: [group * time, time], data: repeat(bias.data, group) };
    const added = cast(constant(tiled), q.dtype);
    if (!call.training || probability === 0) return reshape(attend(q, key, value, added), query.shape);
    const scale = 1 / Math.sqrt(Number(query.shape[3]));
    const weights = softmax(add(matmul(q, key, { transposeB: true, scale }), added));
    return reshape(matmul(dropout(weights, probability, call.at('weights')), value), query.shape);
  };
}

function repeat(data: Float32Array, times: number): Float32Array {
  const result = new Float32Array(data.length * times);
  for (let i = 0; i < times; i++) result.set(data, i * data.length);
  return result;
}

/** Among `time` positions, what each one sees: itself and those before it. */
function orderBias(time: Dimension): Tensor {
  const now = range(time);
  return biasOf(greaterEqual(reshape(now, [1, 1, time, 1]), reshape(now, [1, 1, 1, time])));
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
