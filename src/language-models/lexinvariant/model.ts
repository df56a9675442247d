/**
 * Lexinvariant language models (Huang, Wang, Zhang, Xie, Liang, Hashimoto, "Lexinvariant Language Models",
 * arXiv 2305.16349): p(pi(x)) = p(x) for every permutation pi of the vocabulary.
 *
 * Each sequence draws a table E of Gaussian vectors. A token goes in as `inputScale * E[token]` and the logit of a
 * token is `outputScale * <h, E[token]> / sqrt(width)`: one table for both sides, since a learned head would break the
 * invariance. Nothing with the vocabulary's size is learned, so the vocabulary can be another one at inference.
 *
 * The body is a decoder in the llama style: rotary positions act on queries and keys only, so that no position vector is
 * added to, or drowned by, the random ones. Beside what the paper has stands one learned vector that is added to every
 * embedded token (option `offset`; see options.ts).
 *
 * Left out: drawing only the rows of tokens that occur, plus a sample. The likelihood is a softmax over all rows, so a
 * sample would train another loss; the permutation form is exact and needs no more than one table.
 */

import {
  drawOrders,
  drawTables,
  embedRows,
  fixedTable,
  keepRows,
  renameIds,
  unembedRows,
} from '../../embeddings/index.js';
import { causal, crossEntropy, embed, type Objective, type TokenBatch, unembed } from '../../nn/index.js';
import {
  type Arrays,
  add,
  type Call,
  constant,
  type Dimension,
  gather,
  less,
  maximum,
  mul,
  type NDArray,
  type Random,
  reshape,
  type Tensor,
  where,
} from '../../tensor/index.js';
import { bodyStates, type GptBody, type GptContext, initGptBody } from '../gpt/model.js';
import { bodyOptions, type LexinvariantOptions } from './options.js';

/** Parameters of a lexinvariant model: the body, two scalars, and what the options ask for. */
export interface LexinvariantParameters<L = Tensor> extends GptBody<L> {
  /** What embedded tokens are multiplied with, `[1]`. */
  readonly inputScale: L;
  /** What logits are multiplied with, `[1]`. */
  readonly outputScale: L;
  /** Added to every embedded token, `[width]`. */
  readonly offset?: L;
  /** Vectors of the tokens that keep theirs, `[learned, width]`. */
  readonly learned?: { readonly weight: L };
}

/** A batch; `relabeled` says that ids are already renamed by row, so that one table serves all rows. */
export interface LexinvariantBatch extends TokenBatch {
  readonly relabeled?: boolean;
}

/** Fresh parameters. */
export function initLexinvariant(options: LexinvariantOptions, random: Random): Arrays<LexinvariantParameters> {
  const { width, learned, embedStd } = options;
  const one = (value: number): NDArray => ({ dtype: 'float32', shape: [1], data: Float32Array.of(value) });
  const body: GptBody<NDArray> = initGptBody(bodyOptions(options), random, options.deviation) as GptBody<NDArray>;
  const parameters: LexinvariantParameters<NDArray> = {
    inputScale: one(options.inputScale),
    outputScale: one(1),
    ...(options.offset ? { offset: random.child('offset').normal([width], options.inputScale * embedStd) } : {}),
    ...(learned.length === 0
      ? {}
      : { learned: { weight: random.child('learned').normal([learned.length, width], embedStd) } }),
    ...body,
  };
  return parameters as Arrays<LexinvariantParameters>;
}

/** Where the draws of a model stand. */
const VECTORS = 'vectors';

/** The tables `[rows, vocabulary, width]` of as many sequences, drawn at each run. */
export function lexinvariantTables(
  options: LexinvariantOptions,
  parameters: LexinvariantParameters,
  rows: number,
  call: Call,
): Tensor {
  const { vocabulary, width, learned, embedStd } = options;
  const here = call.at(VECTORS);
  if (options.form === 'permutation') {
    return gather(sharedTable(options, parameters), drawOrders({ rows, vocabulary, kept: learned }, here));
  }
  const tables = drawTables({ rows, vocabulary, width, deviation: embedStd }, here);
  return parameters.learned === undefined ? tables : keepRows(tables, learned, parameters.learned.weight);
}

