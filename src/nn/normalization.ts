/**
 * Norms beside those of layers.ts: over groups of channels (Wu & He, arXiv 1803.08494), over each channel (instance norm;
 * Ulyanov et al., arXiv 1607.08022), of rows to length 1, and of a linear layer's weights.
 */

import {
  add,
  constant,
  div,
  layerNorm,
  matmul,
  maximum,
  mean,
  mul,
  type NDArray,
  type Random,
  reshape,
  rsqrt,
  type Shape,
  sqrt,
  square,
  sub,
  sumSquares,
  type Tensor,
  TesseraError,
} from '../tensor/index.js';
import { initLinear, type NormParameters } from './layers.js';

/** How channels are grouped. */
export interface GroupNormOptions {
  /** Divides the channels; as many as channels is instance norm. */
  readonly groups: number;
  /** Channels are axis 1 of `[batch, channels, ...]` (default), or the last axis. */
  readonly layout?: 'channels-first' | 'channels-last';
  /** Default 1e-5. */
  readonly epsilon?: number;
}

/** Fresh parameters of a norm with a factor and an offset for each channel: ones and zeros `[channels]`. */
export function initGroupNorm(channels: number): NormParameters<NDArray> {
  const filled = (value: number): NDArray => ({
    dtype: 'float32',
    shape: [channels],
    data: new Float32Array(channels).fill(value),
  });
  return { weight: filled(1), bias: filled(0) };
}

/**
 * `(x - mean) / sqrt(variance + epsilon) * weight + bias`, where mean and variance are those of a sample's group of
 * channels at all its places. `x` has any number of places, none included; without parameters it is not affine.
 * @throws bad-shape when `groups` does not divide the channels, or sizes other than the batch are only names.
 */
export function groupNorm(parameters: Partial<NormParameters>, x: Tensor, options: GroupNormOptions): Tensor {
  const { groups, layout = 'channels-first', epsilon = 1e-5 } = options;
  const last = layout === 'channels-last';
  const channels = Number(x.shape[last ? x.shape.length - 1 : 1]);
  if (x.shape.length < 2 || !Number.isInteger(groups) || groups < 1 || !(channels % groups === 0)) {
    throw new TesseraError(
      'bad-shape',
      `groupNorm cannot make ${groups} groups of the channels of [${x.shape.join(', ')}], ${layout}.`,
    );
  }
  const normal = last ? normalLast(x, channels, groups, epsilon) : normalFirst(x, groups, epsilon);
  const along = (p: Tensor): Tensor => reshape(p, last ? [channels] : [channels, ...x.shape.slice(2).map(() => 1)]);
  const { weight, bias } = parameters;
  const scaled = weight === undefined ? normal : mul(normal, along(weight));
  return bias === undefined ? scaled : add(scaled, along(bias));
}

/** Groups are rows that lie together: the layer-norm kernel takes them. */
function normalFirst(x: Tensor, groups: number, epsilon: number): Tensor {
  const width = x.shape.slice(1).reduce<number>((all, size) => all * Number(size), 1) / groups;
  const ones = new Float32Array(width).fill(1);
  const weight: NDArray =
    x.dtype === 'float64'
      ? { dtype: 'float64', shape: [width], data: Float64Array.from(ones) }
      : { dtype: 'float32', shape: [width], data: ones };
  return reshape(layerNorm(reshape(x, [-1, width]), constant(weight), undefined, epsilon), x.shape);
}

/** Means over places first, which needs no transposition, then over the channels of a group. */
function normalLast(x: Tensor, channels: number, groups: number, epsilon: number): Tensor {
  const [batch = 1] = x.shape;
  const flat = reshape(x, [batch, -1, channels]); // [batch, places, channels]
  const each = channels / groups;
  const grouped: Shape = [batch, 1, groups, each];
  const apart: Shape = [batch, flat.shape[1] ?? 1, groups, each];
  const meanOf = (y: Tensor): Tensor => mean(reshape(mean(y, 1, { keepDims: true }), grouped), -1, { keepDims: true }); // [batch, 1, groups, 1]
  const centered = sub(reshape(flat, apart), meanOf(flat));
  const variance = meanOf(reshape(square(centered), flat.shape));
  return reshape(mul(centered, rsqrt(add(variance, epsilon))), x.shape);
}

/** Group norm with every channel a group of its own, over its places: styles rather than contents. */
export function instanceNorm(
  parameters: Partial<NormParameters>,
  x: Tensor,
  options: Omit<GroupNormOptions, 'groups'> = {},
): Tensor {
  const channels = options.layout === 'channels-last' ? x.shape.at(-1) : x.shape[1];
  return groupNorm(parameters, x, { ...options, groups: Number(channels) });
}

/** `x / max(length, epsilon)`, the length being the root of the sum of squares along an axis; zeros stay zeros. */
export function l2Normalize(x: Tensor, axis = -1, epsilon = 1e-12): Tensor {
  // The bound is inside the root, whose slope at 0 is infinite.
  return mul(x, rsqrt(maximum(sumSquares(x, axis, { keepDims: true }), epsilon ** 2)));
}

/** Parameters of a linear layer whose weights have a direction `[in, out]` and a length for each output `[out]`. */
export interface WeightNormParameters<L = Tensor> {
  readonly direction: L;
  readonly gain: L;
  readonly bias?: L;
}

/** Fresh parameters: those of a linear layer, each output's length being that of its fresh weights. */
export function initWeightNormLinear(
  random: Random,
  inputs: number,
  outputs: number,
  options: { readonly bias?: boolean; readonly deviation?: number } = {},
): WeightNormParameters<NDArray> {
  const { weight, bias } = initLinear(random, inputs, outputs, options);
  const gain = new Float32Array(outputs);
  for (let place = 0; place < weight.data.length; place++) {
    gain[place % outputs] = (gain[place % outputs] ?? 0) + Number(weight.data[place]) ** 2;
  }
  const lengths: NDArray = { dtype: 'float32', shape: [outputs], data: gain.map(Math.sqrt) };
  return { direction: weight, gain: lengths, ...(bias === undefined ? {} : { bias }) };
}

/** `x @ (gain * direction / |direction|) + bias` (Salimans & Kingma, arXiv 1602.07868): `[..., in]` to `[..., out]`. */
export function weightNormLinear({ direction, gain, bias }: WeightNormParameters, x: Tensor): Tensor {
  return matmul(x, mul(direction, div(gain, sqrt(sumSquares(direction, 0)))), { bias });
}
