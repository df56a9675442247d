/**
 * Pictures at other sizes: nearest place and bilinear. Both are one small matrix a direction, and their gradients the
 * products with its transpose; forward, nearest places are looked up and bilinear ones computed by ONNX's Resize.
 */

import { applyOne, type Operation, shapeError, shapeText, type Tensor } from '../graph.js';
import { array } from '../ndarray.js';
import { emitOne } from '../windows/emit.js';
import { type Pair, type PerAxis, pairOf, placesOf, requireWhole } from '../windows/geometry.js';
import { type AxisMap, separable } from '../windows/separable.js';
import { isFloat, only } from './elementwise.js';

/**
 * Which place of the input lies under a place of the output (ONNX's coordinate_transformation_mode):
 * `half-pixel` `(i + 1/2) in / out - 1/2`, `align-corners` `i (in - 1) / (out - 1)`, `asymmetric` `i in / out`.
 */
export type Alignment = 'half-pixel' | 'align-corners' | 'asymmetric';

/** How places between those of the input are filled. */
export interface ResizeOptions {
  /** The nearest place, or a mean of the four around, weighted by nearness (default `nearest`). */
  readonly mode?: 'nearest' | 'bilinear';
  /**
   * Default: `asymmetric` for `nearest` (rounded down: PyTorch's `nearest`; with `half-pixel` its `nearest-exact`; with
   * `align-corners` halves are rounded up), `half-pixel` for `bilinear`.
   */
  readonly alignment?: Alignment;
}

/**
 * `x` `[batch, channels, height, width]` at another size, `[batch, channels, ...size]`. Making it smaller does not smooth.
 * @throws bad-shape for a size that is not whole or under 1.
 */
export function resize(x: Tensor, size: Pair, options: ResizeOptions = {}): Tensor {
  const { mode = 'nearest', alignment = mode === 'nearest' ? 'asymmetric' : 'half-pixel' } = options;
  const [batch = 1, channels = 1] = x.shape;
  if (x.shape.length !== 4 || !isFloat(x.dtype))
    throw shapeError(`resize takes floating [batch, channels, height, width], not ${x.dtype} ${shapeText(x.shape)}.`);
  requireWhole('resize: the size', size, 1);
  const [height, width] = placesOf(x, 'resize');
  if (height === size[0] && width === size[1]) return x;
  const map = mode === 'nearest' ? nearest : bilinear;
  const maps: Maps = [map(height, size[0], alignment), map(width, size[1], alignment)];
  if (mode === 'bilinear' && x.dtype === 'float64') return separable(x, ...maps);
  const operation = mode === 'nearest' ? nearestOperation(maps) : bilinearOperation(alignment, maps);
  return applyOne(operation, [x], { size, alignment }, { dtype: x.dtype, shape: [batch, channels, ...size] });
}

/** `x` `[batch, channels, height, width]` larger by whole factors. @throws bad-shape for a factor that is not whole. */
export function upsample(x: Tensor, factor: PerAxis, options: ResizeOptions = {}): Tensor {
  const factors = pairOf(factor);
  requireWhole('upsample: the factor', factors, 1);
  const [height, width] = placesOf(x, 'upsample');
  return resize(x, [height * factors[0], width * factors[1]], options);
}

type Maps = readonly [AxisMap, AxisMap];

function nearest(from: number, to: number, alignment: Alignment): AxisMap {
  return { out: to, in: from, terms: (place) => [[nearestPlace(place, from, to, alignment), 1]] };
}

/** In whole numbers, so that no place is moved by rounding. */
function nearestPlace(place: number, from: number, to: number, alignment: Alignment): number {
  switch (alignment) {
    case 'asymmetric':
      return Math.floor((place * from) / to);
    case 'half-pixel':
      return Math.floor(((2 * place + 1) * from) / (2 * to));
    case 'align-corners':
      return to === 1 ? 0 : Math.floor((2 * place * (from - 1) + (to - 1)) / (2 * (to - 1)));
  }
}

function bilinear(from: number, to: number, alignment: Alignment): AxisMap {
  return {
    out: to,
    in: from,
    terms: (place) => {
      const source = Math.min(from - 1, Math.max(0, coordinate(place, from, to, alignment)));
      const low = Math.min(Math.floor(source), Math.max(0, from - 2));
      return from === 1
        ? [[0, 1]]
        : [
            [low, 1 - (source - low)],
            [low + 1, source - low],
          ];
    },
  };
}

function coordinate(place: number, from: number, to: number, alignment: Alignment): number {
  switch (alignment) {
    case 'asymmetric':
      return (place * from) / to;
    case 'half-pixel':
      return ((place + 0.5) * from) / to - 0.5;
    case 'align-corners':
      return to === 1 ? 0 : (place * (from - 1)) / (to - 1);
  }
}

const nearestOperation = (maps: Maps): Operation => ({
  name: 'resizeNearest',
  gradient: (_node, [g]) => [g && separable(g, ...maps, true)],
  lower: ({ inputs }, emitter) => {
    // Single places first, while the picture is low; then whole rows.
    let name = emitter.name(only(inputs));
    for (const [axis, map] of [
      [3, maps[1]],
      [2, maps[0]],
    ] as const) {
      const sources = Array.from({ length: map.out }, (_, place) => map.terms(place)[0]?.[0] ?? 0);
      if (map.out === map.in && sources.every((source, place) => source === place)) continue;
      name = emitOne(emitter, 'Gather', [name, emitter.constant(array(sources, [map.out], 'int64'))], { axis });
    }
    return [name];
  },
});

const bilinearOperation = (alignment: Alignment, maps: Maps): Operation => ({
  name: 'resizeBilinear',
  gradient: (_node, [g]) => [g && separable(g, ...maps, true)],
  lower: ({ inputs, outputs }, emitter) => {
    const size = emitter.shape(only(outputs).shape);
    const settings = { mode: 'linear', coordinate_transformation_mode: alignment.replace('-', '_') };
    return emitter.emit('Resize', [emitter.name(only(inputs)), '', '', size], settings);
  },
});
