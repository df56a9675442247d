/**
 * QR decomposition by Householder reflections (Golub and Van Loan, Matrix Computations, section 5.2), with column pivoting
 * where the rank is asked for (section 5.4). Works on the transposed matrix, whose rows are the columns, so that every inner
 * loop runs along memory. Measured beside ml-matrix: index.ts.
 */

import { finiteShape, type Matrix, type MatrixLike, matrix, transpose } from './matrix.js';
import { addScaled, dot } from './products.js';

/** `A = Q R`, or `A P = Q R` with pivots: column j of `A P` is column `pivots[j]` of A. */
export interface QR {
  /** Orthonormal columns, [m, min(m, n)]. */
  readonly q: Matrix;
  /** Upper triangular, [min(m, n), n]; with pivots its diagonal falls in absolute value. */
  readonly r: Matrix;
  readonly pivots: Int32Array;
}

/** Reflections that make a matrix triangular. */
export interface Reflections {
  readonly rows: number;
  readonly columns: number;
  /** The transposed matrix: row j holds column j of R up to its diagonal, then the reflection's vector. */
  readonly work: Float64Array;
  /** The diagonal of R. */
  readonly diagonal: Float64Array;
  /** For each reflection `I - v v^T / scale`; 0 where none was needed. */
  readonly scales: Float64Array;
  readonly pivots: Int32Array;
}

/** The thin QR decomposition. @throws bad-shape; not-finite. */
export function qr(a: MatrixLike, options: { readonly pivot?: boolean } = {}): QR {
  const reflections = reflect(a, options.pivot === true);
  const { rows, columns, work, diagonal, pivots } = reflections;
  const size = Math.min(rows, columns);
  const r = matrix(size, columns);
  for (let j = 0; j < columns; j++) {
    for (let i = 0; i < Math.min(j, size); i++) r.data[i * columns + j] = work[j * rows + i] as number;
    if (j < size) r.data[j * columns + j] = diagonal[j] as number;
  }
  // Q^T: the reflections applied to the first columns of the identity, last one first.
  const qt = matrix(size, rows);
  for (let i = 0; i < size; i++) qt.data[i * rows + i] = 1;
  for (let i = 0; i < size; i++) applyReflections(reflections, qt.data, i * rows, false);
  return { q: transpose(qt), r, pivots };
}

/** The reflections of a matrix. */
export function reflect(a: MatrixLike, pivot: boolean): Reflections {
  const [rows, columns] = finiteShape(a);
  const work = transpose(a).data;
  const factor = powerOfTwoNear(work);
  for (let i = 0; i < work.length; i++) work[i] = (work[i] as number) / factor;
  const size = Math.min(rows, columns);
  const diagonal = new Float64Array(size);
  const scales = new Float64Array(size);
  const pivots = Int32Array.from({ length: columns }, (_, j) => j);
  for (let k = 0; k < size; k++) {
    if (pivot) bringLargest(work, rows, columns, k, pivots);
    const at = k * rows + k;
    const length = rows - k;
    const norm = Math.sqrt(dot(work, at, work, at, length));
    if (norm < 1e-150) continue; // nothing, beside numbers near 1
    const first = work[at] as number;
    const value = first > 0 ? -norm : norm;
    diagonal[k] = value;
    work[at] = first - value; // v = x - value e
    const scale = -value * (first - value); // v^T v / 2
    scales[k] = scale;
    for (let j = k + 1; j < columns; j++) {
      const along = dot(work, at, work, j * rows + k, length) / scale;
      if (along !== 0) addScaled(-along, work, at, work, j * rows + k, length);
    }
  }
  for (let j = 0; j < columns; j++) {
    for (let i = 0; i < Math.min(j, size); i++) work[j * rows + i] = (work[j * rows + i] as number) * factor;
    if (j < size) diagonal[j] = (diagonal[j] as number) * factor;
  }
  return { rows, columns, work, diagonal, scales, pivots };
}

/** Applies Q^T (`transposed`) or Q to the vector of `rows` numbers at `at`. */
export function applyReflections(by: Reflections, vector: Float64Array, at: number, transposed: boolean): void {
  const { rows, work, scales } = by;
  const count = scales.length;
  for (let index = 0; index < count; index++) {
    const k = transposed ? index : count - 1 - index;
    const scale = scales[k] as number;
    if (!(scale > 0)) continue;
    const along = dot(work, k * rows + k, vector, at + k, rows - k) / scale;
    if (along !== 0) addScaled(-along, work, k * rows + k, vector, at + k, rows - k);
  }
}

/** Brings the column with the longest remaining part to place k. Lengths are computed afresh: down-dating loses digits. */
function bringLargest(work: Float64Array, rows: number, columns: number, k: number, pivots: Int32Array): void {
  let best = k;
  let longest = -1;
  for (let j = k; j < columns; j++) {
    const length = dot(work, j * rows + k, work, j * rows + k, rows - k);
    if (length > longest) [best, longest] = [j, length];
  }
  if (best === k) return;
  const kept = work.slice(k * rows, (k + 1) * rows);
  work.copyWithin(k * rows, best * rows, (best + 1) * rows);
  work.set(kept, best * rows);
  [pivots[k], pivots[best]] = [pivots[best] as number, pivots[k] as number];
}

/** A power of two near the largest number, by which division rounds nothing; 1 for zeros. */
function powerOfTwoNear(values: Float64Array): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i] as number));
  return largest === 0 ? 1 : 2 ** Math.min(1023, Math.max(-1021, Math.floor(Math.log2(largest))));
}

/** The length of a vector without overflow or underflow. */
export function norm2(values: Float64Array, at: number, length: number): number {
  const squares = dot(values, at, values, at, length);
  if (squares > 1e-280 && squares < 1e280) return Math.sqrt(squares);
  let largest = 0;
  for (let i = 0; i < length; i++) largest = Math.max(largest, Math.abs(values[at + i] as number));
  if (largest === 0) return 0;
  let sum = 0;
  for (let i = 0; i < length; i++) sum += ((values[at + i] as number) / largest) ** 2;
  return largest * Math.sqrt(sum);
}

/** An orthonormal basis of the space that the columns span, [m, min(m, n)]; columns beyond the rank complete it. */
export function orthonormalize(a: MatrixLike): Matrix {
  return qr(a).q;
}
