/**
 * k-means: Lloyd's rounds from k-means++ seeds (Arthur and Vassilvitskii 2007), mini-batches (Sculley 2010), the cosine
 * variant (spherical k-means, Dhillon and Modha 2001), weights, restarts.
 *
 * Notable: distances come as blocked products of points and centroids, all in float64 over float32 points, without bounds
 * that skip some; every sum has one order, so any number of threads gives the same clusters bit for bit. The inertia never
 * rises from round to round: a cluster that lost its points moves to the point that lies worst.
 */

import { TesseraError, throwIfAborted } from '../host/error.js';
import { drawBelow, type Generator32, generator } from './generator.js';
import { type KMeansArrays, perform } from './k-means-kernel.js';
import { moveEmpty, pointsOf, seedCentroids, toUnitRows, weightsOf } from './k-means-parts.js';
import { allocateKMeans, type KMeansCrew, startCrew, threadsFor } from './k-means-threads.js';
import type { KMeans, KMeansOptions } from './k-means-types.js';
import { type MatrixLike, shapeOf } from './matrix.js';

/**
 * Finds clusters of the rows of `points` [n, d].
 * @throws bad-option; bad-shape; bad-input for weights that make no sense, and with the cosine a point of zeros; not-finite;
 * aborted.
 */
export async function kMeans(points: MatrixLike, options: KMeansOptions): Promise<KMeans> {
  const { clusters, metric = 'euclidean', restarts = 1, seed = 0, batch, signal } = options;
  const [count, width] = shapeOf(points, 'The points');
  wholeNumber(clusters, 'number of clusters');
  wholeNumber(restarts, 'number of restarts');
  wholeNumber(options.iterations ?? 1, 'number of iterations');
  if (batch !== undefined) wholeNumber(batch, 'size of a batch');
  if (clusters > count) {
    throw new TesseraError('bad-option', `${count} points cannot make ${clusters} clusters.`, {
      hint: 'Ask for at most as many clusters as there are points.',
    });
  }
  const threads = threadsFor(options.threads, count * width * clusters);
  const arrays = allocateKMeans(count, width, clusters, threads > 1);
  arrays.points.set(pointsOf(points, metric));
  arrays.weights.set(weightsOf(options.weights, count));
  const crew = startCrew(arrays, threads, signal);
  try {
    await crew.run('squares');
    let best: KMeans | undefined;
    const seeds = generator(seed);
    for (let restart = 0; restart < restarts; restart++) {
      const next = generator(restart === 0 ? seed : drawBelow(seeds, 2 ** 31));
      await seedCentroids(arrays, crew, options, next);
      const found = await (batch === undefined ? lloyd : miniBatch)(arrays, crew, options, restart, next);
      if (best === undefined || found.inertia < best.inertia) best = found;
    }
    if (best === undefined) throw new TesseraError('bad-option', 'There was no run.');
    return best;
  } finally {
    await crew.dispose();
  }
}

/** Labels and distances of points for centroids that are there, as k-means gives them. @throws as {@link kMeans}. */
export async function assignClusters(
  points: MatrixLike,
  centroids: MatrixLike,
  options: Pick<KMeansOptions, 'metric' | 'threads' | 'signal'> = {},
): Promise<Pick<KMeans, 'labels' | 'distances'>> {
  const { metric = 'euclidean', signal } = options;
  const [count, width] = shapeOf(points, 'The points');
  const [clusters, otherWidth] = shapeOf(centroids, 'The centroids');
  if (width !== otherWidth || clusters === 0) {
    throw new TesseraError(
      'bad-shape',
      `${clusters} centroids of ${otherWidth} numbers do not suit points of ${width}.`,
    );
  }
  const threads = threadsFor(options.threads, count * width * clusters);
  const arrays = allocateKMeans(count, width, clusters, threads > 1);
  arrays.points.set(pointsOf(points, metric));
  arrays.centroids.set(pointsOf(centroids, metric));
  const crew = startCrew(arrays, threads, signal);
  try {
    await crew.run('squares');
    await crew.run('assign');
    return { labels: Int32Array.from(arrays.labels), distances: distancesOf(arrays, metric) };
  } finally {
    await crew.dispose();
  }
}

