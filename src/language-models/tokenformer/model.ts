/**
 * TokenFormer (Wang et al., "Rethinking Transformer Scaling with Tokenized Model Parameters", arXiv 2410.23168): a
 * decoder in which every linear map is an attention over parameter tokens, so that it grows by more rows.
 *
 * A block is `x + P_o(attention(P_q(y), P_k(y), P_v(y)))` and `x + P_ffn(y)` with `y` a layer norm of x without scale and
 * bias; the feed-forward block is one Pattention with no hidden layer around it. Rotary positions turn the first quarter
 * of each head. The embedding is tied to the output; only the norm before it has a scale and a bias.
 */

import {
  type Attend,
  causal,
  dropout,
  embed,
  initNorm,
  type NormParameters,
  norm,
  rowPositions,
  unembed,
} from '../../nn/index.js';
import {
  type Arrays,
  add,
  type Call,
  cast,
  constant,
  type Dimension,
  layerNorm,
  type NDArray,
  type Random,
  reshape,
  rotary,
  rotaryTables,
  type Tensor,
  transpose,
} from '../../tensor/index.js';
import { rotaryWidth, type TokenCounts, type TokenformerOptions } from './options.js';
import { initPattention, type PattentionParameters, pattention } from './pattention.js';

/** Parameters of one block. */
export interface TokenformerBlock<L = Tensor> {
  readonly attention: {
    readonly query: PattentionParameters<L>;
    readonly key: PattentionParameters<L>;
    readonly value: PattentionParameters<L>;
    readonly out: PattentionParameters<L>;
  };
  readonly ffn: PattentionParameters<L>;
}

/** Parameters of a TokenFormer. */
export interface TokenformerParameters<L = Tensor> {
  readonly embedding: { readonly weight: L };
  readonly blocks: readonly TokenformerBlock<L>[];
  readonly norm: NormParameters<L>;
}

/** The deviations of fresh keys (and embeddings) and of fresh values, as the published configurations have them. */
export function deviations({ layers, width }: Pick<TokenformerOptions, 'layers' | 'width'>) {
  return { key: 0.02, value: 2 / (layers * Math.sqrt(width)) };
}

/** Fresh parameters: keys and embeddings N(0, 0.02^2), values N(0, (2 / (layers sqrt(width)))^2). */
export function initTokenformer(options: TokenformerOptions, random: Random): Arrays<TokenformerParameters> {
  const { width } = options;
  const scales = deviations(options);
  const parameters: TokenformerParameters<NDArray> = {
    embedding: { weight: random.child('embedding').normal([options.vocabulary, width], scales.key) },
    blocks: Array.from({ length: options.layers }, (_, layer): TokenformerBlock<NDArray> => {
      const own = random.child('blocks').child(layer);
      const attention = own.child('attention');
      const layerOf = (draws: Random, tokens: number): PattentionParameters<NDArray> =>
        initPattention(draws, { tokens, inputs: width, outputs: width }, scales);
      return {
        attention: {
          query: layerOf(attention.child('query'), options.nQkv),
          key: layerOf(attention.child('key'), options.nQkv),
          value: layerOf(attention.child('value'), options.nQkv),
          out: layerOf(attention.child('out'), options.nO),
        },
        ffn: layerOf(own.child('ffn'), options.nFfn),
      };
    }),
    norm: initNorm('layer', width),
  };
  return parameters as Arrays<TokenformerParameters>;
}

/** Which count of {@link TokenCounts} a parameter's path has; undefined for what has no tokens. */
export function tokenKindOf(path: string): keyof TokenCounts | undefined {
  const [, layer] = /^blocks\.\d+\.(?:attention\.(query|key|value|out)|ffn)\.(?:key|value)$/.exec(path) ?? [];
  if (layer === 'out') return 'nO';
  if (layer !== undefined) return 'nQkv';
  return /^blocks\.\d+\.ffn\./.test(path) ? 'nFfn' : undefined;
}

