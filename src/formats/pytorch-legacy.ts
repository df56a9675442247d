/**
 * The layout of checkpoints before PyTorch 1.6: four pickles one after another (a magic number, a version, facts
 * of the machine, the object), a fifth with the keys of the storages, then each storage: its number of elements
 * in eight bytes, and the elements.
 */

import type { RandomAccess } from '#host';
import { TesseraError } from '../host/error.js';
import { type PytorchObject, type PytorchValue, pytorchRules, type StorageReference } from './pytorch-globals.js';
import { isKind, readPickle } from './pytorch-pickle.js';
import { PickleCutShort } from './pytorch-pickle-bytes.js';
import { storageBytes } from './pytorch-view.js';

const MAGIC = 0x1950a86a20f9469cfc6cn;
const VERSION = 1001;
const FIRST_READ = 1 << 16;

/** What the pickles of a file of the older layout say. */
export interface LegacyPickles {
  readonly root: PytorchValue;
  /** All storages that the object names, by key. */
  readonly storages: ReadonlyMap<string, StorageReference>;
  /** Keys of the storages, in the order in which they follow. */
  readonly keys: readonly string[];
  /** Where the first storage begins. */
  readonly end: number;
}

/** Reads the pickles; they have no length, so that ever more is read until they end, at most `limit` bytes. */
export async function readLegacyPickles(source: RandomAccess, file: string, limit: number): Promise<LegacyPickles> {
  for (let bytes = FIRST_READ; ; bytes *= 4) {
    const whole = bytes >= source.size || bytes >= limit;
    const head = await source.read(0, Math.min(bytes, source.size, limit));
    try {
      return parsePickles(head, file);
    } catch (error) {
      if (whole || !(error instanceof PickleCutShort)) throw error;
    }
  }
}

function parsePickles(head: Uint8Array, file: string): LegacyPickles {
  const storages = new Map<string, StorageReference>();
  const rules = pytorchRules(file, storages);
  let end = 0;
  const next = (): PytorchValue => {
    const read = readPickle<PytorchObject>(head, file, rules, end);
    end = read.end;
    return read.value;
  };
  if (next() !== MAGIC) {
    throw new TesseraError('bad-file', `${file} is a pickle, and not one that PyTorch wrote.`, {
      hint: 'Save the state dict with torch.save.',
    });
  }
  const version = next();
  if (version !== VERSION) {
    throw new TesseraError(
      'unsupported',
      `${file} has version ${String(version)} of PyTorch's older layout, not ${VERSION}.`,
    );
  }
  const machine = next();
  if (!isKind(machine, 'dict') || machine.entries.get('little_endian') !== true) {
    throw new TesseraError('unsupported', `${file} was written on a big-endian machine, whose numbers are not read.`);
  }
  const root = next();
  const keys = next();
  const names = isKind(keys, 'list') ? keys.items.filter((key) => typeof key === 'string') : [];
  if (!isKind(keys, 'list') || names.length !== keys.items.length) {
    throw new TesseraError('bad-file', `${file} does not say which storages it holds.`);
  }
  return { root, storages, keys: names, end };
}

/** Where each storage lies; those beyond the end are left out. @throws bad-file for one that no tensor names. */
export async function locateStorages(
  source: RandomAccess,
  file: string,
  { keys, storages, end }: LegacyPickles,
): Promise<ReadonlyMap<string, number>> {
  const places = new Map<string, number>();
  let at = end;
  for (const key of keys) {
    const storage = storages.get(key);
    const begin = at + 8;
    if (storage === undefined)
      throw new TesseraError('bad-file', `${file} holds storage ${key}, which no tensor uses.`);
    if (begin > source.size) break;
    const length = await source.read(at, 8);
    const elements = new DataView(length.buffer, length.byteOffset, 8).getBigInt64(0, true);
    if (elements !== BigInt(storage.elements)) {
      const both = `${elements} elements and should have ${storage.elements}`;
      throw new TesseraError('bad-file', `${file} holds storage ${key}, which has ${both}.`);
    }
    at = begin + storageBytes(storage);
    if (at > source.size) break;
    places.set(key, begin);
  }
  return places;
}
