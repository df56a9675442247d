/** `tessera data`: the data sets that reproductions read; the work is in data-run.ts. */

import { Command } from 'commander';
import { examples, runJob, withCommon } from './options.js';

/** The sub-command. */
export function dataCommand(): Command {
  const list = new Command('list')
    .description('List the data sets: what each is, its public source, licence and size, and whether it is here.')
    .argument('[name...]', 'these only, with every file, its size, SHA-256 and source')
    .action((names: readonly string[], choices: { readonly json?: boolean }) =>
      runJob(choices, async ({ output }) => (await import('./data-run.js')).listData(names, output)),
    );
  const check = new Command('check')
    .description('Read every file of the data sets and compare it with its SHA-256. Exit code 2 when one is not whole.')
    .argument('[name...]', 'these only')
    .action((names: readonly string[], choices: { readonly json?: boolean }) =>
      runJob(choices, async (job) => (await import('./data-run.js')).checkData(names, job)),
    );
  examples(withCommon(list), ['tessera data list', 'tessera data list tinyshakespeare', 'tessera data list --json']);
  examples(withCommon(check), ['tessera data check', 'TESSERA_DATA=/data tessera data check english-novels']);
  const command = new Command('data')
    .description('The data sets that reproductions read, from TESSERA_DATA or data/: where to get them, and checks.')
    .addCommand(list, { isDefault: true })
    .addCommand(check);
  return examples(command, ['tessera data list', 'tessera data check']);
}
