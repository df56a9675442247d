/**
 * Batch normalization (Ioffe & Szegedy, arXiv 1502.03167), algorithm 1 while training and 2 afterwards, with PyTorch's
 * running averages. The averages are state, not parameters: they come in as an argument and go out with the result.
 */

import {
  add,
  customGradient,
  mean,
  mul,
  type NDArray,
  reshape,
  rsqrt,
  type Shape,
  stopGradient,
  sub,
  sum,
  sumSquares,
  type Tensor,
  TesseraError,
} from '../tensor/index.js';
import type { NormParameters } from './layers.js';

/** Running averages of each channel, `[channels]`: state that {@link batchNorm} gives back renewed. */
export interface BatchNormState<L = Tensor> {
  readonly mean: L;
  readonly variance: L;
}

/** How statistics are taken. */
export interface BatchNormOptions {
  /** Those of this batch, which renew the averages; else the averages (a call's `training`). */
  readonly training: boolean;
  /** The share of a batch in the renewed averages (default 0.1). */
  readonly momentum?: number;
  /** Added to the variance (default 1e-5). */
  readonly epsilon?: number;
}

function filled(channels: number, value: number): NDArray {
  return { dtype: 'float32', shape: [channels], data: new Float32Array(channels).fill(value) };
}

/** Fresh parameters: factors of 1 and offsets of 0, `[channels]`. */
export function initBatchNorm(channels: number): NormParameters<NDArray> {
  return { weight: filled(channels, 1), bias: filled(channels, 0) };
}

/** Averages before the first batch: means of 0 and variances of 1, `[channels]`. */
export function initialBatchNormState(channels: number): BatchNormState<NDArray> {
  return { mean: filled(channels, 0), variance: filled(channels, 1) };
}

/**
 * `(x - mean) / sqrt(variance + epsilon) * weight + bias` for each channel of `x` `[batch, channels, ...]`. While training,
 * mean and variance are the batch's, and the averages become `(1 - momentum) * average + momentum * statistic`, the
 * variance divided by the count less one; no gradient flows through them. Otherwise both are the averages, which stay.
 * @throws bad-shape when channels do not fit, or a training batch has a single number a channel or sizes without numbers.
 */
export function batchNorm(
  parameters: NormParameters,
  state: BatchNormState,
  x: Tensor,
  options: BatchNormOptions,
): { readonly y: Tensor; readonly state: BatchNormState } {
  const { training, momentum = 0.1, epsilon = 1e-5 } = options;
  const channels = x.shape[1];
  const vectors = [
    parameters.weight,
    ...(parameters.bias === undefined ? [] : [parameters.bias]),
    state.mean,
    state.variance,
  ];
  if (x.shape.length < 2 || vectors.some(({ shape }) => shape.length !== 1 || shape[0] !== channels))
    throw new TesseraError(
      'bad-shape',
      `batchNorm takes [batch, channels, ...] and vectors of its channels, not [${x.shape.join(', ')}] and [${vectors.map(({ shape }) => shape.join(' x ')).join(', ')}].`,
    );
  const column: Shape = [1, channels ?? 1, ...x.shape.slice(2).map(() => 1)];
  const [weight, bias] = [parameters.weight, parameters.bias].map((part) => part && reshape(part, column));
  if (weight === undefined) throw new Error('a norm has a weight');
  if (!training) {
    const scale = mul(weight, rsqrt(add(reshape(state.variance, column), epsilon)));
    const centered = sub(x, reshape(state.mean, column));
    const y = mul(centered, scale);
    return { y: bias === undefined ? y : add(y, bias), state };
  }
  const axes = x.shape.map((_, axis) => axis).filter((axis) => axis !== 1);
  const count = axes.reduce((product, axis) => product * Number(x.shape[axis]), 1);
  if (!(count > 1))
    throw new TesseraError(
      'bad-shape',
      `batchNorm needs more than one number a channel, and known sizes, to train on; [${x.shape.join(', ')}] has neither.`,
      { hint: 'Enlarge the batch, or use a norm that does not look across it, such as groupNorm.' },
    );
  const { y, center, variance } = normalized(x, { weight, bias, axes, count, epsilon });
  const renewed = (old: Tensor, statistic: Tensor, factor: number): Tensor =>
    add(mul(old, 1 - momentum), mul(reshape(stopGradient(statistic), [channels ?? 1]), momentum * factor));
  return {
    y,
    state: {
      mean: renewed(state.mean, center, 1),
      variance: renewed(state.variance, variance, count / (count - 1)),
    },
  };
}

interface Normalizing {
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
  readonly axes: readonly number[];
  readonly count: number;
  readonly epsilon: number;
}

/**
 * With n = (x - mean) / deviation, the gradients are `sum g n` for the weight, `sum g` for the bias and
 * `weight / deviation * (g - (sum g + n sum g n) / count)` for x: two sums where differentiation makes five.
 */
function normalized(x: Tensor, { weight, bias, axes, count, epsilon }: Normalizing) {
  const statistics = (given: Tensor) => {
    const center = mean(given, axes, { keepDims: true });
    const centered = sub(given, center);
    const variance = mul(sumSquares(centered, axes, { keepDims: true }), 1 / count);
    return { center, centered, variance, inverse: rsqrt(add(variance, epsilon)) };
  };
  const affine = customGradient(
    (given: Tensor, factor: Tensor) => {
      const { centered, inverse } = statistics(given);
      return mul(centered, mul(inverse, factor));
    },
    ({ inputs: [given, factor], gradient }) => {
      const { centered, inverse } = statistics(given);
      const normal = mul(centered, inverse);
      const total = sum(gradient, axes, { keepDims: true });
      const along = sum(mul(gradient, normal), axes, { keepDims: true });
      const shared = mul(add(total, mul(normal, along)), 1 / count);
      return [mul(sub(gradient, shared), mul(inverse, factor)), along];
    },
  );
  const { center, variance } = statistics(x);
  const scaled = affine(x, weight);
  return { y: bias === undefined ? scaled : add(scaled, bias), center, variance };
}
