/** The documents of one file: plain text cut at paragraph ends, or JSON lines. */

import { openByteStream } from '#host';
import { TesseraError } from '../host/error.js';
import type { CorpusCursor, CorpusDocument } from './corpus-types.js';
import { isJsonObject, type Json } from './json.js';
import { characterStart, countLines, describeBinary, findInvalidUtf8 } from './utf8.js';

/** A line longer than this is no record but a mistake, and would not fit in a string. */
const MAXIMUM_LINE_BYTES = 1 << 28;

/**
 * A plain file as documents of at most `limit` bytes whose concatenation is the file (less a byte order mark).
 * A cut is made after the last blank line of the second half, or else after a line, a space, a character.
 */
export async function* readPlainText(
  path: string,
  from: CorpusCursor,
  limit: number,
  signal?: AbortSignal,
): AsyncGenerator<CorpusDocument> {
  let { offset, index, line } = from;
  let pending: Uint8Array = new Uint8Array(0);
  const take = (length: number, last: boolean): CorpusDocument => {
    const bytes = pending.slice(0, length);
    pending = pending.subarray(length);
    const text = decodeText(bytes, path, offset, line);
    offset += length;
    line += countLines(bytes);
    const source = { file: path, index: index++ };
    const cursor = last
      ? { file: from.file + 1, offset: 0, index: 0, line: 1 }
      : { file: from.file, offset, index, line };
    return { bytes, text: () => text, source, cursor };
  };
  for await (const chunk of openByteStream(path, { start: offset, signal })) {
    pending = join(pending, chunk);
    if (offset === 0 && hasMark(pending)) {
      pending = pending.subarray(3);
      offset = 3;
    }
    while (pending.length > limit) yield take(findCut(pending, limit), false);
  }
  if (pending.length > 0) yield take(pending.length, true);
}

/**
 * The field of each line of JSON lines as a document; blank lines and empty texts are left out.
 * @throws bad-input, naming the line, for what is not JSON or lacks the field.
 */
export async function* readJsonLines(
  path: string,
  from: CorpusCursor,
  field: string,
  signal?: AbortSignal,
): AsyncGenerator<CorpusDocument> {
  const encoder = new TextEncoder();
  let { offset, index, line } = from;
  for await (const bytes of splitLines(path, offset, signal)) {
    const content = offset === 0 && hasMark(bytes) ? bytes.subarray(3) : bytes;
    const text = parseLine(decodeText(content, path, offset + bytes.length - content.length, line), path, line, field);
    offset += bytes.length;
    line++;
    if (text === '') continue;
    const source = { file: path, index: index++ };
    yield { bytes: encoder.encode(text), text: () => text, source, cursor: { file: from.file, offset, index, line } };
  }
}

/** Lines with their line feeds; the last may have none. */
async function* splitLines(path: string, start: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [];
  let gathered = 0;
  let done = start;
  for await (const chunk of openByteStream(path, { start, signal })) {
    let begin = 0;
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, begin)) {
      const rest = chunk.subarray(begin, end + 1);
      const whole = parts.length === 0 ? rest : concatenate([...parts, rest]);
      parts = [];
      gathered = 0;
      begin = end + 1;
      done += whole.length;
      yield whole;
    }
    if (begin < chunk.length) parts.push(chunk.subarray(begin));
    gathered += chunk.length - begin;
    if (gathered > MAXIMUM_LINE_BYTES) {
      const says = `${path} has a line of more than ${MAXIMUM_LINE_BYTES} bytes after byte ${done}`;
      throw new TesseraError('bad-input', `${says}; one JSON value a line is needed.`);
    }
  }
  if (parts.length > 0) yield concatenate(parts);
}

function parseLine(line: string, path: string, number: number, field: string): string {
  if (line.trim() === '') return '';
  let value: Json;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new TesseraError('bad-input', `Line ${number} of ${path} is not JSON: ${reason}.`, {
      cause,
      hint: 'A .jsonl file holds one JSON object a line; plain text should be named .txt.',
    });
  }
  if (!isJsonObject(value)) {
    throw new TesseraError('bad-input', `Line ${number} of ${path} is not a JSON object with the field '${field}'.`);
  }
  const text = Object.hasOwn(value, field) ? value[field] : undefined;
  if (typeof text === 'string') return text;
  const what = text === undefined ? 'has no field' : 'has no string in the field';
  const others = Object.keys(value).slice(0, 8);
  throw new TesseraError('bad-input', `Line ${number} of ${path} ${what} '${field}'.`, {
    hint: others.length > 0 ? `It has ${others.map((key) => `'${key}'`).join(', ')}: name one of them.` : undefined,
  });
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text of bytes that begin at `offset`, on line `line`. @throws bad-input for binary content or invalid UTF-8. */
function decodeText(bytes: Uint8Array, path: string, offset: number, line: number): string {
  const binary = describeBinary(bytes, offset);
  if (binary !== undefined) {
    throw new TesseraError('bad-input', `${path} ${binary}.`, { hint: 'Give plain text in UTF-8.' });
  }
  try {
    return strict.decode(bytes);
  } catch (cause) {
    const at = findInvalidUtf8(bytes);
    const where = `byte ${offset + at} (line ${line + countLines(bytes, at)})`;
    throw new TesseraError('bad-input', `${path} is not UTF-8 at ${where}.`, {
      cause,
      hint: 'Convert it, for example with iconv -f LATIN1 -t UTF-8.',
    });
  }
}

/** Where to cut `bytes`, which are longer than `limit`; at most `limit` and more than zero. */
function findCut(bytes: Uint8Array, limit: number): number {
  const half = limit >> 1;
  let lineEnd = 0;
  let space = 0;
  for (let at = limit - 1; at >= half; at--) {
    const byte = bytes[at];
    if (byte === 0x0a) {
      if (bytes[at - 1] === 0x0a || (bytes[at - 1] === 0x0d && bytes[at - 2] === 0x0a)) return at + 1;
      lineEnd ||= at + 1;
    } else if (byte === 0x20) space ||= at + 1;
  }
  return lineEnd || space || characterStart(bytes, limit);
}

function hasMark(bytes: Uint8Array): boolean {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  return first.length === 0 ? second : concatenate([first, second]);
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
