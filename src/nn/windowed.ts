/**
 * Causal attention within a window of earlier positions, at a cost that grows with length * window.
 *
 * The window is counted as FlashAttention and Mistral (Jiang et al., arXiv 2310.06825) count it on the left: a query at i
 * sees the keys i - window to i. Positions are cut into blocks (Beltagy et al., arXiv 2004.05150, section 3.1), so that the
 * queries of a block find all their keys in their own block and those before it that make up a window; the first window of
 * positions is attended on its own. Decoding is `cached` of attention.ts, which takes a window.
 *
 * Measured on one core for 4 heads of 64, gradients included, at 2,048 and 8,192 positions: 29 and 104 ms for a window of 128,
 * 74 and 390 ms for 1,023, 138 and 3,304 ms for full causal attention.
 */

import {
  add,
  attention,
  broadcastTo,
  type Call,
  concat,
  constant,
  type Dimension,
  matmul,
  type NDArray,
  reshape,
  slice,
  softmax,
  type Tensor,
  TesseraError,
  transpose,
  zeros,
} from '../tensor/index.js';
import { type Attend, causal } from './attention.js';
import { dropout } from './layers.js';
import { MASKED } from './scores.js';

/** Shorter blocks are not worth their products, longer ones see too much beside the window. */
const BLOCK = { least: 64, most: 256 };

/** How many blocks make up a window, and their length in whole sixteens, which suit the kernels. */
function blocksOf(window: number): { readonly back: number; readonly block: number } {
  const back = Math.max(1, Math.ceil(window / BLOCK.most));
  return { back, block: Math.max(BLOCK.least, 16 * Math.ceil(window / back / 16)) };
}

/**
 * Causal attention of whole rows of `time` positions in which each one sees itself and the `window` before it; `dropout`
 * acts on the weights. Any number of heads may share keys and values.
 * @throws bad-option when the window is no whole number from 0.
 */
export function windowed(time: number, window: number, probability = 0): Attend {
  if (!Number.isInteger(window) || window < 0) {
    throw new TesseraError('bad-option', `An attention window is a whole number from 0, not ${window}.`);
  }
  if (window >= time - 1) return causal(time, probability);
  const { back, block } = blocksOf(window);
  const blocks = Math.max(back, Math.ceil(time / block));
  return (_layer, query, key, value, call) => {
    const weigh = weighed(call, probability);
    const [batch = 1, heads = 1, , head = 1] = query.shape;
    const group = Number(heads) / Number(key.shape[1] ?? 1);
    const [keys, values] = [inBlocks(key, blocks, block), inBlocks(value, blocks, block)];
    const part = (x: Tensor, from: number, to: number) => slice(x, 1, from, to);
    /** Queries of a group are more rows of its keys: `[batch * kvHeads, blocks, group * block, head]`. */
    const rows = (x: Tensor, count: number, length: number): Tensor =>
      reshape(transpose(reshape(x, [-1, group, count, length, head]), [0, 2, 1, 3, 4]), [
        -1,
        count,
        group * length,
        head,
      ]);
    const reach = back * block;
    const queries = inBlocks(query, blocks, block);
    const whole = (x: Tensor) => reshape(part(x, 0, back), [-1, 1, reach, head]);
    const first = weigh(rows(whole(queries), 1, reach), whole(keys), whole(values), band(reach, window, group, 0));
    const parts = [apart(first, group, 1, reach)];
    if (blocks > back) {
      /** Each block behind those that it may see. */
      const seen = (x: Tensor) =>
        concat(
          Array.from({ length: back + 1 }, (_, at) => part(x, at, blocks - back + at)),
          2,
        );
      const count = blocks - back;
      const rest = rows(part(queries, back, blocks), count, block);
      parts.push(apart(weigh(rest, seen(keys), seen(values), band(block, window, group, reach)), group, count, block));
    }
    const flat = reshape(concat(parts, 1), [batch, heads, blocks * block, head]);
    return slice(flat, 2, 0, time);
  };
}

/** Back to rows of single query heads: `[batch * heads, count * length, head]`. */
function apart(x: Tensor, group: number, count: number, length: number): Tensor {
  const head = x.shape[3] ?? 1;
  const turned = transpose(reshape(x, [-1, count, group, length, head]), [0, 2, 1, 3, 4]);
  return reshape(turned, [-1, count * length, head]);
}

/** `[batch, heads, time, head]` as `[batch * heads, blocks, block, head]`, with zeros behind the last position. */
function inBlocks(x: Tensor, blocks: number, block: number): Tensor {
  const [batch = 1, heads = 1, time = 1, head = 1] = x.shape;
  const extra = blocks * block - Number(time);
  const shape: readonly Dimension[] = [batch, heads, extra, head];
  const padded = extra === 0 ? x : concat([x, broadcastTo(constant(0, x.dtype), shape)], 2);
  return reshape(padded, [-1, blocks, block, head]);
}

/**
 * 0 where a query of a block sees a key of the `before` positions ahead of the block or of the block itself, a large
 * negative number elsewhere; repeated for each query head of a group: `[group * block, before + block]`.
 */
function band(block: number, window: number, group: number, before: number): Tensor {
  const width = before + block;
  const bias: NDArray<'float32'> = zeros([group * block, width]);
  bias.data.fill(MASKED);
  for (let row = 0; row < group * block; row++) {
    const place = before + (row % block);
    bias.data.fill(0, row * width + Math.max(0, place - window), row * width + place + 1);
  }
  return constant(bias);
}

type Weigh = (query: Tensor, key: Tensor, value: Tensor, bias: Tensor) => Tensor;

/** Softmax attention, with dropout on its weights while training; parts draw under names of their own. */
function weighed(call: Call, probability: number): Weigh {
  if (!call.training || probability === 0) return attention;
  let part = 0;
  return (query, key, value, bias) => {
    const scale = 1 / Math.sqrt(Number(query.shape[3]));
    const weights = softmax(add(matmul(query, key, { transposeB: true, scale }), bias));
    return matmul(dropout(weights, probability, call.at('weights').at(part++)), value);
  };
}
