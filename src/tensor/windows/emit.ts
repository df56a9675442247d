/** ONNX nodes that the operations over windows are written with. */

import type { Emitter, Shape } from '../graph.js';
import { array } from '../ndarray.js';
import { AXES, type Pair, pairBy, reach, type Window } from './geometry.js';

/** A node with one output. */
export function emitOne(
  emitter: Emitter,
  type: string,
  inputs: readonly string[],
  attributes: Record<string, unknown> = {},
  domain?: string,
): string {
  return emitter.emit(type, inputs, attributes, 1, domain)[0] ?? '';
}

/** An int64 vector. */
export function vector(emitter: Emitter, values: readonly number[]): string {
  return emitter.constant(array(values, [values.length], 'int64'));
}

/** The same elements in another shape, named sizes included. */
export function shaped(emitter: Emitter, x: string, shape: Shape): string {
  return emitOne(emitter, 'Reshape', [x, emitter.shape(shape)]);
}

/** Axes in another order. */
export function turned(emitter: Emitter, x: string, perm: readonly number[]): string {
  return emitOne(emitter, 'Transpose', [x], { perm });
}

/** A part along some axes: from `starts` to before `ends`, every `steps`th place. */
export function cut(
  emitter: Emitter,
  x: string,
  axes: readonly number[],
  { starts, ends, steps }: Record<'starts' | 'ends' | 'steps', readonly number[]>,
): string {
  return emitOne(emitter, 'Slice', [x, ...[starts, ends, axes, steps].map((list) => vector(emitter, list))]);
}

/** Where height and width are among four axes. */
export type PictureAxes = readonly [height: number, width: number];

/** `x`, of four axes, with its window's padding around its picture, filled with a constant of its dtype (default: 0). */
export function padded(
  emitter: Emitter,
  x: string,
  { pads }: Window,
  { fill, axes = [2, 3] }: { fill?: string; axes?: PictureAxes } = {},
): string {
  const sides = Array.from({ length: 8 }, () => 0);
  for (const axis of AXES) [sides[axes[axis]], sides[4 + axes[axis]]] = pads[axis];
  if (sides.every((side) => side === 0)) return x;
  const values = fill === undefined ? [] : [fill];
  return emitOne(emitter, 'Pad', [x, vector(emitter, sides), ...values], { mode: 'constant' });
}

/** What each tap of a window sees of a padded picture of four axes: pictures of `out`, in the kernel's order. */
export function taps(
  emitter: Emitter,
  picture: string,
  window: Window,
  out: Pair,
  axes: PictureAxes = [2, 3],
): readonly string[] {
  const { kernel, stride, dilation } = window;
  const offsets = Array.from({ length: kernel[0] }, (_, row) =>
    Array.from({ length: kernel[1] }, (_, column): Pair => [row * dilation[0], column * dilation[1]]),
  ).flat();
  return offsets.map((offset) => {
    const ends = pairBy((axis) => offset[axis] + (out[axis] - 1) * stride[axis] + 1);
    return cut(emitter, picture, axes, { starts: offset, ends, steps: stride });
  });
}

/** `a @ b` for equal batch axes, either of them read with its last two axes exchanged; `rank` is that of both. */
export function product(
  emitter: Emitter,
  a: string,
  b: string,
  { rank, transA = false, transB = false }: { rank: number; transA?: boolean; transB?: boolean },
): string {
  if (emitter.device !== 'webgpu') {
    const flags = { transA: Number(transA), transB: Number(transB), alpha: { float: 1 } };
    return emitOne(emitter, 'FusedMatMul', [a, b], flags, 'com.microsoft');
  }
  const order = Array.from({ length: rank }, (_, axis) => axis);
  order.push(...order.splice(-2).reverse());
  const [left, right] = [transA ? turned(emitter, a, order) : a, transB ? turned(emitter, b, order) : b];
  return emitOne(emitter, 'MatMul', [left, right]);
}

/** Windows that tile the picture from its first place on: none overlap, nothing is skipped inside them. */
export function isTiling({ kernel, stride, dilation, pads }: Window): boolean {
  return AXES.every(
    (axis) =>
      stride[axis] === kernel[axis] &&
      (dilation[axis] === 1 || kernel[axis] === 1) &&
      pads[axis].every((side) => side === 0),
  );
}

/** A kernel of one tap at every place. */
export function isPointwise(window: Window): boolean {
  return AXES.every((axis) => reach(window, axis) === 1) && isTiling(window);
}
