/** What the commands' options have in common: parsing with sentences, `--json`, `--debug`, and running with a signal. */

import { type Command, InvalidArgumentError } from 'commander';
import { TesseraError } from '../host/error.js';
import { type Output, openOutput } from './output.js';
import { stopSignal } from './signals.js';

/** A whole number from `least`. */
export function wholeNumber(least = 0): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`It takes a whole number from ${least}.`);
    }
    return value;
  };
}

/** A number from `least` to `most`. */
export function numberFrom(least: number, most = Number.POSITIVE_INFINITY): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value < least || value > most) {
      throw new InvalidArgumentError(
        most === Number.POSITIVE_INFINITY
          ? `It takes a number from ${least}.`
          : `It takes a number from ${least} to ${most}.`,
      );
    }
    return value;
  };
}

/** Collects an option that may be given several times. */
export function several(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/**
 * An option that must be given. Checked when the work begins, so that a mistyped option is named first.
 * @throws bad-option.
 */
export function needed<T>(value: T | undefined, name: string, example: string): T {
  if (value !== undefined) return value;
  throw new TesseraError('bad-option', `The option ${name} is missing.`, { hint: `For example: ${example}` });
}

/** Examples below a command's help. */
export function examples(command: Command, lines: readonly string[]): Command {
  return command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}

/** Adds what every command has. */
export function withCommon(command: Command): Command {
  return command
    .option('--json', 'the result as JSON on standard output')
    .option('--debug', 'with an error, show where it happened');
}

/** Adds the options that choose an engine. */
export function withEngine(command: Command): Command {
  return command
    .option('--device <name>', 'auto (the best there is), cpu, wasm, webgpu or cuda (default: auto)')
    .option('--threads <n>', 'threads of the engine (default: all cores)', wholeNumber(1));
}

/** What a command's work is given. */
export interface Job {
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** Runs a command's work with an output and a signal that Ctrl-C fires. `stopping` is said when it does. */
export async function runJob(
  options: { readonly json?: boolean },
  work: (job: Job) => Promise<void>,
  stopping = 'Stopping. Ctrl-C again ends at once.',
): Promise<void> {
  const output = openOutput(options);
  const { signal, release } = stopSignal(() => output.note(stopping));
  try {
    await work({ output, signal });
  } finally {
    release();
  }
}
