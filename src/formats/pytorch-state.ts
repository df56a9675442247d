/**
 * The tensors of an unpickled checkpoint by name. A state dict names its tensors itself; what is nested is
 * named by the way to it, joined by dots; of a training checkpoint the model's part is taken.
 */

import { TesseraError } from '../host/error.js';
import type { PytorchValue, TensorView } from './pytorch-globals.js';
import { isContainer, isKind } from './pytorch-pickle.js';

/** A tensor and its name. */
export interface NamedView {
  readonly name: string;
  readonly view: TensorView;
}

/** Where training code keeps the model in a checkpoint, in the order in which they are looked for. */
const MODEL_PARTS = ['state_dict', 'model_state_dict', 'model', 'module'];

/** No checkpoint nests deeper; a hostile one could nest without end, or in a circle. */
const DEEPEST = 64;
/** A container may be shared, so that few bytes hold many ways; no checkpoint has so many. */
const MOST_VISITED = 1 << 20;

interface Found {
  readonly path: readonly string[];
  readonly view: TensorView;
}

/**
 * Names the tensors under `part`: a way of keys joined by dots, '' for all. Without it, the part is the one
 * that holds the model: `state_dict`, `model_state_dict`, `model`, `module`, also inside of one another.
 *
 * @throws not-found for a part without tensors; bad-file for what nests too deep or names two tensors alike.
 */
export function nameTensors(
  root: PytorchValue,
  where: string,
  part?: string,
): { readonly part: string; readonly tensors: readonly NamedView[] } {
  let found = collect(root, where);
  const taken: string[] = [];
  if (part === undefined) {
    for (let key = modelPart(found); key !== undefined; key = modelPart(found)) {
      found = inside(found, key);
      taken.push(key);
    }
  }
  const prefix = part ? `${part}.` : '';
  const names = new Map<string, TensorView>();
  for (const { path, view } of found) {
    const full = path.join('.');
    if (!full.startsWith(prefix)) continue;
    const name = full.slice(prefix.length);
    if (names.has(name)) throw new TesseraError('bad-file', `${where} names two tensors '${name}'.`);
    names.set(name, view);
  }
  if (names.size === 0) {
    const what = part ? `no tensors under '${part}'` : 'no tensors';
    throw new TesseraError('not-found', `${where} holds ${what}.`);
  }
  return { part: part ?? taken.join('.'), tensors: [...names].map(([name, view]) => ({ name, view })) };
}

function modelPart(found: readonly Found[]): string | undefined {
  return MODEL_PARTS.find((key) => inside(found, key).length > 0);
}

function inside(found: readonly Found[], key: string): Found[] {
  return found
    .filter(({ path }) => path.length > 1 && path[0] === key)
    .map(({ path, view }) => ({ path: path.slice(1), view }));
}

function collect(root: PytorchValue, where: string): Found[] {
  const found: Found[] = [];
  let visited = 0;
  const visit = (value: PytorchValue, path: readonly string[]): void => {
    if (++visited > MOST_VISITED) {
      throw new TesseraError('bad-file', `${where} shares its containers so often that it holds no end of values.`);
    }
    if (isKind(value, 'made') && value.value.kind === 'tensor') {
      found.push({ path: path.length > 0 ? path : ['tensor'], view: value.value });
      return;
    }
    if (!isContainer(value)) return;
    if (path.length >= DEEPEST) throw new TesseraError('bad-file', `${where} nests more than ${DEEPEST} deep.`);
    const entries = value.kind === 'dict' ? value.entries : value.items.entries();
    for (const [key, item] of entries) {
      if (typeof item === 'object' && item !== null) visit(item, [...path, keyName(key)]);
    }
  };
  visit(root, []);
  return found;
}

/** A key as a part of a name; those that are no text or number are told apart by nothing, and need not be. */
function keyName(key: PytorchValue): string {
  if (typeof key === 'string') return key;
  return typeof key === 'number' || typeof key === 'bigint' || typeof key === 'boolean' ? String(key) : '?';
}
