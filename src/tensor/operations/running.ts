/**
 * Running extremes by doubling (Hillis & Steele, 1986): after each step a place knows twice as many places before it, so
 * an axis takes as many steps as its size has bits.
 */

import { normalizeAxis, shapeError, type Tensor } from '../graph.js';
import { maximum, minimum } from './elementwise.js';
import { concat, slice } from './shape.js';

function running(name: string, join: (earlier: Tensor, later: Tensor) => Tensor) {
  return (x: Tensor, axis = -1): Tensor => {
    const at = normalizeAxis(axis, x.shape.length, name);
    const size = x.shape[at];
    if (typeof size !== 'number') throw shapeError(`${name} needs a known size, not "${String(size)}".`);
    let reached = x;
    for (let known = 1; known < size; known *= 2) {
      const joined = join(slice(reached, at, 0, size - known), slice(reached, at, known));
      reached = concat([slice(reached, at, 0, known), joined], at);
    }
    return reached;
  };
}

/** The largest value up to each place along an axis (default: the last); of equals the last gets the gradient. */
export const cummax = running('cummax', maximum);
/** The smallest value up to each place along an axis (default: the last); of equals the last gets the gradient. */
export const cummin = running('cummin', minimum);
