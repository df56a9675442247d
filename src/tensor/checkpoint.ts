/**
 * Gradient checkpointing (Chen et al., arXiv 1604.06174): what a block computes on the way is not kept for the gradient but
 * computed once more when the gradient arrives, so that a deep model holds the blocks' inputs and one block's insides.
 *
 * The block's graph is there twice, the second time behind a gate: a reshape whose target size is computed from the
 * incoming gradient, so that no runtime can begin the second pass before the gradient is known, and no pass that merges
 * equal nodes can take one for the other. The gate copies nothing.
 */

import { pullBack } from './gradient.js';
import { apply, applyOne, isStatic, type Node, nextNode, type Operation, shapeError, type Tensor } from './graph.js';
import { isFloat, pair } from './operations/elementwise.js';
import { mapTensors, tensorLeaves } from './tree.js';

const gateOperation: Operation = {
  name: 'gate',
  gradient: (_node, [g]) => [g, undefined],
  lower: ({ inputs }, emitter) => {
    const [x, until] = pair(inputs);
    if (x.shape.length === 0) return [emitter.name(x)];
    const size = emitter.emit('Size', [emitter.name(until)]);
    const none = emitter.emit('Mul', [
      ...size,
      emitter.constant({ dtype: 'int64', shape: [], data: BigInt64Array.of(0n) }),
    ]);
    const shape = emitter.emit('Add', [emitter.shape(x.shape, x), ...none]);
    return emitter.emit('Reshape', [emitter.name(x), ...shape]);
  },
};

/** `x`, not before `until` is known. */
function gate(x: Tensor, until: Tensor): Tensor {
  return applyOne(gateOperation, [x, until], {}, x);
}

/** The part of a graph between some tensors and what was computed from them. */
interface Region {
  /** Its nodes, inputs first. */
  readonly nodes: readonly Node[];
  /** What its nodes take from outside, each once. */
  readonly outside: readonly Tensor[];
}

/** Nodes made since `first` that the outputs need; those that take nothing (constants, draws) stay outside, shared. */
function regionOf(outputs: readonly Tensor[], first: number): Region {
  const nodes = new Set<Node>();
  const outside = new Set<Tensor>();
  const waiting = [...outputs];
  for (let tensor = waiting.pop(); tensor !== undefined; tensor = waiting.pop()) {
    const { node } = tensor;
    if (node.id < first || node.inputs.length === 0) outside.add(tensor);
    else if (!nodes.has(node)) {
      nodes.add(node);
      waiting.push(...node.inputs);
    }
  }
  return { nodes: [...nodes].sort((a, b) => a.id - b.id), outside: [...outside] };
}

/** The region once more, over other tensors in the place of those outside. */
function again({ nodes }: Region, outputs: readonly Tensor[], instead: Map<Tensor, Tensor>): readonly Tensor[] {
  const found = (tensor: Tensor): Tensor => instead.get(tensor) ?? tensor;
  for (const node of nodes) {
    const copies = apply(node.operation, node.inputs.map(found), node.attributes, node.outputs, node.value);
    for (const [index, output] of node.outputs.entries()) {
      const copy = copies[index];
      if (copy !== undefined) instead.set(output, copy);
    }
  }
  return outputs.map(found);
}

/**
 * `f` with the same values and gradients, whose insides are computed again for the gradient instead of being kept
 * (PyTorch's `torch.utils.checkpoint`). It takes tensors and returns a tree of them; what else it uses (parameters,
 * draws, masks) may come from its closure, and gradients flow there too. A draw inside it is the same both times.
 * @throws bad-shape if an input has a size that is only known at run time.
 */
export function checkpoint<I extends readonly Tensor[], R>(f: (...inputs: I) => R): (...inputs: I) => R {
  return (...inputs) => {
    for (const { shape } of inputs) {
      if (!isStatic(shape)) throw shapeError(`A checkpointed block needs known sizes, not [${shape.join(', ')}].`);
    }
    const first = nextNode();
    const result = f(...inputs);
    const outputs = [...new Set(tensorLeaves(result).map(([, tensor]) => tensor))];
    const region = regionOf(outputs, first);
    const inner = outputs.filter(({ node }) => region.nodes.includes(node));
    if (inner.length === 0) return result;
    const operation: Operation = {
      name: 'checkpoint',
      gradient: (_node, flows) => {
        const until = flows.find((flow) => flow !== undefined);
        if (until === undefined) return [];
        const instead = new Map(region.outside.map((tensor) => [tensor, tensor]));
        const given = new Set<Tensor>(inputs);
        // Only what the block is called with is gated: the rest lives on in any case.
        for (const tensor of region.outside) if (given.has(tensor)) instead.set(tensor, gate(tensor, until));
        const places = region.outside.map((tensor) => instead.get(tensor) ?? tensor);
        const copies = again(region, inner, instead);
        const slopes = pullBack(
          copies.flatMap((copy, index) => {
            const flow = flows[index];
            return flow === undefined ? [] : [[copy, flow] as const];
          }),
          places.filter(({ dtype, node }) => isFloat(dtype) && node.value === undefined),
          true,
        );
        return [...inner.map(() => undefined), ...places.map((place) => slopes.get(place))];
      },
      lower: ({ inputs: all }, emitter) => all.slice(0, inner.length).map(emitter.name),
    };
    const wrapped = apply(operation, [...inner, ...region.outside], {}, inner);
    const replaced = new Map(inner.map((tensor, index) => [tensor, wrapped[index] ?? tensor]));
    return mapTensors(result, (tensor) => replaced.get(tensor) ?? tensor);
  };
}
