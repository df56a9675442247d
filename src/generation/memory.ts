/**
 * What a host keeps of each row of a batch between runs of exported programs: caches that take rows at each row's own
 * position and grow by doubling, states that are replaced whole, and draws that last as long as the row.
 */

import type { PortDraw, ProgramEntry, ProgramPort } from '../formats/programs.js';
import { TesseraError } from '../host/error.js';
import { drawRows, fillDraw } from '../tensor/draws.js';
import { BYTES, bytesOf, type NDArray, sizeOf, zeros } from '../tensor/ndarray.js';

/** Which rows take part in a run, and where they stand. */
export interface Places {
  /** Rows of the batch, in the order of the run; all of them in their own order when absent. */
  readonly rows?: ArrayLike<number>;
  /** Of each of these rows: positions read before. */
  readonly at: ArrayLike<number>;
  /** Of each of these rows: new positions that count. */
  readonly lengths: ArrayLike<number>;
}

/** How a batch begins. */
export interface MemoryOptions {
  readonly batch: number;
  readonly seed: number;
  /** Positions that are likely to be needed, and at most. */
  readonly expected: number;
  readonly context: number;
}

type CachePort = Extract<ProgramPort, { readonly role: 'cache' }>;

/** The memory of a batch, shared by the programs that name the same caches, states and draws. */
export class RowMemory {
  private readonly caches = new Map<string, NDArray>();
  private readonly states = new Map<string, NDArray>();
  private readonly drawn = new Map<string, NDArray>();
  private runs = 0;

  /** @throws bad-file for a size that only the program itself could know. */
  constructor(
    programs: readonly ProgramEntry[],
    private readonly options: MemoryOptions,
  ) {
    const { batch, seed, expected } = options;
    for (const port of programs.flatMap(({ inputs }) => inputs)) {
      if (port.role === 'cache') {
        const capacity = port.shape[port.axis];
        const shape = knownShape(port, batch, typeof capacity === 'number' ? capacity : this.bucket(expected));
        this.caches.set(port.cache, zeros(shape, port.dtype));
      } else if (port.role === 'state') {
        this.states.set(port.state, zeros(knownShape(port, batch), port.dtype));
      } else if (port.role === 'draw' && port.draw.per === 'row') {
        const [, ...shape] = knownShape(port, batch);
        this.drawn.set(drawKey(port.draw), drawRows({ ...port.draw, shape }, seed, batch));
      }
    }
  }

  /** Begins a row anew: its states are zeros. Its caches need nothing, since what stands past its place is not read. */
  begin(row: number): void {
    for (const state of this.states.values()) {
      const size = state.data.byteLength / this.options.batch;
      bytesOf(state).fill(0, row * size, (row + 1) * size);
    }
  }

  /** What the program is fed with from here; caches have room for the new positions then. */
  feeds({ inputs }: ProgramEntry, { rows, at, lengths }: Places): Record<string, NDArray> {
    const feeds: Record<string, NDArray> = {};
    let needed = 0;
    for (let i = 0; i < at.length; i++) needed = Math.max(needed, (at[i] ?? 0) + (lengths[i] ?? 0));
    this.reserve(inputs, needed);
    const run = this.runs++;
    for (const port of inputs) {
      if (port.role === 'cache') feeds[port.name] = chosen(this.known(this.caches, port.cache), rows);
      else if (port.role === 'state') feeds[port.name] = chosen(this.known(this.states, port.state), rows);
      else if (port.role === 'draw') feeds[port.name] = this.draw(port, rows, run);
    }
    return feeds;
  }

  /** Takes over what a run gave: rows into caches, and states. */
  take({ inputs, outputs }: ProgramEntry, results: Readonly<Record<string, NDArray>>, places: Places): void {
    for (const port of outputs) {
      const result = results[port.name];
      if (result === undefined) continue;
      if (port.role === 'rows') {
        const into = inputs.find((input): input is CachePort => input.role === 'cache' && input.cache === port.cache);
        if (into === undefined) continue;
        const ring = typeof into.shape[into.axis] === 'number';
        writeRows(this.known(this.caches, port.cache), result, into.axis, places, ring);
      } else if (port.role === 'state') {
        replaceRows(this.known(this.states, port.state), result, places.rows, port.name);
      }
    }
  }

  /** The caches of one program have one capacity: the next power of two from 64, at most the context. */
  private reserve(inputs: readonly ProgramPort[], needed: number): void {
    const growing = inputs.filter(
      (port): port is CachePort => port.role === 'cache' && typeof port.shape[port.axis] === 'string',
    );
    const sizes = growing.map(({ cache, axis }) => this.known(this.caches, cache).shape[axis] ?? 0);
    const least = needed > Math.min(...sizes) ? this.bucket(needed) : 0;
    const capacity = Math.max(least, ...sizes);
    for (const { cache, axis } of growing) {
      this.caches.set(cache, grown(this.known(this.caches, cache), axis, capacity));
    }
  }

