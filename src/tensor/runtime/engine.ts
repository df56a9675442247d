/**
 * The part of a runtime that holds sessions and device state. Everything that crosses its border is bytes and arrays,
 * so it runs in this thread or in a worker behind the same client.
 *
 * State lives in cells, one ONNX Runtime tensor each. A run feeds cells and replaces them with its outputs: never in
 * place, since the runtime's order of execution is not the file's.
 */

import { TesseraError } from '../../host/error.js';
import { type Draw, fillDraw } from '../draws.js';
import type { NDArray } from '../ndarray.js';
import { DeviceCopies } from './device-copies.js';
import { inOrder } from './in-order.js';
import { type Device, loadProvider, type Provider } from './provider.js';
import { isResident, leavesDevice, openSession, type Session, type SessionValue, toArray, toValue } from './session.js';

/** How an engine is set up. */
export interface EngineOptions {
  readonly device?: Device | 'auto';
  /** Threads of one session; when absent all cores, in a page half of them up to four. */
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
  /** Outputs that stay on the device: the updates, where it keeps tensors. */
  readonly resident?: readonly string[];
  readonly appends: readonly { readonly rows: string; readonly at: string }[];
  /** Positions of rows that the graph itself writes into caches; those outside are refused. */
  readonly places?: readonly { readonly at: string; readonly capacity: number; readonly added: number }[];
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
  /** Outputs to give by name, in place of the plan's. */
  readonly out?: readonly string[];
}

/** A value that a loaded model takes or gives; the type by ONNX Runtime's name, sizes that vary by theirs. */
export interface Port {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly (number | string)[];
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
  /** Whether every operation of a program stays on the device. */
  staysOnDevice(program: number): Promise<boolean>;
  /** For each of several small models whether the device runs all of it. */
  runsOnDevice(models: readonly Uint8Array[]): Promise<readonly boolean[]>;
  ports(program: number): Promise<{ readonly inputs: readonly Port[]; readonly outputs: readonly Port[] }>;
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
  readonly staysOnDevice: boolean;
}

class LocalEngine implements Engine {
  private provider: Provider | undefined;
  private copies: DeviceCopies | undefined;
  private readonly programs = new Map<number, Program>();
  private readonly cells = new Map<number, SessionValue>();
  private next = 1;

  constructor(private readonly owns: boolean) {}

  async open(options: EngineOptions) {
    const { device, threads: wanted } = options;
    if (wanted !== undefined && (!Number.isInteger(wanted) || wanted < 1)) {
      throw new TesseraError('bad-option', `The number of threads must be a whole number from 1, not ${wanted}.`);
    }
    const provider = await loadProvider(device ?? 'auto', wanted);
    this.provider = provider;
    this.copies = new DeviceCopies(provider);
    return { device: provider.device, threads: provider.threads, about: provider.about };
  }

  async load(model: Uint8Array | string, plan: Plan): Promise<number> {
    const { session, staysOnDevice } = await this.openProgram(model, plan);
    const fetches = [
      ...plan.updates,
      ...plan.appends.flatMap(({ rows, at }) => [rows, at]),
      ...(plan.places ?? []).map(({ at }) => at),
      ...plan.out,
      ...plan.figures,
      ...(plan.checks === undefined ? [] : [plan.checks]),
    ];
    const program = this.next++;
    this.programs.set(program, { session, plan, fetches: [...new Set(fetches)], staysOnDevice });
    return program;
  }

  /** On an accelerator first in the way that refuses what would leave the device: that is how it tells. */
  private async openProgram(
    model: Uint8Array | string,
    plan: Plan,
  ): Promise<{ readonly session: Session; readonly staysOnDevice: boolean }> {
    const provider = this.opened();
    const options = {
      threads: Math.min(plan.threads ?? provider.threads, provider.threads),
      // Training graphs are fused by hand: the runtime's passes gain nothing there.
      optimized: plan.frozen,
      resident: plan.resident,
    };
    if (provider.device === 'cpu' || provider.device === 'wasm') {
      return { session: await openSession(provider, model, options), staysOnDevice: true };
    }
    try {
      return { session: await openSession(provider, model, { ...options, deviceOnly: true }), staysOnDevice: true };
    } catch (error) {
      if (!leavesDevice(error)) throw error;
      return { session: await openSession(provider, model, options), staysOnDevice: false };
    }
  }

