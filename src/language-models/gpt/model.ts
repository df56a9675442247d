/**
 * GPT: the decoder-only Transformer in its two common forms, the baseline beside which other architectures are put.
 *
 * - `llama` (Touvron et al., arXiv 2302.13971): pre-norm with RMS norm, rotary positions, SwiGLU, grouped queries, no biases.
 * - `gpt2` (Radford et al., 2019): pre-norm with layer norm, learned positions, GELU, biases, tied head.
 *
 * Weights are `[in, out]`. Fresh weights are normal with deviation 0.02; maps back to the residual stream are scaled
 * by 1 / sqrt(2 layers), as GPT-2 does.
 */

import { partialEmbedding } from '../../embeddings/index.js';
import {
  type Attend,
  type AttentionParameters,
  causal,
  dropout,
  embed,
  initAttention,
  initMlp,
  initNorm,
  type LinearParameters,
  type MlpParameters,
  mlp,
  type NormParameters,
  norm,
  rowPositions,
  scaledRotaryTables,
  selfAttention,
  unembed,
} from '../../nn/index.js';
import {
  type Arrays,
  add,
  type Call,
  cast,
  constant,
  type Dimension,
  matmul,
  type NDArray,
  type Random,
  reshape,
  slice,
  type Tensor,
} from '../../tensor/index.js';
import { type GptOptions, normKind } from './options.js';

/** Parameters of one block. */
export interface BlockParameters<L = Tensor> {
  readonly norm1: NormParameters<L>;
  readonly attention: AttentionParameters<L>;
  readonly norm2: NormParameters<L>;
  readonly mlp: MlpParameters<L>;
}

/** Parameters of a GPT. */
export interface GptParameters<L = Tensor> {
  readonly embedding: { readonly weight: L };
  /** Learned positions `[context, width]`, in the gpt2 style. */
  readonly positions?: { readonly weight: L };
  readonly blocks: readonly BlockParameters<L>[];
  readonly norm: NormParameters<L>;
  /** The head `[width, vocabulary]`, where it is not tied to the embedding. */
  readonly head?: Pick<LinearParameters<L>, 'weight'>;
}

/** What of a GPT turns embedded tokens into hidden states. */
export type GptBody<L = Tensor> = Pick<GptParameters<L>, 'positions' | 'blocks' | 'norm'>;

/** Fresh parameters. */
export function initGpt(options: GptOptions, random: Random): Arrays<GptParameters> {
  const parameters: GptParameters<NDArray> = {
    embedding: { weight: random.child('embedding').normal([options.vocabulary, options.width], DEVIATION) },
    ...(initGptBody(options, random) as GptBody<NDArray>),
    ...(options.tied
      ? {}
      : { head: { weight: random.child('head').normal([options.width, options.vocabulary], DEVIATION) } }),
  };
  return parameters as Arrays<GptParameters>;
}

const DEVIATION = 0.02;

/** Fresh parameters of a body alone, of another standard deviation where one is given. */
export function initGptBody(options: GptOptions, random: Random, deviation = DEVIATION): Arrays<GptBody> {
  const outDeviation = deviation / Math.sqrt(2 * options.layers);
  const kind = normKind(options);
  const blocks = Array.from({ length: options.layers }, (_, layer): BlockParameters<NDArray> => {
    const own = random.child('blocks').child(layer);
    return {
      norm1: initNorm(kind, options.width),
      attention: initAttention(own.child('attention'), { ...options, bias: kind === 'layer', deviation, outDeviation }),
      norm2: initNorm(kind, options.width),
      mlp: initMlp(own.child('mlp'), { ...options, bias: kind === 'layer', deviation, outDeviation }),
    };
  });
  const body: GptBody<NDArray> = {
    ...(options.style === 'gpt2'
      ? { positions: { weight: random.child('positions').normal([options.context, options.width], deviation) } }
      : {}),
    blocks,
    norm: initNorm(kind, options.width),
  };
  return body as Arrays<GptBody>;
}

