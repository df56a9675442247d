/** Runs the small experiment that tests a system's claim, and computes the verdict from its criteria. */

import { environmentVariable, makeTemporaryDirectory, remove } from '#host';
import type { Json, JsonObject } from '../formats/index.js';
import { TesseraError, throwIfAborted } from '../host/error.js';
import { createRuntime, type Device, type Runtime } from '../tensor/index.js';
import { type Criterion, type Measured, type ReproductionContext, type System, verdictOf } from './contract.js';
import { checkDataSet, folderAlone, requireWhole, type SetCheck } from './data-check.js';
import type { DataSet } from './data-set.js';
import { DATA_SETS, dataSetOf } from './data-sets.js';
import { type Keeper, openKeeper, type ReproductionPart } from './kept.js';
import { machineOf } from './machine.js';
import type { ReproductionResult } from './result.js';

/** The run begins: the data is whole, the engine runs. */
export interface ReproductionStart {
  readonly type: 'start';
  readonly seed: number;
  readonly size: 'full' | 'quick';
  readonly machine: string;
}

/** How far a part is. */
export interface ReproductionProgress {
  readonly type: 'progress';
  readonly part: string;
  readonly done: number;
  readonly total: number;
  readonly detail: string | undefined;
}

/** What is told while a reproduction runs. */
export type ReproductionEvent = ReproductionStart | ReproductionProgress | ReproductionPart;

/** How a reproduction is run. */
export interface ReproductionOptions {
  /** Of all draws (default 0). */
  readonly seed?: number;
  /** `quick` takes seconds, keeps no part beyond the run, and gives the verdict `smoke` (default `full`). */
  readonly size?: 'full' | 'quick';
  /** The engine (default: one made for the run, by `device` and `threads`). It is not disposed of. */
  readonly runtime?: Runtime;
  readonly device?: Device | 'auto';
  readonly threads?: number;
  /** Folders that hold data sets (default: `TESSERA_DATA` where it is set, then `data`). */
  readonly dataFolders?: readonly string[];
  /** The data sets that are known (default: {@link DATA_SETS}). */
  readonly dataSets?: readonly DataSet[];
  /** Where trained parts are kept (default: `TESSERA_CACHE` where it is set, else `.tessera`). */
  readonly cache?: string;
  /** Make trained parts anew. */
  readonly fresh?: boolean;
  /** The version of the program, on which kept parts depend too. */
  readonly version?: string;
  readonly signal?: AbortSignal;
  onEvent?(event: ReproductionEvent): void;
}

/** Milliseconds that a run is given to end by itself once it is to stop. */
const GRACE = 400;

/**
 * Runs a system's reproduction. Its data is checked first: the experiment is about these bytes and no others.
 * @throws not-found naming a data set that is missing and where to get it; mismatch for other content; aborted.
 */
