/** Convolutions, and through pictures.ts what else runs over windows, against loops over every place and tap. */

import * as t from 'tessera-kit/tensor';
import { pictures } from './pictures.js';
import { at, floats, make, type OperationCase, type OperationRow, row, type Value } from './value.js';
import {
  convolved,
  eachTap,
  type Pair,
  placeIn,
  planeOf,
  slopesOf,
  transposed,
  windowOf,
  withHeight,
  withoutHeight,
} from './windows.js';

type Conv2dCase = Omit<t.Conv2dOptions, 'bias'> & { readonly bias?: boolean; readonly meaning?: t.Padding2d };

/** `meaning` spells out a padding that is given by name. */
function conv2d(shape: readonly number[], kernel: readonly number[], options: Conv2dCase = {}): OperationCase {
  const { bias = false, meaning, ...settings } = options;
  const [out = 1, , height = 1, width = 1] = kernel;
  const window = windowOf([height, width], { ...settings, padding: meaning ?? settings.padding });
  return {
    inputs: [floats(shape), floats(kernel), ...(bias ? [floats([out])] : [])],
    apply: (x, weight, added) => t.conv2d(x, weight, { ...settings, bias: added }),
    reference: convolved(window, settings.groups ?? 1),
  };
}

type Conv1dCase = Omit<t.Conv1dOptions, 'bias'> & { readonly bias?: boolean; readonly sides?: Pair };

function conv1d(shape: readonly number[], kernel: readonly number[], options: Conv1dCase = {}): OperationCase {
  const { bias = false, sides = [0, 0], ...settings } = options;
  const [out = 1, , width = 1] = kernel;
  const { stride = 1, dilation = 1 } = settings;
  const plain = { stride: [1, stride], dilation: [1, dilation], padding: [0, sides] } as const;
  const sums = convolved(windowOf([1, width], plain), settings.groups ?? 1);
  return {
    inputs: [floats(shape), floats(kernel), ...(bias ? [floats([out])] : [])],
    apply: (x, weight, added) => t.conv1d(x, weight, { ...settings, bias: added }),
    reference: (x, weight, added) => withoutHeight(sums(withHeight(x), withHeight(weight), added)),
  };
}

type TransposedCase = Omit<t.ConvTranspose2dOptions, 'bias'> & { readonly bias?: boolean };

function convTranspose2d(
  shape: readonly number[],
  kernel: readonly number[],
  size: Pair,
  options: TransposedCase = {},
): OperationCase {
  const { bias = false, ...settings } = options;
  const [, channels = 1, height = 1, width = 1] = kernel;
  const { groups = 1 } = settings;
  return {
    inputs: [floats(shape), floats(kernel), ...(bias ? [floats([channels * groups])] : [])],
    apply: (x, weight, added) => t.convTranspose2d(x, weight, { ...settings, bias: added }),
    reference: transposed(windowOf([height, width], settings), groups, size),
  };
}

function convTranspose1d(
  shape: readonly number[],
  kernel: readonly number[],
  length: number,
  options: Omit<t.ConvTranspose1dOptions, 'bias'> = {},
): OperationCase {
  const { stride = 1, dilation = 1, padding = 0, groups = 1 } = options;
  const window = windowOf([1, kernel[2] ?? 1], {
    stride: [1, stride],
    dilation: [1, dilation],
    padding: [0, padding],
  });
  const sums = transposed(window, groups, [1, length]);
  return {
    inputs: [floats(shape), floats(kernel)],
    apply: (x, weight) => t.convTranspose1d(x, weight, options),
    reference: (x, weight) => withoutHeight(sums(withHeight(x), withHeight(weight))),
  };
}

/** The slopes of `sum(conv(x, w)^2)`: 2 convT(y, w), and for each weight twice the sum of y times what its tap sees. */
function secondOrder(shape: readonly number[], kernel: readonly number[], options: t.Conv2dOptions): OperationCase {
  const { groups = 1 } = options;
  const window = windowOf([kernel[2] ?? 1, kernel[3] ?? 1], options);
  const twice = (value: Value): Value => ({ ...value, data: value.data.map((x) => 2 * x) });
  return {
    inputs: [floats(shape, -1, 1), floats(kernel, -1, 1)],
    apply: slopesOf((x, weight) => t.conv2d(x ?? weight, weight ?? x, options), 0, 1),
    reference: (x, weight) => {
      const y = convolved(window, groups)(x, weight);
      const size = planeOf(x);
      const [out = 1, channels = 1] = weight.shape;
      const sums = new Map<string, number>();
      for (const [n, o, row, column] of make(y.shape, () => 0).data.map((_, index) => placeIn(y.shape, index))) {
        const first = Math.floor((o * groups) / out) * channels;
        eachTap(window, size, [row, column], (v, z, tap) => {
          for (let c = 0; c < channels; c++) {
            const key = [o, c, ...tap].join();
            const term = at(y, [n, o, row, column]) * at(x, [n, first + c, v, z]);
            sums.set(key, (sums.get(key) ?? 0) + term);
          }
        });
      }
      const slope = make(weight.shape, (position) => sums.get(position.join()) ?? 0);
      return [twice(transposed(window, groups, size)(y, weight)), twice(slope)];
    },
  };
}

