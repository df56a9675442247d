/**
 * What the layers of a decoding H-Net keep on the device: caches of keys and values, which grow by doubling, and the states
 * of Mamba-2 layers, which do not grow.
 */

import { type CachedRows, initialMamba2State, type Mamba2State, mamba2StateSpecs } from '../../nn/index.js';
import { type DeviceTree, type NDArray, type Runtime, type Spec, zeros } from '../../tensor/index.js';
import { isAttention } from './layout.js';
import type { StackForm } from './stack.js';

/** What a layer keeps of each row. */
export interface LayerState {
  /** `[batch, heads, capacity, head]` each. */
  readonly cache?: CachedRows;
  readonly mamba?: Mamba2State;
}

/** The specs of a stack's layers, with the named sizes "batch" and "capacity". */
export function stateSpecs(form: StackForm): readonly unknown[] {
  const cache: Spec = { dtype: 'float32', shape: ['batch', form.heads, 'capacity', form.head] };
  return form.kinds.map((kind) =>
    isAttention(kind) ? { cache: { key: cache, value: cache } } : { mamba: mamba2StateSpecs(form.mamba, 'batch') },
  );
}

/** The states of every stack of a session. */
export interface StepStates {
  /** The state of a stack with room for so many positions. */
  fit(name: string, needed: number): Promise<DeviceTree<unknown>>;
  dispose(): Promise<void>;
}

interface Held {
  readonly tree: DeviceTree<unknown>;
  readonly capacity: number;
}

interface CacheArrays {
  readonly key: NDArray;
  readonly value: NDArray;
}

type LayerArrays = { readonly cache?: CacheArrays; readonly mamba?: Mamba2State<NDArray> };

/** Opens the states of a batch, with room for `expected` positions; at most `context` will be needed. */
export async function openStates(
  runtime: Runtime,
  forms: readonly (readonly [string, StackForm])[],
  batch: number,
  expected: number,
  context: number,
): Promise<StepStates> {
  const held = new Map<string, Held>();
  const make = async (form: StackForm, capacity: number, old: readonly LayerArrays[] | undefined): Promise<Held> => {
    const layers = form.kinds.map((kind, layer): LayerArrays => {
      if (!isAttention(kind)) return old?.[layer] ?? { mamba: initialMamba2State(form.mamba, batch) };
      const before = old?.[layer]?.cache;
      return {
        cache: { key: grown(form, batch, capacity, before?.key), value: grown(form, batch, capacity, before?.value) },
      };
    });
    return { tree: await runtime.upload({ layers }), capacity };
  };
  const bucket = (needed: number): number =>
    Math.min(Math.max(context, needed), Math.max(64, 2 ** Math.ceil(Math.log2(Math.max(1, needed)))));
  for (const [name, form] of forms) held.set(name, await make(form, bucket(expected), undefined));
  const formOf = new Map(forms);
  return {
    fit: async (name, needed) => {
      const [now, form] = [held.get(name), formOf.get(name)];
      if (now === undefined || form === undefined) throw new Error(`no stack ${name}`);
      if (needed <= now.capacity) return now.tree;
      const { layers } = (await now.tree.read()) as { readonly layers: readonly LayerArrays[] };
      const larger = await make(form, bucket(needed), layers);
      await now.tree.dispose();
      held.set(name, larger);
      return larger.tree;
    },
    dispose: async () => {
      for (const { tree } of held.values()) await tree.dispose();
    },
  };
}

function grown({ heads, head }: StackForm, batch: number, capacity: number, old: NDArray | undefined): NDArray {
  const values = zeros([batch, heads, capacity, head]);
  if (old === undefined) return values;
  const [from, to] = [(old.shape[2] ?? 0) * head, capacity * head];
  for (let row = 0; row < batch * heads; row++) {
    values.data.set((old.data as Float32Array).subarray(row * from, (row + 1) * from), row * to);
  }
  return values;
}
