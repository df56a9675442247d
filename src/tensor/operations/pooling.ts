/**
 * Pooling over sequences and pictures, with PyTorch's sizes, divisors and ties. A sequence is a picture of height 1.
 *
 * The gradient of a maximum, in milliseconds of processor time (the least of 31 runs beside other load, forward
 * included: 0.4, 0.2, 0.2) for 2 x 2 windows of [32, 32, 32, 32], [32, 64, 16, 16] and [32, 128, 8, 8]:
 *
 *   numbers of the places that attain it, pooled again   3.7   1.5   0.8
 *   each tap, cut out, compared with the maximum         4.2   2.4   1.4
 *   the places of MaxPool's second output, MaxUnpool     5.7   3.5   1.6
 *
 * So windows that tile the picture are numbered. Others scatter by the second output, in sums that MaxUnpool would lose.
 * An average is one small matrix a direction, and so is its gradient.
 */

import {
  applyOne,
  constant,
  type Dimension,
  type Emitter,
  type Operation,
  shapeError,
  shapeText,
  type Tensor,
} from '../graph.js';
import { array, type NDArray } from '../ndarray.js';
import { cut, emitOne, isTiling, padded, taps, vector } from '../windows/emit.js';
import {
  AXES,
  type Axis,
  asPicture,
  flatOptions,
  onnxPads,
  type Padding1d,
  type Padding2d,
  type Pair,
  type PerAxis,
  pairBy,
  placesOf,
  reach,
  stops,
  type Window,
  windowOf,
} from '../windows/geometry.js';
import { type AxisMap, seen, separable } from '../windows/separable.js';
import { broadcastTo } from './broadcast.js';
import { isFloat, only, pair, relu } from './elementwise.js';
import { gatherElements, scatterElementsAdd } from './gather.js';
import { max, mean } from './reduce.js';
import { reshape } from './shape.js';

/** How a window runs over a sequence. */
export interface Pool1dOptions {
  readonly kernel: number;
  /** Steps between windows (default: the kernel, so that they tile). */
  readonly stride?: number;
  /** Places around the sequence that count as missing (default 0); every window must see a real one. */
  readonly padding?: Padding1d;
  /** One more window for places at the end that would be left over, where it begins inside (default false). */
  readonly ceilMode?: boolean;
}

/** The same for pictures. */
export interface Pool2dOptions extends Pick<Pool1dOptions, 'ceilMode'> {
  readonly kernel: PerAxis;
  readonly stride?: PerAxis;
  readonly padding?: Padding2d;
}

/** Maximum pooling may skip places inside its window. */
export interface MaxPool1dOptions extends Pool1dOptions {
  readonly dilation?: number;
}

/** The same for pictures. */
export interface MaxPool2dOptions extends Pool2dOptions {
  readonly dilation?: PerAxis;
}

/** Whether an average divides by all places of its window or by those inside the input. */
export interface AveragePadding {
  /** Padding counts as zeros (default true, as in PyTorch); what `ceilMode` adds never counts. */
  readonly countIncludePad?: boolean;
}

/**
 * The largest value of each window: `[batch, channels, length]` to `[batch, channels, length']`.
 * The gradient goes to the first place that attains it. @throws bad-shape when the window does not fit.
 */
export function maxPool1d(x: Tensor, options: MaxPool1dOptions): Tensor {
  const { kernel, stride = kernel, ceilMode } = options;
  const flat = flatOptions(kernel, { ...options, stride });
  return flattened(maxPool2d(reshape(x, asPicture(x.shape, 'maxPool1d')), { kernel: [1, kernel], ceilMode, ...flat }));
}

/**
 * The largest value of each window: `[batch, channels, height, width]` to `[batch, channels, height', width']`, where
 * `height' = floor((height + padding - dilation * (kernel - 1) - 1) / stride) + 1`, or the ceiling with `ceilMode`.
 * The gradient goes to the place that attains it, the first one, row by row, of several.
 * @throws bad-shape when the window does not fit, or sees only padding somewhere.
 */
