/**
 * The sums of k-means over a range of points or of clusters. Every sum runs in one order whatever the ranges are, so threads
 * that share the work give what one gives.
 */

import { dot, productInto } from './products.js';

/** The arrays of a run; threads see the same memory. */
export interface KMeansArrays {
  readonly points: Float32Array;
  readonly count: number;
  readonly width: number;
  readonly clusters: number;
  readonly weights: Float64Array;
  /** |x|^2 of each point. */
  readonly squares: Float64Array;
  readonly centroids: Float32Array;
  readonly labels: Int32Array;
  readonly distances: Float64Array;
  /** Points and weight of each cluster. */
  readonly sizes: Int32Array;
  readonly masses: Float64Array;
}

/** A piece of work on a range of points, or for `update` of clusters. */
export interface KMeansStep {
  readonly kind: 'squares' | 'assign' | 'update' | 'lower';
  readonly from: number;
  readonly to: number;
  /** For `lower`: the point that was chosen. */
  readonly chosen?: number;
}

/** Does a step. */
export function perform(arrays: KMeansArrays, { kind, from, to, chosen = 0 }: KMeansStep): void {
  if (kind === 'squares') squareLengths(arrays, from, to);
  else if (kind === 'assign') assign(arrays, from, to);
  else if (kind === 'update') update(arrays, from, to);
  else lower(arrays, from, to, chosen);
}

const BLOCK = 128;

function squareLengths({ points, width, squares }: KMeansArrays, from: number, to: number): void {
  for (let i = from; i < to; i++) squares[i] = dot(points, i * width, points, i * width, width);
}

/** Finds the nearest centroids by `|x|^2 - 2 x c + |c|^2` in blocks of products. */
function assign(arrays: KMeansArrays, from: number, to: number): void {
  const { points, width, clusters, squares, centroids, labels, distances } = arrays;
  const lengths = new Float64Array(clusters);
  for (let c = 0; c < clusters; c++) lengths[c] = dot(centroids, c * width, centroids, c * width, width);
  const products = new Float64Array(BLOCK * clusters);
  for (let start = from; start < to; start += BLOCK) {
    const end = Math.min(to, start + BLOCK);
    const block = points.subarray(start * width, end * width);
    productInto(block, 0, end - start, centroids, 0, clusters, width, products, clusters);
    for (let i = start; i < end; i++) {
      const row = (i - start) * clusters;
      let best = 0;
      let least = Number.POSITIVE_INFINITY;
      for (let c = 0; c < clusters; c++) {
        const value = (lengths[c] as number) - 2 * (products[row + c] as number);
        if (value < least) {
          best = c;
          least = value;
        }
      }
      labels[i] = best;
      // The difference of large numbers loses its digits: a small distance is computed from the coordinates.
      const found = least + (squares[i] as number);
      const exact = found > 1e-6 * (squares[i] as number);
      distances[i] = exact ? found : squaredDistance(points, i * width, centroids, best * width, width);
    }
  }
}

/** Moves clusters to the weighted means of their points; one without weight stays. */
function update(arrays: KMeansArrays, from: number, to: number): void {
  const { points, count, width, weights, centroids, labels, sizes, masses } = arrays;
  const sums = new Float64Array((to - from) * width);
  sizes.fill(0, from, to);
  masses.fill(0, from, to);
  for (let i = 0; i < count; i++) {
    const c = labels[i] as number;
    if (c < from || c >= to) continue;
    const weight = weights[i] as number;
    sizes[c] = (sizes[c] as number) + 1;
    masses[c] = (masses[c] as number) + weight;
    const at = (c - from) * width;
    for (let k = 0; k < width; k++) {
      sums[at + k] = (sums[at + k] as number) + weight * (points[i * width + k] as number);
    }
  }
  for (let c = from; c < to; c++) {
    const mass = masses[c] as number;
    if (!(mass > 0)) continue;
    for (let k = 0; k < width; k++) centroids[c * width + k] = (sums[(c - from) * width + k] as number) / mass;
  }
}

/** Lowers `distances` to the squared distance from a point where that is less: a step of k-means++. */
function lower({ points, width, distances }: KMeansArrays, from: number, to: number, chosen: number): void {
  for (let i = from; i < to; i++) {
    const value = squaredDistance(points, i * width, points, chosen * width, width);
    if (value < (distances[i] as number)) distances[i] = value;
  }
}

function squaredDistance(a: Float32Array, aAt: number, b: Float32Array, bAt: number, width: number): number {
  let sum = 0;
  for (let k = 0; k < width; k++) {
    const difference = (a[aAt + k] as number) - (b[bAt + k] as number);
    sum += difference * difference;
  }
  return sum;
}
