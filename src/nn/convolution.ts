/** Causal convolution over time with one kernel a channel, whole rows at once or a few positions after those before. */

import {
  add,
  cast,
  causalConv1d,
  concat,
  type Dimension,
  equal,
  matmul,
  type NDArray,
  type Random,
  range,
  reshape,
  slice,
  splitSizes,
  type Tensor,
} from '../tensor/index.js';

/** Parameters of a depthwise convolution: `weight` `[channels, width]`, `bias` `[channels]` where it has one. */
export interface ConvolutionParameters<L = Tensor> {
  readonly weight: L;
  readonly bias?: L;
}

/** Fresh parameters, uniform within `1 / sqrt(width)` as PyTorch's Conv1d has them. */
export function initConvolution(
  random: Random,
  channels: number,
  width: number,
  options: { readonly bias?: boolean } = {},
): ConvolutionParameters<NDArray> {
  const bound = 1 / Math.sqrt(width);
  const weight = random.child('weight').uniform([channels, width], -bound, bound);
  return options.bias === false
    ? { weight }
    : { weight, bias: random.child('bias').uniform([channels], -bound, bound) };
}

/** Causal convolution of whole rows `[batch, time, channels]`; before the first position stand zeros. */
export function convolve({ weight, bias }: ConvolutionParameters, x: Tensor): Tensor {
  return causalConv1d(x, weight, bias);
}

/**
 * The same for new positions `x` `[batch, time, channels]` after the last ones, `before` `[batch, width - 1, channels]`.
 * Only the first `lengths` int32 `[batch]` of each row's positions are real (default: all); `before` of the result holds
 * the last real ones. A row of length 0 keeps what it had.
 */
export function convolveAfter(
  parameters: ConvolutionParameters,
  x: Tensor,
  before: Tensor,
  lengths?: Tensor,
): { readonly y: Tensor; readonly before: Tensor } {
  const [, kept = 0] = before.shape;
  const [batch = 1, time = 1] = x.shape;
  if (kept === 0) return { y: convolve(parameters, x), before };
  const joined = concat([before, x], 1);
  const [, y] = splitSizes(convolve(parameters, joined), [kept, time], 1);
  if (y === undefined) throw new Error('two parts were split');
  const last = lengths === undefined ? slice(joined, 1, -Number(kept)) : from(joined, lengths, batch, kept);
  return { y, before: last };
}

/** `count` rows of `x` `[batch, rows, channels]` from each row's own `start` on, by a product with zeros and ones. */
function from(x: Tensor, start: Tensor, batch: Dimension, count: Dimension): Tensor {
  const rows = x.shape[1] ?? 1;
  const wanted = add(reshape(start, [batch, 1, 1]), reshape(range(count), [1, count, 1]));
  const chosen = cast(equal(wanted, reshape(range(rows), [1, 1, rows])), x.dtype);
  return matmul(chosen, x);
}
