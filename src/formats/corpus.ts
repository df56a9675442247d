/**
 * Text corpora, streamed: files, folders, globs, `.gz`, JSON lines with a field, tables with a column, or strings, as one
 * sequence of documents. Nothing reads a whole corpus; a document says where the next one begins, so that
 * reading can go on there in another run.
 */

import { TesseraError } from '../host/error.js';
import { type CorpusFile, findCorpusFiles } from './corpus-files.js';
import { fingerprintBytes, fingerprintFiles } from './corpus-fingerprint.js';
import { readJsonLines, readPlainText } from './corpus-read.js';
import type { Corpus, CorpusCursor, CorpusDocument, CorpusOptions } from './corpus-types.js';
import { countLines, findInvalidUtf8 } from './utf8.js';

export type * from './corpus-types.js';

/**
 * Opens text as a corpus. Each path is a file (any name), a folder (searched through for .txt, .text, .md,
 * .jsonl and .ndjson, also with .gz, and .parquet; hidden files and linked folders are left out), or a glob pattern.
 * A plain file is one document, or several when it is large; of `.jsonl` and `.ndjson` each line is one, of
 * `.parquet` each row that has a text in the column.
 * Concatenated, the documents of a plain file are the file.
 *
 * @throws not-found for a path, pattern or folder without text; bad-input for an empty file.
 */
export async function openCorpus(paths: readonly string[], options: CorpusOptions = {}): Promise<Corpus> {
  const { field = 'text', documentBytes = 1 << 20, signal } = options;
  if (!Number.isInteger(documentBytes) || documentBytes < 16) {
    throw new TesseraError('bad-option', `documentBytes must be a whole number of at least 16, not ${documentBytes}.`);
  }
  const files = await findCorpusFiles(paths, signal);
  return {
    documents: (cursor) => readFiles(files, { field, documentBytes, signal }, cursor),
    describe: () => ({
      files: files.length,
      bytes: files.reduce((sum, file) => sum + file.size, 0),
      paths: files.map((file) => file.path),
    }),
    fingerprint: () => fingerprintFiles(files, `${field} ${documentBytes}`),
  };
}

/**
 * A corpus of texts in memory, one document each; lone surrogates become U+FFFD, empty texts are left out.
 *
 * @throws bad-input when there is no text, or bytes are not UTF-8 (with the text's number, the byte and the line).
 */
export function corpusFromStrings(texts: readonly (string | Uint8Array)[], name = 'memory'): Corpus {
  const encoder = new TextEncoder();
  const documents = texts.map((text) => (typeof text === 'string' ? encoder.encode(text) : text));
  for (const [i, bytes] of documents.entries()) {
    const invalid = findInvalidUtf8(bytes);
    if (invalid === -1) continue;
    const where = `Text ${i} of ${name} is not UTF-8 at byte ${invalid} (line ${countLines(bytes, invalid) + 1})`;
    throw new TesseraError('bad-input', `${where}.`);
  }
  if (documents.every((bytes) => bytes.length === 0)) {
    throw new TesseraError('bad-input', `There is no text in ${name}.`);
  }
  return {
    async *documents(cursor = START) {
      checkCursor(cursor, 1);
      for (let index = cursor.file > 0 ? documents.length : cursor.index; index < documents.length; index++) {
        const bytes = documents[index];
        if (bytes === undefined || bytes.length === 0) continue;
        yield {
          bytes,
          text: () => decoder.decode(bytes),
          source: { file: name, index },
          cursor: { file: 0, offset: 0, index: index + 1, line: 1 },
        };
      }
    },
    describe: () => ({ files: 1, bytes: documents.reduce((sum, bytes) => sum + bytes.length, 0), paths: [name] }),
    fingerprint: () => fingerprintBytes(documents),
  };
}

const START: CorpusCursor = { file: 0, offset: 0, index: 0, line: 1 };
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

interface ReadingOptions {
  readonly field: string;
  readonly documentBytes: number;
  readonly signal?: AbortSignal;
}

async function* readFiles(
  files: readonly CorpusFile[],
  options: ReadingOptions,
  cursor: CorpusCursor = START,
): AsyncGenerator<CorpusDocument> {
  checkCursor(cursor, files.length);
  let found = cursor.file > 0 || cursor.offset > 0;
  for (const [number, file] of files.entries()) {
    if (number < cursor.file) continue;
    const from = number === cursor.file ? cursor : { ...START, file: number };
    if (!file.packed && !file.table && from.offset > file.size) {
      const says = `byte ${from.offset} of ${file.path}, which has only ${file.size}`;
      throw new TesseraError('mismatch', `The reading was to go on at ${says}.`, {
        hint: 'The text is not the one that was read before.',
      });
    }
    const read = readFile(file, from, options);
    let own = from.offset > 0;
    for await (const document of read) {
      own = true;
      yield document;
    }
    found ||= own;
    if (!own && file.named) throw new TesseraError('bad-input', `There is no text in ${file.path}.`);
  }
  if (!found) throw new TesseraError('bad-input', 'There is no text in any of the files.');
}

async function* readFile(
  file: CorpusFile,
  from: CorpusCursor,
  { field, documentBytes, signal }: ReadingOptions,
): AsyncGenerator<CorpusDocument> {
  if (file.table) {
    // Only tables need their reader, which is the largest of the three.
    const { readTableText } = await import('./parquet-corpus.js');
    yield* readTableText(file.path, from, field, signal);
  } else if (file.jsonLines) yield* readJsonLines(file.path, from, field, signal);
  else yield* readPlainText(file.path, from, documentBytes, signal);
}

function checkCursor(cursor: CorpusCursor, files: number): void {
  const { file, offset, index, line } = cursor;
  const counts = [file, offset, index, line].every((count) => Number.isSafeInteger(count) && count >= 0);
  if (counts && file <= files) return;
  throw new TesseraError('mismatch', `The place to go on from, ${JSON.stringify(cursor)}, is not in this text.`, {
    hint: 'The text is not the one that was read before.',
  });
}
