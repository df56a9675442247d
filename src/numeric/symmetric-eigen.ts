/**
 * Eigenvalues and eigenvectors of symmetric matrices: Householder reduction to a tridiagonal matrix, then the implicit QL
 * iteration with Wilkinson's shift (Golub and Van Loan, Matrix Computations, sections 8.3.1 to 8.3.5).
 *
 * Notable: rotations are kept back and applied in batches, a row of the eigenvectors at a time, so that a row stays in the
 * nearest cache while hundreds of them pass over it. Measured side by side at 256 and 512: see index.ts.
 */

import { TesseraError } from '../host/error.js';
import { type Matrix, type MatrixLike, matrix, squareSize } from './matrix.js';
import { addScaled, dot } from './products.js';

/** `A = V diag(values) V^T`. */
export interface SymmetricEigen {
  /** Largest first. */
  readonly values: Float64Array;
  /** Orthonormal columns in the order of the values, [n, n]. */
  readonly vectors: Matrix;
}

/**
 * All eigenvalues and eigenvectors of a symmetric matrix [n, n].
 * @throws bad-shape; not-finite; bad-input where A is not symmetric (beyond 1e-8 of its largest number).
 */
export function symmetricEigen(a: MatrixLike): SymmetricEigen {
  const size = squareSize(a);
  const { work, scale } = symmetricCopy(a, size);
  const { diagonal, offDiagonal, basis } = tridiagonalize(work, size);
  iterate(diagonal, offDiagonal, basis, size);
  const order = Int32Array.from({ length: size }, (_, i) => i).sort(
    (i, j) => (diagonal[j] as number) - (diagonal[i] as number) || i - j,
  );
  const vectors = matrix(size, size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) vectors.data[i * size + j] = basis[i * size + (order[j] as number)] as number;
  }
  return { values: Float64Array.from(order, (i) => (diagonal[i] as number) * scale), vectors };
}

/** A copy with numbers of at most 1, exactly symmetric, and what it was divided by. */
function symmetricCopy(a: MatrixLike, size: number): { work: Float64Array; scale: number } {
  let largest = 0;
  for (let i = 0; i < a.data.length; i++) largest = Math.max(largest, Math.abs(a.data[i] as number));
  const scale = largest || 1;
  const work = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      const lower = (a.data[i * size + j] as number) / scale;
      const upper = (a.data[j * size + i] as number) / scale;
      if (Math.abs(lower - upper) > 1e-8) {
        throw new TesseraError(
          'bad-input',
          `The matrix is not symmetric: ${lower * scale} and ${upper * scale} mirror each other at row ${i}, column ${j}.`,
          {
            hint: 'Take the mean of the matrix and its transpose, or use svd.',
          },
        );
      }
      work[i * size + j] = work[j * size + i] = (lower + upper) / 2;
    }
  }
  return { work, scale };
}

/** `A = Q T Q^T`; Q in rows. The reflections' vectors take the place of what they clear. */
function tridiagonalize(
  a: Float64Array,
  size: number,
): { diagonal: Float64Array; offDiagonal: Float64Array; basis: Float64Array } {
  const offDiagonal = new Float64Array(size);
  const scales = new Float64Array(size);
  const p = new Float64Array(size);
  for (let k = 0; k + 2 < size; k++) {
    // Row k right of the diagonal is column k below it.
    const at = k * size;
    const norm = Math.sqrt(dot(a, at + k + 1, a, at + k + 1, size - k - 1));
    const first = a[at + k + 1] as number;
    const value = first > 0 ? -norm : norm;
    offDiagonal[k] = value;
    const scale = -value * (first - value);
    if (!(scale > 0)) continue;
    scales[k] = scale;
    a[at + k + 1] = first - value;
    for (let i = k + 1; i < size; i++) p[i] = dot(a, i * size + k + 1, a, at + k + 1, size - k - 1) / scale;
    const half = dot(p, k + 1, a, at + k + 1, size - k - 1) / (2 * scale);
    addScaled(-half, a, at + k + 1, p, k + 1, size - k - 1);
    for (let i = k + 1; i < size; i++) rankTwo(a, i * size, at, p, a[at + i] as number, p[i] as number, k + 1, size);
  }
  if (size > 1) offDiagonal[size - 2] = a[(size - 2) * size + size - 1] as number;
  const diagonal = Float64Array.from({ length: size }, (_, i) => a[i * size + i] as number);
  return { diagonal, offDiagonal, basis: formBasis(a, scales, size) };
}

/** Row i of `A - v w^T - w v^T`, from column `start` on. */
function rankTwo(
  a: Float64Array,
  row: number,
  v: number,
  w: Float64Array,
  vi: number,
  wi: number,
  start: number,
  size: number,
): void {
  for (let j = start; j < size; j++) {
    a[row + j] = (a[row + j] as number) - vi * (w[j] as number) - wi * (a[v + j] as number);
  }
}