  async staysOnDevice(program: number): Promise<boolean> {
    return this.program(program).staysOnDevice;
  }

  async runsOnDevice(models: readonly Uint8Array[]): Promise<readonly boolean[]> {
    const answers: boolean[] = [];
    for (const model of models) {
      try {
        const options = { threads: 1, optimized: false, deviceOnly: true };
        await (await openSession(this.opened(), model, options)).release();
        answers.push(true);
      } catch {
        answers.push(false);
      }
    }
    return answers;
  }

  async ports(program: number) {
    const { session } = this.program(program);
    return { inputs: session.inputMetadata.map(portOf), outputs: session.outputMetadata.map(portOf) };
  }

  async unload(program: number): Promise<void> {
    const found = this.programs.get(program);
    this.programs.delete(program);
    await found?.session.release();
  }

  async store(values: readonly NDArray[]): Promise<readonly number[]> {
    const cells: number[] = [];
    for (const value of values) {
      const cell = this.next++;
      this.cells.set(cell, await this.keep(value));
      cells.push(cell);
    }
    return cells;
  }

  async read(cells: readonly number[]): Promise<readonly NDArray[]> {
    const values: NDArray[] = [];
    for (const cell of cells) {
      const held = this.cell(cell);
      const value = await this.moved().get(held);
      values.push(isResident(held) ? value : { ...value, data: value.data.slice() });
    }
    return values;
  }

  async write(cells: readonly number[], values: readonly NDArray[]): Promise<void> {
    for (const [index, cell] of cells.entries()) {
      const value = values[index];
      if (value === undefined) throw new Error('a value for every cell');
      this.replace(cell, await this.keep(value));
    }
  }

  async free(cells: readonly number[]): Promise<void> {
    for (const cell of cells) {
      release(this.cells.get(cell));
      this.cells.delete(cell);
    }
  }

  async run(request: RunRequest): Promise<RunResult> {
    const { session, plan, fetches } = this.program(request.program);
    const feeds: Record<string, SessionValue> = {};
    for (const [index, name] of plan.state.entries()) feeds[name] = this.cell(request.state[index]);
    for (const [name, value] of Object.entries(request.input)) feeds[name] = this.tensor(value);
    for (const { name, draw } of plan.draws) {
      feeds[name] = this.tensor(fillDraw(draw, plan.seed, request.step, request.micro));
    }
    if (plan.usesStep) feeds.step = this.tensor({ dtype: 'float32', shape: [], data: Float32Array.of(request.step) });
    const wanted = request.out === undefined ? fetches : [...fetches, ...request.out];
    const results = await session.run(feeds, wanted).catch((error: unknown) => {
      throw withoutHalf(error, this.opened());
    });
    const result = (name: string): SessionValue => {
      const tensor = results[name];
      if (tensor === undefined) throw new Error(`the runtime gave no "${name}"`);
      return tensor;
    };
    const checks = plan.checks === undefined ? undefined : toArray(result(plan.checks)).data;
    const failed = checks === undefined ? undefined : firstNonZero(checks);
    // State that failed its check is not taken over.
    const discard = (): void => {
      for (const name of plan.resident ?? []) release(result(name));
    };
    if (failed !== undefined && failed >= 0) {
      discard();
      return { out: [], figures: [], failed };
    }
    for (const { at, capacity, added } of plan.places ?? []) {
      const outside = outsideOf(toArray(result(at)), capacity, added);
      if (outside === undefined) continue;
      discard();
      throw noPlace(capacity, added, outside);
    }
    for (const [index, name] of plan.updates.entries()) this.replace(request.updates[index] ?? 0, result(name));
    for (const [index, { rows, at }] of plan.appends.entries()) {
      appendRows(this.cell(request.appends[index]), result(rows), result(at));
    }
    return {
      out: (request.out ?? plan.out).map((name) => toArray(result(name))),
      figures: plan.figures.map((name) => Number(toArray(result(name)).data[0])),
      ...(failed === undefined ? {} : { failed }),
    };
  }

