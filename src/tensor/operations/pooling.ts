/**
 * Pooling over sequences and pictures, with PyTorch's sizes, divisors and ties. A sequence is a picture of height 1.
 *
 * The gradient of a maximum, in milliseconds of processor time for 2 x 2 windows of [32, 32, 32, 32], forward included
 * (forward alone 0.5): comparing each tap with the maximum 4.2, MaxPool's indices with MaxUnpool 5.1, with
 * ScatterElements 6.1. So windows that tile the picture are compared, others use the indices, whose sums MaxUnpool
 * would lose. An average is one small matrix a direction, and so is its gradient.
 */

import { applyOne, constant, type Dimension, type Operation, shapeError, shapeText, type Tensor } from '../graph.js';
import { array } from '../ndarray.js';
import { emitOne, isTiling, shaped, taps } from '../windows/emit.js';
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
  placesOf,
  reach,
  stops,
  type Window,
  windowOf,
} from '../windows/geometry.js';
import { type AxisMap, seen, separable } from '../windows/separable.js';
import { broadcastTo } from './broadcast.js';
import { isFloat, only, pair } from './elementwise.js';
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
    if (isTiling(window)) return [applyOne(tiledOperation(window), [x, only(outputs), g], { window }, x)];
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
  lower: ({ inputs }, emitter) => {
    const settings = { ...settingsOf(window), dilations: window.dilation };
    return emitter.emit('MaxPool', inputs.map(emitter.name), settings, 2).slice(1);
  },
});

/** Of windows that tile `x`: the gradient `g` of their maxima `y`, at the first tap that attains each. */
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
    const [batch = 1, channels = 1] = x.shape;
    const [made, size] = [placesOf(y, 'maxPool2d'), placesOf(x, 'maxPool2d')];
    const zero = emitter.constant(array([0], [], x.dtype));
    const [height, width] = window.kernel;
    let rest = slope;
    const parts = taps(emitter, name, window, made).map((tap, index) => {
      // What no tap before took is the last one's.
      const last = index === height * width - 1;
      const attained = emitOne(emitter, 'Equal', [tap, top]);
      const part = last ? rest : emitOne(emitter, 'Where', [attained, rest, zero]);
      if (!last) rest = emitOne(emitter, 'Where', [attained, zero, rest]);
      return shaped(emitter, part, [batch, channels, made[0], 1, made[1], 1]);
    });
    const rows = Array.from({ length: height }, (_, row) =>
      joined(parts.slice(row * width, (row + 1) * width), 5, (list, axis) =>
        emitOne(emitter, 'Concat', list, { axis }),
      ),
    );
    const all = joined(rows, 3, (list, axis) => emitOne(emitter, 'Concat', list, { axis }));
    const covered = shaped(emitter, all, [batch, channels, made[0] * height, made[1] * width]);
    const [bottom, right] = [size[0] - made[0] * height, size[1] - made[1] * width];
    if (bottom === 0 && right === 0) return [covered];
    const sides = emitter.constant(array([0, 0, 0, 0, 0, 0, bottom, right], [8], 'int64'));
    return [emitOne(emitter, 'Pad', [covered, sides], { mode: 'constant' })];
  },
});

function joined(
  list: readonly string[],
  axis: number,
  concat: (list: readonly string[], axis: number) => string,
): string {
  const [first = ''] = list;
  return list.length === 1 ? first : concat(list, axis);
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
