/** What k-means checks, begins from, and does with a cluster that lost its points. */

import { TesseraError } from '../host/error.js';
import { drawBelow, type Generator32 } from './generator.js';
import type { KMeansArrays } from './k-means-kernel.js';
import type { KMeansCrew } from './k-means-threads.js';
import type { KMeansOptions } from './k-means-types.js';
import { finiteShape, type MatrixLike } from './matrix.js';

/** The rows as float32, of length 1 with the cosine. @throws bad-shape; not-finite; bad-input for a row of zeros. */
export function pointsOf(rows: MatrixLike, metric: 'euclidean' | 'cosine'): Float32Array {
  const [count, width] = finiteShape(rows, 'The points');
  if (metric === 'euclidean') return rows.data instanceof Float32Array ? rows.data : Float32Array.from(rows.data);
  const data = Float64Array.from(rows.data);
  const without = toUnitRows(data, width);
  if (without !== -1 && count > 0) {
    throw new TesseraError('bad-input', `Row ${without} of the points has length 0 and so no direction.`, {
      hint: 'Remove it, or use the euclidean metric.',
    });
  }
  return Float32Array.from(data);
}

/** Divides each row by its length; gives the first row without one, which stays, or -1. */
export function toUnitRows(data: Float32Array | Float64Array, width: number): number {
  let without = -1;
  for (let at = 0; at + width <= data.length && width > 0; at += width) {
    let square = 0;
    for (let k = at; k < at + width; k++) square += (data[k] as number) ** 2;
    if (square > 0) for (let k = at; k < at + width; k++) data[k] = (data[k] as number) / Math.sqrt(square);
    else if (without === -1) without = at / width;
  }
  return without;
}

/** The weight of each point. @throws bad-shape; bad-input. */
export function weightsOf(weights: ArrayLike<number> | undefined, count: number): Float64Array {
  if (weights === undefined) return new Float64Array(count).fill(1);
  if (weights.length !== count) {
    throw new TesseraError('bad-shape', `There are ${weights.length} weights for ${count} points.`);
  }
  const values = Float64Array.from(weights);
  const wrong = values.findIndex((value) => !(value >= 0 && Number.isFinite(value)));
  if (wrong !== -1) throw new TesseraError('bad-input', `The weight of point ${wrong} is ${values[wrong]}.`);
  if (!values.some((value) => value > 0)) throw new TesseraError('bad-input', 'Every point has the weight 0.');
  return values;
}

/** Puts the first centroids in their places. @throws bad-shape; not-finite. */
export async function seedCentroids(
  arrays: KMeansArrays,
  crew: KMeansCrew,
  options: KMeansOptions,
  next: Generator32,
): Promise<void> {
  const { start = 'k-means++', metric = 'euclidean' } = options;
  const { count, width, clusters, points, centroids, distances } = arrays;
  const choose = (cluster: number, point: number): void =>
    centroids.set(points.subarray(point * width, (point + 1) * width), cluster * width);
  if (typeof start !== 'string') {
    const [rows, columns] = finiteShape(start, 'The first centroids');
    if (rows !== clusters || columns !== width) {
      throw new TesseraError(
        'bad-shape',
        `The first centroids are ${rows} by ${columns}, not ${clusters} by ${width}.`,
      );
    }
    centroids.set(pointsOf(start, metric));
  } else if (start === 'random') {
    const order = Int32Array.from({ length: count }, (_, i) => i);
    for (let c = 0; c < clusters; c++) {
      const other = c + drawBelow(next, count - c);
      [order[c], order[other]] = [order[other] as number, order[c] as number];
      choose(c, order[c] as number);
    }
  } else {
    distances.fill(1);
    let chosen = drawPoint(arrays, next); // by weight alone
    distances.fill(Number.POSITIVE_INFINITY);
    choose(0, chosen);
    for (let c = 1; c < clusters; c++) {
      await crew.run('lower', chosen);
      chosen = drawPoint(arrays, next);
      choose(c, chosen);
    }
  }
}

/** A point with a chance of weight times distance; where all of these are 0, any. */
function drawPoint({ count, weights, distances }: KMeansArrays, next: Generator32): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += (weights[i] as number) * (distances[i] as number);
  const draw = next();
  if (!(total > 0)) return Math.floor(draw * count);
  let rest = draw * total;
  let last = 0;
  for (let i = 0; i < count; i++) {
    const share = (weights[i] as number) * (distances[i] as number);
    if (share === 0) continue;
    last = i;
    rest -= share;
    if (rest < 0) break;
  }
  return last;
}

/** What becomes of clusters without weight. @throws bad-input with `error`. */
export function moveEmpty(arrays: KMeansArrays, policy: 'farthest' | 'keep' | 'error'): void {
  const { count, width, clusters, weights, distances, points, centroids, labels } = arrays;
  if (policy === 'keep') return;
  const filled = new Uint8Array(clusters);
  for (let i = 0; i < count; i++) if ((weights[i] as number) > 0) filled[labels[i] as number] = 1;
  for (let c = 0; c < clusters; c++) {
    if (filled[c] === 1) continue;
    if (policy === 'error') {
      throw new TesseraError('bad-input', `Cluster ${c} of ${clusters} has no points left.`, {
        hint: 'Ask for fewer clusters, or let empty ones move.',
      });
    }
    let worst = -1;
    let most = 0;
    for (let i = 0; i < count; i++) {
      const cost = (weights[i] as number) * (distances[i] as number);
      if (cost > most) {
        worst = i;
        most = cost;
      }
    }
    if (worst === -1) return; // every point lies on a centroid
    centroids.set(points.subarray(worst * width, (worst + 1) * width), c * width);
    distances[worst] = 0;
  }
}
