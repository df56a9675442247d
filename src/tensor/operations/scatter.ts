/**
 * Writing by index: the last update wins, or the largest, or the smallest.
 *
 * ONNX's ScatterND writes from several threads at once, so what repeated indices leave there depends on chance, and its
 * additions lose terms. Everything here is exact and the same at every run: single elements go through ScatterElements,
 * whose kernel takes updates in order; whole rows that are set first find out which update comes last for each row and
 * are then gathered, which for [65536, 256] into [4096, 256] takes 8 ms of processor time,
 * by ScatterElements 1,100.
 */

import { filledWith, zerosOf } from '../fills.js';
import {
  applyOne,
  constant,
  normalizeAxis,
  type Operation,
  type Shape,
  sameShape,
  shapeError,
  shapeText,
  type Tensor,
} from '../graph.js';
import { flatIndices, mergeIndices, requireIndex, spreadIndices, three } from '../indexing.js';
import { broadcastTo } from './broadcast.js';
import { add, cast, div, equal, less, mul, only, where } from './elementwise.js';
import { gather, gatherElements, range, scatterElementsAdd, scatterRowsAdd } from './gather.js';
import { reshape } from './shape.js';

/** What becomes of an element that is written to: the last update, the sum, or the largest or smallest, its own value included. */
export type ScatterReduction = 'set' | 'add' | 'max' | 'min';

type Extreme = Exclude<ScatterReduction, 'add'>;

/** How a kind of scatter reads back what it wrote. */
interface Access {
  /** What lies at the indices: the shape of the updates. */
  read(from: Tensor): Tensor;
  /** Zeros of x's shape with values added at the indices. */
  addUp(values: Tensor): Tensor;
}

/** Gradients of the largest or smallest: in equal shares to every value that attains it, as for `max`. */
function shareAmongWinners(x: Tensor, updates: Tensor, y: Tensor, g: Tensor, { read, addUp }: Access): Tensor[] {
  const kept = cast(equal(x, y), g.dtype);
  const won = cast(equal(updates, read(y)), g.dtype);
  const share = div(g, add(kept, addUp(won)));
  return [mul(kept, share), mul(won, read(share))];
}

/** Gradients of values that were set: to x where nothing was written, to the update that came last elsewhere. */
function toLast(g: Tensor, written: Tensor, last: Tensor, read: Access['read']): Tensor[] {
  const none = zerosOf([], g.dtype);
  return [where(written, none, g), where(last, read(g), none)];
}

/** For each place of x how far along the axis its last update stands, -1 for none; and that position of each update. */
function lastUpdates(x: Tensor, indices: Tensor, axis: number): readonly [last: Tensor, own: Tensor] {
  const line: Shape = indices.shape.map((size, index) => (index === axis ? size : 1));
  const own = broadcastTo(reshape(range(indices.shape[axis] ?? 1), line), indices.shape);
  const none = filledWith(constant(-1, 'int32'), x.shape);
  return [scatterElements(none, indices, own, axis, 'max'), own];
}

const scatterElementsOperation: Operation = {
  name: 'scatterElements',
  gradient: ({ inputs, attributes, outputs }, [g]) => {
    if (g === undefined) return [];
    const [x, indices, updates] = three(inputs);
    const axis = Number(attributes.axis);
    const read = (from: Tensor) => gatherElements(from, indices, axis);
    if (attributes.reduction === 'set') {
      const [last, own] = lastUpdates(x, indices, axis);
      const [gx, gu] = toLast(g, less(-1, last), equal(read(last), own), read);
      return [gx, undefined, gu];
    }
    const addUp = (values: Tensor) => scatterElementsAdd(zerosOf(x.shape, g.dtype), indices, values, axis);
    const [gx, gu] = shareAmongWinners(x, updates, only(outputs), g, { read, addUp });
    return [gx, undefined, gu];
  },
  lower: ({ inputs, attributes }, emitter) =>
    emitter.emit('ScatterElements', inputs.map(emitter.name), {
      axis: attributes.axis,
      reduction: attributes.reduction === 'set' ? 'none' : attributes.reduction,
    }),
};

/**
 * `x` with `updates` written at `indices` along an axis: for axis 0, `out[indices[i][j]][j] = updates[i][j]`. `indices`
 * and `updates` have one shape, of x's rank. Indices count from 0 and may repeat: of updates to one place the last along
 * the axis is set; `max` and `min` take x's own value in. The gradient of a set goes to the update that stayed and to
 * those of `x` that nothing overwrote; that of a largest or smallest is shared equally among values that tie.
 * @throws bad-shape when shapes or dtypes do not fit, or for `max` and `min` of bool.
 */
