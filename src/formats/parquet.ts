/**
 * Tables in Parquet files, read through `hyparquet` (and `hyparquet-compressors`, loaded when a file is packed by
 * other than Snappy). Opening reads the footer only. Rows come as a stream of batches: a row group, or less of it where
 * the file has page indexes and the columns wanted take more than 64 MiB. Columns that are not wanted are not read.
 *
 * Limits: the wanted columns of one row group must fit in memory and take at most 2 GiB unpacked. Encrypted files, LZO,
 * and the types BSON and interval are not read. Decimals become numbers, and so do not keep more than 53 bits; times of
 * day stay the integers that are stored; timestamps become `Date`, cut to milliseconds.
 */

import {
  type AsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
} from 'hyparquet';
import { openRandomAccess, type RandomAccess } from '#host';
import { TesseraError, throwIfAborted } from '../host/error.js';
import { bytesAsFile } from './byte-source.js';
import { columnsOf, type ParquetColumn } from './parquet-schema.js';

export type { ParquetColumn } from './parquet-schema.js';

/** A value of a table: integers of 64 bits are bigint, binary columns bytes, lists arrays, structs objects. */
export type ParquetValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Date
  | Uint8Array
  | readonly ParquetValue[]
  | { readonly [field: string]: ParquetValue };

/** One row, by the names of its columns. */
export type ParquetRow = Readonly<Record<string, ParquetValue>>;

/** Which part of a table. */
export interface ParquetRowOptions {
  /** Names of columns at the top level; all when absent. */
  readonly columns?: readonly string[];
  /** The first row. Default 0. */
  readonly start?: number;
  /** The row after the last. Default: all rows. */
  readonly end?: number;
  /** Strings as text, which must be UTF-8 (the default), or as the bytes that are stored. */
  readonly strings?: 'text' | 'bytes';
  readonly signal?: AbortSignal;
}

/** Some rows that follow each other. */
export interface ParquetBatch {
  /** The number of the first, from 0. */
  readonly start: number;
  readonly rows: readonly ParquetRow[];
}

/** An open table. */
export interface ParquetTable {
  readonly file: string;
  /** How many rows. */
  readonly rows: number;
  readonly columns: readonly ParquetColumn[];
  /** Each row group: how many rows, and the bytes of all columns as stored and unpacked. */
  readonly groups: readonly { readonly rows: number; readonly packed: number; readonly bytes: number }[];
  /** How columns are packed: `SNAPPY`, `ZSTD`, ... */
  readonly codecs: readonly string[];
  /** The program that wrote it; empty when it does not say. */
  readonly createdBy: string;
  /** Keys and values that the writer added, such as `huggingface` or `pandas`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** @throws not-found for an unknown column; bad-option for a range that is not there; bad-file, unsupported, aborted. */
  batches(options?: ParquetRowOptions): AsyncIterable<ParquetBatch>;
  /** The same row by row. */
  read(options?: ParquetRowOptions): AsyncIterable<ParquetRow>;
  close(): Promise<void>;
}

const MAGIC = 0x31524150; // PAR1
const ENCRYPTED = 0x45524150; // PARE
const LEAST_BYTES = 12;
const BATCH_BYTES = 2 ** 26;
const MOST_GROUP_BYTES = 2 ** 31;
const PLAIN_CODECS: readonly string[] = ['UNCOMPRESSED', 'SNAPPY'];
const CODECS: readonly string[] = [...PLAIN_CODECS, 'GZIP', 'BROTLI', 'ZSTD', 'LZ4', 'LZ4_RAW'];

/** Opens a `.parquet` file, or a file's bytes. @throws not-found; bad-file when damaged; unsupported when encrypted. */
export async function openParquet(source: string | Uint8Array): Promise<ParquetTable> {
  const file = typeof source === 'string' ? source : 'The table given';
  const access = typeof source === 'string' ? await openRandomAccess(source) : bytesAsFile(source);
  try {
    await checkEnds(access, file);
    const buffer = asBuffer(access);
    const metadata = await explained(file, () => parquetMetadataAsync(buffer, { geoparquet: false }));
    return describeTable(file, access, buffer, metadata);
  } catch (error) {
    await access.close();
    throw error;
  }
}

