/** `tessera compare`: the options; the work is in compare-run.ts. */

import { Command } from 'commander';
import { examples, numberFrom, runJob, several, wholeNumber, withCommon, withEngine } from './options.js';

/** What the command line gave. */
export interface CompareChoices {
  readonly architectures: string;
  readonly text?: readonly string[];
  readonly field: string;
  readonly flops?: number;
  readonly minutes?: number;
  readonly out: string;
  readonly fresh?: boolean;
  readonly tokenizer?: string;
  readonly set?: readonly string[];
  readonly batch: number;
  readonly context: number;
  readonly seed: number;
  readonly bytes: number;
  readonly noise: number;
  readonly plot?: string;
  readonly device?: string;
  readonly threads?: number;
  readonly json?: boolean;
}

/** The sub-command. */
export function compareCommand(): Command {
  const command = new Command('compare')
    .description('Train several architectures with one budget on one text and put their figures beside each other.')
    .option('--architectures <names>', 'which, with commas', 'gpt')
    .option('--text <path...>', 'files, folders or patterns; the last twentieth of each document is held out')
    .option('--column, --field <name>', 'the column of a table, or field of a JSON line, that holds the text', 'text')
    .option('--flops <number>', 'operations that each may spend in matrix products, such as 2e13', numberFrom(1))
    .option('--minutes <number>', 'or minutes of training for each', numberFrom(0.01))
    .option('--out <folder>', 'where runs and results are kept', 'runs/compare')
    .option('--fresh', 'start anew where results are')
    .option('--tokenizer <file>', 'a tokenizer.json for those that take one (default: bytes for all)')
    .option('--set <choice>', 'an option of an architecture, such as gpt.layers=6; repeatable', several)
    .option('--batch <n>', 'rows of a batch', wholeNumber(1), 16)
    .option('--context <n>', 'positions of a row', wholeNumber(2), 256)
    .option('--seed <n>', 'of all random numbers', wholeNumber(0), 0)
    .option('--bytes <n>', 'held-out bytes to measure on', wholeNumber(1), 262144)
    .option('--noise <share>', 'share of characters that are noisy in the second measurement', numberFrom(0, 1), 0.1)
    .option('--plot <file>', "where the plot goes as SVG (default: plot.svg in the comparison's folder)");
  withCommon(withEngine(command));
  return examples(command, [
    'tessera compare --architectures gpt,tokenformer --text novels/ --minutes 2',
    'tessera compare --architectures gpt,h-net --text book.txt --flops 1e13 --set gpt.layers=4 --json',
  ]).action((choices: CompareChoices) =>
    runJob(
      choices,
      async (job) => (await import('./compare-run.js')).runCompare(choices, job),
      'Stopping after this update, with a checkpoint. Ctrl-C again ends at once.',
    ),
  );
}
