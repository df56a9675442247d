#!/usr/bin/env node
/** The command `tessera`: one sub-command a job. Each loads what it needs when it runs, so that `--help` is quick. */

import { Command } from 'commander';
import { compareCommand } from './compare.js';
import { dataCommand } from './data.js';
import { demoCommand } from './demo.js';
import { doctorCommand } from './doctor.js';
import { fail } from './errors.js';
import { evalCommand } from './eval.js';
import { generateCommand } from './generate.js';
import { growCommand } from './grow.js';
import { inspectCommand } from './inspect.js';
import { mergeCommand } from './merge.js';
import { reproduceCommand } from './reproduce.js';
import { segmentCommand } from './segment.js';
import { systemsCommand } from './systems.js';
import { tokenizerCommand } from './tokenizer.js';
import { trainCommand } from './train.js';
import { packageVersion } from './version.js';

function tessera(): Command {
  const program = new Command('tessera')
    .description('Tokens and models of text: train, measure, generate, inspect.')
    .version(packageVersion(), '-v, --version')
    .helpCommand('help [command]', 'what a command does, with examples')
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      '\nExamples:\n  tessera demo\n  tessera train --text book.txt --minutes 5\n  tessera help train',
    );
  for (const command of [
    demoCommand(),
    trainCommand(),
    generateCommand(),
    evalCommand(),
    mergeCommand(),
    growCommand(),
    compareCommand(),
    inspectCommand(),
    tokenizerCommand(),
    segmentCommand(),
    systemsCommand(),
    reproduceCommand(),
    dataCommand(),
    doctorCommand(),
  ]) {
    program.addCommand(command);
  }
  quiet(program);
  return program;
}

/** Errors become exceptions, told in one place. */
function quiet(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => undefined });
  for (const inner of command.commands) quiet(inner);
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of a pipe has gone: nobody is left to write for.
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  const program = tessera();
  if (process.argv.length <= 2) program.outputHelp();
  else await program.parseAsync(process.argv);
} catch (error) {
  process.exitCode = fail(error, process.argv);
}
