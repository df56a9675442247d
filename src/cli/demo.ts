/** `tessera demo`: the options; the work is in demo-run.ts. */

import { Command } from 'commander';
import { examples, numberFrom, runJob, wholeNumber, withCommon, withEngine } from './options.js';

/** What the command line gave. */
export interface DemoChoices {
  readonly text?: readonly string[];
  readonly steps?: number;
  readonly minutes?: number;
  readonly out: string;
  readonly fresh?: boolean;
  readonly device?: string;
  readonly threads?: number;
  readonly json?: boolean;
}

/** The sub-command. */
export function demoCommand(): Command {
  const command = new Command('demo')
    .description(
      'From text to a model in about two minutes: a tokenizer and a small GPT, measured beside brotli and gzip.',
    )
    .option('--text <path...>', 'files, folders or patterns (default: the State of the Union addresses)')
    .option('--steps <n>', 'updates, instead of minutes', wholeNumber(1))
    .option('--minutes <number>', 'minutes of training (default: 1.6)', numberFrom(0.01))
    .option('--out <folder>', "the run's folder", 'runs/demo')
    .option('--fresh', 'start anew where a run is');
  withCommon(withEngine(command));
  return examples(command, [
    'tessera demo',
    'tessera demo --text my-notes/ --out runs/notes',
    'tessera demo --minutes 10 --fresh',
  ]).action((choices: DemoChoices) =>
    runJob(
      choices,
      async (job) => (await import('./demo-run.js')).runDemo(choices, job),
      'Stopping after this update, with a checkpoint. Ctrl-C again ends at once.',
    ),
  );
}
