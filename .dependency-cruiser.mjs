/**
 * The layers of ARCHITECTURE.md as rules, made from layers.json: a folder imports only from layers below its
 * own, and inside its layer only along the edges listed there; no circles, neither of files nor of edges.
 */

import { readFileSync } from 'node:fs';

/**
 * What layers.json holds. A place is a folder of src, or a file in it without its extension (`tensor/ndarray`).
 * @typedef {object} Layers
 * @property {string[][]} layers folders of src, lowest layer first
 * @property {Record<string, string[]>} edges folder -> places of its own layer that it may import
 * @property {Record<string, { folder: string, except: string[] }>} barred folder -> a lower folder whose code it may not run
 * @property {string[]} entries files directly in src that gather what is public
 * @property {number} withoutNode the highest layer that may import nothing of Node
 * @property {Record<string, string>} onlyFrom start of a package's name -> the one folder that may import it
 */

/** @type {Layers} */
const table = JSON.parse(readFileSync(new URL('./layers.json', import.meta.url), 'utf8'));

/** The pattern of a place's files: its sources, or what `#host` names among the built files. @param {string} place */
const filesOf = (place) => `^(src|dist)/${place}(/|[.](d[.])?[jt]s$)`;

/**
 * The rules of a table.
 * @param {Layers} layers
 * @returns {import('dependency-cruiser').IForbiddenRuleType[]}
 * @throws Error when the edges of a layer go round in a circle or leave their layer.
 */
export function layerRules(layers) {
  checkEdges(layers);
  const folders = layers.layers.flat();
  const known = [...folders, ...layers.entries];
  /** @type {import('dependency-cruiser').IForbiddenRuleType[]} */
  const rules = [
    {
      name: 'no-circle',
      comment: 'Files that need each other are one idea in two places: move what they share into a third.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'known-place',
      comment: 'Every folder of src has its layer in layers.json.',
      severity: 'error',
      from: { path: '^src/', pathNot: known.map(filesOf) },
      to: {},
    },
    {
      name: 'known-place',
      comment: 'Every folder of src has its layer in layers.json.',
      severity: 'error',
      from: {},
      to: { path: '^src/', pathNot: known.map(filesOf) },
    },
    {
      name: 'entries-are-last',
      comment: 'src/index.ts and its like gather the layers; only the command line may import them.',
      severity: 'error',
      from: { path: '^src/', pathNot: [...layers.entries, 'cli'].map(filesOf) },
      to: { path: layers.entries.map(filesOf) },
    },
    {
      name: 'entries-are-public',
      comment: 'The library does not import its command line.',
      severity: 'error',
      from: { path: layers.entries.map(filesOf) },
      to: { path: filesOf('cli') },
    },
    {
      name: 'resolvable',
      comment: 'What is imported is there.',
      severity: 'error',
      from: { path: '^src/' },
      to: { couldNotResolve: true },
    },
    {
      name: 'no-development-package',
      comment: 'What src imports is a dependency of the package.',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['npm', 'npm-optional'] },
    },
    {
      name: 'no-built-file',
      comment: 'Sources import sources; only `#host` leads to dist.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^dist/', pathNot: '^dist/host/' },
    },
    {
      name: 'without-node',
      comment: `Layers 0 to ${layers.withoutNode} run in a page: files and threads go through #host.`,
      severity: 'error',
      from: {
        path: layers.layers
          .slice(0, layers.withoutNode + 1)
          .flat()
          .map(filesOf),
        pathNot: '^src/host/node[^/]*[.]ts$',
      },
      to: { dependencyTypes: ['core'] },
    },
  ];
  layers.layers.forEach((layer, height) => {
    const below = layers.layers.slice(0, height).flat();
    for (const folder of layer) {
      const beside = layer.filter((other) => other !== folder);
      const above = folders.filter((other) => other !== folder && !below.includes(other) && !beside.includes(other));
      if (above.length > 0) {
        rules.push({
          name: `no-import-upward: ${folder}`,
          comment: 'A layer imports only from layers below it; take what is above as an argument.',
          severity: 'error',
          from: { path: filesOf(folder) },
          to: { path: above.map(filesOf) },
        });
      }
      if (beside.length > 0) {
        rules.push({
          name: `no-unlisted-edge: ${folder}`,
          comment: 'Inside a layer only along the edges of layers.json.',
          severity: 'error',
          from: { path: filesOf(folder) },
          to: { path: beside.map(filesOf), pathNot: (layers.edges[folder] ?? []).map(filesOf) },
        });
      }
    }
  });
  for (const [folder, { folder: other, except }] of Object.entries(layers.barred)) {
    rules.push({
      name: `barred: ${folder} from ${other}`,
      comment: 'Types may be imported, and the files that layers.json excepts; code may not.',
      severity: 'error',
      from: { path: filesOf(folder) },
      to: { path: filesOf(other), pathNot: except.map(filesOf), dependencyTypesNot: ['type-only'] },
    });
  }
  for (const [start, folder] of Object.entries(layers.onlyFrom)) {
    rules.push({
      name: `only-from: ${folder}`,
      comment: `Packages whose name starts with ${start} are imported by src/${folder} alone.`,
      severity: 'error',
      from: { path: '^src/', pathNot: filesOf(folder) },
      to: { path: `(^|node_modules/)${start}` },
    });
  }
  return rules;
}

/** @param {Layers} layers */
function checkEdges({ layers, edges }) {
  for (const [from, places] of Object.entries(edges)) {
    const layer = layers.find((folders) => folders.includes(from));
    const outside = places.find((place) => !layer?.includes(folderOf(place)));
    if (outside !== undefined) throw new Error(`layers.json: the edge ${from} -> ${outside} leaves its layer.`);
  }
  /** @param {string} folder @param {string[]} path */
  const walk = (folder, path) => {
    if (path.includes(folder)) throw new Error(`layers.json: a circle of edges: ${[...path, folder].join(' -> ')}.`);
    for (const place of edges[folder] ?? []) walk(folderOf(place), [...path, folder]);
  };
  for (const folder of Object.keys(edges)) walk(folder, []);
}

/** @param {string} place */
const folderOf = (place) => place.split('/')[0] ?? place;

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: layerRules(table),
  options: {
    doNotFollow: { path: ['node_modules', '^dist/'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['types', 'import', 'default'] },
  },
};
