import fc from 'fast-check';
import { EVD, Matrix as PackageMatrix, SVD } from 'ml-matrix';
import {
  add,
  cholesky,
  compose,
  conditionNumber,
  diagonal,
  frobeniusNorm,
  fromRows,
  gram,
  identity,
  leastSquares,
  type MatrixLike,
  matrix,
  multiply,
  multiplyTransposed,
  orthogonalProcrustes,
  outerGram,
  pseudoInverse,
  qr,
  randomizedSvd,
  scaleColumns,
  singularValues,
  solve,
  solveCholesky,
  svd,
  symmetricEigen,
  topEigen,
  transpose,
} from 'tessera-kit/numeric';
import { describe, expect, it } from 'vitest';
import { anyMatrix, distance, randomMatrix, slowProduct, slowTranspose } from './values.js';

const orthonormal = (q: MatrixLike): number => {
  const product = slowProduct(slowTranspose(q), q);
  return distance(product, identity(product.shape[0]));
};
/** How far A is from B beside the size of B, whatever that is. */
const apart = (a: MatrixLike, b: MatrixLike): number => {
  const size = frobeniusNorm(b) || 1;
  const one = (m: MatrixLike): MatrixLike => ({ shape: m.shape, data: Float64Array.from(m.data, (v) => v / size) });
  return distance(one(a), one(b));
};

describe('products', () => {
  it('agree with the definition for every shape', () => {
    fc.assert(
      fc.property(fc.nat(20), fc.nat(20), fc.nat(20), fc.nat(1e6), (m, k, n, seed) => {
        const a = randomMatrix(m, k, seed);
        const b = randomMatrix(k, n, seed + 1);
        const expected = slowProduct(a, b);
        expect(distance(multiply(a, b), expected)).toBeLessThan(1e-14);
        expect(distance(multiplyTransposed(a, slowTranspose(b)), expected)).toBeLessThan(1e-14);
        expect(distance(gram(a), slowProduct(slowTranspose(a), a))).toBeLessThan(1e-14);
        expect(distance(outerGram(a), slowProduct(a, slowTranspose(a)))).toBeLessThan(1e-14);
        expect(transpose(a)).toEqual(slowTranspose(a));
      }),
    );
  });

  it('read float32 arrays as they are', () => {
    const a = { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) };
    expect([...multiply(a, a).data]).toEqual([7, 10, 15, 22]);
  });
});

describe('svd', () => {
  it('gives orthonormal bases that compose the matrix, whatever its rank and scale', () => {
    fc.assert(
      fc.property(anyMatrix, (a) => {
        const { u, s, v } = svd(a);
        expect(orthonormal(u)).toBeLessThan(1e-13);
        expect(orthonormal(v)).toBeLessThan(1e-13);
        expect(apart(compose({ u, s, v }), a)).toBeLessThan(1e-13);
        s.forEach((value, i) => {
          expect(value >= 0 && (i === 0 || value <= (s[i - 1] ?? 0))).toBe(true);
        });
      }),
      { numRuns: 200 },
    );
  });

  it('gives the singular values of another implementation', () => {
    for (const [rows, columns] of [
      [40, 25],
      [25, 40],
      [30, 30],
    ] as const) {
      const a = randomMatrix(rows, columns, rows);
      const other = new SVD(PackageMatrix.from1DArray(rows, columns, a.data), { autoTranspose: true }).diagonal;
      singularValues(a).forEach((value, i) => {
        expect(value).toBeCloseTo(other[i] ?? Number.NaN, 12);
      });
    }
  });

  it('finds small singular values of a graded matrix to many digits', () => {
    const left = qr(randomMatrix(8, 8, 3)).q;
    const right = qr(randomMatrix(8, 8, 4)).q;
    const values = Float64Array.from({ length: 8 }, (_, i) => 10 ** (-1.5 * i));
    const found = singularValues(multiplyTransposed(scaleColumns(left, values), right));
    // Rounding of the product alone moves each by about 1e-16.
    found.forEach((value, i) => {
      expect(Math.abs(value - (values[i] ?? 0))).toBeLessThan(1e-15);
    });
  });

  it('handles nothing, zeros, and one number', () => {
    expect(svd(matrix(3, 0)).s.length).toBe(0);
    const zero = svd(matrix(4, 3));
    expect([...zero.s]).toEqual([0, 0, 0]);
    expect(orthonormal(zero.u)).toBeLessThan(1e-15);
    expect([...svd(fromRows([[-3]])).s]).toEqual([3]);
    expect(conditionNumber(diagonal([4, 2]))).toBeCloseTo(2, 12);
    expect(conditionNumber(matrix(2, 2))).toBe(Number.POSITIVE_INFINITY);
  });

  it('is the best approximation of its rank (Eckart and Young)', () => {
    const a = randomMatrix(12, 9, 5);
    const all = svd(a);
    const rest = add(a, compose(svd(a, { rank: 4 })), -1);
    expect(frobeniusNorm(rest)).toBeCloseTo(Math.hypot(...all.s.slice(4)), 12);
  });
});

