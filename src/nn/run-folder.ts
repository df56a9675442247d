/**
 * The folder of a run: `config.json` (what the run is), `environment.json` (where it ran), `metrics.jsonl` (one line a
 * step, appended) and `checkpoints/step-N/`. A run that is resumed must be the run that was started.
 */

import { appendFile, joinPath, listDirectory, makeDirectory, readFile, remove, stat, writeFileAtomic } from '#host';
import { isJsonObject, type Json, type JsonObject, readJsonObject, writeJson } from '../formats/index.js';
import { TesseraError } from '../tensor/index.js';
import { type CheckpointContent, writeCheckpoint } from './checkpoint.js';

const KIND = 'tessera-run';
const OWN = ['config.json', 'environment.json', 'metrics.jsonl', 'checkpoints', 'model', 'adapter'];

/** A checkpoint on disk. */
export interface CheckpointPlace {
  readonly step: number;
  readonly path: string;
}

/** What is known of a run from its folder. */
export interface RunSummary {
  readonly path: string;
  /** What the run was started with, as {@link openRun} wrote it. */
  readonly config: JsonObject;
  /** Steps of the whole run; undefined when they are not settled yet. */
  readonly steps: number | undefined;
  /** Oldest first. */
  readonly checkpoints: readonly CheckpointPlace[];
}

/** A run's folder, open for writing. */
export interface RunFolder extends RunSummary {
  /** Adds a line to `metrics.jsonl`, soon; an error of an earlier line is thrown here. */
  log(record: JsonObject): void;
  /** Waits until all lines are written. @throws no-space. */
  flush(): Promise<void>;
  /** Writes the settled number of steps into `config.json`. */
  settle(steps: number): Promise<void>;
  /** Writes `checkpoints/step-N` and removes the older ones but `keep` of the newest and `best`. */
  save(step: number, content: CheckpointContent, best: number | undefined): Promise<CheckpointPlace>;
}

/** How a run's folder is opened. */
export interface OpenRunOptions {
  /** Reads the newest checkpoint of a run that goes on, before anything of the folder is touched; may refuse it. */
  readonly accept?: (newest: CheckpointPlace) => Promise<void>;
  /** Remove what an earlier run left. */
  readonly fresh?: boolean;
  /** Newest checkpoints to keep (default 2). */
  readonly keep?: number;
  /** Added to `environment.json`. */
  readonly environment?: JsonObject;
}

/** Reads a run's folder; undefined when no run is there. @throws bad-file; bad-input when the folder is something else. */
export async function readRun(path: string): Promise<RunSummary | undefined> {
  const configPath = joinPath(path, 'config.json');
  if ((await stat(configPath)) === undefined) return undefined;
  const config = await readJsonObject(configPath);
  if (config.kind !== KIND) {
    throw new TesseraError('bad-input', `${path} holds something else than a training run.`, {
      hint: 'Choose another folder for the run.',
    });
  }
  if (config.format !== 1) {
    throw new TesseraError(
      'unsupported',
      `The run in ${path} has the format ${JSON.stringify(config.format)}, which this version does not read.`,
    );
  }
  const { steps } = config;
  return {
    path,
    config,
    steps: typeof steps === 'number' ? steps : undefined,
    checkpoints: await listCheckpoints(path),
  };
}

/** The checkpoints of a run, oldest first. */
export async function listCheckpoints(path: string): Promise<CheckpointPlace[]> {
  const folder = joinPath(path, 'checkpoints');
  if ((await stat(folder)) === undefined) return [];
  const found = (await listDirectory(folder)).flatMap(({ name, kind }): CheckpointPlace[] => {
    const step = /^step-(\d+)$/.exec(name)?.[1];
    return kind === 'directory' && step !== undefined ? [{ step: Number(step), path: joinPath(folder, name) }] : [];
  });
  return found.sort((a, b) => a.step - b.step);
}

/**
 * Opens a folder for a run described by `wanted`: a new one, or the same run to be resumed after its newest checkpoint
 * (its lines of metrics after that are removed).
 *
 * @throws mismatch, naming what differs, when another run is there; bad-input when the folder is something else.
 */
