/**
 * ONNX nodes written as nested calls, and the functions that ONNX has no operator for, or ONNX Runtime's CPU no float64
 * kernel: composed so that they stay accurate to the last digits, near 0 too.
 */

import type { Emitter } from '../graph.js';
import { array, type DType } from '../ndarray.js';

/** Adds an ONNX node whose operands are value names, or numbers that become constants; gives the name of its output. */
export type Write = (
  type: string,
  operands: readonly (string | number)[],
  attributes?: Readonly<Record<string, unknown>>,
) => string;

/** A {@link Write} whose numbers are constants of `dtype`. */
export function writer(emitter: Emitter, dtype: DType): Write {
  const write = (type: string, names: readonly string[], attributes = {}): string =>
    emitter.emit(type, names, attributes)[0] ?? '';
  const number = (value: number): string =>
    dtype === 'float16'
      ? write('Cast', [emitter.constant(array([value], []))], { to: { dtype } })
      : emitter.constant(array([value], [], dtype));
  return (type, operands, attributes) =>
    write(
      type,
      operands.map((operand) => (typeof operand === 'string' ? operand : number(operand))),
      attributes,
    );
}

/** `e ** x - 1` as `tanh(x / 2) (e ** x + 1)`, in which nothing cancels. */
export function expm1Nodes(write: Write, x: string): string {
  return write('Mul', [write('Tanh', [write('Mul', [x, 0.5])]), write('Add', [write('Exp', [x]), 1])]);
}

/** `log(1 + x)`: with `u = 1 + x` as rounded, `log(u) + (x - (u - 1)) / u` puts back what the rounding lost. */
export function log1pNodes(write: Write, x: string): string {
  const u = write('Add', [x, 1]);
  const kept = write('Sub', [u, 1]);
  const logarithm = write('Log', [u]);
  const lost = write('Div', [write('Sub', [x, kept]), u]);
  return write('Where', [write('Equal', [kept, x]), logarithm, write('Add', [logarithm, lost])]);
}

/** The hyperbolic cosine. */
export function coshNodes(write: Write, x: string): string {
  return write('Mul', [write('Add', [write('Exp', [x]), write('Exp', [write('Neg', [x])])]), 0.5]);
}

/** Past this a `x * x + 1` is `x * x` in float64, and `log(2 x)` is what asinh and acosh come to. */
const LARGE = 2 ** 28;

/** `log(2 x)` without overflow where x is large, else `near`. */
function logarithmic(write: Write, x: string, near: string): string {
  return write('Where', [write('Greater', [x, LARGE]), write('Add', [write('Log', [x]), Math.LN2]), near]);
}

/** The inverse hyperbolic sine: `log1p(a + a^2 / (1 + sqrt(a^2 + 1)))` with `a = |x|`. */
export function asinhNodes(write: Write, x: string): string {
  const a = write('Abs', [x]);
  const square = write('Mul', [a, a]);
  const root = write('Sqrt', [write('Add', [square, 1])]);
  const rest = write('Add', [a, write('Div', [square, write('Add', [root, 1])])]);
  return write('Mul', [write('Sign', [x]), logarithmic(write, a, log1pNodes(write, rest))]);
}

/** The inverse hyperbolic cosine: `log1p(t + sqrt(t (t + 2)))` with `t = x - 1`. */
export function acoshNodes(write: Write, x: string): string {
  const t = write('Sub', [x, 1]);
  const root = write('Sqrt', [write('Mul', [t, write('Add', [t, 2])])]);
  return logarithmic(write, x, log1pNodes(write, write('Add', [t, root])));
}

/** The inverse hyperbolic tangent: `log1p(2 a / (1 - a)) / 2` with `a = |x|`. */
export function atanhNodes(write: Write, x: string): string {
  const a = write('Abs', [x]);
  const ratio = write('Div', [write('Add', [a, a]), write('Sub', [1, a])]);
  return write('Mul', [write('Mul', [write('Sign', [x]), 0.5]), log1pNodes(write, ratio)]);
}

/** A float64 value as the float32 kernel gives it, with its sine and cosine in float64. */
function rough(
  write: Write,
  kernel: string,
  x: string,
): { readonly y: string; readonly s: string; readonly c: string } {
  const narrow = write(kernel, [write('Cast', [x], { to: { dtype: 'float32' } })]);
  const y = write('Cast', [narrow], { to: { dtype: 'float64' } });
  return { y, s: write('Sin', [y]), c: write('Cos', [y]) };
}

/** `y + d + d^3 / 6`: the angle whose distance from `y` has the small sine `d`. */
function corrected(write: Write, y: string, d: string): string {
  const cube = write('Mul', [write('Mul', [d, d]), write('Mul', [d, 1 / 6])]);
  return write('Add', [y, write('Add', [d, cube])]);
}

/** `sqrt(1 - x^2)`. */
function cosineOf(write: Write, x: string): string {
  return write('Sqrt', [write('Mul', [write('Sub', [1, x]), write('Add', [x, 1])])]);
}

/** The inverse sine in float64: `asin(x) = y + asin(x cos y - sqrt(1 - x^2) sin y)` from the float32 value `y`. */
export function asinNodes(write: Write, x: string): string {
  const { y, s, c } = rough(write, 'Asin', x);
  return corrected(write, y, write('Sub', [write('Mul', [x, c]), write('Mul', [cosineOf(write, x), s])]));
}

/** The inverse cosine in float64: `acos(x) = y + asin(sqrt(1 - x^2) cos y - x sin y)` from the float32 value `y`. */
export function acosNodes(write: Write, x: string): string {
  const { y, s, c } = rough(write, 'Acos', x);
  return corrected(write, y, write('Sub', [write('Mul', [cosineOf(write, x), c]), write('Mul', [x, s])]));
}

/** The inverse tangent in float64: `atan(x) = y + atan((x cos y - sin y) / (cos y + x sin y))` from the float32 value `y`. */
export function atanNodes(write: Write, x: string): string {
  const { y, s, c } = rough(write, 'Atan', x);
  // An infinity would meet itself in numerator and denominator.
  const finite = write('Clip', [x, -1e300, 1e300]);
  const sine = write('Sub', [write('Mul', [finite, c]), s]);
  return write('Add', [y, write('Div', [sine, write('Add', [c, write('Mul', [finite, s])])])]);
}

/** Whether a number is below 0, or the zero below it. */
export function negativeNodes(write: Write, x: string): string {
  return write('Less', [write('Where', [write('Equal', [x, 0]), write('Div', [1, x]), x]), 0]);
}