describe('randomized svd', () => {
  it('gives a low-rank matrix back, and near-optimal values where they fall off', () => {
    const low = multiply(randomMatrix(120, 5, 6), randomMatrix(5, 90, 7));
    expect(apart(compose(randomizedSvd(low, 5)), low)).toBeLessThan(1e-12);
    const values = Float64Array.from({ length: 60 }, (_, i) => 0.8 ** i);
    const a = multiplyTransposed(scaleColumns(qr(randomMatrix(150, 60, 8)).q, values), qr(randomMatrix(60, 60, 9)).q);
    const found = randomizedSvd(a, 10, { seed: 3 });
    found.s.forEach((value, i) => {
      expect(value).toBeCloseTo(values[i] ?? 0, 6);
    });
    expect(randomizedSvd(a, 10, { seed: 3 })).toEqual(found);
    expect(() => randomizedSvd(a, 0)).toThrow(expect.objectContaining({ code: 'bad-option' }));
  });
});

describe('symmetric eigenvectors', () => {
  it('diagonalize any symmetric matrix', () => {
    fc.assert(
      fc.property(anyMatrix, fc.boolean(), (base, definite) => {
        const size = Math.min(...base.shape);
        const square = matrix(size, size, base.data.slice(0, size * size));
        const a =
          definite && Math.abs(Math.log10(frobeniusNorm(base))) < 100 ? gram(base) : add(square, slowTranspose(square));
        const { values, vectors } = symmetricEigen(a);
        expect(orthonormal(vectors)).toBeLessThan(1e-13);
        expect(apart(multiplyTransposed(scaleColumns(vectors, values), vectors), a)).toBeLessThan(1e-13);
        expect([...values].sort((x, y) => y - x)).toEqual([...values]);
      }),
      { numRuns: 200 },
    );
  });

  it('agree with another implementation, and with repeated values', () => {
    const a = gram(randomMatrix(60, 50, 11));
    const other = new EVD(PackageMatrix.from1DArray(50, 50, a.data), { assumeSymmetric: true }).realEigenvalues;
    const ascending = [...symmetricEigen(a).values].reverse();
    ascending.forEach((value, i) => {
      expect(value).toBeCloseTo(other[i] ?? Number.NaN, 10);
    });
    expect([...symmetricEigen(identity(7)).values]).toEqual([1, 1, 1, 1, 1, 1, 1]);
    // The second difference has eigenvalues 2 - 2 cos(k pi / (n + 1)).
    const n = 300;
    const path = matrix(n, n);
    for (let i = 0; i < n; i++) {
      path.data[i * n + i] = 2;
      if (i > 0) path.data[i * n + i - 1] = path.data[(i - 1) * n + i] = -1;
    }
    symmetricEigen(path).values.forEach((value, i) => {
      expect(value).toBeCloseTo(2 - 2 * Math.cos(((n - i) * Math.PI) / (n + 1)), 12);
    });
  });

  it('come first by size or by absolute size, with their residuals small', () => {
    const basis = qr(randomMatrix(160, 160, 12)).q;
    const values = Float64Array.from({ length: 160 }, (_, i) => (i === 0 ? -50 : i < 5 ? 10 : 1 / i));
    const a = multiplyTransposed(scaleColumns(basis, values), basis);
    for (let i = 0; i < 160; i++) for (let j = 0; j < i; j++) a.data[i * 160 + j] = a.data[j * 160 + i] ?? 0;
    const largest = topEigen(a, 4);
    const magnitude = topEigen(a, 5, { which: 'magnitude' });
    expect(largest.converged && magnitude.converged && largest.products > 0).toBe(true);
    for (const value of largest.values) expect(value).toBeCloseTo(10, 9); // four times the same
    expect(magnitude.values[0]).toBeCloseTo(-50, 9);
    expect(orthonormal(largest.vectors)).toBeLessThan(1e-12);
    const residual = add(multiply(a, largest.vectors), scaleColumns(largest.vectors, largest.values), -1);
    expect(frobeniusNorm(residual)).toBeLessThan(1e-8);
    expect(topEigen(gram(randomMatrix(9, 6, 2)), 2).values).toEqual(
      symmetricEigen(gram(randomMatrix(9, 6, 2))).values.slice(0, 2),
    );
  });

  it('refuse what is not symmetric', () => {
    expect(() =>
      symmetricEigen(
        fromRows([
          [1, 2],
          [3, 4],
        ]),
      ),
    ).toThrow(expect.objectContaining({ code: 'bad-input', message: expect.stringContaining('not symmetric') }));
  });
});