/** Rounds over all points. */
async function lloyd(arrays: KMeansArrays, crew: KMeansCrew, options: KMeansOptions, restart: number): Promise<KMeans> {
  const { metric = 'euclidean', iterations = 100, tolerance = 1e-6, empty = 'farthest', report } = options;
  const history: number[] = [];
  const before = new Int32Array(arrays.count).fill(-1);
  let converged = false;
  for (let iteration = 0; ; iteration++) {
    await crew.run('assign');
    const inertia = inertiaOf(arrays, metric);
    const last = history.at(-1);
    const settled = arrays.labels.every((label, i) => label === before[i]);
    converged = settled || (last !== undefined && last - inertia < tolerance * last);
    if (converged || iteration === iterations) break;
    before.set(arrays.labels);
    history.push(inertia);
    report?.({ restart, iteration, inertia });
    await crew.run('update');
    moveEmpty(arrays, empty);
    if (metric === 'cosine') toUnitRows(arrays.centroids, arrays.width);
  }
  return result(arrays, metric, history, converged);
}

/** Rounds over a few points drawn anew each time; a centroid moves by the share of one point among all it has seen. */
async function miniBatch(
  arrays: KMeansArrays,
  crew: KMeansCrew,
  options: KMeansOptions,
  restart: number,
  next: Generator32,
): Promise<KMeans> {
  const { metric = 'euclidean', iterations = 100, empty = 'farthest', batch = 1024, signal, report } = options;
  const { points, count, width, clusters, weights, centroids } = arrays;
  const few = allocateKMeans(batch, width, clusters, false);
  const sharp = Float64Array.from(centroids); // what float32 would round away
  const seen = new Float64Array(clusters);
  const history: number[] = [];
  for (let iteration = 0; iteration < iterations; iteration++) {
    throwIfAborted(signal);
    for (let i = 0; i < batch; i++) {
      const chosen = drawBelow(next, count);
      few.points.set(points.subarray(chosen * width, (chosen + 1) * width), i * width);
      few.weights[i] = weights[chosen] as number;
    }
    few.centroids.set(centroids);
    perform(few, { kind: 'squares', from: 0, to: batch });
    perform(few, { kind: 'assign', from: 0, to: batch });
    for (let i = 0; i < batch; i++) {
      const c = few.labels[i] as number;
      const weight = few.weights[i] as number;
      if (weight === 0) continue;
      seen[c] = (seen[c] as number) + weight;
      const share = weight / (seen[c] as number);
      for (let k = 0; k < width; k++) {
        const at = c * width + k;
        sharp[at] = (sharp[at] as number) + share * ((few.points[i * width + k] as number) - (sharp[at] as number));
      }
    }
    if (metric === 'cosine') toUnitRows(sharp, width);
    centroids.set(sharp);
    const inertia = inertiaOf(few, metric);
    history.push(inertia);
    report?.({ restart, iteration, inertia });
    await new Promise((resolve) => setTimeout(resolve));
  }
  await crew.run('assign');
  countSizes(arrays);
  if (arrays.sizes.includes(0)) {
    moveEmpty(arrays, empty);
    await crew.run('assign');
  }
  return result(arrays, metric, history, false);
}

function result(
  arrays: KMeansArrays,
  metric: 'euclidean' | 'cosine',
  history: readonly number[],
  converged: boolean,
): KMeans {
  countSizes(arrays);
  return {
    centroids: {
      dtype: 'float32',
      shape: [arrays.clusters, arrays.width],
      data: Float32Array.from(arrays.centroids),
    },
    labels: Int32Array.from(arrays.labels),
    distances: distancesOf(arrays, metric),
    inertia: inertiaOf(arrays, metric),
    history,
    iterations: history.length,
    converged,
    sizes: Int32Array.from(arrays.sizes),
  };
}

function countSizes({ labels, sizes }: KMeansArrays): void {
  sizes.fill(0);
  for (const label of labels) sizes[label] = (sizes[label] as number) + 1;
}

/** Squared distances of unit vectors are twice one minus their cosine. */
function distancesOf({ distances }: KMeansArrays, metric: 'euclidean' | 'cosine'): Float64Array {
  return Float64Array.from(distances, (value) => (metric === 'cosine' ? value / 2 : value));
}

function inertiaOf({ distances, weights }: KMeansArrays, metric: 'euclidean' | 'cosine'): number {
  let sum = 0;
  for (let i = 0; i < distances.length; i++) sum += (weights[i] as number) * (distances[i] as number);
  return metric === 'cosine' ? sum / 2 : sum;
}

function wholeNumber(value: number, what: string): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new TesseraError('bad-option', `The ${what} must be a whole number of at least 1, not ${value}.`);
}
