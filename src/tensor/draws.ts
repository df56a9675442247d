/** Hidden inputs: draws that a program takes and a host fills, as a pure function of seed, path and step. */

import { bytesOf, type NDArray, zeros } from './ndarray.js';
import { type Random, random } from './random.js';

/** A hidden input: filled on the host at each run from (seed, path, step, micro). */
export interface Draw {
  readonly path: string;
  readonly verb: 'normal' | 'uniform' | 'integers' | 'bernoulli' | 'permutation';
  readonly shape: readonly number[];
  readonly numbers: readonly number[];
}

/** The values of a hidden input at a step. */
export function fillDraw(draw: Draw, seed: number, step: number, micro: number): NDArray {
  const source: Random = random(seed).child('draw').child(draw.path).child(draw.verb).at(step).at(micro);
  const [a = 0, b = 1] = draw.numbers;
  switch (draw.verb) {
    case 'normal':
      return source.normal(draw.shape, a);
    case 'uniform':
      return source.uniform(draw.shape, a, b);
    case 'integers':
      return source.integers(draw.shape, a);
    case 'bernoulli':
      return source.bernoulli(draw.shape, a);
    case 'permutation':
      return source.permutation(a);
  }
}

/**
 * One draw for each row of a batch, `[rows, ...shape]`: row r holds the values of step r, whatever the number of rows.
 * What a model draws for a sequence, here and in a host of exported programs.
 */
export function drawRows(draw: Draw, seed: number, rows: number): NDArray {
  const parts = Array.from({ length: rows }, (_, row) => fillDraw(draw, seed, row, 0));
  const result = zeros([rows, ...draw.shape], parts[0]?.dtype ?? 'float32');
  const bytes = bytesOf(result);
  for (const [row, part] of parts.entries()) bytes.set(bytesOf(part), row * part.data.byteLength);
  return result;
}
