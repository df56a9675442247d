/**
 * Convolution as the field has it (a correlation) and its two transposes, closed under differentiation: each of
 *
 *   output(x, w)[n, o, p] = sum over c, k of w[o, c, k] x[n, c, p * stride + k * dilation - before]
 *   input(y, w), kernel(x, y): the same sum read the other ways
 *
 * is linear in both operands, and the gradients of one are the other two. `x` `[batch, in, height, width]`, `w`
 * `[out, in / groups, kernel]`, `y` `[batch, out, ...]`.
 *
 * How each is computed was measured on two cores (Zen 4, AVX-512, ONNX Runtime 1.30), in milliseconds of processor time,
 * the least of 11 to 21 runs beside other load, for a batch of 32 (`64->64` at 32 x 32: 2.4 GFLOP, forward 20):
 *
 *   input                             Conv, kernel flipped   ConvTranspose   product and Col2Im   four phases
 *   64->64, 3 x 3, 32 x 32                     20.6               27.7
 *   64->128, 1 x 1, 32 x 32                     4.9               6.8             6.2
 *   128 depthwise, 3 x 3, 32 x 32              13.9               26.4
 *   128->128 in 4 groups, 3 x 3                23.1               30.8
 *   64->128, 3 x 3, stride 2, to 16 x 16   60.7 (zeros between)   13.4            13.9             14.8
 *   64->128, 1 x 1, stride 2               25.3 (zeros between)    2.6
 *   128 depthwise, 3 x 3, stride 2         19.9 (zeros between)    6.0
 *   3->192, 8 x 8 patches of 64 x 64                               1.9            1.8
 *
 *   kernel                            a tap at a time, batch      a tap at a time,     all taps at once
 *                                     folded into the sum         summed over batch    (im2col)
 *   64->64, 3 x 3, 32 x 32                     30.7                    29.9                 37.4
 *   32->64, 3 x 3, 16 x 16                      4.6                     4.9                  5.7
 *   64->128, 3 x 3, 8 x 8                       2.7                     5.0                  5.7
 *   64->128, 3 x 3, stride 2                   14.4                    18.5                 17.9
 *   3->32, 3 x 3, 32 x 32                       4.5                     4.0                  1.4
 *   64->128, 1 x 1, 32 x 32                     6.6                     4.7                  5.1
 *   128 depthwise, 3 x 3, 32 x 32              19.2                    22.8                 32.0
 *   64->128, 2 x 2 patches to 16 x 16          10.9                                             10.3     as rows: 12.5
 *   64->128, 4 x 4 patches to 8 x 8            11.0                                             17.8     as rows:  8.8
 *   3->192, 8 x 8 patches to 8 x 8                                                               4.6     as rows:  2.0
 *   3->384, 16 x 16 patches to 14 x 14                                                          67.0     as rows: 36.3
 *
 * A tap at a time is laid out with the batch last, so that each tap's rows are long runs of memory; with the batch second,
 * as above, both threads together took longer than one (quiet, two threads, against batch last): 32->64 at 16 x 16 6.4
 * against 4.0, 64->128 at 8 x 8 5.4 against 2.7, 64->64 at 32 x 32 32.3 against 22.7. Where there are more filters than
 * places the runtime's Conv uses one thread for a part (64->128 at 8 x 8: 2.8); two halves of the filters take 1.9 alone,
 * and gained nothing inside a step.
 *
 * (Also tried for the kernel: rows with channels last 43.0 at 64->64, taps cut out of one flat row 30.8, the runtime's
 * UnfoldTensor 217; on a quiet machine Conv with batch and channels exchanged ran at 38 GFLOP/s, a tap at a time at 97.)
 * So: the input by a Conv with the kernel flipped
 * where the stride is 1, else by ConvTranspose; the kernel by im2col for few channels, by patches laid out as rows
 * where they tile the picture, by one batched product where it has one tap, else a tap at a time with the batch folded
 * into the sum.
 *
 * Conv has no float64 kernel: there the sum is a product with the unfolded picture (fold.ts).
 */

import {
  applyOne,
  type Emitter,
  isStatic,
  type Node,
  type Operation,
  shapeError,
  shapeText,
  type Tensor,
} from '../graph.js';
import { sizeOf } from '../ndarray.js';
import { sum } from '../operations/broadcast.js';
import { add, pair } from '../operations/elementwise.js';
import { matmul } from '../operations/matmul.js';
import { reshape } from '../operations/shape.js';
import {
  cut,
  emitOne,
  isPointwise,
  isTiling,
  type PictureAxes,
  padded,
  product,
  shaped,
  taps,
  turned,
  vector,
} from './emit.js';
import { foldColumns, unfoldColumns } from './fold.js';
import { AXES, onnxPads, type Pair, pairBy, placesOf, reach, stops, type Window } from './geometry.js';