describe('qr and cholesky', () => {
  it('factor any matrix, and order the diagonal with pivots', () => {
    fc.assert(
      fc.property(anyMatrix, fc.boolean(), (a, pivot) => {
        const { q, r, pivots } = qr(a, { pivot });
        const [rows, columns] = a.shape;
        const picked = matrix(rows, columns);
        for (let i = 0; i < rows; i++) {
          for (let j = 0; j < columns; j++) {
            picked.data[i * columns + j] = a.data[i * columns + (pivots[j] ?? 0)] ?? 0;
          }
        }
        expect(orthonormal(q)).toBeLessThan(1e-13);
        expect(apart(slowProduct(q, r), picked)).toBeLessThan(1e-13);
        for (let i = 0; i < r.shape[0]; i++) {
          for (let j = 0; j < i; j++) expect(r.data[i * columns + j]).toBe(0);
          const [here, next] = [r.data[i * columns + i] ?? 0, r.data[(i + 1) * columns + i + 1] ?? 0];
          if (pivot && i + 1 < r.shape[0]) expect(Math.abs(next)).toBeLessThanOrEqual(Math.abs(here) * (1 + 1e-10));
        }
      }),
      { numRuns: 200 },
    );
  });

  it('solve systems to small residuals', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 3 }), fc.nat(1e6), (size, k, seed) => {
        const a = add(randomMatrix(size, size, seed), identity(size), 2);
        const b = randomMatrix(size, k, seed + 1);
        expect(distance(slowProduct(a, solve(a, b)), b)).toBeLessThan(1e-9);
        const definite = add(gram(a), identity(size));
        const l = cholesky(definite);
        expect(distance(slowProduct(l, slowTranspose(l)), definite)).toBeLessThan(1e-13);
        expect(distance(slowProduct(definite, solveCholesky(l, b)), b)).toBeLessThan(1e-10);
      }),
    );
  });

  it('say in a sentence what cannot be factored', () => {
    expect(() => cholesky(diagonal([1, -1]))).toThrow(/not positive definite: row 1/);
    expect(() =>
      solve(
        fromRows([
          [1, 2],
          [2, 4],
        ]),
        matrix(2, 1),
      ),
    ).toThrow(/singular to working precision/);
    expect(() => solve(matrix(2, 3), matrix(2, 1))).toThrow(expect.objectContaining({ code: 'bad-shape' }));
    expect(() => svd(fromRows([[1, Number.NaN]]))).toThrow(/NaN in row 0, column 1/);
    expect(() => multiply(matrix(2, 3), matrix(2, 3))).toThrow(/inner dimensions 3 and 2/);
    expect(() => svd({ shape: [2, 3, 4], data: new Float64Array(24) })).toThrow(/two dimensions/);
  });
});

