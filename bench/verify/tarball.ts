/**
 * The packed package in an empty folder, installed in the three ways that a person may: plainly, where the
 * native runtime's own install script may fail and npm then leaves that optional package out; with
 * --ignore-scripts; and with that script told to skip. In each, the command and every entry must work, and a
 * tiny model is trained and generates. Needs the npm registry.
 */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanEnvironment, type Environment, execute, lastLine, npmScript, root } from '../_commands.js';

interface Way {
  readonly name: string;
  readonly flags: readonly string[];
  readonly env: Environment;
  /** Whether the native runtime must be there afterwards; undefined where that depends on the network. */
  readonly native?: boolean;
}

const WAYS: readonly Way[] = [
  { name: 'plain', flags: [], env: {} },
  { name: 'ignore-scripts', flags: ['--ignore-scripts'], env: {}, native: true },
  { name: 'install-skip', flags: [], env: { ONNXRUNTIME_NODE_INSTALL: 'skip' }, native: true },
];

interface Figures {
  readonly ok: boolean;
  readonly installSeconds: number;
  readonly native: boolean;
  readonly version: string;
  readonly engine: string;
  readonly entries: string;
  readonly model: string;
}

/** Packs, installs and uses the package. `args` may name the ways to try; without, all three. */
export default async function run(args: readonly string[]): Promise<{ ok: boolean; figures: object }> {
  const folder = mkdtempSync(join(tmpdir(), 'tessera-tarball-'));
  try {
    const env = cleanEnvironment({ npm_config_cache: join(folder, 'cache') });
    const packing = [npmScript(), 'pack', '--silent', '--pack-destination', folder];
    const packed = await execute(process.execPath, packing, { cwd: root, env });
    const tarball = readdirSync(folder).find((file) => file.endsWith('.tgz'));
    if (!packed.ok || tarball === undefined) return { ok: false, figures: { packed: packed.output } };
    const figures: Record<string, Figures> = {};
    for (const way of WAYS.filter(({ name }) => args.length === 0 || args.includes(name))) {
      figures[way.name] = await tryWay(way, join(folder, tarball), join(folder, way.name), env);
    }
    return { ok: Object.values(figures).every(({ ok }) => ok), figures };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function tryWay(way: Way, tarball: string, cwd: string, base: Environment): Promise<Figures> {
  const env = { ...base, ...way.env };
  mkdirSync(cwd);
  writeFileSync(join(cwd, 'package.json'), '{ "private": true, "type": "module" }\n');
  const node = (args: readonly string[]) => execute(process.execPath, args, { cwd, env });

  const install = await node([npmScript(), 'install', '--no-audit', '--no-fund', ...way.flags, tarball]);
  const native = existsSync(join(cwd, 'node_modules', 'onnxruntime-node', 'package.json'));
  const version = await node([npmScript(), 'exec', '--offline', '--', 'tessera', '--version']);
  const engine = await node([npmScript(), 'exec', '--offline', '--', 'tessera', 'doctor']);
  const entries = await node(['--input-type=module', '-e', importing(entryPoints())]);
  mkdirSync(join(cwd, 'smoke'));
  const bin = join(cwd, 'node_modules', 'tessera-kit', 'dist', 'cli', 'main.js');
  const model = await node([join(root, 'scripts', 'smoke.mjs'), '--bin', bin, '--out', join(cwd, 'smoke')]);

  const nativeAsExpected = way.native === undefined || way.native === native;
  return {
    ok: [install, version, engine, entries, model].every(({ ok }) => ok) && nativeAsExpected,
    installSeconds: install.seconds,
    native,
    version: lastLine(version.stdout),
    engine: engine.output.trim().split('\n')[0] ?? '',
    entries: entries.ok ? `${lastLine(entries.stdout)} import` : 'an entry does not import',
    model: model.ok ? `trains and generates in ${model.seconds} s` : 'does not train and generate',
  };
}

/** The sub-paths that package.json exports, with the package's name. */
function entryPoints(): string[] {
  const manifest: { readonly exports: object } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return Object.keys(manifest.exports)
    .filter((path) => !path.endsWith('.json'))
    .map((path) => `tessera-kit${path.slice(1)}`);
}

/** A script that imports each entry and says how many there are. */
function importing(entries: readonly string[]): string {
  const imports = entries.map((entry) => `await import(${JSON.stringify(entry)});`);
  return [...imports, `console.log('${entries.length} of ${entries.length} entries');`].join('\n');
}
