/**
 * The part of a runtime that holds sessions and device state. Everything that crosses its border is bytes and arrays,
 * so it runs in this thread or in a worker behind the same client.
 *
 * State lives in cells, one ONNX Runtime tensor each. A run feeds cells and replaces them with its outputs: never in
 * place, since the runtime's order of execution is not the file's.
 */

import { cores } from '#host';
import { TesseraError } from '../../host/error.js';
import { type Draw, fillDraw } from '../draws.js';
import type { NDArray } from '../ndarray.js';
import { type Device, loadProvider, type Provider } from './provider.js';
import { openSession, type Session, type SessionValue, toArray, toValue } from './session.js';

/** How an engine is set up. */
export interface EngineOptions {
  readonly device?: Device | 'auto';
  /** Threads of one session; all cores when absent. */
  readonly threads?: number;
}

/** How a session's inputs and outputs map to cells, inputs, draws and results. */
export interface Plan {
  /** The graph's names of the state leaves that it reads, in the order in which runs give cells. */
  readonly state: readonly string[];
  readonly draws: readonly { readonly name: string; readonly draw: Draw }[];
  readonly usesStep: boolean;
  readonly seed: number;
  /** Outputs that become cells: an index into the run's `updates`. */
  readonly updates: readonly string[];
  readonly appends: readonly { readonly rows: string; readonly at: string }[];
  readonly out: readonly string[];
  readonly figures: readonly string[];
  /** The vector of finiteness checks, when the program has one. */
  readonly checks?: string;
  /** True when weights are constants: worth the runtime's full optimization. */
  readonly frozen: boolean;
  /** Threads, where not the engine's. */
  readonly threads?: number;
}

/** One run: cells by number, arrays by graph name. */
export interface RunRequest {
  readonly program: number;
  readonly state: readonly number[];
  readonly updates: readonly number[];
  readonly appends: readonly number[];
  readonly input: Readonly<Record<string, NDArray>>;
  readonly step: number;
  readonly micro: number;
}

/** What a run gives back. */
export interface RunResult {
  readonly out: readonly NDArray[];
  readonly figures: readonly number[];
  /** The index of the first check that failed, -1 when all held; absent without checks. */
  readonly failed?: number;
}

/** The engine's operations; every argument and result can be cloned to another thread. */
export interface Engine {
  open(options: EngineOptions): Promise<{ readonly device: Device; readonly threads: number; readonly about: string }>;
  load(model: Uint8Array | string, plan: Plan): Promise<number>;
  unload(program: number): Promise<void>;
  store(values: readonly NDArray[]): Promise<readonly number[]>;
  read(cells: readonly number[]): Promise<readonly NDArray[]>;
  write(cells: readonly number[], values: readonly NDArray[]): Promise<void>;
  free(cells: readonly number[]): Promise<void>;
  run(request: RunRequest): Promise<RunResult>;
  /** Ends the engine and frees everything it holds. */
  close(): Promise<void>;
}

interface Program {
  readonly session: Session;
  readonly plan: Plan;
  readonly fetches: readonly string[];
}

class LocalEngine implements Engine {
  private provider: Provider | undefined;
  private threads = 1;
  private readonly programs = new Map<number, Program>();
  private readonly cells = new Map<number, SessionValue>();
  private next = 1;

  constructor(private readonly owns: boolean) {}

  async open(options: EngineOptions) {
    this.threads = options.threads ?? cores();
    if (!Number.isInteger(this.threads) || this.threads < 1) {
      throw new TesseraError('bad-option', `The number of threads must be a whole number from 1, not ${this.threads}.`);
    }
    const provider = await loadProvider(options.device ?? 'auto', this.threads);
    this.provider = provider;
    return { device: provider.device, threads: this.threads, about: provider.about };
  }

  async load(model: Uint8Array | string, plan: Plan): Promise<number> {
    // Training graphs are fused by hand: the runtime's passes gain nothing there.
    const session = await openSession(this.opened(), model, {
      threads: Math.min(plan.threads ?? this.threads, this.threads),
      optimized: plan.frozen,
    });
    const fetches = [
      ...plan.updates,
      ...plan.appends.flatMap(({ rows, at }) => [rows, at]),
      ...plan.out,
      ...plan.figures,
      ...(plan.checks === undefined ? [] : [plan.checks]),
    ];
    const program = this.next++;
    this.programs.set(program, { session, plan, fetches: [...new Set(fetches)] });
    return program;
  }

  async unload(program: number): Promise<void> {
    const found = this.programs.get(program);
    this.programs.delete(program);
    await found?.session.release();
  }

