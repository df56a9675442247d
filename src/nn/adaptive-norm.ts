/**
 * Norms whose factor and offset come from a condition: a class, a time, another sequence's summary. FiLM (Perez et al.,
 * arXiv 1709.07871) scales features, adaptive layer norm scales normed ones, and adaLN-Zero (Peebles & Xie, arXiv
 * 2212.09748, section 3.2) adds a gate that starts at 0, so that a fresh block is the identity.
 */

import {
  add,
  constant,
  type Dimension,
  layerNorm,
  mul,
  type NDArray,
  type Random,
  reshape,
  type Shape,
  silu,
  splitSizes,
  type Tensor,
  TesseraError,
  zeros,
} from '../tensor/index.js';
import { initLinear, type LinearParameters, linear } from './layers.js';

/** What a condition is turned into. */
export interface ModulationOptions {
  /** Width of the condition. */
  readonly condition: number;
  /** Width of what is modulated: its channels. */
  readonly width: number;
  /** Vectors for each sample: 2 for shift and scale, 3 with a gate (default 2). */
  readonly parts?: number;
  /** Standard deviation of fresh weights (default 0: no modulation at the start). */
  readonly deviation?: number;
}

/** Fresh parameters of a map from conditions to modulations, `[condition, parts * width]`. */
export function initModulation(random: Random, options: ModulationOptions): LinearParameters<NDArray> {
  const { condition, width, parts = 2, deviation = 0 } = options;
  const outputs = parts * width;
  if (deviation > 0) return initLinear(random, condition, outputs, { bias: true, deviation });
  return { weight: zeros([condition, outputs]), bias: zeros([outputs]) };
}

/** `parts` vectors `[batch, width]` of each sample's condition `[batch, condition]`, through SiLU and a linear map. */
export function modulations(parameters: LinearParameters, condition: Tensor, parts: number): readonly Tensor[] {
  const all = linear(parameters, silu(condition));
  const width = Number(all.shape[1]) / parts;
  return splitSizes(all, new Array<number>(parts).fill(width), 1);
}

/** Which axis of what is modulated holds the channels (default: the last); axis 0 is the batch. */
export interface ChannelAxis {
  readonly axis?: number;
}

/**
 * `x * (1 + scale) + shift` with a factor and an offset `[batch, channels]` for each sample and channel, at all places.
 * @throws bad-shape when they do not fit the batch and the channels of `x`.
 */
export function modulate(x: Tensor, shift: Tensor, scale: Tensor, options: ChannelAxis = {}): Tensor {
  return add(mul(x, add(perChannel(scale, x, options), 1)), perChannel(shift, x, options));
}

function perChannel(value: Tensor, x: Tensor, { axis = -1 }: ChannelAxis): Tensor {
  const at = axis < 0 ? axis + x.shape.length : axis;
  const [batch = 1, channels = 1] = value.shape;
  if (value.shape.length !== 2 || at < 1 || channels !== x.shape[at] || (batch !== x.shape[0] && batch !== 1)) {
    throw new TesseraError(
      'bad-shape',
      `A modulation of [${value.shape.join(', ')}] does not fit axis ${axis} of [${x.shape.join(', ')}].`,
    );
  }
  const shape: Shape = x.shape.map((_, index): Dimension => (index === 0 ? batch : index === at ? channels : 1));
  return reshape(value, shape);
}

/** Feature-wise linear modulation of `x` `[batch, ..., channels, ...]` by a condition `[batch, condition]`. */
export function film(parameters: LinearParameters, x: Tensor, condition: Tensor, options: ChannelAxis = {}): Tensor {
  const [shift, scale] = modulations(parameters, condition, 2);
  if (shift === undefined || scale === undefined) throw new Error('two parts were split');
  return modulate(x, shift, scale, options);
}

/** Layer norm over the last axis without parameters of its own. */
export function plainLayerNorm(x: Tensor, epsilon = 1e-6): Tensor {
  const width = Number(x.shape.at(-1));
  const ones = zeros([width], x.dtype === 'float64' ? 'float64' : 'float32');
  ones.data.fill(1);
  return layerNorm(x, constant(ones), undefined, epsilon);
}

/** Layer norm whose factor and offset come from the condition: `x` `[batch, ..., width]`. */
export function adaptiveLayerNorm(parameters: LinearParameters, x: Tensor, condition: Tensor, epsilon = 1e-6): Tensor {
  return film(parameters, plainLayerNorm(x, epsilon), condition);
}

/**
 * `x + gate * branch(modulated norm of x)`, with parameters of three parts: `x` `[batch, ..., width]`, and a branch that
 * keeps its shape. A block has one for its attention and one for its feed-forward part.
 */
export function adaLNZero(
  parameters: LinearParameters,
  x: Tensor,
  condition: Tensor,
  branch: (normal: Tensor) => Tensor,
  epsilon = 1e-6,
): Tensor {
  const [shift, scale, gate] = modulations(parameters, condition, 3);
  if (shift === undefined || scale === undefined || gate === undefined) throw new Error('three parts were split');
  return add(x, mul(perChannel(gate, x, {}), branch(modulate(plainLayerNorm(x, epsilon), shift, scale))));
}
