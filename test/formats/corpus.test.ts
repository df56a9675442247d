import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import {
  type Corpus,
  type CorpusCursor,
  type CorpusDocument,
  corpusFromStrings,
  findInvalidUtf8,
  openCorpus,
} from 'tessera-kit/formats';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-corpus-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const at = (name: string): string => join(folder, name);

async function put(name: string, content: string | Uint8Array): Promise<string> {
  await mkdir(join(at(name), '..'), { recursive: true });
  await writeFile(at(name), content);
  return at(name);
}

async function gather(corpus: Corpus, cursor?: CorpusCursor): Promise<CorpusDocument[]> {
  const documents: CorpusDocument[] = [];
  for await (const document of corpus.documents(cursor)) documents.push(document);
  return documents;
}

const texts = async (corpus: Corpus, cursor?: CorpusCursor): Promise<string[]> =>
  (await gather(corpus, cursor)).map((document) => document.text());

describe('documents', () => {
  it('come from files, folders, patterns, gzip and JSON lines, each file once', async () => {
    await put('books/b.txt', 'B');
    await put('books/a.md', 'A');
    await put('books/deep/c.TXT.gz', gzipSync('C'));
    await put('books/image.png', Uint8Array.of(0, 1));
    await put('books/.hidden.txt', 'no');
    await put('books/empty.txt', '');
    await put('lines.jsonl', '{"text":"1","x":0}\n\n{"text":"","x":0}\r\n{"text":"2"}');
    await put('packed.ndjson.gz', gzipSync('{"text":"3"}\n'));
    await put('odd.name', 'D');
    await symlink(folder, at('books/deep/up'));
    const corpus = await openCorpus([
      at('odd.name'),
      at('books'),
      at('*.jsonl'),
      at('packed.ndjson.gz'),
      at('books/b.txt'),
    ]);
    expect(await texts(corpus)).toEqual(['D', 'A', 'B', 'C', '1', '2', '3']);
    const about = corpus.describe();
    expect(about.files).toBe(6);
    expect(about.paths.at(-1)).toBe(at('packed.ndjson.gz'));
    expect((await gather(corpus)).at(-2)?.source).toEqual({ file: at('lines.jsonl'), index: 1 });
  });

  it('of a large file end at paragraph ends, else at lines, words, characters', async () => {
    const path = await put(
      'a.txt',
      `${'a'.repeat(20)}\n\n${'b'.repeat(25)}\nb ${'c'.repeat(20)} ${'d'.repeat(15)}${'é'.repeat(30)}`,
    );
    const corpus = await openCorpus([path], { documentBytes: 32 });
    expect(await texts(corpus)).toEqual([
      `${'a'.repeat(20)}\n\n`,
      `${'b'.repeat(25)}\n`,
      `b ${'c'.repeat(20)} `,
      `${'d'.repeat(15)}${'é'.repeat(8)}`,
      'é'.repeat(16),
      'é'.repeat(6),
    ]);
  });

  it('drop a byte order mark', async () => {
    const mark = Uint8Array.of(0xef, 0xbb, 0xbf);
    const paths = [
      await put('a.txt', Buffer.concat([mark, Buffer.from('x')])),
      await put('b.jsonl', Buffer.concat([mark, Buffer.from('{"body":"y"}')])),
    ];
    expect(await texts(await openCorpus(paths, { field: 'body' }))).toEqual(['x', 'y']);
  });

  it('concatenate to the file, stay below the size, and go on from every cursor', async () => {
    const unit = fc.constantFrom('a', ' ', '\n', '\n\n', '\r\n\r\n', 'ü', '語', '🦊', 'word ');
    await fc.assert(
      fc.asyncProperty(fc.string({ unit, minLength: 1, maxLength: 300 }), fc.boolean(), async (text, packed) => {
        const path = await put(packed ? 'a.txt.gz' : 'a.txt', packed ? gzipSync(text) : text);
        const corpus = await openCorpus([path], { documentBytes: 64 });
        const documents = await gather(corpus);
        expect(documents.map((document) => document.text()).join('')).toBe(text);
        for (const [i, document] of documents.entries()) {
          expect(document.bytes.length).toBeLessThanOrEqual(64);
          expect(document.bytes).toEqual(new Uint8Array(Buffer.from(document.text())));
          expect(document.source.index).toBe(i);
          expect(await gather(corpus, document.cursor).then((rest) => rest.map((other) => other.source.index))).toEqual(
            documents.slice(i + 1).map((other) => other.source.index),
          );
        }
      }),
      { numRuns: 60 },
    );
  });

  it('of JSON lines survive the trip, at any chunking, from every cursor', async () => {
    const strings = fc.array(fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }), {
      minLength: 1,
      maxLength: 10,
    });
    await fc.assert(
      fc.asyncProperty(strings, fc.boolean(), async (given, packed) => {
        const lines = given.map((text) => JSON.stringify({ text })).join('\n');
        const path = await put(packed ? 'a.jsonl.gz' : 'a.jsonl', packed ? gzipSync(lines) : lines);
        const corpus = await openCorpus([path]);
        const documents = await gather(corpus);
        expect(documents.map((document) => document.text())).toEqual(given);
        for (const [i, { cursor }] of documents.entries()) {
          expect(await texts(corpus, JSON.parse(JSON.stringify(cursor)))).toEqual(given.slice(i + 1));
        }
      }),
      { numRuns: 40 },
    );
  });

  it('go on across files', async () => {
    const corpus = await openCorpus([
      await put('a.txt', 'A'),
      await put('b.jsonl', '{"text":"B"}\n{"text":"C"}\n'),
      await put('c.txt', 'D'),
    ]);
    const documents = await gather(corpus);
    for (const [i, { cursor }] of documents.entries()) {
      expect(await texts(corpus, cursor)).toEqual(['A', 'B', 'C', 'D'].slice(i + 1));
    }
  });

  it('larger than a chunk and lines longer than one are whole', async () => {
    const long = 'x'.repeat(700_000);
    const path = await put('a.jsonl', `{"text":"${long}"}\n{"text":"y"}\n`);
    expect(await texts(await openCorpus([path]))).toEqual([long, 'y']);
    const plain = await put('a.txt', `${long}\n\n${long}`);
    const documents = await gather(await openCorpus([plain]));
    expect(documents.map((document) => document.bytes.length)).toEqual([700_002, 700_000]);
  });
});

