/** Arithmetic, comparison, logic and functions of one variable; all broadcast as NumPy does. */

import { isFloat, type Operand, only, operands, pair } from '../define.js';
import { foldEach } from '../fold.js';
import { type Attributes, applyOne, type Operation, scalarValue, shapeError, type Tensor } from '../graph.js';
import { array, type DType } from '../ndarray.js';
import { broadcastShapes, unbroadcast } from './broadcast.js';

export { isFloat, type Operand, only, pair } from '../define.js';

type BinaryGradient = (a: Tensor, b: Tensor, g: Tensor, y: Tensor) => readonly [Tensor | undefined, Tensor | undefined];

function binary(name: string, onnx: string, f: (a: number, b: number) => number, gradient?: BinaryGradient): Operation {
  return {
    name,
    gradient: ({ inputs, outputs }, [g]) => {
      const [a, b] = pair(inputs);
      if (g === undefined || gradient === undefined) return [];
      const [ga, gb] = gradient(a, b, g, only(outputs));
      return [ga && unbroadcast(ga, a.shape), gb && unbroadcast(gb, b.shape)];
    },
    lower: ({ inputs }, emitter) => emitter.emit(onnx, inputs.map(emitter.name)),
    fold: foldEach(f),
  };
}

const addOperation = binary(
  'add',
  'Add',
  (a, b) => a + b,
  (_a, _b, g) => [g, g],
);
const subOperation = binary(
  'sub',
  'Sub',
  (a, b) => a - b,
  (_a, _b, g) => [g, neg(g)],
);
const mulOperation = binary(
  'mul',
  'Mul',
  (a, b) => a * b,
  (a, b, g) => [mul(g, b), mul(g, a)],
);
const divOperation = binary(
  'div',
  'Div',
  (a, b) => a / b,
  (_a, b, g, y) => [div(g, b), neg(div(mul(g, y), b))],
);
const powOperation = binary(
  'pow',
  'Pow',
  (a, b) => a ** b,
  (a, b, g, y) => [
    mul(g, mul(b, pow(a, sub(b, 1)))),
    // 0 ** b is 0 for every b > 0, so its slope along b is 0 and not 0 * log(0).
    scalarValue(b) === undefined ? mul(g, mul(y, log(where(equal(a, 0), 1, a)))) : undefined,
  ],
);
const maximumOperation = binary('maximum', 'Max', Math.max, (a, b, g) => [
  mul(g, cast(greater(a, b), g.dtype)),
  mul(g, cast(lessEqual(a, b), g.dtype)),
]);
const minimumOperation = binary('minimum', 'Min', Math.min, (a, b, g) => [
  mul(g, cast(less(a, b), g.dtype)),
  mul(g, cast(greaterEqual(a, b), g.dtype)),
]);

function arithmetic(operation: Operation, a: Operand, b: Operand): Tensor {
  const [left, right] = operands(a, b, operation.name);
  const shape = broadcastShapes(left.shape, right.shape, operation.name);
  return applyOne(operation, [left, right], {}, { dtype: left.dtype, shape });
}

/** True when `x` is the scalar `value`, whose combination with another tensor changes no shape. */
function isScalar(x: Operand, value: number): boolean {
  return typeof x === 'number' ? x === value : x.shape.length === 0 && scalarValue(x) === value;
}

/** `a + b`. */
export function add(a: Operand, b: Operand): Tensor {
  if (typeof a !== 'number' && isScalar(b, 0)) return a;
  if (typeof b !== 'number' && isScalar(a, 0)) return b;
  return arithmetic(addOperation, a, b);
}

/** `a - b`. */
export function sub(a: Operand, b: Operand): Tensor {
  return typeof a !== 'number' && isScalar(b, 0) ? a : arithmetic(subOperation, a, b);
}

/** `a * b`, element by element. */
export function mul(a: Operand, b: Operand): Tensor {
  if (typeof a !== 'number' && isScalar(b, 1)) return a;
  if (typeof b !== 'number' && isScalar(a, 1)) return b;
  return arithmetic(mulOperation, a, b);
}

/** `a / b`, element by element. Division by a constant power of two is multiplication by its reciprocal. */
export function div(a: Operand, b: Operand): Tensor {
  const divisor = typeof b === 'number' ? b : scalarValue(b);
  if (
    typeof a !== 'number' &&
    isFloat(a.dtype) &&
    divisor !== undefined &&
    Number.isInteger(Math.log2(Math.abs(divisor)))
  ) {
    return typeof b === 'number' || b.shape.length === 0 ? mul(a, 1 / divisor) : arithmetic(divOperation, a, b);
  }
  return arithmetic(divOperation, a, b);
}

/** `a ** b`. The gradient with respect to a constant exponent is not formed. */
export function pow(a: Operand, b: Operand): Tensor {
  return typeof a !== 'number' && isScalar(b, 1) ? a : arithmetic(powOperation, a, b);
}

