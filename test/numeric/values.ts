/** Matrices to try and slow references written from the definitions. */
import fc from 'fast-check';
import { frobeniusNorm, type Matrix, type MatrixLike, matrix } from 'tessera-kit/numeric';

/** Numbers in [-0.5, 0.5) from a seed. */
export function numbers(count: number, seed = 1): Float64Array {
  let state = seed >>> 0;
  return Float64Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
}

/** A random matrix. */
export const randomMatrix = (rows: number, columns: number, seed = 1): Matrix =>
  matrix(rows, columns, numbers(rows * columns, seed));

/** The product by its definition. */
export function slowProduct(a: MatrixLike, b: MatrixLike): Matrix {
  const [rows = 0, inner = 0] = a.shape;
  const [, columns = 0] = b.shape;
  const result = matrix(rows, columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < inner; k++) sum += (a.data[i * inner + k] ?? 0) * (b.data[k * columns + j] ?? 0);
      result.data[i * columns + j] = sum;
    }
  }
  return result;
}

/** The mirror image by its definition. */
export function slowTranspose(a: MatrixLike): Matrix {
  const [rows = 0, columns = 0] = a.shape;
  return matrix(
    columns,
    rows,
    Float64Array.from({ length: rows * columns }, (_, i) => a.data[(i % rows) * columns + Math.floor(i / rows)] ?? 0),
  );
}

/** `|A - B| / max(1, |B|)`. */
export function distance(a: MatrixLike, b: MatrixLike): number {
  if (`${a.shape}` !== `${b.shape}`) return Number.POSITIVE_INFINITY;
  const difference = matrix(
    1,
    a.data.length,
    Float64Array.from(a.data, (value, i) => value - (b.data[i] ?? 0)),
  );
  return frobeniusNorm(difference) / Math.max(1, frobeniusNorm(b));
}

/** Matrices of every kind: any rank, repeated columns, zeros, scales far apart. */
export const anyMatrix: fc.Arbitrary<Matrix> = fc
  .record({
    rows: fc.integer({ min: 1, max: 14 }),
    columns: fc.integer({ min: 1, max: 14 }),
    rank: fc.integer({ min: 0, max: 14 }),
    exponents: fc.array(fc.integer({ min: -9, max: 3 }), { minLength: 14, maxLength: 14 }),
    size: fc.constantFrom(1, 1e-160, 1e150),
    seed: fc.integer({ min: 1, max: 1e9 }),
  })
  .map(({ rows, columns, rank, exponents, size, seed }) => {
    const inner = Math.min(rank, rows, columns);
    const left = randomMatrix(rows, inner, seed);
    const right = randomMatrix(inner, columns, seed + 1);
    for (let i = 0; i < left.data.length; i++)
      left.data[i] = (left.data[i] ?? 0) * 10 ** (exponents[i % (inner || 1)] ?? 0);
    const product = slowProduct(left, right);
    return matrix(
      rows,
      columns,
      product.data.map((value) => value * size),
    );
  });