describe('bad text', () => {
  const latin = Uint8Array.from(Buffer.from('one\ntwo\ncaf\xe9 three', 'latin1'));
  it.each<[string, string, string | Uint8Array, string, string]>([
    ['an empty file', 'a.txt', '', 'bad-input', 'a.txt is empty'],
    ['nothing in gzip', 'a.txt.gz', gzipSync(''), 'bad-input', 'There is no text in'],
    ['only empty lines', 'a.jsonl', '\n\n{"text":""}\n', 'bad-input', 'There is no text in'],
    ['zeros', 'a.txt', Uint8Array.of(97, 98, 0), 'bad-input', 'is not text: byte 2 is zero'],
    ['control characters', 'a.txt', new Uint8Array(200).fill(3, 50).fill(97, 0, 50), 'bad-input', '150 of 200 bytes'],
    ['UTF-16', 'a.txt', Buffer.from('\ufeffhello', 'utf16le'), 'bad-input', 'is UTF-16'],
    ['Latin-1', 'a.txt', latin, 'bad-input', 'is not UTF-8 at byte 11 (line 3)'],
    ['Latin-1 in gzip', 'a.txt.gz', gzipSync(latin), 'bad-input', 'is not UTF-8 at byte 11 (line 3)'],
    ['a cut character', 'a.txt', Uint8Array.of(97, 0xe8, 0xaa), 'bad-input', 'is not UTF-8 at byte 1 (line 1)'],
    [
      'Latin-1 in JSON',
      'a.jsonl',
      Buffer.from('{"text":"a"}\n{"text":"\xe9"}', 'latin1'),
      'bad-input',
      'byte 22 (line 2)',
    ],
    ['no JSON', 'a.jsonl', '{"text":"a"}\n{"text":', 'bad-input', 'Line 2 of'],
    ['prose in JSON lines', 'a.jsonl', '\nOnce upon', 'bad-input', 'Line 2 of'],
    ['a list', 'a.jsonl', '["a"]', 'bad-input', 'is not a JSON object'],
    ['another field', 'a.jsonl', '{"body":"a"}', 'bad-input', "has no field 'text'"],
    ['a field that is a number', 'a.jsonl', '{"text":1}', 'bad-input', "no string in the field 'text'"],
    ['damaged gzip', 'a.txt.gz', gzipSync('hello').subarray(0, 12), 'bad-file', 'is damaged gzip'],
  ])('is told in a sentence: %s', async (_, name, content, code, says) => {
    const path = await put(name, content);
    const reading = async (): Promise<unknown> => gather(await openCorpus([path]));
    await expect(reading()).rejects.toMatchObject({
      name: 'TesseraError',
      code,
      message: expect.stringContaining(says),
    });
    await expect(reading()).rejects.toThrow(path);
  });

  it('keeps line and byte right in later documents and after a cursor', async () => {
    const path = await put('a.txt', Buffer.from(`${'line\n'.repeat(100)}caf\xe9`, 'latin1'));
    const corpus = await openCorpus([path], { documentBytes: 100 });
    const says = 'is not UTF-8 at byte 503 (line 101)';
    let cursor: CorpusCursor | undefined;
    const read = async (): Promise<void> => {
      for await (const document of corpus.documents()) cursor = document.cursor;
    };
    await expect(read()).rejects.toThrow(says);
    await expect(gather(corpus, cursor)).rejects.toThrow(says);
  });

  it.each([
    ['a missing file', ['none.txt'], 'not-found', 'There is no file or folder'],
    ['a pattern without match', ['*.none'], 'not-found', 'No file matches'],
    ['a folder without text', ['.'], 'not-found', 'holds no text files'],
    ['no paths', [], 'bad-input', 'No text was given'],
  ])('is told in a sentence: %s', async (_, names, code, says) => {
    await put('a.png', 'x');
    const opening = openCorpus(names.map(at));
    await expect(opening).rejects.toMatchObject({ code, message: expect.stringContaining(says) });
  });

  it('names the fields that a line has instead', async () => {
    const path = await put('a.jsonl', '{"body":"a","id":1}');
    await expect(gather(await openCorpus([path]))).rejects.toMatchObject({
      hint: "It has 'body', 'id': name one of them.",
    });
  });

  it('is allowed a stray control character', async () => {
    const text = `a form feed \f and a bell \u0007${'.'.repeat(100)}`;
    expect(await texts(await openCorpus([await put('a.txt', text)]))).toEqual([text]);
  });

  it('tells of a folder whose files are all empty', async () => {
    await put('a.txt', '');
    await expect(openCorpus([folder])).rejects.toThrow('Every text file of');
  });

  it.each([
    [{ file: 9, offset: 0, index: 0, line: 1 }],
    [{ file: 0, offset: -1, index: 0, line: 1 }],
    [{ file: 0, offset: 99, index: 1, line: 1 }],
  ])('refuses the cursor %j of another text', async (cursor) => {
    const corpus = await openCorpus([await put('a.txt', 'abc')]);
    await expect(gather(corpus, cursor)).rejects.toMatchObject({ code: 'mismatch' });
  });

  it('stops on a signal', async () => {
    const stop = new AbortController();
    const corpus = await openCorpus([await put('a.txt', 'x'.repeat(1000))], { documentBytes: 16, signal: stop.signal });
    stop.abort();
    await expect(gather(corpus)).rejects.toMatchObject({ code: 'aborted' });
  });
});

