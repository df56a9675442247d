/** Windows laid out as columns, and columns added back: two linear maps, each the transpose of the other. */

import { applyOne, type Emitter, type Operation, type Shape, type Tensor } from '../graph.js';
import { only } from '../operations/elementwise.js';
import { cut, emitOne, padded, shaped, taps, vector } from './emit.js';
import { type Axis, type Pair, placesOf, stops, type Window } from './geometry.js';

/** `x` `[batch, channels, height, width]` as `[batch, channels * kernel, places]`, taps in the kernel's order (im2col). */
export function unfoldColumns(x: Tensor, window: Window): Tensor {
  const [batch = 1, channels = 1] = x.shape;
  const size = placesOf(x, 'unfold');
  const made = stops(window, size);
  const shape = [batch, Number(channels) * window.kernel[0] * window.kernel[1], made[0] * made[1]];
  return applyOne(unfoldOperation(window, size), [x], { window }, { dtype: x.dtype, shape });
}

/** The transpose of {@link unfoldColumns}: `[batch, channels, height, width]` of `size`, each place the sum of what saw it. */
export function foldColumns(columns: Tensor, window: Window, size: Pair): Tensor {
  const [batch = 1, rows = 1] = columns.shape;
  const shape = [batch, Number(rows) / (window.kernel[0] * window.kernel[1]), ...size];
  return applyOne(foldOperation(window, size), [columns], { window, size }, { dtype: columns.dtype, shape });
}

const unfoldOperation = (window: Window, size: Pair): Operation => ({
  name: 'unfold',
  gradient: (_node, [g]) => [g && foldColumns(g, window, size)],
  lower: ({ inputs, outputs }, emitter) => {
    const [batch = 1, channels = 1] = only(inputs).shape;
    const made = stops(window, size);
    const seen = taps(emitter, padded(emitter, emitter.name(only(inputs)), window), window, made);
    const columns = seen.map((tap) => shaped(emitter, tap, [batch, channels, 1, made[0] * made[1]]));
    return [shaped(emitter, emitOne(emitter, 'Concat', columns, { axis: 2 }), only(outputs).shape)];
  },
});

const foldOperation = (window: Window, size: Pair): Operation => ({
  name: 'fold',
  gradient: (_node, [g]) => [g && unfoldColumns(g, window)],
  lower: ({ inputs, outputs }, emitter) => {
    const [batch = 1, channels = 1] = only(outputs).shape;
    const [made, { kernel }] = [stops(window, size), window];
    // Taps of a row first, then rows of taps.
    const shape: Shape = [batch, channels, ...kernel, ...made];
    const columns = shaped(emitter, emitter.name(only(inputs)), shape);
    const rows = addTaps(emitter, columns, { shape, taps: 3, places: 5, ...along(window, size, 1) });
    const left: Shape = [batch, channels, kernel[0], made[0], size[1]];
    return [addTaps(emitter, rows, { shape: left, taps: 2, places: 3, ...along(window, size, 0) })];
  },
});

interface Adding {
  readonly shape: Shape;
  /** The axis that holds the taps; it goes. */
  readonly taps: number;
  /** The axis that holds the windows, behind it; it becomes that of the picture. */
  readonly places: number;
  readonly stride: number;
  readonly dilation: number;
  readonly before: number;
  readonly size: number;
}

function along({ stride, dilation, pads }: Window, size: Pair, axis: Axis): Omit<Adding, 'shape' | 'taps' | 'places'> {
  return { stride: stride[axis], dilation: dilation[axis], before: pads[axis][0], size: size[axis] };
}

/** Adds what each tap holds for its windows to the places of the picture that it saw. */
function addTaps(
  emitter: Emitter,
  x: string,
  { shape, taps: at, places, stride, dilation, before, size }: Adding,
): string {
  const [count, made] = [Number(shape[at]), Number(shape[places])];
  const head = shape.slice(0, places);
  const tail = shape.slice(places + 1);
  const fill = (name: string, rank: number, axis: number, [first, last]: Pair): string => {
    if (first === 0 && last === 0) return name;
    const sides = Array.from({ length: 2 * rank }, (_, index) =>
      index === axis ? first : index === rank + axis ? last : 0,
    );
    return emitOne(emitter, 'Pad', [name, vector(emitter, sides)], { mode: 'constant' });
  };
  let spread = x;
  if (stride > 1) {
    const apart = shaped(emitter, x, [...head, made, 1, ...tail]);
    spread = shaped(emitter, fill(apart, shape.length + 1, places + 1, [0, stride - 1]), [
      ...head,
      made * stride,
      ...tail,
    ]);
  }
  const total = Math.max((count - 1) * dilation + made * stride, before + size);
  const rest: Shape = [...head.filter((_, axis) => axis !== at), made * stride, ...tail];
  const terms = Array.from({ length: count }, (_, tap) => {
    const one = cut(emitter, spread, [at], { starts: [tap], ends: [tap + 1], steps: [1] });
    const sides: Pair = [tap * dilation, total - tap * dilation - made * stride];
    return fill(shaped(emitter, one, rest), rest.length, places - 1, sides);
  });
  const sum = terms.reduce((left, right) => emitOne(emitter, 'Add', [left, right]));
  return cut(emitter, sum, [places - 1], { starts: [before], ends: [before + size], steps: [1] });
}
