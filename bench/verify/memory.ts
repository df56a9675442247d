/**
 * Memory stays flat: the resident size of a training process, after a forced collection, grows by less than 16 MB from
 * update 1,000 to update 10,000 of a GPT with one layer of width 32. The engine's thread is in the same process, so its
 * memory counts. `--steps N` shortens the run for a try.
 */

import { cleanEnvironment, execute, root } from '../_commands.js';

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

/** Trains in a child process and compares. */
export default async function run(args: readonly string[]): Promise<{ ok: boolean; figures: object }> {
  const at = args.indexOf('--steps');
  const steps = at === -1 ? 10_000 : Number(args[at + 1]);
  const ran = await execute(process.execPath, ['--input-type=module', '-e', CHILD, String(steps)], {
    cwd: root,
    env: cleanEnvironment(),
  });
  if (!ran.ok) return { ok: false, figures: { failed: ran.output.slice(-2000) } };
  const samples: readonly Sample[] = JSON.parse(ran.stdout);
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined) return { ok: false, figures: { failed: 'no samples' } };
  const growth = last.resident - first.resident;
  const figures = {
    from: first.step,
    to: last.step,
    growthMegabytes: Math.round(growth / 1e4) / 100,
    limitMegabytes: LIMIT / 1e6,
    residentMegabytes: samples.map(({ resident }) => Math.round(resident / 1e6)),
    seconds: ran.seconds,
  };
  return { ok: growth < LIMIT, figures };
}