  async store(values: readonly NDArray[]): Promise<readonly number[]> {
    return values.map((value) => {
      const cell = this.next++;
      this.cells.set(cell, this.keep(value));
      return cell;
    });
  }

  async read(cells: readonly number[]): Promise<readonly NDArray[]> {
    return cells.map((cell) => {
      const value = toArray(this.cell(cell));
      return { ...value, data: value.data.slice() };
    });
  }

  async write(cells: readonly number[], values: readonly NDArray[]): Promise<void> {
    for (const [index, cell] of cells.entries()) {
      const value = values[index];
      if (value === undefined) throw new Error('a value for every cell');
      this.cells.set(cell, this.keep(value));
    }
  }

  async free(cells: readonly number[]): Promise<void> {
    for (const cell of cells) this.cells.delete(cell);
  }

  async run(request: RunRequest): Promise<RunResult> {
    const program = this.programs.get(request.program);
    if (program === undefined) throw new TesseraError('not-found', 'The program was disposed.');
    const { session, plan, fetches } = program;
    const feeds: Record<string, SessionValue> = {};
    for (const [index, name] of plan.state.entries()) feeds[name] = this.cell(request.state[index]);
    for (const [name, value] of Object.entries(request.input)) feeds[name] = this.tensor(value);
    for (const { name, draw } of plan.draws) {
      feeds[name] = this.tensor(fillDraw(draw, plan.seed, request.step, request.micro));
    }
    if (plan.usesStep) feeds.step = this.tensor({ dtype: 'float32', shape: [], data: Float32Array.of(request.step) });
    const results = await session.run(feeds, fetches);
    const result = (name: string): SessionValue => {
      const tensor = results[name];
      if (tensor === undefined) throw new Error(`the runtime gave no "${name}"`);
      return tensor;
    };
    const checks = plan.checks === undefined ? undefined : toArray(result(plan.checks)).data;
    const failed = checks === undefined ? undefined : firstNonZero(checks);
    // State that failed its check is not taken over.
    if (failed !== undefined && failed >= 0) return { out: [], figures: [], failed };
    for (const [index, name] of plan.updates.entries()) this.cells.set(request.updates[index] ?? 0, result(name));
    for (const [index, { rows, at }] of plan.appends.entries()) {
      appendRows(this.cell(request.appends[index]), result(rows), result(at));
    }
    return {
      out: plan.out.map((name) => toArray(result(name))),
      figures: plan.figures.map((name) => Number(toArray(result(name)).data[0])),
      ...(failed === undefined ? {} : { failed }),
    };
  }

  async close(): Promise<void> {
    this.provider = undefined;
    this.cells.clear();
    await Promise.all([...this.programs.keys()].map((program) => this.unload(program)));
  }

  private opened(): Provider {
    if (this.provider === undefined) throw new TesseraError('not-found', 'The runtime was disposed.');
    return this.provider;
  }

  private cell(cell: number | undefined): SessionValue {
    const tensor = cell === undefined ? undefined : this.cells.get(cell);
    if (tensor === undefined) throw new TesseraError('not-found', 'The state was disposed.');
    return tensor;
  }

  /** State is the engine's own: what its caller does to the arrays later is no matter. */
  private keep(value: NDArray): SessionValue {
    return this.tensor(this.owns ? value : { ...value, data: value.data.slice() });
  }

  private tensor(value: NDArray): SessionValue {
    return toValue(this.opened(), value);
  }
}

function firstNonZero(values: ArrayLike<number | bigint>): number {
  for (let i = 0; i < values.length; i++) if (Number(values[i]) !== 0) return i;
  return -1;
}

/** Writes `rows` `[batch, heads, new, width]` into `cache` `[batch, heads, capacity, width]` at each batch row's position. */
function appendRows(cache: SessionValue, rows: SessionValue, at: SessionValue): void {
  const [batch = 0, heads = 0, capacity = 0, width = 0] = cache.dims;
  const added = rows.dims[2] ?? 0;
  const target = cache.data as Float32Array;
  const source = rows.data as Float32Array;
  const positions = at.data as Int32Array;
  for (let row = 0; row < batch; row++) {
    const start = Number(positions[row]);
    if (start < 0 || start + added > capacity) {
      throw new TesseraError('bad-shape', `A cache of ${capacity} rows has no place for ${added} rows at ${start}.`);
    }
    for (let head = 0; head < heads; head++) {
      const from = (row * heads + head) * added * width;
      target.set(source.subarray(from, from + added * width), ((row * heads + head) * capacity + start) * width);
    }
  }
}

/** An engine in this thread. Arrays stored are copied unless it `owns` them, as those that came in a message. */
export function localEngine(options: { readonly owns?: boolean } = {}): Engine {
  return new LocalEngine(options.owns ?? false);
}
