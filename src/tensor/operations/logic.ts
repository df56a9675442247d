/** Tests of numbers, and the comparisons and connectives that ONNX composes from others. All give bool. */

import { defineBinary, defineUnary, type Operand } from '../define.js';
import type { Tensor } from '../graph.js';

type Unary = (x: Tensor) => Tensor;

/** Where x is not a number. */
export const isnan: Unary = defineUnary('isnan', {
  value: (x) => Number(Number.isNaN(x)),
  lower: (x, { write }) => write('Not', [write('Equal', [x, x])]),
  dtype: 'bool',
});

/** Where x is infinite, of either sign. */
export const isinf: Unary = defineUnary('isinf', {
  value: (x) => Number(Math.abs(x) === Number.POSITIVE_INFINITY),
  lower: (x, { write }) => write('Equal', [write('Abs', [x]), Number.POSITIVE_INFINITY]),
  dtype: 'bool',
});

/** Where x is neither infinite nor NaN. */
export const isfinite: Unary = defineUnary('isfinite', {
  value: (x) => Number(Number.isFinite(x)),
  lower: (x, { write }) => write('Less', [write('Abs', [x]), Number.POSITIVE_INFINITY]),
  dtype: 'bool',
});

/** `a != b`; a NaN differs from everything, itself included. */
export const notEqual: (a: Operand, b: Operand) => Tensor = defineBinary('notEqual', {
  value: (a, b) => Number(a !== b),
  lower: (a, b, { write }) => write('Not', [write('Equal', [a, b])]),
  fits: () => true,
  kinds: 'any',
  dtype: 'bool',
});

/** `a` or `b` and not both, of bool tensors. */
export const logicalXor: (a: Operand, b: Operand) => Tensor = defineBinary('logicalXor', {
  value: (a, b) => Number((a !== 0) !== (b !== 0)),
  lower: (a, b, { write }) => write('Xor', [a, b]),
  fits: (dtype) => dtype === 'bool',
  kinds: 'bool',
  dtype: 'bool',
});
