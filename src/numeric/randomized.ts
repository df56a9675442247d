/**
 * The largest singular values and eigenvalues of large matrices without all the others: random projections and a few
 * products (Halko, Martinsson and Tropp, arXiv 0909.4061, algorithms 4.4 and 5.1), and for eigenvalues a block Krylov space
 * (Musco and Musco, arXiv 1504.05477, algorithm 2) that begins anew until the residuals are small.
 */

import { TesseraError } from '../host/error.js';
import { fillNormal, generator } from './generator.js';
import {
  finiteShape,
  frobeniusNorm,
  type Matrix,
  type MatrixLike,
  matrix,
  rowsOf,
  squareSize,
  transpose,
} from './matrix.js';
import { addScaled, dot, multiply, multiplyTransposed } from './products.js';
import { norm2, orthonormalize } from './qr.js';
import { type SVD, svd, truncated } from './svd.js';
import { type SymmetricEigen, symmetricEigen } from './symmetric-eigen.js';

/** Options of {@link randomizedSvd}. */
export interface RandomizedSvdOptions {
  /** Random directions beyond the rank (default 10). */
  readonly oversampling?: number;
  /** Passes that sharpen the space; each multiplies by A and its transpose (default 4). */
  readonly powerIterations?: number;
  readonly seed?: number;
}

/** The first `rank` singular values and vectors, near their exact values where those beyond fall off. @throws bad-option; bad-shape; not-finite. */
export function randomizedSvd(a: MatrixLike, rank: number, options: RandomizedSvdOptions = {}): SVD {
  const { oversampling = 10, powerIterations = 4, seed = 0 } = options;
  const [rows, columns] = finiteShape(a);
  atLeast(rank, 1, 'rank');
  atLeast(oversampling, 0, 'oversampling');
  atLeast(powerIterations, 0, 'number of power iterations');
  const width = Math.min(rank + oversampling, rows, columns);
  const across = transpose(a);
  const directions = matrix(width, columns, fillNormal(generator(seed), new Float64Array(width * columns)));
  let q = orthonormalize(multiplyTransposed(a, directions)); // [m, width]
  for (let pass = 0; pass < powerIterations; pass++) {
    q = orthonormalize(multiply(a, orthonormalize(multiply(across, q))));
  }
  const small = svd(multiply(transpose(q), a));
  return truncated({ u: multiply(q, small.u), s: small.s, v: small.v }, Math.min(rank, width));
}

/** Options of {@link topEigen}. */
export interface TopEigenOptions {
  /** Which are wanted: the largest, or those largest in absolute value (default `largest`). */
  readonly which?: 'largest' | 'magnitude';
  /** Residuals `|A x - value x|` below this times the norm of A end the search (default 1e-10). */
  readonly tolerance?: number;
  /** Spaces that are built before the search gives up (default 200). */
  readonly restarts?: number;
  readonly seed?: number;
}

/** What {@link topEigen} found. */
export interface TopEigen extends SymmetricEigen {
  /** Whether the residuals are below the tolerance. */
  readonly converged: boolean;
  /** Products of A with a block of vectors. */
  readonly products: number;
}

const BLOCKS = 6;

