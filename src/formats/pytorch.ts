/**
 * Reading PyTorch's checkpoints (`.bin`, `.pt`, `.pth`: what `torch.save` writes) without Python: the zip layout
 * since PyTorch 1.6 and the one before it, as files, shards under `pytorch_model.bin.index.json`, or bytes.
 * Opening reads the description only; a tensor, or some rows of it, is read when asked for. Nothing in a file is
 * run: a pickle that names anything but tensors and plain values is refused. Left out: TorchScript archives, the
 * tar layout of 2016, sparse, quantized and complex tensors, and files of big-endian machines.
 */

import { openRandomAccess, type RandomAccess } from '#host';
import { TesseraError } from '../host/error.js';
import { bytesAsFile } from './byte-source.js';
import { type PytorchObject, type PytorchValue, pytorchRules, type StorageReference } from './pytorch-globals.js';
import { locateStorages, readLegacyPickles } from './pytorch-legacy.js';
import { readPickle } from './pytorch-pickle.js';
import { nameTensors } from './pytorch-state.js';
import { type ReadStorage, storageBytes, storedView } from './pytorch-view.js';
import { assembleWeights, openShards, type Weights, type WeightsFile } from './weights.js';
import { readZipDirectory, readZipEntry, ZIP_MAGIC } from './zip.js';

/** Options of `openPytorch`. */
export interface OpenPytorchOptions {
  /**
   * Which part of a training checkpoint: a way of keys joined by dots (`optimizer`), or '' for everything.
   * Without it the part that holds the model is looked for (`state_dict`, `model_state_dict`, `model`, `module`)
   * and its name is given as `metadata.part`.
   */
  readonly part?: string;
}

/** Descriptions of the largest published checkpoints have a tenth of this. */
const MOST_PICKLE_BYTES = 2 ** 26;
const PROTO = 0x80;

/**
 * Opens a checkpoint file, an index of shards (`*.bin.index.json`), or a file's bytes.
 *
 * @throws not-found when there is none, or no tensor in it; bad-file for what is damaged, lies, or holds what is no
 * tensor, by name; unsupported for kinds of checkpoints and tensors that are not read.
 */
export async function openPytorch(source: string | Uint8Array, options: OpenPytorchOptions = {}): Promise<Weights> {
  if (typeof source !== 'string') {
    return assembleWeights([await openFile('The checkpoint given', bytesAsFile(source), options)]);
  }
  const open = async (file: string): Promise<WeightsFile> => openFile(file, await openRandomAccess(file), options);
  return source.endsWith('.json') ? openShards(source, open) : assembleWeights([await open(source)]);
}

interface Content {
  readonly root: PytorchValue;
  /** Reads a storage. @throws bad-file, naming `tensor`, when the file does not hold it whole. */
  storage(reference: StorageReference, tensor: string): ReadStorage;
}

async function openFile(file: string, source: RandomAccess, options: OpenPytorchOptions): Promise<WeightsFile> {
  try {
    const { root, storage } = await readContent(file, source);
    const { part, tensors } = nameTensors(root, file, options.part);
    return {
      file,
      metadata: part === '' ? { format: 'pt' } : { format: 'pt', part },
      tensors: tensors.map((named) => storedView(named, file, storage(named.view.storage, named.name))),
      close: () => source.close(),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function readContent(file: string, source: RandomAccess): Promise<Content> {
  if (source.size < 4) throw notOne(file, `has ${source.size} bytes, too few for a checkpoint`);
  const start = await source.read(0, 4);
  const magic = new DataView(start.buffer, start.byteOffset, 4).getUint32(0, true);
  if (magic === ZIP_MAGIC) return readZipContent(file, source);
  if (start[0] === PROTO) return readLegacyContent(file, source);
  const pointer = new TextDecoder().decode(start) === 'vers';
  throw notOne(
    file,
    'is no checkpoint of PyTorch',
    pointer ? 'It may be a pointer of Git LFS: fetch the file itself.' : undefined,
  );
}

async function readZipContent(file: string, source: RandomAccess): Promise<Content> {
  const entries = await readZipDirectory(source, file);
  const names = [...entries.keys()].filter((name) => /(^|\/)data\.pkl$/.test(name));
  const description = entries.get(names.sort((a, b) => a.length - b.length)[0] ?? '');
  if (description === undefined)
    throw notOne(file, 'is a zip archive without a data.pkl, and so no checkpoint of PyTorch');
  const folder = description.name.slice(0, -'data.pkl'.length);
  if (entries.has(`${folder}constants.pkl`)) {
    throw new TesseraError('unsupported', `${file} is a TorchScript program, not a checkpoint.`, {
      hint: 'In Python, load it with torch.jit.load and save its state_dict().',
    });
  }
  const order = entries.get(`${folder}byteorder`);
  if (order !== undefined && new TextDecoder().decode(await readZipEntry(source, order, file)).trim() !== 'little') {
    throw new TesseraError('unsupported', `${file} was written on a big-endian machine, whose numbers are not read.`);
  }
  if (description.size > MOST_PICKLE_BYTES) {
    throw new TesseraError(
      'unsupported',
      `${file} has a description of ${description.size} bytes, too long for tensors.`,
      {
        hint: `At most ${MOST_PICKLE_BYTES} are read. In Python, save the state dict alone.`,
      },
    );
  }
  const rules = pytorchRules(file, new Map());
  const { value } = readPickle<PytorchObject>(await readZipEntry(source, description, file), file, rules);
  return {
    root: value,
    storage: (reference, tensor) => {
      const entry = entries.get(`${folder}data/${reference.key}`);
      const bytes = storageBytes(reference);
      if (entry === undefined) throw lacks(tensor, file, `is in storage ${reference.key}, which is not there`);
      if (entry.size < bytes) {
        throw lacks(tensor, file, `needs ${bytes} bytes of storage ${reference.key}, which has ${entry.size}`);
      }
      return (begin, end) => readZipEntry(source, entry, file, begin, end);
    },
  };
}

async function readLegacyContent(file: string, source: RandomAccess): Promise<Content> {
  const pickles = await readLegacyPickles(source, file, MOST_PICKLE_BYTES);
  const places = await locateStorages(source, file, pickles);
  return {
    root: pickles.root,
    storage: (reference, tensor) => {
      const place = places.get(reference.key);
      if (place === undefined) throw lacks(tensor, file, `is in storage ${reference.key}, which is not there whole`);
      return (begin, end) => source.read(place + begin, end - begin);
    },
  };
}

function notOne(file: string, what: string, hint?: string): TesseraError {
  return new TesseraError('bad-file', `${file} ${what}.`, { hint });
}

function lacks(tensor: string, file: string, what: string): TesseraError {
  return new TesseraError('bad-file', `Tensor '${tensor}' of ${file} ${what}.`, {
    hint: 'The file was probably cut short: fetch it again.',
  });
}
