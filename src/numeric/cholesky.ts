/** Cholesky factors and the solution of linear systems (Golub and Van Loan, Matrix Computations, chapters 3 and 4). */

import { TesseraError } from '../host/error.js';
import { copy, finiteShape, type Matrix, type MatrixLike, matrix, squareSize } from './matrix.js';
import { addScaled, dot } from './products.js';

/**
 * The lower triangular L with `A = L L^T`; only A's lower triangle is read.
 * @throws bad-shape; not-finite; bad-input, with the row, when A is not positive definite.
 */
export function cholesky(a: MatrixLike): Matrix {
  const size = squareSize(a);
  const l = matrix(size, size);
  const { data } = l;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < i; j++) {
      const rest = (a.data[i * size + j] as number) - dot(data, i * size, data, j * size, j);
      data[i * size + j] = rest / (data[j * size + j] as number);
    }
    const square = (a.data[i * size + i] as number) - dot(data, i * size, data, i * size, i);
    if (!(square > 0)) {
      throw new TesseraError('bad-input', `The matrix is not positive definite: row ${i} leaves ${square}.`, {
        hint: 'Add a small multiple of the identity, or use leastSquares, which needs no full rank.',
      });
    }
    data[i * size + i] = Math.sqrt(square);
  }
  return l;
}

/** X with `L L^T X = B` for the factor of {@link cholesky}; B is [n, k]. @throws bad-shape. */
export function solveCholesky(l: MatrixLike, b: MatrixLike): Matrix {
  const size = squareSize(l, 'The factor');
  const x = rightSide(b, size);
  const columns = x.shape[1];
  const { data } = x;
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < i; k++)
      addScaled(-(l.data[i * size + k] as number), data, k * columns, data, i * columns, columns);
    divide(data, i * columns, columns, l.data[i * size + i] as number);
  }
  for (let i = size - 1; i >= 0; i--) {
    for (let k = i + 1; k < size; k++) {
      addScaled(-(l.data[k * size + i] as number), data, k * columns, data, i * columns, columns);
    }
    divide(data, i * columns, columns, l.data[i * size + i] as number);
  }
  return x;
}

/**
 * X with `A X = B`, by Gaussian elimination with row pivoting; A is [n, n], B [n, k].
 * @throws bad-shape; not-finite; bad-input when A is singular to working precision (its pivot below n eps of its largest
 * number).
 */
export function solve(a: MatrixLike, b: MatrixLike): Matrix {
  const size = squareSize(a);
  const lu = copy(a).data;
  const x = rightSide(b, size);
  const columns = x.shape[1];
  let largest = 0;
  for (let i = 0; i < lu.length; i++) largest = Math.max(largest, Math.abs(lu[i] as number));
  const least = size * Number.EPSILON * largest;
  for (let k = 0; k < size; k++) {
    let pivot = k;
    for (let i = k + 1; i < size; i++) {
      if (Math.abs(lu[i * size + k] as number) > Math.abs(lu[pivot * size + k] as number)) pivot = i;
    }
    const value = lu[pivot * size + k] as number;
    if (!(Math.abs(value) > least)) {
      throw new TesseraError('bad-input', `The matrix is singular to working precision: column ${k} leaves ${value}.`, {
        hint: 'Use leastSquares, which gives the shortest solution of what has many or none.',
      });
    }
    if (pivot !== k) {
      swapRows(lu, size, k, pivot);
      swapRows(x.data, columns, k, pivot);
    }
    for (let i = k + 1; i < size; i++) {
      const factor = (lu[i * size + k] as number) / value;
      if (factor === 0) continue;
      addScaled(-factor, lu, k * size + k + 1, lu, i * size + k + 1, size - k - 1);
      addScaled(-factor, x.data, k * columns, x.data, i * columns, columns);
    }
  }
  for (let i = size - 1; i >= 0; i--) {
    for (let k = i + 1; k < size; k++)
      addScaled(-(lu[i * size + k] as number), x.data, k * columns, x.data, i * columns, columns);
    divide(x.data, i * columns, columns, lu[i * size + i] as number);
  }
  return x;
}

function rightSide(b: MatrixLike, size: number): Matrix {
  const [rows] = finiteShape(b, 'The right side');
  if (rows !== size) throw new TesseraError('bad-shape', `The right side has ${rows} rows for a matrix of ${size}.`);
  return copy(b);
}

function divide(data: Float64Array, at: number, length: number, by: number): void {
  for (let k = at; k < at + length; k++) data[k] = (data[k] as number) / by;
}

function swapRows(data: Float64Array, columns: number, i: number, j: number): void {
  const kept = data.slice(i * columns, (i + 1) * columns);
  data.copyWithin(i * columns, j * columns, (j + 1) * columns);
  data.set(kept, j * columns);
}
