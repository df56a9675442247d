/**
 * Pictures in and out: decoded through `sharp` in Node (PNG, JPEG, WebP, GIF, AVIF, TIFF, SVG) and by the page's own decoders in a
 * browser, always upright (the EXIF orientation is applied), in sRGB unless the stored colors are asked for, with the channels
 * that are asked for. Sizes, crops and channels are changed by Tessera's own code, in Node and in a page alike.
 *
 * Limits: at most `maxPixels` in all frames that are wanted, checked before anything is decoded. 16 bits: PNG and TIFF, in Node
 * only; a page gives their upper 8. Frames: GIF, WebP and pages of TIFF in Node; in a page what its ImageDecoder knows.
 */

import { decodePicture, describePicture, encodePicture, type Picture, type PictureInfo } from '#host';
import { TesseraError } from '../host/error.js';
import { type NDArray, ndarray } from '../tensor/ndarray.js';
import { channelsOf, convertChannels, type ImageChannels } from './image-channels.js';
import { fitImage, type ImageFit } from './image-geometry.js';
import type { ImageFilter } from './image-resample.js';

export type { PictureInfo } from '#host';
export { convertChannels, type ImageChannels } from './image-channels.js';
export { centerCrop, cropImage, fitImage, type ImageFit, resizeShortestEdge } from './image-geometry.js';
export { type ImageFilter, type ImageType, resizeImage } from './image-resample.js';
export {
  fromTensorLayout,
  IMAGE_NORMALIZATIONS,
  type ImageNormalization,
  type NormalizationChoice,
  toTensorLayout,
} from './image-tensors.js';

/** How a picture is decoded. */
export interface DecodeImageOptions {
  /** Pixels; the picture's own where absent, or by its shape where only one is given. */
  readonly width?: number;
  readonly height?: number;
  /** How it goes into both. Default 'cover'. */
  readonly fit?: ImageFit;
  /** Default 'bicubic'. */
  readonly filter?: ImageFilter;
  /** Default 3, RGB. 'stored' keeps what the file has (a page does not tell gray from RGB). */
  readonly channels?: ImageChannels | 'stored';
  /** What shows through where alpha is dropped, in the picture's numbers; without it colors are kept as they are beneath alpha. */
  readonly background?: readonly number[];
  /** 'srgb' (the default) converts by the picture's profile, as libvips and browsers do; 'stored' does not, as Pillow. */
  readonly colorspace?: 'srgb' | 'stored';
  /** The most pixels. Default 178,956,970, where Pillow calls it a decompression bomb. */
  readonly maxPixels?: number;
}

/** The frames of a picture that moves, or the pages of one that has several. */
export interface DecodedFrames {
  /** [frames, height, width, channels]. */
  readonly frames: NDArray<'uint8'>;
  /** Milliseconds that each is shown; empty for pages. */
  readonly delays: readonly number[];
}

const MOST_PIXELS = 178_956_970;

/**
 * A file's path or bytes as a picture `[height, width, channels]` of 8 bits; of several frames the first.
 *
 * @throws not-found for a file, or for sharp, that is not there; bad-file for what cannot be decoded; bad-input for more pixels
 * than are allowed; bad-option for sizes that are none.
 */
export async function decodeImage(
  source: string | Uint8Array,
  options: DecodeImageOptions = {},
): Promise<NDArray<'uint8'>> {
  const picture = await decodePicture(source, hostOptions(options));
  return shapeFrame(eightBits(picture), picture, 0, options);
}

/**
 * The same of 16 bits as int32 in 0 to 65535; pictures of 8 bits are widened (times 257), in a page all are.
 * @throws as `decodeImage`.
 */
export async function decodeImage16(
  source: string | Uint8Array,
  options: DecodeImageOptions = {},
): Promise<NDArray<'int32'>> {
  const picture = await decodePicture(source, { ...hostOptions(options), wide: true });
  const scale = picture.data instanceof Uint16Array ? 1 : 257;
  return shapeFrame(
    ndarray(
      'int32',
      shapeOf(picture),
      Int32Array.from(picture.data, (value) => value * scale),
    ),
    picture,
    0,
    options,
  );
}

