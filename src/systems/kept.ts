/**
 * Parts of reproductions that take long (trained models), kept on disk and keyed by their settings. A part is a folder
 * `NAME/HASH/` that holds `settings.json` and `part/`; it appears whole or not at all.
 */

import { joinPath, listDirectory, makeDirectory, makeTemporarySibling, remove, rename, stat } from '#host';
import { isJsonObject, type Json, type JsonObject, readJsonObject, writeJson } from '../formats/index.js';
import { TesseraError, throwIfAborted } from '../host/error.js';

/** A part that was asked for. */
export interface ReproductionPart {
  readonly type: 'part';
  readonly name: string;
  /** Whether it was made now or taken from an earlier run. */
  readonly from: 'made' | 'kept';
  /** Seconds that making it took, now or then. */
  readonly seconds: number;
}

/** How parts are kept. */
export interface KeeperOptions {
  /** The folder of all parts. */
  readonly folder: string;
  /** What every part depends on beside its own settings: the package's version, the device. */
  readonly shared: JsonObject;
  /** Make every part anew, once. */
  readonly fresh?: boolean;
  readonly signal: AbortSignal;
  onPart(event: ReproductionPart): void;
}

/** Keeps parts. */
export interface Keeper {
  kept(name: string, settings: JsonObject, make: (folder: string) => Promise<void>): Promise<string>;
  /** Seconds that earlier runs spent on the parts that were taken. */
  readonly savedSeconds: number;
  /** Removes what is half made. */
  abandon(): Promise<void>;
}

const SETTINGS = 'settings.json';
const PART = 'part';
/** What a process that was killed left behind is removed after a day. */
const STALE = 24 * 3600 * 1000;

/** Opens the parts of a folder, which is made when the first part is. */
export function openKeeper({ folder, shared, fresh = false, signal, onPart }: KeeperOptions): Keeper {
  const begun = new Map<string, Promise<string>>();
  const halfMade = new Set<string>();
  const started = performance.now();
  let saved = 0;
  // Seconds of work, as if nothing had been kept.
  const clock = (): number => (performance.now() - started) / 1000 + saved;

  const makePart = async (
    parent: string,
    target: string,
    about: { readonly name: string; readonly settings: JsonObject },
    make: (folder: string) => Promise<void>,
  ): Promise<void> => {
    await makeDirectory(parent);
    const temporary = await makeTemporarySibling(target);
    halfMade.add(temporary);
    try {
      const began = clock();
      const part = joinPath(temporary, PART);
      await makeDirectory(part);
      await make(part);
      throwIfAborted(signal);
      const seconds = clock() - began;
      await writeJson(joinPath(temporary, SETTINGS), { ...about, shared, seconds });
      if (fresh) await remove(target);
      // Another process may have been quicker: its part is as good.
      if ((await stat(target)) === undefined) await rename(temporary, target);
      onPart({ type: 'part', name: about.name, from: 'made', seconds });
    } finally {
      halfMade.delete(temporary);
      await remove(temporary);
    }
  };

  const find = async (name: string, settings: JsonObject, make: (folder: string) => Promise<void>): Promise<string> => {
    const text = canonical({ name, settings, shared });
    const parent = joinPath(folder, name);
    const target = joinPath(parent, await hashOf(text));
    if (!fresh) {
      const seconds = await secondsOf(target, text);
      if (seconds !== undefined) {
        saved += seconds;
        onPart({ type: 'part', name, from: 'kept', seconds });
        return joinPath(target, PART);
      }
    }
    await removeStale(parent);
    await makePart(parent, target, { name, settings }, make);
    return joinPath(target, PART);
  };

  return {
    kept: (name, settings, make) => {
      if (!/^[a-z0-9][a-z0-9-]*$/.test(name)) throw new Error(`"${name}" is no name of a part: a-z, 0-9 and hyphens.`);
      throwIfAborted(signal);
      const key = canonical({ name, settings });
      const earlier = begun.get(key);
      if (earlier !== undefined) return earlier;
      const part = find(name, settings, make);
      begun.set(key, part);
      // A part that failed may be tried again.
      part.catch(() => begun.delete(key));
      return part;
    },
    get savedSeconds() {
      return saved;
    },
    abandon: async () => {
      for (const path of halfMade) await remove(path);
    },
  };
}

/** The seconds of a part that is there; undefined when none is. @throws bad-file when something else is in its place. */
async function secondsOf(target: string, text: string): Promise<number | undefined> {
  if ((await stat(target)) === undefined) return undefined;
  const { name = null, settings = null, shared = null, seconds } = await readJsonObject(joinPath(target, SETTINGS));
  const isSame = canonical({ name, settings, shared }) === text;
  if (isSame && typeof seconds === 'number' && (await stat(joinPath(target, PART)))?.kind === 'directory')
    return seconds;
  throw new TesseraError('bad-file', `${target} is not the part that its name says.`, { hint: 'Remove that folder.' });
}

async function removeStale(parent: string): Promise<void> {
  if ((await stat(parent)) === undefined) return;
  for (const { name } of await listDirectory(parent)) {
    const path = joinPath(parent, name);
    const status = /^\..*\.tmp$/.test(name) ? await stat(path) : undefined;
    if (status !== undefined && Date.now() - status.modified > STALE) await remove(path);
  }
}

/** JSON with its keys in order, so that equal settings are equal text. @throws Error for a number that is not finite. */
export function canonical(value: Json | undefined): string {
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new Error(`Settings hold ${value}, which JSON cannot.`);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (!isJsonObject(value)) return JSON.stringify(value ?? null);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(',')}}`;
}

/** The first 16 digits of a text's SHA-256. */
async function hashOf(text: string): Promise<string> {
  const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
  return [...sum.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
