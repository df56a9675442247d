/**
 * Sounds at another sample rate, by a windowed sinc (Julius O. Smith, "Digital Audio Resampling", the arbitrary-rate form
 * with exact phases), and channels mixed to one.
 *
 * Quality, as the tests measure it: 'high' (64 zero crossings on each side, Kaiser window of beta 14.77, pass band to
 * 94.7 % of the lower Nyquist frequency) keeps tones below 85 % of it within 1e-4 and damps what would fold back from above
 * it by 100 dB; 'fast' (16, beta 8.56, 85 %) within 1e-3 and by 80 dB. The filter is linear-phase and without delay: sample 0
 * stays at time 0. Beyond both ends there is silence.
 */

import { TesseraError } from '../host/error.js';
import { type NDArray, ndarray } from '../tensor/ndarray.js';

/** How carefully. */
export type ResampleQuality = 'high' | 'fast';

/** Zero crossings of the sinc on each side, the window's beta, and the pass band as a part of the Nyquist frequency. */
const QUALITIES = {
  high: { zeros: 64, beta: 14.769656459379492, band: 0.9475937167399596 },
  fast: { zeros: 16, beta: 8.555504641634386, band: 0.85 },
} as const;

/** Filters that are kept; rates with a larger ratio make theirs anew for each sample. */
const MOST_PHASES = 4096;
const MOST_RATE = 2 ** 22;

/**
 * Samples `[channels, n]` at rate `from` as `[channels, ceil(n * to / from)]` at rate `to`, both in hertz.
 * @throws bad-option for rates that are no whole numbers from 1 to 4,194,304; bad-shape for another shape.
 */
export function resampleSound(
  samples: NDArray<'float32'>,
  from: number,
  to: number,
  options: { readonly quality?: ResampleQuality } = {},
): NDArray<'float32'> {
  for (const rate of [from, to]) {
    if (Number.isInteger(rate) && rate >= 1 && rate <= MOST_RATE) continue;
    throw new TesseraError('bad-option', `A sample rate is a whole number of hertz up to ${MOST_RATE}, not ${rate}.`);
  }
  const [channels = 0, length = 0] = checkSamples(samples).shape;
  if (from === to) return ndarray('float32', [channels, length], samples.data.slice());
  const divisor = greatestCommonDivisor(from, to);
  const [up, down] = [to / divisor, from / divisor];
  const count = Math.ceil((length * up) / down);
  const filter = filters(QUALITIES[options.quality ?? 'high'], up, down);
  const out = new Float32Array(channels * count);
  for (let i = 0; i < count; i++) {
    // Sample i lies at i * down / up of the input: a whole place, and a phase of `up`.
    const place = Math.floor((i * down) / up);
    const { first, weights } = filter(i * down - place * up);
    const start = place + first;
    const low = Math.max(0, -start);
    const high = Math.min(weights.length, length - start);
    for (let channel = 0; channel < channels; channel++) {
      const base = channel * length + start;
      let sum = 0;
      for (let k = low; k < high; k++) sum += (weights[k] as number) * (samples.data[base + k] as number);
      out[channel * count + i] = sum;
    }
  }
  return ndarray('float32', [channels, count], out);
}

/** The mean of the channels: `[channels, n]` to `[1, n]`. @throws bad-shape. */
export function mixToMono(samples: NDArray<'float32'>): NDArray<'float32'> {
  const [channels = 0, length = 0] = checkSamples(samples).shape;
  const out = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++) sum += samples.data[channel * length + i] as number;
    out[i] = sum / channels;
  }
  return ndarray('float32', [1, length], out);
}

function checkSamples(samples: NDArray<'float32'>): NDArray<'float32'> {
  if (samples.shape.length === 2 && (samples.shape[0] ?? 0) > 0) return samples;
  throw new TesseraError('bad-shape', `Samples are [channels, samples], not [${samples.shape.join(', ')}].`);
}

interface Filter {
  /** The first weight's place, from the whole place before the sample. */
  readonly first: number;
  readonly weights: Float64Array;
}

/** The filter of a phase: weights over the input around a sample that lies `phase / up` after a whole place. */
function filters(quality: (typeof QUALITIES)[ResampleQuality], up: number, down: number): (phase: number) => Filter {
  const { zeros, beta, band } = quality;
  // When samples get fewer, the filter cuts at the output's Nyquist frequency and is as much wider.
  const cut = band * Math.min(1, up / down);
  const half = zeros / cut;
  const scale = 1 / besselI0(beta);
  const make = (phase: number): Filter => {
    const offset = phase / up;
    const first = Math.ceil(offset - half);
    const weights = new Float64Array(Math.floor(offset + half) - first + 1);
    let sum = 0;
    for (let k = 0; k < weights.length; k++) {
      const time = first + k - offset;
      const ratio = time / half;
      const window = besselI0(beta * Math.sqrt(Math.max(0, 1 - ratio * ratio))) * scale;
      weights[k] = cut * sinc(cut * time) * window;
      sum += weights[k] as number;
    }
    // Each phase lets a constant through unchanged.
    for (let k = 0; k < weights.length; k++) weights[k] = (weights[k] as number) / sum;
    return { first, weights };
  };
  if (up > MOST_PHASES) return make;
  const kept = new Map<number, Filter>();
  return (phase) => {
    const known = kept.get(phase);
    if (known !== undefined) return known;
    const made = make(phase);
    kept.set(phase, made);
    return made;
  };
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** The modified Bessel function of order 0, by its power series. */
function besselI0(x: number): number {
  const quarter = (x * x) / 4;
  let [sum, term] = [1, 1];
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= quarter / (k * k);
    sum += term;
  }
  return sum;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
