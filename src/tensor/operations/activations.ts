/** Activation functions beside those that ONNX Runtime has fused kernels and this library closed gradients for. */

import { defineUnary, defineUnaryWith } from '../define.js';
import { constant, shapeError, type Tensor } from '../graph.js';
import { expm1Nodes } from '../onnx/recipes.js';
import {
  abs,
  add,
  cast,
  div,
  exp,
  greater,
  less,
  minimum,
  mul,
  neg,
  softplus,
  square,
  tanh,
  where,
} from './elementwise.js';

type Unary = (x: Tensor) => Tensor;

/** `x / (1 + |x|)`. */
export const softsign: Unary = defineUnary('softsign', {
  value: (x) => x / (1 + Math.abs(x)),
  gradient: (x, g) => div(g, square(add(abs(x), 1))),
  lower: (x, { write, dtype, device }) =>
    dtype === 'float32' && device !== 'webgpu'
      ? write('Softsign', [x])
      : write('Div', [x, write('Add', [write('Abs', [x]), 1])]),
});

const eluWith = defineUnaryWith<{ readonly alpha: number }>('elu', {
  value: (x, { alpha }) => (x > 0 ? x : alpha * Math.expm1(x)),
  gradient: (x, g, _y, { alpha }) => mul(g, where(greater(x, 0), 1, mul(exp(minimum(x, 0)), alpha))),
  lower: (x, { write, dtype }, { alpha }) =>
    dtype === 'float32'
      ? write('Elu', [x], { alpha: { float: alpha } })
      : write('Add', [write('Max', [x, 0]), write('Mul', [expm1Nodes(write, write('Min', [x, 0])), alpha])]),
});

/** `x` where x > 0, else `alpha * (e ** x - 1)` (Clevert et al., arXiv 1511.07289, equation 15). */
export function elu(x: Tensor, alpha = 1): Tensor {
  return eluWith(x, { alpha: finite(alpha, 'elu', 'an alpha') });
}

const leakyReluWith = defineUnaryWith<{ readonly slope: number }>('leakyRelu', {
  value: (x, { slope }) => (x > 0 ? x : slope * x),
  gradient: (x, g, _y, { slope }) => mul(g, where(greater(x, 0), constant(1, x.dtype), slope)),
  lower: (x, { write, dtype }, { slope }) =>
    dtype === 'float32'
      ? write('LeakyRelu', [x], { alpha: { float: slope } })
      : write('Add', [write('Max', [x, 0]), write('Mul', [write('Min', [x, 0]), slope])]),
});

/** `x` where x > 0, else `slope * x`; the gradient at 0 is that of the left side. */
export function leakyRelu(x: Tensor, slope = 0.01): Tensor {
  return leakyReluWith(x, { slope: finite(slope, 'leakyRelu', 'a slope') });
}

function finite(value: number, name: string, what: string): number {
  if (!Number.isFinite(value)) throw shapeError(`${name} needs ${what} that is a finite number, not ${value}.`);
  return value;
}

/** `min(max(x / 6 + 1/2, 0), 1)`, PyTorch's slope (ONNX's own default is 0.2); the gradient at -3 and 3 is 0. */
export const hardSigmoid: Unary = defineUnary('hardSigmoid', {
  value: (x) => Math.min(Math.max(x / 6 + 0.5, 0), 1),
  gradient: (x, g) => mul(g, mul(cast(less(abs(x), 3), g.dtype), 1 / 6)),
  lower: (x, { write, dtype }) =>
    dtype === 'float32'
      ? write('HardSigmoid', [x], { alpha: { float: 1 / 6 }, beta: { float: 0.5 } })
      : write('Clip', [write('Add', [write('Mul', [x, 1 / 6]), 0.5]), 0, 1]),
});

/** `x * hardSigmoid(x)` (Howard et al., arXiv 1905.02244, section 5.2). */
export function hardSwish(x: Tensor): Tensor {
  return mul(x, hardSigmoid(x));
}

/** `x * tanh(log(1 + e ** x))` (Misra, arXiv 1908.08681). */
export function mish(x: Tensor): Tensor {
  return mul(x, tanh(softplus(x)));
}

/** `log(1 / (1 + e ** -x))`, without overflow. */
export function logSigmoid(x: Tensor): Tensor {
  return neg(softplus(neg(x)));
}
