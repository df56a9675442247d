import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import {
  openCorpus,
  openParquet,
  type ParquetRow,
  type ParquetRowOptions,
  type ParquetTable,
} from 'tessera-kit/formats';
import { TesseraError } from 'tessera-kit/tensor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-parquet-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type Write = Parameters<typeof parquetWriteBuffer>[0];
const bytesOf = (options: Write): Uint8Array => new Uint8Array(parquetWriteBuffer(options));

async function put(name: string, options: Write | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, options instanceof Uint8Array ? options : bytesOf(options));
  return path;
}

async function gather(table: ParquetTable, options?: ParquetRowOptions): Promise<ParquetRow[]> {
  const rows: ParquetRow[] = [];
  for await (const row of table.read(options)) rows.push(row);
  return rows;
}

const words = Array.from({ length: 1000 }, (_, i) => (i % 10 === 3 ? null : `row ${i} – ${'é'.repeat(i % 7)}`));
const numbered = words.map((_, i) => i);
const lengths: Write = {
  columnData: [
    { name: 'text', data: words, type: 'STRING', nullable: true },
    { name: 'n', data: numbered, type: 'INT32', nullable: false },
  ],
  rowGroupSize: 128,
};

describe('a table', () => {
  it('tells rows, groups, codecs, metadata and the types of its columns', async () => {
    const table = await openParquet(
      bytesOf({
        columnData: [
          { name: 'text', data: ['a', null, 'c'], type: 'STRING', nullable: true },
          { name: 'n', data: [1n, 2n, 3n], type: 'INT64', nullable: false },
          { name: 'x', data: [0.5, 1.5, -2], type: 'DOUBLE', nullable: false },
          { name: 'yes', data: [true, false, true], type: 'BOOLEAN', nullable: false },
          { name: 'any', data: [{ a: 1 }, [1], null], type: 'JSON', nullable: true },
          { name: 'at', data: [new Date(0), new Date(1), new Date(2)], type: 'TIMESTAMP', nullable: false },
          { name: 'raw', data: [Uint8Array.of(1), Uint8Array.of(255), Uint8Array.of()], type: 'BYTE_ARRAY' },
        ],
        rowGroupSize: 2,
        kvMetadata: [{ key: 'made', value: 'here' }],
      }),
    );
    expect(table.rows).toBe(3);
    expect(table.groups.map(({ rows }) => rows)).toEqual([2, 1]);
    expect(table.metadata).toEqual({ made: 'here' });
    expect(table.columns.map(({ name, type, nullable }) => `${name} ${type}${nullable ? '?' : ''}`)).toEqual([
      'text string?',
      'n int64',
      'x double',
      'yes bool',
      'any json?',
      'at timestamp[ms]',
      'raw bytes?',
    ]);
    const [, second, third] = await gather(table);
    expect(second).toEqual({
      text: null,
      n: 2n,
      x: 1.5,
      yes: false,
      any: [1],
      at: new Date(1),
      raw: Uint8Array.of(255),
    });
    expect(third).toMatchObject({ text: 'c', any: null });
  });

  it('names lists and structs by what they hold', async () => {
    const element = { name: 'element', type: 'INT32', repetition_type: 'REQUIRED' } as const;
    const table = await openParquet(
      bytesOf({
        columnData: [{ name: 'ids', data: [[1, 2], []] }],
        schema: [
          { name: 'root', num_children: 1 },
          { name: 'ids', num_children: 1, converted_type: 'LIST', repetition_type: 'REQUIRED' },
          { name: 'list', num_children: 1, repetition_type: 'REPEATED' },
          element,
        ],
      }),
    );
    expect(table.columns).toEqual([{ name: 'ids', type: 'list<int32>', nullable: false }]);
    expect(await gather(table)).toEqual([{ ids: [1, 2] }, { ids: [] }]);
  });

  it('gives any range of rows and any columns, across row groups', async () => {
    const table = await openParquet(await put('a.parquet', lengths));
    try {
      await fc.assert(
        fc.asyncProperty(fc.nat(1000), fc.nat(1000), fc.boolean(), async (a, b, both) => {
          const [start, end] = [Math.min(a, b), Math.max(a, b)];
          const columns = both ? ['n', 'text'] : ['text'];
          const rows = await gather(table, { start, end, columns });
          expect(rows.map(({ text }) => text)).toEqual(words.slice(start, end));
          expect(rows.map(({ n }) => n)).toEqual(both ? numbered.slice(start, end) : rows.map(() => undefined));
        }),
        { numRuns: 30 },
      );
    } finally {
      await table.close();
    }
  });

  it('reads only the columns and rows that are wanted', async () => {
    const wide = bytesOf({
      columnData: [
        { name: 'small', data: Int32Array.from({ length: 4000 }, (_, i) => i % 3) },
        { name: 'large', data: Array.from({ length: 4000 }, (_, i) => `${i} `.repeat(50)), type: 'STRING' },
      ],
      rowGroupSize: 1000,
    });
    let read = 0;
    const counted = new Proxy(wide, {
      get: (target, key) => {
        if (key !== 'slice') return Reflect.get(target, key, target);
        return (start: number, end: number) => {
          read += end - start;
          return target.slice(start, end);
        };
      },
    });
    const table = await openParquet(counted);
    read = 0;
    expect((await gather(table, { columns: ['small'], start: 2000, end: 3000 })).length).toBe(1000);
    expect(read).toBeLessThan(2000);
    read = 0;
    expect((await gather(table, { columns: ['large'], start: 2000, end: 2001 })).length).toBe(1);
    expect(read).toBeLessThan(wide.length / 3);
  });

  it.each([
    ['SNAPPY', undefined],
    ['UNCOMPRESSED', undefined],
    ['GZIP', gzipSync],
    ['BROTLI', brotliCompressSync],
    ['ZSTD', storeAsZstd],
    ['LZ4_RAW', storeAsLz4],
  ] as const)('is unpacked from %s', async (codec, compress) => {
    const compressors =
      compress === undefined ? undefined : { [codec]: (input: Uint8Array) => new Uint8Array(compress(input)) };
    const table = await openParquet(bytesOf({ ...lengths, codec, compressors }));
    expect(table.codecs).toEqual([codec]);
    expect((await gather(table)).map(({ text }) => text)).toEqual(words);
  });
});