describe('fingerprints', () => {
  it('tell texts apart and know the same text in another folder', async () => {
    const of = async (...paths: string[]): Promise<string> => (await openCorpus(paths)).fingerprint();
    const middle = (letter: string): string => `${'a'.repeat(50_000)}${letter}${'b'.repeat(50_000)}`;
    const first = await of(await put('x/a.txt', middle('1')));
    expect(first).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(await of(await put('y/a.txt', middle('1')))).toBe(first);
    expect(await of(await put('y/a.txt', middle('2')))).not.toBe(first);
    expect(await of(await put('y/b.txt', middle('1')))).not.toBe(first);
    expect(await of(at('x/a.txt'), at('y/b.txt'))).not.toBe(first);
  });
});

describe('texts in memory', () => {
  it('are documents, with cursors and a fingerprint', async () => {
    const given = ['one', '', new TextEncoder().encode('zwei'), 'trois \ud800'];
    const corpus = corpusFromStrings(given);
    const documents = await gather(corpus);
    expect(documents.map((document) => document.text())).toEqual(['one', 'zwei', 'trois \ufffd']);
    expect(await texts(corpus, documents[0]?.cursor)).toEqual(['zwei', 'trois \ufffd']);
    expect(await texts(corpus, documents[2]?.cursor)).toEqual([]);
    expect(corpus.describe()).toEqual({ files: 1, bytes: 16, paths: ['memory'] });
    expect(await corpusFromStrings(given).fingerprint()).toBe(await corpus.fingerprint());
    expect(await corpusFromStrings(['onezw', 'ei', 'trois \ud800']).fingerprint()).not.toBe(await corpus.fingerprint());
  });

  it('must be text', () => {
    expect(() => corpusFromStrings(['', ''])).toThrow('There is no text in memory');
    expect(() => corpusFromStrings(['a', Uint8Array.of(10, 0xff)])).toThrow(
      'Text 1 of memory is not UTF-8 at byte 1 (line 2)',
    );
  });
});

it('finds the first invalid byte where a strict decoder fails', () => {
  const strict = new TextDecoder('utf-8', { fatal: true });
  const bytes = fc.uint8Array({ maxLength: 12 });
  const nearly = fc
    .tuple(fc.string({ unit: 'binary' }), bytes)
    .map(([text, rest]) => Buffer.concat([Buffer.from(text), rest]));
  fc.assert(
    fc.property(fc.oneof(bytes, nearly), (given) => {
      const invalid = findInvalidUtf8(given);
      if (invalid === -1) return void strict.decode(given);
      strict.decode(given.subarray(0, invalid));
      expect(() => strict.decode(given)).toThrow();
      // Nothing that begins at the invalid byte is a whole character.
      for (let end = invalid + 1; end <= Math.min(invalid + 4, given.length); end++) {
        expect(() => strict.decode(given.subarray(invalid, end))).toThrow();
      }
    }),
    { numRuns: 500 },
  );
});
