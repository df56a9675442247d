import fc from 'fast-check';
import {
  add,
  bootstrapInterval,
  correlations,
  covariance,
  frobeniusNorm,
  gram,
  identity,
  kendall,
  leastSquares,
  matrix,
  mean,
  median,
  multiply,
  pca,
  pearson,
  projectionDimensions,
  quantiles,
  randomProjection,
  ranks,
  regressionLine,
  scaleColumns,
  spearman,
  standardDeviation,
  transpose,
  variance,
  welchTest,
} from 'tessera-kit/numeric';
import { describe, expect, it } from 'vitest';
// Parts that are not public, held against closed forms.
import {
  logGamma,
  normalProbability,
  normalQuantile,
  regularizedBeta,
  studentTail,
} from '../../dist/numeric/inference.js';
import { distance, numbers, randomMatrix } from './values.js';

const coarse = fc.array(fc.integer({ min: -4, max: 4 }), { minLength: 2, maxLength: 30 });

describe('statistics', () => {
  it('agree with NumPy on a sample', () => {
    const sample = [2, 4, 4, 4, 5, 5, 7, 9];
    expect([mean(sample), variance(sample, 0), standardDeviation(sample, 0), median(sample)]).toEqual([5, 4, 2, 4.5]);
    expect(variance(sample)).toBeCloseTo(32 / 7, 14);
    expect(quantiles([3, 1, 2, 4], [0, 0.1, 0.5, 1])).toEqual([1, 1.3, 2.5, 4]);
    expect(mean([1e16, 1, -1e16])).toBeCloseTo(1 / 3, 12);
  });

  it('refuse what has no answer', () => {
    expect(() => mean([])).toThrow(expect.objectContaining({ code: 'bad-input' }));
    expect(() => variance([1])).toThrow(/needs at least 2/);
    expect(() => mean([1, Number.NaN])).toThrow(/NaN at place 1/);
    expect(() => quantiles([1], [2])).toThrow(expect.objectContaining({ code: 'bad-option' }));
    expect(() => pearson([1, 2], [1, 2, 3])).toThrow(expect.objectContaining({ code: 'bad-shape' }));
    expect(() => regressionLine([1, 1], [1, 2])).toThrow(/two different x/);
    expect(() => welchTest([1, 1], [2, 2])).toThrow(/any variance/);
    expect(() => bootstrapInterval([1, 2], mean, { confidence: 1 })).toThrow(/confidence/);
  });

  it('give covariances by their definition', () => {
    const rows = randomMatrix(20, 4, 3);
    const columns = [0, 1, 2, 3].map((j) => Array.from({ length: 20 }, (_, i) => rows.data[4 * i + j] ?? 0));
    const [covariances, related] = [covariance(rows), correlations(rows)];
    columns.forEach((x, i) => {
      columns.forEach((y, j) => {
        const [mx, my] = [mean(x), mean(y)];
        const sum = x.reduce((total, value, k) => total + (value - mx) * ((y[k] ?? 0) - my), 0);
        expect(covariances.data[4 * i + j]).toBeCloseTo(sum / 19, 14);
        expect(related.data[4 * i + j]).toBeCloseTo(pearson(x, y), 12);
      });
    });
  });
});

