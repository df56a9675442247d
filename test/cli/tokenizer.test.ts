import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { get_encoding } from 'tiktoken';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentOf, tessera } from './command.js';

const folder = mkdtempSync(join(tmpdir(), 'tessera-tokenizer-'));
const path = (name: string): string => join(folder, name);
const encoding = get_encoding('o200k_base');
const TEXT = 'A café, 3 rivers\nand <|endoftext|> written out.\n';

beforeAll(() => {
  writeFileSync(path('a.txt'), TEXT);
  writeFileSync(path('b.txt'), 'more words');
  writeFileSync(path('lines.jsonl'), '"one"\n"two\\nlines"\n');
  writeFileSync(path('broken.json'), '{"model": ');
  writeFileSync(path('notes.txt'), Buffer.from([0, 1, 2, 255]));
  writeFileSync(path('twice.tiktoken'), 'YQ== 0\nYg== 0\n');
});
afterAll(() => {
  encoding.free();
  rmSync(folder, { recursive: true, force: true });
});

describe('tessera tokenizer', () => {
  it('encodes and decodes files and standard input', () => {
    const ids = [...encoding.encode_ordinary(TEXT)];
    const encoded = tessera(['tokenizer', 'encode', path('a.txt'), '--tokenizer', 'o200k_base']);
    expect(JSON.parse(encoded.stdout)).toEqual(ids);
    const special = tessera(['tokenizer', 'encode', '-', '--tokenizer', 'gpt-4o', '--special'], { input: TEXT });
    expect(JSON.parse(special.stdout)).toEqual([...encoding.encode(TEXT, 'all')]);
    const lines = tessera(['tokenizer', 'encode', '--tokenizer', 'o200k_base', '--lines'], { input: TEXT });
    expect(lines.stdout).toBe(ids.map((id) => `${id}\n`).join(''));
    const decoded = tessera(['tokenizer', 'decode', '--tokenizer', 'o200k_base'], { input: encoded.stdout });
    expect(decoded.stdout).toBe(TEXT);
  });

  it('reads and writes a line for each text', () => {
    const encoded = tessera(['tokenizer', 'encode', path('lines.jsonl'), '--jsonl', '--tokenizer', 'o200k_base']);
    const rows = encoded.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rows).toEqual(['one', 'two\nlines'].map((text) => [...encoding.encode_ordinary(text)]));
    const decoded = tessera(['tokenizer', 'decode', '--jsonl', '--tokenizer', 'o200k_base'], { input: encoded.stdout });
    expect(decoded.stdout).toBe('"one"\n"two\\nlines"\n');
  });

  it('counts each file and all of them', () => {
    const args = ['tokenizer', 'count', path('a.txt'), path('b.txt'), '--tokenizer', 'o200k_base'];
    const told = JSON.parse(tessera([...args, '--json']).stdout);
    const counts = [TEXT, 'more words'].map((text) => encoding.encode_ordinary(text).length);
    expect(JSON.stringify(told)).toContain(String(counts[0]));
    expect(tessera(args).stdout).toMatch(new RegExp(`a\\.txt +${counts[0]} .*b\\.txt +${counts[1]} `, 's'));
  });

  it('shows tokens, and converts', () => {
    expect(tessera(['tokenizer', 'show', 'o200k_base', 'café']).stdout).toMatch(
      / 1\.\.5 +"afé" +61 66 c3 a9\n2 tokens/,
    );
    const out = path('o200k');
    const converted = tessera(['tokenizer', 'convert', 'r50k_base', '--out', out]);
    expect(converted.status, converted.stderr).toBe(0);
    expect(JSON.parse(readFileSync(join(out, 'tokenizer.json'), 'utf8')).model.type).toBe('BPE');
    const again = tessera(['tokenizer', 'encode', path('b.txt'), '--tokenizer', out]);
    expect(again.stdout).toBe(tessera(['tokenizer', 'encode', path('b.txt'), '--tokenizer', 'r50k_base']).stdout);
  });

  const cases: readonly (readonly [string, readonly string[], RegExp, string])[] = [
    [
      'a name that is nowhere',
      ['count', path('a.txt'), '--tokenizer', 'o200k_bse'],
      /Did you mean o200k_base\?.*hf download/s,
      '',
    ],
    ['no tokenizer', ['encode', path('a.txt')], /--tokenizer is missing/, ''],
    [
      'a file that is not there',
      ['count', path('none.txt'), '--tokenizer', 'bytes'],
      /There is no file .*none\.txt/,
      '',
    ],
    ['broken JSON', ['show', path('broken.json')], /broken\.json/, ''],
    ['a file that is no tokenizer', ['show', path('notes.txt')], /notes\.txt is no tokenizer/, ''],
    ['ranks that come twice', ['show', path('twice.tiktoken'), '--split', 'gpt2'], /the rank 0 is there twice/, ''],
    ['a rank file without a split', ['show', path('twice.tiktoken')], /does not say how text is cut into words/, ''],
    ['an id out of range', ['decode', '--tokenizer', 'o200k_base'], /No token has the id 9999999/, '9999999'],
    ['an id that is none', ['decode', '--tokenizer', 'o200k_base'], /"x", is no id/, '1 x'],
    ['a line that is no JSON', ['encode', '--jsonl', '--tokenizer', 'bytes'], /line 2: it is no JSON/, '"a"\nb\n'],
    ['nowhere to convert to', ['convert', 'o200k_base'], /--out is missing/, ''],
  ];
  it.each(cases)('refuses in a sentence, with exit code 2: %s', (_what, args, says, input) => {
    const before = contentOf(folder);
    const { status, stderr } = tessera(['tokenizer', ...args], { input });
    expect(stderr).toMatch(says);
    expect(status, stderr).toBe(2);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(contentOf(folder)).toEqual(before);
  });
});
