import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { cruise, type IViolation } from 'dependency-cruiser';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import config, { type Layers, layerRules } from '../../.dependency-cruiser.mjs';

// [what is planted, the file, what it holds, the rule that must refuse it; none: lawful]
const plants: readonly (readonly [says: string, file: string, source: string, rule?: string])[] = [
  ['the floor importing a layer above', 'tensor/up.ts', "import '../nn/linear.js';", 'no-import-upward: tensor'],
  ['a type of a layer above', 'text/type.ts', "export type { A } from '../nn/linear.js';", 'no-import-upward: text'],
  ['the command line from below', 'systems/cli.ts', "import '../cli/main.js';", 'no-import-upward: systems'],
  ['an edge that is not listed', 'text/aside.ts', "import '../tensor/graph.js';", 'no-unlisted-edge: text'],
  ['a listed edge, past its file', 'formats/past.ts', "import '../tensor/graph.js';", 'no-unlisted-edge: formats'],
  [
    'a listed edge against its direction',
    'measures/back.ts',
    "import '../nn/linear.js';",
    'no-unlisted-edge: measures',
  ],
  ['Node in a layer that runs in a page', 'nn/files.ts', "import 'node:fs';", 'without-node'],
  ['Node in the host, outside of its Node half', 'host/types.ts', "import 'node:os';", 'without-node'],
  ['the runtime outside of tensor', 'nn/session.ts', "import 'onnxruntime-node';", 'only-from: tensor'],
  ['the runtime, lazily', 'cli/lazy.ts', "await import('onnxruntime-web');", 'only-from: tensor'],
  ['tensor code in a tokenizer', 'tokenizers/run.ts', "import '../tensor/graph.js';", 'barred: tokenizers from tensor'],
  ['a circle of files', 'nn/one.ts', "import './two.js';", 'no-circle'],
  ['a folder without a layer', 'misc/thing.ts', "import '../host/node.js';", 'known-place'],
  ['the use of a folder without a layer', 'systems/stray.ts', "import '../stray/thing.js';", 'known-place'],
  ['the entry from below', 'nn/all.ts', "import '../index.js';", 'entries-are-last'],
  ['the command line from the entry', 'run.ts', "import './cli/main.js';", 'entries-are-public'],
  ['a built file', 'nn/built.ts', "import '../../dist/nn/linear.js';", 'no-built-file'],
  ['a file that is not there', 'nn/absent.ts', "import './nowhere.js';", 'resolvable'],
  ['a layer below', 'nn/down.ts', "import '../tensor/graph.js';"],
  ['a listed edge', 'nn/listed.ts', "import '../measures/bits.js';"],
  ['a listed edge to its file', 'formats/listed.ts', "import '../tensor/ndarray.js';"],
  ['a type of a barred folder', 'tokenizers/type.ts', "export type { A } from '../tensor/graph.js';"],
  ['an excepted file of a barred folder', 'tokenizers/array.ts', "import '../tensor/ndarray.js';"],
  ['Node in the Node half of the host', 'host/node.ts', "import 'node:fs';"],
  ['Node in the command line', 'cli/main.ts', "import 'node:fs';"],
  ['the entry over all layers', 'index.ts', "import './nn/down.js';"],
];
const standing: Readonly<Record<string, string>> = {
  'src/nn/two.ts': "import './one.js';",
  'src/stray/thing.ts': 'export {};',
  'src/nn/linear.ts': 'export type A = 1;',
  'src/tensor/graph.ts': 'export type A = 1;',
  'src/tensor/ndarray.ts': 'export {};',
  'src/measures/bits.ts': 'export {};',
  'dist/nn/linear.js': 'export {};',
};

describe('the layers', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tessera-layers-'));
  const found = new Map<string, string[]>();

  beforeAll(async () => {
    const planted = Object.fromEntries(plants.map(([, file, source]) => [`src/${file}`, source]));
    for (const [file, source] of Object.entries({ ...standing, ...planted })) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), source);
    }
    const { output } = await cruise(['src'], {
      ...config.options,
      baseDir: folder,
      validate: true,
      ruleSet: { forbidden: [...(config.forbidden ?? [])] },
    });
    if (typeof output === 'string') throw new Error('Expected a result as an object.');
    for (const { from, rule } of output.summary.violations as readonly IViolation[]) {
      found.set(from, [...(found.get(from) ?? []), rule.name]);
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test.each(plants.filter(([, , , rule]) => rule !== undefined))('refuse %s', (_, file, __, rule) => {
    expect(found.get(`src/${file}`)).toContain(rule);
  });
  test.each(plants.filter(([, , , rule]) => rule === undefined))('allow %s', (_, file) => {
    expect(found.get(`src/${file}`)).toBeUndefined();
  });
});

describe('the table of layers', () => {
  const table: Layers = JSON.parse(readFileSync(new URL('../../layers.json', import.meta.url), 'utf8'));

  test('names every folder once', () => {
    const folders = table.layers.flat();
    expect(new Set(folders).size).toBe(folders.length);
  });
  test('refuses edges that go round in a circle', () => {
    const edges = { nn: ['measures'], measures: ['nn'] };
    expect(() => layerRules({ ...table, edges })).toThrow('nn -> measures -> nn');
  });
  test('refuses an edge that leaves its layer', () => {
    expect(() => layerRules({ ...table, edges: { nn: ['tensor'] } })).toThrow('nn -> tensor leaves its layer');
  });
});
