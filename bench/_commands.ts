/** Running commands for verifications: output kept, time taken, and an environment that npm left no trace in. */

import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { basename, delimiter, dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root folder. */
export const root: string = fileURLToPath(new URL('..', import.meta.url));

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What a command did. */
export interface Ran {
  readonly ok: boolean;
  readonly seconds: number;
  readonly stdout: string;
  /** Both streams as they came, for telling what went wrong. */
  readonly output: string;
  /** Seconds from the start to the first line that matched each pattern of `marks`. */
  readonly marks: Readonly<Record<string, number>>;
}

/** Options of `execute`. */
export interface ExecuteOptions {
  readonly cwd: string;
  readonly env: Environment;
  readonly marks?: Readonly<Record<string, RegExp>>;
}

/** Runs a command to its end. A command that fails is a result, not an exception; its output goes to stderr. */
export function execute(command: string, args: readonly string[], options: ExecuteOptions): Promise<Ran> {
  const start = performance.now();
  const elapsed = () => Math.round((performance.now() - start) / 100) / 10;
  console.error(`$ ${[basename(command), ...args].join(' ')}`);
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: options.cwd, env: options.env, stdio: ['ignore', 'pipe', 'pipe'] });
    const marks: Record<string, number> = {};
    let stdout = '';
    let output = '';
    let fromLine = 0;
    const take = (text: string) => {
      output += text;
      for (let end = output.indexOf('\n', fromLine); end >= 0; end = output.indexOf('\n', fromLine)) {
        const line = output.slice(fromLine, end);
        fromLine = end + 1;
        for (const [name, pattern] of Object.entries(options.marks ?? {})) {
          if (!(name in marks) && pattern.test(line)) marks[name] = elapsed();
        }
      }
    };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      take(text);
    });
    child.stderr.setEncoding('utf8').on('data', take);
    const end = (ok: boolean) => {
      if (!ok) console.error(`${output.slice(-4000)}\nfailed after ${elapsed()} s`);
      resolve({ ok, seconds: elapsed(), stdout, output, marks });
    };
    child.on('error', (error) => {
      output += error.message;
      end(false);
    });
    child.on('close', (code) => end(code === 0));
  });
}

/**
 * This process's environment as a person's shell would have it: without what npm sets for its scripts, and
 * without the repository's own programs on the path. The registry and the configuration files stay.
 */
export function cleanEnvironment(more: Environment = {}): Environment {
  const kept = Object.entries(process.env).filter(
    ([name]) =>
      !/^(npm_|init_cwd$|node_env$)/i.test(name) || /^npm_config_(registry|userconfig|globalconfig)$/i.test(name),
  );
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.includes(`${sep}node_modules${sep}`) && !folder.endsWith('node-gyp-bin'));
  return { ...Object.fromEntries(kept), PATH: path.join(delimiter), ...more };
}

/** npm's script: the one that started this process, otherwise the one beside Node. */
export function npmScript(): string {
  const started = process.env.npm_execpath;
  if (started !== undefined && basename(started) === 'npm-cli.js') return started;
  const folder = dirname(process.execPath);
  const places = [join(folder, '..', 'lib', 'node_modules'), join(folder, 'node_modules')];
  const found = places.map((place) => join(place, 'npm', 'bin', 'npm-cli.js')).find((file) => existsSync(file));
  if (found === undefined) throw new Error('npm was not found beside Node; start this with npm run verify.');
  return found;
}

/** Whether a folder holds a model that ONNX Runtime opens: onnx/model.onnx, at any depth. */
export function holdsModel(folder: string): boolean {
  if (!existsSync(folder)) return false;
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).some((path) =>
    path.endsWith(join('onnx', 'model.onnx')),
  );
}

/** The last line of a text that is not empty. */
export function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}
