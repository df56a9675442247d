/** Reversing axes. */

import { foldPlaces } from '../fold-places.js';
import { applyOne, isStatic, normalizeAxis, type Operation, type Tensor } from '../graph.js';
import { array } from '../ndarray.js';
import { only } from './elementwise.js';

function axesOf(axes: unknown): readonly number[] {
  if (!Array.isArray(axes)) throw new Error('a flip without axes');
  return axes;
}

const flipOperation: Operation = {
  name: 'flip',
  gradient: ({ attributes }, [g]) => [g && flip(g, axesOf(attributes.axes))],
  lower: ({ inputs, attributes }, emitter) => {
    const axes = axesOf(attributes.axes);
    const vector = (values: readonly number[]) => emitter.constant(array(values, [axes.length], 'int64'));
    // Backwards from the last to before the first, whatever the size.
    const [start, end, step] = [-1, Number.MIN_SAFE_INTEGER, -1].map((value) => vector(axes.map(() => value)));
    return emitter.emit('Slice', [emitter.name(only(inputs)), start ?? '', end ?? '', vector(axes), step ?? '']);
  },
  fold: ([x], attributes, [out]) => {
    if (!x || !out || !isStatic(out.shape)) return undefined;
    const axes = axesOf(attributes.axes);
    return foldPlaces(x, out.shape, (position) =>
      position.map((place, axis) => (axes.includes(axis) ? (x.shape[axis] ?? 1) - 1 - place : place)),
    );
  },
};

/** `x` with the order reversed along `axes` (default: all). @throws bad-shape for an axis that is not there. */
export function flip(x: Tensor, axes: readonly number[] | number = x.shape.map((_, axis) => axis)): Tensor {
  const list = (typeof axes === 'number' ? [axes] : axes).map((axis) => normalizeAxis(axis, x.shape.length, 'flip'));
  const turned = [...new Set(list)].filter((axis) => x.shape[axis] !== 1).sort((a, b) => a - b);
  return turned.length === 0 ? x : applyOne(flipOperation, [x], { axes: turned }, x);
}