/** Where tokens stand and how layers attend. */
export interface GptContext {
  readonly attend: Attend;
  /** int32 or int64 `[batch, time]`; absent: 0, 1, 2, ... in every row. */
  readonly positions?: Tensor;
}

/** The residual stream after the last norm: ids int32 or int64 `[batch, time]` to `[batch * time, width]`. */
export function hiddenStates(
  options: GptOptions,
  parameters: GptParameters,
  ids: Tensor,
  context: GptContext,
  call: Call,
): Tensor {
  const [batch = 1, time = 1] = ids.shape;
  const embedded = embed(parameters.embedding.weight, reshape(ids, [-1])); // [batch * time, width]
  return bodyStates(options, parameters, embedded, { ...context, batch, time }, call);
}

/** The residual stream after the last norm: embedded tokens `[batch * time, width]` to the same shape. */
export function bodyStates(
  options: GptOptions,
  parameters: GptBody,
  embedded: Tensor,
  context: GptContext & { readonly batch: Dimension; readonly time: Dimension },
  call: Call,
): Tensor {
  const kind = normKind(options);
  const { batch, time } = context;
  let x = embedded;
  const rows = x.shape;
  if (parameters.positions !== undefined) {
    const table = parameters.positions.weight;
    const apart = reshape(x, [batch, time, options.width]);
    const places = context.positions === undefined ? slice(table, 0, 0, Number(time)) : embed(table, context.positions);
    x = reshape(add(apart, places), rows);
  }
  x = dropout(x, options.dropout, call.at('embedding'));
  const rotary = options.style === 'llama' ? rotaryContext(options, context.positions, batch, time) : undefined;
  for (const [layer, block] of parameters.blocks.entries()) {
    const here = call.at('blocks').at(layer);
    const settings = { ...options, bias: kind === 'layer', layer, batch, time, rotary, attend: context.attend };
    x = here.block((stream: Tensor) => {
      const normal = norm(kind, block.norm1, stream, options.normEpsilon);
      const mixed = selfAttention(block.attention, normal, settings, here.at('attention'));
      const joined = add(stream, dropout(mixed, options.dropout, here.at('attention').at('residual')));
      const fed = mlp(block.mlp, norm(kind, block.norm2, joined, options.normEpsilon), options.activation);
      return add(joined, dropout(fed, options.dropout, here.at('mlp').at('residual')));
    })(x);
  }
  call.at('norm');
  return norm(kind, parameters.norm, x, options.normEpsilon);
}

/** Logits `[..., vocabulary]` of hidden states `[..., width]`. */
export function logitsOf(parameters: GptParameters, hidden: Tensor, call: Call): Tensor {
  call.at('head');
  return parameters.head === undefined
    ? unembed(parameters.embedding.weight, hidden)
    : matmul(hidden, parameters.head.weight);
}

/** Logits `[batch * time, vocabulary]` of `ids` int32 `[batch, time]`, every row starting at position 0, for training and evaluation. */
export function forward(options: GptOptions, parameters: GptParameters, ids: Tensor, call: Call): Tensor {
  const [batch = 1, time = 1] = [ids.shape[0], Number(ids.shape[1])];
  const attend = causal(time, options.dropout);
  if (call.training && (options.lexinvariance ?? 0) > 0) {
    const probability = options.lexinvariance ?? 0;
    const { embedded, logits } = partialEmbedding(parameters.embedding.weight, ids, { probability }, call);
    return logits(bodyStates(options, parameters, embedded, { attend, batch, time }, call));
  }
  return logitsOf(parameters, hiddenStates(options, parameters, ids, { attend }, call), call);
}

function rotaryContext(options: GptOptions, positions: Tensor | undefined, batch: Dimension, time: Dimension) {
  const { context, head, ropeTheta: theta, ropeScaling: scaling } = options;
  const { cosines, sines } = scaledRotaryTables(context, { turned: head, theta, scaling });
  const rows = positions === undefined ? rowPositions(batch, time) : cast(positions, 'int64');
  return { positions: rows, cosines: constant(cosines), sines: constant(sines) };
}
