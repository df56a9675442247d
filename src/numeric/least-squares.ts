/** Least squares of any rank, ridge, the pseudo-inverse, and the nearest orthogonal map. */

import { TesseraError } from '../host/error.js';
import {
  add,
  columnMeans,
  finiteShape,
  frobeniusNorm,
  type Matrix,
  type MatrixLike,
  matrix,
  scaleColumns,
  transpose,
} from './matrix.js';
import { multiply, multiplyTransposed } from './products.js';
import { applyReflections, reflect } from './qr.js';
import { rankOf, svd } from './svd.js';

/** Options of {@link leastSquares}. */
export interface LeastSquaresOptions {
  /** The weight of `|X|^2` beside `|A X - B|^2` (default 0). */
  readonly ridge?: number;
  /** Singular values below this times the largest count as zero (default: max(m, n) eps). */
  readonly tolerance?: number;
}

/** The solution of a least-squares problem. */
export interface LeastSquares {
  /** [n, k]. */
  readonly x: Matrix;
  /** How many columns of A are independent to the tolerance. */
  readonly rank: number;
  /** The length of each column of `A X - B`. */
  readonly residuals: Float64Array;
}

/**
 * The X with the least `|A X - B|^2 + ridge |X|^2`, and of several the shortest; A is [m, n], B [m, k].
 * Full rank: QR with pivoting; otherwise, and with a ridge: SVD (Golub and Van Loan, sections 5.3, 5.5, 6.1.4).
 * @throws bad-shape; not-finite; bad-option for a negative ridge.
 */
export function leastSquares(a: MatrixLike, b: MatrixLike, options: LeastSquaresOptions = {}): LeastSquares {
  const [rows, columns] = finiteShape(a);
  const [otherRows] = finiteShape(b, 'The right side');
  if (rows !== otherRows)
    throw new TesseraError('bad-shape', `The right side has ${otherRows} rows and the matrix ${rows}.`);
  const { ridge = 0, tolerance = Math.max(rows, columns) * Number.EPSILON } = options;
  if (!(ridge >= 0)) throw new TesseraError('bad-option', `A ridge cannot be ${ridge}.`);
  const quick = ridge === 0 && rows >= columns ? byReflections(a, b, tolerance) : undefined;
  const { x, rank } = quick ?? bySingularValues(a, b, ridge, tolerance);
  return { x, rank, residuals: columnNorms(add(multiply(a, x), b, -1)) };
}

/** Solves by `R X = Q^T B` where every column counts. */
function byReflections(a: MatrixLike, b: MatrixLike, tolerance: number): { x: Matrix; rank: number } | undefined {
  const reflections = reflect(a, true);
  const { rows, columns, work, diagonal, pivots } = reflections;
  const first = Math.abs(diagonal[0] ?? 0);
  for (const value of diagonal) if (!(Math.abs(value) > tolerance * first)) return undefined;
  const bt = transpose(b);
  const count = bt.shape[0];
  const x = matrix(columns, count);
  for (let k = 0; k < count; k++) {
    const right = bt.data.subarray(k * rows, (k + 1) * rows);
    applyReflections(reflections, right, 0, true);
    for (let i = columns - 1; i >= 0; i--) {
      const value = (right[i] as number) / (diagonal[i] as number);
      x.data[(pivots[i] as number) * count + k] = value;
      for (let j = 0; j < i; j++) right[j] = (right[j] as number) - value * (work[i * rows + j] as number);
    }
  }
  return { x, rank: columns };
}

function bySingularValues(a: MatrixLike, b: MatrixLike, ridge: number, tolerance: number): { x: Matrix; rank: number } {
  const { u, s, v } = svd(a);
  const rank = rankOf(s, tolerance);
  const factors = s.map((value, i) => (i < rank ? value / (value * value + ridge) : 0));
  return { x: multiply(scaleColumns(v, factors), multiply(transpose(u), b)), rank };
}

