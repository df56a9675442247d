/** How sure a figure is: bootstrap intervals and Welch's test. */

import { TesseraError } from '../host/error.js';
import { drawBelow, generator } from './generator.js';
import { checkSample, mean, quantiles, type Sample, variance } from './statistics.js';

/** Options of {@link bootstrapInterval}. */
export interface BootstrapOptions {
  /** The chance that the interval holds the figure (default 0.95). */
  readonly confidence?: number;
  /** Samples drawn with replacement (default 2000). */
  readonly resamples?: number;
  /**
   * Quantiles of the figure over the samples drawn; or these corrected for bias and skewness (BCa, Efron 1987), which calls
   * the statistic once more for each number (default `percentile`).
   */
  readonly method?: 'percentile' | 'bca';
  readonly seed?: number;
}

/** A figure and where it may lie. */
export interface Interval {
  /** The figure of the sample itself. */
  readonly value: number;
  readonly low: number;
  readonly high: number;
  /** The standard deviation of the figure over the samples drawn. */
  readonly error: number;
}

/** The bootstrap interval of a statistic (Efron 1979), the mean if none is given. @throws bad-input; not-finite; bad-option. */
export function bootstrapInterval(
  sample: Sample,
  statistic: (sample: Float64Array) => number = mean,
  options: BootstrapOptions = {},
): Interval {
  const { confidence = 0.95, resamples = 2000, method = 'percentile', seed = 0 } = options;
  checkSample(sample);
  if (!(confidence > 0 && confidence < 1) || !Number.isInteger(resamples) || resamples < 2) {
    throw new TesseraError('bad-option', `A confidence of ${confidence} from ${resamples} samples makes no sense.`, {
      hint: 'Give a confidence between 0 and 1 and at least two samples.',
    });
  }
  const values = Float64Array.from(sample);
  const value = statistic(values);
  const next = generator(seed);
  const drawn = new Float64Array(values.length);
  const figures = Float64Array.from({ length: resamples }, () => {
    for (let i = 0; i < drawn.length; i++) drawn[i] = values[drawBelow(next, values.length)] as number;
    return statistic(drawn);
  });
  const tail = (1 - confidence) / 2;
  const tails = method === 'bca' ? correctedTails(values, statistic, value, figures, tail) : [tail, 1 - tail];
  const [low, high] = quantiles(figures, tails) as [number, number];
  return { value, low, high, error: Math.sqrt(variance(figures)) };
}

function correctedTails(
  values: Float64Array,
  statistic: (sample: Float64Array) => number,
  value: number,
  figures: Float64Array,
  tail: number,
): number[] {
  let below = 0;
  for (const figure of figures) below += figure < value ? 1 : figure === value ? 0.5 : 0;
  if (below === 0 || below === figures.length || values.length < 2) return [tail, 1 - tail];
  const bias = normalQuantile(below / figures.length);
  const without = Float64Array.from(values, (_, left) => statistic(values.filter((__, i) => i !== left)));
  const middle = mean(without);
  let [squares, cubes] = [0, 0];
  for (const figure of without) {
    squares += (middle - figure) ** 2;
    cubes += (middle - figure) ** 3;
  }
  const acceleration = squares > 0 ? cubes / (6 * squares ** 1.5) : 0;
  return [tail, 1 - tail].map((p) => {
    const z = bias + normalQuantile(p);
    return normalProbability(bias + z / (1 - acceleration * z));
  });
}

/** What Welch's test says of two means. */
export interface WelchTest {
  /** The difference of the means in standard errors. */
  readonly t: number;
  /** Degrees of freedom by Welch and Satterthwaite. */
  readonly freedom: number;
  /** The chance of a |t| as large if the means were the same. */
  readonly p: number;
  readonly difference: number;
}

/** Compares the means of two samples whose variances may differ (Welch 1947), two-sided. @throws bad-input for fewer than two numbers or no variance at all; not-finite. */
export function welchTest(x: Sample, y: Sample): WelchTest {
  checkSample(x, 2, 'The first sample');
  checkSample(y, 2, 'The second sample');
  const [vx, vy] = [variance(x) / x.length, variance(y) / y.length];
  if (!(vx + vy > 0)) throw new TesseraError('bad-input', 'Neither sample has any variance to compare the means by.');
  const difference = mean(x) - mean(y);
  const t = difference / Math.sqrt(vx + vy);
  const freedom = (vx + vy) ** 2 / (vx ** 2 / (x.length - 1) + vy ** 2 / (y.length - 1));
  return { t, freedom, p: studentTail(t, freedom), difference };
}

/** The chance of a |t| at least as large under Student's distribution. */
export function studentTail(t: number, freedom: number): number {
  return regularizedBeta(freedom / (freedom + t * t), freedom / 2, 0.5);
}

/** The regularized incomplete beta function I_x(a, b), by its continued fraction (Abramowitz and Stegun, 26.5.8; Lentz's method). */
export function regularizedBeta(x: number, a: number, b: number): number {
  if (!(x > 0)) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - regularizedBeta(1 - x, b, a);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
  const tiny = 1e-300;
  let [c, d, fraction] = [1, 1 / (1 - ((a + b) * x) / (a + 1) || tiny), 0];
  fraction = d;
  for (let m = 1; m < 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    let change = 1;
    for (const term of [even, odd]) {
      d = 1 / (1 + term * d || tiny);
      c = 1 + term / c || tiny;
      change = c * d;
      fraction *= change;
    }
    if (Math.abs(change - 1) < 1e-15) break;
  }
  return front * fraction;
}

const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** ln Gamma(x) for x > 0 (Lanczos 1964, g = 7). */
export function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const t = x - 1 + 7.5;
  const sum = LANCZOS.reduce((total, term, i) => (i === 0 ? term : total + term / (x - 1 + i)), 0);
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

/** The chance that a Gaussian variable with mean 0 and deviation 1 is below z. */
export function normalProbability(z: number): number {
  return z < 0 ? normalUpper(-z) : 1 - normalUpper(z);
}

/** The chance of more than z >= 0: half of what the incomplete gamma function leaves, Q(1/2, z^2 / 2). */
function normalUpper(z: number): number {
  const x = (z * z) / 2;
  const front = Math.exp(-x + 0.5 * Math.log(x) - logGamma(0.5));
  if (x === 0) return 0.5;
  if (x < 1.5) {
    let [term, sum] = [2, 2];
    for (let n = 1; term > sum * 1e-17; n++) {
      term *= x / (0.5 + n);
      sum += term;
    }
    return (1 - front * sum) / 2;
  }
  let [b, c, d] = [x + 0.5, 1e300, 1 / (x + 0.5)];
  let fraction = d;
  for (let n = 1; n < 10_000; n++) {
    const a = -n * (n - 0.5);
    b += 2;
    d = 1 / (a * d + b);
    c = b + a / c;
    fraction *= c * d;
    if (Math.abs(c * d - 1) < 1e-16) break;
  }
  return (front * fraction) / 2;
}

/** The z below which a Gaussian variable lies with the probability p, by bisection of the chance. */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw new TesseraError('bad-option', `A probability lies between 0 and 1, not at ${p}.`);
  let [low, high] = [-39, 39];
  for (let i = 0; i < 70; i++) {
    const middle = (low + high) / 2;
    if (normalProbability(middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