describe('correlations', () => {
  it('of ranks count pairs: Kendall by all pairs, Spearman by ranks from the definition', () => {
    fc.assert(
      fc.property(coarse, fc.nat(1e6), (x, seed) => {
        const y = [...numbers(x.length, seed + 1)].map((value, i) => Math.round(4 * value + 0.3 * (x[i] ?? 0)));
        let [agree, differ, onlyX, onlyY] = [0, 0, 0, 0];
        for (let i = 0; i < x.length; i++) {
          for (let j = 0; j < i; j++) {
            const dx = Math.sign((x[i] ?? 0) - (x[j] ?? 0));
            const dy = Math.sign((y[i] ?? 0) - (y[j] ?? 0));
            if (dx * dy > 0) agree++;
            else if (dx * dy < 0) differ++;
            else if (dx !== 0) onlyY++;
            else if (dy !== 0) onlyX++;
          }
        }
        const expected = (agree - differ) / Math.sqrt((agree + differ + onlyX) * (agree + differ + onlyY));
        expect(kendall(x, y)).toBeCloseTo(expected, 12);
        const slowRank = (sample: number[]): number[] =>
          sample.map((v) => sample.filter((w) => w < v).length + (sample.filter((w) => w === v).length + 1) / 2);
        expect([...ranks(x)]).toEqual(slowRank(x));
        expect(spearman(x, y)).toBeCloseTo(pearson(slowRank(x), slowRank(y)), 12);
      }),
    );
  });

  it('are 1 for a line, -1 for its mirror, and NaN without variance', () => {
    const x = [1, 2, 3, 7];
    const y = [3, 5, 7, 15];
    for (const measure of [pearson, spearman, kendall]) {
      expect(measure(x, y)).toBeCloseTo(1, 14);
      expect(
        measure(
          x,
          y.map((v) => -v),
        ),
      ).toBeCloseTo(-1, 14);
      expect(measure(x, [2, 2, 2, 2])).toBeNaN();
    }
    expect(regressionLine(x, y)).toMatchObject({ slope: 2, intercept: 1 });
  });

  it('fit the line of least squares', () => {
    const x = [...numbers(12, 4)];
    const y = [...numbers(12, 5)];
    const design = matrix(
      12,
      2,
      Float64Array.from({ length: 24 }, (_, i) => (i % 2 === 0 ? 1 : (x[(i - 1) / 2] ?? 0))),
    );
    const solved = leastSquares(design, matrix(12, 1, y));
    const line = regressionLine(x, y);
    expect(line.intercept).toBeCloseTo(solved.x.data[0] ?? Number.NaN, 12);
    expect(line.slope).toBeCloseTo(solved.x.data[1] ?? Number.NaN, 12);
    // The slope's error from the inverse of the normal equations.
    const normal = gram(design).data;
    const determinant = (normal[0] ?? 0) * (normal[3] ?? 0) - (normal[1] ?? 0) ** 2;
    const noise = (solved.residuals[0] ?? 0) ** 2 / 10;
    expect(line.slopeError).toBeCloseTo(Math.sqrt((noise * (normal[0] ?? 0)) / determinant), 12);
  });
});

describe('inference', () => {
  it('rests on functions that agree with closed forms', () => {
    for (const x of [0.01, 0.3, 0.5, 0.9, 0.999]) {
      expect(regularizedBeta(x, 1, 3)).toBeCloseTo(1 - (1 - x) ** 3, 13);
      expect(regularizedBeta(x, 2.5, 1)).toBeCloseTo(x ** 2.5, 13);
    }
    for (const t of [0, 0.5, 2, 30]) {
      expect(studentTail(t, 1)).toBeCloseTo(1 - (2 / Math.PI) * Math.atan(t), 13);
      expect(studentTail(t, 2)).toBeCloseTo(1 - t / Math.sqrt(2 + t * t), 13);
    }
    for (let n = 2, factorial = 1; n < 15; factorial *= n++) expect(logGamma(n)).toBeCloseTo(Math.log(factorial), 11);
    expect(logGamma(0.5)).toBeCloseTo(Math.log(Math.PI) / 2, 13);
    expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 11);
    expect(normalProbability(-1)).toBeCloseTo(0.15865525393145707, 13);
    expect(normalProbability(3)).toBeCloseTo(0.9986501019683699, 13);
    expect(normalProbability(0)).toBe(0.5);
  });

  it("compares means as in Welch's example of unequal variances", () => {
    const x = [3, 4, 1, 2.1];
    const y = [490.2, 340, 433.9];
    const { t, freedom, p } = welchTest(x, y);
    // scipy.stats.ttest_ind(x, y, equal_var=False)
    expect(t).toBeCloseTo(-9.5594, 3);
    expect(freedom).toBeCloseTo(2.00085, 4);
    expect(p).toBeCloseTo(0.0107515611, 6);
  });

  it('draws intervals that hold the mean about as often as they say', () => {
    for (const method of ['percentile', 'bca'] as const) {
      let held = 0;
      for (let trial = 0; trial < 200; trial++) {
        const sample = numbers(40, 7919 * trial + 1);
        const { low, high } = bootstrapInterval(sample, mean, { confidence: 0.9, resamples: 300, seed: trial, method });
        if (low <= 0 && high >= 0) held++;
      }
      // Binomial around 0.9 with a deviation of 0.021.
      expect(held / 200).toBeGreaterThan(0.82);
      expect(held / 200).toBeLessThan(0.97);
    }
    const sample = numbers(30, 8);
    const { error, value } = bootstrapInterval(sample, undefined, { resamples: 4000 });
    expect(value).toBe(mean(sample));
    expect(error / Math.sqrt(variance(sample, 0) / 30)).toBeCloseTo(1, 1);
    expect(bootstrapInterval(sample, median, { seed: 2 })).toEqual(bootstrapInterval(sample, median, { seed: 2 }));
    expect(bootstrapInterval([5, 5, 5], mean, { method: 'bca' })).toMatchObject({ low: 5, high: 5, error: 0 });
  });
});