export function scatterElements(
  x: Tensor,
  indices: Tensor,
  updates: Tensor,
  axis = -1,
  reduction: ScatterReduction = 'set',
): Tensor {
  if (reduction === 'add') return scatterElementsAdd(x, indices, updates, axis);
  requireIndex(indices, 'scatterElements');
  const at = normalizeAxis(axis, x.shape.length, 'scatterElements');
  requireComparable(x, reduction, 'scatterElements');
  if (
    !sameShape(indices.shape, updates.shape) ||
    updates.dtype !== x.dtype ||
    indices.shape.length !== x.shape.length
  ) {
    throw shapeError(
      `scatterElements cannot write ${shapeText(updates.shape)} of ${updates.dtype} at ${shapeText(indices.shape)} of ${shapeText(x.shape)} of ${x.dtype}.`,
    );
  }
  return applyOne(scatterElementsOperation, [x, indices, updates], { axis: at, reduction }, x);
}

function requireComparable(x: Tensor, reduction: Extreme, operation: string): void {
  if (x.dtype === 'bool' && reduction !== 'set')
    throw shapeError(`${operation} has no ${reduction} of truth values; cast them to int32.`);
}

/** Inputs: x, one list of indices, updates `[n, ...row]`, and for each row the number of its place in x and updates joined. */
const setRowsOperation: Operation = {
  name: 'scatterRows',
  gradient: ({ inputs }, [g]) => {
    const [x, indices, , places] = inputs;
    if (g === undefined || x === undefined || indices === undefined || places === undefined) return [];
    const ones = x.shape.slice(1).map(() => 1);
    const [rows = 0] = x.shape;
    const own = range(indices.shape[0] ?? 1, { start: Number(rows) });
    const [gx, gu] = toLast(
      g,
      reshape(less(Number(rows) - 1, places), [rows, ...ones]),
      reshape(equal(gather(places, indices), own), [-1, ...ones]),
      (from) => gather(from, indices),
    );
    return [gx, undefined, gu];
  },
  lower: ({ inputs }, emitter) => {
    const [x, , updates, places] = inputs.map(emitter.name);
    const joined = emitter.emit('Concat', [x ?? '', updates ?? ''], { axis: 0 });
    return emitter.emit('Gather', [...joined, places ?? ''], { axis: 0 });
  },
};

const extremeRowsOperation: Operation = {
  name: 'scatterRowsExtreme',
  gradient: ({ inputs, outputs }, [g]) => {
    if (g === undefined) return [];
    const [x, indices, updates] = three(inputs);
    const [gx, gu] = shareAmongWinners(x, updates, only(outputs), g, {
      read: (from) => gather(from, indices),
      addUp: (values) => scatterRowsAdd(zerosOf(x.shape, g.dtype), indices, values),
    });
    return [gx, undefined, gu];
  },
  lower: ({ inputs, attributes }, emitter) => {
    const [x, indices, updates] = three(inputs);
    const places = spreadIndices(emitter, indices, x.shape.slice(1));
    return emitter.emit('ScatterElements', [emitter.name(x), places, emitter.name(updates)], {
      axis: 0,
      reduction: attributes.reduction,
    });
  },
};

/**
 * `x` with row `indices[i]` replaced by `updates[i]`, or with their sum, largest or smallest, element by element.
 * `updates` is indices' shape, then a row's. Indices count from 0 and may repeat: the last of a row is set. Gradients as
 * {@link scatterElements}. @throws bad-shape when shapes or dtypes do not fit, for `max` and `min` of bool, and when the
 * number of rows (for a set) or the size of a row is only a name.
 */
export function scatterRows(x: Tensor, indices: Tensor, updates: Tensor, reduction: ScatterReduction = 'set'): Tensor {
  if (reduction === 'add') return scatterRowsAdd(x, indices, updates);
  requireIndex(indices, 'scatterRows');
  requireComparable(x, reduction, 'scatterRows');
  const row = x.shape.slice(1);
  if (!sameShape([...indices.shape, ...row], updates.shape) || x.dtype !== updates.dtype || x.shape.length === 0) {
    throw shapeError(
      `scatterRows cannot write ${shapeText(updates.shape)} of ${updates.dtype} to rows of ${shapeText(x.shape)} of ${x.dtype} at ${shapeText(indices.shape)}.`,
    );
  }
  const flat = flatIndices(indices);
  const [count = 1] = flat.shape;
  const list = reshape(updates, [count, ...row]);
  if (reduction !== 'set') return applyOne(extremeRowsOperation, [x, flat, list], { reduction }, x);
  const [rows = 0] = x.shape;
  if (typeof rows === 'string') throw shapeError(`scatterRows needs a known number of rows, not "${rows}".`);
  const places = scatterElements(range(rows), flat, range(count, { start: rows }), 0, 'max');
  return applyOne(setRowsOperation, [x, flat, list, places], {}, x);
}

/**
 * `x` with slices written at index tuples (ONNX's ScatterND): `indices` is `[..., k]` into the first k axes of `x`,
 * `updates` is indices' shape without k, then the axes of `x` after those k. Tuples count from 0, lie inside, and may
 * repeat, as {@link scatterRows} says; so do its gradients and errors.
 */
export function scatterND(x: Tensor, indices: Tensor, updates: Tensor, reduction: ScatterReduction = 'set'): Tensor {
  const [merged, rows] = mergeIndices(x, indices, 'scatterND');
  return reshape(scatterRows(merged, rows, updates, reduction), x.shape);
}