/** Where tokens stand and how layers attend. */
export interface TokenformerContext {
  readonly attend: Attend;
  /** int32 or int64 `[batch, time]`; absent: 0, 1, 2, ... in every row. */
  readonly positions?: Tensor;
}

/** The residual stream after the last norm: ids int32 or int64 `[batch, time]` to `[batch * time, width]`. */
export function tokenformerHidden(
  options: TokenformerOptions,
  parameters: TokenformerParameters,
  ids: Tensor,
  context: TokenformerContext,
  call: Call,
): Tensor {
  const [batch = 1, time = 1] = ids.shape;
  const { width, heads, kind, epsilon, tau } = options;
  const ones = constant({ dtype: 'float32', shape: [width], data: new Float32Array(width).fill(1) });
  const plain = (x: Tensor): Tensor => layerNorm(x, ones, undefined, options.normEpsilon);
  const apply = (tokens: PattentionParameters, x: Tensor, tauTokens: number): Tensor =>
    pattention(tokens, x, { kind, epsilon, tauTokens });
  const apart = headsOf(options, context.positions, batch, time);
  let x = embed(parameters.embedding.weight, reshape(ids, [-1])); // [batch * time, width]
  const rows = x.shape[0] ?? 1;
  x = dropout(x, options.dropout, call.at('embedding'));
  for (const [layer, { attention, ffn }] of parameters.blocks.entries()) {
    const here = call.at('blocks').at(layer);
    x = here.block((stream: Tensor) => {
      const y = plain(stream);
      const query = apart(apply(attention.query, y, tau.nQkv), true); // [batch, heads, time, head]
      const key = apart(apply(attention.key, y, tau.nQkv), true);
      const value = apart(apply(attention.value, y, tau.nQkv), false);
      const mixed = transpose(context.attend(layer, query, key, value, here.at('attention')), [0, 2, 1, 3]);
      const flat = apply(attention.out, reshape(mixed, [rows, heads * (width / heads)]), tau.nO);
      const joined = add(stream, dropout(flat, options.dropout, here.at('attention').at('residual')));
      const fed = apply(ffn, plain(joined), tau.nFfn);
      return add(joined, dropout(fed, options.dropout, here.at('ffn').at('residual')));
    })(x);
  }
  call.at('norm');
  return norm('layer', parameters.norm, x, options.normEpsilon);
}

/** Projected rows `[batch * time, width]` as heads `[batch, heads, time, head]`, turned by their positions where asked. */
function headsOf(options: TokenformerOptions, positions: Tensor | undefined, batch: Dimension, time: Dimension) {
  const { width, heads, context, ropeTheta } = options;
  const turning = rotaryWidth(options);
  const { cosines, sines } = rotaryTables(context, Math.max(2, turning), ropeTheta);
  const tables = [constant(cosines), constant(sines)] as const;
  const places = positions === undefined ? rowPositions(batch, time) : cast(positions, 'int64');
  return (projected: Tensor, turned: boolean): Tensor => {
    const flat = reshape(projected, [batch, time, width]);
    const spun = turned && turning > 0 ? rotary(flat, places, ...tables, heads) : flat;
    return transpose(reshape(spun, [batch, time, heads, width / heads]), [0, 2, 1, 3]);
  };
}

/** Logits `[..., vocabulary]` of hidden states `[..., width]`. */
export function tokenformerLogits(parameters: TokenformerParameters, hidden: Tensor, call: Call): Tensor {
  call.at('head');
  return unembed(parameters.embedding.weight, hidden);
}

/** Logits `[batch * time, vocabulary]` of `ids` int32 `[batch, time]`, every row starting at position 0. */
export function tokenformerForward(
  options: TokenformerOptions,
  parameters: TokenformerParameters,
  ids: Tensor,
  call: Call,
): Tensor {
  const attend = causal(Number(ids.shape[1]), options.dropout);
  return tokenformerLogits(parameters, tokenformerHidden(options, parameters, ids, { attend }, call), call);
}
