/** Trees of state on a device: each leaf is a cell of the engine, shared by the views and joins that have it. */

import { TesseraError } from '../../host/error.js';
import { BYTES, type NDArray, sizeOf } from '../ndarray.js';
import { type Arrays, arrayLeaves, type Leaf, nest } from '../tree.js';
import type { Engine } from './engine.js';
import type { DeviceTree } from './types.js';

/** A leaf on the device. */
interface Cell {
  readonly id: number;
  readonly dtype: NDArray['dtype'];
  readonly shape: readonly number[];
}

/** A tree of cells by path. */
export class CellTree<S> implements DeviceTree<S> {
  readonly bytes: number;

  constructor(
    private readonly engine: Engine,
    readonly cells: ReadonlyMap<string, Cell>,
  ) {
    this.bytes = [...cells.values()].reduce((total, { shape, dtype }) => total + sizeOf(shape) * BYTES[dtype], 0);
  }

  view<K extends keyof S & (string | number)>(key: K): DeviceTree<S[K]> {
    const name = String(key);
    const inside = [...this.cells].flatMap(([path, cell]): [string, Cell][] =>
      path === name ? [['', cell]] : path.startsWith(`${name}.`) ? [[path.slice(name.length + 1), cell]] : [],
    );
    if (inside.length === 0) throw new TesseraError('not-found', `The state has no branch "${name}".`);
    return new CellTree<S[K]>(this.engine, new Map(inside));
  }

  async read(): Promise<Arrays<S>> {
    const values = await this.engine.read([...this.cells.values()].map(({ id }) => id));
    return nest(
      [...this.cells.keys()].map((path, index): Leaf<NDArray | undefined> => [path, values[index]]),
    ) as Arrays<S>;
  }

  async write(values: Arrays<S>): Promise<void> {
    const pairs = arrayLeaves(values).map(([path, value]) => {
      const cell = this.cells.get(path);
      if (cell === undefined) throw new TesseraError('mismatch', `The state has no leaf "${path}".`);
      if (cell.dtype !== value.dtype || cell.shape.join() !== value.shape.join()) {
        throw new TesseraError(
          'mismatch',
          `The state "${path}" is ${cell.dtype} [${cell.shape.join(', ')}]; a value of ${value.dtype} [${value.shape.join(', ')}] does not fit.`,
        );
      }
      return [cell.id, value] as const;
    });
    await this.engine.write(
      pairs.map(([id]) => id),
      pairs.map(([, value]) => value),
    );
  }

  dispose(): Promise<void> {
    return this.engine.free([...this.cells.values()].map(({ id }) => id));
  }
}

/** The cells of a tree, by path. @throws bad-option for a tree that no engine of this program made. */
export function cellsOf(tree: DeviceTree<unknown>): ReadonlyMap<string, Cell> {
  if (!(tree instanceof CellTree)) throw new TesseraError('bad-option', 'This device tree belongs to another runtime.');
  return tree.cells;
}
