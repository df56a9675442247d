/** Runtimes, device state and programs: what a caller holds of an engine. */

import { TesseraError } from '../../host/error.js';
import { isInput, type Tensor } from '../graph.js';
import { BYTES, isNDArray, type NDArray, sizeOf } from '../ndarray.js';
import { type Lowered, lower, topological } from '../onnx/lower.js';
import { encodeFiles } from '../onnx/write.js';
import { sum } from '../operations/broadcast.js';
import { cast, isFloat, sub } from '../operations/elementwise.js';
import { concat, reshape } from '../operations/shape.js';
import { type ProgramSpecs, type Trace, type Traceable, trace } from '../trace.js';
import { type Arrays, arrayLeaves, type Leaf, mapTree, nest, type Tensors } from '../tree.js';
import { type Engine, type EngineOptions, localEngine, type Plan } from './engine.js';
import { loadModel } from './load.js';
import type { Device } from './provider.js';
import { remoteEngine } from './remote.js';

/** How a runtime is made. */
export interface RuntimeOptions extends EngineOptions {
  /** Run in a worker thread (the default), so that this thread stays free. */
  readonly worker?: boolean;
}

/** A tree of state that lives on the device. Views and joins share the same leaves. */
export interface DeviceTree<S> {
  /** Bytes that the leaves take. */
  readonly bytes: number;
  /** A branch of the tree. @throws not-found when there is no such branch. */
  view<K extends keyof S & (string | number)>(key: K): DeviceTree<S[K]>;
  /** The values, copied to this thread. */
  read(): Promise<Arrays<S>>;
  /** New values for every leaf that `values` has. @throws mismatch when a shape differs. */
  write(values: Arrays<S>): Promise<void>;
  /** Frees the leaves, also for views and joins that share them. */
  dispose(): Promise<void>;
}

/** What a program costs. */
export interface ProgramReport {
  readonly nodes: number;
  /** Floating-point operations of the matrix products in one run. */
  readonly flops: number;
  /** Operations that left the device. */
  readonly fallbacks: readonly string[];
}

/** What a run gives: outputs in the form the function returned, and recorded figures by path. */
export interface RunOutput<Out> {
  readonly out: Arrays<Out>;
  readonly figures: Readonly<Record<string, number>>;
}

/** A compiled function of state and input. */
export interface Program<S, In, Out> {
  /** Runs once; state that the function returned replaces the old. `step` and `micro` choose the draws. */
  run(
    state: DeviceTree<S>,
    input: Arrays<In>,
    at?: { readonly step?: number; readonly micro?: number },
  ): Promise<RunOutput<Out>>;
  /** The program as ONNX files, with `weights` as constants in place of the state inputs when given. */
  toONNX(weights?: Arrays<S>): Iterable<{ readonly file: string; readonly bytes: Uint8Array }>;
  readonly report: ProgramReport;
  dispose(): Promise<void>;
}

/** An engine with a device: uploads state, compiles functions. */
export interface Runtime {
  readonly device: Device;
  readonly threads: number;
  /** One line that says which engine runs. */
  readonly about: string;
  /** Copies a tree of arrays to the device. */
  upload<A>(values: A): Promise<DeviceTree<Tensors<A>>>;
  /** One tree of several, each under its name; nothing is copied. */
  join<T extends Readonly<Record<string, unknown>>>(
    trees: { readonly [K in keyof T]: DeviceTree<T[K]> },
  ): DeviceTree<T>;
  /** Traces `f` once and compiles it. @throws TesseraError bad-shape naming operation, shapes and line. */
  compile<S, In, Out>(f: Traceable<S, In, Out>, specs: ProgramSpecs<S, In>): Promise<Program<S, In, Out>>;
  /** Ends the engine; everything it held is gone. */
  dispose(): Promise<void>;
}

interface Cell {
  readonly id: number;
  readonly dtype: NDArray['dtype'];
  readonly shape: readonly number[];
}