describe('least squares', () => {
  it('leaves a residual orthogonal to the columns, and the shortest solution of several', () => {
    fc.assert(
      fc.property(anyMatrix, fc.nat(1e6), (base, seed) => {
        const size = frobeniusNorm(base);
        const a = matrix(...base.shape, size === 0 ? base.data : base.data.map((value) => value / size));
        const b = randomMatrix(a.shape[0], 2, seed);
        const { x, rank } = leastSquares(a, b, { tolerance: 1e-6 });
        const { s, v } = svd(a);
        expect(rank).toBeLessThanOrEqual(Math.min(...a.shape));
        // Where the rank is plain: the normal equations hold and X lies in the row space.
        if (s.some((value) => value > 1e-13 && value < 1e-3 * (s[0] ?? 1))) return;
        const residual = add(slowProduct(a, x), b, -1);
        expect(frobeniusNorm(slowProduct(slowTranspose(a), residual))).toBeLessThan(1e-9);
        const inside = svd(a, { rank }).v;
        expect(distance(slowProduct(inside, slowProduct(slowTranspose(inside), x)), x)).toBeLessThan(1e-8);
        expect(v.shape[0]).toBe(x.shape[0]);
      }),
      { numRuns: 200 },
    );
  });

  it('with a ridge solves the normal equations of the ridge', () => {
    const a = randomMatrix(10, 6, 13);
    const b = randomMatrix(10, 1, 14);
    const normal = add(gram(a), identity(6), 0.3);
    expect(distance(leastSquares(a, b, { ridge: 0.3 }).x, solve(normal, multiply(transpose(a), b)))).toBeLessThan(
      1e-12,
    );
    expect(() => leastSquares(a, b, { ridge: -1 })).toThrow(expect.objectContaining({ code: 'bad-option' }));
  });

  it('has a pseudo-inverse with the four properties of Penrose', () => {
    for (const a of [
      randomMatrix(7, 4, 15),
      randomMatrix(4, 7, 16),
      multiply(randomMatrix(6, 2, 17), randomMatrix(2, 5, 18)),
    ]) {
      const p = pseudoInverse(a);
      const [ap, pa] = [multiply(a, p), multiply(p, a)];
      expect(distance(multiply(ap, a), a)).toBeLessThan(1e-12);
      expect(distance(multiply(pa, p), p)).toBeLessThan(1e-12);
      expect(distance(transpose(ap), ap)).toBeLessThan(1e-12);
      expect(distance(transpose(pa), pa)).toBeLessThan(1e-12);
    }
  });
});

describe('procrustes', () => {
  it('finds the map that made the target', () => {
    const a = randomMatrix(20, 4, 19);
    const turn = qr(randomMatrix(4, 4, 20)).q;
    const exact = orthogonalProcrustes(a, multiply(a, turn));
    expect(distance(exact.q, turn)).toBeLessThan(1e-12);
    expect(exact.residual).toBeLessThan(1e-12);
    const moved = multiply(a, turn);
    for (let i = 0; i < moved.data.length; i++) moved.data[i] = 3 * (moved.data[i] ?? 0) + (i % 4) + 1;
    const found = orthogonalProcrustes(a, moved, { center: true, scale: true });
    expect(found.scale).toBeCloseTo(3, 10);
    expect(found.residual).toBeLessThan(1e-11);
  });

  it('with rotations only gives determinant 1, and the best of them', () => {
    const a = randomMatrix(15, 2, 21);
    const mirrored = scaleColumns(a, [1, -1]);
    const { q, residual } = orthogonalProcrustes(a, mirrored, { rotation: true });
    const [p = 0, r = 0, s = 0, t = 0] = q.data;
    expect(p * t - r * s).toBeCloseTo(1, 12);
    // No angle does better.
    for (let angle = 0; angle < 2 * Math.PI; angle += 0.01) {
      const turn = fromRows([
        [Math.cos(angle), Math.sin(angle)],
        [-Math.sin(angle), Math.cos(angle)],
      ]);
      expect(frobeniusNorm(add(multiply(a, turn), mirrored, -1))).toBeGreaterThan(residual - 1e-12);
    }
  });
});
