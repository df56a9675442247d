/** Pictures fitted into sizes: by their shortest edge, cropped to the middle, filled, covered, padded. */

import { TesseraError } from '../host/error.js';
import { allocate, type NDArray } from '../tensor/ndarray.js';
import { type ImageFilter, type ImageType, imageSizes, resizeImage } from './image-resample.js';

/**
 * How a picture of another shape goes into a width and height: 'fill' stretches; 'cover' fills all and cuts off the middle's
 * outside; 'contain' fits all in and pads with zeros; 'inside' fits all in, as small as that is; 'outside' covers, as large as
 * that is.
 */
export type ImageFit = 'fill' | 'cover' | 'contain' | 'inside' | 'outside';

/**
 * A picture fitted into `width` x `height`. With only one of them the other follows the picture's shape.
 * @throws bad-shape, bad-option.
 */
export function fitImage<D extends ImageType>(
  image: NDArray<D>,
  size: { readonly width?: number; readonly height?: number; readonly fit?: ImageFit; readonly filter?: ImageFilter },
): NDArray<D> {
  const [height, width] = imageSizes(image);
  const { fit = 'cover', filter = 'bicubic' } = size;
  const side = (value: number): number => Math.max(1, Math.round(value));
  const newWidth = size.width ?? (size.height === undefined ? width : side((width * size.height) / height));
  const newHeight = size.height ?? (size.width === undefined ? height : side((height * size.width) / width));
  if (fit === 'fill' || size.width === undefined || size.height === undefined) {
    return resizeImage(image, newHeight, newWidth, filter);
  }
  const ratios = [newWidth / width, newHeight / height];
  const ratio = fit === 'cover' || fit === 'outside' ? Math.max(...ratios) : Math.min(...ratios);
  const resized = resizeImage(image, side(height * ratio), side(width * ratio), filter);
  return fit === 'cover' || fit === 'contain' ? centerCrop(resized, newHeight, newWidth) : resized;
}

/**
 * A picture whose shorter edge is `edge`, the longer one following and cut to whole pixels, as the image processors of
 * huggingface/transformers do it (torchvision does the same). @throws bad-shape, bad-option.
 */
export function resizeShortestEdge<D extends ImageType>(
  image: NDArray<D>,
  edge: number,
  filter: ImageFilter = 'bicubic',
): NDArray<D> {
  const [height, width] = imageSizes(image);
  const longer = Math.trunc((edge * Math.max(height, width)) / Math.min(height, width));
  return height <= width ? resizeImage(image, edge, longer, filter) : resizeImage(image, longer, edge, filter);
}

/**
 * The middle of a picture; where it is smaller, zeros around it. Odd pixels are cut off at the bottom and right, and padded at
 * the top and left, as `center_crop` of huggingface/transformers does it. @throws bad-shape, bad-option.
 */
export function centerCrop<D extends ImageType>(image: NDArray<D>, newHeight: number, newWidth: number): NDArray<D> {
  const [height, width] = imageSizes(image);
  return cropImage(image, middle(height, newHeight), middle(width, newWidth), newHeight, newWidth);
}

function middle(size: number, newSize: number): number {
  return newSize <= size ? Math.floor((size - newSize) / 2) : -Math.ceil((newSize - size) / 2);
}

/**
 * The part of a picture from row `top` and column `left` on, which may lie outside of it: there it is zero.
 * @throws bad-shape, bad-option.
 */
export function cropImage<D extends ImageType>(
  image: NDArray<D>,
  top: number,
  left: number,
  newHeight: number,
  newWidth: number,
): NDArray<D> {
  const [height, width, channels] = imageSizes(image);
  const whole = [top, left, newHeight, newWidth].every(Number.isInteger);
  if (!whole || newHeight < 1 || newWidth < 1) {
    throw new TesseraError(
      'bad-option',
      `A picture cannot be cut to ${newWidth} x ${newHeight} pixels at ${left}, ${top}.`,
    );
  }
  const data = allocate(image.dtype, newHeight * newWidth * channels);
  const from = Math.max(0, left);
  const to = Math.min(width, left + newWidth);
  for (let y = Math.max(0, -top); y < Math.min(newHeight, height - top) && from < to; y++) {
    const row = (top + y) * width;
    const part = image.data.subarray((row + from) * channels, (row + to) * channels);
    // Both are of the picture's own type; TypeScript does not see that of a union.
    for (let i = 0, at = (y * newWidth + from - left) * channels; i < part.length; i++)
      data[at + i] = part[i] as number;
  }
  return { dtype: image.dtype, shape: [newHeight, newWidth, channels], data };
}
