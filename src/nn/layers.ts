/** The small layers that models are put together from. Each is a pair of plain functions: `init` and `apply`. */

import {
  type Call,
  cast,
  gather,
  gelu,
  layerNorm,
  matmul,
  mul,
  type NDArray,
  type Random,
  relu,
  rmsNorm,
  silu,
  type Tensor,
} from '../tensor/index.js';
import { productOf } from './lora/product.js';

/** Parameters of an affine map: `weight` `[in, out]`, `bias` `[out]` where the layer has one. */
export interface LinearParameters<L = Tensor> {
  readonly weight: L;
  readonly bias?: L;
}

/** Fresh parameters of a linear layer: normal weights, zero bias. */
export function initLinear(
  random: Random,
  inputs: number,
  outputs: number,
  options: { readonly bias?: boolean; readonly deviation?: number } = {},
): LinearParameters<NDArray> {
  const weight = random.child('weight').normal([inputs, outputs], options.deviation ?? 0.02);
  if (options.bias !== true) return { weight };
  return { weight, bias: { dtype: 'float32', shape: [outputs], data: new Float32Array(outputs) } };
}

/** `x @ weight + bias`: `[..., in]` to `[..., out]`. */
export function linear({ weight, bias }: LinearParameters, x: Tensor): Tensor {
  // A weight with an adapter has a cheaper way than the whole matrix.
  return productOf(weight)?.(x, bias) ?? matmul(x, weight, { bias });
}

/** Parameters of a norm: `weight` and, for layer norm, `bias`, each `[width]`. */
export interface NormParameters<L = Tensor> {
  readonly weight: L;
  readonly bias?: L;
}

/** The norms that decoders use. */
export type NormKind = 'layer' | 'rms';

/** Fresh parameters of a norm: ones, and zeros for the bias of a layer norm. */
export function initNorm(kind: NormKind, width: number): NormParameters<NDArray> {
  const weight: NDArray = { dtype: 'float32', shape: [width], data: new Float32Array(width).fill(1) };
  return kind === 'rms'
    ? { weight }
    : { weight, bias: { dtype: 'float32', shape: [width], data: new Float32Array(width) } };
}

/** Layer norm or RMS norm over the last axis. */
export function norm(kind: NormKind, { weight, bias }: NormParameters, x: Tensor, epsilon: number): Tensor {
  return kind === 'rms' ? rmsNorm(x, weight, epsilon) : layerNorm(x, weight, bias, epsilon);
}

/** Rows of a table `[vocabulary, width]` for int32 ids `[...]`: `[..., width]`. */
export function embed(table: Tensor, ids: Tensor): Tensor {
  return gather(table, ids, 0);
}

/** Logits against an embedding table `[vocabulary, width]` (a tied head; Press & Wolf, arXiv 1608.05859). */
export function unembed(table: Tensor, x: Tensor): Tensor {
  return matmul(x, table, { transposeB: true });
}

/** Sets elements to zero with the given probability while training and scales the rest up (Srivastava et al., 2014). */
export function dropout(x: Tensor, probability: number, call: Call): Tensor {
  if (!call.training || probability === 0) return x;
  const shape = x.shape.map((size) => {
    if (typeof size !== 'number') throw new Error(`dropout needs known sizes, not "${size}"`);
    return size;
  });
  const kept = call.random.bernoulli(shape, 1 - probability);
  return mul(x, mul(cast(kept, x.dtype), 1 / (1 - probability)));
}

/** The functions between the two maps of a feed-forward block; `swiglu` gates with SiLU (Shazeer, arXiv 2002.05202). */
export type Activation = 'gelu' | 'gelu_tanh' | 'relu' | 'silu' | 'swiglu';

/** Parameters of a feed-forward block; `gate` only where the activation gates. */
export interface MlpParameters<L = Tensor> {
  readonly gate?: LinearParameters<L>;
  readonly up: LinearParameters<L>;
  readonly down: LinearParameters<L>;
}

/** How a feed-forward block is built. */
export interface MlpOptions {
  readonly width: number;
  readonly hidden: number;
  readonly activation: Activation;
  readonly bias?: boolean;
  /** Standard deviation of fresh weights, and of the map back to the residual stream. */
  readonly deviation?: number;
  readonly outDeviation?: number;
}

/** Fresh parameters of a feed-forward block. */
export function initMlp(random: Random, options: MlpOptions): MlpParameters<NDArray> {
  const { width, hidden, bias, deviation, outDeviation } = options;
  const up = initLinear(random.child('up'), width, hidden, { bias, deviation });
  const down = initLinear(random.child('down'), hidden, width, { bias, deviation: outDeviation ?? deviation });
  if (options.activation !== 'swiglu') return { up, down };
  return { gate: initLinear(random.child('gate'), width, hidden, { bias, deviation }), up, down };
}

/** `down(f(up(x)))`, or `down(silu(gate(x)) * up(x))`. */
export function mlp(parameters: MlpParameters, x: Tensor, activation: Activation): Tensor {
  const { gate, up, down } = parameters;
  const hidden = linear(up, x);
  return linear(down, gate === undefined ? activate(hidden, activation) : mul(silu(linear(gate, x)), hidden));
}

function activate(x: Tensor, activation: Activation): Tensor {
  switch (activation) {
    case 'gelu':
      return gelu(x);
    case 'gelu_tanh':
      return gelu(x, 'tanh');
    case 'relu':
      return relu(x);
    case 'silu':
    case 'swiglu':
      return silu(x);
  }
}