/** The larger of `a` and `b`; at a tie the gradient goes to `b`. */
export const maximum = (a: Operand, b: Operand): Tensor => arithmetic(maximumOperation, a, b);
/** The smaller of `a` and `b`; at a tie the gradient goes to `b`. */
export const minimum = (a: Operand, b: Operand): Tensor => arithmetic(minimumOperation, a, b);

function comparison(name: string, onnx: string, f: (a: number, b: number) => boolean) {
  const operation = binary(name, onnx, (a, b) => Number(f(a, b)));
  return (a: Operand, b: Operand): Tensor => {
    const [left, right] = operands(a, b, name);
    const shape = broadcastShapes(left.shape, right.shape, name);
    return applyOne(operation, [left, right], {}, { dtype: 'bool', shape });
  };
}

/** `a == b`, as bool. */
export const equal = comparison('equal', 'Equal', (a, b) => a === b);
/** `a < b`, as bool. */
export const less = comparison('less', 'Less', (a, b) => a < b);
/** `a <= b`, as bool. */
export const lessEqual = comparison('lessEqual', 'LessOrEqual', (a, b) => a <= b);
/** `a > b`, as bool. */
export const greater = comparison('greater', 'Greater', (a, b) => a > b);
/** `a >= b`, as bool. */
export const greaterEqual = comparison('greaterEqual', 'GreaterOrEqual', (a, b) => a >= b);
/** `a and b` of bool tensors. */
export const logicalAnd = comparison('logicalAnd', 'And', (a, b) => a !== 0 && b !== 0);
/** `a or b` of bool tensors. */
export const logicalOr = comparison('logicalOr', 'Or', (a, b) => a !== 0 || b !== 0);

type UnaryGradient = (x: Tensor, g: Tensor, y: Tensor) => Tensor;

function unary(
  name: string,
  onnx: string,
  f: ((x: number) => number) | undefined,
  gradient?: UnaryGradient,
  attributes: Attributes = {},
) {
  const operation: Operation = {
    name,
    gradient: ({ inputs, outputs }, [g]) => [g === undefined ? undefined : gradient?.(only(inputs), g, only(outputs))],
    lower: ({ inputs }, emitter) => emitter.emit(onnx, inputs.map(emitter.name), attributes),
    fold: f && foldEach(f),
  };
  return (x: Tensor): Tensor => applyOne(operation, [x], {}, x);
}

/** `-x`. */
export const neg = unary(
  'neg',
  'Neg',
  (x) => -x,
  (_x, g) => neg(g),
);
/** `e ** x`. */
export const exp = unary('exp', 'Exp', Math.exp, (_x, g, y) => mul(g, y));
/** The natural logarithm. */
export const log = unary('log', 'Log', Math.log, (x, g) => div(g, x));
/** The square root. */
export const sqrt = unary('sqrt', 'Sqrt', Math.sqrt, (_x, g, y) => div(mul(g, 0.5), y));
/** `1 / x`. */
export const reciprocal = unary(
  'reciprocal',
  'Reciprocal',
  (x) => 1 / x,
  (_x, g, y) => neg(mul(g, mul(y, y))),
);
/** `|x|`; the gradient at 0 is 0. */
export const abs = unary('abs', 'Abs', Math.abs, (x, g) => mul(g, sign(x)));
/** -1, 0 or 1; its gradient is 0. */
export const sign = unary('sign', 'Sign', Math.sign);
/** The largest whole number not above x; its gradient is 0. */
export const floor = unary('floor', 'Floor', Math.floor);
/** The sine of x in radians. */
export const sin = unary('sin', 'Sin', Math.sin, (x, g) => mul(g, cos(x)));
/** The cosine of x in radians. */
export const cos = unary('cos', 'Cos', Math.cos, (x, g) => neg(mul(g, sin(x))));
/** The hyperbolic tangent. */
export const tanh = unary('tanh', 'Tanh', Math.tanh, (_x, g, y) => mul(g, sub(1, mul(y, y))));
/** The error function. */
export const erf = unary('erf', 'Erf', undefined, (x, g) => mul(g, mul(exp(neg(mul(x, x))), 2 / Math.sqrt(Math.PI))));
/** `1 / (1 + e ** -x)`. */
export const sigmoid = unary(
  'sigmoid',
  'Sigmoid',
  (x) => 1 / (1 + Math.exp(-x)),
  (_x, g, y) => mul(g, mul(y, sub(1, y))),
);
/** `max(x, 0)`. */
export const relu = unary(
  'relu',
  'Relu',
  (x) => Math.max(x, 0),
  (x, g) => mul(g, cast(greater(x, 0), g.dtype)),
);
/** not x, of a bool tensor. */
export const logicalNot = unary('logicalNot', 'Not', (x) => Number(x === 0));

/** `x * x`. */
export function square(x: Tensor): Tensor {
  return mul(x, x);
}

