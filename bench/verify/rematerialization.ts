/**
 * Rematerialization (`train({ rematerialize: true })`): a GPT of twelve blocks is trained for a few updates with and
 * without it, each in a process of its own. The losses must agree and the highest resident size, beyond what the process
 * held before, must at least halve.
 */

import { cleanEnvironment, execute, root } from '../_commands.js';

const SHARE = 0.5;
const DIFFERENCE = 1e-4;

const CHILD = `
const { byteTokenizer, corpusFromStrings, createRuntime, gpt, random, train } = await import('tessera-kit');
const words = Array.from({ length: 20000 }, (_, i) => 'word' + ((i * 7919) % 1013)).join(' ');
const model = gpt({ tokenizer: byteTokenizer(), layers: 12, width: 128, heads: 4, context: 256 });
const source = model.source(corpusFromStrings([words]), { batch: 8, length: 256 }, random(1));
const runtime = await createRuntime({ device: 'cpu', worker: false });
const before = process.resourceUsage().maxRSS;
const losses = [];
const times = [];
let last = performance.now();
for await (const event of train({ model, source, steps: 6, rate: 1e-3, seed: 2, runtime, rematerialize: process.argv[1] === 'yes' })) {
  if (event.type !== 'step') continue;
  losses.push(event.loss);
  times.push(performance.now() - last);
  last = performance.now();
}
console.log(JSON.stringify({ peak: (process.resourceUsage().maxRSS - before) / 1024, losses, milliseconds: Math.min(...times) }));
process.exit(0);
`;

interface Ran {
  /** Megabytes beyond those before training. */
  readonly peak: number;
  readonly losses: readonly number[];
  /** The fastest update. */
  readonly milliseconds: number;
}

async function trained(rematerialize: boolean): Promise<Ran> {
  const ran = await execute(process.execPath, ['--input-type=module', '-e', CHILD, rematerialize ? 'yes' : 'no'], {
    cwd: root,
    env: cleanEnvironment(),
  });
  if (!ran.ok) throw new Error(ran.output.slice(-2000));
  return JSON.parse(ran.stdout) as Ran;
}

/** Trains both ways and compares. */
export default async function run(): Promise<{ ok: boolean; figures: object }> {
  const kept = await trained(false);
  const again = await trained(true);
  const difference = Math.max(...kept.losses.map((loss, step) => Math.abs(loss - Number(again.losses[step]))));
  const share = again.peak / kept.peak;
  return {
    ok: share <= SHARE && difference <= DIFFERENCE && kept.losses.length === 6,
    figures: {
      peakMegabytes: { kept: Math.round(kept.peak), rematerialized: Math.round(again.peak) },
      share: Number(share.toFixed(3)),
      limitShare: SHARE,
      largestDifferenceOfLosses: difference,
      fastestUpdateMilliseconds: {
        kept: Math.round(kept.milliseconds),
        rematerialized: Math.round(again.milliseconds),
      },
    },
  };
}