describe('pca', () => {
  it('turns rows so that their covariance is diagonal, and back', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 15 }),
        fc.integer({ min: 1, max: 9 }),
        fc.nat(1e6),
        (count, width, seed) => {
          const rows = randomMatrix(count, width, seed);
          const found = pca(rows, { components: Math.min(count, width) });
          const scores = found.transform(rows);
          expect(distance(found.inverse(scores), rows)).toBeLessThan(1e-12);
          const size = found.variances.length;
          expect(distance(gram(transpose(found.components)), identity(size))).toBeLessThan(1e-12);
          const diagonal = matrix(size, size);
          for (let i = 0; i < size; i++) diagonal.data[i * size + i] = found.variances[i] ?? 0;
          expect(distance(covariance(scores), diagonal)).toBeLessThan(1e-12);
          expect(found.shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 10);
        },
      ),
    );
  });

  it('whitens, also what has no variance, without infinities', () => {
    const rows = multiply(randomMatrix(30, 2, 4), randomMatrix(2, 5, 5));
    const found = pca(rows, { components: 4, whiten: true });
    const spread = covariance(found.transform(rows)).data;
    expect([spread[0], spread[5], spread[10], spread[15]].map((v) => Math.round((v ?? 0) * 1e9) / 1e9)).toEqual([
      1, 1, 0, 0,
    ]);
    expect(distance(found.inverse(found.transform(rows)), rows)).toBeLessThan(1e-12);
  });

  it('by the randomized solver finds the first components of the full one', () => {
    const values = Float64Array.from({ length: 20 }, (_, i) => 0.5 ** i);
    const rows = multiply(scaleColumns(randomMatrix(200, 20, 6), values), randomMatrix(20, 60, 7));
    const [full, quick] = [
      pca(rows, { components: 3, solver: 'full' }),
      pca(rows, { components: 3, solver: 'randomized' }),
    ];
    expect(distance(quick.components, full.components)).toBeLessThan(1e-6);
    expect(quick.variances[2]).toBeCloseTo(full.variances[2] ?? 0, 8);
  });

  it('refuses one row, too many components, rows of another width', () => {
    expect(() => pca(matrix(1, 3))).toThrow(expect.objectContaining({ code: 'bad-input' }));
    expect(() => pca(randomMatrix(5, 3), { components: 4 })).toThrow(/1 to 3 components/);
    expect(() => pca(randomMatrix(5, 3)).transform(matrix(1, 2))).toThrow(/2 numbers where 3/);
    expect([...pca(matrix(3, 2)).shares]).toEqual([0, 0]);
  });
});

describe('random projections', () => {
  it('keep distances within the error that the dimensions were chosen for', () => {
    const rows = randomMatrix(12, 2000, 9);
    const dimensions = projectionDimensions(12, 0.4);
    for (const kind of ['gaussian', 'sparse'] as const) {
      const projected = multiply(rows, randomProjection(2000, dimensions, { kind, seed: 1 }));
      const pair = (a: typeof rows, i: number, j: number): number => {
        const width = a.shape[1];
        const [x, y] = [i, j].map((k) => matrix(1, width, a.data.slice(k * width, (k + 1) * width)));
        return x === undefined || y === undefined ? Number.NaN : frobeniusNorm(add(x, y, -1)) ** 2;
      };
      for (let i = 0; i < 12; i++) {
        for (let j = 0; j < i; j++) {
          expect(Math.abs(pair(projected, i, j) / pair(rows, i, j) - 1)).toBeLessThan(0.4);
        }
      }
    }
    const sparse = randomProjection(400, 10, { kind: 'sparse', density: 0.1 });
    const share = sparse.data.filter((value) => value !== 0).length / 4000;
    expect(share).toBeGreaterThan(0.08);
    expect(share).toBeLessThan(0.12);
    expect(() => randomProjection(4, 2, { density: 0 })).toThrow(expect.objectContaining({ code: 'bad-option' }));
    expect(() => projectionDimensions(10, 1)).toThrow(expect.objectContaining({ code: 'bad-option' }));
  });
});
