import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { corpusFromStrings } from 'tessera-kit/formats';
import { byteTokenizer, encodeFiles, encodeFilesTo, type Tokenizer, trainBpe } from 'tessera-kit/tokenizers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CORPUS } from './texts.js';

let folder: string;
let tokenizer: Tokenizer;
/** Enough for several batches, with an empty document and a large one. */
const texts = [
  ...Array.from({ length: 60 }, (_, i) => CORPUS.slice(i % 7).join('\n')),
  'x',
  CORPUS.join(' ').repeat(80),
];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-encode-'));
  ({ tokenizer } = await trainBpe(CORPUS, { vocabularySize: 400 }));
  await mkdir(join(folder, 'texts'));
  for (const [i, text] of texts.entries()) {
    await writeFile(join(folder, 'texts', `${String(i).padStart(3, '0')}.txt`), text);
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const expected = (after: readonly number[] = []): number[][] =>
  texts.map((text) => [...tokenizer.encode(text), ...after]);

describe('encoding files', () => {
  it.each([0, 1, 2])('gives the ids of each document in order, with %i workers', async (workers) => {
    const seen: number[] = [];
    const { ids, starts, bytes } = await encodeFiles(tokenizer, join(folder, 'texts'), {
      workers,
      onProgress: ({ documents }) => seen.push(documents),
    });
    expect(bytes).toBe(texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0));
    // A large file is more than one document, whose concatenation it is.
    expect([...ids].length).toBe(starts.at(-1));
    expect(tokenizer.decode(ids)).toBe(texts.join(''));
    const want = expected();
    for (const [i, each] of want.slice(0, 61).entries())
      expect([...ids.subarray(starts[i], starts[i + 1])]).toEqual(each);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(starts.length - 1);
  });

  it('is the same for any number of workers, and puts a token after each document', async () => {
    const corpus = corpusFromStrings(texts);
    const here = await encodeFiles(tokenizer, corpus, { workers: 0, after: 0 });
    const there = await encodeFiles(tokenizer, corpus, { workers: 2, after: 0 });
    expect(there).toEqual(here);
    expect([...here.ids]).toEqual(expected([0]).flat());
  });

  it('writes a folder of ids, whole', async () => {
    const out = join(folder, 'ids');
    const told = await encodeFilesTo(out, tokenizer, corpusFromStrings(texts), { workers: 1 });
    const ids = expected().flat();
    expect(told).toMatchObject({ tokens: ids.length, documents: texts.length, dtype: 'uint16' });
    const buffer = await readFile(join(out, 'ids.bin'));
    expect([...new Uint16Array(buffer.buffer, buffer.byteOffset, buffer.length / 2)]).toEqual(ids);
    const starts = await readFile(join(out, 'starts.bin'));
    expect(starts.length).toBe(8 * (texts.length + 1));
    expect(starts.readBigUInt64LE(starts.length - 8)).toBe(BigInt(ids.length));
    expect(JSON.parse(await readFile(join(out, 'encoding.json'), 'utf8'))).toMatchObject({
      ids: { file: 'ids.bin', dtype: 'uint16', shape: [ids.length] },
      vocabulary: 400,
    });
  });

  it('leaves nothing behind when it fails or is stopped', async () => {
    const before = await readdir(folder);
    await writeFile(join(folder, 'texts', '999.txt'), Buffer.from([0x61, 0xff, 0x62]));
    await expect(
      encodeFilesTo(join(folder, 'broken'), tokenizer, join(folder, 'texts'), { workers: 1 }),
    ).rejects.toThrow(/999\.txt/);
    await rm(join(folder, 'texts', '999.txt'));
    const stop = new AbortController();
    const run = encodeFilesTo(join(folder, 'stopped'), tokenizer, corpusFromStrings(texts), {
      workers: 1,
      signal: stop.signal,
      onProgress: () => stop.abort(),
    });
    await expect(run).rejects.toMatchObject({ code: 'aborted' });
    expect(await readdir(folder)).toEqual(before);
    await expect(encodeFiles(tokenizer, corpusFromStrings(['a']), { workers: -1 })).rejects.toThrow(
      /number of workers/,
    );
  });

  it('goes by bytes for a tokenizer of bytes', async () => {
    const { ids } = await encodeFiles(byteTokenizer(), corpusFromStrings(['é']), { workers: 1 });
    expect([...ids]).toEqual([0xc3, 0xa9]);
  });
});