/** A zstd frame of one raw block (RFC 8878): magic, a window of 8 MiB, no checksum, the block's header, the bytes. */
function storeAsZstd(input: Uint8Array): Uint8Array {
  const header = (input.length << 3) | 1;
  return Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3, header, header >> 8, header >> 16, ...input);
}

/** An LZ4 block of literals only. */
function storeAsLz4(input: Uint8Array): Uint8Array {
  const lengths: number[] = [];
  let rest = input.length - 15;
  for (; rest >= 255; rest -= 255) lengths.push(255);
  return input.length < 15
    ? Uint8Array.of(input.length << 4, ...input)
    : Uint8Array.of(0xf0, ...lengths, rest, ...input);
}

describe('a corpus of tables', () => {
  it('has a document a row, goes on from any of them, and leaves null and empty ones out', async () => {
    const path = await put('a.parquet', lengths);
    const corpus = await openCorpus([folder]);
    const documents = [];
    for await (const document of corpus.documents()) documents.push(document);
    const texts = words.filter((word) => word !== null);
    expect(documents.map((document) => document.text())).toEqual(texts);
    expect(documents[3]?.source).toEqual({ file: path, index: 3 });
    for (const at of [0, 114, 500, 899]) {
      const rest: string[] = [];
      for await (const document of corpus.documents(documents[at]?.cursor)) rest.push(document.text());
      expect(rest).toEqual(texts.slice(at + 1));
    }
  });

  it('takes the column that is named, also of bytes without a type', async () => {
    const body = [new TextEncoder().encode('one'), new TextEncoder().encode('two')];
    const path = await put('b.parquet', { columnData: [{ name: 'body', data: body, type: 'BYTE_ARRAY' }] });
    const corpus = await openCorpus([path], { field: 'body' });
    const texts: string[] = [];
    for await (const document of corpus.documents()) texts.push(document.text());
    expect(texts).toEqual(['one', 'two']);
  });

  it.each([
    [{ name: 'body', data: ['a'] }, "has no column 'text'", "It has 'body'."],
    [{ name: 'text', data: [1, 2] }, "The column 'text' of .* holds int32, not text", undefined],
    [
      { name: 'text', data: [Uint8Array.of(65), Uint8Array.of(65, 0xff)], type: 'BYTE_ARRAY' },
      'Row 1 of the column .* is not UTF-8 at byte 1',
      undefined,
    ],
    [
      { name: 'text', data: [Uint8Array.of(65, 0)], type: 'BYTE_ARRAY' },
      'Row 0 of the column .* byte 1 is zero',
      undefined,
    ],
  ] as const)('says what is wrong with %j', async (column, says, hint) => {
    const path = await put('c.parquet', { columnData: [{ ...column, data: [...column.data] }] });
    const corpus = await openCorpus([path]);
    const reading = async (): Promise<void> => {
      for await (const document of corpus.documents()) document.text();
    };
    const error: unknown = await reading().catch((e: unknown) => e);
    expect(error).toBeInstanceOf(TesseraError);
    expect(error).toMatchObject({ message: expect.stringMatching(says) });
    if (hint !== undefined) expect(error).toMatchObject({ hint });
  });
});

describe('a broken table', () => {
  it.each([
    [new Uint8Array(5), 'bad-file', 'too few'],
    [new TextEncoder().encode('name,text\n1,hello'), 'bad-file', 'does not begin with PAR1'],
    [bytesOf(lengths).slice(0, -30), 'bad-file', 'does not end with PAR1. It was probably cut short'],
    [new TextEncoder().encode('PARE........PARE'), 'unsupported', 'encrypted'],
  ])('is refused with a sentence (%#)', async (bytes, code, says) => {
    const error: unknown = await openParquet(bytes).catch((e: unknown) => e);
    expect(error).toMatchObject({ code });
    expect(error instanceof TesseraError ? `${error.message} ${error.hint}` : '').toMatch(says);
  });

  it('gives rows or a TesseraError, whatever byte is changed', async () => {
    const whole = bytesOf({ ...lengths, rowGroupSize: 500 });
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), async (place, value) => {
        const bytes = whole.slice();
        bytes[place] = value;
        const table = await openParquet(bytes).catch((error: Error) => error);
        const rows = table instanceof Error ? table : await gather(table).catch((error: Error) => error);
        if (rows instanceof Error) expect(rows).toBeInstanceOf(TesseraError);
      }),
      { numRuns: 300 },
    );
  });

  it('names rows and columns that are not there', async () => {
    const table = await openParquet(bytesOf(lengths));
    await expect(gather(table, { columns: ['words'] })).rejects.toMatchObject({ code: 'not-found' });
    await expect(gather(table, { start: 3, end: 1001 })).rejects.toMatchObject({ code: 'bad-option' });
    await expect(gather(table, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
  });
});