class CellTree<S> implements DeviceTree<S> {
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

function cellsOf(tree: DeviceTree<unknown>): ReadonlyMap<string, Cell> {
  if (!(tree instanceof CellTree)) throw new TesseraError('bad-option', 'This device tree belongs to another runtime.');
  return tree.cells;
}

const FILE = 'model.onnx';

/** Lowers a trace with the names that runs use: `in:`, `state:`, `out:`, `new:`, `figure:`. */
function lowerForRuns(
  found: Trace,
  device: Device,
  checkNumerics: boolean,
): { lowered: Lowered; plan: Omit<Plan, 'seed'>; checked: readonly Tensor[] } {
  // Caches of one model share their positions: one output for all of them.
  const places = [...new Set(found.appends.map(({ at }) => at))];
  const appends = found.appends.map(({ path, rows, at }, index) => ({
    path,
    rows,
    at,
    names: { rows: `rows${index}:${path}`, at: `at${places.indexOf(at)}` },
  }));
  const results: (readonly [string, Tensor])[] = [
    ...found.updates.map(([path, tensor]) => [`new:${path}`, tensor] as const),
    ...appends.map(({ rows, names }) => [names.rows, rows] as const),
    ...places.map((at, index) => [`at${index}`, at] as const),
    ...found.out.map(([path, tensor]) => [`out:${path}`, tensor] as const),
    ...found.figures.map(([path, tensor]) => [`figure:${path}`, tensor] as const),
  ];
  const checked = checkNumerics ? floatTensors(results.map(([, tensor]) => tensor)) : [];
  if (checked.length > 0) results.push(['checks', finiteness(checked)]);
  const needed = new Set(topological(results.map(([, tensor]) => tensor)));
  const used = <T extends readonly [unknown, Tensor]>(list: readonly T[]): T[] =>
    list.filter(([, tensor]) => needed.has(tensor.node));
  const state = used(found.state);
  const draws = used(found.draws);
  const usesStep = needed.has(found.step.node);
  const lowered = lower({
    name: 'tessera',
    device,
    inputs: [
      ...state.map(([path, tensor]) => [`state:${path}`, tensor] as const),
      ...used(found.input).map(([path, tensor]) => [`in:${path}`, tensor] as const),
      ...draws.map(([, tensor], index) => [`draw${index}`, tensor] as const),
      ...(usesStep ? [['step', found.step] as const] : []),
    ],
    outputs: results,
  });
  const plan: Omit<Plan, 'seed'> = {
    state: state.map(([path]) => `state:${path}`),
    draws: draws.map(([draw], index) => ({ name: `draw${index}`, draw })),
    usesStep,
    updates: found.updates.map(([path]) => `new:${path}`),
    appends: appends.map(({ names }) => names),
    out: found.out.map(([path]) => `out:${path}`),
    figures: found.figures.map(([path]) => `figure:${path}`),
    ...(checked.length > 0 ? { checks: 'checks' } : {}),
    frozen: found.updates.length === 0 && lowered.initializers.some(({ value }) => value.data.length > 4096),
  };
  return { lowered, plan, checked };
}

/** Float tensors that a program computes, in order. */
function floatTensors(results: readonly Tensor[]): Tensor[] {
  return topological(results).flatMap((node) =>
    node.value !== undefined ? [] : node.outputs.slice(0, 1).filter(({ dtype }) => isFloat(dtype)),
  );
}

/** One number a tensor: 0 where every element is finite (x - x is 0 for a finite x, NaN otherwise). */
function finiteness(tensors: readonly Tensor[]): Tensor {
  const checks = tensors.map((tensor) => reshape(cast(sum(sub(tensor, tensor)), 'float32'), [1]));
  return concat(checks, 0);
}

class CompiledProgram<S, In, Out> implements Program<S, In, Out> {
  constructor(
    private readonly engine: Engine,
    private readonly id: number,
    private readonly found: Trace,
    private readonly plan: Plan,
    private readonly inputNames: ReadonlySet<string>,
    private readonly checked: readonly Tensor[],
    private readonly device: Device,
    readonly report: ProgramReport,
  ) {}

  async run(
    state: DeviceTree<S>,
    input: Arrays<In>,
    at: { readonly step?: number; readonly micro?: number } = {},
  ): Promise<RunOutput<Out>> {
    const cells = cellsOf(state);
    const cell = (path: string): number => {
      const found = cells.get(path);
      if (found === undefined)
        throw new TesseraError('mismatch', `The program needs state "${path}", which the tree given does not have.`);
      return found.id;
    };
    const { step = 0, micro = 0 } = at;
    const result = await this.engine.run({
      program: this.id,
      state: this.plan.state.map((name) => cell(name.slice('state:'.length))),
      updates: this.found.updates.map(([path]) => cell(path)),
      appends: this.found.appends.map(({ path }) => cell(path)),
      input: this.bindInput(input),
      step,
      micro,
    });
    if (result.failed !== undefined && result.failed >= 0) throw this.notFinite(result.failed, step);
    let index = 0;
    const out: Arrays<Out> = mapTree(
      this.found.outTree,
      (value): value is Tensor => isTensorLike(value),
      () => result.out[index++],
    );
    return {
      out,
      figures: Object.fromEntries(this.found.figures.map(([path], at) => [path, result.figures[at] ?? Number.NaN])),
    };
  }

  private bindInput(input: Arrays<In>): Record<string, NDArray> {
    const given = new Map(arrayLeaves(input));
    const bound: Record<string, NDArray> = {};
    for (const [path, spec] of this.found.input) {
      const value = given.get(path);
      if (value === undefined) throw new TesseraError('bad-input', `The program needs the input "${path}".`);
      const fits =
        value.dtype === spec.dtype &&
        value.shape.length === spec.shape.length &&
        spec.shape.every((d, i) => typeof d === 'string' || d === value.shape[i]);
      if (!fits) {
        throw new TesseraError(
          'bad-shape',
          `The input "${path}" is ${spec.dtype} [${spec.shape.join(', ')}], not ${value.dtype} [${value.shape.join(', ')}].`,
        );
      }
      if (this.inputNames.has(`in:${path}`)) bound[`in:${path}`] = value;
    }
    return bound;
  }

