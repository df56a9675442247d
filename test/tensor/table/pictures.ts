/** Pooling, resizing and patches, each against loops over every place and tap. */

import * as t from 'tessera-kit/tensor';
import { at, distinct, floats, given, make, type OperationCase, type OperationRow, row, type Value } from './value.js';
import {
  eachTap,
  made,
  type Pair,
  pair,
  placeIn,
  planeOf,
  slopesOf,
  type Window,
  windowOf,
  withHeight,
  withoutHeight,
} from './windows.js';

type Pooling = (list: readonly number[], window: Window, row: number, column: number, size: Pair) => number;

function pooled(window: Window, out: Pair | undefined, f: Pooling) {
  return (x: Value): Value => {
    const size = planeOf(x);
    const [n = 1, c = 1] = x.shape;
    return make([n, c, ...(out ?? made(window, size))], ([batch = 0, channel = 0, row = 0, column = 0]) => {
      const list: number[] = [];
      eachTap(window, size, [row, column], (y, z) => list.push(at(x, [batch, channel, y, z])));
      return f(list, window, row, column, size);
    });
  };
}

const largest: Pooling = (list) => Math.max(...list);
const meanOf = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length;

/** The sum over the window divided by the places inside the picture and its padding. */
const meanWithPadding: Pooling = (list, { kernel, stride, pads }, row, column, size) => {
  const inside = (start: number, length: number, end: number): number => Math.min(start + length, end) - start;
  const height = inside(row * stride[0] - pads[0], kernel[0], size[0] + pads[2]);
  const width = inside(column * stride[1] - pads[1], kernel[1], size[1] + pads[3]);
  return list.reduce((a, b) => a + b, 0) / (height * width);
};

/** `out` is the size where `ceilMode` makes it larger. */
function maxPool2d(x: Value, options: t.MaxPool2dOptions, out?: Pair): OperationCase {
  const window = windowOf(options.kernel, { ...options, stride: options.stride ?? options.kernel });
  return { inputs: [x], apply: (given) => t.maxPool2d(given, options), reference: pooled(window, out, largest) };
}

function avgPool2d(shape: readonly number[], options: t.Pool2dOptions & t.AveragePadding, out?: Pair): OperationCase {
  const window = windowOf(options.kernel, { ...options, stride: options.stride ?? options.kernel });
  const f = options.countIncludePad === false ? meanOf : meanWithPadding;
  return { inputs: [floats(shape)], apply: (x) => t.avgPool2d(x, options), reference: pooled(window, out, f) };
}

function pool1d(name: 'maxPool1d' | 'avgPool1d', length: number, options: t.MaxPool1dOptions): OperationCase {
  const { kernel, stride = kernel, dilation = 1, padding = 0 } = options;
  const sides = typeof padding === 'string' ? 0 : padding;
  const window = windowOf([1, kernel], { stride: [1, stride], dilation: [1, dilation], padding: [0, sides] });
  const f = pooled(window, undefined, name === 'maxPool1d' ? largest : meanWithPadding);
  return {
    inputs: [distinct([2, 3, length])],
    apply: (x) => (name === 'maxPool1d' ? t.maxPool1d(x, options) : t.avgPool1d(x, options)),
    reference: (x) => withoutHeight(f(withHeight(x))),
  };
}

/** Where a place of the output lies in the input. */
function source(place: number, from: number, to: number, alignment: t.Alignment): number {
  if (alignment === 'asymmetric') return (place * from) / to;
  if (alignment === 'half-pixel') return ((place + 0.5) * from) / to - 0.5;
  return to === 1 ? 0 : (place * (from - 1)) / (to - 1);
}

function resized(size: Pair, { mode = 'nearest', alignment }: t.ResizeOptions) {
  const aligned = alignment ?? (mode === 'nearest' ? 'asymmetric' : 'half-pixel');
  return (x: Value): Value => {
    const from = planeOf(x);
    const near = (place: number, axis: 0 | 1): readonly (readonly [number, number])[] => {
      const exact = source(place, from[axis], size[axis], aligned);
      const last = from[axis] - 1;
      // A hair's breadth, so that places that should be whole are.
      if (mode === 'nearest') return [[Math.floor(exact + 1e-9 + (aligned === 'asymmetric' ? 0 : 0.5)), 1]];
      const inside = Math.min(last, Math.max(0, exact));
      const low = Math.floor(inside);
      return [
        [low, 1 - (inside - low)],
        [Math.min(last, low + 1), inside - low],
      ];
    };
    const [n = 1, c = 1] = x.shape;
    return make([n, c, ...size], ([batch = 0, channel = 0, row = 0, column = 0]) => {
      let total = 0;
      for (const [y, weight] of near(row, 0))
        for (const [z, other] of near(column, 1)) total += weight * other * at(x, [batch, channel, y, z]);
      return total;
    });
  };
}

