/** `tessera systems`: the catalogue; the work is in systems-run.ts. */

import { Command } from 'commander';
import { examples, runJob, withCommon } from './options.js';

interface SystemsChoices {
  readonly json?: boolean;
}

/** The sub-command. */
export function systemsCommand(): Command {
  const list = new Command('list')
    .description('List the published systems by family, or explain one.')
    .argument('[slug]', 'the name of one, to explain it')
    .action((slug: string | undefined, choices: SystemsChoices) =>
      runJob(choices, async ({ output }) => {
        const { listSystems, showSystem } = await import('./systems-run.js');
        await (slug === undefined ? listSystems(output) : showSystem(slug, output));
      }),
    );
  const show = new Command('show')
    .description('Explain a system: what it gives, its claim, how to call it, its limits and its result.')
    .argument('<slug>', 'its name in the list')
    .action((slug: string, choices: SystemsChoices) =>
      runJob(choices, async ({ output }) => (await import('./systems-run.js')).showSystem(slug, output)),
    );
  examples(withCommon(list), ['tessera systems', 'tessera systems --json']);
  examples(withCommon(show), ['tessera systems show tokenformer']);
  const command = new Command('systems')
    .description('The published systems in here: what each gives and claims, and what came out of testing it.')
    .addCommand(list, { isDefault: true })
    .addCommand(show);
  return examples(command, ['tessera systems', 'tessera systems show tokenformer', 'tessera systems --json']);
}