  private notFinite(index: number, step: number): TesseraError {
    const tensor = this.checked[index];
    if (tensor === undefined) throw new Error('a check of no tensor');
    const { operation, scope, attributes } = tensor.node;
    const source = isInput(tensor)
      ? `from outside, in "${String(attributes.name)}"`
      : `out of ${operation.name}${scope === '' ? '' : ` in ${scope}`}`;
    return new TesseraError('not-finite', `At step ${step} the first value that is not finite came ${source}.`);
  }

  toONNX(weights?: Arrays<S>): Iterable<{ readonly file: string; readonly bytes: Uint8Array }> {
    return encodeFiles(
      lowerForExport(this.found, { device: this.device, weights: new Map(arrayLeaves(weights)) }),
      FILE,
    );
  }

  dispose(): Promise<void> {
    return this.engine.unload(this.id);
  }
}

function isTensorLike(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'node' in value;
}

/** How a trace becomes a model for other programs. */
export interface ExportOptions {
  readonly device?: Device;
  /** Values for state leaves, by path; leaves without one become inputs under their own path. */
  readonly weights?: ReadonlyMap<string, NDArray>;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Lowers a trace under its own names: inputs, state leaves and outputs are called by their paths. */
export function lowerForExport(found: Trace, options: ExportOptions = {}): Lowered {
  const { weights = new Map<string, NDArray>(), device = 'cpu' } = options;
  const called =
    (whole: string) =>
    ([path, tensor]: Leaf<Tensor>) =>
      [path === '' ? whole : path, tensor] as const;
  const outputs = [
    ...found.out.map(called('output')),
    ...found.updates.map(([path, tensor]) => [`new.${path}`, tensor] as const),
  ];
  const needed = new Set(topological(outputs.map(([, tensor]) => tensor)));
  const bound = new Map<Tensor, NDArray>();
  const state = found.state.filter(([path, tensor]) => {
    const value = weights.get(path);
    if (value !== undefined) bound.set(tensor, value);
    return value === undefined && needed.has(tensor.node);
  });
  return lower({
    name: 'tessera',
    device,
    inputs: [
      ...found.input.map(called('input')),
      ...state.map(called('state')),
      ...found.draws
        .filter(([, tensor]) => needed.has(tensor.node))
        .map(([draw, tensor]) => [`draw.${draw.path}.${draw.verb}`, tensor] as const),
      ...(needed.has(found.step.node) ? [['step', found.step] as const] : []),
    ],
    constants: bound,
    outputs,
    metadata: options.metadata,
  });
}

/** Traces a function for export only: nothing is compiled or run. */
export function exportProgram<S, In, Out>(
  f: Traceable<S, In, Out>,
  specs: ProgramSpecs<S, In>,
  options: ExportOptions = {},
): Lowered {
  return lowerForExport(trace(f, specs), options);
}

/**
 * Starts a runtime. `auto` (the default) takes the native engine, and WebAssembly where that is not installed.
 * @throws not-found or unsupported for a device that is not there.
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
      const { lowered, plan: partial, checked } = lowerForRuns(found, device, specs.checkNumerics ?? false);
      const plan: Plan = { ...partial, seed: specs.seed ?? 0, threads: specs.threads };
      const inputNames = new Set(lowered.model.graph.input.map(({ name }) => name));
      const id = await loadModel(engine, lowered, plan);
      const report = { nodes: lowered.nodes, flops: lowered.flops, fallbacks: [] };
      return new CompiledProgram<S, In, Out>(engine, id, found, plan, inputNames, checked, device, report);
    },
    dispose: () => engine.close(),
  };
}

let shared: Promise<Runtime> | undefined;

/**
 * Computes `f` of arrays once, in this thread: for tests, docs and small sums.
 * Arguments and result are trees of arrays.
 */
export async function evaluate<A extends readonly unknown[], Out>(
  f: (...inputs: { [K in keyof A]: Tensors<A[K]> }) => Out,
  ...inputs: A
): Promise<Arrays<Out>> {
  shared ??= createRuntime({ worker: false });
  const runtime = await shared;
  const specs = mapTree(inputs, isNDArray, ({ dtype, shape }) => ({ dtype, shape }));
  const program = await runtime.compile(
    (_state: unknown, given: unknown) => ({ out: f(...(given as { [K in keyof A]: Tensors<A[K]> })) }),
    {
      state: {},
      input: specs as never,
    },
  );
  try {
    const nothing = runtime.join({});
    const { out } = await program.run(nothing, inputs as never);
    return out as Arrays<Out>;
  } finally {
    await program.dispose();
  }
}