/** All frames. @throws as `decodeImage`; unsupported in a page whose browser decodes first frames only. */
export async function decodeFrames(
  source: string | Uint8Array,
  options: DecodeImageOptions = {},
): Promise<DecodedFrames> {
  const picture = await decodePicture(source, { ...hostOptions(options), allFrames: true });
  const whole = eightBits(picture);
  const frames = Array.from({ length: picture.frames }, (_, i) => shapeFrame(whole, picture, i, options));
  const [first] = frames;
  if (first === undefined) throw new TesseraError('bad-file', 'The picture has no frames.');
  const data = new Uint8Array(first.data.length * frames.length);
  for (const [i, frame] of frames.entries()) data.set(frame.data, i * first.data.length);
  return { frames: ndarray('uint8', [frames.length, ...first.shape], data), delays: picture.delays };
}

/** What a picture's header says, without decoding it. @throws not-found, bad-file. */
export function describeImage(source: string | Uint8Array): Promise<PictureInfo> {
  return describePicture(source);
}

/**
 * A picture `[height, width, channels]` as a PNG file's bytes: 8 bits, or 16 for int32 (in Node). In a page colors beneath partial
 * transparency are rounded. @throws bad-shape, bad-input, unsupported.
 */
export async function encodePng(image: NDArray<'uint8'> | NDArray<'int32'>): Promise<Uint8Array> {
  return encodePicture(pictureOf(image), 'png', 100);
}

/**
 * A picture as a JPEG file's bytes; `quality` from 1 to 100, default 90. Alpha, which JPEG has not, is dropped.
 * @throws bad-shape, bad-option, bad-input.
 */
export async function encodeJpeg(
  image: NDArray<'uint8'>,
  options: { readonly quality?: number } = {},
): Promise<Uint8Array> {
  const { quality = 90 } = options;
  if (!Number.isInteger(quality) || quality < 1 || quality > 100) {
    throw new TesseraError('bad-option', `The quality of a JPEG is a whole number from 1 to 100, not ${quality}.`);
  }
  const opaque = convertChannels(image, channelsOf(image) <= 2 ? 1 : 3);
  return encodePicture(pictureOf(opaque), 'jpeg', quality);
}

function hostOptions({ maxPixels = MOST_PIXELS, colorspace = 'srgb' }: DecodeImageOptions) {
  return { maxPixels, ignoreProfile: colorspace === 'stored' };
}

function shapeOf({ frames, height, width, channels }: Picture): readonly number[] {
  return [frames, height, width, channels];
}

function eightBits(picture: Picture): NDArray<'uint8'> {
  const { data } = picture;
  return ndarray(
    'uint8',
    shapeOf(picture),
    data instanceof Uint8Array ? data : Uint8Array.from(data, (value) => value >> 8),
  );
}

/** One of a picture's frames with the channels and size that are wanted. */
function shapeFrame<D extends 'uint8' | 'int32'>(
  whole: NDArray<D>,
  { height, width, channels }: Picture,
  number: number,
  options: DecodeImageOptions,
): NDArray<D> {
  const size = height * width * channels;
  const frame: NDArray<D> = {
    dtype: whole.dtype,
    shape: [height, width, channels],
    data: whole.data.subarray(number * size, (number + 1) * size) as NDArray<D>['data'],
  };
  const { channels: wanted = 3, background } = options;
  const converted = wanted === 'stored' ? frame : convertChannels(frame, wanted, background);
  return options.width === undefined && options.height === undefined ? converted : fitImage(converted, options);
}

function pictureOf(image: NDArray<'uint8'> | NDArray<'int32'>): Picture {
  const [height = 0, width = 0] = image.shape;
  const channels = channelsOf(image);
  const data =
    image.dtype === 'uint8' ? image.data : Uint16Array.from(image.data, (value) => Math.max(0, Math.min(65535, value)));
  return {
    width,
    height,
    channels,
    frames: 1,
    delays: [],
    data: data instanceof Uint16Array ? data : new Uint8Array(data),
  };
}
