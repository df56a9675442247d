/** How element-wise operations are defined: their operands, what is checked, and the rules that each one gives. */

import { foldEach } from './fold.js';
import { applyOne, constant, type Operation, shapeError, type Tensor } from './graph.js';
import type { DType } from './ndarray.js';
import { type Write, writer } from './onnx/recipes.js';
import { broadcastShapes, unbroadcast } from './operations/broadcast.js';

/** A tensor, or a number that takes the other operand's dtype. */
export type Operand = Tensor | number;

const FLOATS: ReadonlySet<DType> = new Set(['float32', 'float64', 'float16']);

/** True for floating dtypes: those that gradients flow through. */
export function isFloat(dtype: DType): boolean {
  return FLOATS.has(dtype);
}

/** Two operands as tensors of one dtype. @throws bad-shape when their dtypes differ. */
export function operands(a: Operand, b: Operand, name: string): readonly [Tensor, Tensor] {
  const left = typeof a === 'number' ? constant(a, typeof b === 'number' ? 'float32' : b.dtype) : a;
  const right = typeof b === 'number' ? constant(b, left.dtype) : b;
  if (left.dtype !== right.dtype)
    throw shapeError(`${name} cannot combine ${left.dtype} with ${right.dtype}; cast one of them.`);
  return [left, right];
}

/** The two inputs of a node. */
export function pair(inputs: readonly Tensor[]): readonly [Tensor, Tensor] {
  const [a, b] = inputs;
  if (a === undefined || b === undefined) throw new Error('an operation of two operands');
  return [a, b];
}

/** The one input of a node. */
export function only(inputs: readonly Tensor[]): Tensor {
  const [x] = inputs;
  if (x === undefined) throw new Error('an operation of one operand');
  return x;
}

/** What a rule may look at while it writes ONNX nodes. */
export interface Writing {
  readonly write: Write;
  readonly dtype: DType;
  readonly device: string;
}

/** Numbers that an operation keeps beside its operand. */
export type Factors = Readonly<Record<string, number>>;

/** A function of one variable: on the host, its gradient, and as ONNX nodes. */
export interface UnaryRule<F extends Factors = Factors> {
  readonly value: (x: number, factors: F) => number;
  /** The gradient `g` of the result carried back; absent where the slope is 0. */
  readonly gradient?: (x: Tensor, g: Tensor, y: Tensor, factors: F) => Tensor;
  readonly lower: (x: string, writing: Writing, factors: F) => string;
  /** The dtype of the result; that of the operand when absent. */
  readonly dtype?: DType;
}

function requireKind(x: Tensor, name: string, fits: (dtype: DType) => boolean, kinds: string): void {
  if (!fits(x.dtype)) throw shapeError(`${name} takes ${kinds} tensors, not ${x.dtype}; cast it first.`);
}

/** An operation on one floating tensor, with numbers beside it. */
export function defineUnaryWith<F extends Factors>(
  name: string,
  rule: UnaryRule<F>,
): (x: Tensor, factors: F) => Tensor {
  return (x, factors) => {
    requireKind(x, name, isFloat, 'floating');
    const operation: Operation = {
      name,
      gradient: ({ inputs, outputs }, [g]) => [g && rule.gradient?.(only(inputs), g, only(outputs), factors)],
      lower: ({ inputs }, emitter) => {
        const { dtype } = only(inputs);
        const writing = { write: writer(emitter, dtype), dtype, device: emitter.device };
        return [rule.lower(emitter.name(only(inputs)), writing, factors)];
      },
      fold: foldEach((number) => rule.value(number, factors)),
    };
    return applyOne(operation, [x], factors, { dtype: rule.dtype ?? x.dtype, shape: x.shape });
  };
}

/** An operation on one floating tensor. */
export function defineUnary(name: string, rule: UnaryRule): (x: Tensor) => Tensor {
  const define = defineUnaryWith(name, rule);
  return (x) => define(x, {});
}

/** A function of two variables: on the host, its gradients, and as ONNX nodes. */
export interface BinaryRule {
  /** `dtype` is that of the operands. */
  readonly value: (a: number, b: number, dtype: DType) => number;
  /** The gradients of both operands, before they are summed back to their shapes; absent where the slopes are 0. */
  readonly gradient?: (a: Tensor, b: Tensor, g: Tensor, y: Tensor) => readonly [Tensor | undefined, Tensor | undefined];
  /** `b` is also given as a number where it is a constant scalar. */
  readonly lower: (a: string, b: string, writing: Writing, constantB: number | undefined) => string;
  readonly fits: (dtype: DType) => boolean;
  /** What `fits` lets in, for the message: "floating", "integer". */
  readonly kinds: string;
  readonly dtype?: DType;
}

/** An operation on two tensors of one dtype that broadcast. */
export function defineBinary(name: string, rule: BinaryRule): (a: Operand, b: Operand) => Tensor {
  const operation: Operation = {
    name,
    gradient: ({ inputs, outputs }, [g]) => {
      if (g === undefined || rule.gradient === undefined) return [];
      const [a, b] = pair(inputs);
      const [ga, gb] = rule.gradient(a, b, g, only(outputs));
      return [ga && unbroadcast(ga, a.shape), gb && unbroadcast(gb, b.shape)];
    },
    lower: ({ inputs }, emitter) => {
      const [a, b] = pair(inputs);
      const writing = { write: writer(emitter, a.dtype), dtype: a.dtype, device: emitter.device };
      const fixed = b.node.value?.data.length === 1 ? Number(b.node.value.data[0]) : undefined;
      return [rule.lower(emitter.name(a), emitter.name(b), writing, fixed)];
    },
    fold: (inputs, attributes, outputs) => {
      const dtype = inputs[0]?.dtype;
      return dtype && foldEach((a, b) => rule.value(a, b, dtype))(inputs, attributes, outputs);
    },
  };
  return (a, b) => {
    const [left, right] = operands(a, b, name);
    requireKind(left, name, rule.fits, rule.kinds);
    const shape = broadcastShapes(left.shape, right.shape, name);
    return applyOne(operation, [left, right], {}, { dtype: rule.dtype ?? left.dtype, shape });
  };
}
