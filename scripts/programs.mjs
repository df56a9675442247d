/**
 * Benchmarks and verifications: modules of bench/ and bench/verify/, compiled into dist-bench/ and called by name.
 * Such a module's default export is `run(args)`, with `args` what followed the name on the command line.
 */

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensure } from './ensure.mjs';
import { root, runProgram } from './processes.mjs';

/**
 * Finds, compiles and runs the module that the command line names. Without a name it lists what there is.
 * @param {string} folder below the root: `bench` or `bench/verify`
 * @param {string} usage the command that a person types before the name
 * @returns {Promise<{ name: string, args: string[], result: unknown } | undefined>} nothing, and exit code 2, for no or an unknown name
 */
export async function runNamed(folder, usage) {
  const [name, ...args] = process.argv.slice(2);
  const names = namesIn(folder);
  if (name === undefined || !names.includes(name)) {
    if (name !== undefined) {
      const nearest = names.map((other) => ({ other, distance: distance(name, other) })).sort(byDistance)[0];
      const meant =
        nearest !== undefined && nearest.distance <= name.length / 2 ? ` Did you mean ${nearest.other}?` : '';
      console.error(`There is no ${folder}/${name}.ts.${meant}`);
    }
    console.error(`${usage} NAME, with one of: ${names.join(', ') || '(none yet)'}`);
    process.exitCode = 2;
    return undefined;
  }
  ensure();
  const compiled = runProgram('typescript', ['-p', 'tsconfig.bench.json'], {
    program: 'tsc',
    stdio: ['inherit', 2, 2],
  });
  const script = join(root, folder.replace(/^bench/, 'dist-bench'), `${name}.js`);
  if (compiled !== 0) console.error('bench/ did not compile without errors; what the compiler said is above.');
  if (compiled !== 0 || !existsSync(script)) {
    // The next run compiles everything again, whatever the compiler's notes say.
    rmSync(join(root, 'dist-bench', '.tsbuildinfo'), { force: true });
    process.exitCode = compiled || 1;
    return undefined;
  }
  const { default: program } = await import(pathToFileURL(script).href);
  if (typeof program !== 'function') throw new Error(`${folder}/${name}.ts has no default export run(args).`);
  return { name, args, result: await program(args) };
}

/**
 * Writes figures to bench/results/FILE.json with the machine they were taken on, whole or not at all.
 * @param {string} file
 * @param {{ ok: boolean, figures: unknown }} outcome
 */
export function writeFigures(file, { ok, figures }) {
  const folder = join(root, 'bench', 'results');
  mkdirSync(folder, { recursive: true });
  const cores = cpus();
  const machine = { processor: cores[0]?.model.trim() ?? 'unknown', cores: cores.length, platform: process.platform };
  const content = { ok, date: new Date().toISOString().slice(0, 10), node: process.version, ...machine, figures };
  const target = join(folder, `${file}.json`);
  writeFileSync(`${target}.part`, `${JSON.stringify(content, null, 2)}\n`);
  renameSync(`${target}.part`, target);
  return target;
}

/** A report as indented lines for people. @param {unknown} value @param {string} [indent] @returns {string} */
export function asLines(value, indent = '') {
  if (typeof value !== 'object' || value === null) return `${indent}${value}\n`;
  return Object.entries(value)
    .filter(([, inner]) => inner !== undefined)
    .map(([key, inner]) =>
      typeof inner === 'object' && inner !== null
        ? `${indent}${key}\n${asLines(inner, `${indent}  `)}`
        : `${indent}${key}: ${inner}\n`,
    )
    .join('');
}

/** The modules of a folder that can be called by name: those whose name is not `_shared`. @param {string} folder */
function namesIn(folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder))
    .filter((file) => /^[^_.].*[.]ts$/.test(file) && !file.endsWith('.d.ts'))
    .map((file) => file.slice(0, -3))
    .sort();
}

/** @param {{ distance: number }} a @param {{ distance: number }} b */
const byDistance = (a, b) => a.distance - b.distance;

/** Levenshtein's distance. @param {string} a @param {string} b @returns {number} */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
