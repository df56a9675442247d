/** Means, spreads, quantiles and covariances of samples. */

import { TesseraError } from '../host/error.js';
import { columnMeans, finiteShape, type Matrix, type MatrixLike, matrix } from './matrix.js';
import { gram } from './products.js';

/** A sample: numbers in any order. */
export type Sample = ArrayLike<number>;

/** Checks that a sample has numbers, all finite. @throws bad-input; not-finite. */
export function checkSample(sample: Sample, least = 1, what = 'The sample'): void {
  if (sample.length < least) {
    throw new TesseraError('bad-input', `${what} has ${sample.length} numbers and needs at least ${least}.`);
  }
  for (let i = 0; i < sample.length; i++) {
    if (!Number.isFinite(sample[i])) throw new TesseraError('not-finite', `${what} holds ${sample[i]} at place ${i}.`);
  }
}

/** The mean, by a sum that keeps what rounding takes (Neumaier 1974). @throws bad-input for an empty sample; not-finite. */
export function mean(sample: Sample): number {
  checkSample(sample);
  let sum = 0;
  let lost = 0;
  for (let i = 0; i < sample.length; i++) {
    const value = sample[i] as number;
    const next = sum + value;
    lost += Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum;
    sum = next;
  }
  return (sum + lost) / sample.length;
}

/** The variance around the mean; `freedom` is what the denominator is below the count (default 1). @throws bad-input; not-finite. */
export function variance(sample: Sample, freedom = 1): number {
  checkSample(sample, freedom + 1);
  const middle = mean(sample);
  let sum = 0;
  for (let i = 0; i < sample.length; i++) sum += ((sample[i] as number) - middle) ** 2;
  return sum / (sample.length - freedom);
}

/** The square root of the variance. @throws bad-input; not-finite. */
export function standardDeviation(sample: Sample, freedom = 1): number {
  return Math.sqrt(variance(sample, freedom));
}

/** Quantiles by linear interpolation between order statistics (type 7 of Hyndman and Fan 1996, the default of NumPy and R). @throws bad-input; not-finite; bad-option. */
export function quantiles(sample: Sample, probabilities: readonly number[]): number[] {
  checkSample(sample);
  const sorted = Float64Array.from(sample).sort();
  return probabilities.map((p) => {
    if (!(p >= 0 && p <= 1)) throw new TesseraError('bad-option', `A quantile lies from 0 to 1, not at ${p}.`);
    const place = p * (sorted.length - 1);
    const low = Math.floor(place);
    const below = sorted[low] as number;
    const above = sorted[Math.min(low + 1, sorted.length - 1)] as number;
    return below + (place - low) * (above - below);
  });
}

/** One quantile. @throws bad-input; not-finite; bad-option. */
export function quantile(sample: Sample, probability: number): number {
  return quantiles(sample, [probability])[0] as number;
}

/** The middle value. @throws bad-input; not-finite. */
export function median(sample: Sample): number {
  return quantile(sample, 0.5);
}

/** The covariances of the columns of rows [n, d], with n - 1 in the denominator: [d, d]. @throws bad-input; bad-shape; not-finite. */
export function covariance(rows: MatrixLike): Matrix {
  const [count, width] = finiteShape(rows, 'The data');
  if (count < 2) throw new TesseraError('bad-input', `${count} rows have no covariance.`);
  const means = columnMeans(rows);
  const centered = matrix(count, width);
  for (let i = 0; i < centered.data.length; i++) {
    centered.data[i] = (rows.data[i] as number) - (means[i % width] as number);
  }
  const { data } = gram(centered);
  return matrix(
    width,
    width,
    data.map((value) => value / (count - 1)),
  );
}

/** The correlations of the columns of rows [n, d]; a column without variance has NaN beside others. @throws as {@link covariance}. */
export function correlations(rows: MatrixLike): Matrix {
  const covariances = covariance(rows);
  const width = covariances.shape[0];
  const deviations = Float64Array.from({ length: width }, (_, i) =>
    Math.sqrt(covariances.data[i * width + i] as number),
  );
  return matrix(
    width,
    width,
    covariances.data.map((value, at) => {
      const [i, j] = [Math.floor(at / width), at % width];
      return i === j ? 1 : value / ((deviations[i] as number) * (deviations[j] as number));
    }),
  );
}