export function maxPool2d(x: Tensor, options: MaxPool2dOptions): Tensor {
  // Both orders give the same numbers and the same gradients; this one rectifies fewer.
  if (x.node.operation.name === 'relu') return relu(maxPool2d(only(x.node.inputs), options));
  const { window, shape } = poolOf('maxPool2d', x, options);
  return applyOne(maxOperation(window), [x], { window }, { dtype: x.dtype, shape });
}

/**
 * The mean of each window: `[batch, channels, length]` to `[batch, channels, length']`.
 * @throws bad-shape when the window does not fit.
 */
export function avgPool1d(x: Tensor, options: Pool1dOptions & AveragePadding): Tensor {
  const { kernel, stride = kernel, ceilMode, countIncludePad } = options;
  const flat = flatOptions(kernel, { ...options, stride, dilation: 1 });
  const picture = reshape(x, asPicture(x.shape, 'avgPool1d'));
  return flattened(avgPool2d(picture, { kernel: [1, kernel], ceilMode, countIncludePad, ...flat }));
}

/**
 * The mean of each window: `[batch, channels, height, width]` to `[batch, channels, height', width']`, sizes as
 * {@link maxPool2d}. @throws bad-shape when the window does not fit, or sees only padding somewhere.
 */
export function avgPool2d(x: Tensor, options: Pool2dOptions & AveragePadding): Tensor {
  const { countIncludePad = true } = options;
  const { window, shape, size, whole } = poolOf('avgPool2d', x, options);
  const maps: Maps = [
    averages(window, whole, size, 0, countIncludePad),
    averages(window, whole, size, 1, countIncludePad),
  ];
  const extended = AXES.some((axis) => window.pads[axis][1] !== whole.pads[axis][1]);
  // The kernel is for single precision, and would count the places that ceilMode adds.
  if (x.dtype === 'float64' || (extended && countIncludePad)) return separable(x, ...maps);
  return applyOne(
    averageOperation(window, countIncludePad, maps),
    [x],
    { window, countIncludePad },
    { dtype: x.dtype, shape },
  );
}

/** The mean over all places: `[batch, channels, ...]` to `[batch, channels]`. */
export function globalAvgPool(x: Tensor): Tensor {
  return mean(x, inner(x, 'globalAvgPool'));
}

/** The largest value over all places: `[batch, channels, ...]` to `[batch, channels]`; equal places share the gradient. */
export function globalMaxPool(x: Tensor): Tensor {
  return max(x, inner(x, 'globalMaxPool'));
}

function inner(x: Tensor, name: string): number[] {
  if (x.shape.length < 3) throw shapeError(`${name} takes [batch, channels, ...], not ${shapeText(x.shape)}.`);
  return x.shape.map((_, axis) => axis).slice(2);
}

interface Pool {
  /** With what `ceilMode` adds as padding at the end. */
  readonly window: Window;
  /** Without it. */
  readonly whole: Window;
  readonly size: Pair;
  readonly shape: readonly Dimension[];
}

function poolOf(name: string, x: Tensor, options: MaxPool2dOptions): Pool {
  const [batch = 1, channels = 1] = x.shape;
  if (x.shape.length !== 4 || !isFloat(x.dtype))
    throw shapeError(`${name} takes floating [batch, channels, height, width], not ${x.dtype} ${shapeText(x.shape)}.`);
  const size = placesOf(x, name);
  const whole = windowOf(name, size, options.kernel, { ...options, stride: options.stride ?? options.kernel });
  const window = options.ceilMode === true ? withCeiling(whole, size) : whole;
  const made = stops(window, size);
  for (const axis of AXES)
    for (let stop = 0; stop < made[axis]; stop++)
      if (seen(window, size[axis], axis, stop).length === 0)
        throw shapeError(
          `${name}: with a padding of ${window.pads[axis].join(' and ')}, window ${stop} of ${size.join(' x ')} sees only padding.`,
        );
  return { window, whole, size, shape: [batch, channels, ...made] };
}

/** Padding at the end for one more window, where that begins before the padding there. */
function withCeiling(window: Window, size: Pair): Window {
  const sides = (axis: Axis): Pair => {
    const [before, after] = window.pads[axis];
    const stride = window.stride[axis];
    const room = size[axis] + before + after - reach(window, axis);
    const last = Math.ceil(room / stride) * stride;
    return last < size[axis] + before ? [before, after + Math.max(0, last - room)] : [before, after];
  };
  return { ...window, pads: [sides(0), sides(1)] };
}

