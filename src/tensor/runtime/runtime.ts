/** Runtimes: an engine with a device, in a thread of its own or in this one, that uploads state and compiles functions. */

import { type ProgramSpecs, type Traceable, trace } from '../trace.js';
import { arrayLeaves, type Tensors } from '../tree.js';
import { CellTree, cellsOf } from './device-tree.js';
import { localEngine, type Plan } from './engine.js';
import { fallbacksOf, withoutKernel } from './fallbacks.js';
import { loadModel } from './load.js';
import { lowerForRuns } from './lower-runs.js';
import { CompiledProgram } from './program.js';
import { remoteEngine } from './remote.js';
import type { DeviceTree, Runtime, RuntimeOptions } from './types.js';

/**
 * Starts a runtime. `auto` (the default) takes the best device that is there: in Node CUDA where its library is installed,
 * the native CPU, then WebAssembly; in a page WebGPU, then WebAssembly. `about` says in one line which it is.
 * @throws not-found or unsupported, with what to do, for a device that is not there.
 */
export async function createRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  const { worker = true, ...engineOptions } = options;
  const engine = worker ? remoteEngine() : localEngine();
  const { device, threads, about } = await engine.open(engineOptions).catch(async (error: unknown) => {
    await engine.close();
    throw error;
  });
  return {
    device,
    threads,
    about,
    upload: async <A>(values: A) => {
      const pairs = arrayLeaves(values);
      const ids = await engine.store(pairs.map(([, value]) => value));
      return new CellTree<Tensors<A>>(
        engine,
        new Map(pairs.map(([path, { dtype, shape }], index) => [path, { id: ids[index] ?? 0, dtype, shape }])),
      );
    },
    join: <T extends Readonly<Record<string, unknown>>>(trees: { readonly [K in keyof T]: DeviceTree<T[K]> }) => {
      const cells = Object.entries<DeviceTree<unknown>>(trees).flatMap(([name, tree]) =>
        [...cellsOf(tree)].map(([path, cell]) => [path === '' ? name : `${name}.${path}`, cell] as const),
      );
      return new CellTree<T>(engine, new Map(cells));
    },
    compile: async <S, In, Out>(f: Traceable<S, In, Out>, specs: ProgramSpecs<S, In>) => {
      const found = trace(f, specs);
      const { lowered, plan: partial, checked, ...replaced } = lowerForRuns(found, device, specs);
      const plan: Plan = { ...partial, seed: specs.seed ?? 0, threads: specs.threads };
      const inputNames = new Set(lowered.model.graph.input.map(({ name }) => name));
      const id = await loadModel(engine, lowered, plan).catch((error: unknown) => {
        throw withoutKernel(error, lowered, device);
      });
      const fallbacks = await fallbacksOf(engine, id, lowered);
      const report = { nodes: lowered.nodes, flops: lowered.flops, fallbacks };
      return new CompiledProgram<S, In, Out>(engine, id, found, plan, replaced, inputNames, checked, device, report);
    },
    dispose: () => engine.close(),
  };
}
