/**
 * Singular value decomposition. The eigenvectors of `A^T A` come first, which are right to half the digits; one-sided
 * Jacobi rotations (Hestenes 1958; Golub and Van Loan, Matrix Computations, section 8.6.3) then make the columns of `A V`
 * orthogonal to full precision, and since they start next to the goal one or two sweeps do. So it is as accurate as Jacobi's
 * method and as fast as the eigenvectors: side by side with others in index.ts.
 */

import { finiteShape, type Matrix, type MatrixLike, matrix, scaleColumns, transpose } from './matrix.js';
import { dot, multiplyTransposed, outerGram } from './products.js';
import { applyReflections, reflect } from './qr.js';
import { symmetricEigen } from './symmetric-eigen.js';

/** `A = U diag(s) V^T`. */
export interface SVD {
  /** Orthonormal columns, [m, r]. */
  readonly u: Matrix;
  /** The singular values, largest first. */
  readonly s: Float64Array;
  /** Orthonormal columns, [n, r]. */
  readonly v: Matrix;
}

/**
 * The thin decomposition, r = min(m, n), or the first `rank` singular values and vectors of it. Where a singular value is
 * zero its vectors complete the bases.
 * @throws bad-shape; not-finite.
 */
export function svd(a: MatrixLike, options: { readonly rank?: number } = {}): SVD {
  const [rows, columns] = finiteShape(a);
  const full = rows >= columns ? tall(transpose(a)) : swap(tall(a));
  const rank = Math.min(options.rank ?? full.s.length, full.s.length);
  return rank === full.s.length ? full : truncated(full, rank);
}

/** The singular values alone, largest first. @throws bad-shape; not-finite. */
export function singularValues(a: MatrixLike): Float64Array {
  return svd(a).s;
}

/** How many singular values are above `tolerance` (default: max(m, n) eps) times the largest. @throws bad-option. */
export function rankOf(s: Float64Array, tolerance: number): number {
  const least = tolerance * (s[0] ?? 0);
  let rank = 0;
  while (rank < s.length && (s[rank] as number) > least) rank++;
  return rank;
}

/** The largest over the smallest singular value; Infinity for a singular matrix. @throws bad-shape; not-finite. */
export function conditionNumber(a: MatrixLike): number {
  const { s } = svd(a);
  return (s[0] ?? 0) / (s.at(-1) ?? 0) || Number.POSITIVE_INFINITY;
}

/** The first `rank` singular values and vectors. */
export function truncated({ u, s, v }: SVD, rank: number): SVD {
  const first = (m: Matrix): Matrix => {
    const [rows, columns] = m.shape;
    const result = matrix(rows, rank);
    for (let i = 0; i < rows; i++) result.data.set(m.data.subarray(i * columns, i * columns + rank), i * rank);
    return result;
  };
  return { u: first(u), s: s.slice(0, rank), v: first(v) };
}

/** `U diag(s) V^T`. */
export function compose({ u, s, v }: SVD): Matrix {
  return multiplyTransposed(scaleColumns(u, s), v);
}

function swap({ u, s, v }: SVD): SVD {
  return { u: v, s, v: u };
}

/** Decomposes a matrix of at least as many rows as columns, given transposed: [n, m], n at most m. */
function tall(at: MatrixLike): SVD {
  const [columns, rows] = at.shape as readonly [number, number];
  if (columns === 0) return { u: matrix(rows, 0), s: new Float64Array(0), v: matrix(0, 0) };
  let largest = 0;
  for (let i = 0; i < at.data.length; i++) largest = Math.max(largest, Math.abs(at.data[i] as number));
  const scale = largest || 1;
  const scaled = matrix(
    columns,
    rows,
    Float64Array.from(at.data, (value) => value / scale),
  );
  const vt = transpose(symmetricEigen(outerGram(scaled)).vectors);
  const w = multiplyTransposed(vt, transpose(scaled)); // [n, m]: row j is column j of A V
  const lengths = orthogonalizeRows(w.data, vt.data, columns, rows);
  const order = Int32Array.from(lengths.keys()).sort(
    (i, j) => (lengths[j] as number) - (lengths[i] as number) || i - j,
  );
  const s = Float64Array.from(order, (i) => lengths[i] as number);
  const ut = matrix(columns, rows);
  const sorted = matrix(columns, columns);
  const least = 4 * Number.EPSILON * (s[0] ?? 0);
  let rank = 0;
  order.forEach((from, to) => {
    sorted.data.set(vt.data.subarray(from * columns, (from + 1) * columns), to * columns);
    const length = s[to] as number;
    if (!(length > least)) return;
    rank = to + 1;
    for (let i = 0; i < rows; i++) ut.data[to * rows + i] = (w.data[from * rows + i] as number) / length;
  });
  if (rank < columns) complete(ut, rank);
  return { u: transpose(ut), s: s.map((value) => value * scale), v: transpose(sorted) };
}

/** Rotates pairs of rows until all are orthogonal; the rows of `vt` turn along. Gives the rows' lengths. */
function orthogonalizeRows(w: Float64Array, vt: Float64Array, count: number, length: number): Float64Array {
  const squares = new Float64Array(count);
  const tolerance = Number.EPSILON * Math.sqrt(length);
  for (let turn = 0; turn < 40; turn++) {
    for (let i = 0; i < count; i++) squares[i] = dot(w, i * length, w, i * length, length);
    const least = (Number.EPSILON * Math.sqrt(Math.max(...squares))) ** 2;
    let rotated = false;
    for (let p = 0; p < count; p++) {
      for (let q = p + 1; q < count; q++) {
        const alpha = squares[p] as number;
        const beta = squares[q] as number;
        if (alpha <= least || beta <= least) continue; // nothing but rounding
        const gamma = dot(w, p * length, w, q * length, length);
        if (Math.abs(gamma) <= tolerance * Math.sqrt(alpha) * Math.sqrt(beta)) continue;
        rotated = true;
        const zeta = (beta - alpha) / (2 * gamma);
        const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const c = 1 / Math.sqrt(1 + t * t);
        rotate(w, p * length, q * length, length, c, c * t);
        rotate(vt, p * count, q * count, count, c, c * t);
        squares[p] = dot(w, p * length, w, p * length, length);
        squares[q] = dot(w, q * length, w, q * length, length);
      }
    }
    if (!rotated) break;
  }
  return squares.map((_, i) => Math.sqrt(dot(w, i * length, w, i * length, length)));
}

function rotate(data: Float64Array, p: number, q: number, length: number, c: number, s: number): void {
  for (let k = 0; k < length; k++) {
    const x = data[p + k] as number;
    const y = data[q + k] as number;
    data[p + k] = c * x - s * y;
    data[q + k] = s * x + c * y;
  }
}

/** Fills the rows from `rank` on with an orthonormal completion of those before. */
function complete(ut: Matrix, rank: number): void {
  const [count, length] = ut.shape;
  const known = matrix(rank, length, ut.data.subarray(0, rank * length));
  const reflections = reflect(transpose(known), false);
  for (let i = rank; i < count; i++) {
    ut.data.fill(0, i * length, (i + 1) * length);
    ut.data[i * length + i] = 1;
    applyReflections(reflections, ut.data, i * length, false);
  }
}