async function checkEnds(access: RandomAccess, file: string): Promise<void> {
  const magicAt = async (offset: number): Promise<number> => {
    const bytes = await access.read(offset, 4);
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  };
  if (access.size < LEAST_BYTES) throw damaged(file, `it has ${access.size} bytes, too few for a table`);
  const [first, last] = [await magicAt(0), await magicAt(access.size - 4)];
  if (first === ENCRYPTED || last === ENCRYPTED) {
    throw new TesseraError('unsupported', `${file} is an encrypted Parquet file, which is not read.`);
  }
  if (first !== MAGIC) throw damaged(file, 'it does not begin with PAR1', 'It is of another format.');
  if (last !== MAGIC) throw damaged(file, 'it does not end with PAR1', 'It was probably cut short: fetch it again.');
}

function describeTable(file: string, access: RandomAccess, buffer: AsyncBuffer, metadata: FileMetaData): ParquetTable {
  const tree = explainedNow(file, () => parquetSchema(metadata));
  const columns = columnsOf(tree);
  checkGroups(metadata, access.size, file);
  const chunks = metadata.row_groups.flatMap((group) => group.columns.flatMap(({ meta_data: chunk }) => chunk ?? []));
  const batches = (options: ParquetRowOptions = {}): AsyncGenerator<ParquetBatch> =>
    readBatches({ file, buffer, metadata, columns }, options);
  return {
    file,
    rows: Number(metadata.num_rows),
    columns,
    groups: metadata.row_groups.map((group) => {
      const sizes = group.columns.flatMap(({ meta_data: chunk }) => chunk ?? []);
      return {
        rows: Number(group.num_rows),
        packed: sizes.reduce((sum, chunk) => sum + Number(chunk.total_compressed_size), 0),
        bytes: sizes.reduce((sum, chunk) => sum + Number(chunk.total_uncompressed_size), 0),
      };
    }),
    codecs: [...new Set(chunks.map(({ codec }) => codec))].sort(),
    createdBy: metadata.created_by ?? '',
    metadata: Object.fromEntries((metadata.key_value_metadata ?? []).map(({ key, value = '' }) => [key, value])),
    batches,
    read: async function* (options) {
      for await (const { rows } of batches(options)) yield* rows;
    },
    close: () => access.close(),
  };
}

/** What the footer says must agree with itself and with the file. */
function checkGroups(metadata: FileMetaData, size: number, file: string): void {
  let rows = 0n;
  for (const [number, group] of metadata.row_groups.entries()) {
    rows += group.num_rows;
    for (const { file_path: path, meta_data: chunk, crypto_metadata: crypto } of group.columns) {
      if (crypto !== undefined) {
        throw new TesseraError('unsupported', `${file} has encrypted columns, which are not read.`);
      }
      if (path !== undefined) {
        throw new TesseraError('unsupported', `${file} keeps columns in other files, which is not read.`);
      }
      if (chunk === undefined) throw damaged(file, `row group ${number} has a column without a description`);
      const start = Number(chunk.dictionary_page_offset ?? chunk.data_page_offset);
      const end = start + Number(chunk.total_compressed_size);
      if (start < 4 || end > size || end < start) {
        const name = chunk.path_in_schema.join('.');
        throw damaged(file, `row group ${number} puts the column '${name}' at bytes ${start} to ${end} of ${size}`);
      }
    }
  }
  if (rows === metadata.num_rows && rows >= 0n && rows <= BigInt(Number.MAX_SAFE_INTEGER)) return;
  throw damaged(file, `it should have ${metadata.num_rows} rows, and its row groups have ${rows}`);
}

interface Content {
  readonly file: string;
  readonly buffer: AsyncBuffer;
  readonly metadata: FileMetaData;
  readonly columns: readonly ParquetColumn[];
}

async function* readBatches(content: Content, options: ParquetRowOptions): AsyncGenerator<ParquetBatch> {
  const { file, buffer, metadata } = content;
  const { strings = 'text', signal } = options;
  const { start, end, columns } = checkOptions(content, options);
  const parsers = { stringFromBytes: strings === 'text' ? decodeText : asStored };
  let first = 0;
  for (const [number, group] of metadata.row_groups.entries()) {
    const last = first + Number(group.num_rows);
    const stop = Math.min(last, end);
    const wanted = group.columns.filter(({ meta_data: chunk }) => columns.includes(chunk?.path_in_schema[0] ?? ''));
    const step = batchRows(content.file, number, last - first, wanted);
    for (let from = Math.max(first, start); from < stop; ) {
      throwIfAborted(signal);
      // Steps are counted from the group's start, so that reading from a later row cuts at the same places.
      const to = Math.min(first + (Math.floor((from - first) / step) + 1) * step, stop);
      const compressors = await compressorsFor(file, wanted);
      const rows: ParquetRow[] = await explained(file, () =>
        parquetReadObjects({
          file: buffer,
          metadata,
          columns: [...columns],
          rowStart: from,
          rowEnd: to,
          utf8: false,
          geoparquet: false,
          useOffsetIndex: to - from < last - first,
          compressors,
          parsers,
        }),
      );
      if (rows.length !== to - from) throw damaged(file, `row group ${number} ends after ${rows.length} rows`);
      yield { start: from, rows };
      from = to;
    }
    first = last;
    if (first >= end) return;
  }
}

