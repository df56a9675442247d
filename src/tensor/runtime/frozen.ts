/**
 * ONNX files of others run as they are, beside Tessera's own programs: a session of its own with arrays in and out, no
 * gradients. It runs in a thread of its own, so that this one stays free. What is fed is checked against what the model
 * declares before the runtime sees it.
 *
 * Limits: whether sizes that have names agree with each other, only the runtime finds. Feeds and outputs are dense tensors
 * of Tessera's types; sequences, strings and other types are refused by name, and outputs of such types are left out
 * unless they are asked for. In a page, and with WebAssembly, the model is held in memory and external data is not read.
 */

import { isPage, readFile, stat } from '#host';
import { TesseraError } from '../../host/error.js';
import { BYTES, type NDArray, sizeOf } from '../ndarray.js';
import { type Engine, type EngineOptions, localEngine, type Plan, type Port } from './engine.js';
import type { Device } from './provider.js';
import { remoteEngine } from './remote.js';

/** How a frozen module is opened. */
export interface FrozenOptions extends EngineOptions {
  /** Run in a worker thread (the default), so that this thread stays free. */
  readonly worker?: boolean;
}

/** A value that a frozen module takes or gives: sizes that vary have names, or are -1 where they have none. */
export type FrozenPort = Port;

/** An ONNX model that runs. */
export interface FrozenModule {
  readonly device: Device;
  readonly inputs: readonly FrozenPort[];
  readonly outputs: readonly FrozenPort[];
  /**
   * Runs once: an array for every input, by name; gives the outputs named, or all that are tensors of Tessera's types.
   *
   * @throws not-found for a name that the model has not, bad-input for an input that is missing, bad-shape for a type or
   * shape that does not fit, unsupported for types that arrays have not.
   */
  run(feeds: Readonly<Record<string, NDArray>>, outputs?: readonly string[]): Promise<Record<string, NDArray>>;
  /** Ends the session and its thread. */
  dispose(): Promise<void>;
}

const PLAN: Plan = {
  state: [],
  draws: [],
  usesStep: false,
  seed: 0,
  updates: [],
  appends: [],
  out: [],
  figures: [],
  frozen: true,
};

/**
 * Opens an `.onnx` file, with its external data beside it (in a page its address), or a model's bytes.
 * @throws not-found; bad-file, with ONNX Runtime's reason, when it makes no session of it; what `createRuntime` throws.
 */
export async function openFrozen(model: string | Uint8Array, options: FrozenOptions = {}): Promise<FrozenModule> {
  const { worker = true, ...engineOptions } = options;
  const called = typeof model === 'string' ? model : 'The model given';
  const engine = worker ? remoteEngine() : localEngine();
  try {
    const { device } = await engine.open(engineOptions);
    const source = typeof model === 'string' ? await locate(model, isPage || device === 'wasm') : model;
    // The bytes move to the engine's thread: the caller keeps theirs.
    const program = await engine.load(source instanceof Uint8Array ? source.slice() : source, PLAN).catch((cause) => {
      throw explain(cause, `${called} cannot be opened by ONNX Runtime`, 'bad-file');
    });
    const { inputs, outputs } = await engine.ports(program);
    return {
      device,
      inputs,
      outputs,
      run: (feeds, names) => run({ engine, program, called, inputs, outputs }, feeds, names),
      dispose: () => engine.close(),
    };
  } catch (error) {
    await engine.close();
    throw error;
  }
}

/** What the engine opens: the path of a file that is there, or its bytes where the engine has no files. */
async function locate(path: string, inMemory: boolean): Promise<string | Uint8Array> {
  if (inMemory) return readFile(path);
  if ((await stat(path))?.kind === 'file') return path;
  throw new TesseraError('not-found', `There is no file ${path}.`, { hint: 'Check the path.' });
}

interface Opened {
  readonly engine: Engine;
  readonly program: number;
  readonly called: string;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

async function run(
  opened: Opened,
  feeds: Readonly<Record<string, NDArray>>,
  names: readonly string[] | undefined,
): Promise<Record<string, NDArray>> {
  const { engine, program, called, inputs, outputs } = opened;
  checkFeeds(called, inputs, feeds);
  const wanted = names?.map((name) => find(called, 'output', outputs, name)) ?? outputs.filter(isOurs);
  for (const { name, dtype } of wanted) {
    if (isOurs({ dtype })) continue;
    throw new TesseraError('unsupported', `The output '${name}' of ${called} is of type ${dtype}, which no array has.`);
  }
  const out = wanted.map(({ name }) => name);
  const request = { program, state: [], updates: [], appends: [], input: feeds, step: 0, micro: 0, out };
  const results = await engine.run(request).catch((cause) => {
    throw explain(cause, `${called} could not be run on what was fed`, 'bad-input');
  });
  return Object.fromEntries(results.out.map((value, index) => [out[index] ?? '', value]));
}

function checkFeeds(called: string, inputs: readonly Port[], feeds: Readonly<Record<string, NDArray>>): void {
  for (const name of Object.keys(feeds)) find(called, 'input', inputs, name);
  for (const { name, dtype, shape } of inputs) {
    if (!isOurs({ dtype })) {
      throw new TesseraError(
        'unsupported',
        `The input '${name}' of ${called} is of type ${dtype}, which no array has.`,
      );
    }
    const value = Object.hasOwn(feeds, name) ? feeds[name] : undefined;
    if (value === undefined) {
      throw new TesseraError('bad-input', `The input '${name}' of ${called} was not fed.`, { hint: list(inputs) });
    }
    const fits =
      value.dtype === dtype &&
      value.data.length === sizeOf(value.shape) &&
      value.shape.length === shape.length &&
      shape.every((size, axis) => typeof size === 'string' || size < 0 || size === value.shape[axis]);
    if (fits) continue;
    const has = `${value.dtype} [${value.shape.join(', ')}]`;
    throw new TesseraError(
      'bad-shape',
      `The input '${name}' of ${called} is ${dtype} [${shape.join(', ')}]; it was fed ${has}.`,
    );
  }
}

function isOurs({ dtype }: { readonly dtype: string }): boolean {
  return Object.hasOwn(BYTES, dtype);
}

function find(called: string, kind: 'input' | 'output', ports: readonly Port[], name: string): Port {
  const found = ports.find((port) => port.name === name);
  if (found !== undefined) return found;
  throw new TesseraError('not-found', `${called} has no ${kind} '${name}'.`, { hint: list(ports) });
}

function list(ports: readonly Port[]): string {
  return `It has ${ports.map(({ name, dtype, shape }) => `${name}: ${dtype} [${shape.join(', ')}]`).join('; ')}.`;
}

function explain(cause: unknown, says: string, code: 'bad-file' | 'bad-input'): TesseraError {
  if (cause instanceof TesseraError) return cause;
  const reason = (cause instanceof Error ? cause.message : String(cause)).trim().replace(/\.$/, '');
  return new TesseraError(code, `${says}: ${reason}.`, { cause });
}
