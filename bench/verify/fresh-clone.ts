/**
 * The README's commands as a stranger meets them: the last commit cloned into an empty folder, an empty npm
 * cache, npm 10 and npm 11. `npm start` must do all set-up itself and leave a model; a bare `npm ci` must do;
 * `npm test` is run with the newest of the two. Needs the npm registry and git. Takes as long as two installs
 * and one whole test run; `--without-test` leaves the last out.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { cleanEnvironment, type Environment, execute, holdsModel, lastLine, npmScript, root } from '../_commands.js';

const VERSIONS = ['10', '11'] as const;

interface Figures {
  readonly ok: boolean;
  readonly npm: string;
  /** Seconds of `npm start` on the empty clone, with an empty cache: install, build, training, export. */
  readonly startSeconds: number;
  /** Of these, until the packages were installed. */
  readonly installedAfter?: number;
  /** Of these, until the first line that tells a loss. */
  readonly firstLossAfter?: number;
  readonly startLeavesModel: boolean;
  readonly bareInstallSeconds: number;
  readonly bareInstall: boolean;
  readonly testSeconds?: number;
  readonly test?: string;
}

/** Clones and runs. `args`: versions of npm to try (`10`, `11`; without, both), and `--without-test`. */
export default async function run(args: readonly string[]): Promise<{ ok: boolean; figures: object }> {
  const chosen = VERSIONS.filter((version) => args.includes(version));
  const versions = chosen.length > 0 ? chosen : VERSIONS;
  const figures: Record<string, Figures | string> = {
    commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim(),
  };
  let ok = true;
  for (const version of versions) {
    const folder = mkdtempSync(join(tmpdir(), 'tessera-clone-'));
    try {
      const withTest = version === versions.at(-1) && !args.includes('--without-test');
      const result = await tryNpm(version, folder, withTest);
      figures[`npm ${version}`] = result;
      ok &&= result.ok;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return { ok, figures };
}

async function tryNpm(version: string, folder: string, withTest: boolean): Promise<Figures> {
  const tools = join(folder, 'npm');
  const clone = join(folder, 'clone');
  const out = join(folder, 'out');
  mkdirSync(tools);
  // npm itself is fetched with a cache of its own, so that the clone's starts empty.
  const before = cleanEnvironment({ npm_config_cache: join(folder, 'cache-of-npm') });
  await execute(process.execPath, [npmScript(), 'install', '--prefix', tools, '--no-audit', `npm@${version}`], {
    cwd: tools,
    env: before,
  });
  await execute('git', ['clone', '--quiet', root, clone], { cwd: folder, env: before });

  const script = join(tools, 'node_modules', 'npm', 'bin', 'npm-cli.js');
  const clean = cleanEnvironment();
  const env: Environment = {
    ...clean,
    npm_config_cache: join(folder, 'cache'),
    PATH: [join(tools, 'node_modules', '.bin'), dirname(process.execPath), clean.PATH].join(':'),
  };
  const npm = (args: readonly string[], marks?: Readonly<Record<string, RegExp>>) =>
    execute(process.execPath, [script, ...args], { cwd: clone, env, marks });
  const empty = () => execute('git', ['clean', '-fdxq'], { cwd: clone, env });

  const told = lastLine((await npm(['--version'])).stdout);
  const start = await npm(['start', '--', '--steps', '20', '--out', out], {
    installed: /^tessera: installing packages .*: [\d.]+ s$/,
    loss: /\bloss\b/i,
  });
  const startLeavesModel = start.ok && holdsModel(out);
  await empty();
  const bare = await npm(['ci']);
  let test: Awaited<ReturnType<typeof npm>> | undefined;
  if (withTest) {
    await empty();
    test = await npm(['test']);
  }
  return {
    ok: told.startsWith(`${version}.`) && startLeavesModel && bare.ok && (test?.ok ?? true),
    npm: told,
    startSeconds: start.seconds,
    installedAfter: start.marks.installed,
    firstLossAfter: start.marks.loss,
    startLeavesModel,
    bareInstallSeconds: bare.seconds,
    bareInstall: bare.ok,
    testSeconds: test?.seconds,
    test: test === undefined ? undefined : lastLine(test.stdout),
  };
}