  async close(): Promise<void> {
    this.provider = undefined;
    for (const value of this.cells.values()) release(value);
    this.cells.clear();
    await Promise.all([...this.programs.keys()].map((program) => this.unload(program)));
    await this.copies?.close();
    this.copies = undefined;
  }

  private opened(): Provider {
    if (this.provider === undefined) throw new TesseraError('not-found', 'The runtime was disposed.');
    return this.provider;
  }

  private moved(): DeviceCopies {
    this.opened();
    if (this.copies === undefined) throw new Error('a runtime that was not opened');
    return this.copies;
  }

  private program(program: number): Program {
    const found = this.programs.get(program);
    if (found === undefined) throw new TesseraError('not-found', 'The program was disposed.');
    return found;
  }

  private cell(cell: number | undefined): SessionValue {
    const tensor = cell === undefined ? undefined : this.cells.get(cell);
    if (tensor === undefined) throw new TesseraError('not-found', 'The state was disposed.');
    return tensor;
  }

  private replace(cell: number, value: SessionValue): void {
    release(this.cells.get(cell));
    this.cells.set(cell, value);
  }

  /** State is the engine's own: what its caller does to the arrays later is no matter. */
  private keep(value: NDArray): Promise<SessionValue> {
    return this.moved().put(this.owns ? value : { ...value, data: value.data.slice() });
  }

  private tensor(value: NDArray): SessionValue {
    return toValue(this.opened(), value);
  }
}

/** A graphics device may lack half precision, which shows when a kernel is built. */
function withoutHalf(error: unknown, { device }: Provider): unknown {
  const kernel = error instanceof Error ? /Program (\w+) requires f16/.exec(error.message)?.[1] : undefined;
  if (kernel === undefined) return error;
  return new TesseraError('unsupported', `The device "${device}" here has no float16, which ${kernel} needs.`, {
    hint: 'Cast to float32 before it, or choose another device.',
    cause: error,
  });
}

/** Gives a device's memory back. */
function release(value: SessionValue | undefined): void {
  if (value !== undefined && isResident(value)) value.dispose();
}

function portOf(value: Session['inputMetadata'][number]): Port {
  const { name } = value;
  return value.isTensor ? { name, dtype: value.type, shape: value.shape } : { name, dtype: 'no tensor', shape: [] };
}

function firstNonZero(values: ArrayLike<number | bigint>): number {
  for (let i = 0; i < values.length; i++) if (Number(values[i]) !== 0) return i;
  return -1;
}

/** The first position at which rows do not fit into a cache. */
function outsideOf({ data }: NDArray, capacity: number, added: number): number | undefined {
  return Array.from(data, Number).find((start) => start < 0 || start + added > capacity);
}

function noPlace(capacity: number, added: number, start: number): TesseraError {
  return new TesseraError('bad-shape', `A cache of ${capacity} rows has no place for ${added} rows at ${start}.`);
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
    if (start < 0 || start + added > capacity) throw noPlace(capacity, added, start);
    for (let head = 0; head < heads; head++) {
      const from = (row * heads + head) * added * width;
      target.set(source.subarray(from, from + added * width), ((row * heads + head) * capacity + start) * width);
    }
  }
}

/** An engine in this thread. Arrays stored are copied unless it `owns` them, as those that came in a message. */
export function localEngine(options: { readonly owns?: boolean } = {}): Engine {
  return inOrder(new LocalEngine(options.owns ?? false));
}
