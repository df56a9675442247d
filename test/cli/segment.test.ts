/** `tessera segment` on a small h-net that `tessera train` made. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleText } from '../../scripts/smoke.mjs';
import { tessera } from './command.js';

const folder = mkdtempSync(join(tmpdir(), 'tessera-segment-'));
const path = (name: string): string => join(folder, name);
const TEXT = 'It was the best of times, it was the worst of times: naïve.';

beforeAll(() => {
  writeFileSync(path('book.txt'), sampleText().slice(0, 20_000));
  const { status, stderr } = tessera([
    ...['train', '--text', path('book.txt'), '--out', path('run'), '--architecture', 'h-net', '--steps', '3'],
    ...[
      '--layout',
      'T1,[t1,[T1],m1],T1',
      '--widths',
      '32,32,64',
      '--stage-heads',
      '2,1,2',
      '--ratios',
      '3,2',
      '--context',
      '32',
      '--batch',
      '2',
    ],
  ]);
  expect(status, stderr).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('tessera segment', () => {
  it('gives spans of every stage as JSON, which together are the text', () => {
    const { status, stdout, stderr } = tessera(['segment', path('run'), '--text', TEXT, '--json']);
    expect(status, stderr).toBe(0);
    const result: {
      bytes: number;
      stages: { spans: { start: number; end: number; probability: number; text: string }[] }[];
    } = JSON.parse(stdout);
    const bytes = Buffer.from(TEXT);
    expect(result.bytes).toBe(bytes.length);
    expect(result.stages).toHaveLength(2);
    for (const { spans } of result.stages) {
      expect(Buffer.concat(spans.map(({ start, end }) => bytes.subarray(start, end)))).toEqual(bytes);
      for (const { probability } of spans) expect(probability >= 0 && probability <= 1).toBe(true);
    }
  });

  it('shows the chunks of a file, and writes whole characters', () => {
    writeFileSync(path('text.txt'), TEXT);
    const { status, stdout, stderr } = tessera(['segment', path('run'), '--text', path('text.txt')]);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^Stage 0: \d+ chunks, [\d.]+ bytes each\n/);
    expect(stdout.split('\n')[1]?.replaceAll('|', '')).toBe(TEXT);
    expect(stdout).toContain('Stage 1: ');
  });

  it.each([
    [['segment', path('run')], '--text is missing'],
    [['segment', path('run'), '--text', path('none.txt')], 'There is no file'],
    [['segment', path('run'), '--text', folder], 'is a folder'],
    [['segment', path('nothing'), '--text', 'a'], 'There is no model folder'],
  ])('refuses %j', (args, sentence) => {
    const { status, stderr } = tessera(args);
    expect(status).toBe(2);
    expect(stderr).toContain(sentence);
  });

  it('refuses a model that does not cut', () => {
    const small = ['--layers', '1', '--width', '32', '--heads', '2', '--context', '32', '--batch', '2'];
    const trained = tessera([
      ...['train', '--text', path('book.txt'), '--out', path('gpt'), '--tokenizer', 'bytes', '--steps', '2', ...small],
    ]);
    expect(trained.status, trained.stderr).toBe(0);
    const { status, stderr } = tessera(['segment', path('gpt'), '--text', 'a']);
    expect(status).toBe(2);
    expect(stderr).toContain('A gpt reads tokens that were cut before');
  });

  it.each([
    [['--layout', 'm4,[T22,m4'], 'has a bracket that is not closed'],
    [['--widths', '64'], 'stages, so widths needs as many entries'],
    [['--ratios', 'six'], 'takes numbers with commas'],
    [['--heads', '4'], '--heads is no option of h-net'],
  ])('is trained only from configurations that fit: %j', (choices, sentence) => {
    const { status, stderr } = tessera([
      ...['train', '--text', path('book.txt'), '--out', path('bad'), '--architecture', 'h-net', '--steps', '1'],
      ...choices,
    ]);
    expect(status).toBe(2);
    expect(stderr).toContain(sentence);
  });
});