export async function openRun(path: string, wanted: JsonObject, options: OpenRunOptions = {}): Promise<RunFolder> {
  const { fresh = false, keep = 2, environment } = options;
  const there = await readRun(path);
  if (there !== undefined && fresh) for (const name of OWN) await remove(joinPath(path, name));
  const earlier = fresh ? undefined : there;
  if (earlier !== undefined) requireSame(path, earlier.config, wanted);
  const newest = earlier?.checkpoints.at(-1);
  if (newest !== undefined) await options.accept?.(newest);
  // Steps that were settled by an earlier start stay settled.
  let config: JsonObject = earlier?.config ?? normalize({ kind: KIND, format: 1, ...wanted });
  await makeDirectory(joinPath(path, 'checkpoints'));
  if (earlier === undefined) await writeJson(joinPath(path, 'config.json'), config);
  await removeLeftovers(joinPath(path, 'checkpoints'));
  const checkpoints = [...(earlier?.checkpoints ?? [])];
  const log = await openMetrics(joinPath(path, 'metrics.jsonl'), checkpoints.at(-1)?.step ?? 0);
  if (environment !== undefined) await addSession(joinPath(path, 'environment.json'), environment);
  return {
    path,
    get config() {
      return config;
    },
    get steps() {
      return typeof config.steps === 'number' ? config.steps : undefined;
    },
    checkpoints,
    log: log.add,
    flush: log.flush,
    settle: async (steps) => {
      config = { ...config, steps };
      await writeJson(joinPath(path, 'config.json'), config);
    },
    save: async (step, content, best) => {
      const place = { step, path: joinPath(path, 'checkpoints', `step-${step}`) };
      await log.flush();
      await writeCheckpoint(place.path, content);
      const others = checkpoints.filter((checkpoint) => checkpoint.step !== step);
      const newest = [...others, place].sort((a, b) => a.step - b.step);
      const stay = new Set([
        ...newest.slice(-keep).map((checkpoint) => checkpoint.step),
        ...(best === undefined ? [] : [best]),
      ]);
      for (const old of newest) if (!stay.has(old.step)) await remove(old.path);
      checkpoints.splice(0, checkpoints.length, ...newest.filter((checkpoint) => stay.has(checkpoint.step)));
      return place;
    },
  };
}

/** Without undefined fields, as a file would give it back. */
function normalize(value: JsonObject): JsonObject {
  const copy: JsonObject = JSON.parse(JSON.stringify(value));
  return copy;
}

function requireSame(path: string, old: JsonObject, wanted: JsonObject): void {
  for (const [key, value] of Object.entries(normalize(wanted))) {
    // Without a number of steps in the options the run's own counts.
    if (key === 'steps' && value === null) continue;
    const difference = differs(old[key] ?? null, value, key);
    if (difference === undefined) continue;
    if (key === 'fingerprint') {
      throw new TesseraError('mismatch', `The run in ${path} was started with other data.`, {
        hint: 'Give it the data it was started with, choose another folder, or start anew with fresh.',
      });
    }
    const [name, was, is] = difference;
    throw new TesseraError(
      'mismatch',
      `The run in ${path} was started with ${name} = ${short(was)}, not ${short(is)}.`,
      {
        hint: 'Use the options it was started with, choose another folder, or start anew with fresh.',
      },
    );
  }
}

function short(value: Json): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** The first place at which two values differ. */
function differs(a: Json, b: Json, name: string): readonly [name: string, a: Json, b: Json] | undefined {
  if (isJsonObject(a) && isJsonObject(b)) {
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      const found = differs(a[key] ?? null, b[key] ?? null, `${name}.${key}`);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  return JSON.stringify(a) === JSON.stringify(b) ? undefined : [name, a, b];
}

/** Removes folders of checkpoints that were being written when a process ended. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const { name } of await listDirectory(folder)) {
    if (/^\.step-\d+\..*\.tmp$/.test(name)) await remove(joinPath(folder, name));
  }
}

/** Lines that are appended one after the other; those that come while one is written go out together. */
async function openMetrics(
  path: string,
  lastStep: number,
): Promise<{ add(record: JsonObject): void; flush(): Promise<void> }> {
  await cutMetrics(path, lastStep);
  let pending = '';
  let writing: Promise<void> | undefined;
  let failure: unknown;
  const write = async (): Promise<void> => {
    while (pending !== '' && failure === undefined) {
      const text = pending;
      pending = '';
      await appendFile(path, text).catch((error: unknown) => {
        failure = error;
      });
    }
    writing = undefined;
  };
  const raise = (): void => {
    if (failure !== undefined) throw failure;
  };
  return {
    add: (record) => {
      raise();
      pending += `${JSON.stringify(record)}\n`;
      writing ??= write();
    },
    flush: async () => {
      while (writing !== undefined) await writing;
      raise();
    },
  };
}

/** Keeps the lines up to a step; a last line that was cut off by a crash goes too. */
async function cutMetrics(path: string, lastStep: number): Promise<void> {
  if ((await stat(path)) === undefined) return;
  const lines = new TextDecoder().decode(await readFile(path)).split('\n');
  const kept = lines.filter((line) => {
    try {
      const record: Json = JSON.parse(line);
      return isJsonObject(record) && typeof record.step === 'number' && record.step <= lastStep;
    } catch {
      return false;
    }
  });
  await writeFileAtomic(path, kept.map((line) => `${line}\n`).join(''));
}

async function addSession(path: string, session: JsonObject): Promise<void> {
  const earlier = (await stat(path)) === undefined ? [] : (await readJsonObject(path)).sessions;
  await writeJson(path, { sessions: [...(Array.isArray(earlier) ? earlier : []), session] });
}
