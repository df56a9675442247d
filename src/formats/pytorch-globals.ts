/**
 * What a PyTorch checkpoint may name and call: storages, types of numbers, the functions that rebuild tensors,
 * and plain containers. Anything else is refused by name before it is used, so that no file can run code.
 */

import { TesseraError } from '../host/error.js';
import { isContainer, isKind, type PickleRules, type PickleValue } from './pytorch-pickle.js';
import type { SafetensorsDType } from './safetensors-header.js';

/** A run of numbers that tensors are views of. Untyped ones count bytes. */
export interface StorageReference {
  readonly kind: 'storage';
  readonly key: string;
  readonly dtype: SafetensorsDType | undefined;
  readonly elements: number;
}

/** A tensor: a view of a storage, `offset` and `strides` in elements. Nothing in it is checked yet. */
export interface TensorView {
  readonly kind: 'tensor';
  readonly storage: StorageReference;
  readonly dtype: SafetensorsDType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** What the rules make: storages, tensors, and things such as devices, of which only the place is kept. */
export type PytorchObject = StorageReference | TensorView | { readonly kind: 'other' };

/** A value of a PyTorch pickle. */
export type PytorchValue = PickleValue<PytorchObject>;

const STORAGES: Readonly<Record<string, SafetensorsDType | undefined>> = {
  'torch.DoubleStorage': 'F64',
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.LongStorage': 'I64',
  'torch.IntStorage': 'I32',
  'torch.ShortStorage': 'I16',
  'torch.CharStorage': 'I8',
  'torch.ByteStorage': 'U8',
  'torch.BoolStorage': 'BOOL',
  'torch.UntypedStorage': undefined,
  'torch.storage.UntypedStorage': undefined,
};

const DTYPES: Readonly<Record<string, SafetensorsDType>> = {
  'torch.float64': 'F64',
  'torch.float32': 'F32',
  'torch.float16': 'F16',
  'torch.bfloat16': 'BF16',
  'torch.float8_e4m3fn': 'F8_E4M3',
  'torch.float8_e5m2': 'F8_E5M2',
  'torch.float8_e8m0fnu': 'F8_E8M0',
  'torch.int64': 'I64',
  'torch.int32': 'I32',
  'torch.int16': 'I16',
  'torch.int8': 'I8',
  'torch.uint64': 'U64',
  'torch.uint32': 'U32',
  'torch.uint16': 'U16',
  'torch.uint8': 'U8',
  'torch.bool': 'BOOL',
};

type Call = (items: readonly PytorchValue[]) => PytorchValue | undefined;

const OTHER: PytorchValue = { kind: 'made', value: { kind: 'other' } };

/** Each gives undefined for arguments that make no sense. */
const CALLS: Readonly<Record<string, Call>> = {
  'collections.OrderedDict': orderedDictionary,
  'torch.Size': ([items]) => (isKind(items, 'tuple') ? items : undefined),
  'torch._utils._rebuild_tensor': (items) => tensor(items),
  'torch._utils._rebuild_tensor_v2': (items) => tensor(items),
  'torch._utils._rebuild_tensor_v3': (items) => tensor(items, items[6]),
  'torch._utils._rebuild_parameter': ([data]) => asTensor(data),
  'torch._utils._rebuild_parameter_with_state': ([data]) => asTensor(data),
  'torch.device': () => OTHER,
  'torch.serialization._get_layout': () => OTHER,
  'builtins.set': collection,
  '__builtin__.set': collection,
  'builtins.frozenset': collection,
  '__builtin__.frozenset': collection,
  'builtins.bytearray': ([bytes]) => (bytes instanceof Uint8Array ? bytes : undefined),
  '_codecs.encode': ([text]) => (typeof text === 'string' ? new TextEncoder().encode(text) : undefined),
};

/** The rules by which PyTorch's pickles are read; `where` names the file in errors, `storages` takes all that are named. */
export function pytorchRules(where: string, storages: Map<string, StorageReference>): PickleRules<PytorchObject> {
  return {
    allow: (name) => {
      if (Object.hasOwn(CALLS, name) || Object.hasOwn(STORAGES, name) || Object.hasOwn(DTYPES, name)) return;
      throw refuse(where, name);
    },
    call: (name, items) => {
      const made = Object.hasOwn(CALLS, name) ? CALLS[name]?.(items) : undefined;
      if (made !== undefined) return made;
      throw new TesseraError('bad-file', `${where} calls \`${name}\` with what it does not take.`, { hint: DAMAGED });
    },
    persistent: (id) => {
      const storage = isKind(id, 'tuple') ? parseStorage(id.items) : undefined;
      if (storage === undefined) {
        throw new TesseraError('bad-file', `${where} names a storage in a way that is not known.`, { hint: DAMAGED });
      }
      const other = storages.get(storage.key) ?? storage;
      if (other.dtype !== storage.dtype || other.elements !== storage.elements) {
        throw new TesseraError('bad-file', `${where} describes storage ${storage.key} in two ways.`, { hint: DAMAGED });
      }
      storages.set(storage.key, storage);
      return { kind: 'made', value: storage };
    },
  };
}

const DAMAGED = 'It is damaged, or no checkpoint of PyTorch.';

function refuse(where: string, name: string): TesseraError {
  if (/^torch\.(\w+Storage|_utils\._rebuild_\w+)$/.test(name)) {
    return new TesseraError('unsupported', `${where} holds a \`${name}\`, a kind of tensor that is not read.`, {
      hint: 'In Python, turn it into a dense tensor of real numbers and save that.',
    });
  }
  return new TesseraError('bad-file', `${where} holds a \`${name}\`, which is no tensor; it was not read.`, {
    hint: 'Only tensors and plain values are read, so that no file can run code. In Python, save its state dict alone.',
  });
}

function parseStorage(items: readonly PytorchValue[]): StorageReference | undefined {
  // ('storage', class, key, device, elements); the older layout adds a view, which no release since 2017 writes.
  const [tag, type, key, , elements, view = null] = items;
  if (tag !== 'storage' || !isKind(type, 'global') || !Object.hasOwn(STORAGES, type.name)) return undefined;
  if (typeof key !== 'string' || !isSize(elements) || view !== null) return undefined;
  return { kind: 'storage', key, dtype: STORAGES[type.name], elements };
}

function tensor(items: readonly PytorchValue[], type?: PytorchValue): PytorchValue | undefined {
  const [stored, offset, size, stride] = items;
  const shape = sizes(size);
  const strides = sizes(stride);
  if (!isKind(stored, 'made') || stored.value.kind !== 'storage' || !isSize(offset) || !shape || !strides) {
    return undefined;
  }
  const storage = stored.value;
  const dtype = isKind(type, 'global') ? DTYPES[type.name] : storage.dtype;
  if (dtype === undefined || shape.length !== strides.length) return undefined;
  return { kind: 'made', value: { kind: 'tensor', storage, dtype, offset, shape, strides } };
}

function asTensor(value: PytorchValue | undefined): PytorchValue | undefined {
  return isKind(value, 'made') && value.value.kind === 'tensor' ? value : undefined;
}

function orderedDictionary([pairs]: readonly PytorchValue[]): PytorchValue | undefined {
  const entries = new Map<PytorchValue, PytorchValue>();
  if (pairs === undefined) return { kind: 'dict', entries };
  if (!isContainer(pairs) || pairs.kind === 'dict') return undefined;
  for (const pair of pairs.items) {
    if (!isContainer(pair) || pair.kind === 'dict') return undefined;
    const [key, value] = pair.items;
    if (pair.items.length !== 2 || key === undefined || value === undefined) return undefined;
    entries.set(key, value);
  }
  return { kind: 'dict', entries };
}

function collection([given]: readonly PytorchValue[]): PytorchValue | undefined {
  if (given === undefined) return { kind: 'set', items: [] };
  return isContainer(given) && given.kind !== 'dict' ? { kind: 'set', items: [...given.items] } : undefined;
}

function sizes(value: PytorchValue | undefined): readonly number[] | undefined {
  if (!isKind(value, 'tuple')) return undefined;
  const items = value.items.filter(isSize);
  return items.length === value.items.length ? items : undefined;
}

function isSize(value: PytorchValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
