import fc from 'fast-check';
import { assignClusters, type KMeansOptions, kMeans, type MatrixLike } from 'tessera-kit/numeric';
import { describe, expect, it } from 'vitest';
import { numbers } from './values.js';

const points = (rows: number, width: number, data: ArrayLike<number>): MatrixLike => ({
  shape: [rows, width],
  data: Float32Array.from(data),
});

/** Points around centers that lie far apart. */
function blobs(clusters: number, each: number, width: number, seed = 1): MatrixLike {
  const centers = numbers(clusters * width, seed).map((value) => 40 * value);
  const noise = numbers(clusters * each * width, seed + 1);
  return points(
    clusters * each,
    width,
    noise.map((value, i) => {
      const row = Math.floor(i / width);
      return (centers[(row % clusters) * width + (i % width)] ?? 0) + value;
    }),
  );
}

const row = (a: { shape: readonly number[]; data: ArrayLike<number> }, i: number): number[] =>
  Array.from({ length: a.shape[1] ?? 0 }, (_, k) => a.data[i * (a.shape[1] ?? 0) + k] ?? 0);
const squared = (x: readonly number[], y: readonly number[]): number =>
  x.reduce((sum, value, k) => sum + (value - (y[k] ?? 0)) ** 2, 0);

describe('k-means', () => {
  it('finds clusters that lie apart', async () => {
    const found = await kMeans(blobs(5, 40, 3), { clusters: 5, restarts: 4 });
    for (let i = 5; i < 200; i++) expect(found.labels[i]).toBe(found.labels[i % 5]);
    expect([...found.sizes]).toEqual([40, 40, 40, 40, 40]);
    expect(found.converged).toBe(true);
  });

  it('labels by the nearest centroid, lowers the inertia each round, and ends where the means are', async () => {
    const input = fc.record({
      count: fc.integer({ min: 1, max: 40 }),
      width: fc.integer({ min: 1, max: 5 }),
      clusters: fc.integer({ min: 1, max: 8 }),
      start: fc.constantFrom('k-means++' as const, 'random' as const),
      coarse: fc.boolean(),
      weighted: fc.boolean(),
      seed: fc.nat(1e6),
    });
    await fc.assert(
      fc.asyncProperty(input, async ({ count, width, clusters, start, coarse, weighted, seed }) => {
        const raw = numbers(count * width, seed + 1);
        const data = points(count, width, coarse ? raw.map((value) => Math.round(2 * value)) : raw);
        const weights = weighted ? numbers(count, seed + 2).map((value) => value + 0.6) : undefined;
        const options = { clusters: Math.min(clusters, count), start, weights, seed, tolerance: 0, iterations: 500 };
        const found = await kMeans(data, options);
        let inertia = 0;
        for (let i = 0; i < count; i++) {
          const all = Array.from({ length: options.clusters }, (_, c) =>
            squared(row(data, i), row(found.centroids, c)),
          );
          const own = all[found.labels[i] ?? -1] ?? Number.NaN;
          expect(own).toBeLessThanOrEqual(Math.min(...all) + 1e-6);
          expect(found.distances[i]).toBeCloseTo(own, 5);
          inertia += (weights?.[i] ?? 1) * own;
        }
        expect(found.inertia).toBeCloseTo(inertia, 4);
        found.history.forEach((value, i) => {
          if (i > 0) expect(value).toBeLessThanOrEqual((found.history[i - 1] ?? 0) * (1 + 1e-6) + 1e-12);
        });
        expect(found.converged).toBe(true);
        expect(found.sizes.reduce((sum, size) => sum + size, 0)).toBe(count);
        for (let c = 0; c < options.clusters; c++) {
          const members = [...found.labels.keys()].filter((i) => found.labels[i] === c);
          if (members.length === 0) continue;
          const mass = members.reduce((sum, i) => sum + (weights?.[i] ?? 1), 0);
          for (let k = 0; k < width; k++) {
            const mean = members.reduce((sum, i) => sum + (weights?.[i] ?? 1) * (row(data, i)[k] ?? 0), 0) / mass;
            expect(row(found.centroids, c)[k]).toBeCloseTo(mean, 5);
          }
        }
      }),
      { numRuns: 80 },
    );
  });

  it('finds the best of all divisions of few points', async () => {
    const data = points(7, 2, numbers(14, 5));
    let best = Number.POSITIVE_INFINITY;
    for (let code = 0; code < 3 ** 7; code++) {
      const labels = Array.from({ length: 7 }, (_, i) => Math.floor(code / 3 ** i) % 3);
      let sum = 0;
      for (let c = 0; c < 3; c++) {
        const members = labels.flatMap((label, i) => (label === c ? [row(data, i)] : []));
        const mean = [0, 1].map((k) => members.reduce((total, m) => total + (m[k] ?? 0), 0) / members.length);
        for (const member of members) sum += squared(member, mean);
      }
      best = Math.min(best, sum);
    }
    expect((await kMeans(data, { clusters: 3, restarts: 30 })).inertia).toBeCloseTo(best, 6);
  });

  it('gives the same bits with any number of threads, and for the same seed', async () => {
    const data = points(1500, 7, numbers(10_500, 9));
    const options: KMeansOptions = { clusters: 23, seed: 4, iterations: 15, restarts: 2 };
    const one = await kMeans(data, { ...options, threads: 1 });
    for (const threads of [2, 3]) expect(await kMeans(data, { ...options, threads })).toEqual(one);
    expect((await kMeans(data, { ...options, seed: 5, threads: 1 })).labels).not.toEqual(one.labels);
    expect(await assignClusters(data, one.centroids, { threads: 2 })).toEqual({
      labels: one.labels,
      distances: one.distances,
    });
  });

  it('with the cosine looks at directions only, and keeps centroids at length 1', async () => {
    const data = points(6, 2, [1, 0, 10, 0.1, 2, -0.1, 0, 3, 0.1, 20, 0, 0.5]);
    const found = await kMeans(data, { clusters: 2, metric: 'cosine', restarts: 3 });
    const [a, , , b] = found.labels;
    expect([...found.labels]).toEqual([a, a, a, b, b, b]);
    for (const c of [0, 1]) expect(Math.hypot(...row(found.centroids, c))).toBeCloseTo(1, 6);
    const first = row(data, 1);
    const cosine =
      first.reduce((sum, v, k) => sum + v * (row(found.centroids, a ?? 0)[k] ?? 0), 0) / Math.hypot(...first);
    expect(found.distances[1]).toBeCloseTo(1 - cosine, 6);
    await expect(kMeans(points(2, 2, [1, 0, 0, 0]), { clusters: 1, metric: 'cosine' })).rejects.toThrow(
      /Row 1 .* no direction/,
    );
  });

  it('counts a point of weight 3 as three', async () => {
    const once = points(4, 1, [0, 1, 5, 9]);
    const thrice = points(6, 1, [0, 1, 5, 9, 9, 9]);
    const start = points(2, 1, [0, 9]);
    const weighted = await kMeans(once, { clusters: 2, start, weights: [1, 1, 1, 3] });
    const repeated = await kMeans(thrice, { clusters: 2, start });
    expect(weighted.centroids).toEqual(repeated.centroids);
    expect(weighted.inertia).toBeCloseTo(repeated.inertia, 6);
  });

  it('does as told with clusters that lose their points, and with points that are all the same', async () => {
    const data = points(4, 1, [0, 1, 2, 10]);
    const start = points(2, 1, [1, 100]); // the second is nearest to nothing
    const moved = await kMeans(data, { clusters: 2, start });
    expect([...moved.sizes].sort()).toEqual([1, 3]);
    const kept = await kMeans(data, { clusters: 2, start, empty: 'keep' });
    expect([...kept.sizes]).toEqual([4, 0]);
    expect(kept.centroids.data[1]).toBe(100);
    await expect(kMeans(data, { clusters: 2, start, empty: 'error' })).rejects.toThrow(/Cluster 1 of 2 has no points/);
    const same = await kMeans(points(5, 2, new Array(10).fill(3)), { clusters: 3 });
    expect(same.inertia).toBe(0);
    expect([...same.centroids.data]).toEqual(new Array(6).fill(3));
  });

  it('by mini-batches comes near the full rounds, and reports each', async () => {
    const data = blobs(4, 250, 4, 3);
    const full = await kMeans(data, { clusters: 4, restarts: 3 });
    let reports = 0;
    const batches = await kMeans(data, {
      clusters: 4,
      batch: 100,
      iterations: 40,
      restarts: 3,
      report: () => reports++,
    });
    expect(batches.inertia).toBeLessThan(1.05 * full.inertia);
    expect([batches.iterations, reports]).toEqual([40, 120]);
  });

  it('stops when told to', async () => {
    const stop = new AbortController();
    const data = points(400, 3, numbers(1200, 2));
    const options = { clusters: 9, tolerance: 0, signal: stop.signal, report: () => stop.abort() };
    for (const threads of [1, 2]) {
      await expect(kMeans(data, { ...options, threads })).rejects.toThrow(expect.objectContaining({ code: 'aborted' }));
    }
  });

  it('refuses what makes no sense in a sentence', async () => {
    const data = points(3, 1, [1, 2, 3]);
    const bad: [KMeansOptions, string][] = [
      [{ clusters: 4 }, 'bad-option'],
      [{ clusters: 0 }, 'bad-option'],
      [{ clusters: 1, threads: 0 }, 'bad-option'],
      [{ clusters: 1, batch: 0.5 }, 'bad-option'],
      [{ clusters: 1, weights: [1] }, 'bad-shape'],
      [{ clusters: 1, weights: [1, -1, 1] }, 'bad-input'],
      [{ clusters: 1, weights: [0, 0, 0] }, 'bad-input'],
      [{ clusters: 2, start: points(1, 1, [1]) }, 'bad-shape'],
    ];
    for (const [options, code] of bad) await expect(kMeans(data, options)).rejects.toMatchObject({ code });
    await expect(kMeans(points(1, 1, [Number.NaN]), { clusters: 1 })).rejects.toMatchObject({ code: 'not-finite' });
  });
});
