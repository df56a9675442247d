/** Calls the command as a person does, and compares folders before and after. */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The script of the command. */
export const bin: string = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** What a call did. */
export interface Called {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `tessera` with arguments; `shell` is a line before it, such as a limit. */
export function tessera(
  args: readonly string[],
  options: { readonly input?: string; readonly shell?: string; readonly cwd?: string } = {},
): Called {
  const { input = '', shell, cwd } = options;
  const run = { encoding: 'utf8', input, cwd } as const;
  const { status, stdout, stderr } =
    shell === undefined
      ? spawnSync(process.execPath, [bin, ...args], run)
      : spawnSync('sh', ['-c', `${shell}; exec "$0" "$@"`, process.execPath, bin, ...args], run);
  return { status, stdout, stderr };
}

/** Every file below a folder with a hash of its content; empty when nothing is there. */
export function contentOf(folder: string): Record<string, string> {
  if (!existsSync(folder)) return {};
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(join(folder, name)).isFile(),
  );
  return Object.fromEntries(
    files.sort().map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex'),
    ]),
  );
}
