/**
 * Many rows added to the rows of a table, as products of small matrices.
 *
 * ScatterElements adds one element at a time on one thread, and ScatterND, which takes rows, loses terms where indices
 * repeat. Here the rows are sorted by index and cut into blocks. A block's sums are a product with a block-sized matrix
 * of zeros and ones; all of them but the block's first belong to an index that begins in this block, so that no other
 * block names it there and ScatterND is exact; the firsts, one a block, go through ScatterElements. The result is the
 * same at every run.
 */

import { type Emitter, elements, isStatic, type Tensor } from './graph.js';
import { allocate, array, type DType, type NDArray } from './ndarray.js';

const BLOCK = 64;
/** From this many elements on it is faster than ScatterElements, whose cost an element triples past the caches. */
const ELEMENTS = 2 ** 20;
/** Narrower rows cost more to sort than to add. */
const WIDTH = 64;
/** Up to here one product with a one-hot matrix is as fast. */
const ROWS = 256;

/**
 * True where {@link emitSortedSums} is the fastest way: many wide float rows of known size, on the processor. On one
 * thread, in ms of processor time once memory is warm: [65536, 256] into 4,096 rows 46 to 77 against ScatterElements'
 * 1,090 to 1,220; [4096, 256] into 1,024 2.6, against 8 and a one-hot product's 14.
 */
export function prefersSortedSums({ device }: Emitter, x: Tensor, updates: Tensor): boolean {
  const [rows, width] = x.shape;
  if (x.shape.length !== 2 || typeof rows !== 'number' || typeof width !== 'number') return false;
  if ((device !== 'cpu' && device !== 'wasm') || (x.dtype !== 'float32' && x.dtype !== 'float64')) return false;
  return rows > ROWS && width >= WIDTH && isStatic(updates.shape) && elements(updates.shape) >= ELEMENTS;
}

/** Emits `x` `[rows, width]` with `count` rows of `updates` added at `indices`; its name is undefined where it is zero. */
export function emitSortedSums(
  emitter: Emitter,
  x: { readonly name: string | undefined; readonly rows: number; readonly width: number; readonly dtype: DType },
  indices: string,
  updates: string,
  count: number,
): readonly string[] {
  const { rows, width, dtype } = x;
  const one = (type: string, inputs: readonly string[], attributes: Record<string, unknown> = {}): string =>
    emitter.emit(type, inputs, attributes)[0] ?? '';
  const vector = (...values: number[]) => emitter.constant(array(values, [values.length], 'int64'));
  const whole = (values: readonly number[], shape: readonly number[]) =>
    emitter.constant(array(values, shape, 'int32'));
  const reshaped = (value: string, ...shape: number[]) => one('Reshape', [value, vector(...shape)]);
  const cut = (value: string, axis: number, start: number, end: number) =>
    one('Slice', [value, vector(start), vector(end), vector(axis)]);
  const blocks = Math.ceil(count / BLOCK);
  const extra = blocks * BLOCK - count;

  // Sorted indices, filled up with one past the table, and the rows in that order.
  const narrow = one('Cast', [reshaped(indices, count)], { to: { dtype: 'int32' } });
  const filled =
    extra === 0 ? narrow : one('Concat', [narrow, whole(new Array<number>(extra).fill(rows), [extra])], { axis: 0 });
  const [sorted = '', order = ''] = emitter.emit('TopK', [filled, vector(blocks * BLOCK)], { axis: 0, largest: 0 }, 2);
  const inside = extra === 0 ? order : one('Min', [order, vector(count - 1)]);
  const lined = reshaped(one('Gather', [reshaped(updates, count, width), inside], { axis: 0 }), blocks, BLOCK, width);

  // Which different index of its block each row has, counted from 0.
  const named = reshaped(sorted, blocks, BLOCK);
  const same = one('Equal', [cut(named, 1, 0, BLOCK - 1), cut(named, 1, 1, BLOCK)]);
  const steps = one('Cast', [one('Not', [same])], { to: { dtype: 'int32' } });
  const axis = emitter.constant(array([1], [], 'int64'));
  const zeros = one('Expand', [whole([0], [1, 1]), vector(blocks, 1)]);
  const ranks = one('Concat', [zeros, one('CumSum', [steps, axis])], { axis: 1 });

  const line = Array.from({ length: BLOCK }, (_, place) => place);
  const chosen = one('Equal', [reshaped(ranks, blocks, 1, BLOCK), whole(line, [BLOCK, 1])]);
  const sums = one('MatMul', [one('Cast', [chosen], { to: { dtype } }), lined]);

  // The index of each sum; what is not one goes to rows past the table, a different one for each place of a block.
  const past = whole(
    line.map((place) => rows + place),
    [1, BLOCK],
  );
  const nowhere = one('Expand', [past, vector(blocks, BLOCK)]);
  const places = one('ScatterElements', [nowhere, ranks, named], { axis: 1 });
  const later = one('Concat', [cut(nowhere, 1, 0, 1), cut(places, 1, 1, BLOCK)], { axis: 1 });
  const tuples = reshaped(one('Cast', [later], { to: { dtype: 'int64' } }), blocks * BLOCK, 1);

  const zero: NDArray = { dtype, shape: [1, 1], data: allocate(dtype, 1) };
  const empty = one('Expand', [emitter.constant(zero), vector((x.name === undefined ? rows : 0) + BLOCK, width)]);
  const base = x.name === undefined ? empty : one('Concat', [x.name, empty], { axis: 0 });
  const most = one('ScatterND', [base, tuples, reshaped(sums, blocks * BLOCK, width)], { reduction: 'add' });
  const firsts = one('Expand', [cut(places, 1, 0, 1), vector(1, width)]);
  const heads = reshaped(cut(sums, 1, 0, 1), blocks, width);
  const all = one('ScatterElements', [most, firsts, heads], { axis: 0, reduction: 'add' });
  return [cut(all, 0, 0, rows)];
}