/** The product of the reflections, applied to the identity last one first. */
function formBasis(a: Float64Array, scales: Float64Array, size: number): Float64Array {
  const basis = new Float64Array(size * size);
  for (let i = 0; i < size; i++) basis[i * size + i] = 1;
  const along = new Float64Array(size);
  for (let k = size - 3; k >= 0; k--) {
    const scale = scales[k] as number;
    if (!(scale > 0)) continue;
    along.fill(0, k + 1);
    for (let i = k + 1; i < size; i++) {
      addScaled((a[k * size + i] as number) / scale, basis, i * size + k + 1, along, k + 1, size - k - 1);
    }
    for (let i = k + 1; i < size; i++) {
      addScaled(-(a[k * size + i] as number), along, k + 1, basis, i * size + k + 1, size - k - 1);
    }
  }
  return basis;
}

/** Makes the tridiagonal matrix diagonal and turns the basis with it. */
function iterate(d: Float64Array, e: Float64Array, basis: Float64Array, size: number): void {
  const rotations = new RotationBatch(basis, size);
  for (let l = 0; l < size; l++) {
    for (let turn = 0; ; turn++) {
      let m = l;
      for (; m + 1 < size; m++) {
        const near = Math.abs(d[m] as number) + Math.abs(d[m + 1] as number);
        if (Math.abs(e[m] as number) <= Number.EPSILON * near + 1e-290) break;
      }
      if (m === l) break;
      if (turn === 60) throw new TesseraError('not-finite', 'The eigenvalues did not converge in 60 turns.');
      sweep(d, e, l, m, rotations);
    }
  }
  rotations.apply();
}

/** One QL step on rows l to m. */
function sweep(d: Float64Array, e: Float64Array, l: number, m: number, rotations: RotationBatch): void {
  const dl = d[l] as number;
  const el = e[l] as number;
  const ratio = ((d[l + 1] as number) - dl) / (2 * el);
  const root = Math.sqrt(ratio * ratio + 1);
  let g = (d[m] as number) - dl + el / (ratio + (ratio < 0 ? -root : root));
  let s = 1;
  let c = 1;
  let p = 0;
  rotations.begin(m);
  for (let i = m - 1; i >= l; i--) {
    const f = s * (e[i] as number);
    const b = c * (e[i] as number);
    const r = Math.sqrt(f * f + g * g);
    e[i + 1] = r;
    if (r === 0) {
      // The matrix falls apart here: what was turned so far stands.
      d[i + 1] = (d[i + 1] as number) - p;
      e[m] = 0;
      return;
    }
    s = f / r;
    c = g / r;
    g = (d[i + 1] as number) - p;
    const t = ((d[i] as number) - g) * s + 2 * c * b;
    p = s * t;
    d[i + 1] = g + p;
    g = c * t - b;
    rotations.add(c, s);
  }
  d[l] = (d[l] as number) - p;
  e[l] = g;
  e[m] = 0;
}

/** Rotations of neighboring columns, in sweeps that each begin at a column and go to the left. */
class RotationBatch {
  private readonly cosines = new Float64Array(1 << 14);
  private readonly sines = new Float64Array(1 << 14);
  private readonly starts: number[] = []; // the column each sweep begins at
  private readonly from: number[] = []; // its first rotation
  private count = 0;

  constructor(
    private readonly basis: Float64Array,
    private readonly size: number,
  ) {}

  begin(column: number): void {
    if (this.count + this.size > this.cosines.length && this.count > 0) this.apply();
    this.starts.push(column);
    this.from.push(this.count);
  }

  add(cosine: number, sine: number): void {
    if (this.count === this.cosines.length) {
      // A sweep longer than the batch goes on in the next one.
      const column = (this.starts.at(-1) ?? 0) - (this.count - (this.from.at(-1) ?? 0));
      this.apply();
      this.starts.push(column);
      this.from.push(0);
    }
    this.cosines[this.count] = cosine;
    this.sines[this.count++] = sine;
  }

  apply(): void {
    const { basis, size, starts, from, count } = this;
    for (let row = 0; row < size; row += 2) {
      const other = row + 1 < size ? row + 1 : row;
      for (let sweepIndex = 0; sweepIndex < starts.length; sweepIndex++) {
        const first = from[sweepIndex] ?? 0;
        const last = from[sweepIndex + 1] ?? count;
        if (other === row) this.turn(basis, row * size + (starts[sweepIndex] ?? 0), first, last);
        else this.turnTwo(basis, row * size + (starts[sweepIndex] ?? 0), first, last);
      }
    }
    this.count = 0;
    starts.length = 0;
    from.length = 0;
  }

  private turn(z: Float64Array, at: number, first: number, last: number): void {
    const { cosines, sines } = this;
    let x = z[at] as number;
    let place = at;
    for (let k = first; k < last; k++, place--) {
      const c = cosines[k] as number;
      const s = sines[k] as number;
      const y = z[place - 1] as number;
      z[place] = s * y + c * x;
      x = c * y - s * x;
    }
    z[place] = x;
  }

  /** As `turn`, for two rows whose sums do not wait for each other. */
  private turnTwo(z: Float64Array, at: number, first: number, last: number): void {
    const { cosines, sines, size } = this;
    let x = z[at] as number;
    let u = z[at + size] as number;
    let place = at;
    for (let k = first; k < last; k++, place--) {
      const c = cosines[k] as number;
      const s = sines[k] as number;
      const y = z[place - 1] as number;
      const v = z[place - 1 + size] as number;
      z[place] = s * y + c * x;
      z[place + size] = s * v + c * u;
      x = c * y - s * x;
      u = c * v - s * u;
    }
    z[place] = x;
    z[place + size] = u;
  }
}