function flattened(y: Tensor): Tensor {
  const [batch = 1, channels = 1, , length = 1]: readonly Dimension[] = y.shape;
  return reshape(y, [batch, channels, length]);
}

function settingsOf(window: Window): Record<string, unknown> {
  return { kernel_shape: window.kernel, strides: window.stride, pads: onnxPads(window) };
}

const maxOperation = (window: Window): Operation => ({
  name: 'maxPool',
  gradient: ({ inputs, outputs }, [g]) => {
    const x = only(inputs);
    if (g === undefined) return [];
    if (isTiling(window) && x.dtype === 'float32')
      return [applyOne(tiledOperation(window), [x, only(outputs), g], { window }, x)];
    const places = maxPlaces(x, window);
    const flat = reshape(x, [-1]);
    const empty = broadcastTo(constant(0, x.dtype), flat.shape);
    return [reshape(scatterElementsAdd(empty, places, reshape(g, [-1]), 0), x.shape)];
  },
  lower: ({ inputs }, emitter) =>
    emitter.emit('MaxPool', inputs.map(emitter.name), { ...settingsOf(window), dilations: window.dilation }),
});

/** Where each maximum stands in the flat picture: int64, one after the other. */
function maxPlaces(x: Tensor, window: Window): Tensor {
  const [batch = 1, channels = 1] = x.shape;
  const shape = [batch, channels, ...stops(window, placesOf(x, 'maxPool2d'))];
  return reshape(applyOne(placesOperation(window), [x], { window }, { dtype: 'int64', shape }), [-1]);
}

const placesOperation = (window: Window): Operation => ({
  name: 'maxPoolPlaces',
  lower: ({ inputs, outputs }, emitter) => {
    if (emitter.device === 'webgpu') return [placesByTaps(emitter, only(inputs), only(outputs), window)];
    const settings = { ...settingsOf(window), dilations: window.dilation };
    return emitter.emit('MaxPool', inputs.map(emitter.name), settings, 2).slice(1);
  },
});

const LOWEST = -3.4e38;

/** The same where the kernel of MaxPool has one output only: tap after tap, the first that is larger than all before. */
function placesByTaps(emitter: Emitter, x: Tensor, places: Tensor, window: Window): string {
  const [batch, channels] = x.shape;
  if (typeof batch !== 'number' || typeof channels !== 'number')
    throw shapeError(`The gradient of maxPool2d on WebGPU needs a known batch, not ${shapeText(x.shape)}.`);
  const [size, made] = [placesOf(x, 'maxPool2d'), placesOf(places, 'maxPool2d')];
  const fill = emitter.constant(array([LOWEST], [], x.dtype));
  const values = taps(emitter, padded(emitter, emitter.name(x), window, { fill }), window, made);
  let best = '';
  let at = '';
  for (const [tap, value] of values.entries()) {
    const here = emitter.constant(placesOfTap(tap, window, size, made));
    const larger = best === '' ? '' : emitOne(emitter, 'Greater', [value, best]);
    at = best === '' ? here : emitOne(emitter, 'Where', [larger, here, at]);
    best = best === '' ? value : emitOne(emitter, 'Where', [larger, value, best]);
  }
  const pictures = Array.from({ length: batch * channels }, (_, picture) => picture * size[0] * size[1]);
  const first = emitter.constant(array(pictures, [batch, channels, 1, 1], 'int32'));
  return emitOne(emitter, 'Cast', [emitOne(emitter, 'Add', [at, first])], { to: { dtype: 'int64' } });
}

/** Where a tap stands in the flat picture at each stop, int32 `[height, width]`; in the padding, anywhere. */
function placesOfTap(tap: number, { kernel, stride, dilation, pads }: Window, size: Pair, made: Pair): NDArray {
  const offset = [Math.floor(tap / kernel[1]), tap % kernel[1]] as const;
  const along = (axis: Axis, stop: number): number =>
    stop * stride[axis] + offset[axis] * dilation[axis] - pads[axis][0];
  const numbers = Array.from({ length: made[0] * made[1] }, (_, stop) => {
    const [row, column] = [along(0, Math.floor(stop / made[1])), along(1, stop % made[1])];
    return row * size[1] + column;
  });
  return array(numbers, [...made], 'int32');
}

