/**
 * The look-up task (arXiv 2305.16349, section 4.3): a row lists symbol pairs, then asks for the partners of keys. The
 * symbols are drawn anew for every row, so that only reading them from the row gives the answers.
 *
 * A row is `k1 v1 ... kn vn` followed by queries, each a key and its value: many queries a row make a dense signal.
 */

import { type BatchSource, functionSource, type TokenArrays, type TokenBatch } from '../../nn/index.js';
import { type Random, TesseraError } from '../../tensor/index.js';
import { NOT_COUNTED } from './task-accuracy.js';

/** What a row of the look-up task is made of. */
export interface LookupShape {
  /** Symbols to draw from; a row takes `2 * pairs` different ones. */
  readonly symbols: readonly number[];
  readonly pairs: number;
  /** Tokens of a row; what the pairs leave is queries, of which there is at least one. */
  readonly length: number;
}

/** Rows of the look-up task; targets are {@link NOT_COUNTED} except at queries. @throws bad-option. */
export function lookupRows(shape: LookupShape, rows: number, random: Random): TokenArrays {
  const { symbols, pairs, length } = shape;
  checkShape(shape);
  const [inputs, targets] = [new Int32Array(rows * length), new Int32Array(rows * length).fill(NOT_COUNTED)];
  for (let row = 0; row < rows; row++) {
    const own = random.child(row);
    const order = own.child('symbols').permutation(symbols.length).data;
    const symbol = (index: number): number => symbols[order[index] ?? 0] ?? 0;
    const queries = own.child('queries').integers([length], pairs).data;
    for (let at = 0; at < length; at++) {
      const pair = at < 2 * pairs ? at >> 1 : (queries[(at >> 1) - pairs] ?? 0);
      inputs[row * length + at] = symbol(at % 2 === 0 ? pair : pairs + pair);
      if (at >= 2 * pairs && at % 2 === 0) targets[row * length + at] = symbol(pairs + pair);
    }
  }
  const dims = [rows, length];
  return {
    inputs: { dtype: 'int32', shape: dims, data: inputs },
    targets: { dtype: 'int32', shape: dims, data: targets },
  };
}

function checkShape({ symbols, pairs, length }: LookupShape): void {
  if (!Number.isInteger(pairs) || pairs < 1 || 2 * pairs > symbols.length) {
    throw new TesseraError('bad-option', `${pairs} pairs cannot be made of ${symbols.length} symbols.`, {
      hint: 'A row takes two different symbols a pair.',
    });
  }
  if (length <= 2 * pairs) {
    throw new TesseraError('bad-option', `A row of ${length} tokens has no place for a query after ${pairs} pairs.`);
  }
}

/** Training on look-up: the number of pairs grows evenly from `from` to `pairs` over the first `growth` batches. */
export function lookupSource(
  shape: LookupShape & { readonly from?: number; readonly growth?: number },
  batch: number,
  random: Random,
): BatchSource<TokenBatch> {
  const { pairs, from = 2, growth = 1 } = shape;
  checkShape(shape);
  return functionSource((index) => {
    const grown = from + Math.floor(((pairs - from + 1) * index) / growth);
    return lookupRows({ ...shape, pairs: Math.min(pairs, grown) }, batch, random.at(index));
  });
}
