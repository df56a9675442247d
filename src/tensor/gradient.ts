/** Reverse-mode differentiation: gradients of a graph are more graph. */

import { constant, enterScope, isTensor, type Node, shapeError, shapeText, type Tensor } from './graph.js';
import { broadcastTo } from './operations/broadcast.js';
import { add, isFloat } from './operations/elementwise.js';
import { isZeros, scatterRowsAdd } from './operations/gather.js';
import { mapTensors, tensorLeaves } from './tree.js';

/**
 * The gradients of a scalar with respect to every tensor of a tree; what it does not depend on gets zeros.
 * @throws bad-shape when `y` is no scalar, or an operation on the way has no gradient.
 */
export function gradients<P>(y: Tensor, tree: P): P {
  if (y.shape.length !== 0) throw shapeError(`A gradient is taken of a scalar, not of ${shapeText(y.shape)}.`);
  const targets = new Set(tensorLeaves(tree).map(([, tensor]) => tensor));
  const flows = pullBack([[y, constant(1, y.dtype)]], targets);
  return mapTensors(tree, (tensor) => flows.get(tensor) ?? broadcastTo(constant(0, tensor.dtype), tensor.shape));
}

/**
 * What flows back to each target from tensors whose own gradients are given; a target that none flows to is not there.
 * @param apart targets are independent variables: what one of them takes from another is left out.
 */
export function pullBack(
  flows: readonly (readonly [y: Tensor, gradient: Tensor])[],
  wanted: Iterable<Tensor>,
  apart = false,
): Map<Tensor, Tensor> {
  const targets = new Set(wanted);
  const order = dependents(
    flows.map(([y]) => y),
    targets,
    apart,
  );
  const reached = new Set(order);
  const parts = new Map<Tensor, Tensor[]>(flows.map(([y, gradient]) => [y, [gradient]]));
  const totals = new Map<Tensor, Tensor>();
  for (const node of order.reverse()) {
    const incoming = node.outputs.map((output) => {
      const total = accumulate(parts.get(output));
      if (total !== undefined) totals.set(output, total);
      return total;
    });
    if (incoming.every((g) => g === undefined) || node.inputs.every((input) => !flowsTo(input, reached, targets)))
      continue;
    if (node.operation.gradient === undefined) throw shapeError(`${node.operation.name} has no gradient.`);
    // What goes wrong on the way back is named after the part whose gradient it is.
    const scope = enterScope(node.scope);
    const outgoing = node.operation.gradient(node, incoming);
    enterScope(scope);
    for (const [index, tensor] of node.inputs.entries()) {
      const g = outgoing[index];
      if (g === undefined || !isFloat(tensor.dtype) || !flowsTo(tensor, reached, targets)) continue;
      const list = parts.get(tensor);
      if (list === undefined) parts.set(tensor, [g]);
      else list.push(g);
    }
  }
  for (const target of targets) {
    const total = totals.get(target) ?? accumulate(parts.get(target));
    if (total !== undefined) totals.set(target, total);
  }
  return totals;
}

function flowsTo(tensor: Tensor, reached: ReadonlySet<Node>, targets: ReadonlySet<Tensor>): boolean {
  return targets.has(tensor) || reached.has(tensor.node);
}

/** Nodes between the targets and the `ys` that depend on a target, inputs first. */
function dependents(ys: readonly Tensor[], targets: ReadonlySet<Tensor>, apart: boolean): Node[] {
  const state = new Map<Node, boolean>();
  const order: Node[] = [];
  const visit = (root: Node): void => {
    const stack: { node: Node; next: number }[] = [{ node: root, next: 0 }];
    state.set(root, false);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const { node } = top;
      const child = node.inputs[top.next++];
      if (child !== undefined) {
        if (state.has(child.node) || (apart && targets.has(child))) continue;
        state.set(child.node, false);
        stack.push({ node: child.node, next: 0 });
        continue;
      }
      stack.pop();
      const depends =
        node.outputs.some((output) => targets.has(output)) ||
        node.inputs.some((input) => targets.has(input) || state.get(input.node) === true);
      state.set(node, depends);
      if (depends) order.push(node);
    }
  };
  for (const { node } of ys) if (!state.has(node)) visit(node);
  return order;
}

/** The sum of the parts of a gradient; rows scattered into zeros are scattered onto the rest instead. */
function accumulate(parts: readonly Tensor[] | undefined): Tensor | undefined {
  if (parts === undefined || parts.length === 0) return undefined;
  const scattered = parts.filter(
    (part) => part.node.operation.name === 'scatterRowsAdd' && isZeros(part.node.inputs[0] ?? part),
  );
  const dense = parts.filter((part) => !scattered.includes(part));
  let total = dense.length === 0 ? scattered.shift() : dense.reduce((sum, part) => add(sum, part));
  for (const part of scattered) {
    const [, indices, updates] = part.node.inputs;
    if (total === undefined || indices === undefined || updates === undefined)
      throw new Error('a scatter without operands');
    total = scatterRowsAdd(total, indices, updates);
  }
  return total;
}

/** A loss alone, or a loss with whatever else the function computed. */
export type Loss<X> = Tensor | readonly [loss: Tensor, extra: X];

/** The function that gives value, gradients with respect to the first argument, and the extra of `f` (JAX's `value_and_grad`). */
export function valueAndGrad<P, A extends readonly unknown[], X = undefined>(
  f: (parameters: P, ...rest: A) => Loss<X>,
): (parameters: P, ...rest: A) => { readonly value: Tensor; readonly gradients: P; readonly extra: X | undefined } {
  return (parameters, ...rest) => {
    const result = f(parameters, ...rest);
    const [value, extra] = isTensor(result) ? [result, undefined] : result;
    return { value, gradients: gradients(value, parameters), extra };
  };
}

/** The function that gives the gradients of the scalar `f` with respect to its first argument (JAX's `grad`). */
export function grad<P, A extends readonly unknown[]>(
  f: (parameters: P, ...rest: A) => Tensor,
): (parameters: P, ...rest: A) => P {
  return (parameters, ...rest) => gradients(f(parameters, ...rest), parameters);
}
