/** Choosing leaves of a parameter tree by their dotted paths. */

import { isNDArray, isTensor, mapTree, type NDArray, type Shape, type Tensor, TesseraError } from '../tensor/index.js';

/** True for a path that is chosen. */
export type PathTest = (path: string, shape: Shape) => boolean;

/**
 * A test for dotted paths. In a pattern `*` stands for anything within one step of the path and `**` for any number of
 * steps; a pattern also chooses everything below what it names, so `blocks.0` is the whole first block.
 *
 * @throws bad-option for an empty pattern.
 */
export function matchPaths(patterns: readonly string[]): (path: string) => boolean {
  const tests = patterns.map((pattern) => {
    if (pattern.trim() === '') throw new TesseraError('bad-option', 'A pattern of parameter paths is empty.');
    const source = pattern
      .trim()
      .split(/(\*\*|\*)/)
      .map((part) => (part === '**' ? '.*' : part === '*' ? '[^.]*' : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')));
    return new RegExp(`^${source.join('')}(\\.|$)`);
  });
  return (path) => tests.some((test) => test.test(path));
}

/** The tree without the leaves that the test chooses: their places are undefined, so that all paths stay. */
export function withoutLeaves<T>(tree: T, chosen: PathTest): T {
  return mapTree(tree, isArrayOrTensor, (leaf, path) => (chosen(path, leaf.shape) ? undefined : leaf));
}

/** `tree` with the leaves that `replacements` has in their places. */
export function withLeaves<T>(tree: T, replacements: unknown): T {
  const found = new Map<string, NDArray | Tensor>();
  mapTree(replacements, isArrayOrTensor, (leaf, path) => found.set(path, leaf));
  return mapTree(tree, isArrayOrTensor, (leaf, path) => found.get(path) ?? leaf);
}

function isArrayOrTensor(value: unknown): value is NDArray | Tensor {
  return isTensor(value) || isNDArray(value);
}