function resize(shape: readonly number[], size: Pair, options: t.ResizeOptions = {}): OperationCase {
  return { inputs: [floats(shape)], apply: (x) => t.resize(x, size, options), reference: resized(size, options) };
}

function upsample(shape: readonly number[], factor: number | Pair, options: t.ResizeOptions = {}): OperationCase {
  const [rows, columns] = pair(factor);
  const size: Pair = [(shape[2] ?? 1) * rows, (shape[3] ?? 1) * columns];
  return { inputs: [floats(shape)], apply: (x) => t.upsample(x, factor, options), reference: resized(size, options) };
}

function columnsOf(window: Window) {
  return (x: Value): Value => {
    const size = planeOf(x);
    const [height, width] = made(window, size);
    const taps = window.kernel[0] * window.kernel[1];
    const [n = 1, c = 1] = x.shape;
    return make([n, c * taps, height * width], ([batch = 0, line = 0, place = 0]) => {
      let value = 0;
      eachTap(window, size, [Math.floor(place / width), place % width], (y, z, [i, j]) => {
        if (i * window.kernel[1] + j === line % taps) value = at(x, [batch, Math.floor(line / taps), y, z]);
      });
      return value;
    });
  };
}

function pictureOf(window: Window, size: Pair) {
  return (columns: Value): Value => {
    const [, width] = made(window, size);
    const taps = window.kernel[0] * window.kernel[1];
    const [n = 1, lines = 1, places = 1] = columns.shape;
    return make([n, lines / taps, ...size], ([batch = 0, channel = 0, row = 0, column = 0]) => {
      let total = 0;
      for (let place = 0; place < places; place++)
        eachTap(window, size, [Math.floor(place / width), place % width], (y, z, [i, j]) => {
          if (y === row && z === column)
            total += at(columns, [batch, channel * taps + i * window.kernel[1] + j, place]);
        });
      return total;
    });
  };
}

function unfold(shape: readonly number[], options: t.UnfoldOptions): OperationCase {
  const reference = columnsOf(windowOf(options.kernel, options));
  return { inputs: [floats(shape)], apply: (x) => t.unfold(x, options), reference };
}

function fold(batch: number, channels: number, options: t.FoldOptions): OperationCase {
  const window = windowOf(options.kernel, options);
  const [height, width] = made(window, options.size);
  const shape = [batch, channels * window.kernel[0] * window.kernel[1], height * width];
  return { inputs: [floats(shape)], apply: (x) => t.fold(x, options), reference: pictureOf(window, options.size) };
}

function patches(shape: readonly number[], options: t.PatchOptions): OperationCase {
  const [ph, pw] = pair(options.patch);
  const [n = 1, c = 1, , width = 1] = shape;
  const across = width / pw;
  const count = ((shape[2] ?? 1) / ph) * across;
  return {
    inputs: [floats(shape)],
    apply: (x) => t.patchify(x, options),
    reference: (x) =>
      make([n, count, c * ph * pw], ([batch = 0, patch = 0, value = 0]) => {
        const last = options.channels === 'last';
        const channel = last ? value % c : Math.floor(value / (ph * pw));
        const place = last ? Math.floor(value / c) : value % (ph * pw);
        const y = Math.floor(patch / across) * ph + Math.floor(place / pw);
        return at(x, [batch, channel, y, (patch % across) * pw + (place % pw)]);
      }),
  };
}

function unpatches(n: number, c: number, options: t.UnpatchifyOptions): OperationCase {
  const [ph, pw] = pair(options.patch);
  const { height, width } = options;
  const across = width / pw;
  return {
    inputs: [floats([n, (height / ph) * across, c * ph * pw])],
    apply: (x) => t.unpatchify(x, options),
    reference: (x) =>
      make([n, c, height, width], ([batch = 0, channel = 0, y = 0, z = 0]) => {
        const place = (y % ph) * pw + (z % pw);
        const value = options.channels === 'last' ? place * c + channel : channel * ph * pw + place;
        return at(x, [batch, Math.floor(y / ph) * across + Math.floor(z / pw), value]);
      }),
  };
}

function shuffled(shape: readonly number[], block: number, order?: t.BlockOrder): OperationCase {
  const [n = 1, deep = 1, height = 1, width = 1] = shape;
  const channels = deep / block ** 2;
  return {
    inputs: [floats(shape)],
    apply: (x) => (order === undefined ? t.depthToSpace(x, block) : t.depthToSpace(x, block, order)),
    reference: (x) =>
      make([n, channels, height * block, width * block], ([batch = 0, c = 0, y = 0, z = 0]) => {
        const place = (y % block) * block + (z % block);
        const channel = order === 'crd' ? c * block ** 2 + place : place * channels + c;
        return at(x, [batch, channel, Math.floor(y / block), Math.floor(z / block)]);
      }),
  };
}

