/**
 * Products of matrices. One kernel, `A B^T` in tiles of four by four: sixteen sums in registers, both sides read along their
 * rows. Each sum runs over the inner dimension in order, so a result does not depend on how the work is divided (k-means on
 * many threads relies on it). Measured beside ml-matrix: index.ts.
 */

import { TesseraError } from '../host/error.js';
import { type Matrix, type MatrixLike, matrix, shapeOf, transpose } from './matrix.js';

type Floats = Float64Array | Float32Array;

/** `A B`, [m, k] by [k, n]. @throws bad-shape. */
export function multiply(a: MatrixLike, b: MatrixLike): Matrix {
  const [rows, inner] = shapeOf(a, 'The left matrix');
  const [otherInner, columns] = shapeOf(b, 'The right matrix');
  agree(inner, otherInner);
  if (columns === 1) {
    const result = matrix(rows, 1);
    for (let i = 0; i < rows; i++) result.data[i] = dot(a.data, i * inner, b.data, 0, inner);
    return result;
  }
  return multiplyTransposed(a, transpose(b));
}

/** `A B^T`, [m, k] by [n, k]. @throws bad-shape. */
export function multiplyTransposed(a: MatrixLike, b: MatrixLike): Matrix {
  const [rows, inner] = shapeOf(a, 'The left matrix');
  const [columns, otherInner] = shapeOf(b, 'The right matrix');
  agree(inner, otherInner);
  const result = matrix(rows, columns);
  productInto(a.data, 0, rows, b.data, 0, columns, inner, result.data, columns);
  return result;
}

/** `A^T A`, [n, n] from [m, n]; exactly symmetric. */
export function gram(a: MatrixLike): Matrix {
  return outerGram(transpose(a));
}

/** `A A^T`, [m, m] from [m, n]; exactly symmetric. */
export function outerGram(a: MatrixLike): Matrix {
  const [size, inner] = shapeOf(a);
  const result = matrix(size, size);
  const { data } = result;
  for (let top = 0; top < size; top += 64) {
    const end = Math.min(size, top + 64);
    productInto(a.data, top, end, a.data, 0, end, inner, data, size);
  }
  for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) data[j * size + i] = data[i * size + j] as number;
  return result;
}

function agree(left: number, right: number): void {
  if (left === right) return;
  throw new TesseraError('bad-shape', `The inner dimensions ${left} and ${right} of a product differ.`);
}

/**
 * Rows `aStart` to `aEnd` of A times rows `bStart` to `bEnd` of B: `out[(i) * stride + j]` for row i of A, row j of B, each
 * counted from its matrix's start. Both have rows of `inner` numbers.
 */
export function productInto(
  a: Floats,
  aStart: number,
  aEnd: number,
  b: Floats,
  bStart: number,
  bEnd: number,
  inner: number,
  out: Floats,
  stride: number,
): void {
  for (let left = bStart; left < bEnd; left += 64) {
    const right = Math.min(bEnd, left + 64);
    let i = aStart;
    for (; i + 4 <= aEnd; i += 4) {
      let j = left;
      for (; j + 4 <= right; j += 4) tile(a, i * inner, b, j * inner, inner, out, i * stride + j, stride);
      for (; j < right; j++) {
        for (let r = i; r < i + 4; r++) out[r * stride + j] = dot(a, r * inner, b, j * inner, inner);
      }
    }
    for (; i < aEnd; i++) {
      for (let j = left; j < right; j++) out[i * stride + j] = dot(a, i * inner, b, j * inner, inner);
    }
  }
}

function tile(
  a: Floats,
  a0: number,
  b: Floats,
  b0: number,
  inner: number,
  out: Floats,
  o0: number,
  stride: number,
): void {
  const [a1, a2, a3] = [a0 + inner, a0 + 2 * inner, a0 + 3 * inner];
  const [b1, b2, b3] = [b0 + inner, b0 + 2 * inner, b0 + 3 * inner];
  let [c00, c01, c02, c03, c10, c11, c12, c13] = [0, 0, 0, 0, 0, 0, 0, 0];
  let [c20, c21, c22, c23, c30, c31, c32, c33] = [0, 0, 0, 0, 0, 0, 0, 0];
  for (let k = 0; k < inner; k++) {
    const x0 = a[a0 + k] as number;
    const x1 = a[a1 + k] as number;
    const x2 = a[a2 + k] as number;
    const x3 = a[a3 + k] as number;
    const y0 = b[b0 + k] as number;
    const y1 = b[b1 + k] as number;
    const y2 = b[b2 + k] as number;
    const y3 = b[b3 + k] as number;
    c00 += x0 * y0;
    c01 += x0 * y1;
    c02 += x0 * y2;
    c03 += x0 * y3;
    c10 += x1 * y0;
    c11 += x1 * y1;
    c12 += x1 * y2;
    c13 += x1 * y3;
    c20 += x2 * y0;
    c21 += x2 * y1;
    c22 += x2 * y2;
    c23 += x2 * y3;
    c30 += x3 * y0;
    c31 += x3 * y1;
    c32 += x3 * y2;
    c33 += x3 * y3;
  }
  const [o1, o2, o3] = [o0 + stride, o0 + 2 * stride, o0 + 3 * stride];
  out[o0] = c00;
  out[o0 + 1] = c01;
  out[o0 + 2] = c02;
  out[o0 + 3] = c03;
  out[o1] = c10;
  out[o1 + 1] = c11;
  out[o1 + 2] = c12;
  out[o1 + 3] = c13;
  out[o2] = c20;
  out[o2 + 1] = c21;
  out[o2 + 2] = c22;
  out[o2 + 3] = c23;
  out[o3] = c30;
  out[o3 + 1] = c31;
  out[o3 + 2] = c32;
  out[o3 + 3] = c33;
}

/** The sum of products of `length` numbers from `aAt` and `bAt` on, in order. */
export function dot(a: Floats, aAt: number, b: Floats, bAt: number, length: number): number {
  let sum = 0;
  for (let k = 0; k < length; k++) sum += (a[aAt + k] as number) * (b[bAt + k] as number);
  return sum;
}

/** `y += factor x` for `length` numbers. */
export function addScaled(factor: number, x: Floats, xAt: number, y: Floats, yAt: number, length: number): void {
  for (let k = 0; k < length; k++) y[yAt + k] = (y[yAt + k] as number) + factor * (x[xAt + k] as number);
}
