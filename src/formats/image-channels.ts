/** Gray, RGB and alpha into each other. */

import { TesseraError } from '../host/error.js';
import { allocate, type NDArray } from '../tensor/ndarray.js';
import { type ImageType, imageSizes } from './image-resample.js';

/** How many channels: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha. */
export type ImageChannels = 1 | 2 | 3 | 4;

const OPAQUE: Readonly<Record<ImageType, number>> = { uint8: 255, int32: 65535, float32: 1 };

/**
 * A picture `[..., channels]` with other channels. Gray from RGB is ITU-R 601's luma in 16 fixed-point bits, as Pillow's
 * `convert('L')`. Alpha that is dropped is dropped, as Pillow's `convert('RGB')` does, unless there is a background: then colors
 * are laid over it. Alpha that is added is opaque.
 */
export function convertChannels<D extends ImageType>(
  image: NDArray<D>,
  channels: ImageChannels,
  background?: readonly number[],
): NDArray<D> {
  const old = image.shape.at(-1) ?? 0;
  if (old < 1 || old > 4) {
    throw new TesseraError('bad-shape', `A picture has 1 to 4 channels, not ${old}.`);
  }
  if (old === channels) return image;
  const { dtype, data } = image;
  const white = OPAQUE[dtype];
  const pixels = data.length / old;
  const out = allocate(dtype, pixels * channels);
  const [hadAlpha, hasAlpha] = [old % 2 === 0, channels % 2 === 0];
  const [wasGray, isGray] = [old <= 2, channels <= 2];
  const lay = hadAlpha && !hasAlpha && background !== undefined;
  const round = dtype === 'float32' ? (value: number) => value : Math.round;
  for (let i = 0; i < pixels; i++) {
    const from = i * old;
    const alpha = hadAlpha ? Number(data[from + old - 1]) : white;
    const color = (c: number): number => {
      const value = Number(data[from + (wasGray ? 0 : c)]);
      const behind = background?.[c] ?? background?.[0] ?? 0;
      return lay ? round((value * alpha + behind * (white - alpha)) / white) : value;
    };
    const to = i * channels;
    if (!isGray) for (let c = 0; c < 3; c++) out[to + c] = color(c);
    else out[to] = wasGray && !lay ? color(0) : luma(color(0), color(1), color(2), dtype);
    if (hasAlpha) out[to + channels - 1] = alpha;
  }
  return { dtype, shape: [...image.shape.slice(0, -1), channels], data: out };
}

function luma(red: number, green: number, blue: number, dtype: ImageType): number {
  const sum = red * 19595 + green * 38470 + blue * 7471;
  return dtype === 'float32' ? sum / 65536 : Math.floor((sum + 32768) / 65536);
}

/** A picture's channels as one of the four numbers. @throws bad-shape. */
export function channelsOf(image: NDArray): ImageChannels {
  const channels = imageSizes(image)[2];
  if (channels === 1 || channels === 2 || channels === 3 || channels === 4) return channels;
  throw new TesseraError('bad-shape', `A picture has 1 to 4 channels, not ${channels}.`);
}
