/** What the tokenizer commands read, and how they write a stream: files or standard input, lines, back pressure. */

import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { stat } from '#host';
import { TesseraError } from '../host/error.js';
import { type OpenOptions, openTokenizer, type Tokenizer } from '../tokenizers/index.js';

/** The options that choose a tokenizer. */
export interface TokenizerChoice extends OpenOptions {
  readonly tokenizer?: string;
}

/** Opens the chosen tokenizer. @throws bad-option where none was chosen; as `openTokenizer`. */
export function chosenTokenizer(choice: TokenizerChoice): Promise<Tokenizer> {
  const { tokenizer, split, download } = choice;
  if (tokenizer === undefined) {
    throw new TesseraError('bad-option', 'The option --tokenizer is missing.', {
      hint: 'For example: --tokenizer o200k_base, or the path of a tokenizer.json.',
    });
  }
  return openTokenizer(tokenizer, { split, download });
}

/** The bytes of a file, or of standard input for `-`, as they are. @throws not-found, bad-input. */
export async function* readInput(path: string): AsyncGenerator<Uint8Array> {
  if (path === '-') {
    for await (const chunk of process.stdin) yield chunk;
    return;
  }
  const status = await stat(path);
  if (status === undefined)
    throw new TesseraError('not-found', `There is no file ${path}.`, { hint: 'Check the path.' });
  if (status.kind === 'directory') throw new TesseraError('bad-input', `${path} is a folder; a file was needed.`);
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 })) yield chunk;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TesseraError('bad-input', `${path} could not be read: ${why}.`, { cause });
  }
}

/** All bytes of an input. */
export async function readAll(path: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of readInput(path)) parts.push(chunk);
  return Buffer.concat(parts);
}

/** The lines of an input as text, with their numbers from 1. @throws bad-input for a line that is not UTF-8. */
export async function* readLines(path: string): AsyncGenerator<{ readonly line: string; readonly number: number }> {
  let held: Uint8Array[] = [];
  let number = 0;
  const take = (last: Uint8Array): { readonly line: string; readonly number: number } => {
    number++;
    const bytes = Buffer.concat([...held, last]);
    held = [];
    try {
      return { line: new TextDecoder('utf-8', { fatal: true }).decode(bytes), number };
    } catch (cause) {
      throw new TesseraError('bad-input', `${nameOf(path)}, line ${number}: it is not UTF-8 text.`, { cause });
    }
  };
  for await (const chunk of readInput(path)) {
    let from = 0;
    for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, from)) {
      yield take(chunk.subarray(from, at));
      from = at + 1;
    }
    if (from < chunk.length) held.push(chunk.subarray(from));
  }
  if (held.length > 0) yield take(new Uint8Array(0));
}

/** How messages name an input. */
export function nameOf(path: string): string {
  return path === '-' ? 'standard input' : path;
}

/** Writes to standard output and waits where its reader is slower. */
export async function writeOut(content: string | Uint8Array): Promise<void> {
  if (!process.stdout.write(content)) await once(process.stdout, 'drain');
}

/** Runs work that leaves nothing to tidy up: Ctrl-C ends it at once, without a word. */
export async function quietly(work: () => Promise<void>): Promise<void> {
  const stop = (): void => process.exit(1);
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    await work();
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
    // An input that was not read to its end would keep the process.
    process.stdin.unref?.();
  }
}
