/**
 * Memory stays flat. The resident size of a training process, after a forced collection, grows by less than 16 MB from
 * update 1,000 to update 10,000 of a GPT with one layer of width 32, and from update 200 to 1,000 of every training step
 * that the bench measures. The engine's thread is in the same process, so its memory counts. `--steps N` shortens the first
 * for a try; `--rows small,conv` chooses among the others, `--rows none` leaves them out.
 */

import { fileURLToPath } from 'node:url';
import { cleanEnvironment, execute, root } from '../_commands.js';
import { ROWS } from '../_rows.js';

const LIMIT = 16e6;

const CHILD = `
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');
const { byteTokenizer, corpusFromStrings, gpt, random, train } = await import('tessera-kit');
const steps = Number(process.argv[1]);
const words = Array.from({ length: 20000 }, (_, i) => 'word' + ((i * 7919) % 1013)).join(' ');
const model = gpt({ tokenizer: byteTokenizer(), layers: 1, width: 32, heads: 2, context: 32 });
const source = model.source(corpusFromStrings([words]), { batch: 4, length: 32 }, random(1));
const resident = async () => {
  // Several times, with rests: what finalizers of one collection free, the next can return.
  for (let turn = 0; turn < 3; turn++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return process.memoryUsage.rss();
};
const figures = [];
for await (const event of train({ model, source, steps, rate: 1e-3 })) {
  if (event.type === 'step' && event.step % (steps / 10) === 0) {
    figures.push({ step: event.step, resident: await resident() });
    console.error('update', event.step, 'resident', figures.at(-1).resident);
  }
}
console.log(JSON.stringify(figures));
`;

interface Sample {
  readonly step: number;
  readonly resident: number;
}

const MEMORY_ROW = fileURLToPath(new URL('../_memory-row.js', import.meta.url));

/** What one process came to. */
function judged(samples: readonly Sample[], seconds: number) {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined || first === last) return { ok: false, failed: 'no samples' };
  const growth = last.resident - first.resident;
  return {
    ok: growth < LIMIT,
    from: first.step,
    to: last.step,
    growthMegabytes: Math.round(growth / 1e4) / 100,
    limitMegabytes: LIMIT / 1e6,
    residentMegabytes: samples.map(({ resident }) => Math.round(resident / 1e6)),
    seconds,
  };
}

async function tiny(steps: number) {
  const ran = await execute(process.execPath, ['--input-type=module', '-e', CHILD, String(steps)], {
    cwd: root,
    env: cleanEnvironment(),
  });
  if (!ran.ok) return { ok: false, failed: ran.output.slice(-2000) };
  return judged(JSON.parse(ran.stdout), ran.seconds);
}

async function row(name: string) {
  console.error(`row ${name}`);
  const ran = await execute(process.execPath, [MEMORY_ROW, name, '1000', '200'], {
    cwd: root,
    env: cleanEnvironment(),
  });
  if (!ran.ok) return { ok: false, failed: ran.output.slice(-2000) };
  const lines = ran.stdout.trim().split('\n');
  return judged(
    lines.map((line): Sample => JSON.parse(line)),
    ran.seconds,
  );
}

/** Trains in child processes and compares. */
export default async function run(args: readonly string[]): Promise<{ ok: boolean; figures: object }> {
  const after = (option: string): string | undefined =>
    args.includes(option) ? args[args.indexOf(option) + 1] : undefined;
  const named = after('--rows')?.split(',') ?? ROWS;
  const { ok, ...figures } = await tiny(Number(after('--steps') ?? 10_000));
  const rows: Record<string, Awaited<ReturnType<typeof row>>> = {};
  for (const name of ROWS) if (named.includes(name)) rows[name] = await row(name);
  return { ok: ok && Object.values(rows).every((found) => found.ok), figures: { ...figures, rows } };
}