function checkOptions(content: Content, options: ParquetRowOptions) {
  const rows = Number(content.metadata.num_rows);
  const { start = 0, end = rows, columns = content.columns.map(({ name }) => name) } = options;
  const whole = Number.isInteger(start) && Number.isInteger(end);
  if (!whole || start < 0 || end < start || end > rows) {
    throw new TesseraError('bad-option', `Rows ${start} to ${end} of ${content.file} were asked for; it has ${rows}.`);
  }
  for (const column of columns) findColumn(content, column);
  return { start, end, columns };
}

/** A column of a table by name. @throws not-found, with the names that are there. */
export function findColumn(table: { readonly file: string; readonly columns: readonly ParquetColumn[] }, name: string) {
  const found = table.columns.find((column) => column.name === name);
  if (found !== undefined) return found;
  const names = table.columns.slice(0, 12).map((column) => `'${column.name}'`);
  throw new TesseraError('not-found', `${table.file} has no column '${name}'.`, {
    hint: `It has ${names.join(', ')}${table.columns.length > names.length ? ', ...' : ''}.`,
  });
}

type Chunks = FileMetaData['row_groups'][number]['columns'];

/** Rows of a batch of a group; a part needs page indexes, without which all pages before it would be unpacked again. */
function batchRows(file: string, number: number, rows: number, chunks: Chunks): number {
  const bytes = chunks.reduce((sum, chunk) => sum + Number(chunk.meta_data?.total_uncompressed_size ?? 0), 0);
  const indexed = chunks.every(({ offset_index_offset: index }) => index !== undefined);
  if (bytes <= BATCH_BYTES) return Math.max(1, rows);
  if (indexed) return Math.max(1, Math.floor((rows * BATCH_BYTES) / bytes));
  if (bytes <= MOST_GROUP_BYTES) return Math.max(1, rows);
  throw new TesseraError('unsupported', `Row group ${number} of ${file} would take ${bytes} bytes at once.`, {
    hint: 'Read fewer columns, or write the file again with smaller row groups or page indexes.',
  });
}

async function compressorsFor(file: string, chunks: Chunks) {
  const codecs = new Set<string>(chunks.map(({ meta_data: chunk }) => chunk?.codec ?? 'unknown'));
  for (const codec of codecs) {
    if (CODECS.includes(codec)) continue;
    throw new TesseraError('unsupported', `${file} is packed by ${codec}, which is not read.`);
  }
  if ([...codecs].every((codec) => PLAIN_CODECS.includes(codec))) return undefined;
  return (await import('hyparquet-compressors')).compressors;
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeText(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : strict.decode(bytes);
}

function asStored(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes;
}

function asBuffer(access: RandomAccess): AsyncBuffer {
  return {
    byteLength: access.size,
    slice: async (start, end = access.size) => {
      const bytes = await access.read(start, Math.max(0, end - start));
      const { buffer } = bytes;
      if (buffer instanceof ArrayBuffer && bytes.byteLength === buffer.byteLength) return buffer;
      return new Uint8Array(bytes).buffer;
    },
  };
}

async function explained<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw explain(file, error);
  }
}

function explainedNow<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw explain(file, error);
  }
}

function explain(file: string, cause: unknown): TesseraError {
  if (cause instanceof TesseraError) return cause;
  const reason = cause instanceof Error ? cause.message.replace(/^parquet /, '').replace(/\.$/, '') : String(cause);
  if (reason.endsWith('not supported')) {
    return new TesseraError('unsupported', `${file} cannot be read as Parquet: ${reason}.`, { cause });
  }
  return damaged(file, reason, 'It is damaged: fetch it again.', cause);
}

function damaged(file: string, what: string, hint?: string, cause?: unknown): TesseraError {
  return new TesseraError('bad-file', `${file} cannot be read as Parquet: ${what}.`, { hint, cause });
}
