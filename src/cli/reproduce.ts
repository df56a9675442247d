/** `tessera reproduce`: the options; the work is in reproduce-run.ts. */

import { Command } from 'commander';
import { examples, runJob, wholeNumber, withCommon, withEngine } from './options.js';

/** What the command line gave. */
export interface ReproduceChoices {
  readonly quick?: boolean;
  readonly seed: number;
  readonly out?: string;
  readonly save?: boolean;
  readonly strict?: boolean;
  readonly fresh?: boolean;
  readonly device?: string;
  readonly threads?: number;
  readonly json?: boolean;
}

/** The sub-command. */
export function reproduceCommand(): Command {
  const command = new Command('reproduce')
    .description("Test a system's claim with its small experiment. The verdict is computed from stated criteria.")
    .argument('<slug>', 'the system, as `tessera systems` lists it')
    .option('--quick', 'seconds instead of minutes: it shows that everything runs and proves nothing')
    .option('--seed <n>', 'of all draws', wholeNumber(), 0)
    .option('--out <file>', 'write the whole result to a JSON file')
    .option('--save', "in a checkout, write it to reproductions/results, where it is the system's committed result")
    .option('--strict', 'exit with 1 unless the verdict is "reproduced"')
    .option('--fresh', 'train anew what earlier runs kept in TESSERA_CACHE, or else in .tessera');
  withCommon(withEngine(command));
  return examples(command, [
    'tessera reproduce tokenformer',
    'tessera reproduce tokenformer --quick',
    'tessera reproduce tokenformer --seed 3 --out result.json --json',
  ]).action((slug: string, choices: ReproduceChoices) =>
    runJob(choices, async (job) => (await import('./reproduce-run.js')).reproduce(slug, choices, job)),
  );
}
