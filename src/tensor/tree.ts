/** Trees of leaves: plain nested objects and arrays, walked in insertion order and named by dotted paths. */

import { isTensor, type Spec, type Tensor } from './graph.js';
import { isNDArray, type NDArray } from './ndarray.js';

/** The arrays that stand for a tree of tensors outside a trace. */
export type Arrays<P> = P extends Tensor ? NDArray : { readonly [K in keyof P]: Arrays<P[K]> };
/** The tensors that stand for a tree of arrays inside a trace. */
export type Tensors<A> = A extends NDArray ? Tensor : { readonly [K in keyof A]: Tensors<A[K]> };
/** The dtypes and shapes of a tree of tensors, arrays or specs. */
export type Specs<P> = P extends Spec ? Spec : { readonly [K in keyof P]: Specs<P[K]> };

/** A leaf and the dotted path that leads to it. */
export type Leaf<L> = readonly [path: string, leaf: L];

type Test<L> = (value: unknown) => value is L;

/** True for `{ dtype, shape }`, with or without values. */
export function isSpec(value: unknown): value is Spec {
  return typeof value === 'object' && value !== null && 'dtype' in value && 'shape' in value;
}

/** A path one step longer. */
export function joinPath(path: string, key: string | number): string {
  return path === '' ? String(key) : `${path}.${key}`;
}

/** All leaves with their paths. Undefined branches are skipped. */
export function leaves<L>(tree: unknown, isLeaf: Test<L>, path = ''): Leaf<L>[] {
  if (tree === undefined || tree === null) return [];
  if (isLeaf(tree)) return [[path, tree]];
  if (typeof tree !== 'object') return [];
  return Object.entries(tree).flatMap(([key, branch]) => leaves(branch, isLeaf, joinPath(path, key)));
}

/** All tensors of a tree. */
export function tensorLeaves(tree: unknown): Leaf<Tensor>[] {
  return leaves(tree, isTensor);
}

/** All arrays of a tree. */
export function arrayLeaves(tree: unknown): Leaf<NDArray>[] {
  return leaves(tree, isNDArray);
}

/** All specs (arrays and tensors count as specs) of a tree. */
export function specLeaves(tree: unknown): Leaf<Spec>[] {
  return leaves(tree, isSpec);
}

/** A tree of the same form with every leaf replaced. The result's type is the caller's to state. */
export function mapTree<L, R>(
  tree: unknown,
  isLeaf: Test<L>,
  replace: (leaf: L, path: string) => unknown,
  path = '',
): R {
  const walk = (branch: unknown, at: string): unknown => {
    if (branch === undefined || branch === null) return branch;
    if (isLeaf(branch)) return replace(branch, at);
    if (Array.isArray(branch)) return branch.map((item, index) => walk(item, joinPath(at, index)));
    if (typeof branch !== 'object') return branch;
    return Object.fromEntries(Object.entries(branch).map(([key, value]) => [key, walk(value, joinPath(at, key))]));
  };
  return walk(tree, path) as R;
}

/** A tree of arrays seen as tensors: each leaf becomes `replace(leaf, path)`. */
export function mapArrays<A>(tree: A, replace: (leaf: NDArray, path: string) => NDArray): A {
  return mapTree(tree, isNDArray, replace);
}

/** A tree of tensors with each tensor replaced. */
export function mapTensors<P>(tree: P, replace: (leaf: Tensor, path: string) => Tensor): P {
  return mapTree(tree, isTensor, replace);
}

/** Puts leaves under dotted paths back into a nested tree; numeric keys of a full run from 0 become arrays. */
export function nest<L>(pairs: Iterable<Leaf<L>>): unknown {
  const root = new Map<string, unknown>();
  for (const [path, leaf] of pairs) {
    if (path === '') return leaf;
    const keys = path.split('.');
    let branch = root;
    for (const key of keys.slice(0, -1)) {
      const next = branch.get(key);
      const inner: Map<string, unknown> = next instanceof Map ? next : new Map();
      branch.set(key, inner);
      branch = inner;
    }
    branch.set(keys.at(-1) ?? '', leaf);
  }
  return unfold(root);
}

function unfold(branch: unknown): unknown {
  if (!(branch instanceof Map)) return branch;
  const entries = [...branch.entries()].map(([key, value]) => [String(key), unfold(value)] as const);
  const isList = entries.length > 0 && entries.every(([key], index) => key === String(index));
  return isList ? entries.map(([, value]) => value) : Object.fromEntries(entries);
}
