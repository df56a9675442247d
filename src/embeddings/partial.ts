/**
 * Partial lexinvariance, the regularizer of arXiv 2305.16349 (section 5): learned vectors of which, in each sequence,
 * every token's is replaced by a random one with a small probability, so that a model does not lean on names alone.
 */

import { embed, unembed } from '../nn/index.js';
import {
  type Call,
  constant,
  expandDims,
  gather,
  mean,
  mul,
  reshape,
  sqrt,
  square,
  stopGradient,
  type Tensor,
  TesseraError,
  where,
} from '../tensor/index.js';
import {
  drawOrders,
  drawsOf,
  drawTables,
  embedRows,
  fixedTable,
  LARGEST_TABLE,
  unembedRows,
} from './sequence-tables.js';

/** How much of a vocabulary is replaced. */
export interface PartialLexinvariance {
  /** The probability that a token's vector is replaced in a sequence; the paper's value is 0.2. */
  readonly probability: number;
  /**
   * Standard deviation of the random vectors' entries. The paper does not say how long they are: by default they have
   * the root mean square of the learned entries, taken as a constant, so that they neither drown nor vanish beside them.
   */
  readonly deviation?: number;
}

/**
 * Each row's own vectors `[rows, vocabulary, width]`: learned ones `[vocabulary, width]` with some replaced. The random
 * vectors are drawn; in a vocabulary above {@link LARGEST_TABLE} they are rows of one fixed table in another order for
 * each row, which spares the drawing.
 */
export function partialTables(
  learned: Tensor,
  { rows, probability, deviation }: PartialLexinvariance & { readonly rows: number },
  call: Call,
): Tensor {
  const [vocabulary, width] = [Number(learned.shape[0]), Number(learned.shape[1])];
  const fresh =
    vocabulary <= LARGEST_TABLE
      ? drawTables({ rows, vocabulary, width }, call)
      : gather(constant(fixedTable({ seed: 0, vocabulary, width })), drawOrders({ rows, vocabulary }, call));
  const length = deviation ?? stopGradient(sqrt(mean(square(learned))));
  const replaced = drawsOf(call).random.bernoulli([rows, vocabulary, 1], probability);
  return where(replaced, mul(fresh, length), expandDims(learned, 0));
}

/** A table for input and output, as a model with a tied embedding uses it. */
export interface TiedEmbedding {
  /** The vectors of the ids, `[batch * time, width]`. */
  readonly embedded: Tensor;
  /** Logits `[batch * time, vocabulary]` of hidden states `[batch * time, width]`. */
  logits(hidden: Tensor): Tensor;
}

/**
 * The tied embedding of ids int32 `[batch, time]`, partly lexinvariant while training: one draw serves input and output.
 * Outside training, and with the probability 0, it is the plain one, operation by operation.
 * @throws bad-option for a probability that is none.
 */
export function partialEmbedding(
  learned: Tensor,
  ids: Tensor,
  options: PartialLexinvariance,
  call: Call,
): TiedEmbedding {
  checkProbability(options.probability);
  if (!call.training || options.probability === 0) {
    return { embedded: embed(learned, reshape(ids, [-1])), logits: (hidden) => unembed(learned, hidden) };
  }
  const [rows = 1, time = 1] = ids.shape;
  const tables = partialTables(learned, { ...options, rows: Number(rows) }, call.at('vectors'));
  return { embedded: embedRows(tables, ids), logits: (hidden) => unembedRows(tables, hidden, time) };
}

/** @throws bad-option for what is not from 0 to 1. */
export function checkProbability(probability: number): void {
  if (probability >= 0 && probability <= 1) return;
  throw new TesseraError('bad-option', `The probability of a random vector must be from 0 to 1, not ${probability}.`);
}