/**
 * Of windows that tile `x`: the gradient `g` of their maxima `y`, at the first tap that attains each. Places that attain
 * it are numbered from the window's end, so that the largest number of a window is its first such place.
 */
const tiledOperation = (window: Window): Operation => ({
  name: 'maxPoolInput',
  gradient: ({ inputs }, [g]) => {
    const [x, y] = pair(inputs);
    if (g === undefined) return [];
    const chosen = gatherElements(reshape(g, [-1]), maxPlaces(x, window), 0);
    return [undefined, undefined, reshape(chosen, y.shape)];
  },
  lower: ({ inputs }, emitter) => {
    const [x, y] = pair(inputs);
    const [name = '', top = '', slope = ''] = inputs.map(emitter.name);
    const [size, made] = [placesOf(x, 'maxPool2d'), placesOf(y, 'maxPool2d')];
    const covered = pairBy((axis) => made[axis] * window.kernel[axis]);
    const whole = AXES.every((axis) => covered[axis] === size[axis]);
    const picture = whole ? name : cut(emitter, name, [2, 3], { starts: [0, 0], ends: covered, steps: [1, 1] });
    const scales = emitter.constant(array([1, 1, ...window.kernel], [4]));
    const nearest = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
    const spread = (value: string): string => emitOne(emitter, 'Resize', [value, '', scales], nearest);
    const flags = (left: string, right: string): string =>
      emitOne(emitter, 'Cast', [emitOne(emitter, 'Equal', [left, right])], { to: { dtype: 'float32' } });
    const numbers = emitter.constant(tapNumbers(window.kernel, covered));
    const attained = emitOne(emitter, 'Mul', [flags(picture, spread(top)), numbers]);
    // A window that attains nothing, of nothing but negative infinities, is not to choose all of its zeros.
    const settings = { kernel_shape: window.kernel, strides: window.kernel };
    const firsts = emitOne(emitter, 'Max', [
      emitOne(emitter, 'MaxPool', [attained], settings),
      emitter.constant(array([0.5], [])),
    ]);
    const slopes = emitOne(emitter, 'Mul', [flags(attained, spread(firsts)), spread(slope)]);
    if (whole) return [slopes];
    const sides = [0, 0, 0, 0, 0, 0, size[0] - covered[0], size[1] - covered[1]];
    return [emitOne(emitter, 'Pad', [slopes, vector(emitter, sides)], { mode: 'constant' })];
  },
});

/** For each place of a tiled picture its tap's number, from the window's last place, 1, to its first. */
function tapNumbers([height, width]: Pair, [rows, columns]: Pair): NDArray {
  const numbers = Array.from({ length: rows * columns }, (_, place) => {
    const tap = (Math.floor(place / columns) % height) * width + ((place % columns) % width);
    return height * width - tap;
  });
  return array(numbers, [rows, columns]);
}

type Maps = readonly [AxisMap, AxisMap];

/** Each place of the output as a mean of those that its window sees. */
function averages(window: Window, whole: Window, size: Pair, axis: Axis, includePad: boolean): AxisMap {
  return {
    out: stops(window, size)[axis],
    in: size[axis],
    terms: (place) => {
      const places = seen(window, size[axis], axis, place);
      const start = place * window.stride[axis] - whole.pads[axis][0];
      const end = Math.min(start + window.kernel[axis], size[axis] + whole.pads[axis][1]);
      return places.map((source) => [source, 1 / (includePad ? end - start : places.length)]);
    },
  };
}

const averageOperation = (window: Window, countIncludePad: boolean, maps: Maps): Operation => ({
  name: 'avgPool',
  gradient: (_node, [g]) => [g && separable(g, ...maps, true)],
  lower: ({ inputs }, emitter) => {
    const settings = { ...settingsOf(window), count_include_pad: Number(countIncludePad) };
    return emitter.emit('AveragePool', inputs.map(emitter.name), settings);
  },
});
