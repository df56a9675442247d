/**
 * Convolutions as layers: fresh parameters by PyTorch's formula, and their application. Weights and biases are uniform
 * within `1 / sqrt(fan in)` (He et al., arXiv 1502.01852, with the slope sqrt(5) that PyTorch has as its default), where
 * the fan in is the weight's second size times its taps, also for transposed kernels.
 */

import {
  type Conv1dOptions,
  type Conv2dOptions,
  type ConvTranspose1dOptions,
  type ConvTranspose2dOptions,
  conv1d,
  conv2d,
  convTranspose1d,
  convTranspose2d,
  type NDArray,
  type PerAxis,
  type Random,
  type Tensor,
  TesseraError,
} from '../tensor/index.js';

/** Parameters of a convolution: `weight` in the layout of the operation, `bias` `[out]` where the layer has one. */
export interface ConvParameters<L = Tensor> {
  readonly weight: L;
  readonly bias?: L;
}

/** How a convolution is built: the channels on both sides and the size of its kernel. */
export interface ConvShape<K = PerAxis> {
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: K;
  /** Parts of the channels that see only each other (default 1). */
  readonly groups?: number;
  /** Default true. */
  readonly bias?: boolean;
}

type Settings<O> = Omit<O, 'bias'>;

/** @throws bad-option for sizes that are not whole and positive, or groups that do not divide the channels. */
function fresh(
  random: Random,
  shape: ConvShape,
  kernel: readonly number[],
  transposed: boolean,
): ConvParameters<NDArray> {
  const { inputs, outputs, groups = 1, bias = true } = shape;
  for (const [name, size] of Object.entries({ inputs, outputs, groups, kernel: Math.min(...kernel) }))
    if (!Number.isInteger(size) || size < 1)
      throw new TesseraError('bad-option', `The ${name} of a convolution must be whole and at least 1, not ${size}.`);
  if (inputs % groups !== 0 || outputs % groups !== 0)
    throw new TesseraError('bad-option', `${groups} groups do not divide ${inputs} and ${outputs} channels.`);
  const [rows, columns] = transposed ? [inputs, outputs / groups] : [outputs, inputs / groups];
  const bound = 1 / Math.sqrt(kernel.reduce((product, size) => product * size, columns));
  const weight = random.child('weight').uniform([rows, columns, ...kernel], -bound, bound);
  return bias ? { weight, bias: random.child('bias').uniform([outputs], -bound, bound) } : { weight };
}

function bothAxes(kernel: PerAxis): readonly number[] {
  return typeof kernel === 'number' ? [kernel, kernel] : kernel;
}

/** Fresh parameters for {@link applyConv1d}: `weight` `[outputs, inputs / groups, kernel]`. @throws bad-option for sizes that do not fit. */
export function initConv1d(random: Random, shape: ConvShape<number>): ConvParameters<NDArray> {
  return fresh(random, shape, [shape.kernel], false);
}

/** `[batch, inputs, length]` to `[batch, outputs, length']` ({@link conv1d}). @throws bad-shape when sizes do not fit. */
export function applyConv1d(parameters: ConvParameters, x: Tensor, settings: Settings<Conv1dOptions> = {}): Tensor {
  return conv1d(x, parameters.weight, { ...settings, bias: parameters.bias });
}

/** Fresh parameters for {@link applyConv2d}: `weight` `[outputs, inputs / groups, height, width]`. @throws bad-option for sizes that do not fit. */
export function initConv2d(random: Random, shape: ConvShape): ConvParameters<NDArray> {
  return fresh(random, shape, bothAxes(shape.kernel), false);
}

/** `[batch, inputs, height, width]` to `[batch, outputs, height', width']` ({@link conv2d}). @throws bad-shape when sizes do not fit. */
export function applyConv2d(parameters: ConvParameters, x: Tensor, settings: Settings<Conv2dOptions> = {}): Tensor {
  return conv2d(x, parameters.weight, { ...settings, bias: parameters.bias });
}

/** Fresh parameters for {@link applyConvTranspose1d}: `weight` `[inputs, outputs / groups, kernel]`. @throws bad-option for sizes that do not fit. */
export function initConvTranspose1d(random: Random, shape: ConvShape<number>): ConvParameters<NDArray> {
  return fresh(random, shape, [shape.kernel], true);
}

/** `[batch, inputs, length]` to the longer `[batch, outputs, length']` ({@link convTranspose1d}). @throws bad-shape when sizes do not fit. */
export function applyConvTranspose1d(
  parameters: ConvParameters,
  x: Tensor,
  settings: Settings<ConvTranspose1dOptions> = {},
): Tensor {
  return convTranspose1d(x, parameters.weight, { ...settings, bias: parameters.bias });
}

/** Fresh parameters for {@link applyConvTranspose2d}: `weight` `[inputs, outputs / groups, height, width]`. @throws bad-option for sizes that do not fit. */
export function initConvTranspose2d(random: Random, shape: ConvShape): ConvParameters<NDArray> {
  return fresh(random, shape, bothAxes(shape.kernel), true);
}

/** `[batch, inputs, height, width]` to the larger `[batch, outputs, height', width']` ({@link convTranspose2d}). @throws bad-shape when sizes do not fit. */
export function applyConvTranspose2d(
  parameters: ConvParameters,
  x: Tensor,
  settings: Settings<ConvTranspose2dOptions> = {},
): Tensor {
  return convTranspose2d(x, parameters.weight, { ...settings, bias: parameters.bias });
}

/** Parameters of a depthwise-separable convolution: a kernel a channel, then a mixture of the channels at each place. */
export interface SeparableConvParameters<L = Tensor> {
  readonly depthwise: ConvParameters<L>;
  readonly pointwise: ConvParameters<L>;
}

/** How a depthwise-separable convolution is built. */
export interface SeparableConvShape extends Omit<ConvShape, 'groups'> {
  /** Kernels a channel (default 1). */
  readonly multiplier?: number;
}

/** Fresh parameters for {@link applySeparableConv2d}; only the mixture has a bias. @throws bad-option for sizes that do not fit. */
export function initSeparableConv2d(random: Random, shape: SeparableConvShape): SeparableConvParameters<NDArray> {
  const { inputs, outputs, kernel, multiplier = 1, bias } = shape;
  const between = inputs * multiplier;
  return {
    depthwise: initConv2d(random.child('depthwise'), { inputs, outputs: between, kernel, groups: inputs, bias: false }),
    pointwise: initConv2d(random.child('pointwise'), { inputs: between, outputs, kernel: 1, bias }),
  };
}

/**
 * `[batch, inputs, height, width]` to `[batch, outputs, height', width']`: each channel by its own kernel, then all
 * channels together (Chollet, arXiv 1610.02357). The settings are the first one's. @throws bad-shape when sizes do not fit.
 */
export function applySeparableConv2d(
  { depthwise, pointwise }: SeparableConvParameters,
  x: Tensor,
  settings: Omit<Settings<Conv2dOptions>, 'groups'> = {},
): Tensor {
  return applyConv2d(pointwise, applyConv2d(depthwise, x, { ...settings, groups: Number(x.shape[1]) }));
}
