/** Several optimizers in one run, each with parameters of its own. */

import type { Json } from '../../formats/index.js';
import { type Shape, TesseraError } from '../../tensor/index.js';
import { matchPaths, type PathTest, withLeaves, withoutLeaves } from '../paths.js';
import type { TreeOptimizer } from '../train-types.js';
import type { DescribedOptimizer } from './leaf.js';

/** An optimizer, and which parameters it has. */
export interface OptimizerPart {
  readonly optimizer: TreeOptimizer;
  /** Patterns of paths (see `matchPaths`), or a test of path and shape; absent: all that are left. */
  readonly paths?: readonly string[] | PathTest;
}

/**
 * An optimizer made of several: a parameter belongs to the first part that wants it, and one that none wants is not trained.
 * The moments are a tree with a branch for each part, under its name.
 * @throws bad-option when there is no part.
 */
export function byPath<P = unknown>(
  parts: Readonly<Record<string, OptimizerPart>>,
): DescribedOptimizer<P, Readonly<Record<string, unknown>>> {
  const all = Object.entries(parts).map(([name, { optimizer, paths }]) => ({ name, optimizer, wants: testOf(paths) }));
  if (all.length === 0) throw new TesseraError('bad-option', 'An optimizer by path needs at least one part.');
  const ownerOf = (path: string, shape: Shape) => all.find(({ wants }) => wants(path, shape));
  const shareOf = <T>(tree: T, name: string): T =>
    withoutLeaves(tree, (path, shape) => ownerOf(path, shape)?.name !== name);
  return {
    description: {
      name: 'by-path',
      parts: Object.entries(parts).map(
        ([name, { optimizer, paths }]): Json => ({
          name,
          paths: typeof paths === 'function' ? 'a function' : [...(paths ?? ['**'])],
          optimizer: optimizer.description ?? null,
        }),
      ),
    },
    frozen: (path, shape) => {
      const owner = ownerOf(path, shape);
      return owner === undefined || owner.optimizer.frozen?.(path, shape) === true;
    },
    init: (parameters) =>
      Object.fromEntries(all.map(({ name, optimizer }) => [name, optimizer.init(shareOf(parameters, name))])) as never,
    update: (parameters, gradients, moments, rate, call) => {
      let next = parameters;
      const after: Record<string, unknown> = {};
      for (const { name, optimizer } of all) {
        const own = optimizer.update(shareOf(parameters, name), shareOf(gradients, name), moments[name], rate, call);
        next = withLeaves(next, own.parameters);
        after[name] = own.moments;
      }
      return { parameters: next, moments: after };
    },
  };
}

function testOf(paths: OptimizerPart['paths']): PathTest {
  if (paths === undefined) return () => true;
  return typeof paths === 'function' ? paths : matchPaths(paths);
}
