/**
 * Principal components: the directions in which rows vary most (Hotelling 1933), by the singular value decomposition of the
 * centered rows, or a randomized one for the first few of many (arXiv 0909.4061).
 */

import { TesseraError } from '../host/error.js';
import {
  columnMeans,
  finiteShape,
  type Matrix,
  type MatrixLike,
  matrix,
  scaleColumns,
  shapeOf,
  transpose,
} from './matrix.js';
import { multiply, multiplyTransposed } from './products.js';
import { type RandomizedSvdOptions, randomizedSvd } from './randomized.js';
import { type SVD, svd } from './svd.js';

/** Options of {@link pca}. */
export interface PcaOptions extends RandomizedSvdOptions {
  /** How many components (default: min(n - 1, d)). */
  readonly components?: number;
  /** Give every component the variance 1 (default false). */
  readonly whiten?: boolean;
  /** Exact, or approximate and faster (default: randomized where fewer than a fifth of 400 or more are wanted). */
  readonly solver?: 'full' | 'randomized';
}

/** Principal components. */
export interface Pca {
  /** The mean of each column, [d]. */
  readonly mean: Float64Array;
  /** Unit directions in rows, [k, d]; the largest number of each is positive. */
  readonly components: Matrix;
  /** The variance along each, with n - 1 in the denominator, largest first. */
  readonly variances: Float64Array;
  /** The share of the whole variance; zeros where there is none. */
  readonly shares: Float64Array;
  readonly singularValues: Float64Array;
  /** Rows in the space of the components, [m, k] from [m, d]. @throws bad-shape; not-finite. */
  transform(rows: MatrixLike): Matrix;
  /** Rows back from it, [m, d] from [m, k]: the nearest that the components can say. @throws bad-shape; not-finite. */
  inverse(rows: MatrixLike): Matrix;
}

/** The principal components of rows [n, d]. @throws bad-input for fewer than two rows; bad-option; bad-shape; not-finite. */
export function pca(rows: MatrixLike, options: PcaOptions = {}): Pca {
  const [count, width] = finiteShape(rows, 'The data');
  if (count < 2) throw new TesseraError('bad-input', `${count} rows have no variance.`, { hint: 'Give at least two.' });
  const most = Math.min(count, width);
  const { components = Math.min(count - 1, width), whiten = false } = options;
  if (!Number.isInteger(components) || components < 1 || components > most) {
    throw new TesseraError(
      'bad-option',
      `From ${count} rows of ${width}, 1 to ${most} components can be had, not ${components}.`,
    );
  }
  const mean = columnMeans(rows);
  const centered = shifted(rows, mean, -1);
  const { solver = most >= 400 && components < most / 5 ? 'randomized' : 'full' } = options;
  const found: SVD =
    solver === 'full' ? svd(centered, { rank: components }) : randomizedSvd(centered, components, options);
  const directions = transpose(found.v);
  for (let i = 0; i < components; i++) pointUp(directions.data.subarray(i * width, (i + 1) * width));
  const variances = found.s.map((value) => (value * value) / (count - 1));
  const whole = centered.data.reduce((sum, value) => sum + value * value, 0) / (count - 1);
  // A direction without variance stays without, also whitened.
  const floor = (found.s[0] ?? 0) * Math.max(count, width) * Number.EPSILON;
  const deviations = found.s.map((value) => (value > floor ? value / Math.sqrt(count - 1) : 0));
  return {
    mean,
    components: directions,
    variances,
    shares: variances.map((value) => (whole > 0 ? value / whole : 0)),
    singularValues: found.s,
    transform(other) {
      const scores = multiplyTransposed(shifted(checked(other, width), mean, -1), directions);
      return whiten
        ? scaleColumns(
            scores,
            deviations.map((value) => (value > 0 ? 1 / value : 0)),
          )
        : scores;
    },
    inverse(other) {
      const scores = checked(other, components);
      return shifted(multiply(whiten ? scaleColumns(scores, deviations) : scores, directions), mean, 1);
    },
  };
}

function checked(rows: MatrixLike, width: number): MatrixLike {
  const [, columns] = finiteShape(rows, 'The rows');
  if (columns !== width)
    throw new TesseraError('bad-shape', `The rows have ${columns} numbers where ${width} are needed.`);
  return rows;
}

function shifted(rows: MatrixLike, by: Float64Array, factor: number): Matrix {
  const [count, width] = shapeOf(rows);
  const result = matrix(count, width);
  for (let i = 0; i < result.data.length; i++) {
    result.data[i] = (rows.data[i] as number) + factor * (by[i % width] as number);
  }
  return result;
}

/** Turns a direction so that its largest number is positive: the sign is a convention, and should not depend on chance. */
function pointUp(direction: Float64Array): void {
  let largest = 0;
  for (const value of direction) if (Math.abs(value) > Math.abs(largest)) largest = value;
  if (largest < 0) for (let i = 0; i < direction.length; i++) direction[i] = -(direction[i] as number);
}
