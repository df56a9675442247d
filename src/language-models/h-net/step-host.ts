/** The small sums of a decoding step that the host makes between programs. */

import type { BoundaryRule } from './options.js';

/** What a rule of boundaries must know. */
export interface RuleOptions {
  readonly boundaries: BoundaryRule;
  readonly ratios: readonly number[];
}

/** Chosen rows of `[rows, width]` values. */
export function takeRows(values: Float32Array, rows: ArrayLike<number>, width: number): Float32Array<ArrayBuffer> {
  const taken = new Float32Array(rows.length * width);
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] ?? 0;
    taken.set(values.subarray(row * width, (row + 1) * width), i * width);
  }
  return taken;
}

/** What the average takes from a chunk: nothing where none begins, so that it repeats. */
export function chunkWeight(probability: number): number {
  return probability > 0.5 ? Math.min(1 - 1e-4, Math.max(1e-4, probability)) : 0;
}

/** The probability that a rule gives to a position; undefined where the router decides. */
export function beginsByRule(options: RuleOptions, stage: number, place: number, before: number): number | undefined {
  if (options.boundaries === 'learned') return undefined;
  if (options.boundaries === 'stride') return Number(place % (options.ratios[stage] ?? 1) === 0);
  return Number(before === 32 || (before > 8 && before <= 13));
}
