/** A peer engine in its own process: one JSON line a question, one a round's answer. Idle, it leaves the cores alone. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** What a peer says once it is ready. */
export interface Ready {
  readonly version?: string;
  readonly threads?: number;
  readonly note?: string;
}

/** A running peer. */
export interface Peer {
  readonly ready: Ready;
  ask(question: object): Promise<{
    readonly milliseconds: readonly number[];
    readonly tokens?: readonly number[];
    readonly losses?: readonly number[];
  }>;
  close(): void;
}

/** Starts a peer; undefined, with its last words, when it cannot run here. */
export async function startPeer(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Peer | string> {
  const child: ChildProcess = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
  let words = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-2000);
  });
  const lines: string[] = [];
  const waiting: ((line: string | undefined) => void)[] = [];
  let ended = false;
  if (child.stdout === null) return 'it has no output';
  const end = (): void => {
    ended = true;
    for (const take of waiting.splice(0)) take(undefined);
  };
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (!line.startsWith('{')) return;
    const take = waiting.shift();
    if (take === undefined) lines.push(line);
    else take(line);
  });
  child.on('error', (error) => {
    words += error.message;
    end();
  });
  child.on('close', end);
  const next = (): Promise<string | undefined> => {
    const line = lines.shift();
    if (line !== undefined || ended) return Promise.resolve(line);
    return new Promise((resolve) => waiting.push(resolve));
  };
  const hello = await next();
  if (hello === undefined) return words.trim().split('\n').at(-1) ?? 'it ended without a word';
  return {
    ready: JSON.parse(hello) as Ready,
    ask: async (question) => {
      child.stdin?.write(`${JSON.stringify(question)}\n`);
      const answer = await next();
      if (answer === undefined) throw new Error(`The peer ended: ${words}`);
      return JSON.parse(answer) as { milliseconds: number[] };
    },
    close: () => {
      child.stdin?.end();
      child.kill();
    },
  };
}

/** A Python that has PyTorch, or undefined. */
export function python(): string | undefined {
  for (const name of ['/usr/bin/python3', 'python3']) {
    try {
      execFileSync(name, ['-c', 'import torch'], { stdio: 'ignore' });
      return name;
    } catch {
      // The next one may have it.
    }
  }
  return undefined;
}

/** OpenBLAS variables that slow current processors down; the peer checks its own results without them. */
export function peerEnvironment(): NodeJS.ProcessEnv {
  const { OPENBLAS_CORETYPE: _core, OPENBLAS_L2_SIZE: _cache, ...env } = process.env;
  return env;
}