export async function runReproduction(system: System, options: ReproductionOptions = {}): Promise<ReproductionResult> {
  const { seed = 0, size = 'full', signal = new AbortController().signal, dataSets = DATA_SETS } = options;
  const started = performance.now();
  const date = new Date().toISOString().slice(0, 10);
  let over = false;
  const emit = (event: ReproductionEvent): void => {
    // A run that goes on after it was to stop has nothing more to tell.
    if (!over) options.onEvent?.(event);
  };
  const { reproduction } = system;
  const sets = new Map<string, SetCheck>();
  for (const name of reproduction.data) {
    const set = dataSetOf(name, dataSets);
    const check = await checkDataSet(set, { folders: options.dataFolders, signal });
    requireWhole(set, check);
    sets.set(name, check);
  }
  throwIfAborted(signal);
  const temporary = size === 'quick' && options.cache === undefined ? await makeTemporaryDirectory() : undefined;
  let [own, keeper]: [Runtime | undefined, Keeper | undefined] = [undefined, undefined];
  try {
    const { device, threads } = options;
    own = options.runtime === undefined ? await createRuntime({ device, threads }) : undefined;
    const runtime = options.runtime ?? own;
    if (runtime === undefined) throw new Error('an engine runs');
    keeper = openKeeper({
      folder: options.cache ?? temporary ?? environmentVariable('TESSERA_CACHE') ?? '.tessera',
      shared: { format: 1, version: options.version ?? '', device: runtime.device },
      fresh: options.fresh,
      signal,
      onPart: emit,
    });
    const context: ReproductionContext = {
      runtime,
      seed,
      size,
      signal,
      data: (set, file) => pathOf(sets, set, file),
      report: (part, done, total, detail) => emit({ type: 'progress', part, done, total, detail }),
      kept: keeper.kept,
    };
    const machine = machineOf(runtime);
    emit({ type: 'start', seed, size, machine });
    const { figures, criteria, remarks = [] } = await untilStopped(reproduction.run(context), signal, system.name);
    for (const criterion of criteria) requireSound(criterion);
    const { slug, name, claim } = system;
    return {
      slug,
      name,
      claim,
      baseline: reproduction.baseline,
      figures: finite(figures),
      criteria: criteria.map((one) => ({ ...one, measured: Number.isFinite(one.measured) ? one.measured : null })),
      remarks,
      verdict: verdictOf(criteria, size),
      seconds: (performance.now() - started) / 1000 + keeper.savedSeconds,
      keptSeconds: keeper.savedSeconds,
      size,
      seed,
      command: commandOf(slug, options),
      machine,
      date,
    };
  } finally {
    over = true;
    // An engine ends after the step it is in, and a run that is to stop may still write: nobody waits for either.
    const ended = Promise.all([
      own?.dispose(),
      keeper?.abandon(),
      temporary === undefined ? undefined : remove(temporary),
    ]);
    if (signal.aborted) await Promise.race([ended.catch(() => undefined), pause(GRACE)]);
    else await ended;
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, milliseconds));
}

/** The run's outcome, or the error `aborted` soon after the signal, whether the run has ended by then or not. */
async function untilStopped(run: Promise<Measured>, signal: AbortSignal, name: string): Promise<Measured> {
  let stop = (): void => undefined;
  const stopped = new Promise<'stopped'>((resolve) => {
    stop = () => void setTimeout(resolve, GRACE, 'stopped');
  });
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  const stoppedError = (cause?: unknown): TesseraError =>
    new TesseraError('aborted', `The reproduction of ${name} was stopped.`, {
      hint: 'Trained parts that were whole are kept for the next full run.',
      cause,
    });
  try {
    const outcome = await Promise.race([run, stopped]);
    if (outcome !== 'stopped' && !signal.aborted) return outcome;
  } catch (error) {
    throw signal.aborted ? stoppedError(error) : error;
  } finally {
    signal.removeEventListener('abort', stop);
    // What fails after the answer was given is nobody's news.
    run.catch(() => undefined);
  }
  throw stoppedError();
}

async function pathOf(sets: ReadonlyMap<string, SetCheck>, name: string, file: string | undefined): Promise<string> {
  const set = sets.get(name);
  if (set === undefined) throw new Error(`The reproduction reads "${name}" and does not name it among its data.`);
  if (file === undefined) return folderAlone(set);
  const path = set.files.find((one) => one.name === file)?.path;
  if (path === undefined) throw new Error(`The data set ${name} has no file "${file}" in the list of data.`);
  return path;
}

/** A criterion that contradicts itself is a mistake of the reproduction, not a result. */
function requireSound({ says, measured, holds, direction }: Criterion): void {
  if (holds && !direction) throw new Error(`"${says}" holds, and its direction does not.`);
  if (holds && !Number.isFinite(measured)) throw new Error(`"${says}" holds with the figure ${measured}.`);
}

/** Figures with null for what is not finite, as JSON will have them. */
function finite(figures: JsonObject): JsonObject {
  const clean = (value: Json): Json => {
    if (typeof value === 'number') return Number.isFinite(value) ? value : null;
    if (Array.isArray(value)) return value.map(clean);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, clean(inner)]));
  };
  return Object.fromEntries(Object.entries(figures).map(([key, value]) => [key, clean(value)]));
}

/** What gives the same result on the command line. */
function commandOf(slug: string, { seed = 0, size, device, threads }: ReproductionOptions): string {
  const parts = [`tessera reproduce ${slug}`, `--seed ${seed}`];
  if (size === 'quick') parts.push('--quick');
  if (device !== undefined) parts.push(`--device ${device}`);
  if (threads !== undefined) parts.push(`--threads ${threads}`);
  return parts.join(' ');
}
