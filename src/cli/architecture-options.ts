/** The choices of every architecture as options of a command, and those of one architecture out of what was given. */

import { type Command, Option } from 'commander';
import { TesseraError } from '../host/error.js';
import type { ArchitectureEntry, ArchitectureOption } from '../language-models/contract.js';
import { ARCHITECTURES } from '../language-models/entries.js';
import { numberFrom, wholeNumber } from './options.js';

/** Adds the choice of an architecture and the options of all of them, each group under its architecture's name. */
export function withArchitectures(command: Command): Command {
  const names = ARCHITECTURES.map(({ name }) => name);
  command
    .optionsGroup('Model:')
    .addOption(new Option('--architecture <name>', 'the architecture (default: gpt)').choices(names));
  const declared = new Set<string>();
  for (const [index, entry] of ARCHITECTURES.entries()) {
    if (index > 0) command.optionsGroup(`Model, only ${entry.name}:`);
    for (const option of entry.options) {
      if (declared.has(option.name)) continue;
      declared.add(option.name);
      command.addOption(asOption(option, choicesOf(option.name)));
    }
  }
  return command;
}

/** Everything that some architecture lets one choose under a name. */
function choicesOf(name: string): readonly string[] {
  return [
    ...new Set(
      ARCHITECTURES.flatMap(({ options }) =>
        options.filter((option) => option.name === name).flatMap(({ choices = [] }) => choices),
      ),
    ),
  ];
}

/** `kvHeads` as it is written on the command line. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function asOption({ name, kind, about, least, most }: ArchitectureOption, choices: readonly string[]): Option {
  const flag = flagOf(name);
  switch (kind) {
    case 'count':
      return new Option(`${flag} <n>`, about).argParser(wholeNumber(1));
    case 'whole':
      return new Option(`${flag} <n>`, about).argParser(wholeNumber(0));
    case 'number':
      return new Option(`${flag} <number>`, about).argParser(numberFrom(least ?? Number.NEGATIVE_INFINITY, most));
    case 'choice':
      return new Option(`${flag} <name>`, about).choices(choices);
    case 'flag':
      return new Option(flag, about);
    case 'off':
      return new Option(flag.replace('--', '--no-'), about);
    case 'text':
      return new Option(`${flag} <text>`, about);
  }
}

/**
 * What was chosen of an architecture's options.
 * @throws bad-option for an option, or a choice, that another architecture has and this one does not.
 */
export function modelChoices(
  entry: ArchitectureEntry,
  given: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const chosen: Record<string, unknown> = {};
  for (const other of ARCHITECTURES) {
    for (const { name, kind } of other.options) {
      const value = given[name];
      // An option that only switches off is true when it was not given.
      if (value === undefined || (kind === 'off' && value === true)) continue;
      const own = entry.options.find((option) => option.name === name);
      if (own === undefined) {
        throw new TesseraError('bad-option', `${flagOf(name)} is no option of ${entry.name}.`, {
          hint: `It belongs to ${other.name}; see tessera help train.`,
        });
      }
      if (own.choices !== undefined && !own.choices.includes(String(value))) {
        throw new TesseraError('bad-option', `${entry.name} has no ${flagOf(name)} "${String(value)}".`, {
          hint: `Choose ${own.choices.join(', ')}.`,
        });
      }
      chosen[name] = value;
    }
  }
  return chosen;
}
