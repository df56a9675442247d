/** Running other programs from the scripts: npm as it was started, Node's programs by their package's name. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root folder. */
export const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Runs a program to its end in the root folder; its output goes where this one's goes unless `options` say otherwise.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnSyncOptions} [options]
 * @returns {number} its exit code; 130 when Ctrl-C ended it, 1 for any other signal
 */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error !== undefined) {
    console.error(`${command} could not be started: ${result.error.message}`);
    return 1;
  }
  return result.status ?? (result.signal === 'SIGINT' ? 130 : 1);
}

/**
 * As `runProgram`, but what the program says is shown only when it fails.
 * @param {string} packageName
 * @param {readonly string[]} args
 * @param {string} [program]
 */
export function runQuietly(packageName, args, program) {
  const command = [programOf(packageName, program), ...args];
  const result = spawnSync(process.execPath, command, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  if (result.status === 0) return 0;
  process.stdout.write(result.stdout);
  process.stderr.write(result.stderr);
  return result.status ?? 1;
}

/**
 * The npm that started this process, or the one on the path: a command and its first arguments.
 * @returns {{ command: string, args: string[], options: { shell?: boolean } }}
 */
export function npm() {
  const started = process.env.npm_execpath;
  if (started !== undefined && basename(started) === 'npm-cli.js') {
    return { command: process.execPath, args: [started], options: {} };
  }
  return process.platform === 'win32'
    ? { command: 'npm.cmd', args: [], options: { shell: true } }
    : { command: 'npm', args: [], options: {} };
}

/**
 * The script behind a program of an installed package.
 * @param {string} packageName
 * @param {string} [program] its name, when the package has several
 */
export function programOf(packageName, program = packageName) {
  const manifest = join(root, 'node_modules', packageName, 'package.json');
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8'));
  return join(dirname(manifest), typeof bin === 'string' ? bin : bin[program]);
}

/**
 * Runs an installed package's program under this Node. Arguments and result as `run`.
 * @param {string} packageName
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnSyncOptions & { program?: string }} [options]
 */
export function runProgram(packageName, args, { program, ...options } = {}) {
  return run(process.execPath, [programOf(packageName, program), ...args], options);
}
