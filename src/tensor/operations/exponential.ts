/** Exponentials and logarithms in other bases, accurate near 0 where that is their purpose; the cube root. */

import { defineBinary, defineUnary, isFloat, type Operand } from '../define.js';
import type { Tensor } from '../graph.js';
import { expm1Nodes, log1pNodes } from '../onnx/recipes.js';
import { add, div, equal, mul, sigmoid, square, sub, where } from './elementwise.js';

type Unary = (x: Tensor) => Tensor;

/** `e ** x - 1`, accurate near 0. */
export const expm1: Unary = defineUnary('expm1', {
  value: Math.expm1,
  gradient: (_x, g, y) => mul(g, add(y, 1)),
  lower: (x, { write }) => expm1Nodes(write, x),
});

/** `log(1 + x)`, accurate near 0; -infinity at -1, NaN below. */
export const log1p: Unary = defineUnary('log1p', {
  value: Math.log1p,
  gradient: (x, g) => div(g, add(x, 1)),
  lower: (x, { write }) => log1pNodes(write, x),
});

/** The logarithm to base 2. */
export const log2: Unary = defineUnary('log2', {
  value: Math.log2,
  gradient: (x, g) => div(g, mul(x, Math.LN2)),
  lower: (x, { write }) => write('Div', [write('Log', [x]), Math.LN2]),
});

/** The logarithm to base 10. */
export const log10: Unary = defineUnary('log10', {
  value: Math.log10,
  gradient: (x, g) => div(g, mul(x, Math.LN10)),
  lower: (x, { write }) => write('Div', [write('Log', [x]), Math.LN10]),
});

/** `2 ** x`, exact where x is whole. */
export const exp2: Unary = defineUnary('exp2', {
  value: (x) => 2 ** x,
  gradient: (_x, g, y) => mul(g, mul(y, Math.LN2)),
  lower: (x, { write }) => write('Pow', [2, x]),
});

/** The real cube root, with the sign of x; its slope at 0 is infinite. */
export const cbrt: Unary = defineUnary('cbrt', {
  value: Math.cbrt,
  gradient: (_x, g, y) => div(g, mul(square(y), 3)),
  lower: (x, { write }) => {
    const a = write('Abs', [x]);
    const root = write('Pow', [a, 1 / 3]);
    // One step of Newton's method removes what the rounding of 1/3 costs; 0, 1 and infinity are their own roots.
    const error = write('Sub', [root, write('Div', [a, write('Mul', [root, root])])]);
    const better = write('Sub', [root, write('Mul', [error, 1 / 3])]);
    return write('Mul', [write('Sign', [x]), write('Where', [write('Equal', [root, a]), root, better])]);
  },
});

/** `log(e ** a + e ** b)`, without overflow; two negative infinities give one, with half of the gradient each. */
export const logAddExp: (a: Operand, b: Operand) => Tensor = defineBinary('logAddExp', {
  value: (a, b) => (a === b ? a + Math.LN2 : Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)))),
  gradient: (a, b, g) => {
    const share = sigmoid(where(equal(a, b), 0, sub(a, b)));
    return [mul(g, share), mul(g, sub(1, share))];
  },
  lower: (a, b, { write }) => {
    const apart = write('Neg', [write('Abs', [write('Sub', [a, b])])]);
    const below = write('Where', [write('Equal', [a, b]), 0, apart]);
    return write('Add', [write('Max', [a, b]), log1pNodes(write, write('Exp', [below]))]);
  },
  fits: isFloat,
  kinds: 'floating',
});
