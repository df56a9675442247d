/** Functions whose gradient is given rather than derived: the straight-through estimator, and closed forms. */

import { applyOne, type Operation, sameShape, shapeError, shapeText, type Tensor } from '../graph.js';
import { only } from './elementwise.js';

/** What a gradient of one's own may use. */
export interface Backward<I extends readonly Tensor[]> {
  readonly inputs: I;
  readonly output: Tensor;
  /** The gradient of the output, of its shape. */
  readonly gradient: Tensor;
}

/**
 * A function with a gradient of one's own (JAX's `custom_vjp`). Its value is `forward`'s, whose operations need no
 * gradient; what flows back to each input is what `backward` gives, in order, undefined where nothing flows.
 * @throws bad-shape, when the gradient is taken, if one does not have its input's shape.
 */
export function customGradient<I extends readonly Tensor[]>(
  forward: (...inputs: I) => Tensor,
  backward: (context: Backward<I>) => readonly (Tensor | undefined)[],
): (...inputs: I) => Tensor {
  return (...inputs) => {
    const operation: Operation = {
      name: 'customGradient',
      gradient: ({ outputs }, [gradient]) => {
        if (gradient === undefined) return [];
        const flows = backward({ inputs, output: only(outputs), gradient });
        for (const [index, flow] of flows.entries()) {
          const shape = inputs[index]?.shape ?? [];
          if (flow !== undefined && !sameShape(flow.shape, shape))
            throw shapeError(
              `customGradient: the gradient of input ${index} is ${shapeText(flow.shape)} and the input ${shapeText(shape)}.`,
            );
        }
        return [undefined, ...flows];
      },
      // The first input is the value itself.
      lower: (node, emitter) => node.inputs.slice(0, 1).map(emitter.name),
    };
    const value = forward(...inputs);
    return applyOne(operation, [value, ...inputs], {}, value);
  };
}

const through = customGradient(
  (value: Tensor, _surrogate: Tensor) => value,
  ({ gradient }) => [undefined, gradient],
);

/**
 * The straight-through estimator (Bengio et al., arXiv 1308.3432): the value of `value`, exactly, and the gradient as if
 * it were `surrogate`, of the same shape.
 */
export function straightThrough(value: Tensor, surrogate: Tensor): Tensor {
  if (!sameShape(value.shape, surrogate.shape))
    throw shapeError(
      `straightThrough cannot send the gradient of ${shapeText(value.shape)} to ${shapeText(surrogate.shape)}.`,
    );
  return through(value, surrogate);
}