export const convolutions: readonly OperationRow[] = [
  row(
    'conv2d',
    conv2d([2, 3, 5, 6], [4, 3, 3, 3], { bias: true }),
    conv2d([2, 3, 5, 6], [4, 3, 3, 3], { padding: 1 }),
    conv2d([2, 9, 5, 4], [3, 9, 3, 2], { padding: 1, bias: true }),
    conv2d([2, 9, 4, 5], [3, 9, 1, 1], { bias: true }),
    conv2d([1, 2, 5, 5], [3, 2, 1, 1], { stride: 2 }),
    conv2d([2, 9, 7, 6], [2, 9, 3, 3], { stride: 2, padding: 1, bias: true }),
    conv2d([2, 3, 8, 7], [2, 3, 3, 2], { stride: [3, 2], padding: [[2, 0], 1] }),
    conv2d([1, 3, 9, 8], [2, 3, 3, 3], { dilation: 2, padding: 2 }),
    conv2d([1, 9, 9, 8], [2, 9, 2, 3], { dilation: [3, 2], stride: [1, 2], padding: 1 }),
    conv2d([2, 4, 5, 4], [6, 2, 3, 3], { groups: 2, padding: 1, bias: true }),
    conv2d([2, 4, 6, 5], [6, 2, 3, 3], { groups: 2, stride: 2, padding: 1 }),
    conv2d([2, 3, 5, 4], [3, 1, 3, 3], { groups: 3, padding: 1, bias: true }),
    conv2d([2, 3, 6, 5], [6, 1, 3, 3], { groups: 3, stride: 2, dilation: [1, 2], padding: 1 }),
    conv2d([2, 3, 4, 6], [5, 3, 2, 3], { stride: [2, 3], bias: true }),
    conv2d([2, 3, 5, 8], [5, 3, 2, 3], { stride: [2, 3] }),
    conv2d([1, 2, 3, 3], [2, 2, 3, 3], { padding: 4 }),
    conv2d([1, 2, 6, 7], [2, 2, 3, 4], { padding: 'valid' }),
    conv2d([1, 2, 6, 7], [2, 2, 3, 4], { padding: 'same', meaning: [1, [1, 2]] }),
    conv2d([1, 2, 6, 7], [2, 2, 3, 4], {
      padding: 'same',
      stride: [2, 3],
      meaning: [
        [0, 1],
        [1, 2],
      ],
    }),
    conv2d([1, 2, 6, 5], [2, 2, 1, 1], { padding: 'same', stride: [4, 3], meaning: 0 }),
    secondOrder([2, 2, 5, 4], [3, 2, 3, 2], { stride: [2, 1], padding: 1 }),
    secondOrder([1, 4, 4, 4], [2, 2, 2, 2], { groups: 2, dilation: 2, padding: 1 }),
  ),
  row(
    'conv1d',
    conv1d([2, 3, 7], [4, 3, 3], { bias: true }),
    conv1d([2, 9, 8], [3, 9, 3], { stride: 2, padding: [2, 1], sides: [2, 1], bias: true }),
    conv1d([1, 4, 9], [4, 1, 3], { groups: 4, dilation: 2, padding: 2, sides: [2, 2] }),
    conv1d([2, 2, 6], [3, 2, 3], { dilation: 2, padding: 'causal', sides: [4, 0] }),
    conv1d([1, 2, 7], [3, 2, 4], { padding: 'same', sides: [1, 2] }),
    conv1d([1, 2, 7], [3, 2, 4], { padding: 'same', stride: 2, sides: [1, 2] }),
    conv1d([1, 2, 8], [3, 2, 4], { padding: 'valid', stride: 4 }),
  ),
  row(
    'convTranspose2d',
    convTranspose2d([2, 3, 4, 5], [3, 4, 3, 3], [6, 7], { bias: true }),
    convTranspose2d([2, 3, 4, 5], [3, 2, 3, 3], [4, 5], { padding: 1 }),
    convTranspose2d([2, 3, 3, 4], [3, 2, 3, 3], [5, 7], { stride: 2, padding: 1, bias: true }),
    convTranspose2d([2, 3, 3, 4], [3, 2, 3, 3], [6, 8], { stride: 2, padding: 1, outputPadding: 1 }),
    convTranspose2d([1, 4, 3, 3], [4, 3, 3, 2], [9, 7], { groups: 2, stride: [3, 2], outputPadding: [0, 1] }),
    convTranspose2d([1, 3, 3, 4], [3, 1, 3, 3], [7, 8], { groups: 3, dilation: 2 }),
    convTranspose2d([1, 2, 3, 4], [2, 3, 2, 2], [6, 8], { stride: 2 }),
    convTranspose2d([1, 2, 4, 4], [2, 2, 3, 2], [9, 6], {
      stride: [2, 1],
      padding: [[0, 1], 0],
      dilation: [1, 2],
      outputPadding: [1, 0],
    }),
    convTranspose2d([1, 2, 5, 5], [2, 2, 2, 2], [2, 2], { padding: 2 }),
  ),
  row(
    'convTranspose1d',
    convTranspose1d([2, 3, 5], [3, 2, 3], 7),
    convTranspose1d([2, 4, 4], [4, 1, 4], 9, { groups: 2, stride: 2, padding: [1, 0] }),
    convTranspose1d([1, 2, 4], [2, 3, 3], 10, { stride: 2, dilation: 2, padding: 1, outputPadding: 1 }),
  ),
  ...pictures,
];
