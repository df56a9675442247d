/**
 * Symbolic tensors: nodes of a graph that knows shapes, folds constants and carries no storage.
 *
 * A tensor is one output of a node; a node is an operation applied to tensors. Nothing is registered anywhere:
 * what no output needs is unreachable, so dead code costs nothing. Shapes are static numbers, or names where a
 * size is only known at run time ("batch_size"; exports use them).
 */

import { TesseraError } from '../host/error.js';
import { type ArrayOf, type DType, type NDArray, sizeOf } from './ndarray.js';

/** A size: a number, or a name for one that is known only when the program runs. */
export type Dimension = number | string;
/** Sizes of a tensor's axes, outermost first. */
export type Shape = readonly Dimension[];
/** What a tensor will be: dtype and shape, without values. */
export interface Spec {
  readonly dtype: DType;
  readonly shape: Shape;
}

declare const brand: unique symbol;

/** A symbolic tensor: one output of a node of the graph. */
export interface Tensor extends Spec {
  readonly [brand]: 'Tensor';
  readonly node: Node;
  /** Which of the node's outputs this is. */
  readonly output: number;
}

/** Values that an operation keeps beside its inputs; plain data, so that equal nodes can be recognized. */
export type Attributes = Readonly<Record<string, unknown>>;

/** An application of an operation. */
export interface Node {
  /** Grows with creation: inputs always have lower numbers than what uses them. */
  readonly id: number;
  readonly operation: Operation;
  readonly inputs: readonly Tensor[];
  readonly attributes: Attributes;
  readonly outputs: readonly Tensor[];
  /** The module path that was entered last when the node was made. */
  readonly scope: string;
  /** The value of a constant node. */
  readonly value?: NDArray;
}

/** Where lowered ONNX nodes go; see onnx/lower.ts. */
export interface Emitter {
  readonly device: string;
  /** The ONNX value name of a tensor that was lowered before. */
  name(tensor: Tensor): string;
  /** Adds an ONNX node and returns the names of its outputs. */
  emit(
    type: string,
    inputs: readonly string[],
    attributes?: Record<string, unknown>,
    outputs?: number,
    domain?: string,
  ): string[];
  /** Adds (or finds) an initializer. */
  constant(value: NDArray): string;
  /** An int64 vector that holds `shape`, whose named sizes are read from the tensors that have them. */
  shape(shape: Shape, like?: Tensor): string;
}

/** A kind of node: how shapes follow, how gradients flow, how it is written as ONNX. */
export interface Operation {
  readonly name: string;
  /** Gradients of the inputs from those of the outputs (undefined: none flows). Absent: not differentiable. */
  gradient?(node: Node, gradients: readonly (Tensor | undefined)[]): readonly (Tensor | undefined)[];
  /** Writes the node as ONNX; returns the value names of its outputs. */
  lower(node: Node, emitter: Emitter): readonly string[];
  /** Floating-point operations of the products in the node; absent: none that count. */
  flops?(node: Node): number;
  /** Computes the node on the host; used to fold constants of moderate size. Undefined when it cannot. */
  fold?(inputs: readonly NDArray[], attributes: Attributes, outputs: readonly Spec[]): NDArray | undefined;
}

let nextId = 0;
let scope = '';

/** Names the module path that nodes made from now on belong to; returns the one before. */
export function enterScope(path: string): string {
  const before = scope;
  scope = path;
  return before;
}

/** The number that the next node will have: nodes made from now on have this one or a higher. */
export function nextNode(): number {
  return nextId;
}

const FOLD_LIMIT = 1 << 16;

/** Applies an operation; folds it when every input is a constant of moderate size. Returns its outputs. */
export function apply(
  operation: Operation,
  inputs: readonly Tensor[],
  attributes: Attributes,
  specs: readonly Spec[],
  value?: NDArray,
): readonly Tensor[] {
  if (operation.fold !== undefined && specs.length === 1 && inputs.length > 0) {
    const folded = tryFold(operation, inputs, attributes, specs);
    if (folded !== undefined) return [constant(folded)];
  }
  const outputs: Tensor[] = [];
  const node: Node = { id: nextId++, operation, inputs, attributes, outputs, scope, value };
  for (const [output, spec] of specs.entries()) {
    outputs.push({ dtype: spec.dtype, shape: spec.shape, node, output } as Tensor);
  }
  return outputs;
}

/** Applies an operation that has one output. */
export function applyOne(operation: Operation, inputs: readonly Tensor[], attributes: Attributes, spec: Spec): Tensor {
  return first(apply(operation, inputs, attributes, [spec]));
}

function first(tensors: readonly Tensor[]): Tensor {
  const tensor = tensors[0];
  if (tensor === undefined) throw new Error('an operation without outputs');
  return tensor;
}