/** Which correlation. */
export interface Form {
  readonly window: Window;
  readonly groups: number;
  /** Height and width of the input. */
  readonly size: Pair;
}

const FEW_CHANNELS = 8;

/** `[batch, out, height, width]` for `x` `[batch, in, height, width]`, `weight` and `bias` `[out]`. Shapes are the caller's to check. */
export function correlateOutput(x: Tensor, weight: Tensor, form: Form, bias?: Tensor): Tensor {
  const [batch = 1] = x.shape;
  const [out = 1] = weight.shape;
  const shape = [batch, out, ...stops(form.window, form.size)];
  if (x.dtype === 'float64') {
    const columns = grouped(unfoldColumns(x, form.window), form.groups);
    const filters = reshape(weight, [1, form.groups, Number(out) / form.groups, -1]);
    const mixed = reshape(matmul(filters, columns), shape);
    return bias === undefined ? mixed : add(mixed, reshape(bias, [1, out, 1, 1]));
  }
  const inputs = bias === undefined ? [x, weight] : [x, weight, bias];
  return applyOne(outputOperation(form), inputs, { ...form }, { dtype: x.dtype, shape });
}

/** `[batch, in, height, width]` of the form's size, for `y` `[batch, out, ...]` and `weight`. */
export function correlateInput(y: Tensor, weight: Tensor, form: Form): Tensor {
  const [batch = 1] = y.shape;
  const [out = 1, channels = 1] = weight.shape;
  const shape = [batch, Number(channels) * form.groups, ...form.size];
  if (y.dtype === 'float64') {
    const rows = grouped(reshape(y, [batch, out, -1]), form.groups);
    const filters = reshape(weight, [1, form.groups, Number(out) / form.groups, -1]);
    const columns = matmul(filters, rows, { transposeA: true });
    return foldColumns(reshape(columns, [batch, -1, rows.shape[3] ?? 1]), form.window, form.size);
  }
  return applyOne(inputOperation(form), [y, weight], { ...form }, { dtype: y.dtype, shape });
}

/** `[out, in / groups, kernel]` for `x` and `y`. */
function correlateKernel(x: Tensor, y: Tensor, form: Form): Tensor {
  const [batch, channels] = x.shape;
  const [, out = 1] = y.shape;
  if (typeof batch !== 'number')
    throw shapeError(`The gradient of a convolution's weight needs a known batch, not ${shapeText(x.shape)}.`);
  const shape = [out, Number(channels) / form.groups, ...form.window.kernel];
  return applyOne(kernelOperation(form), [x, y], { ...form }, { dtype: x.dtype, shape });
}

/** `[batch, rows, columns]` as `[batch, groups, rows / groups, columns]`. */
function grouped(x: Tensor, groups: number): Tensor {
  const [batch = 1, rows = 1, columns = 1] = x.shape;
  return reshape(x, [batch, groups, Number(rows) / groups, columns]);
}

const outputOperation = (form: Form): Operation => ({
  name: 'correlation',
  gradient: ({ inputs }, [g]) => {
    const [x, weight] = pair(inputs);
    if (g === undefined) return [];
    return [correlateInput(g, weight, form), correlateKernel(x, g, form), inputs[2] && sum(g, [0, 2, 3])];
  },
  lower: ({ inputs }, emitter) => {
    const { kernel, stride, dilation } = form.window;
    const settings = { kernel_shape: kernel, strides: stride, dilations: dilation, pads: onnxPads(form.window) };
    return emitter.emit('Conv', inputs.map(emitter.name), { ...settings, group: form.groups });
  },
  flops: ({ inputs, outputs }) => flopsOf(outputs[0], pair(inputs)[1]),
});

const inputOperation = (form: Form): Operation => ({
  name: 'correlationInput',
  gradient: ({ inputs }, [g]) => {
    const [y, weight] = pair(inputs);
    return g === undefined ? [] : [correlateOutput(g, weight, form), correlateKernel(g, y, form)];
  },
  lower: ({ inputs }, emitter) => {
    const [y, weight] = pair(inputs);
    return [isFlippable(form) ? byFlipped(emitter, y, weight, form) : byTransposed(emitter, y, weight, form)];
  },
  flops: ({ inputs }) => flopsOf(pair(inputs)[0], pair(inputs)[1]),
});

