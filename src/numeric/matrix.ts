/**
 * Matrices on the host: two-dimensional arrays in row-major order. What is read may be any array of floats with a shape of
 * two dimensions, so an `NDArray` of float32 or float64 is one; what is computed is float64.
 */

import { TesseraError } from '../host/error.js';

/** A matrix to read: `shape` is [rows, columns], `data` holds the rows end to end. */
export interface MatrixLike {
  readonly shape: readonly number[];
  readonly data: Float64Array | Float32Array;
}

/** A matrix of float64: an `NDArray` of two dimensions. */
export interface Matrix extends MatrixLike {
  readonly dtype: 'float64';
  readonly shape: readonly [rows: number, columns: number];
  readonly data: Float64Array;
}

/** A matrix over `data`, or of zeros. @throws bad-shape when the sizes disagree. */
export function matrix(rows: number, columns: number, data?: Float64Array | ArrayLike<number>): Matrix {
  if (!Number.isInteger(rows) || !Number.isInteger(columns) || rows < 0 || columns < 0) {
    throw new TesseraError('bad-shape', `A matrix cannot have ${rows} rows and ${columns} columns.`);
  }
  const values =
    data === undefined
      ? new Float64Array(rows * columns)
      : data instanceof Float64Array
        ? data
        : Float64Array.from(data);
  if (values.length !== rows * columns) {
    throw new TesseraError('bad-shape', `${values.length} numbers do not fill ${rows} rows of ${columns}.`);
  }
  return { dtype: 'float64', shape: [rows, columns], data: values };
}

/** A matrix from its rows. @throws bad-shape when they differ in length. */
export function fromRows(rows: readonly ArrayLike<number>[]): Matrix {
  const columns = rows[0]?.length ?? 0;
  const result = matrix(rows.length, columns);
  rows.forEach((row, index) => {
    if (row.length !== columns) {
      throw new TesseraError('bad-shape', `Row ${index} has ${row.length} numbers and row 0 has ${columns}.`);
    }
    result.data.set(row, index * columns);
  });
  return result;
}

/** The identity of a size. */
export function identity(size: number): Matrix {
  return diagonal(new Float64Array(size).fill(1));
}

/** A square matrix with these values on its diagonal. */
export function diagonal(values: ArrayLike<number>): Matrix {
  const size = values.length;
  const result = matrix(size, size);
  for (let i = 0; i < size; i++) result.data[i * size + i] = values[i] as number;
  return result;
}

/** Rows and columns of what should be a matrix. @throws bad-shape when it has not two dimensions or lies about its size. */
export function shapeOf(a: MatrixLike, what = 'The matrix'): readonly [rows: number, columns: number] {
  const [rows, columns] = a.shape;
  if (a.shape.length !== 2 || rows === undefined || columns === undefined) {
    throw new TesseraError('bad-shape', `${what} must have two dimensions, not the shape [${a.shape.join(', ')}].`);
  }
  if (a.data.length !== rows * columns) {
    throw new TesseraError(
      'bad-shape',
      `${what}: ${a.data.length} numbers do not fill the shape [${rows}, ${columns}].`,
    );
  }
  return [rows, columns];
}

/** Rows and columns of a matrix of finite numbers. @throws bad-shape; not-finite with the place of the first other number. */
export function finiteShape(a: MatrixLike, what = 'The matrix'): readonly [rows: number, columns: number] {
  const [rows, columns] = shapeOf(a, what);
  for (let i = 0; i < a.data.length; i++) {
    if (!Number.isFinite(a.data[i])) {
      const [row, column] = [Math.floor(i / columns), i % columns];
      throw new TesseraError('not-finite', `${what} holds ${a.data[i]} in row ${row}, column ${column}.`, {
        hint: 'Remove or replace what is not a finite number first.',
      });
    }
  }
  return [rows, columns];
}

/** The size of a square matrix of finite numbers. @throws bad-shape; not-finite. */
export function squareSize(a: MatrixLike, what = 'The matrix'): number {
  const [rows, columns] = finiteShape(a, what);
  if (rows !== columns) throw new TesseraError('bad-shape', `${what} must be square, not ${rows} by ${columns}.`);
  return rows;
}

/** A copy in float64. */
export function copy(a: MatrixLike): Matrix {
  const [rows, columns] = shapeOf(a);
  return matrix(rows, columns, Float64Array.from(a.data));
}

/** `A^T`. */
export function transpose(a: MatrixLike): Matrix {
  const [rows, columns] = shapeOf(a);
  const result = matrix(columns, rows);
  const { data } = a;
  // In tiles, so that neither side runs through memory in long strides.
  for (let top = 0; top < rows; top += 16) {
    for (let left = 0; left < columns; left += 16) {
      for (let i = top; i < Math.min(rows, top + 16); i++) {
        for (let j = left; j < Math.min(columns, left + 16); j++) {
          result.data[j * rows + i] = data[i * columns + j] as number;
        }
      }
    }
  }
  return result;
}

/** The rows from `start` to `end`, as a view where the matrix is of float64. */
export function rowsOf(a: Matrix, start: number, end: number): Matrix {
  const columns = a.shape[1];
  return matrix(end - start, columns, a.data.subarray(start * columns, end * columns));
}

/** The columns from `start` to `end`, copied. */
export function columnsOf(a: MatrixLike, start: number, end: number): Matrix {
  const [rows, columns] = shapeOf(a);
  const result = matrix(rows, end - start);
  for (let i = 0; i < rows; i++) {
    result.data.set(a.data.subarray(i * columns + start, i * columns + end), i * (end - start));
  }
  return result;
}

/** `A + factor B`. @throws bad-shape when the shapes differ. */
export function add(a: MatrixLike, b: MatrixLike, factor = 1): Matrix {
  const [rows, columns] = shapeOf(a);
  const [otherRows, otherColumns] = shapeOf(b);
  if (rows !== otherRows || columns !== otherColumns) {
    throw new TesseraError('bad-shape', `${rows} by ${columns} and ${otherRows} by ${otherColumns} cannot be added.`);
  }
  const result = matrix(rows, columns);
  for (let i = 0; i < result.data.length; i++) {
    result.data[i] = (a.data[i] as number) + factor * (b.data[i] as number);
  }
  return result;
}

/** Each column times a factor: `A diag(factors)`. */
export function scaleColumns(a: MatrixLike, factors: ArrayLike<number>): Matrix {
  const [rows, columns] = shapeOf(a);
  if (factors.length !== columns) {
    throw new TesseraError('bad-shape', `${factors.length} factors for ${columns} columns.`);
  }
  const result = matrix(rows, columns);
  for (let i = 0; i < result.data.length; i++) {
    result.data[i] = (a.data[i] as number) * (factors[i % columns] as number);
  }
  return result;
}

/** The mean of each column. @throws bad-input when there are no rows. */
export function columnMeans(a: MatrixLike): Float64Array {
  const [rows, columns] = shapeOf(a);
  if (rows === 0) throw new TesseraError('bad-input', 'There are no rows to take the mean of.');
  const means = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) means[j] = (means[j] as number) + (a.data[i * columns + j] as number);
  }
  for (let j = 0; j < columns; j++) means[j] = (means[j] as number) / rows;
  return means;
}

/** `sqrt(sum of squares)`, without overflow. */
export function frobeniusNorm(a: MatrixLike): number {
  let largest = 0;
  for (let i = 0; i < a.data.length; i++) largest = Math.max(largest, Math.abs(a.data[i] as number));
  if (largest === 0 || !Number.isFinite(largest)) return largest;
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += ((a.data[i] as number) / largest) ** 2;
  return largest * Math.sqrt(sum);
}
