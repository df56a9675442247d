/**
 * Installs when node_modules is missing or is not what package-lock.json names, and builds dist when a source
 * changed. Prints a line for each on stderr, nothing when all is fresh. Needs nothing but Node: it runs before
 * the first install, and called by name, because with ignore-scripts npm runs no script of its own accord.
 */

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { npm, root, run, runProgram } from './processes.mjs';

const stamp = join(root, 'dist', '.stamp');

/** Installs and builds what is missing or stale; ends the process with the failing step's code. */
export function ensure() {
  install();
  build();
}

function install() {
  const reason = staleInstall();
  if (reason === undefined) return;
  const { command, args, options } = npm();
  step(`installing packages (${reason})`, () =>
    // npm's own lines go to stderr as well: stdout belongs to the job.
    run(
      command,
      [...args, 'ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'],
      {
        ...options,
        stdio: ['inherit', 2, 2],
      },
    ),
  );
}

/**
 * Why the installed packages are not those of package-lock.json. Compared by content, not by time: git sets
 * times as it likes. npm writes node_modules/.package-lock.json when an install is complete.
 * @returns {string | undefined}
 */
function staleInstall() {
  const installed = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installed)) return 'node_modules is missing';
  const there = packagesOf(installed);
  const wanted = packagesOf(join(root, 'package-lock.json'));
  for (const [path, { version, integrity, optional, devOptional, peer }] of Object.entries(wanted)) {
    const found = there[path];
    // Left out lawfully: the root itself, and what another platform or nobody needs.
    if (found === undefined && (path === '' || optional || devOptional || peer)) continue;
    if (found?.version !== version || found?.integrity !== integrity) {
      return `${path.replace('node_modules/', '')} is not what package-lock.json names`;
    }
  }
  const extra = Object.keys(there).find((path) => !(path in wanted));
  return extra === undefined ? undefined : `${extra.replace('node_modules/', '')} is not in package-lock.json`;
}

/** @typedef {{ version?: string, integrity?: string, optional?: boolean, devOptional?: boolean, peer?: boolean }} Locked */

/** @param {string} file @returns {Record<string, Locked>} */
function packagesOf(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages;
}

function build() {
  const wanted = sourcesHash();
  const built = existsSync(stamp) ? readFileSync(stamp, 'utf8') : undefined;
  if (built === wanted) return;
  // Without a stamp nobody knows what dist holds: let the compiler write everything.
  if (built === undefined) rmSync(join(root, 'dist', '.tsbuildinfo'), { force: true });
  rmSync(stamp, { force: true });
  step(built === undefined ? 'building dist' : 'building dist (sources changed)', () =>
    runProgram('typescript', ['-p', 'tsconfig.json', '--pretty', String(process.stderr.isTTY === true)], {
      program: 'tsc',
      stdio: ['inherit', 2, 2],
    }),
  );
  removeOrphans();
  writeFileSync(stamp, wanted);
}

/** A hash of everything the build reads. */
function sourcesHash() {
  const hash = createHash('sha256');
  const files = [...filesUnder('src'), 'tsconfig.json', 'tsconfig.base.json', 'package.json', 'package-lock.json'];
  for (const file of files)
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update('\0');
  return hash.digest('hex');
}

/** Removes what was built from sources that are gone. */
function removeOrphans() {
  for (const file of filesUnder('dist')) {
    const source = file.replace(/^dist/, 'src').replace(/([.]d)?[.][jt]s$/, '.ts');
    if (/[.][jt]s$/.test(file) && !existsSync(join(root, source))) rmSync(join(root, file));
  }
}

/** The files below a folder of the root, as paths from the root with slashes, sorted. @param {string} folder */
function filesUnder(folder) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .sort();
}

/** @param {string} says @param {() => number} work */
function step(says, work) {
  const start = performance.now();
  process.stderr.write(`tessera: ${says} ...\n`);
  const code = work();
  if (code !== 0) {
    process.stderr.write(`tessera: ${says} failed with code ${code}; what it said is above.\n`);
    process.exit(code);
  }
  process.stderr.write(`tessera: ${says}: ${((performance.now() - start) / 1000).toFixed(1)} s\n`);
}

/** Whether a module is the one that Node was started with. @param {string} url its import.meta.url */
export function isMain(url) {
  const script = process.argv[1];
  return script !== undefined && existsSync(script) && pathToFileURL(realpathSync(script)).href === url;
}

if (isMain(import.meta.url)) ensure();