function deepened(shape: readonly number[], block: number, order: t.BlockOrder): OperationCase {
  const [n = 1, channels = 1, height = 1, width = 1] = shape;
  return {
    inputs: [floats(shape)],
    apply: (x) => t.spaceToDepth(x, block, order),
    reference: (x) =>
      make([n, channels * block ** 2, height / block, width / block], ([batch = 0, deep = 0, y = 0, z = 0]) => {
        const c = order === 'crd' ? Math.floor(deep / block ** 2) : deep % channels;
        const place = order === 'crd' ? deep % block ** 2 : Math.floor(deep / channels);
        return at(x, [batch, c, y * block + Math.floor(place / block), z * block + (place % block)]);
      }),
  };
}

/** The slopes of `sum(maxPool(x)^2)`: twice the maximum, added at the first place that attains it. */
function poolSlopes(x: Value, options: t.MaxPool2dOptions): OperationCase {
  const window = windowOf(options.kernel, { ...options, stride: options.stride ?? options.kernel });
  return {
    inputs: [x],
    apply: slopesOf((given) => t.maxPool2d(given ?? t.constant(0), options), 0),
    reference: (value) => {
      const size = planeOf(value);
      const sums = new Map<string, number>();
      const out = pooled(window, undefined, largest)(value);
      for (const [index, top] of out.data.entries()) {
        const [n, c, row, column] = placeIn(out.shape, index);
        let place: string | undefined;
        eachTap(window, size, [row, column], (y, z) => {
          if (place === undefined && at(value, [n, c, y, z]) === top) place = [n, c, y, z].join();
        });
        sums.set(place ?? '', (sums.get(place ?? '') ?? 0) + 2 * top);
      }
      return make(value.shape, (position) => sums.get(position.join()) ?? 0);
    },
    // Where places tie there is no slope to compare with: the values are the check.
    gradients: new Set(x.data).size === x.data.length ? [0] : [],
  };
}