/** The first `count` eigenvalues and vectors of a symmetric matrix [n, n]; small matrices are decomposed whole. @throws bad-option; bad-shape; not-finite; bad-input. */
export function topEigen(a: MatrixLike, count: number, options: TopEigenOptions = {}): TopEigen {
  const { which = 'largest', tolerance = 1e-10, restarts = 200, seed = 0 } = options;
  const size = squareSize(a);
  atLeast(count, 1, 'number of eigenvalues');
  const wanted = Math.min(count, size);
  const block = wanted + Math.min(8, wanted + 2);
  const rank = (value: number): number => (which === 'magnitude' ? Math.abs(value) : value);
  if (BLOCKS * block * 2 >= size) {
    const whole = symmetricEigen(a);
    return { ...pick(whole, transpose(whole.vectors), wanted, rank), converged: true, products: 0 };
  }
  const norm = frobeniusNorm(a);
  const random = generator(seed);
  let start = matrix(block, size, fillNormal(random, new Float64Array(block * size)));
  for (let restart = 1; ; restart++) {
    const basis = krylov(a, start, random);
    const mapped = multiplyTransposed(basis, a); // rows times A, symmetric
    const small = symmetricEigen(symmetrized(multiplyTransposed(basis, mapped)));
    const order = ranked(small.values, rank).slice(0, block);
    const turned = transpose(pickColumns(small.vectors, order));
    const vectors = multiply(turned, basis);
    const images = multiply(turned, mapped);
    let worst = 0;
    for (let i = 0; i < wanted; i++) {
      addScaled(-(small.values[order[i] as number] as number), vectors.data, i * size, images.data, i * size, size);
      worst = Math.max(worst, norm2(images.data, i * size, size));
    }
    const converged = worst <= tolerance * norm;
    if (converged || restart >= restarts) {
      const values = Float64Array.from(order.slice(0, wanted), (i) => small.values[i] as number);
      return { values, vectors: transpose(rowsOf(vectors, 0, wanted)), converged, products: restart * (BLOCKS + 1) };
    }
    start = vectors;
  }
}

/** An orthonormal basis, in rows, of `X, A X, A^2 X, ...`. */
function krylov(a: MatrixLike, start: Matrix, random: () => number): Matrix {
  const [block, size] = start.shape;
  const basis = matrix(BLOCKS * block, size);
  let rows = start;
  for (let index = 0; index < BLOCKS; index++) {
    basis.data.set(rows.data, index * block * size);
    for (let i = index * block; i < (index + 1) * block; i++) orthogonalizeRow(basis.data, i, size, random);
    rows = multiplyTransposed(rowsOf(basis, index * block, (index + 1) * block), a);
  }
  return basis;
}

/** Makes row i a unit vector orthogonal to those before; a row that vanishes is drawn anew. */
function orthogonalizeRow(data: Float64Array, i: number, size: number, random: () => number): void {
  for (let attempt = 0; ; attempt++) {
    const before = norm2(data, i * size, size);
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) {
        addScaled(-dot(data, j * size, data, i * size, size), data, j * size, data, i * size, size);
      }
    }
    const after = norm2(data, i * size, size);
    if (after > 1e-10 * before || (attempt > 3 && after > 0)) {
      for (let k = 0; k < size; k++) data[i * size + k] = (data[i * size + k] as number) / after;
      return;
    }
    data.set(fillNormal(random, new Float64Array(size)), i * size);
  }
}

function symmetrized(a: Matrix): Matrix {
  const across = transpose(a);
  return matrix(
    a.shape[0],
    a.shape[1],
    a.data.map((value, i) => (value + (across.data[i] as number)) / 2),
  );
}

function ranked(values: Float64Array, rank: (value: number) => number): number[] {
  return [...values.keys()].sort((i, j) => rank(values[j] as number) - rank(values[i] as number) || i - j);
}

function pickColumns(a: Matrix, columns: readonly number[]): Matrix {
  const result = matrix(a.shape[0], columns.length);
  columns.forEach((from, to) => {
    for (let i = 0; i < a.shape[0]; i++) {
      result.data[i * columns.length + to] = a.data[i * a.shape[1] + from] as number;
    }
  });
  return result;
}

function pick(
  whole: SymmetricEigen,
  rows: Matrix,
  count: number,
  rank: (value: number) => number,
): { values: Float64Array; vectors: Matrix } {
  const order = ranked(whole.values, rank).slice(0, count);
  const size = rows.shape[1];
  const picked = matrix(count, size);
  for (const [to, from] of order.entries()) {
    picked.data.set(rows.data.subarray(from * size, (from + 1) * size), to * size);
  }
  return { values: Float64Array.from(order, (i) => whole.values[i] as number), vectors: transpose(picked) };
}

function atLeast(value: number, least: number, what: string): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new TesseraError('bad-option', `The ${what} must be a whole number of at least ${least}, not ${value}.`);
}