  private bucket(needed: number): number {
    const { context } = this.options;
    return Math.min(Math.max(context, needed), Math.max(64, 2 ** Math.ceil(Math.log2(Math.max(1, needed)))));
  }

  private draw(port: Extract<ProgramPort, { readonly role: 'draw' }>, rows: Places['rows'], run: number): NDArray {
    const { draw } = port;
    if (draw.per === 'row') return chosen(this.known(this.drawn, drawKey(draw)), rows);
    return fillDraw({ ...draw, shape: port.shape.map(Number) }, this.options.seed, run, 0);
  }

  private known(map: ReadonlyMap<string, NDArray>, name: string): NDArray {
    const value = map.get(name);
    if (value === undefined) throw new TesseraError('bad-file', `No program of this batch reads "${name}".`);
    return value;
  }
}

function drawKey({ path, verb, numbers }: PortDraw): string {
  return `${path}:${verb}(${numbers.join()})`;
}

/** The port's shape in numbers: "batch" is the number of rows, the axis of positions the capacity. */
function knownShape(port: ProgramPort, batch: number, capacity = 0): number[] {
  return port.shape.map((size, axis) => {
    if (port.role === 'cache' && axis === port.axis) return capacity;
    if (axis === 0 && size === 'batch') return batch;
    if (axis > 0 && typeof size === 'number') return size;
    throw new TesseraError(
      'bad-file',
      `The ${port.role} "${port.name}" has the size ${JSON.stringify(size)} on axis ${axis}: a host needs "batch" first and numbers after it.`,
    );
  });
}

/** Chosen rows of the first axis; the value itself where all are. */
function chosen(value: NDArray, rows: Places['rows']): NDArray {
  if (rows === undefined) return value;
  const [batch = 1, ...rest] = value.shape;
  const taken = zeros([rows.length, ...rest], value.dtype);
  const [from, to] = [bytesOf(value), bytesOf(taken)];
  const size = from.length / batch;
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] ?? 0;
    to.set(from.subarray(row * size, (row + 1) * size), i * size);
  }
  return taken;
}

function replaceRows(state: NDArray, result: NDArray, rows: Places['rows'], name: string): void {
  const count = rows?.length ?? state.shape[0] ?? 0;
  const expected = [count, ...state.shape.slice(1)];
  if (result.shape.join() !== expected.join()) {
    throw new TesseraError(
      'bad-shape',
      `The program gave "${name}" as [${result.shape.join(', ')}], not [${expected.join(', ')}].`,
    );
  }
  const [from, to] = [bytesOf(result), bytesOf(state)];
  const size = from.length / Math.max(1, count);
  for (let i = 0; i < count; i++) to.set(from.subarray(i * size, (i + 1) * size), (rows?.[i] ?? i) * size);
}

/** Sizes around an axis: blocks before it in one row of the batch, and bytes of one position. */
function around({ shape, dtype }: NDArray, axis: number): { readonly blocks: number; readonly width: number } {
  return { blocks: sizeOf(shape.slice(1, axis)), width: sizeOf(shape.slice(axis + 1)) * BYTES[dtype] };
}

function grown(cache: NDArray, axis: number, capacity: number): NDArray {
  const before = cache.shape[axis] ?? 0;
  if (capacity <= before) return cache;
  const larger = zeros(
    cache.shape.map((size, index) => (index === axis ? capacity : size)),
    cache.dtype,
  );
  const { blocks, width } = around(cache, axis);
  const [from, to] = [bytesOf(cache), bytesOf(larger)];
  const all = blocks * (cache.shape[0] ?? 0);
  for (let block = 0; block < all; block++) {
    to.set(from.subarray(block * before * width, (block + 1) * before * width), block * capacity * width);
  }
  return larger;
}

/** Writes the positions that count into each row's own places; in a ring the newest of those that meet stays. */
function writeRows(cache: NDArray, added: NDArray, axis: number, { rows, at, lengths }: Places, ring: boolean): void {
  const [capacity = 0, time = 0] = [cache.shape[axis], added.shape[axis]];
  const { blocks, width } = around(cache, axis);
  const [from, to] = [bytesOf(added), bytesOf(cache)];
  for (let i = 0; i < at.length; i++) {
    const [start, count] = [at[i] ?? 0, lengths[i] ?? 0];
    if (count > time || (!ring && start + count > capacity)) {
      throw new TesseraError('bad-shape', `A cache of ${capacity} positions has no place for ${count} at ${start}.`);
    }
    const row = rows?.[i] ?? i;
    for (let block = 0; block < blocks; block++) {
      const source = (i * blocks + block) * time;
      const target = (row * blocks + block) * capacity;
      if (!ring) {
        to.set(from.subarray(source * width, (source + count) * width), (target + start) * width);
        continue;
      }
      for (let step = Math.max(0, count - capacity); step < count; step++) {
        const place = target + ((start + step) % capacity);
        to.set(from.subarray((source + step) * width, (source + step + 1) * width), place * width);
      }
    }
  }
}
