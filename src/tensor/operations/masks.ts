/** Triangles of matrices: of a tensor's own elements, and as bool masks from sizes. */

import { applyOne, type Dimension, type Operation, shapeError, shapeText, type Tensor } from '../graph.js';
import { array } from '../ndarray.js';
import { add, lessEqual, only } from './elementwise.js';
import { range } from './gather.js';
import { expandDims } from './shape.js';

const triangleOperation: Operation = {
  name: 'triangle',
  gradient: ({ attributes }, [g]) => [g && applyOne(triangleOperation, [g], attributes, g)],
  lower: ({ inputs, attributes }, emitter) => {
    const diagonal = emitter.constant(array([Number(attributes.diagonal)], [], 'int64'));
    return emitter.emit('Trilu', [emitter.name(only(inputs)), diagonal], { upper: Number(attributes.upper) });
  },
};

function triangle(x: Tensor, diagonal: number, upper: boolean): Tensor {
  const name = upper ? 'triu' : 'tril';
  if (x.shape.length < 2) throw shapeError(`${name} takes matrices, not ${shapeText(x.shape)}.`);
  if (!Number.isInteger(diagonal)) throw shapeError(`${name} needs a whole diagonal, not ${diagonal}.`);
  return applyOne(triangleOperation, [x], { diagonal, upper }, x);
}

/** `x` `[..., rows, columns]` up to a diagonal (0 the main one, 1 the one above it), and 0 beyond. */
export function tril(x: Tensor, diagonal = 0): Tensor {
  return triangle(x, diagonal, false);
}

/** `x` `[..., rows, columns]` from a diagonal on (0 the main one, 1 the one above it), and 0 before. */
export function triu(x: Tensor, diagonal = 0): Tensor {
  return triangle(x, diagonal, true);
}

/**
 * True up to a diagonal and false beyond (NumPy's `tri`): `[rows, columns]`, bool, true where `column - row <= diagonal`.
 * Sizes may be names. A band is `logicalAnd(tri(n, n, above), logicalNot(tri(n, n, -below - 1)))`.
 */
export function tri(rows: Dimension, columns: Dimension = rows, diagonal = 0): Tensor {
  if (!Number.isInteger(diagonal)) throw shapeError(`tri needs a whole diagonal, not ${diagonal}.`);
  return lessEqual(range(columns), expandDims(add(range(rows), diagonal), 1));
}
