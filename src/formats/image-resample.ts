/**
 * Pictures at another size as Pillow makes them (python-pillow/Pillow, "Image.resize"): a separable filter, stretched when the
 * picture shrinks so that no pixel is missed, the horizontal pass first, and for 8 bits weights of 22 fixed-point bits with
 * rounding after each pass. So what an image processor in Python gives, this gives to the bit, in Node and in a page alike.
 * Alpha is multiplied in before and divided out after, except for 'nearest'.
 *
 * Differences from Pillow: `reducing_gap` and `box` are not there; pictures of 16 bits are filtered in doubles and rounded once,
 * where Pillow has no filter for most of them.
 */

import { TesseraError } from '../host/error.js';
import { allocate, type NDArray } from '../tensor/ndarray.js';

/** A filter, by Pillow's names in lower case. */
export type ImageFilter = 'nearest' | 'box' | 'bilinear' | 'hamming' | 'bicubic' | 'lanczos';

/** Element types of pictures: 8 bits, 16 bits held in int32, or any numbers. */
export type ImageType = 'uint8' | 'int32' | 'float32';

interface Kernel {
  readonly support: number;
  weight(x: number): number;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

const KERNELS: Readonly<Record<Exclude<ImageFilter, 'nearest'>, Kernel>> = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: { support: 1, weight: (x) => (Math.abs(x) < 1 ? sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x)) : 0) },
  // Keys' cubic with a = -0.5.
  bicubic: {
    support: 2,
    weight: (signed) => {
      const x = Math.abs(signed);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

const PRECISION_BITS = 22;

/**
 * A picture `[height, width, channels]` as `[newHeight, newWidth, channels]`. @throws bad-shape for another shape, bad-option
 * for sizes that are no whole numbers from 1.
 */
export function resizeImage<D extends ImageType>(
  image: NDArray<D>,
  newHeight: number,
  newWidth: number,
  filter: ImageFilter = 'bicubic',
): NDArray<D> {
  const [height, width, channels] = imageSizes(image);
  for (const size of [newHeight, newWidth]) {
    if (Number.isInteger(size) && size >= 1 && size < 2 ** 16) continue;
    throw new TesseraError('bad-option', `A picture cannot be made ${newWidth} x ${newHeight} pixels.`, {
      hint: 'Sizes are whole numbers from 1 to 65535.',
    });
  }
  if (height === newHeight && width === newWidth) return { ...image, data: image.data.slice() } as NDArray<D>;
  if (filter === 'nearest') return nearest(image, newHeight, newWidth);
  const kernel = KERNELS[filter];
  const alpha = image.dtype === 'uint8' && (channels === 2 || channels === 4);
  let current: NDArray<D> = alpha ? multiplyAlpha(image) : image;
  if (width !== newWidth) {
    const strides = { lines: height, line: width * channels, step: channels, parts: channels, part: 1 };
    current = pass(
      current,
      [height, newWidth, channels],
      contributions(width, newWidth, kernel),
      strides,
      newWidth * channels,
    );
  }
  if (height !== newHeight) {
    const row = newWidth * channels;
    const strides = { lines: 1, line: 0, step: row, parts: row, part: 1 };
    current = pass(current, [newHeight, newWidth, channels], contributions(height, newHeight, kernel), strides, 0);
  }
  return alpha ? divideAlpha(current) : current;
}

/** Height, width and channels of a picture. @throws bad-shape. */
export function imageSizes({ shape }: NDArray): readonly [height: number, width: number, channels: number] {
  const [height = 0, width = 0, channels = 0] = shape;
  if (shape.length === 3 && height > 0 && width > 0 && channels > 0) return [height, width, channels];
  throw new TesseraError('bad-shape', `A picture is [height, width, channels], not [${shape.join(', ')}].`);
}

interface Contributions {
  /** For each new place the first old one, how many, and where their weights begin. */
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly taps: number;
  readonly weights: Float64Array;
}

function contributions(size: number, newSize: number, kernel: Kernel): Contributions {
  const scale = size / newSize;
  const stretch = Math.max(scale, 1);
  const support = kernel.support * stretch;
  const taps = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(newSize);
  const count = new Int32Array(newSize);
  const weights = new Float64Array(newSize * taps);
  for (let place = 0; place < newSize; place++) {
    const center = (place + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const length = Math.min(size, Math.trunc(center + support + 0.5)) - start;
    let sum = 0;
    for (let k = 0; k < length; k++) {
      const weight = kernel.weight((k + start - center + 0.5) / stretch);
      weights[place * taps + k] = weight;
      sum += weight;
    }
    if (sum !== 0)
      for (let k = 0; k < length; k++) weights[place * taps + k] = (weights[place * taps + k] as number) / sum;
    first[place] = start;
    count[place] = length;
  }
  return { first, count, taps, weights };
}

/** Lines of a picture along one axis: how many, how far apart, the step along the axis, and what lies side by side. */
interface Strides {
  readonly lines: number;
  readonly line: number;
  readonly step: number;
  readonly parts: number;
  readonly part: number;
}

function pass<D extends ImageType>(
  image: NDArray<D>,
  shape: readonly number[],
  { first, count, taps, weights }: Contributions,
  { lines, line, step, parts }: Strides,
  newLine: number,
): NDArray<D> {
  const out = allocate(
    image.dtype,
    shape.reduce((product, size) => product * size, 1),
  );
  const source = image.data;
  const fixed = image.dtype === 'uint8';
  const rounded = image.dtype === 'int32';
  const scaled = fixed
    ? weights.map((weight) => Math.trunc(weight * 2 ** PRECISION_BITS + Math.sign(weight) * 0.5))
    : weights;
  const start = fixed ? 2 ** (PRECISION_BITS - 1) : 0;
  const unit = 2 ** PRECISION_BITS;
  for (let row = 0; row < lines; row++) {
    for (let place = 0; place < first.length; place++) {
      const from = row * line + (first[place] as number) * step;
      const to = row * newLine + place * step;
      const length = count[place] as number;
      for (let part = 0; part < parts; part++) {
        let sum = start;
        for (let k = 0, at = from + part; k < length; k++, at += step) {
          sum += (source[at] as number) * (scaled[place * taps + k] as number);
        }
        if (fixed) sum = Math.max(0, Math.min(255, Math.floor(sum / unit)));
        else if (rounded) sum = Math.max(0, Math.min(65535, Math.round(sum)));
        out[to + part] = sum;
      }
    }
  }
  return { dtype: image.dtype, shape, data: out };
}

function nearest<D extends ImageType>(image: NDArray<D>, newHeight: number, newWidth: number): NDArray<D> {
  const [height, width, channels] = imageSizes(image);
  const out = allocate(image.dtype, newHeight * newWidth * channels);
  let to = 0;
  for (let y = 0; y < newHeight; y++) {
    const row = Math.min(height - 1, Math.floor((y + 0.5) * (height / newHeight))) * width;
    for (let x = 0; x < newWidth; x++) {
      const from = (row + Math.min(width - 1, Math.floor((x + 0.5) * (width / newWidth)))) * channels;
      for (let c = 0; c < channels; c++) out[to++] = image.data[from + c] as number;
    }
  }
  return { dtype: image.dtype, shape: [newHeight, newWidth, channels], data: out };
}

function multiplyAlpha<D extends ImageType>(image: NDArray<D>): NDArray<D> {
  const channels = image.shape[2] ?? 0;
  const data = image.data.slice();
  for (let at = 0; at < data.length; at += channels) {
    const alpha = Number(data[at + channels - 1]);
    for (let c = 0; c < channels - 1; c++) {
      const product = Number(data[at + c]) * alpha + 128;
      data[at + c] = ((product >> 8) + product) >> 8;
    }
  }
  return { ...image, data } as NDArray<D>;
}

function divideAlpha<D extends ImageType>(image: NDArray<D>): NDArray<D> {
  const channels = image.shape[2] ?? 0;
  const { data } = image;
  for (let at = 0; at < data.length; at += channels) {
    const alpha = Number(data[at + channels - 1]);
    if (alpha === 0 || alpha === 255) continue;
    for (let c = 0; c < channels - 1; c++)
      data[at + c] = Math.min(255, Math.trunc((255 * Number(data[at + c])) / alpha));
  }
  return image;
}
