/**
 * Convolution over a sequence or a picture, and its transpose, with PyTorch's layouts and sums. A sequence is a picture
 * of height 1: one set of recipes serves both (windows/correlation.ts, which says how they were chosen).
 */

import { type Dimension, shapeError, shapeText, type Tensor } from '../graph.js';
import { correlateInput, correlateOutput } from '../windows/correlation.js';
import {
  AXES,
  asPicture,
  flatOptions,
  type Padding1d,
  type Padding2d,
  type Pair,
  type PerAxis,
  pairBy,
  pairOf,
  placesOf,
  reach,
  requireWhole,
  type Sides,
  type Window,
  windowOf,
} from '../windows/geometry.js';
import { add, isFloat } from './elementwise.js';
import { reshape } from './shape.js';

export type { Padding1d, Padding2d, Pair, PerAxis, Sides } from '../windows/geometry.js';

/** How a kernel runs over a sequence. */
export interface Conv1dOptions {
  /** `[out]`, added at every place. */
  readonly bias?: Tensor;
  /** Steps between places of the output (default 1). */
  readonly stride?: number;
  /** Steps between taps of the kernel (default 1). */
  readonly dilation?: number;
  /** Parts of the channels that see only each other (default 1); as many as channels: depthwise. */
  readonly groups?: number;
  /** Zeros around the input (default 0). */
  readonly padding?: Padding1d;
}

/** How a kernel runs over a picture. */
export interface Conv2dOptions extends Omit<Conv1dOptions, 'stride' | 'dilation' | 'padding'> {
  readonly stride?: PerAxis;
  readonly dilation?: PerAxis;
  readonly padding?: Padding2d;
}

/** How a transposed kernel runs: `padding` is that of the convolution whose transpose this is, and takes places away. */
export interface ConvTranspose1dOptions extends Omit<Conv1dOptions, 'padding'> {
  readonly padding?: Sides;
  /** Places added at the end, fewer than the stride (default 0): which of the lengths that the convolution maps here is meant. */
  readonly outputPadding?: number;
}

/** The same for pictures. */
export interface ConvTranspose2dOptions extends Omit<Conv2dOptions, 'padding'> {
  readonly padding?: Exclude<Padding2d, string>;
  readonly outputPadding?: PerAxis;
}

/**
 * `y[n, o, t] = bias[o] + sum over c, k of weight[o, c, k] * x[n, c, t * stride + k * dilation - before]`: `x`
 * `[batch, in, length]`, `weight` `[out, in / groups, kernel]`, to `[batch, out, length']`. The batch may be a name.
 * @throws bad-shape when channels, groups or sizes do not fit.
 */
export function conv1d(x: Tensor, weight: Tensor, options: Conv1dOptions = {}): Tensor {
  const y = conv2d(reshape(x, asPicture(x.shape, 'conv1d')), flatKernel(weight, 'conv1d'), {
    bias: options.bias,
    groups: options.groups,
    ...flatOptions(Number(weight.shape[2]), options),
  });
  return flattened(y);
}

/**
 * The same sum over pictures: `x` `[batch, in, height, width]`, `weight` `[out, in / groups, height, width]`, to
 * `[batch, out, height', width']` with `height' = floor((height + padding - dilation * (kernel - 1) - 1) / stride) + 1`.
 * The batch may be a name. @throws bad-shape when channels, groups or sizes do not fit.
 */
export function conv2d(x: Tensor, weight: Tensor, options: Conv2dOptions = {}): Tensor {
  const { bias, groups = 1 } = options;
  const [out, channels] = checked('conv2d', x, weight, { groups, bias });
  if (x.shape[1] !== channels * groups || out % groups !== 0)
    throw shapeError(
      `conv2d cannot apply a kernel ${shapeText(weight.shape)} in ${groups} groups to ${shapeText(x.shape)}.`,
    );
  requireBias('conv2d', bias, out, x);
  const size = placesOf(x, 'conv2d');
  const window = windowOf('conv2d', size, placesOf(weight, 'conv2d'), options);
  return correlateOutput(x, weight, { window, groups, size }, bias);
}

/**
 * The transpose of {@link conv1d} (PyTorch's ConvTranspose1d): `x` `[batch, in, length]`, `weight`
 * `[in, out / groups, kernel]`, to `[batch, out, (length - 1) * stride - padding + dilation * (kernel - 1) + 1 + outputPadding]`.
 * @throws bad-shape when channels, groups or sizes do not fit.
 */
