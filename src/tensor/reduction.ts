/** What operations that join elements along axes have in common. */

import { applyOne, type Operation, type Tensor } from './graph.js';
import { array } from './ndarray.js';
import { axesOf, finishReduction, keptShape, type ReduceOptions, reducedAxes } from './operations/broadcast.js';
import { only } from './operations/elementwise.js';

/** A reduction by an ONNX node over the axes it is given. */
export function reduction(name: string, onnx: string, gradient: Operation['gradient']): Operation {
  return {
    name,
    gradient,
    lower: (node, emitter) => {
      const axes = emitter.constant(array(axesOf(node), undefined, 'int64'));
      return emitter.emit(onnx, [emitter.name(only(node.inputs)), axes], { keepdims: 1 });
    },
  };
}

/** `operation` over `axes` (default: all); `alone` is what becomes of an element that is joined with nothing. */
export function reduce(
  operation: Operation,
  x: Tensor,
  axes: readonly number[] | number | undefined,
  options: ReduceOptions,
  alone: (x: Tensor) => Tensor = (same) => same,
): Tensor {
  const over = reducedAxes(x, axes, operation.name);
  if (over.length === 0) return alone(x);
  const kept = applyOne(operation, [x], { axes: over }, { dtype: x.dtype, shape: keptShape(x.shape, over) });
  return finishReduction(kept, over, options);
}
