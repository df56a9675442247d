/** Growing axes at their ends: with a constant, the edge, the mirrored or the periodic continuation. */

import { foldPlaces } from '../fold-places.js';
import {
  applyOne,
  constant,
  type Dimension,
  isStatic,
  type Operation,
  shapeError,
  shapeText,
  type Tensor,
} from '../graph.js';
import { array, type NDArray } from '../ndarray.js';
import { sum } from './broadcast.js';
import { add, cast, pair } from './elementwise.js';
import { flip } from './flip.js';
import { slice } from './shape.js';

/**
 * What is beyond the ends, for `[a, b, c]` (NumPy's names): `constant`; `edge`: a a | a b c | c c; `reflect`, which
 * does not repeat the edge: c b | a b c | b a; `wrap`: b c | a b c | a b.
 */
export type PadMode = 'constant' | 'edge' | 'reflect' | 'wrap';

/** How {@link pad} fills. */
export interface PadOptions {
  /** Default: `constant`. */
  readonly mode?: PadMode;
  /** What `constant` fills with. Default: 0. */
  readonly value?: number;
}

interface Ends {
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly mode: PadMode;
}

const MODES: readonly unknown[] = ['constant', 'edge', 'reflect', 'wrap'] satisfies PadMode[];

function endsOf(attributes: Readonly<Record<string, unknown>>): Ends {
  const { before, after, mode } = attributes;
  if (!Array.isArray(before) || !Array.isArray(after) || !isMode(mode)) throw new Error('a pad without sizes');
  return { before, after, mode };
}

function isMode(mode: unknown): mode is PadMode {
  return MODES.includes(mode);
}

const padOperation: Operation = {
  name: 'pad',
  gradient: ({ inputs, attributes }, [g]) => {
    const [x] = pair(inputs);
    const { before, after, mode } = endsOf(attributes);
    return [g && before.reduce((rest, head, axis) => unpad(rest, x, axis, [head, after[axis] ?? 0], mode), g)];
  },
  lower: ({ inputs, attributes }, emitter) => {
    const [x, value] = pair(inputs).map(emitter.name);
    const { before, after, mode } = endsOf(attributes);
    const sizes = emitter.constant(array([...before, ...after], undefined, 'int64'));
    return emitter.emit('Pad', [x ?? '', sizes, ...(mode === 'constant' ? [value ?? ''] : [])], { mode });
  },
  fold: ([x, value], attributes, [out]) =>
    x && value && out && isStatic(out.shape) ? foldPad(x, value, endsOf(attributes), out.shape) : undefined,
};

/** Where a place beyond the ends of an axis takes its value from; undefined for a constant. */
function sourceOf(place: number, size: number, mode: PadMode): number | undefined {
  if (place >= 0 && place < size) return place;
  if (mode === 'constant') return undefined;
  if (mode === 'edge') return place < 0 ? 0 : size - 1;
  if (mode === 'wrap') return place < 0 ? place + size : place - size;
  return place < 0 ? -place : 2 * (size - 1) - place;
}

function foldPad(x: NDArray, value: NDArray, { before, mode }: Ends, shape: readonly number[]): NDArray | undefined {
  return foldPlaces(
    x,
    shape,
    (position) => {
      const source = position.map((place, axis) => sourceOf(place - (before[axis] ?? 0), x.shape[axis] ?? 1, mode));
      return source.every((place) => place !== undefined) ? source : undefined;
    },
    value,
  );
}

/** The gradient along one axis: the middle, and each end's gradients added to the places that were copied there. */
function unpad(g: Tensor, x: Tensor, axis: number, ends: readonly [number, number], mode: PadMode): Tensor {
  const [before, after] = ends;
  const size = x.shape[axis] ?? 1;
  if (typeof size === 'string' || (before === 0 && after === 0)) return g;
  const middle = slice(g, axis, before, before + size);
  const parts: Tensor[] = [middle];
  /** Adds a part of the gradient to the places from `start`. */
  const addAt = (part: Tensor, start: number, length: number) => {
    parts.push(padAxis(part, axis, start, size - start - length));
  };
  const fold = (part: Tensor, start: number, length: number) => {
    if (length === 0 || mode === 'constant') return;
    if (mode === 'edge') addAt(sum(part, axis, { keepDims: true }), start, 1);
    else addAt(mode === 'reflect' ? flip(part, axis) : part, start, length);
  };
  fold(slice(g, axis, 0, before), mode === 'wrap' ? size - before : mode === 'reflect' ? 1 : 0, before);
  const last = mode === 'wrap' ? 0 : mode === 'reflect' ? size - 1 - after : size - 1;
  fold(slice(g, axis, before + size, before + size + after), last, after);
  return parts.reduce((total, part) => add(total, part));
}

function padAxis(x: Tensor, axis: number, before: number, after: number): Tensor {
  return pad(
    x,
    x.shape.map((_, index) => (index === axis ? [before, after] : [0, 0])),
  );
}

/**
 * `x` grown by `[before, after]` elements on each axis (NumPy's `pad`); negative counts cut elements off, before
 * anything is added. `reflect` adds at most one less than an axis holds, `wrap` at most as many. Gradients of copies are
 * added to those of their sources.
 * @throws bad-shape when there is not one pair an axis, more is cut off or copied than there is, or an axis whose size
 * is only a name is to grow.
 */
export function pad(
  x: Tensor,
  sizes: readonly (readonly [before: number, after: number])[],
  options: PadOptions = {},
): Tensor {
  const { mode = 'constant', value = 0 } = options;
  if (sizes.length !== x.shape.length || !sizes.flat().every(Number.isInteger))
    throw shapeError(`pad takes a pair of whole numbers for each axis of ${shapeText(x.shape)}.`);
  const cut = sizes.reduce((rest, ends, axis) => crop(rest, ends, axis), x);
  const before = sizes.map(([head]) => Math.max(head, 0));
  const after = sizes.map(([, tail]) => Math.max(tail, 0));
  if (before.every((head, axis) => head + (after[axis] ?? 0) === 0)) return cut;
  const shape: Dimension[] = cut.shape.map((size, axis) => {
    const [head, tail] = [before[axis] ?? 0, after[axis] ?? 0];
    if (head + tail === 0) return size;
    const limit = { constant: Number.POSITIVE_INFINITY, edge: Number.POSITIVE_INFINITY, reflect: -1, wrap: 0 }[mode];
    if (typeof size === 'string')
      throw shapeError(`pad cannot grow axis ${axis} of ${shapeText(x.shape)}, whose size is a name.`);
    if (Math.max(head, tail) > size + limit || (size === 0 && mode !== 'constant'))
      throw shapeError(`pad: ${mode} cannot add ${head} and ${tail} to axis ${axis} of ${shapeText(cut.shape)}.`);
    return size + head + tail;
  });
  const fill = x.dtype === 'float16' ? cast(constant(value), x.dtype) : constant(value, x.dtype);
  return applyOne(padOperation, [cut, fill], { before, after, mode }, { dtype: x.dtype, shape });
}

/** What negative counts leave of an axis. */
function crop(x: Tensor, [before, after]: readonly [number, number], axis: number): Tensor {
  if (before >= 0 && after >= 0) return x;
  const size = x.shape[axis] ?? 1;
  const [from, off] = [Math.max(-before, 0), Math.max(-after, 0)];
  if (typeof size === 'string' || from + off > size)
    throw shapeError(`pad cannot cut ${from} and ${off} elements off axis ${axis} of ${shapeText(x.shape)}.`);
  return slice(x, axis, from, size - off);
}
