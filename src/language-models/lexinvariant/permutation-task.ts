/**
 * The permutation task (arXiv 2305.16349, section 4.3): a row shows strings and what one rearrangement of places makes of
 * them, then asks it of a new string. Rearrangement and symbols are drawn anew for every row.
 *
 * A row is `x1 ... xk y1 ... yk` again and again, with `y[i] = x[places[i]]`.
 */

import { type BatchSource, functionSource, type TokenArrays, type TokenBatch } from '../../nn/index.js';
import { type Random, TesseraError } from '../../tensor/index.js';
import { NOT_COUNTED } from './task-accuracy.js';

/** What a row of the permutation task is made of. */
export interface PermutationShape {
  /** Symbols to draw from; a string takes `size` different ones. */
  readonly symbols: readonly number[];
  /** Symbols of a string. */
  readonly size: number;
  /** Strings of a row, the last one asked. */
  readonly examples: number;
  /** `all`: the answers of every string but the first are counted, a dense signal; `last`: of the last one alone. */
  readonly counted?: 'all' | 'last';
}

/** Rows of the task, `2 * size * examples` tokens each. @throws bad-option. */
export function permutationRows(shape: PermutationShape, rows: number, random: Random): TokenArrays {
  checkShape(shape);
  const { symbols, size, examples, counted = 'all' } = shape;
  const length = 2 * size * examples;
  const inputs = new Int32Array(rows * length);
  const targets = new Int32Array(rows * length).fill(NOT_COUNTED);
  for (let row = 0; row < rows; row++) {
    const own = random.child(row);
    const places = own.child('places').permutation(size).data;
    for (let example = 0; example < examples; example++) {
      const drawn = own.child('string').child(example).permutation(symbols.length).data;
      const start = row * length + 2 * size * example;
      for (let i = 0; i < size; i++) {
        inputs[start + i] = symbols[drawn[i] ?? 0] ?? 0;
        inputs[start + size + i] = symbols[drawn[places[i] ?? 0] ?? 0] ?? 0;
      }
      const isCounted = counted === 'all' ? example > 0 : example === examples - 1;
      // Place t foretells place t + 1.
      for (let i = 0; isCounted && i < size; i++) {
        targets[start + size + i - 1] = inputs[start + size + i] ?? 0;
      }
    }
  }
  const dims = [rows, length];
  return {
    inputs: { dtype: 'int32', shape: dims, data: inputs },
    targets: { dtype: 'int32', shape: dims, data: targets },
  };
}

function checkShape({ symbols, size, examples }: PermutationShape): void {
  const refuse = (sentence: string): never => {
    throw new TesseraError('bad-option', sentence);
  };
  if (!Number.isInteger(size) || size < 2 || size > symbols.length) {
    refuse(`Strings of ${size} different symbols cannot be made of ${symbols.length}; take at least 2.`);
  }
  if (!Number.isInteger(examples) || examples < 2) refuse(`A row needs at least 2 strings, not ${examples}.`);
}

/** Batches of the task, without end. */
export function permutationSource(shape: PermutationShape, batch: number, random: Random): BatchSource<TokenBatch> {
  checkShape(shape);
  return functionSource((index) => permutationRows(shape, batch, random.at(index)));
}
