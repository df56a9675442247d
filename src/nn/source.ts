/**
 * Batches from arrays in memory, and from a function of the batch's number. The order is a pure function of the seed
 * and the epoch, so that a cursor is two numbers.
 */

import { isJsonObject, type Json } from '../formats/index.js';
import {
  arrayLeaves,
  bytesOf,
  isNDArray,
  mapTree,
  type NDArray,
  random,
  type Tensors,
  TesseraError,
  viewAs,
} from '../tensor/index.js';
import type { BatchSource } from './module.js';

/** Options of {@link arraySource}. */
export interface ArraySourceOptions {
  /** Rows of a batch. */
  readonly batch: number;
  /** A new order in every epoch (default true). */
  readonly shuffle?: boolean;
  readonly seed?: number;
  /** How often the arrays are gone through (default: without end). */
  readonly epochs?: number;
}

/**
 * Batches of rows of arrays: every leaf is `[rows, ...]`, with the same number of rows. What does not fill a batch at
 * the end of an epoch is left out, other rows each time when shuffled.
 *
 * @throws bad-input when the leaves differ in rows, or have fewer than a batch.
 */
export function arraySource<A>(arrays: A, options: ArraySourceOptions): BatchSource<Tensors<A>> {
  const { batch, shuffle = true, seed = 0, epochs = Number.POSITIVE_INFINITY } = options;
  checkCount('batch', batch);
  const leaves = arrayLeaves(arrays);
  const rows = leaves[0]?.[1].shape[0] ?? 0;
  for (const [path, { shape }] of leaves) {
    if (shape[0] === rows) continue;
    throw new TesseraError(
      'bad-input',
      `The array "${path}" has ${shape[0] ?? 'no'} rows, "${leaves[0]?.[0]}" has ${rows}.`,
    );
  }
  if (rows < batch) {
    throw new TesseraError('bad-input', `The arrays have ${rows} rows, fewer than one batch of ${batch} needs.`, {
      hint: 'Take a smaller batch or more rows.',
    });
  }
  const perEpoch = Math.floor(rows / batch);
  let place = { epoch: 0, index: 0 };
  let order: { readonly epoch: number; readonly rows: Int32Array } | undefined;
  const orderOf = (epoch: number): Int32Array => {
    if (order?.epoch !== epoch) order = { epoch, rows: random(seed).child('rows').at(epoch).permutation(rows).data };
    return order.rows;
  };
  return {
    next: async () => {
      if (place.index >= perEpoch) place = { epoch: place.epoch + 1, index: 0 };
      const { epoch, index } = place;
      if (epoch >= epochs) return undefined;
      const start = index * batch;
      const picked = shuffle
        ? orderOf(epoch).subarray(start, start + batch)
        : Int32Array.from({ length: batch }, (_, i) => start + i);
      place = { epoch, index: index + 1 };
      return mapTree(arrays, isNDArray, (leaf) => takeRows(leaf, picked));
    },
    cursor: () => ({ ...place }),
    seek: async (cursor) => {
      place = { epoch: cursorNumber(cursor, 'epoch'), index: cursorNumber(cursor, 'index') };
      if (place.index > perEpoch) throw foreignCursor(cursor);
    },
  };
}

/** Batches from a function of their number, from 0: synthetic tasks. The function returns undefined at the end. */
export function functionSource<A>(
  make: (index: number) => A | undefined | Promise<A | undefined>,
): BatchSource<Tensors<A>> {
  let index = 0;
  return {
    next: async () => {
      const batch = await make(index);
      if (batch === undefined) return undefined;
      index++;
      return mapTree(batch, isNDArray, (leaf) => leaf);
    },
    cursor: () => ({ index }),
    seek: async (cursor) => {
      index = cursorNumber(cursor, 'index');
    },
  };
}

/** The rows of an array that `rows` names, in that order. */
function takeRows(array: NDArray, rows: Int32Array): NDArray {
  const [count = 0, ...rest] = array.shape;
  const source = bytesOf(array);
  const width = count === 0 ? 0 : source.length / count;
  const target = new Uint8Array(rows.length * width);
  for (const [i, row] of rows.entries()) target.set(source.subarray(row * width, (row + 1) * width), i * width);
  const length = count === 0 ? 0 : (array.data.length / count) * rows.length;
  return { dtype: array.dtype, shape: [rows.length, ...rest], data: viewAs(array.dtype, target.buffer, 0, length) };
}

/** Refuses what is no whole number of at least 1. @throws bad-option. */
export function checkCount(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 1) return;
  throw new TesseraError('bad-option', `${name} must be a whole number of at least 1, not ${value}.`);
}

/** A count in a cursor. @throws mismatch when it is not there. */
export function cursorNumber(cursor: Json, field: string): number {
  const value = isJsonObject(cursor) ? cursor[field] : undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw foreignCursor(cursor);
}

/** The error of a cursor that another source made. */
export function foreignCursor(cursor: Json): TesseraError {
  return new TesseraError('mismatch', `The place to go on from, ${JSON.stringify(cursor)}, is not one of this data.`, {
    hint: 'The data is not what the run was started with.',
  });
}
