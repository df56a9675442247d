/**
 * Errors as a person meets them: a sentence and what to do, on stderr. Exit code 2 for what the person can mend, 1 for
 * what is ours or was stopped.
 */

import { CommanderError } from 'commander';
import { TesseraError } from '../host/error.js';

/** What is told of an error. */
export interface Told {
  readonly exitCode: 0 | 1 | 2;
  readonly lines: readonly string[];
}

/** Turns anything thrown into lines and an exit code. `debug` adds the stack. */
export function describeError(error: unknown, debug = false): Told {
  const stack = debug && error instanceof Error ? stackOf(error) : [];
  if (error instanceof CommanderError) return ofCommander(error);
  if (error instanceof TesseraError) {
    // The library speaks of its option; a person types it.
    const hint = error.hint?.replace(/\bwith fresh\b/, 'with --fresh');
    const lines = [error.message, ...(hint === undefined ? [] : [hint]), ...stack];
    return { exitCode: error.code === 'aborted' ? 1 : 2, lines };
  }
  const message = error instanceof Error ? error.message : String(error);
  const hint = debug ? stack : ['This is a fault of Tessera. Run it again with --debug for where it happened.'];
  return { exitCode: 1, lines: [`Unexpected: ${message}`, ...hint] };
}

/** Writes an error to stderr and returns the exit code; `--json` among the arguments makes it a line of JSON too. */
export function fail(error: unknown, args: readonly string[]): number {
  const { exitCode, lines } = describeError(error, args.includes('--debug'));
  if (lines.length > 0) process.stderr.write(`tessera: ${lines.join('\n  ')}\n`);
  return exitCode;
}

function ofCommander(error: CommanderError): Told {
  // Help and version were asked for and are written already.
  if (error.exitCode === 0) return { exitCode: 0, lines: [] };
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const suggestion = rest.map((line) => line.replace(/^\((.*)\)$/, '$1'));
  if (error.code === 'commander.help') return { exitCode: 2, lines: [] };
  const hints = suggestion.length > 0 ? suggestion : ['`tessera help COMMAND` lists what a command takes.'];
  return { exitCode: 2, lines: [sentence(first), ...hints] };
}

function sentence(text: string): string {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.?!]$/.test(capital) ? capital : `${capital}.`;
}

function stackOf(error: Error): string[] {
  const own = (error.stack ?? '')
    .split('\n')
    .slice(1)
    .map((line) => line.trim());
  const cause = error.cause instanceof Error ? [`caused by ${error.cause.message}`, ...stackOf(error.cause)] : [];
  return [...own, ...cause];
}
