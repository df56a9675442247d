/**
 * Random numbers as a pure function of a seed and a path: the same path is the same draw, a new layer changes no other
 * draw, and a resumed run needs no generator state. Keys are mixed with the finalizer of MurmurHash3; each draw runs its
 * own sfc32 generator (Doty-Humphrey's PractRand), seeded by the key.
 */

import { TesseraError } from '../host/error.js';
import { allocate, type NDArray, sizeOf } from './ndarray.js';

/** Draws by name. Two calls of one verb on one `Random` give the same values: take a {@link Random.child} for others. */
export interface Random {
  /** The draws under another name. */
  child(name: string | number): Random;
  /** The draws of a step. */
  at(step: number): Random;
  /** Gaussian values with mean 0. */
  normal(shape: readonly number[], deviation?: number): NDArray<'float32'>;
  /** Values in [low, high). */
  uniform(shape: readonly number[], low?: number, high?: number): NDArray<'float32'>;
  /** Whole numbers in [0, below). */
  integers(shape: readonly number[], below: number): NDArray<'int32'>;
  /** 1 with the given probability, else 0. */
  bernoulli(shape: readonly number[], probability: number): NDArray<'bool'>;
  /** 0 to n - 1 in random order. */
  permutation(n: number): NDArray<'int32'>;
  /** A stream of numbers in [0, 1), for code that draws one at a time. */
  stream(): () => number;
}

type Key = readonly [number, number];

function mix(h: number): number {
  let x = h | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

function combine([a, b]: Key, word: number): Key {
  const low = mix(a ^ Math.imul(word, 0x9e3779b1) ^ (b >>> 7));
  return [low, mix(b + Math.imul(low, 0x27d4eb2f) + word)];
}

function combineText(key: Key, text: string): Key {
  let result = combine(key, text.length ^ 0x5bd1e995);
  for (let i = 0; i < text.length; i += 2) {
    result = combine(result, text.charCodeAt(i) | ((i + 1 < text.length ? text.charCodeAt(i + 1) : 0) << 16));
  }
  return result;
}

/** sfc32: 32 random bits a call, from 128 bits of state and a counter. */
function generator([x, y]: Key): () => number {
  let a = x | 0;
  let b = y | 0;
  let c = mix(x ^ 0x6a09e667) | 0;
  let counter = 1;
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  for (let i = 0; i < 12; i++) next();
  return next;
}

const TWO_32 = 2 ** 32;

/** Normal values by the polar method of Marsaglia and Bray. */
function normals(next: () => number, data: Float32Array, deviation: number): void {
  for (let i = 0; i < data.length; ) {
    const u = next() / 2 ** 31 - 1;
    const v = next() / 2 ** 31 - 1;
    const s = u * u + v * v;
    if (s >= 1 || s === 0) continue;
    const factor = deviation * Math.sqrt((-2 * Math.log(s)) / s);
    data[i++] = u * factor;
    if (i < data.length) data[i++] = v * factor;
  }
}

/** A whole number in [0, below) without bias: values past the last full multiple are drawn again. */
function below(next: () => number, bound: number): number {
  const limit = TWO_32 - (TWO_32 % bound);
  for (;;) {
    const value = next();
    if (value < limit) return value % bound;
  }
}

class KeyedRandom implements Random {
  constructor(private readonly key: Key) {}

  child(name: string | number): Random {
    return new KeyedRandom(typeof name === 'number' ? combine(this.key, name) : combineText(this.key, name));
  }

  at(step: number): Random {
    return new KeyedRandom(combine(combine(combine(this.key, 0x51ed270b), step >>> 0), Math.floor(step / TWO_32)));
  }

  normal(shape: readonly number[], deviation = 1): NDArray<'float32'> {
    const data = allocate('float32', sizeOf(shape));
    normals(generator(this.key), data, deviation);
    return { dtype: 'float32', shape, data };
  }

  uniform(shape: readonly number[], low = 0, high = 1): NDArray<'float32'> {
    const next = generator(this.key);
    const data = allocate('float32', sizeOf(shape));
    for (let i = 0; i < data.length; i++) {
      const value = Math.fround(low + (high - low) * ((next() >>> 8) / 2 ** 24));
      data[i] = value < high ? value : low; // rounding may reach `high`
    }
    return { dtype: 'float32', shape, data };
  }

  integers(shape: readonly number[], bound: number): NDArray<'int32'> {
    if (!Number.isInteger(bound) || bound < 1 || bound > 2 ** 31) {
      throw new TesseraError('bad-option', `Random whole numbers need a bound from 1 to 2^31, not ${bound}.`);
    }
    const next = generator(this.key);
    const data = allocate('int32', sizeOf(shape));
    for (let i = 0; i < data.length; i++) data[i] = below(next, bound);
    return { dtype: 'int32', shape, data };
  }

  bernoulli(shape: readonly number[], probability: number): NDArray<'bool'> {
    const data = allocate('bool', sizeOf(shape));
    const next = generator(this.key);
    // Two draws of 16 bits from each word.
    const threshold = Math.round(probability * 65536);
    for (let i = 0; i < data.length; i += 2) {
      const word = next();
      data[i] = (word & 0xffff) < threshold ? 1 : 0;
      if (i + 1 < data.length) data[i + 1] = word >>> 16 < threshold ? 1 : 0;
    }
    return { dtype: 'bool', shape, data };
  }

  permutation(n: number): NDArray<'int32'> {
    const data = Int32Array.from({ length: n }, (_, index) => index);
    const next = generator(this.key);
    for (let i = n - 1; i > 0; i--) {
      const j = below(next, i + 1);
      const kept = data[i] ?? 0;
      data[i] = data[j] ?? 0;
      data[j] = kept;
    }
    return { dtype: 'int32', shape: [n], data };
  }

  stream(): () => number {
    const next = generator(this.key);
    return () => (next() >>> 8) / 2 ** 24;
  }
}

/** The draws of a seed, a whole number. */
export function random(seed: number): Random {
  return new KeyedRandom(combine(combine([0x243f6a88, 0x85a308d3], seed >>> 0), Math.floor(seed / TWO_32)));
}
