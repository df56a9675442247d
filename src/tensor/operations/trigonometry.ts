/** Circular and hyperbolic functions and their inverses; angles are in radians. Outside its domain a function is NaN. */

import { defineBinary, defineUnary, isFloat, type Operand, type UnaryRule, type Writing } from '../define.js';
import type { Tensor } from '../graph.js';
import {
  acoshNodes,
  acosNodes,
  asinhNodes,
  asinNodes,
  atanhNodes,
  atanNodes,
  coshNodes,
  negativeNodes,
  type Write,
} from '../onnx/recipes.js';
import { add, div, equal, mul, neg, rsqrt, square, sub, where } from './elementwise.js';

type Unary = (x: Tensor) => Tensor;

/** The kernel in float32, a recipe in float64, which the kernel does not have. */
function kernel(type: string, recipe: (write: Write, x: string) => string): UnaryRule['lower'] {
  return (x, { write, dtype }) => (dtype === 'float64' ? recipe(write, x) : write(type, [x]));
}

/** The tangent. */
export const tan: Unary = defineUnary('tan', {
  value: Math.tan,
  gradient: (_x, g, y) => mul(g, add(square(y), 1)),
  lower: kernel('Tan', (write, x) => write('Div', [write('Sin', [x]), write('Cos', [x])])),
});

/** `(1 - x) (1 + x)`. */
function complement(x: Tensor): Tensor {
  return mul(sub(1, x), add(x, 1));
}

/** The inverse sine of x in [-1, 1]; its slope is infinite at both ends. */
export const asin: Unary = defineUnary('asin', {
  value: Math.asin,
  gradient: (x, g) => mul(g, rsqrt(complement(x))),
  lower: kernel('Asin', asinNodes),
});

/** The inverse cosine of x in [-1, 1]; its slope is infinite at both ends. */
export const acos: Unary = defineUnary('acos', {
  value: Math.acos,
  gradient: (x, g) => neg(mul(g, rsqrt(complement(x)))),
  lower: kernel('Acos', acosNodes),
});

/** The inverse tangent. */
export const atan: Unary = defineUnary('atan', {
  value: Math.atan,
  gradient: (x, g) => div(g, add(square(x), 1)),
  lower: kernel('Atan', atanNodes),
});

/** The hyperbolic sine. */
export const sinh: Unary = defineUnary('sinh', {
  value: Math.sinh,
  gradient: (x, g) => mul(g, cosh(x)),
  lower: kernel('Sinh', (write, x) => write('Mul', [write('Tanh', [x]), coshNodes(write, x)])),
});

/** The hyperbolic cosine. */
export const cosh: Unary = defineUnary('cosh', {
  value: Math.cosh,
  gradient: (x, g) => mul(g, sinh(x)),
  lower: kernel('Cosh', coshNodes),
});

/** The inverse hyperbolic sine. */
export const asinh: Unary = defineUnary('asinh', {
  value: Math.asinh,
  gradient: (x, g) => mul(g, rsqrt(add(square(x), 1))),
  lower: kernel('Asinh', asinhNodes),
});

/** The inverse hyperbolic cosine of x >= 1; its slope at 1 is infinite. */
export const acosh: Unary = defineUnary('acosh', {
  value: Math.acosh,
  gradient: (x, g) => mul(g, rsqrt(mul(sub(x, 1), add(x, 1)))),
  lower: kernel('Acosh', acoshNodes),
});

/** The inverse hyperbolic tangent of x in [-1, 1], infinite at both ends. */
export const atanh: Unary = defineUnary('atanh', {
  value: Math.atanh,
  gradient: (x, g) => div(g, complement(x)),
  lower: kernel('Atanh', atanhNodes),
});

/** The smaller and the larger of two magnitudes, and their quotient: 1 where they are equal, two infinities included. */
function quotient(
  write: Write,
  a: string,
  b: string,
): { readonly large: string; readonly small: string; ratio: string } {
  const [small, large] = [write('Min', [a, b]), write('Max', [a, b])];
  return { small, large, ratio: write('Where', [write('Equal', [small, large]), 1, write('Div', [small, large])]) };
}

function atan2Nodes(y: string, x: string, { write, dtype }: Writing): string {
  const [height, width] = [write('Abs', [y]), write('Abs', [x])];
  const { small, ratio } = quotient(write, height, width);
  const slope = write('Where', [write('Equal', [small, 0]), 0, ratio]);
  const acute = dtype === 'float64' ? atanNodes(write, slope) : write('Atan', [slope]);
  const steep = write('Greater', [height, width]);
  const right = write('Where', [steep, write('Sub', [Math.PI / 2, acute]), acute]);
  const upper = write('Where', [negativeNodes(write, x), write('Sub', [Math.PI, right]), right]);
  return write('Where', [negativeNodes(write, y), write('Neg', [upper]), upper]);
}

/**
 * The angle in [-pi, pi] of the point (x, y), given as `atan2(y, x)`; signs of zeros and infinities count as NumPy's do.
 * At the origin the slopes are NaN.
 */
export const atan2: (y: Operand, x: Operand) => Tensor = defineBinary('atan2', {
  value: Math.atan2,
  gradient: (y, x, g) => {
    const scaled = div(g, add(square(x), square(y)));
    return [mul(scaled, x), neg(mul(scaled, y))];
  },
  lower: atan2Nodes,
  fits: isFloat,
  kinds: 'floating',
});

/** `sqrt(a^2 + b^2)` without overflow; the gradient at the origin is 0. */
export const hypot: (a: Operand, b: Operand) => Tensor = defineBinary('hypot', {
  value: (a, b) => Math.hypot(a, b),
  gradient: (a, b, g, y) => {
    const scaled = div(g, where(equal(y, 0), 1, y));
    return [mul(scaled, a), mul(scaled, b)];
  },
  lower: (a, b, { write }) => {
    const { large, ratio } = quotient(write, write('Abs', [a]), write('Abs', [b]));
    return write('Mul', [large, write('Sqrt', [write('Add', [write('Mul', [ratio, ratio]), 1])])]);
  },
  fits: isFloat,
  kinds: 'floating',
});
