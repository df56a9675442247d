/**
 * Depthwise causal convolution over time, as state-space layers use it before their recurrence.
 *
 * Rows are `[batch, time, channels]`, as the products around it have them. Measured for widths of 512 and 768 at 4,096
 * places: ONNX's Conv with one group a channel, turned to channels first and back, takes 4-5 ms; four shifted products
 * 6-8 ms; the runtime's CausalConvWithState 6-8 ms. For the gradient of the weight shifted products are the faster
 * (5-7 ms against 7-10 in four other forms).
 */

import {
  applyOne,
  constant,
  type Emitter,
  isStatic,
  type Operation,
  shapeError,
  shapeText,
  type Tensor,
} from '../graph.js';
import { array, zeros } from '../ndarray.js';
import { sum } from './broadcast.js';
import { mul, pair } from './elementwise.js';
import { concat, reshape, slice, transpose } from './shape.js';

function widthOf(weight: Tensor): number {
  const [, width] = weight.shape;
  if (typeof width !== 'number')
    throw shapeError(`causalConv1d needs a kernel of known width, not "${String(width)}".`);
  return width;
}

/** `ahead`: place t sees t and those after it, which is how gradients flow back. */
const depthwiseOperation: Operation = {
  name: 'causalConv1d',
  gradient: ({ inputs, attributes }, [g]) => {
    const [x, weight] = pair(inputs);
    const bias = inputs[2];
    if (g === undefined) return [];
    const ahead = attributes.ahead === true;
    const slope = ahead ? weightGradient(g, x, widthOf(weight)) : weightGradient(x, g, widthOf(weight));
    return [depthwise(g, weight, !ahead), slope, bias && sum(g, [0, 1])];
  },
  lower: ({ inputs, attributes }, emitter) => {
    const [x, weight] = pair(inputs);
    const width = widthOf(weight);
    const names = inputs.map(emitter.name);
    const ahead = attributes.ahead === true;
    return x.dtype === 'float32'
      ? byConvolution(emitter, names, { channels: weight.shape[0] ?? 1, width, ahead })
      : byShifts(emitter, names, { width, ahead });
  },
  flops: ({ inputs, outputs }) => {
    const shape = outputs[0]?.shape ?? [];
    return isStatic(shape) ? 2 * shape.reduce((product, size) => product * size, widthOf(pair(inputs)[1])) : 0;
  },
};

function vector(emitter: Emitter, ...values: readonly number[]): string {
  return emitter.constant(array(values, [values.length], 'int64'));
}

interface Form {
  readonly width: number;
  readonly ahead: boolean;
}

function byConvolution(
  emitter: Emitter,
  [x = '', weight = '', ...bias]: readonly string[],
  { channels, width, ahead }: Form & { readonly channels: number | string },
): readonly string[] {
  const turned = emitter.emit('Transpose', [x], { perm: [0, 2, 1] });
  // Backwards the kernel is read from its end.
  const kernel = ahead
    ? emitter.emit('Slice', [
        weight,
        vector(emitter, -1),
        vector(emitter, -width - 1),
        vector(emitter, 1),
        vector(emitter, -1),
      ])
    : [weight];
  const filters = emitter.emit('Reshape', [...kernel, emitter.shape([channels, 1, width])]);
  const pads = ahead ? [0, width - 1] : [width - 1, 0];
  const settings = { group: channels, kernel_shape: [width], pads };
  const mixed = emitter.emit('Conv', [...turned, ...filters, ...bias], settings);
  return emitter.emit('Transpose', mixed, { perm: [0, 2, 1] });
}

/** A sum of shifted rows, each times a column of the weight: for dtypes without a kernel. */
function byShifts(
  emitter: Emitter,
  [x = '', weight = '', ...bias]: readonly string[],
  { width, ahead }: Form,
): readonly string[] {
  const columns = emitter.emit('Transpose', [weight], { perm: [1, 0] });
  let total: readonly string[] = bias;
  for (let tap = 0; tap < width; tap++) {
    const distance = width - 1 - tap;
    const pads = ahead ? [0, -distance, 0, 0, distance, 0] : [0, distance, 0, 0, -distance, 0];
    const moved = distance === 0 ? [x] : emitter.emit('Pad', [x, vector(emitter, ...pads)], { mode: 'constant' });
    const row = emitter.emit('Gather', [...columns, vector(emitter, tap)], { axis: 0 });
    const term = emitter.emit('Mul', [...moved, ...row]);
    total = total.length === 0 ? term : emitter.emit('Add', [...total, ...term]);
  }
  return total;
}

function depthwise(x: Tensor, weight: Tensor, ahead: boolean, bias?: Tensor): Tensor {
  return applyOne(depthwiseOperation, bias === undefined ? [x, weight] : [x, weight, bias], { ahead }, x);
}

/** `[channels, width]`: for each tap the sum over all rows of `g[t] * x[t - distance]`. */
function weightGradient(x: Tensor, g: Tensor, width: number): Tensor {
  const [batch, time, channels] = x.shape;
  if (typeof batch !== 'number' || typeof time !== 'number' || typeof channels !== 'number')
    throw shapeError(`The gradient of causalConv1d needs known sizes, not ${shapeText(x.shape)}.`);
  const taps = Array.from({ length: width }, (_, tap) => {
    const distance = Math.min(width - 1 - tap, time);
    const before = constant(zeros([batch, distance, channels], x.dtype));
    const moved = distance === 0 ? x : concat([before, slice(x, 1, 0, time - distance)], 1);
    return sum(mul(moved, g), [0, 1], { keepDims: true }); // [1, 1, channels]
  });
  return transpose(reshape(concat(taps, 1), [width, channels]));
}

/**
 * `y[b, t, c] = bias[c] + sum over k of weight[c, k] * x[b, t - (width - 1) + k, c]`, where rows before the first are 0:
 * `x` `[batch, time, channels]`, `weight` `[channels, width]`, `bias` `[channels]`. The time may be a name.
 * @throws bad-shape when channels differ.
 */
export function causalConv1d(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const channels = x.shape[2];
  const fits = x.shape.length === 3 && weight.shape.length === 2 && weight.shape[0] === channels;
  if (
    !fits ||
    x.dtype !== weight.dtype ||
    (bias !== undefined && (bias.shape.length !== 1 || bias.shape[0] !== channels))
  ) {
    const own = bias === undefined ? '' : ` and a bias ${shapeText(bias.shape)}`;
    throw shapeError(`causalConv1d cannot apply a kernel ${shapeText(weight.shape)}${own} to ${shapeText(x.shape)}.`);
  }
  widthOf(weight);
  return depthwise(x, weight, false, bias);
}