const kernelOperation = (form: Form): Operation => ({
  name: 'correlationKernel',
  gradient: ({ inputs }, [g]) => {
    const [x, y] = pair(inputs);
    return g === undefined ? [] : [correlateInput(y, g, form), correlateOutput(x, g, form)];
  },
  lower: (node, emitter) => {
    const [x] = pair(node.inputs);
    if (form.groups > 1) return [byTaps(emitter, node, form)];
    if (isPointwise(form.window)) return [byOneProduct(emitter, node)];
    if (isTiling(form.window)) return [byPatches(emitter, node, form)];
    return [Number(x.shape[1]) <= FEW_CHANNELS ? byColumns(emitter, node, form) : byTaps(emitter, node, form)];
  },
  flops: ({ inputs, outputs }) => flopsOf(pair(inputs)[1], outputs[0]),
});

/** Two for each product of a weight and a place of `y`. */
function flopsOf(y: Tensor | undefined, weight: Tensor | undefined): number {
  const sizes = [...(y?.shape ?? []), ...(weight?.shape.slice(1) ?? [])];
  return isStatic(sizes) ? 2 * sizeOf(sizes) : 0;
}

/** True where the input is a correlation of the output with the kernel flipped. */
function isFlippable({ window }: Form): boolean {
  return AXES.every(
    (axis) => window.stride[axis] === 1 && window.pads[axis].every((side) => side < reach(window, axis)),
  );
}

function byFlipped(emitter: Emitter, y: Tensor, weight: Tensor, { window, groups }: Form): string {
  const [out = 1, channels = 1] = weight.shape;
  const { kernel, dilation } = window;
  const outputs = Number(out) / groups;
  const name = emitter.name(weight);
  let filters = name;
  if (groups === 1) filters = turned(emitter, name, [1, 0, 2, 3]);
  else if (outputs !== 1 || channels !== 1) {
    const parts = shaped(emitter, name, [groups, outputs, channels, kernel[0] * kernel[1]]);
    filters = shaped(emitter, turned(emitter, parts, [0, 2, 1, 3]), [Number(channels) * groups, outputs, ...kernel]);
  }
  if (kernel.some((taps) => taps > 1)) {
    const ends = kernel.map((taps) => -taps - 1);
    filters = cut(emitter, filters, [2, 3], { starts: [-1, -1], ends, steps: [-1, -1] });
  }
  const [top, left, bottom, right] = onnxPads(window).map(
    (side, index) => reach(window, index % 2 === 0 ? 0 : 1) - 1 - side,
  );
  const settings = { kernel_shape: kernel, dilations: dilation, pads: [top, left, bottom, right], group: groups };
  return emitOne(emitter, 'Conv', [emitter.name(y), filters], settings);
}

function byTransposed(emitter: Emitter, y: Tensor, weight: Tensor, { window, groups, size }: Form): string {
  const { kernel, stride, dilation, pads } = window;
  const [height, width] = placesOf(y, 'A transposed convolution');
  const made: Pair = [height, width];
  // Places at the end that no window reached.
  const rest = pairBy(
    (axis) => size[axis] - ((made[axis] - 1) * stride[axis] + reach(window, axis) - pads[axis][0] - pads[axis][1]),
  );
  const settings = {
    kernel_shape: kernel,
    strides: stride,
    dilations: dilation,
    pads: onnxPads(window),
    group: groups,
  };
  const [from, filters] = [emitter.name(y), emitter.name(weight)];
  const transposed = (kernels: string): string =>
    emitOne(emitter, 'ConvTranspose', [from, kernels], { ...settings, output_padding: rest });
  if (emitter.device !== 'webgpu' || groups === 1 || weight.shape[1] !== 1) return transposed(filters);
  // WebGPU's kernel is wrong for groups of one channel: each gets a second one of zeros, which is cut out again.
  const doubled = emitOne(emitter, 'Pad', [filters, vector(emitter, [0, 0, 0, 0, 0, 1, 0, 0])], { mode: 'constant' });
  return cut(emitter, transposed(doubled), [1], { starts: [0], ends: [2 * groups], steps: [2] });
}

interface Sizes {
  readonly batch: number;
  readonly channels: number;
  readonly out: number;
  readonly made: Pair;
  readonly places: number;
}

