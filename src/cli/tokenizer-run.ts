/** The work of `tessera tokenizer encode`, `decode` and `count`. */

import { TesseraError } from '../host/error.js';
import type { EncodeOptions, Tokenizer } from '../tokenizers/index.js';
import { count, openOutput, table } from './output.js';
import {
  chosenTokenizer,
  nameOf,
  readAll,
  readInput,
  readLines,
  type TokenizerChoice,
  writeOut,
} from './tokenizer-input.js';
import { encodeStream } from './tokenizer-stream.js';

/** Choices of `encode` and `count`. */
export interface EncodeChoices extends TokenizerChoice {
  readonly special?: boolean;
  readonly addSpecial?: boolean;
  readonly lines?: boolean;
  readonly jsonl?: boolean;
  readonly json?: boolean;
}

function encodeOptions({ special = false, addSpecial = false }: EncodeChoices): EncodeOptions {
  return { parseSpecialTokens: special, addSpecialTokens: addSpecial };
}

/** Writes the ids of a text. @throws as `openTokenizer`; bad-input for lines that are no JSON strings. */
export async function encode(path: string, choices: EncodeChoices): Promise<void> {
  const tokenizer = await chosenTokenizer(choices);
  const options = encodeOptions(choices);
  if (choices.jsonl === true) {
    for await (const { line, number } of readLines(path)) {
      const text = parseLine(line, path, number);
      if (typeof text !== 'string') throw badLine(path, number, 'JSON string');
      await writeOut(`[${tokenizer.encode(text, options).join(',')}]\n`);
    }
    return;
  }
  const [open, between, close] =
    choices.json === true ? ['{"ids":[', ',', ''] : choices.lines === true ? ['', '\n', ''] : ['[', ',', ']\n'];
  let [bytes, tokens] = [0, 0];
  await writeOut(open);
  for await (const stretch of encodeStream(tokenizer, readInput(path), options)) {
    if (stretch.ids.length > 0) await writeOut((tokens > 0 ? between : '') + stretch.ids.join(between));
    bytes += stretch.bytes;
    tokens += stretch.ids.length;
  }
  if (choices.json === true) await writeOut(`],"tokens":${tokens},"bytes":${bytes}}\n`);
  else await writeOut(choices.lines === true && tokens > 0 ? '\n' : close);
}

/** Choices of `decode`. */
export interface DecodeChoices extends TokenizerChoice {
  readonly skipSpecial?: boolean;
  readonly jsonl?: boolean;
  readonly json?: boolean;
}

/** Writes the bytes of ids. @throws as `openTokenizer`; bad-input for what are no ids, and for ids that no token has. */
export async function decode(path: string, choices: DecodeChoices): Promise<void> {
  const tokenizer = await chosenTokenizer(choices);
  const options = { skipSpecialTokens: choices.skipSpecial === true };
  if (choices.jsonl === true) {
    for await (const { line, number } of readLines(path)) {
      const ids = parseLine(line, path, number);
      if (!isIds(ids)) throw badLine(path, number, 'JSON array of ids');
      await writeOut(`${JSON.stringify(inPlace(path, number, () => tokenizer.decode(ids, options)))}\n`);
    }
    return;
  }
  const bytes = tokenizer.decodeBytes(readIds(new TextDecoder().decode(await readAll(path)), path), options);
  if (choices.json !== true) await writeOut(bytes);
  else
    await writeOut(
      `${JSON.stringify({ text: new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes), bytes: bytes.length })}\n`,
    );
}

/** Whole numbers with spaces, commas or line ends between, in brackets or not. */
function readIds(text: string, path: string): readonly number[] {
  const inner = text
    .trim()
    .replace(/^\[([^[\]]*)\]$/, '$1')
    .trim();
  if (inner === '') return [];
  return inner.split(/\s*,\s*|\s+/).map((word, i) => {
    const id = Number(word);
    if (!/^\d{1,10}$/.test(word)) {
      const shown = word.length > 40 ? `${word.slice(0, 40)}...` : word;
      throw new TesseraError('bad-input', `${nameOf(path)}: number ${i + 1}, ${JSON.stringify(shown)}, is no id.`, {
        hint: 'Ids are whole numbers, as `tessera tokenizer encode` writes them; --jsonl reads an array from each line.',
      });
    }
    return id;
  });
}

function isIds(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((id) => Number.isSafeInteger(id) && id >= 0);
}

function parseLine(line: string, path: string, number: number): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw badLine(path, number, 'JSON');
  }
}

function badLine(path: string, number: number, wanted: string): TesseraError {
  return new TesseraError('bad-input', `${nameOf(path)}, line ${number}: it is no ${wanted}.`, {
    hint: 'With --jsonl each line is a JSON string to encode, or a JSON array of ids to decode.',
  });
}

/** Adds the line to an error. */
function inPlace<T>(path: string, number: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof TesseraError)) throw error;
    throw new TesseraError(error.code, `${nameOf(path)}, line ${number}: ${error.message}`, {
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
}

interface Counted {
  readonly file: string;
  readonly tokens: number;
  readonly bytes: number;
  readonly bytesPerToken: number | null;
}

/** Counts the tokens of each input and of all. @throws as `openTokenizer`; not-found, bad-input. */
export async function countTokens(paths: readonly string[], choices: EncodeChoices): Promise<void> {
  const tokenizer = await chosenTokenizer(choices);
  const rows: Counted[] = [];
  for (const path of paths) rows.push(await countOne(tokenizer, path, choices));
  const total = counted('total', sum(rows, 'tokens'), sum(rows, 'bytes'));
  const shown = rows.length === 1 ? rows : [...rows, total];
  const { file: _, ...all } = total;
  openOutput(choices).result({ files: rows.map((row) => ({ ...row })), ...all }, () =>
    table(
      ['file', 'tokens', 'bytes', 'bytes a token'],
      shown.map(({ file, tokens, bytes, bytesPerToken }) => [
        file,
        count(tokens),
        count(bytes),
        bytesPerToken === null ? '-' : bytesPerToken.toFixed(3),
      ]),
    ),
  );
}

async function countOne(tokenizer: Tokenizer, path: string, choices: EncodeChoices): Promise<Counted> {
  let [tokens, bytes] = [0, 0];
  if (choices.jsonl === true) {
    for await (const { line, number } of readLines(path)) {
      const text = parseLine(line, path, number);
      if (typeof text !== 'string') throw badLine(path, number, 'JSON string');
      tokens += tokenizer.encode(text, encodeOptions(choices)).length;
      bytes += Buffer.byteLength(text);
    }
  } else {
    for await (const stretch of encodeStream(tokenizer, readInput(path), encodeOptions(choices))) {
      tokens += stretch.ids.length;
      bytes += stretch.bytes;
    }
  }
  return counted(path, tokens, bytes);
}

function counted(file: string, tokens: number, bytes: number): Counted {
  return { file, tokens, bytes, bytesPerToken: tokens === 0 ? null : bytes / tokens };
}

function sum(rows: readonly Counted[], field: 'tokens' | 'bytes'): number {
  return rows.reduce((total, row) => total + row[field], 0);
}
