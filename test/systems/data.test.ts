/** The data sets: facts, where they are looked for, and their sums. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import {
  bytesOfSet,
  checkDataSet,
  DATA_SETS,
  type DataSet,
  dataSetOf,
  filesOf,
  findDataSet,
  folderAlone,
  requireWhole,
  SYSTEMS,
  sourcesOf,
} from 'tessera-kit/systems';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TEXT, WORDS } from './tiny.mjs';

const folder = mkdtempSync(join(tmpdir(), 'tessera-data-'));
const put = (path: string, content: string | Uint8Array): void => {
  mkdirSync(join(folder, path, '..'), { recursive: true });
  writeFileSync(join(folder, path), content);
};
const at = (...roots: string[]): { readonly folders: readonly string[] } => ({
  folders: roots.map((root) => join(folder, root)),
});

beforeAll(() => {
  put('plain/tiny-words/words.txt', TEXT);
  put('packed/tiny-words/words.txt.gz', gzipSync(TEXT));
  put('empty/tiny-words/other.txt', 'another file');
  put('edited/tiny-words/words.txt', TEXT.replace('bees', 'wasp'));
  put('longer/tiny-words/words.txt.gz', gzipSync(`${TEXT}${TEXT}`));
  put('damaged/tiny-words/words.txt.gz', gzipSync(TEXT).subarray(0, 12));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the list of data', () => {
  it('has whole facts', () => {
    expect(new Set(DATA_SETS.map(({ name }) => name)).size).toBe(DATA_SETS.length);
    for (const set of DATA_SETS) {
      expect(set.files.length, set.name).toBeGreaterThan(0);
      expect(set.licence.trim(), set.name).not.toBe('');
      expect(new Set(set.files.map(({ name }) => name)).size).toBe(set.files.length);
      for (const { name, repository, path, bytes, sha256 } of set.files) {
        expect(sha256, name).toMatch(/^[0-9a-f]{64}$/);
        expect(repository, name).toMatch(/^[\w.-]+\/[\w.-]+$/);
        expect(path, name).not.toMatch(/^\/|\/$|^$/);
        expect(name).not.toMatch(/^\/|\.\.|\\/);
        expect(bytes, name).toBeGreaterThan(0);
      }
    }
  });
  it('has every set that a reproduction reads', async () => {
    for (const entry of SYSTEMS) {
      for (const name of (await entry.load()).reproduction.data) expect(dataSetOf(name).name).toBe(name);
    }
  });
  it('names the nearest for an unknown set', () => {
    expect(() => dataSetOf('english-novel')).toThrow(
      expect.objectContaining({ code: 'not-found', hint: expect.stringMatching(/Did you mean english-novels\?/) }),
    );
  });
  it('tells sources by repository and shared folder', () => {
    const one = filesOf('a/b', 'x/y', [['f', 1, '']]);
    const two = filesOf('a/b', 'x/z', [['g', 2, '']]);
    const three = filesOf('c/d', '', [['h.txt', 4, '']]);
    const set: DataSet = { ...WORDS, files: [...one, ...two, ...three] };
    expect(sourcesOf(set)).toEqual(['https://github.com/a/b (x)', 'https://github.com/c/d (h.txt)']);
    expect(bytesOfSet(set)).toBe(7);
  });
});

const here: string[] = [];
for (const set of DATA_SETS) if ((await findDataSet(set)).whole) here.push(set.name);

describe.skipIf(here.length === 0)('a data set of the list', () => {
  it.each(here)('has the content that the list says: %s', async (name) => {
    const check = await checkDataSet(dataSetOf(name));
    expect(check.files.filter(({ state }) => state !== 'right')).toEqual([]);
  });
});

describe('a data set on this machine', () => {
  it.each(['plain', 'packed'])('is whole: %s', async (root) => {
    const check = await checkDataSet(WORDS, at(root));
    expect(check).toMatchObject({ whole: true, folder: join(folder, root, 'tiny-words'), files: [{ state: 'right' }] });
    expect(() => requireWhole(WORDS, check)).not.toThrow();
  });
  it('is taken from the first folder that has all of it', async () => {
    const check = await findDataSet(WORDS, at('nowhere', 'empty', 'packed', 'plain'));
    expect(check).toMatchObject({ whole: true, folder: join(folder, 'packed', 'tiny-words') });
    expect(check.files[0]?.state).toBe('unread');
  });
  it.each([
    ['edited', /words\.txt has the SHA-256 [0-9a-f]{64}; the published file has 86d0340a/],
    ['longer', /words\.txt\.gz has more than 25 bytes; the published file has 25/],
    ['damaged', /words\.txt\.gz is damaged gzip/],
  ])('is refused: %s', async (root, says) => {
    const check = await checkDataSet(WORDS, at(root));
    expect(check).toMatchObject({ whole: false, files: [{ state: 'wrong', says: expect.stringMatching(says) }] });
    expect(() => requireWhole(WORDS, check)).toThrow(
      expect.objectContaining({
        code: 'mismatch',
        message: expect.stringMatching(says),
        hint: 'Get it again from https://github.com/nobody/nothing (words/words.txt).',
      }),
    );
  });
  it.each([
    ['nowhere', 'The data set tiny-words is not here.'],
    ['empty', 'The data set tiny-words is not here.'],
  ])('is told to be missing, with where to get it: %s', async (root, message) => {
    const check = await checkDataSet(WORDS, at(root));
    expect(check).toMatchObject({ whole: false, files: [{ state: 'missing' }] });
    expect(() => requireWhole(WORDS, check)).toThrow(
      expect.objectContaining({
        code: 'not-found',
        message,
        hint: expect.stringMatching(/Get its file from https:\/\/github\.com\/nobody\/nothing .*data\/tiny-words/),
      }),
    );
  });
  it('names what it lacks', async () => {
    const more = filesOf('a/b', '', [
      ['one', 1, ''],
      ['two', 1, ''],
      ['three', 1, ''],
    ]);
    const set = { ...WORDS, files: [...WORDS.files, ...more] };
    const check = await checkDataSet(set, at('plain'));
    expect(() => requireWhole(set, check)).toThrow(/lacks one, two and 1 more\.$/);
  });
  it('is a folder to be read whole only while nothing else is in it', async () => {
    put('alone/tiny-words/words.txt', TEXT);
    put('alone/tiny-words/.hidden', 'unseen');
    const check = await checkDataSet(WORDS, at('alone'));
    expect(await folderAlone(check)).toBe(check.folder);
    put('alone/tiny-words/more/words.txt', TEXT);
    await expect(folderAlone(check)).rejects.toMatchObject({
      code: 'mismatch',
      message: /more.words\.txt is not a file/,
    });
    rmSync(join(folder, 'alone/tiny-words/more'), { recursive: true });
    put('alone/tiny-words/words.txt.gz', gzipSync(TEXT));
    await expect(folderAlone(check)).rejects.toMatchObject({ message: /words\.txt\.gz is not a file of the data set/ });
  });
  it('is not read on when the work is stopped', async () => {
    const options = { ...at('plain'), signal: AbortSignal.abort() };
    await expect(checkDataSet(WORDS, options)).rejects.toMatchObject({ code: 'aborted' });
  });
});
