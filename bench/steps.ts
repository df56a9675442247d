/**
 * `npm run bench -- steps [--cross] [--lstm] [--mingru]`: training steps of other models than a GPT beside PyTorch on the
 * same threads, and beside their own matrix products.
 */

import { cpus } from 'node:os';
import { crossStep } from './_cross-step.js';
import { recurrenceStep } from './_recurrence-step.js';
import { compareStep, type StepReport } from './_steps.js';

const THREADS = 2;
/** What is accepted: the ratio to PyTorch as a person's script finds it. */
const NEEDED = 1.5;

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const STEPS: Readonly<Record<string, () => Promise<StepReport>>> = {
  cross: () => compareStep(crossStep, { threads: THREADS, steps: 10, say }),
  lstm: () => compareStep(recurrenceStep('lstm'), { threads: THREADS, steps: 5, say }),
  mingru: () => compareStep(recurrenceStep('mingru'), { threads: THREADS, steps: 10, say }),
};

/** Runs the comparisons named; `ok` when every mark is reached and no figure is noisy. */
export default async function run(args: readonly string[]): Promise<{ readonly ok: boolean; readonly report: object }> {
  const named = Object.keys(STEPS).filter((name) => args.includes(`--${name}`));
  const reports: Record<string, StepReport> = {};
  for (const name of named.length === 0 ? Object.keys(STEPS) : named) {
    const report = await STEPS[name]?.();
    if (report !== undefined) reports[name] = report;
  }
  const missed = Object.entries(reports).flatMap(([name, { ratios }]) =>
    typeof ratios.torch === 'number' && ratios.torch < NEEDED
      ? [`${name}: ${ratios.torch.toFixed(2)} where ${NEEDED} is needed`]
      : [],
  );
  const noisy = Object.entries(reports).flatMap(([name, { spread }]) =>
    Object.entries(spread)
      .filter(([, value]) => value > 0.15)
      .map(([peer]) => `${name} ${peer}`),
  );
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', threads: THREADS, node: process.version };
  return { ok: missed.length === 0 && noisy.length === 0, report: { ...reports, missed, noisy, machine } };
}