function tryFold(
  operation: Operation,
  inputs: readonly Tensor[],
  attributes: Attributes,
  specs: readonly Spec[],
): NDArray | undefined {
  const values: NDArray[] = [];
  for (const input of inputs) {
    const value = input.node.value;
    if (value === undefined || value.data.length > FOLD_LIMIT || !isSafe(value)) return undefined;
    values.push(value);
  }
  const shape = specs[0]?.shape;
  if (shape === undefined || !isStatic(shape) || sizeOf(shape) > FOLD_LIMIT) return undefined;
  return operation.fold?.(values, attributes, specs);
}

/** True when every element is exact as a number. */
function isSafe({ data }: NDArray): boolean {
  return !(data instanceof BigInt64Array) || data.every((value) => Number.isSafeInteger(Number(value)));
}

const constantOperation: Operation = {
  name: 'constant',
  gradient: () => [],
  lower: (node, emitter) => [emitter.constant(fixedValue(node))],
};

const inputOperation: Operation = {
  name: 'input',
  lower: (node) => {
    throw new Error(`The input "${String(node.attributes.name)}" was not bound before lowering.`);
  },
};

function fixedValue(node: Node): NDArray {
  if (node.value === undefined) throw new Error('a constant without a value');
  return node.value;
}

/** A tensor with fixed values: an array, or a number as a scalar of `dtype`. */
export function constant(value: NDArray | number, dtype: DType = 'float32'): Tensor {
  const fixed = typeof value === 'number' ? scalar(value, dtype) : value;
  return first(apply(constantOperation, [], {}, [{ dtype: fixed.dtype, shape: fixed.shape }], fixed));
}

function scalar(value: number, dtype: DType): NDArray {
  const data: ArrayOf =
    dtype === 'int64'
      ? BigInt64Array.of(BigInt(value))
      : dtype === 'int32'
        ? Int32Array.of(value)
        : dtype === 'float64'
          ? Float64Array.of(value)
          : dtype === 'bool' || dtype === 'uint8'
            ? Uint8Array.of(value)
            : Float32Array.of(value);
  if (dtype === 'float16') throw new TesseraError('unsupported', 'A float16 scalar must be given as an array of bits.');
  return { dtype, shape: [], data };
}

/** A tensor whose values come when the program runs. */
export function input(name: string, spec: Spec): Tensor {
  return first(apply(inputOperation, [], { name }, [spec]));
}

/** True for tensors made by {@link input}. */
export function isInput(tensor: Tensor): boolean {
  return tensor.node.operation === inputOperation;
}

/** True for a symbolic tensor. */
export function isTensor(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'node' in value && 'output' in value && 'dtype' in value;
}

/** The number a constant scalar holds, or undefined. */
export function scalarValue(tensor: Tensor): number | undefined {
  const value = tensor.node.value;
  return value !== undefined && value.data.length === 1 ? Number(value.data[0]) : undefined;
}

/** True when every size is a number. */
export function isStatic(shape: Shape): shape is readonly number[] {
  return shape.every((dimension) => typeof dimension === 'number');
}

/** The element count of a shape. @throws bad-shape when a size is only a name. */
export function elements(shape: Shape): number {
  if (!isStatic(shape)) throw shapeError(`The size of [${shape.join(', ')}] must be known here.`);
  return sizeOf(shape);
}

/** True when two shapes are the same, names included. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dimension, axis) => dimension === b[axis]);
}

/** The axis counted from the front. @throws bad-shape when there is no such axis. */
export function normalizeAxis(axis: number, rank: number, operation: string): number {
  const normal = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || normal < 0 || normal >= rank) {
    throw shapeError(`${operation}: there is no axis ${axis} in a tensor of rank ${rank}.`);
  }
  return normal;
}

/** A shape as text. */
export function shapeText(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

const LIBRARY = new URL('../', import.meta.url).href;

/** A bad-shape error whose message ends with the caller's own line, the first outside the library. */
export function shapeError(message: string): TesseraError {
  const lines = new Error(message).stack?.split('\n').slice(1) ?? [];
  const outside = lines.find((line) => {
    const place = line.trim();
    return (
      place.startsWith('at ') &&
      !place.includes(LIBRARY) &&
      !place.includes(pathOf(LIBRARY)) &&
      !place.includes('node:')
    );
  });
  const where = outside === undefined ? '' : ` (${outside.trim()})`;
  const inside = scope === '' ? '' : ` In ${scope}.`;
  return new TesseraError('bad-shape', `${message}${inside}${where}`);
}

function pathOf(url: string): string {
  return url.startsWith('file://') ? url.slice('file://'.length) : url;
}