/** The Moore-Penrose inverse, [n, m]. @throws bad-shape; not-finite. */
export function pseudoInverse(a: MatrixLike, options: { readonly tolerance?: number } = {}): Matrix {
  const [rows, columns] = finiteShape(a);
  const { u, s, v } = svd(a);
  const rank = rankOf(s, options.tolerance ?? Math.max(rows, columns) * Number.EPSILON);
  return multiplyTransposed(
    scaleColumns(
      v,
      s.map((value, i) => (i < rank ? 1 / value : 0)),
    ),
    u,
  );
}

/** Options of {@link orthogonalProcrustes}. */
export interface ProcrustesOptions {
  /** Allow rotations only, no reflection (default false). */
  readonly rotation?: boolean;
  /** Also find the one factor that fits best (default false: 1). */
  readonly scale?: boolean;
  /** Also move the means upon each other (default false). */
  readonly center?: boolean;
}

/** The map `x -> scale (x - from) Q + to` of rows. */
export interface Procrustes {
  /** Orthogonal, [n, n]. */
  readonly q: Matrix;
  readonly scale: number;
  /** The means of the rows of A and B with `center`, else zeros. */
  readonly from: Float64Array;
  readonly to: Float64Array;
  /** `|scale (A - from) Q + to - B|`. */
  readonly residual: number;
}

/**
 * The orthogonal Q that maps the rows of A nearest to those of B, both [m, n] (Schönemann 1966; rotations: Kabsch 1976).
 * @throws bad-shape; not-finite; bad-input when a scale is asked for and A has no extent.
 */
export function orthogonalProcrustes(a: MatrixLike, b: MatrixLike, options: ProcrustesOptions = {}): Procrustes {
  const [rows, columns] = finiteShape(a);
  const [otherRows, otherColumns] = finiteShape(b, 'The target');
  if (rows !== otherRows || columns !== otherColumns) {
    throw new TesseraError('bad-shape', `A is ${rows} by ${columns} and the target ${otherRows} by ${otherColumns}.`);
  }
  const from = options.center ? columnMeans(a) : new Float64Array(columns);
  const to = options.center ? columnMeans(b) : new Float64Array(columns);
  const source = moved(a, from, -1);
  const target = moved(b, to, -1);
  const { u, s, v } = svd(multiply(transpose(source), target));
  const signs = new Float64Array(columns).fill(1);
  if (options.rotation && determinantSign(multiplyTransposed(u, v)) < 0) signs[columns - 1] = -1;
  const q = multiplyTransposed(scaleColumns(u, signs), v);
  let scale = 1;
  if (options.scale) {
    const extent = frobeniusNorm(source) ** 2;
    if (!(extent > 0)) throw new TesseraError('bad-input', 'Points that all lie in one place have no scale.');
    scale = s.reduce((sum, value, i) => sum + value * (signs[i] as number), 0) / extent;
  }
  const residual = frobeniusNorm(
    add(scaleColumns(multiply(source, q), new Float64Array(columns).fill(scale)), target, -1),
  );
  return { q, scale, from, to, residual };
}

/** The sign of an orthogonal matrix's determinant: each reflection that makes it triangular turns it once. */
function determinantSign(q: Matrix): number {
  const { diagonal, scales } = reflect(q, false);
  let sign = 1;
  for (let i = 0; i < diagonal.length; i++) {
    if ((diagonal[i] as number) < 0) sign = -sign;
    if ((scales[i] as number) > 0) sign = -sign;
  }
  return sign;
}

function moved(a: MatrixLike, by: Float64Array, factor: number): Matrix {
  const [rows, columns] = a.shape as readonly [number, number];
  const result = matrix(rows, columns);
  for (let i = 0; i < result.data.length; i++)
    result.data[i] = (a.data[i] as number) + factor * (by[i % columns] as number);
  return result;
}

function columnNorms(a: Matrix): Float64Array {
  const [rows, columns] = a.shape;
  const norms = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) norms[j] = (norms[j] as number) + (a.data[i * columns + j] as number) ** 2;
  }
  return norms.map(Math.sqrt);
}
