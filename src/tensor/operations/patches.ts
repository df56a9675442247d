/** Pictures as columns, patches and deeper pictures, and back: values are moved, and added where windows overlap. */

import { isStatic, shapeError, shapeText, type Tensor } from '../graph.js';
import { foldColumns, unfoldColumns } from '../windows/fold.js';
import {
  type Pair,
  type PerAxis,
  pairOf,
  placesOf,
  requireWhole,
  stops,
  type WindowOptions,
  windowOf,
} from '../windows/geometry.js';
import { reshape, transpose } from './shape.js';

/** How windows are laid over a picture. */
export interface UnfoldOptions extends WindowOptions {
  readonly kernel: PerAxis;
}

/** How columns are added back; `size` is that of the picture, `[height, width]`. */
export interface FoldOptions extends UnfoldOptions {
  readonly size: Pair;
}

/**
 * Every window of `x` `[batch, channels, height, width]` as a column (im2col, PyTorch's Unfold):
 * `[batch, channels * kernel, places]`, channels outermost, places row by row.
 * @throws bad-shape when the window does not fit.
 */
export function unfold(x: Tensor, options: UnfoldOptions): Tensor {
  requirePicture(x, 'unfold');
  return unfoldColumns(x, windowOf('unfold', placesOf(x, 'unfold'), options.kernel, options));
}

/**
 * Columns `[batch, channels * kernel, places]` added to where {@link unfold} took them from (col2im, PyTorch's Fold):
 * `[batch, channels, height, width]`; places that windows share hold sums. @throws bad-shape when rows or places do not fit.
 */
export function fold(columns: Tensor, options: FoldOptions): Tensor {
  const { size } = options;
  requireWhole('fold: the size', size, 1);
  const window = windowOf('fold', size, options.kernel, options);
  const [, rows, places] = columns.shape;
  const [height, width] = stops(window, size);
  const taps = window.kernel[0] * window.kernel[1];
  if (columns.shape.length !== 3 || typeof rows !== 'number' || rows % taps !== 0 || places !== height * width)
    throw shapeError(
      `fold cannot add columns ${shapeText(columns.shape)} of ${taps} taps and ${height * width} places to a picture of ${size.join(' x ')}.`,
    );
  return foldColumns(columns, window, size);
}

/** How a picture is cut into patches. */
export interface PatchOptions {
  /** Height and width of a patch. */
  readonly patch: PerAxis;
  /** Whether a patch lists channel after channel (`first`, the default: a patch convolution's weight) or place after place. */
  readonly channels?: 'first' | 'last';
}

/** What {@link unpatchify} puts together; height and width are those of the picture. */
export interface UnpatchifyOptions extends PatchOptions {
  readonly height: number;
  readonly width: number;
}

/**
 * `[batch, channels, height, width]` as tokens `[batch, patches, channels * patch]`, row by row (Dosovitskiy et al.,
 * arXiv 2010.11929). @throws bad-shape when patches do not fill the picture.
 */
export function patchify(x: Tensor, options: PatchOptions): Tensor {
  requirePicture(x, 'patchify');
  const [batch = 1, channels = 1] = x.shape;
  const [rows, columns, height, width] = grid('patchify', placesOf(x, 'patchify'), options.patch);
  const cut = reshape(x, [batch, channels, rows, height, columns, width]);
  const turned = transpose(cut, options.channels === 'last' ? [0, 2, 4, 3, 5, 1] : [0, 2, 4, 1, 3, 5]);
  return reshape(turned, [batch, rows * columns, Number(channels) * height * width]);
}

/** The picture `[batch, channels, height, width]` of tokens `[batch, patches, channels * patch]`: undoes {@link patchify}. */
export function unpatchify(tokens: Tensor, options: UnpatchifyOptions): Tensor {
  const size: Pair = [options.height, options.width];
  const [rows, columns, height, width] = grid('unpatchify', size, options.patch);
  const [batch = 1, count, values] = tokens.shape;
  const channels = Number(values) / (height * width);
  if (tokens.shape.length !== 3 || count !== rows * columns || !Number.isInteger(channels))
    throw shapeError(
      `unpatchify cannot make a picture of ${size.join(' x ')} from ${shapeText(tokens.shape)} with patches of ${height} x ${width}.`,
    );
  const last = options.channels === 'last';
  const patches = reshape(tokens, [
    batch,
    rows,
    columns,
    ...(last ? [height, width, channels] : [channels, height, width]),
  ]);
  const turned = transpose(patches, last ? [0, 5, 1, 3, 2, 4] : [0, 3, 1, 4, 2, 5]);
  return reshape(turned, [batch, channels, ...size]);
}

function grid(name: string, size: Pair, patch: PerAxis): readonly [number, number, number, number] {
  const [height, width] = pairOf(patch);
  requireWhole(`${name}: the patch`, [height, width], 1);
  if (size[0] % height !== 0 || size[1] % width !== 0)
    throw shapeError(`${name}: patches of ${height} x ${width} do not fill a picture of ${size.join(' x ')}.`);
  return [size[0] / height, size[1] / width, height, width];
}

/**
 * How the channels of a block are ordered: `dcr` the block's places outermost (TensorFlow; ONNX's default), `crd` the
 * channels outermost (PyTorch's PixelShuffle; Shi et al., arXiv 1609.05158).
 */
export type BlockOrder = 'dcr' | 'crd';

/**
 * Channels to places: `[batch, channels * block^2, height, width]` to `[batch, channels, height * block, width * block]`.
 * @throws bad-shape when the channels do not divide.
 */
export function depthToSpace(x: Tensor, block: number, order: BlockOrder = 'dcr'): Tensor {
  requirePicture(x, 'depthToSpace');
  requireWhole('depthToSpace: the block', [block], 1);
  const [batch = 1, deep = 1, height = 1, width = 1] = x.shape;
  const channels = Number(deep) / (block * block);
  if (!Number.isInteger(channels))
    throw shapeError(`depthToSpace cannot make blocks of ${block} x ${block} from ${shapeText(x.shape)}.`);
  const sizes = order === 'dcr' ? [block, block, channels] : [channels, block, block];
  const apart = reshape(x, [batch, ...sizes, height, width]);
  const turned = transpose(apart, order === 'dcr' ? [0, 3, 4, 1, 5, 2] : [0, 1, 4, 2, 5, 3]);
  return reshape(turned, [batch, channels, Number(height) * block, Number(width) * block]);
}

/**
 * Places to channels, which undoes {@link depthToSpace}: `[batch, channels, height, width]` to
 * `[batch, channels * block^2, height / block, width / block]`. @throws bad-shape when blocks do not fill the picture.
 */
export function spaceToDepth(x: Tensor, block: number, order: BlockOrder = 'dcr'): Tensor {
  requirePicture(x, 'spaceToDepth');
  const [batch = 1, channels = 1] = x.shape;
  const [rows, columns] = grid('spaceToDepth', placesOf(x, 'spaceToDepth'), block);
  const apart = reshape(x, [batch, channels, rows, block, columns, block]);
  const turned = transpose(apart, order === 'dcr' ? [0, 3, 5, 1, 2, 4] : [0, 1, 3, 5, 2, 4]);
  return reshape(turned, [batch, Number(channels) * block * block, rows, columns]);
}

/** @throws bad-shape for anything but `[batch, channels, height, width]` of which only the batch may be a name. */
function requirePicture(x: Tensor, name: string): void {
  if (x.shape.length !== 4 || !isStatic(x.shape.slice(1)))
    throw shapeError(`${name} takes [batch, channels, height, width], not ${shapeText(x.shape)}.`);
}
