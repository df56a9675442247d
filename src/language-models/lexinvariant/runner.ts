/** A lexinvariant model opened for use: continuations under vectors that last as long as a row, and bits over draws. */

import { embedRows, keepRows, ordersAround, renameIds, unembedRows } from '../../embeddings/index.js';
import { type CachedModel, causalRunner, embed, frozen, openCachedDecoder, type Runner } from '../../nn/index.js';
import {
  type Arrays,
  type Draw,
  drawRows,
  gatherElements,
  mul,
  type Runtime,
  reshape,
  type Tensor,
} from '../../tensor/index.js';
import type { Tokenizer } from '../../tokenizers/index.js';
import {
  type LexinvariantParameters,
  lexinvariantForward,
  lexinvariantStates,
  sharedLogits,
  sharedTable,
} from './model.js';
import type { LexinvariantOptions } from './options.js';

/** What a row keeps: its table `[batch, vocabulary, width]`, or its order of the tokens without a learned vector. */
export interface RowVectors {
  readonly tables?: Tensor;
  readonly orders?: Tensor;
}

/** The draw of one row. A host of the exported program makes the same one from the same seed. */
export function rowDraw(options: LexinvariantOptions): Draw {
  const { vocabulary, width, embedStd, learned } = options;
  const size = vocabulary - learned.length;
  return options.form === 'tables'
    ? { path: 'vectors', verb: 'normal', shape: [vocabulary, width], numbers: [embedStd] }
    : { path: 'vectors', verb: 'permutation', shape: [size], numbers: [size] };
}

/** A lexinvariant model as decoding with caches sees it. */
export function cachedLexinvariant(
  options: LexinvariantOptions,
  parameters: LexinvariantParameters,
): CachedModel<RowVectors> {
  const { layers, width, vocabulary, learned } = options;
  const draw = rowDraw(options);
  const isTables = options.form === 'tables';
  const name = isTables ? 'tables' : 'orders';
  const vectors = (extra: RowVectors) => {
    if (extra.orders !== undefined) return { orders: ordersAround(extra.orders, vocabulary, learned) };
    if (extra.tables === undefined) throw new Error('a row has a table or an order');
    const own = parameters.learned;
    return { tables: own === undefined ? extra.tables : keepRows(extra.tables, learned, own.weight) };
  };
  return {
    ...options,
    weights: layers * width * width * 12,
    extra: {
      specs: { [name]: { dtype: isTables ? 'float32' : 'int32', shape: ['batch', ...draw.shape] } },
      values: (batch, seed) => ({ [name]: drawRows(draw, seed, batch) }),
    },
    hidden: (ids, { attend, positions }, extra, call) => {
      const [batch = 1, time = 1] = ids.shape;
      const { tables, orders } = vectors(extra);
      const embedded =
        orders === undefined
          ? embedRows(tables, ids)
          : embed(sharedTable(options, parameters), reshape(renameIds(orders, ids), [-1]));
      return lexinvariantStates(options, parameters, embedded, { attend, positions, batch, time }, call);
    },
    logits: (hidden, extra) => {
      const { tables, orders } = vectors(extra);
      if (orders !== undefined) {
        return gatherElements(sharedLogits(options, parameters, sharedTable(options, parameters), hidden), orders, 1);
      }
      return unembedRows(tables, mul(hidden, parameters.outputScale), 1, 1 / Math.sqrt(width));
    },
  };
}

/** Opens a model. Programs are compiled on first use. */
export async function openLexinvariantRunner(
  runtime: Runtime,
  options: LexinvariantOptions,
  weights: Arrays<LexinvariantParameters>,
  tokenizer: Tokenizer,
): Promise<Required<Runner>> {
  const { context, vocabulary, endOfText } = options;
  const parameters = frozen<LexinvariantParameters>(weights);
  return causalRunner(runtime, {
    coder: tokenizer,
    decoder: () => openCachedDecoder(runtime, cachedLexinvariant(options, parameters)),
    scored: {
      context,
      vocabulary,
      endOfText,
      draws: true,
      logits: (inputs, call) => lexinvariantForward(options, parameters, { inputs }, call),
    },
  });
}
