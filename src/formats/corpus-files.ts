/** Which files a corpus is made of: paths, folders searched through, and glob patterns. */

import { glob, joinPath, listDirectory, stat } from '#host';
import { TesseraError, throwIfAborted } from '../host/error.js';

/** A file of a corpus. */
export interface CorpusFile {
  readonly path: string;
  /** Bytes as stored. */
  readonly size: number;
  /** Its name ends in .gz. */
  readonly packed: boolean;
  /** Its lines are JSON values. */
  readonly jsonLines: boolean;
  /** It is a Parquet table, its rows the texts. */
  readonly table: boolean;
  /** It was named itself, not found in a folder or by a pattern: then it may not be empty. */
  readonly named: boolean;
}

const TABLE_NAME = /\.parquet$/i;
const TEXT_NAME = /\.((txt|text|md|jsonl|ndjson)(\.gz)?|parquet)$/i;
const KINDS = '.txt, .text, .md, .jsonl or .ndjson, also with .gz, or in .parquet';

/**
 * The files that `paths` name, each once: in the order of the paths, and sorted by name inside of folders and
 * patterns. @throws not-found for what is not there, bad-input for an empty file that was named.
 */
export async function findCorpusFiles(paths: readonly string[], signal?: AbortSignal): Promise<readonly CorpusFile[]> {
  if (paths.length === 0) throw new TesseraError('bad-input', 'No text was given.', { hint: 'Name a file or folder.' });
  const found = new Map<string, CorpusFile>();
  for (const path of paths) {
    throwIfAborted(signal);
    const status = await stat(path);
    if (status?.kind === 'file') {
      if (status.size === 0) throw new TesseraError('bad-input', `${path} is empty.`);
      found.set(path, describeFile(path, status.size, true));
      continue;
    }
    if (status !== undefined && status.kind !== 'directory') {
      throw new TesseraError('bad-input', `${path} is neither a file nor a folder.`);
    }
    const inside = status ? await searchFolder(path, signal) : await matchPattern(path);
    for (const file of inside) {
      const size = (await stat(file))?.size ?? 0;
      if (size > 0 && !found.has(file)) found.set(file, describeFile(file, size, false));
    }
    if (inside.every((file) => !found.has(file))) {
      throw new TesseraError('bad-input', `Every text file of ${path} is empty.`);
    }
  }
  return [...found.values()];
}

function describeFile(path: string, size: number, named: boolean): CorpusFile {
  const jsonLines = /\.(jsonl|ndjson)(\.gz)?$/i.test(path);
  return { path, size, packed: /\.gz$/i.test(path), jsonLines, table: TABLE_NAME.test(path), named };
}

async function searchFolder(folder: string, signal?: AbortSignal): Promise<readonly string[]> {
  const files: string[] = [];
  const search = async (inner: string): Promise<void> => {
    throwIfAborted(signal);
    for (const { name, kind, link } of await listDirectory(inner)) {
      if (name.startsWith('.')) continue;
      const path = joinPath(inner, name);
      // A linked folder may lead back up, and the search would not end.
      if (kind === 'directory' && !link) await search(path);
      else if (kind === 'file' && TEXT_NAME.test(name)) files.push(path);
    }
  };
  await search(folder);
  if (files.length > 0) return files;
  throw new TesseraError('not-found', `The folder ${folder} holds no text files.`, {
    hint: `Their names end in ${KINDS}.`,
  });
}

async function matchPattern(pattern: string): Promise<readonly string[]> {
  if (!/[*?[\]{}!()]/.test(pattern)) {
    throw new TesseraError('not-found', `There is no file or folder ${pattern}.`, { hint: 'Check the path.' });
  }
  const files = await glob([pattern]);
  if (files.length > 0) return files;
  throw new TesseraError('not-found', `No file matches ${pattern}.`, {
    hint: '* matches inside of one folder, ** across folders.',
  });
}
