/** Windows that slide over the last two axes `[.., height, width]`: their sizes, steps and paddings, read and checked. */

import { type Dimension, type Shape, shapeError, shapeText, type Tensor } from '../graph.js';

/** A number for the vertical and one for the horizontal axis. */
export type Pair = readonly [vertical: number, horizontal: number];
/** One number for both axes, or one each. */
export type PerAxis = number | Pair;
/** Zeros before and after the first and last place of an axis; one number stands for both. */
export type Sides = number | readonly [before: number, after: number];
/**
 * Zeros around a sequence: numbers; `valid` for none; `same` for as many that a stride of 1 keeps the length (a stride s
 * gives ceil(length / s); an odd one goes to the end, as in TensorFlow and JAX); `causal` for all of them in front.
 */
export type Padding1d = Sides | 'same' | 'valid' | 'causal';
/** Zeros around a picture: one number for every side, `[vertical, horizontal]` sides, `same` or `valid` (see {@link Padding1d}). */
export type Padding2d = number | readonly [vertical: Sides, horizontal: Sides] | 'same' | 'valid';

/** A window that slides over two axes. */
export interface Window {
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly dilation: Pair;
  readonly pads: readonly [vertical: Pair, horizontal: Pair];
}

/** How a window is described: what is left out is a stride and a dilation of 1, and no padding. */
export interface WindowOptions {
  readonly stride?: PerAxis;
  readonly dilation?: PerAxis;
  readonly padding?: Padding2d;
}

/** The axes of a picture, as indices into a {@link Pair}. */
export const AXES = [0, 1] as const;
export type Axis = (typeof AXES)[number];

/** One number an axis. */
export function pairOf(value: PerAxis): Pair {
  return typeof value === 'number' ? [value, value] : value;
}

/** A pair computed axis by axis. */
export function pairBy(f: (axis: Axis) => number): Pair {
  return [f(0), f(1)];
}

/** Sizes of the last two axes. @throws bad-shape where one is only a name. */
export function placesOf(x: Tensor, operation: string): Pair {
  const [height, width] = x.shape.slice(-2);
  if (typeof height !== 'number' || typeof width !== 'number')
    throw shapeError(`${operation} needs a known height and width, not ${shapeText(x.shape)}.`);
  return [height, width];
}

/** Places that a window covers along an axis, those that dilation skips included. */
export function reach({ kernel, dilation }: Pick<Window, 'kernel' | 'dilation'>, axis: Axis): number {
  return (kernel[axis] - 1) * dilation[axis] + 1;
}

/** How many places a window stops at. */
export function stops(window: Window, [height, width]: Pair): Pair {
  const sizes: Pair = [height, width];
  return pairBy((axis) => {
    const [before, after] = window.pads[axis];
    return Math.floor((sizes[axis] + before + after - reach(window, axis)) / window.stride[axis]) + 1;
  });
}

/**
 * Reads and checks a window over `size`. @throws bad-shape for numbers that are not whole or too small, and for a window
 * that is larger than the padded picture.
 */
export function windowOf(operation: string, size: Pair, kernel: PerAxis, options: WindowOptions): Window {
  const { stride = 1, dilation = 1, padding = 0 } = options;
  const read = { kernel: pairOf(kernel), stride: pairOf(stride), dilation: pairOf(dilation) };
  for (const [name, numbers] of Object.entries(read)) requireWhole(`${operation}: the ${name}`, numbers, 1);
  const pads = padsOf(size, read, padding);
  for (const sides of pads) requireWhole(`${operation}: the padding`, sides, 0);
  const window: Window = { ...read, pads };
  for (const axis of AXES) {
    if (stops(window, size)[axis] < 1)
      throw shapeError(
        `${operation}: a window of ${pairBy((at) => reach(window, at)).join(' x ')} does not fit into ${size.join(' x ')} with a padding of ${pads[axis].join(' and ')}.`,
      );
  }
  return window;
}

/** @throws bad-shape for a number that is not whole or less than `least`. */
export function requireWhole(what: string, numbers: readonly number[], least: number): void {
  for (const number of numbers)
    if (!Number.isInteger(number) || number < least)
      throw shapeError(`${what} must be whole and at least ${least}, not ${number}.`);
}

function padsOf(size: Pair, window: Omit<Window, 'pads'>, padding: Padding2d): readonly [Pair, Pair] {
  if (padding === 'same') return [same(size, window, 0), same(size, window, 1)];
  const [vertical, horizontal] =
    padding === 'valid' ? [0, 0] : typeof padding === 'number' ? [padding, padding] : padding;
  return [pairOf(vertical), pairOf(horizontal)];
}

function same(size: Pair, window: Omit<Window, 'pads'>, axis: Axis): Pair {
  const stride = window.stride[axis];
  const needed = (Math.ceil(size[axis] / stride) - 1) * stride + reach(window, axis) - size[axis];
  const total = Math.max(0, needed);
  return [Math.floor(total / 2), Math.ceil(total / 2)];
}

/** The options of a sequence as those of a picture of height 1. */
export function flatOptions(
  kernel: number,
  { stride = 1, dilation = 1, padding = 0 }: { stride?: number; dilation?: number; padding?: Padding1d },
): WindowOptions & { readonly padding: Padding2d } {
  const sides: Padding2d =
    padding === 'same' || padding === 'valid'
      ? padding
      : [0, padding === 'causal' ? [(kernel - 1) * dilation, 0] : padding];
  return { stride: [1, stride], dilation: [1, dilation], padding: sides };
}

/** `[batch, channels, length]` as a picture of height 1. @throws bad-shape for another rank. */
export function asPicture(shape: Shape, operation: string): readonly [Dimension, Dimension, 1, Dimension] {
  const [batch, channels, length] = shape;
  if (shape.length !== 3 || batch === undefined || channels === undefined || length === undefined)
    throw shapeError(`${operation} takes [batch, channels, length], not ${shapeText(shape)}.`);
  return [batch, channels, 1, length];
}

/** Pads as ONNX lists them: all beginnings, then all ends. */
export function onnxPads({ pads: [vertical, horizontal] }: Window): readonly number[] {
  return [vertical[0], horizontal[0], vertical[1], horizontal[1]];
}
