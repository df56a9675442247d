/** How far two samples go together: straight lines, and ranks. */

import { TesseraError } from '../host/error.js';
import { checkSample, mean, type Sample } from './statistics.js';

/** Pearson's correlation, -1 to 1; NaN where a sample has no variance. @throws bad-shape; bad-input; not-finite. */
export function pearson(x: Sample, y: Sample): number {
  checkPair(x, y);
  const [mx, my] = [mean(x), mean(y)];
  let [xx, yy, xy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const dx = (x[i] as number) - mx;
    const dy = (y[i] as number) - my;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return xx > 0 && yy > 0 ? Math.max(-1, Math.min(1, xy / Math.sqrt(xx) / Math.sqrt(yy))) : Number.NaN;
}

/** Spearman's: Pearson's of the ranks. @throws as {@link pearson}. */
export function spearman(x: Sample, y: Sample): number {
  checkPair(x, y);
  return pearson(ranks(x), ranks(y));
}

/** The rank of each number from 1; equal ones share the mean of their ranks. @throws bad-input; not-finite. */
export function ranks(sample: Sample): Float64Array {
  checkSample(sample);
  const order = Int32Array.from({ length: sample.length }, (_, i) => i);
  order.sort((i, j) => (sample[i] as number) - (sample[j] as number));
  const result = new Float64Array(sample.length);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && sample[order[end] as number] === sample[order[start] as number]) end++;
    for (let k = start; k < end; k++) result[order[k] as number] = (start + end + 1) / 2;
    start = end;
  }
  return result;
}

/** Kendall's tau-b, which counts ties; by merge sort in n log n (Knight 1966). NaN where a sample has one value only. @throws as {@link pearson}. */
export function kendall(x: Sample, y: Sample): number {
  checkPair(x, y);
  const count = x.length;
  const order = Int32Array.from({ length: count }, (_, i) => i);
  order.sort((i, j) => (x[i] as number) - (x[j] as number) || (y[i] as number) - (y[j] as number));
  const sorted = Float64Array.from(order, (i) => y[i] as number);
  const tiedX = tiedPairs(count, (k) => x[order[k] as number] as number);
  const tiedBoth = bothTied(count, order, x, y);
  const swaps = sortCounting(sorted, new Float64Array(count), 0, count);
  const tiedY = tiedPairs(count, (k) => sorted[k] as number);
  const pairs = (count * (count - 1)) / 2;
  if (tiedX === pairs || tiedY === pairs) return Number.NaN;
  const difference = pairs - tiedX - tiedY + tiedBoth - 2 * swaps;
  return difference / Math.sqrt(pairs - tiedX) / Math.sqrt(pairs - tiedY);
}

function tiedPairs(count: number, value: (k: number) => number): number {
  let tied = 0;
  for (let start = 0; start < count; ) {
    let end = start + 1;
    while (end < count && value(end) === value(start)) end++;
    tied += ((end - start) * (end - start - 1)) / 2;
    start = end;
  }
  return tied;
}

function bothTied(count: number, order: Int32Array, x: Sample, y: Sample): number {
  let group = 0;
  const groups = new Float64Array(count);
  for (let k = 1; k < count; k++) {
    const [here, before] = [order[k] as number, order[k - 1] as number];
    if (x[here] !== x[before] || y[here] !== y[before]) group++;
    groups[k] = group;
  }
  return tiedPairs(count, (k) => groups[k] as number);
}

/** Sorts by merging and counts the pairs that stood the wrong way round. */
function sortCounting(values: Float64Array, spare: Float64Array, start: number, end: number): number {
  if (end - start < 2) return 0;
  const middle = (start + end) >> 1;
  let swaps = sortCounting(values, spare, start, middle) + sortCounting(values, spare, middle, end);
  let [left, right] = [start, middle];
  for (let k = start; k < end; k++) {
    if (right === end || (left < middle && (values[left] as number) <= (values[right] as number))) {
      spare[k] = values[left++] as number;
    } else {
      spare[k] = values[right++] as number;
      swaps += middle - left;
    }
  }
  values.set(spare.subarray(start, end), start);
  return swaps;
}

/** A straight line through points. */
export interface RegressionLine {
  readonly slope: number;
  readonly intercept: number;
  /** Pearson's correlation. */
  readonly r: number;
  /** The standard error of the slope; NaN for two points. */
  readonly slopeError: number;
}

/** The line with the least squares of vertical distances. @throws bad-input when all x are the same; bad-shape; not-finite. */
export function regressionLine(x: Sample, y: Sample): RegressionLine {
  checkPair(x, y);
  const [mx, my] = [mean(x), mean(y)];
  let [xx, xy] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    const dx = (x[i] as number) - mx;
    xx += dx * dx;
    xy += dx * ((y[i] as number) - my);
  }
  if (!(xx > 0)) throw new TesseraError('bad-input', 'A line needs two different x.');
  const slope = xy / xx;
  let rest = 0;
  for (let i = 0; i < x.length; i++) rest += ((y[i] as number) - my - slope * ((x[i] as number) - mx)) ** 2;
  const slopeError = x.length > 2 ? Math.sqrt(rest / (x.length - 2) / xx) : Number.NaN;
  return { slope, intercept: my - slope * mx, r: pearson(x, y), slopeError };
}

function checkPair(x: Sample, y: Sample): void {
  if (x.length !== y.length) {
    throw new TesseraError('bad-shape', `The samples have ${x.length} and ${y.length} numbers and go in pairs.`);
  }
  checkSample(x, 2, 'The first sample');
  checkSample(y, 2, 'The second sample');
}