/** `1 / sqrt(x)`. */
export function rsqrt(x: Tensor): Tensor {
  return reciprocal(sqrt(x));
}

/** `x * sigmoid(x)` (Hendrycks & Gimpel, arXiv 1606.08415; also called swish). */
export function silu(x: Tensor): Tensor {
  return mul(x, sigmoid(x));
}

const softplusOperation: Operation = {
  name: 'softplus',
  gradient: ({ inputs }, [g]) => [g && mul(g, sigmoid(only(inputs)))],
  lower: ({ inputs }, emitter) => {
    const { dtype } = only(inputs);
    const x = inputs.map(emitter.name);
    if (dtype === 'float32') return emitter.emit('Softplus', x);
    // The kernel has float32 only: max(x, 0) + log(1 + e ** -|x|).
    const scalar = (value: number) => emitter.constant(array([value], [], dtype));
    const tail = emitter.emit('Exp', emitter.emit('Neg', emitter.emit('Abs', x)));
    const rest = emitter.emit('Log', emitter.emit('Add', [...tail, scalar(1)]));
    return emitter.emit('Add', [...emitter.emit('Max', [...x, scalar(0)]), ...rest]);
  },
};

/** `log(1 + e ** x)`, without overflow. */
export function softplus(x: Tensor): Tensor {
  return applyOne(softplusOperation, [x], {}, x);
}

/** `x` kept between two numbers; the gradient flows where x is between them, the ends included, and is 0 outside. */
export function clip(x: Tensor, low: number, high: number): Tensor {
  if (!(low <= high)) throw shapeError(`clip cannot keep values between ${low} and ${high}.`);
  return applyOne(clipOperation, [x], { low, high }, x);
}

const clipOperation: Operation = {
  name: 'clip',
  gradient: ({ inputs, attributes }, [g]) => {
    const x = only(inputs);
    const inside = logicalAnd(greaterEqual(x, Number(attributes.low)), lessEqual(x, Number(attributes.high)));
    return [g && mul(g, cast(inside, g.dtype))];
  },
  lower: ({ inputs, attributes }, emitter) => {
    const { dtype } = only(inputs);
    const ends = [attributes.low, attributes.high].map((end) => emitter.constant(array([Number(end)], [], dtype)));
    return emitter.emit('Clip', [...inputs.map(emitter.name), ...ends]);
  },
};

const castOperation: Operation = {
  name: 'cast',
  gradient: ({ inputs }, [g]) => [g && isFloat(only(inputs).dtype) ? cast(g, only(inputs).dtype) : undefined],
  lower: ({ inputs, outputs }, emitter) =>
    emitter.emit('Cast', inputs.map(emitter.name), { to: { dtype: only(outputs).dtype } }),
  fold: (inputs, attributes, outputs) =>
    foldEach(outputs[0]?.dtype === 'bool' ? (x) => Number(x !== 0) : (x) => x)(inputs, attributes, outputs),
};

/** `x` as another dtype; gradients flow between floating dtypes only. */
export function cast(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : applyOne(castOperation, [x], { dtype }, { dtype, shape: x.shape });
}

const whereOperation: Operation = {
  name: 'where',
  gradient: ({ inputs }, [g]) => {
    const [condition, a, b] = inputs;
    if (condition === undefined || a === undefined || b === undefined || g === undefined) return [];
    const chosen = cast(condition, g.dtype);
    return [undefined, unbroadcast(mul(g, chosen), a.shape), unbroadcast(mul(g, sub(1, chosen)), b.shape)];
  },
  lower: ({ inputs, outputs }, emitter) => {
    const names = inputs.map(emitter.name);
    if (only(outputs).dtype !== 'bool') return emitter.emit('Where', names);
    // The kernel has no bool: a where the condition holds, or b where it does not.
    const [condition = '', a = '', b = ''] = names;
    const neither = emitter.emit('Not', [condition]);
    return emitter.emit('Or', [...emitter.emit('And', [condition, a]), ...emitter.emit('And', [...neither, b])]);
  },
  fold: foldEach((condition, a, b) => (condition !== 0 ? a : b)),
};

/** `a` where the bool `condition` holds, else `b`; all three broadcast. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  if (condition.dtype !== 'bool') throw shapeError(`where takes a bool condition, not ${condition.dtype}.`);
  const [left, right] = operands(a, b, 'where');
  const shape = broadcastShapes(condition.shape, broadcastShapes(left.shape, right.shape, 'where'), 'where');
  return applyOne(whereOperation, [condition, left, right], {}, { dtype: left.dtype, shape });
}

const stopOperation: Operation = {
  name: 'stopGradient',
  gradient: () => [undefined],
  lower: ({ inputs }, emitter) => inputs.map(emitter.name),
};

/** `x`, through which no gradient flows. */
export function stopGradient(x: Tensor): Tensor {
  return applyOne(stopOperation, [x], {}, x);
}
