/**
 * Attention in which any query may see any key: what it sees is a mask, how much it is drawn to it a bias.
 *
 * The products, the softmax and its gradient are those of causal attention. A query that sees no key gets zeros, and
 * sends no gradient.
 */

import {
  add,
  attention,
  type Call,
  cast,
  constant,
  type Dimension,
  greater,
  matmul,
  max,
  maximum,
  mul,
  type NDArray,
  reshape,
  type Shape,
  softmax,
  type Tensor,
  TesseraError,
  tanh,
} from '../tensor/index.js';
import type { Attend } from './attention.js';
import { dropout } from './layers.js';
import { biased, biasOf, grouped, MASKED } from './scores.js';

/** What a query sees and how its scores become weights. */
export interface BidirectionalOptions {
  /** True where a query may see a key: bool, broadcast to `[batch, heads, query, key]` (see masks.ts). */
  readonly mask?: Tensor;
  /** Added to the scores, broadcast in the same way (see relative-bias.ts); what is below -5e8 counts as not seen. */
  readonly bias?: Tensor;
  /** Probability that a weight is dropped while training. */
  readonly dropout?: number;
  /** Scores are kept within this bound by `cap * tanh(score / cap)` (Gemma 2, arXiv 2408.00118, section 2). */
  readonly softcap?: number;
  /** The factor of the scores (default `1 / sqrt(head)`). */
  readonly scale?: number;
}

/**
 * Attention over all keys that a mask leaves, in one softmax: bidirectional over a sequence itself, or over another one.
 * Heads may share keys and values.
 * @throws bad-option for a dropout outside [0, 1) or a softcap that is not above 0; bad-shape, while tracing, for a mask
 * or bias that does not broadcast to the scores.
 */
export function bidirectional(options: BidirectionalOptions = {}): Attend {
  const { dropout: probability = 0, softcap } = options;
  if (!(probability >= 0 && probability < 1))
    throw new TesseraError('bad-option', `A dropout is from 0 to below 1, not ${probability}.`);
  if (softcap !== undefined && !(softcap > 0))
    throw new TesseraError('bad-option', `A softcap is a number above 0, not ${softcap}.`);
  return (_layer, query, key, value, call) => {
    const [batch = 1, heads = 1, time = 1, head = 1] = query.shape;
    const { bias, seen } = additive(options, [batch, heads, time, key.shape[2] ?? 1], query);
    const q = grouped(query, key.shape[1] ?? 1);
    const scale = options.scale ?? 1 / Math.sqrt(Number(head));
    const plain = softcap === undefined && !(call.training && probability > 0);
    const fits = bias === undefined || key.shape[1] === heads || (bias.shape[1] === 1 && bias.shape[2] === 1);
    const mixed =
      plain && fits
        ? attention(q, key, value, bias, scale)
        : weighed(q, key, value, { bias, time, scale, softcap, probability }, call);
    const apart = reshape(mixed, [batch, heads, time, value.shape[3] ?? 1]);
    return seen === undefined ? apart : mul(apart, seen);
  };
}

interface WeighOptions {
  readonly bias: Tensor | undefined;
  readonly time: Dimension;
  readonly scale: number;
  readonly softcap: number | undefined;
  readonly probability: number;
}

function weighed(query: Tensor, key: Tensor, value: Tensor, options: WeighOptions, call: Call): Tensor {
  const { bias, time, scale, softcap, probability } = options;
  const raw = matmul(query, key, { transposeB: true, scale: softcap === undefined ? scale : scale / softcap });
  const scores = softcap === undefined ? raw : mul(tanh(raw), softcap);
  const weights = softmax(bias === undefined ? scores : biased(scores, bias, time));
  return matmul(dropout(weights, probability, call.at('weights')), value);
}

interface Additive {
  /** `[batch or 1, heads or 1, query or 1, key or 1]`. */
  readonly bias?: Tensor;
  /** 1 for queries that see a key, else 0, with a last axis of 1; absent when all do. */
  readonly seen?: Tensor;
}

/** Mask and bias as one bias. */
function additive({ mask, bias }: BidirectionalOptions, scores: Shape, query: Tensor): Additive {
  if (mask !== undefined && mask.dtype !== 'bool')
    throw new TesseraError('bad-shape', `An attention mask is bool, not ${mask.dtype}.`, {
      hint: 'True stands where a query may see a key; numbers to be added to the scores are a bias.',
    });
  const parts = [
    ...(mask === undefined ? [] : [maskBias(ranked(mask, scores, 'mask'), query)]),
    ...(bias === undefined ? [] : [finite(cast(ranked(bias, scores, 'bias'), query.dtype))]),
  ];
  const [first, second] = parts;
  if (first === undefined) return {};
  const whole = second === undefined ? first : add(first, second);
  const { value } = whole.node;
  if (value !== undefined && everyRowSees(value)) return { bias: whole };
  // A bias alone that is computed has to be looked at as well: it may be a mask that somebody made into numbers.
  return { bias: whole, seen: cast(greater(max(whole, -1, { keepDims: true }), MASKED / 2), query.dtype) };
}

/** `x` with four axes. @throws bad-shape when it does not broadcast to the scores. */
function ranked(x: Tensor, scores: Shape, name: string): Tensor {
  const shape = [...Array.from({ length: 4 - x.shape.length }, () => 1), ...x.shape];
  if (x.shape.length > 4 || shape.some((size, axis) => size !== 1 && size !== scores[axis])) {
    throw new TesseraError(
      'bad-shape',
      `An attention ${name} of [${x.shape.join(', ')}] does not broadcast to scores [${scores.join(', ')}].`,
      { hint: 'Scores are [batch, heads, query, key]; axes of size 1 repeat.' },
    );
  }
  return reshape(x, shape);
}

/** Known masks become known biases, of whatever size. */
function maskBias(mask: Tensor, query: Tensor): Tensor {
  const { value } = mask.node;
  if (value === undefined || query.dtype !== 'float32') return cast(biasOf(mask), query.dtype);
  const data = Float32Array.from(value.data as Uint8Array, (seen) => (seen === 0 ? MASKED : 0));
  return constant({ dtype: 'float32', shape: value.shape, data });
}

/** A bias without infinities, whose rows could not be told from each other in a softmax. */
function finite(bias: Tensor): Tensor {
  const { value } = bias.node;
  if (value?.data.every((x) => Number(x) >= MASKED) === true) return bias;
  return maximum(bias, MASKED);
}

function everyRowSees({ data, shape }: NDArray): boolean {
  const keys = shape.at(-1) ?? 1;
  for (let from = 0; from < data.length; from += keys) {
    let sees = false;
    for (let key = from; key < from + keys && !sees; key++) sees = Number(data[key]) > MASKED / 2;
    if (!sees) return false;
  }
  return true;
}
