/**
 * `npm test`: everything that a change must pass, in order, stopping at the first failure with its code.
 * `npm test -- PATH...` hands its arguments to vitest and runs nothing else.
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensure } from './ensure.mjs';
import { npm, root, run, runProgram, runQuietly } from './processes.mjs';

const temporary = mkdtempSync(join(tmpdir(), 'tessera-test-'));
process.on('exit', () => rmSync(temporary, { recursive: true, force: true }));
const counts = join(temporary, 'vitest.json');
const args = process.argv.slice(2);

/** @type {readonly (readonly [name: string, work: () => number])[]} */
const checks = [
  [
    'lint',
    () =>
      runProgram('@biomejs/biome', ['ci', '--colors=off', '--diagnostic-level=warn', '--error-on-warnings'], {
        program: 'biome',
      }),
  ],
  ['types', () => runProgram('typescript', ['-p', 'tsconfig.test.json'], { program: 'tsc' })],
  [
    'layers',
    () => runProgram('dependency-cruiser', ['--config', '.dependency-cruiser.mjs', 'src'], { program: 'depcruise' }),
  ],
  ['package', checkPackage],
  ['unit tests', unitTests],
  ['smoke', () => run(process.execPath, [join(root, 'scripts', 'smoke.mjs')])],
];

stage('set-up', () => {
  ensure();
  return 0;
});
for (const [name, work] of args.length > 0 ? [/** @type {const} */ (['unit tests', unitTests])] : checks) {
  const code = stage(name, work);
  if (code !== 0) {
    console.log(`${name} failed with code ${code}.`);
    printCounts();
    process.exit(code);
  }
}
printCounts();

/** @param {string} name @param {() => number} work */
function stage(name, work) {
  console.log(`== ${name}`);
  const start = performance.now();
  const code = work();
  console.log(`== ${name}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return code;
}

/** Packs as npm publish would, and asks what a resolver and a type checker of a user would find. */
function checkPackage() {
  const { command, args: first, options } = npm();
  const packing = [...first, 'pack', '--silent', '--pack-destination', temporary];
  const code = run(command, packing, { ...options, stdio: ['ignore', 'ignore', 'inherit'] });
  if (code !== 0) return code;
  const tarball = readdirSync(temporary).find((file) => file.endsWith('.tgz')) ?? '';
  const file = join(temporary, tarball);
  return (
    runQuietly('publint', ['run', file, '--strict']) ||
    runQuietly('@arethetypeswrong/cli', [file, '--profile', 'esm-only', '--no-color', '--no-emoji'], 'attw')
  );
}

function unitTests() {
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${counts}`];
  return runProgram('vitest', ['run', ...reporters, ...args]);
}

/** The line that continuous integration reads; nothing when the unit tests were not reached. */
function printCounts() {
  let report;
  try {
    report = JSON.parse(readFileSync(counts, 'utf8'));
  } catch {
    return;
  }
  // A file that does not even load counts as one failure.
  /** @type {{ status: string, assertionResults: unknown[] }[]} */
  const files = report.testResults;
  const broken = files.filter((file) => file.status === 'failed' && file.assertionResults.length === 0).length;
  console.log(`${report.numPassedTests} passed, ${report.numFailedTests + broken} failed`);
}
