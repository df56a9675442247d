/**
 * Random projections: fewer dimensions that nearly keep distances (Johnson and Lindenstrauss 1984), dense, or with few
 * numbers that are not zero (Achlioptas 2003; Li, Hastie and Church 2006).
 */

import { TesseraError } from '../host/error.js';
import { drawBelow, fillNormal, generator } from './generator.js';
import { type Matrix, matrix } from './matrix.js';

/** Options of {@link randomProjection}. */
export interface RandomProjectionOptions {
  /** Gaussian numbers, or 0 and two values of equal size (default `gaussian`). */
  readonly kind?: 'gaussian' | 'sparse';
  /** Of sparse ones, the share that is not zero (default `1 / sqrt(width)`; 1/3 is Achlioptas's). */
  readonly density?: number;
  readonly seed?: number;
}

/**
 * A matrix [width, dimensions]; rows times it keep their squared lengths on average. @throws bad-option.
 */
export function randomProjection(width: number, dimensions: number, options: RandomProjectionOptions = {}): Matrix {
  const { kind = 'gaussian', density = 1 / Math.sqrt(width), seed = 0 } = options;
  if (!Number.isInteger(width) || !Number.isInteger(dimensions) || width < 1 || dimensions < 1) {
    throw new TesseraError('bad-option', `Rows of ${width} cannot be projected to ${dimensions} dimensions.`);
  }
  if (!(density > 0 && density <= 1)) {
    throw new TesseraError('bad-option', `The density must be above 0 and at most 1, not ${density}.`);
  }
  const next = generator(seed);
  const result = matrix(width, dimensions);
  if (kind === 'gaussian') {
    fillNormal(next, result.data);
    for (let i = 0; i < result.data.length; i++) result.data[i] = (result.data[i] as number) / Math.sqrt(dimensions);
  } else {
    const size = Math.sqrt(1 / (density * dimensions));
    for (let i = 0; i < result.data.length; i++) {
      if (next() < density) result.data[i] = drawBelow(next, 2) === 0 ? size : -size;
    }
  }
  return result;
}

/**
 * The dimensions that keep all squared distances between `count` points within `1 - error` to `1 + error` with high
 * probability: `4 ln n / (e^2 / 2 - e^3 / 3)` (Dasgupta and Gupta 2003). @throws bad-option.
 */
export function projectionDimensions(count: number, error: number): number {
  if (!(count >= 1) || !(error > 0 && error < 1)) {
    throw new TesseraError(
      'bad-option',
      `An error of ${error} for ${count} points makes no sense: it lies between 0 and 1.`,
    );
  }
  return Math.ceil((4 * Math.log(count)) / (error ** 2 / 2 - error ** 3 / 3));
}
