/** Random numbers for what is drawn on the host: a stream from a seed (sfc32, Doty-Humphrey's PractRand). */

import { TesseraError } from '../host/error.js';

/** Numbers in [0, 1) of 32 random bits each. */
export type Generator32 = () => number;

/** A stream for a seed, a whole number. @throws bad-option for another. */
export function generator(seed: number): Generator32 {
  if (!Number.isSafeInteger(seed)) throw new TesseraError('bad-option', `A seed must be a whole number, not ${seed}.`);
  let a = seed | 0;
  let b = Math.floor(seed / 2 ** 32) | 0;
  let c = 0x9e3779b9 | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 15; i++) next();
  return next;
}

/** A whole number in [0, below), for bounds far below 2^32. */
export function drawBelow(next: Generator32, below: number): number {
  return Math.floor(next() * below);
}

/** Gaussian values with mean 0 and deviation 1, by the polar method of Marsaglia and Bray. */
export function fillNormal(next: Generator32, values: Float64Array): Float64Array {
  for (let i = 0; i < values.length; ) {
    const u = 2 * next() - 1;
    const v = 2 * next() - 1;
    const s = u * u + v * v;
    if (s >= 1 || s === 0) continue;
    const factor = Math.sqrt((-2 * Math.log(s)) / s);
    values[i++] = u * factor;
    if (i < values.length) values[i++] = v * factor;
  }
  return values;
}
