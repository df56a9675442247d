/** What `tessera-kit/run` reaches: no module that trains, differentiates, traces or lowers. */

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const dist = new URL('../../dist/', import.meta.url);

/** Every built module that an entry reaches by import, export or import(), as paths under dist. */
function reached(entry: string): Set<string> {
  const found = new Set<string>();
  const stack = [new URL(entry, dist)];
  for (let module = stack.pop(); module !== undefined; module = stack.pop()) {
    const path = module.href.slice(dist.href.length);
    if (found.has(path)) continue;
    found.add(path);
    const code = readFileSync(module, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
    for (const [, target = ''] of code.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'(\.[^']+|#host)'/g)) {
      stack.push(target === '#host' ? new URL('host/node.js', dist) : new URL(target, module));
    }
  }
  return found;
}

const TRAINING = /^(nn\/(train|optimizer|loss|clip|checkpoint)|tensor\/(gradient|graph|trace|onnx\/|operations\/))/;

it('carries no training code', () => {
  const modules = [...reached('run.js')];
  expect(modules).toEqual(expect.arrayContaining(['generation/next-token.js', 'nn/decoding.js', 'host/node.js']));
  expect(modules.filter((path) => TRAINING.test(path))).toEqual([]);
});

it('is told apart from an entry that does', () => {
  expect([...reached('nn/index.js')].filter((path) => TRAINING.test(path))).toEqual(
    expect.arrayContaining(['nn/train.js', 'tensor/gradient.js', 'tensor/onnx/lower.js']),
  );
});
