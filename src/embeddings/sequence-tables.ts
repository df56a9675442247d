/**
 * Vectors of tokens that are a sequence's own (Huang et al., "Lexinvariant Language Models", arXiv 2305.16349): for each
 * row of a batch every token gets a fresh Gaussian vector, so that nothing but its pattern of use says what it means.
 *
 * Two forms with the same law of training signals, up to the finite table of the second:
 * - tables: `[rows, vocabulary, width]` numbers drawn at each step;
 * - permutations: one fixed random table and, for each row, another order of the vocabulary.
 */

import { embed } from '../nn/index.js';
import {
  add,
  broadcastTo,
  type Call,
  concat,
  constant,
  type Dimension,
  expandDims,
  gather,
  gatherElements,
  matmul,
  mul,
  type NDArray,
  random,
  range,
  reshape,
  type Tensor,
  TesseraError,
} from '../tensor/index.js';

/**
 * The largest vocabulary for which tables are the default. The tables of a batch are rows x vocabulary x width numbers,
 * drawn anew at every step: at 512 tokens, 32 rows and width 256 that is 17 MB and a fifth of a second of drawing on one
 * core; at 32,000 tokens it would be 1 GB and eleven seconds, where the permutation form needs one table of 33 MB and,
 * for the orders of the rows, a tenth of a second.
 */
export const LARGEST_TABLE = 512;

/** Which vectors are drawn. */
export interface SequenceTables {
  /** Sequences: each has vectors of its own. */
  readonly rows: number;
  readonly vocabulary: number;
  readonly width: number;
  /** Standard deviation of an entry (default 1). */
  readonly deviation?: number;
}

/** The draws of training and those of evaluation have names of their own, so that no table is ever seen in both. */
export function drawsOf(call: Call): Call {
  return call.at(call.training ? 'training' : 'evaluation');
}

/** Fresh vectors `[rows, vocabulary, width]`, drawn at each run; no gradient flows into them. */
export function drawTables({ rows, vocabulary, width, deviation = 1 }: SequenceTables, call: Call): Tensor {
  return drawsOf(call).random.normal([rows, vocabulary, width], deviation);
}

/**
 * A fresh order of the vocabulary for each row, int32 `[rows, vocabulary]`: token v stands for row `order[v]` of a table.
 * Tokens in `kept` stand for themselves.
 */
export function drawOrders(
  options: { readonly rows: number; readonly vocabulary: number; readonly kept?: readonly number[] },
  call: Call,
): Tensor {
  const { rows, vocabulary, kept = [] } = options;
  const here = drawsOf(call);
  const size = vocabulary - kept.length;
  const orders = Array.from({ length: rows }, (_, row) => reshape(here.at(row).random.permutation(size), [1, size]));
  return ordersAround(concat(orders, 0), vocabulary, kept);
}

/** Orders `[rows, vocabulary - kept]` of the tokens that are not kept, as orders `[rows, vocabulary]` of all. */
export function ordersAround(orders: Tensor, vocabulary: number, kept: readonly number[]): Tensor {
  if (kept.length === 0) return orders;
  const { others, places } = ordinary(vocabulary, kept);
  const [rows = 1] = orders.shape;
  const moved = gather(constant(ids(others)), orders);
  const still = broadcastTo(reshape(constant(ids(kept)), [1, kept.length]), [rows, kept.length]);
  return gather(concat([moved, still], 1), constant(ids(places)), 1);
}

/** The tokens that are not kept, and for each token its place in the list of those, followed by the kept ones. */
function ordinary(vocabulary: number, kept: readonly number[]) {
  const places = new Array<number>(vocabulary).fill(-1);
  for (const [index, id] of kept.entries()) {
    if (!Number.isInteger(id) || id < 0 || id >= vocabulary || places[id] !== -1) {
      throw new TesseraError(
        'bad-option',
        `The kept token ${id} is not one of a vocabulary of ${vocabulary}, or is named twice.`,
      );
    }
    places[id] = vocabulary - kept.length + index;
  }
  const others: number[] = [];
  for (let id = 0; id < vocabulary; id++) {
    if (places[id] !== -1) continue;
    places[id] = others.length;
    others.push(id);
  }
  return { others, places };
}

function ids(values: readonly number[]): NDArray<'int32'> {
  return { dtype: 'int32', shape: [values.length], data: Int32Array.from(values) };
}

/**
 * The one table `[vocabulary, width]` of the permutation form, a pure function of its seed. A larger vocabulary has the
 * rows of a smaller one first.
 */
export function fixedTable(options: {
  readonly seed: number;
  readonly vocabulary: number;
  readonly width: number;
  readonly deviation?: number;
}): NDArray<'float32'> {
  const { seed, vocabulary, width, deviation = 1 } = options;
  return random(seed).child('lexinvariant').child('table').normal([vocabulary, width], deviation);
}

/** Ids int32 `[rows, time]` renamed by each row's own order `[rows, vocabulary]`. */
export function renameIds(orders: Tensor, ids: Tensor): Tensor {
  return gatherElements(orders, ids, 1);
}

/** The vectors of ids int32 `[rows, time]` from each row's own table `[rows, vocabulary, width]`: `[rows * time, width]`. */
export function embedRows(tables: Tensor, ids: Tensor): Tensor {
  const [rows = 1, vocabulary = 1, width = 1] = tables.shape;
  const own = mul(reshape(range(rows), [rows, 1]), Number(vocabulary));
  return embed(reshape(tables, [-1, width]), reshape(add(ids, own), [-1]));
}

/**
 * Logits `[rows * time, vocabulary]` of hidden states `[rows * time, width]` against each row's own table:
 * `scale * <hidden, vector>`.
 */
export function unembedRows(tables: Tensor, hidden: Tensor, time: Dimension, scale = 1): Tensor {
  const [rows = 1, vocabulary = 1, width = 1] = tables.shape;
  const apart = reshape(hidden, [rows, time, width]);
  return reshape(matmul(apart, tables, { transposeB: true, scale }), [-1, vocabulary]);
}

/** `tables` with the vectors of the tokens `kept` taken from learned rows `[kept, width]`, the same in every row. */
export function keepRows(tables: Tensor, kept: readonly number[], learned: Tensor): Tensor {
  const [, vocabulary = 1] = tables.shape;
  const size = Number(vocabulary);
  const places = new Float32Array(size * kept.length);
  const drawn = new Float32Array(size).fill(1);
  for (const [index, id] of kept.entries()) {
    places[id * kept.length + index] = 1;
    drawn[id] = 0;
  }
  const placed = matmul(constant({ dtype: 'float32', shape: [size, kept.length], data: places }), learned);
  return add(mul(tables, constant({ dtype: 'float32', shape: [1, size, 1], data: drawn })), expandDims(placed, 0));
}