export function convTranspose1d(x: Tensor, weight: Tensor, options: ConvTranspose1dOptions = {}): Tensor {
  const { bias, groups, stride = 1, dilation = 1, padding = 0, outputPadding = 0 } = options;
  const y = convTranspose2d(reshape(x, asPicture(x.shape, 'convTranspose1d')), flatKernel(weight, 'convTranspose1d'), {
    bias,
    groups,
    stride: [1, stride],
    dilation: [1, dilation],
    padding: [0, padding],
    outputPadding: [0, outputPadding],
  });
  return flattened(y);
}

/**
 * The transpose of {@link conv2d} (PyTorch's ConvTranspose2d): `x` `[batch, in, height, width]`, `weight`
 * `[in, out / groups, height, width]`, sizes as {@link convTranspose1d}.
 * @throws bad-shape when channels, groups or sizes do not fit, or `outputPadding` is not less than the stride.
 */
export function convTranspose2d(x: Tensor, weight: Tensor, options: ConvTranspose2dOptions = {}): Tensor {
  const { bias, groups = 1, stride = 1, dilation = 1, padding = 0 } = options;
  const [inputs, channels] = checked('convTranspose2d', x, weight, { groups, bias });
  if (x.shape[1] !== inputs || inputs % groups !== 0)
    throw shapeError(
      `convTranspose2d cannot apply a kernel ${shapeText(weight.shape)} in ${groups} groups to ${shapeText(x.shape)}.`,
    );
  const out = channels * groups;
  requireBias('convTranspose2d', bias, out, x);
  const extra = pairOf(options.outputPadding ?? 0);
  requireWhole('convTranspose2d: the output padding', extra, 0);
  const [vertical, horizontal] = typeof padding === 'number' ? [padding, padding] : padding;
  const kernel = placesOf(weight, 'convTranspose2d');
  const unchecked = {
    kernel,
    stride: pairOf(stride),
    dilation: pairOf(dilation),
    pads: [pairOf(vertical), pairOf(horizontal)] as const,
  };
  const size = transposedSize(placesOf(x, 'convTranspose2d'), unchecked, extra);
  const window = windowOf('convTranspose2d', size, kernel, { stride, dilation, padding: unchecked.pads });
  for (const axis of AXES)
    if (extra[axis] >= window.stride[axis])
      throw shapeError(
        `convTranspose2d: an output padding of ${extra[axis]} must be less than the stride, ${window.stride[axis]}.`,
      );
  const y = correlateInput(x, weight, { window, groups, size });
  return bias === undefined ? y : add(y, reshape(bias, [1, out, 1, 1]));
}

function transposedSize(made: Pair, window: Window, extra: Pair): Pair {
  const size = pairBy((axis) => {
    const [before, after] = window.pads[axis];
    return (made[axis] - 1) * window.stride[axis] + reach(window, axis) - before - after + extra[axis];
  });
  for (const places of size)
    if (!(places >= 1))
      throw shapeError(`convTranspose2d: a padding of that size leaves nothing of ${made.join(' x ')} places.`);
  return size;
}

/** The first two sizes of the weight. */
function checked(
  name: string,
  x: Tensor,
  weight: Tensor,
  { groups, bias }: { readonly groups: number; readonly bias: Tensor | undefined },
): readonly [number, number] {
  const [rows, columns] = weight.shape;
  const fits =
    x.shape.length === 4 && weight.shape.length === 4 && typeof rows === 'number' && typeof columns === 'number';
  if (!fits) throw shapeError(`${name} cannot apply a kernel ${shapeText(weight.shape)} to ${shapeText(x.shape)}.`);
  const dtypes = [x, weight, ...(bias === undefined ? [] : [bias])].map(({ dtype }) => dtype);
  if (!isFloat(x.dtype) || dtypes.some((dtype) => dtype !== x.dtype))
    throw shapeError(`${name} takes floating operands of one dtype, not ${dtypes.join(' and ')}; cast them.`);
  requireWhole(`${name}: the number of groups`, [groups], 1);
  return [rows, columns];
}

function requireBias(name: string, bias: Tensor | undefined, out: number, x: Tensor): void {
  if (bias !== undefined && (bias.shape.length !== 1 || bias.shape[0] !== out))
    throw shapeError(
      `${name} cannot add a bias of ${shapeText(bias.shape)} to ${out} channels made of ${shapeText(x.shape)}.`,
    );
}

/** `[out, in, kernel]` as a kernel of height 1. */
function flatKernel(weight: Tensor, name: string): Tensor {
  return reshape(weight, asPicture(weight.shape, name));
}

/** `[batch, channels, 1, length]` without its height. */
function flattened(y: Tensor): Tensor {
  const [batch = 1, channels = 1, , length = 1]: readonly Dimension[] = y.shape;
  return reshape(y, [batch, channels, length]);
}
