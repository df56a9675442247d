/** Windows over small pictures, by loops over every place and tap: what references of the table are written with. */

import * as t from 'tessera-kit/tensor';
import { at, make, type Value } from './value.js';

export type Pair = readonly [number, number];

/** A window with every number spelled out; pads are top, left, bottom, right. */
export interface Window {
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly dilation: Pair;
  readonly pads: readonly [number, number, number, number];
}

export const pair = (value: number | Pair = 1): Pair => (typeof value === 'number' ? [value, value] : value);

/** Padding in the library's form as top, left, bottom, right. */
function padsOf(padding: t.Padding2d = 0): Window['pads'] {
  if (padding === 'valid') return [0, 0, 0, 0];
  if (padding === 'same') throw new Error('a case spells "same" out');
  const [vertical, horizontal] = typeof padding === 'number' ? [padding, padding] : padding;
  const [[top, bottom], [left, right]] = [pair(vertical), pair(horizontal)];
  return [top, left, bottom, right];
}

export function windowOf(kernel: number | Pair, options: t.Conv2dOptions): Window {
  return {
    kernel: pair(kernel),
    stride: pair(options.stride),
    dilation: pair(options.dilation),
    pads: padsOf(options.padding),
  };
}

export function made({ kernel, stride, dilation, pads }: Window, size: Pair): Pair {
  const along = (axis: 0 | 1): number => {
    const room = size[axis] + pads[axis] + pads[axis === 0 ? 2 : 3] - dilation[axis] * (kernel[axis] - 1) - 1;
    return Math.floor(room / stride[axis]) + 1;
  };
  return [along(0), along(1)];
}

export const planeOf = ({ shape }: Value): Pair => [shape.at(-2) ?? 1, shape.at(-1) ?? 1];

/** Calls `f` with the place of the input that each tap sees from a place of the output, those in the padding left out. */
export function eachTap(
  { kernel, stride, dilation, pads }: Window,
  size: Pair,
  [row, column]: Pair,
  f: (y: number, x: number, tap: Pair) => void,
): void {
  for (let i = 0; i < kernel[0]; i++)
    for (let j = 0; j < kernel[1]; j++) {
      const y = row * stride[0] + i * dilation[0] - pads[0];
      const x = column * stride[1] + j * dilation[1] - pads[1];
      if (y >= 0 && y < size[0] && x >= 0 && x < size[1]) f(y, x, [i, j]);
    }
}

export function convolved(window: Window, groups: number) {
  return (x: Value, weight: Value, bias?: Value): Value => {
    const size = planeOf(x);
    const [out = 1, channels = 1] = weight.shape;
    return make([x.shape[0] ?? 1, out, ...made(window, size)], ([n = 0, o = 0, row = 0, column = 0]) => {
      let total = bias === undefined ? 0 : at(bias, [o]);
      const first = Math.floor((o * groups) / out) * channels;
      eachTap(window, size, [row, column], (y, z, tap) => {
        for (let c = 0; c < channels; c++) total += at(weight, [o, c, ...tap]) * at(x, [n, first + c, y, z]);
      });
      return total;
    });
  };
}

/** Every place of the input adds its weighted kernel to the output, of the given size. */
export function transposed(window: Window, groups: number, size: Pair) {
  return (x: Value, weight: Value, bias?: Value): Value => {
    const [inputs = 1, channels = 1] = weight.shape;
    const sums = new Map<string, number>();
    for (const position of make(x.shape, () => 0).data.keys()) {
      const [height, width] = planeOf(x);
      const column = position % width;
      const row = Math.floor(position / width) % height;
      const i = Math.floor(position / (width * height)) % inputs;
      const n = Math.floor(position / (width * height * inputs));
      const first = Math.floor((i * groups) / inputs) * channels;
      eachTap(window, size, [row, column], (y, z, tap) => {
        for (let c = 0; c < channels; c++) {
          const key = [n, first + c, y, z].join();
          sums.set(key, (sums.get(key) ?? 0) + at(weight, [i, c, ...tap]) * at(x, [n, i, row, column]));
        }
      });
    }
    return make(
      [x.shape[0] ?? 1, channels * groups, ...size],
      (p) => (sums.get(p.join()) ?? 0) + (bias === undefined ? 0 : at(bias, [p[1] ?? 0])),
    );
  };
}

export const withHeight = (x: Value): Value => {
  const [first = 1, second = 1, length = 1] = x.shape;
  return { ...x, shape: [first, second, 1, length] };
};
export const withoutHeight = (x: Value): Value => ({ ...x, shape: x.shape.filter((_, axis) => axis !== 2) });

/** The gradients of a sum of squared gradients: what the operations that gradients are made of send back. */
export function slopesOf(f: (...inputs: t.Tensor[]) => t.Tensor, ...wanted: number[]) {
  return (...inputs: t.Tensor[]): t.Tensor[] => {
    const y = f(...inputs);
    return t.gradients(
      t.sum(t.mul(y, y)),
      wanted.map((place) => inputs[place] ?? y),
    );
  };
}

export function placeIn(shape: readonly number[], index: number): readonly [number, number, number, number] {
  const [, c = 1, height = 1, width = 1] = shape;
  const row = Math.floor(index / width) % height;
  return [Math.floor(index / (width * height * c)), Math.floor(index / (width * height)) % c, row, index % width];
}
