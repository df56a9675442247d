/**
 * Rotary positions on a grid, for pictures: half of the pairs of a head turn with the row of a patch, half with its
 * column (Heo et al., arXiv 2403.13298, section 3.1; so do Qwen2-VL's and Pixtral's picture encoders).
 */

import { TesseraError } from '../tensor/index.js';
import { type RotaryTables, tablesOfAngles } from './rotary-scaling.js';

/** A grid and the heads that stand on it. */
export interface AxialRotaryOptions {
  readonly rows: number;
  readonly columns: number;
  /** Dimensions of a head; a multiple of 4. */
  readonly head: number;
  /** Default 100, the paper's for grids of patches; Qwen2-VL and Pixtral have 10000. */
  readonly theta?: number;
  /** Positions before the grid that do not turn: a class token, registers (default 0). */
  readonly before?: number;
}

/**
 * Tables `[before + rows * columns, head / 2]` for positions row by row: the rate of the k-th pair of an axis is
 * `theta^(-4 k / head)`; pairs of rows come first.
 * @throws bad-option when `head` is no multiple of 4 or a size no whole number from 1.
 */
export function axialRotaryTables(options: AxialRotaryOptions): RotaryTables {
  const { rows, columns, head, theta = 100, before = 0 } = options;
  const quarter = head / 4;
  if (![quarter, rows, columns, before + 1].every((size) => Number.isInteger(size) && size >= 1)) {
    throw new TesseraError(
      'bad-option',
      `Axial rotary positions need a grid of whole sizes and a head of a multiple of 4, not ${rows} x ${columns} and ${head}.`,
    );
  }
  return tablesOfAngles(before + rows * columns, head / 2, (position, pair) => {
    const patch = position - before;
    if (patch < 0) return 0;
    const place = pair < quarter ? Math.floor(patch / columns) : patch % columns;
    return place * theta ** (-(pair % quarter) / quarter);
  });
}
