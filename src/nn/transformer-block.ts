/**
 * A Transformer block (Vaswani et al., arXiv 1706.03762): self-attention, cross attention where it reads another sequence,
 * and a feed-forward part, each with its norm before it (Xiong et al., arXiv 2002.04745) or after the addition. What the
 * block sees, and so whether it encodes or decodes, is the caller's choice of `attend`.
 */

import { add, type Call, type Dimension, type NDArray, type Random, type Tensor } from '../tensor/index.js';
import {
  type Attend,
  type AttentionOptions,
  type AttentionParameters,
  type CachedRows,
  crossAttention,
  initAttention,
  type RotaryContext,
  selfAttention,
} from './attention.js';
import {
  type Activation,
  dropout,
  initMlp,
  initNorm,
  type MlpParameters,
  mlp,
  type NormKind,
  type NormParameters,
  norm,
} from './layers.js';

/** How a block is built. */
export interface TransformerBlockOptions {
  readonly width: number;
  readonly heads: number;
  /** Default `heads`. */
  readonly kvHeads?: number;
  /** Default `width / heads`. */
  readonly head?: number;
  /** Width between the two maps of the feed-forward part (default `4 * width`). */
  readonly hidden?: number;
  /** Default `gelu`. */
  readonly activation?: Activation;
  /** Default `layer`. */
  readonly norm?: NormKind;
  /** `pre` (default): x + f(norm(x)). `post`: norm(x + f(x)). */
  readonly placement?: 'pre' | 'post';
  /** Whether linear maps have biases (default true). */
  readonly bias?: boolean;
  /** Probability of dropout before each addition (default 0); that of attention weights is part of `attend`. */
  readonly dropout?: number;
  /** Default 1e-5. */
  readonly epsilon?: number;
  /** Norms of queries and keys; absent: none. */
  readonly qkNorm?: NormKind;
  /** Width of the rows that cross attention reads; absent: the block has none. */
  readonly source?: number;
  /** Standard deviation of fresh weights (default 0.02), and of maps back to the residual stream (default the same). */
  readonly deviation?: number;
  readonly outDeviation?: number;
}

/** Parameters of a block; `norm2` and `cross` only where it reads another sequence. */
export interface TransformerBlockParameters<L = Tensor> {
  readonly norm1: NormParameters<L>;
  readonly attention: AttentionParameters<L>;
  readonly norm2?: NormParameters<L>;
  readonly cross?: AttentionParameters<L>;
  readonly norm3: NormParameters<L>;
  readonly mlp: MlpParameters<L>;
}

/** The options of the attention that a block runs over itself, or over its source. */
export function blockAttention(options: TransformerBlockOptions, over: 'itself' | 'source'): AttentionOptions {
  const { width, heads, kvHeads = heads, head = width / heads, bias = true, qkNorm, source } = options;
  const { deviation, outDeviation } = options;
  const from = over === 'source' && source !== undefined ? { source } : {};
  return { width, heads, kvHeads, head, bias, qkNorm, deviation, outDeviation, ...from };
}

/** Fresh parameters of a block. */
export function initTransformerBlock(
  random: Random,
  options: TransformerBlockOptions,
): TransformerBlockParameters<NDArray> {
  const { width, hidden = 4 * width, activation = 'gelu', norm: kind = 'layer', bias = true } = options;
  const { source, deviation, outDeviation } = options;
  return {
    norm1: initNorm(kind, width),
    attention: initAttention(random.child('attention'), blockAttention(options, 'itself')),
    ...(source === undefined
      ? {}
      : {
          norm2: initNorm(kind, width),
          cross: initAttention(random.child('cross'), blockAttention(options, 'source')),
        }),
    norm3: initNorm(kind, width),
    mlp: initMlp(random.child('mlp'), { width, hidden, activation, bias, deviation, outDeviation }),
  };
}

/** Where a block stands and what it sees. */
export interface TransformerBlockContext {
  readonly batch: Dimension;
  readonly time: Dimension;
  readonly attend: Attend;
  readonly rotary?: RotaryContext;
  /** Which layer of `attend` this is (default 0). */
  readonly layer?: number;
  /** The other sequence, as `sourceRows` of `parameters.cross` made it, and what of it is seen. */
  readonly source?: CachedRows & { readonly attend: Attend };
}

/**
 * One block over rows `x` `[batch * time, width]`; the same shape. After the last block of a `pre` stack stands one more
 * norm, which is the caller's.
 */
export function transformerBlock(
  parameters: TransformerBlockParameters,
  x: Tensor,
  options: TransformerBlockOptions,
  context: TransformerBlockContext,
  call: Call,
): Tensor {
  const { norm: kind = 'layer', placement = 'pre', epsilon = 1e-5, activation = 'gelu' } = options;
  const { batch, time, layer = 0, attend, rotary, source } = context;
  /** A part with its norm, its dropout and its addition. */
  const around = (name: string, scale: NormParameters, rows: Tensor, part: (rows: Tensor, here: Call) => Tensor) => {
    const here = call.at(name);
    const made = part(placement === 'pre' ? norm(kind, scale, rows, epsilon) : rows, here);
    const sum = add(rows, dropout(made, options.dropout ?? 0, here.at('residual')));
    return placement === 'pre' ? sum : norm(kind, scale, sum, epsilon);
  };
  const place = { layer, batch, time };
  let rows = around('attention', parameters.norm1, x, (normal, here) =>
    selfAttention(
      parameters.attention,
      normal,
      { ...blockAttention(options, 'itself'), ...place, attend, rotary },
      here,
    ),
  );
  const { cross, norm2 } = parameters;
  if (cross !== undefined && norm2 !== undefined && source !== undefined) {
    const seen = { ...blockAttention(options, 'source'), ...place, attend: source.attend };
    rows = around('cross', norm2, rows, (normal, here) => crossAttention(cross, normal, source, seen, here));
  }
  return around('mlp', parameters.norm3, rows, (normal) => mlp(parameters.mlp, normal, activation));
}