export const pictures: readonly OperationRow[] = [
  row(
    'maxPool2d',
    maxPool2d(distinct([2, 3, 4, 6]), { kernel: 2 }),
    maxPool2d(distinct([2, 2, 7, 8]), { kernel: [2, 3] }),
    maxPool2d(distinct([1, 2, 6, 7]), { kernel: 3, stride: 2, padding: 1 }),
    maxPool2d(distinct([1, 2, 6, 7]), { kernel: 2, stride: 3 }),
    maxPool2d(distinct([1, 2, 7, 6]), { kernel: [3, 2], stride: 1, dilation: [2, 3] }),
    maxPool2d(distinct([1, 2, 5, 7]), { kernel: 2, ceilMode: true }, [3, 4]),
    maxPool2d(distinct([1, 2, 5, 6]), { kernel: 3, stride: 2, padding: 1, ceilMode: true }, [3, 4]),
    maxPool2d(distinct([1, 1, 4, 4]), { kernel: 2, stride: 3, padding: 1, ceilMode: true }, [2, 2]),
    maxPool2d(distinct([1, 1, 3, 4]), { kernel: 1, stride: 2 }),
    poolSlopes(given([1, 1, 1, 3, 3, 0, 3, 3, 2, 2, 2, 1, 2, 2, 1, 2], [1, 1, 4, 4]), { kernel: 2 }),
    poolSlopes(given([1, 1, 1, 3, 3, 0, 3, 3, 2, 2, 2, 1, 2, 2, 1, 2], [1, 1, 4, 4]), {
      kernel: 3,
      stride: 1,
      padding: 1,
    }),
    poolSlopes(distinct([1, 2, 4, 6]), { kernel: [2, 3] }),
    poolSlopes(distinct([1, 2, 5, 5]), { kernel: 3, stride: 2 }),
  ),
  row(
    'maxPool1d',
    pool1d('maxPool1d', 8, { kernel: 2 }),
    pool1d('maxPool1d', 9, { kernel: 3, stride: 2, padding: 1 }),
    pool1d('maxPool1d', 7, { kernel: 2, stride: 1, dilation: 3 }),
    pool1d('maxPool1d', 6, { kernel: 3, stride: 1, padding: [2, 0] }),
  ),
  row(
    'avgPool2d',
    avgPool2d([2, 3, 4, 6], { kernel: 2 }),
    avgPool2d([1, 2, 7, 8], { kernel: [2, 3] }),
    avgPool2d([1, 2, 6, 7], { kernel: 3, stride: 2, padding: 1 }),
    avgPool2d([1, 2, 6, 7], { kernel: 3, stride: 2, padding: 1, countIncludePad: false }),
    avgPool2d([1, 2, 5, 7], { kernel: [3, 2], stride: 1, padding: [[1, 0], 0] }),
    avgPool2d([1, 2, 5, 7], { kernel: 2, ceilMode: true }, [3, 4]),
    avgPool2d([1, 2, 5, 7], { kernel: 2, ceilMode: true, countIncludePad: false }, [3, 4]),
    avgPool2d([1, 2, 5, 6], { kernel: 3, stride: 2, padding: 1, ceilMode: true }, [3, 4]),
  ),
  row('avgPool1d', pool1d('avgPool1d', 8, { kernel: 2 }), pool1d('avgPool1d', 9, { kernel: 3, stride: 2, padding: 1 })),
  row(
    'globalAvgPool',
    {
      inputs: [floats([2, 3, 4, 5])],
      apply: t.globalAvgPool,
      reference: (x) => make([2, 3], ([n = 0, c = 0]) => meanOf(x.data.slice((n * 3 + c) * 20, (n * 3 + c + 1) * 20))),
    },
    {
      inputs: [floats([2, 2, 4])],
      apply: t.globalAvgPool,
      reference: (x) => make([2, 2], ([n = 0, c = 0]) => meanOf(x.data.slice((n * 2 + c) * 4, (n * 2 + c + 1) * 4))),
    },
  ),
  row('globalMaxPool', {
    inputs: [distinct([2, 3, 4, 5])],
    apply: t.globalMaxPool,
    reference: (x) =>
      make([2, 3], ([n = 0, c = 0]) => Math.max(...x.data.slice((n * 3 + c) * 20, (n * 3 + c + 1) * 20))),
  }),
  row(
    'resize',
    resize([2, 3, 4, 5], [8, 10]),
    resize([1, 2, 4, 6], [6, 10]),
    resize([1, 2, 7, 9], [3, 4]),
    resize([1, 2, 4, 6], [6, 10], { alignment: 'half-pixel' }),
    resize([1, 2, 7, 5], [3, 12], { alignment: 'half-pixel' }),
    resize([1, 2, 4, 6], [7, 3], { alignment: 'align-corners' }),
    resize([1, 2, 4, 6], [1, 6], { alignment: 'align-corners' }),
    resize([2, 3, 4, 5], [8, 10], { mode: 'bilinear' }),
    resize([1, 2, 7, 9], [3, 4], { mode: 'bilinear' }),
    resize([1, 2, 4, 6], [7, 11], { mode: 'bilinear', alignment: 'align-corners' }),
    resize([1, 2, 5, 6], [7, 3], { mode: 'bilinear', alignment: 'asymmetric' }),
    resize([1, 2, 1, 4], [3, 4], { mode: 'bilinear' }),
    resize([1, 2, 4, 4], [4, 4], { mode: 'bilinear' }),
  ),
  row(
    'upsample',
    upsample([2, 3, 4, 5], 2),
    upsample([1, 2, 3, 4], [1, 3]),
    upsample([1, 2, 3, 4], [3, 2], { mode: 'bilinear' }),
  ),
  row(
    'unfold',
    unfold([2, 3, 5, 6], { kernel: [3, 2] }),
    unfold([1, 2, 7, 6], { kernel: 3, stride: 2, dilation: [1, 2], padding: [[1, 2], 1] }),
    unfold([1, 2, 4, 6], { kernel: [2, 3], stride: [2, 3] }),
  ),
  row(
    'fold',
    fold(2, 3, { kernel: [3, 2], size: [5, 6] }),
    fold(1, 2, { kernel: 3, stride: 2, dilation: [1, 2], padding: [[1, 2], 1], size: [7, 6] }),
    fold(1, 2, { kernel: [2, 3], stride: [2, 3], size: [5, 7] }),
    fold(1, 2, { kernel: 1, stride: 2, size: [4, 4] }),
  ),
  row('patchify', patches([2, 3, 4, 6], { patch: 2 }), patches([1, 2, 4, 6], { patch: [2, 3], channels: 'last' })),
  row(
    'unpatchify',
    unpatches(2, 3, { patch: 2, height: 4, width: 6 }),
    unpatches(1, 2, { patch: [2, 3], height: 4, width: 6, channels: 'last' }),
  ),
  row('depthToSpace', shuffled([2, 8, 2, 3], 2), shuffled([1, 18, 2, 1], 3, 'crd'), shuffled([1, 4, 2, 3], 2, 'dcr')),
  row('spaceToDepth', deepened([2, 2, 4, 6], 2, 'dcr'), deepened([1, 3, 6, 3], 3, 'crd')),
];