/** The permutation form's table `[vocabulary, width]`, the same for all sequences. */
export function sharedTable(options: LexinvariantOptions, parameters: LexinvariantParameters): Tensor {
  const { vocabulary, width, embedStd, tableSeed, learned } = options;
  const table = constant(fixedTable({ seed: tableSeed, vocabulary, width, deviation: embedStd }));
  if (parameters.learned === undefined) return table;
  const mixed = keepRows(reshape(table, [1, vocabulary, width]), learned, parameters.learned.weight);
  return reshape(mixed, [vocabulary, width]);
}

/** Embedded tokens `[batch * time, width]`, as drawn, to hidden states of the same shape. */
export function lexinvariantStates(
  options: LexinvariantOptions,
  parameters: LexinvariantParameters,
  vectors: Tensor,
  context: GptContext & { readonly batch: Dimension; readonly time: Dimension },
  call: Call,
): Tensor {
  const scaled = mul(vectors, parameters.inputScale);
  const embedded = parameters.offset === undefined ? scaled : add(scaled, parameters.offset);
  return bodyStates(bodyOptions(options), parameters, embedded, context, call);
}

/** Hidden states and logits `[batch * time, vocabulary]` of ids int32 `[batch, time]` under given tables `[batch, vocabulary, width]`. */
export function lexinvariantUnder(
  options: LexinvariantOptions,
  parameters: LexinvariantParameters,
  ids: Tensor,
  tables: Tensor,
  call: Call,
): { readonly hidden: Tensor; readonly logits: Tensor } {
  const [batch = 1, time = 1] = ids.shape;
  const context = { attend: causal(Number(time), options.dropout), batch, time };
  const hidden = lexinvariantStates(options, parameters, embedRows(tables, ids), context, call);
  const scale = 1 / Math.sqrt(options.width);
  return { hidden, logits: unembedRows(tables, mul(hidden, parameters.outputScale), time, scale) };
}

/**
 * Logits `[batch * time, vocabulary]` of a batch, every row a sequence with vectors of its own. The columns are the
 * batch's own ids, also in the permutation form.
 */
export function lexinvariantForward(
  options: LexinvariantOptions,
  parameters: LexinvariantParameters,
  { inputs, relabeled = false }: Pick<LexinvariantBatch, 'inputs' | 'relabeled'>,
  call: Call,
): Tensor {
  const [batch = 1, time = 1] = inputs.shape;
  if (!relabeled) {
    const tables = lexinvariantTables(options, parameters, Number(batch), call);
    return lexinvariantUnder(options, parameters, inputs, tables, call).logits;
  }
  const table = sharedTable(options, parameters);
  const context = { attend: causal(Number(time), options.dropout), batch, time };
  const hidden = lexinvariantStates(options, parameters, embed(table, reshape(inputs, [-1])), context, call);
  return sharedLogits(options, parameters, table, hidden);
}

/** Logits `[..., vocabulary]` of hidden states against one table for all rows. */
export function sharedLogits(
  { width }: LexinvariantOptions,
  { outputScale }: LexinvariantParameters,
  table: Tensor,
  hidden: Tensor,
): Tensor {
  return unembed(table, mul(hidden, mul(outputScale, 1 / Math.sqrt(width))));
}

/**
 * Next-token prediction. In the permutation form inputs and targets are renamed by the same order, so that one product
 * with one table gives the logits of all rows. Targets below 0 are not counted.
 */
export function lexinvariantObjective(
  options: LexinvariantOptions,
  counted: { readonly ignoreIndex?: number } = {},
): Objective<LexinvariantBatch, Tensor> {
  const { vocabulary, learned, form } = options;
  return {
    loss: (model, _own, batch, call) => {
      if (form === 'tables') return crossEntropy(model(batch, call), batch.targets, counted);
      const rows = Number(batch.inputs.shape[0]);
      const orders = drawOrders({ rows, vocabulary, kept: learned }, call.at(VECTORS));
      const { targets } = batch;
      const renamed = renameIds(orders, maximum(targets, 0));
      const logits = model({ inputs: renameIds(orders, batch.inputs), targets: renamed, relabeled: true }, call);
      const sought = counted.ignoreIndex === undefined ? renamed : where(less(targets, 0), targets, renamed);
      return crossEntropy(logits, sought, counted);
    },
  };
}