function sizesOf(x: Tensor, y: Tensor): Sizes {
  const [batch, channels] = x.shape;
  const made = placesOf(y, 'A convolution');
  return { batch: Number(batch), channels: Number(channels), out: Number(y.shape[1]), made, places: made[0] * made[1] };
}

/** The one output of a node. */
function result(node: Node): Tensor {
  const [tensor] = node.outputs;
  if (tensor === undefined) throw new Error('an operation without outputs');
  return tensor;
}

/** Sums over the batch `[batch, ...]`. */
function overBatch(emitter: Emitter, x: string): string {
  return emitOne(emitter, 'ReduceSum', [x, vector(emitter, [0])], { keepdims: 0 });
}

function byOneProduct(emitter: Emitter, node: Node): string {
  const [x, y] = pair(node.inputs);
  const { batch, channels, out, places } = sizesOf(x, y);
  const left = shaped(emitter, emitter.name(y), [batch, out, places]);
  const right = shaped(emitter, emitter.name(x), [batch, channels, places]);
  const each = product(emitter, left, right, { rank: 3, transB: true }); // [batch, out, channels]
  return shaped(emitter, overBatch(emitter, each), result(node).shape);
}

/** Tiles laid out as rows: `y^T @ tiles`. */
function byPatches(emitter: Emitter, node: Node, { window, size }: Form): string {
  const [x, y] = pair(node.inputs);
  const { batch, channels, out, made, places } = sizesOf(x, y);
  const [height, width] = window.kernel;
  const covered: Pair = [made[0] * height, made[1] * width];
  const whole = AXES.every((axis) => covered[axis] === size[axis]);
  const picture = emitter.name(x);
  const tiled = whole ? picture : cut(emitter, picture, [2, 3], { starts: [0, 0], ends: covered, steps: [1, 1] });
  const split = shaped(emitter, tiled, [batch, channels, made[0], height, made[1], width]);
  const tiles = shaped(emitter, turned(emitter, split, [0, 2, 4, 1, 3, 5]), [
    batch * places,
    channels * height * width,
  ]);
  const rows = shaped(emitter, turned(emitter, emitter.name(y), [0, 2, 3, 1]), [batch * places, out]);
  return shaped(emitter, emitOne(emitter, 'Gemm', [rows, tiles], { transA: 1 }), result(node).shape);
}

/** All taps side by side, one batched product. */
function byColumns(emitter: Emitter, node: Node, { window }: Form): string {
  const [x, y] = pair(node.inputs);
  const { batch, channels, out, made, places } = sizesOf(x, y);
  const seen = taps(emitter, padded(emitter, emitter.name(x), window), window, made);
  const columns = seen.map((tap) => shaped(emitter, tap, [batch, channels, places]));
  const left = shaped(emitter, emitter.name(y), [batch, out, places]);
  const each = product(emitter, left, emitOne(emitter, 'Concat', columns, { axis: 1 }), { rank: 3, transB: true });
  const sums = shaped(emitter, overBatch(emitter, each), [out, seen.length, channels]);
  return shaped(emitter, turned(emitter, sums, [0, 2, 1]), result(node).shape);
}

/**
 * A product for each tap, whose sum runs over batch and places together. The batch comes last, so that a tap's rows lie
 * side by side in memory.
 */
function byTaps(emitter: Emitter, node: Node, { window, groups }: Form): string {
  const [x, y] = pair(node.inputs);
  const { batch, channels, out, made, places } = sizesOf(x, y);
  const axes: PictureAxes = [1, 2];
  const picture = padded(emitter, turned(emitter, emitter.name(x), [1, 2, 3, 0]), window, { axes });
  const ways = (rows: number): readonly number[] => [...(groups === 1 ? [] : [groups]), rows / groups, batch * places];
  const left = shaped(emitter, turned(emitter, emitter.name(y), [1, 2, 3, 0]), ways(out));
  const products = taps(emitter, picture, window, made, axes).map((tap) => {
    const right = shaped(emitter, tap, ways(channels));
    const each =
      groups === 1
        ? emitOne(emitter, 'Gemm', [left, right], { transB: 1 })
        : product(emitter, left, right, { rank: 3, transB: true });
    return shaped(emitter, each, [out, channels / groups, 1]);
  });
  return shaped(emitter, emitOne(emitter, 'Concat', products, { axis: 2 }), result(node).shape);
}
