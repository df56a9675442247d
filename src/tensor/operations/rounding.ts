/** Whole numbers near a number. Every slope is 0. */

import { defineUnary } from '../define.js';
import type { Tensor } from '../graph.js';

type Unary = (x: Tensor) => Tensor;

/** The smallest whole number not below x. */
export const ceil: Unary = defineUnary('ceil', { value: Math.ceil, lower: (x, { write }) => write('Ceil', [x]) });

/** The whole number nearest to x, an even one where two are equally near. */
export const round: Unary = defineUnary('round', {
  value: (x) => {
    const below = Math.floor(x);
    return x - below === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
  },
  lower: (x, { write }) => write('Round', [x]),
});

/** x without its fraction: rounded toward 0. */
export const trunc: Unary = defineUnary('trunc', {
  value: Math.trunc,
  lower: (x, { write }) => write('Mul', [write('Sign', [x]), write('Floor', [write('Abs', [x])])]),
});
