/** `tessera grow` as a person calls it: a run, a larger model, training on, and what can be got wrong. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleText } from '../../scripts/smoke.mjs';
import { contentOf, tessera } from './command.js';

const folder = mkdtempSync(join(tmpdir(), 'tessera-grow-'));
const path = (name: string): string => join(folder, name);

function train(...more: string[]): string[] {
  const size = ['--layers', '1', '--width', '32', '--heads', '2', '--context', '32'];
  return [
    ...['train', '--text', path('book.txt'), '--batch', '4', '--steps', '4', '--onnx', 'none'],
    ...(more.includes('--from') ? [] : [...size, '--tokenizer', 'bytes']),
    ...more,
  ];
}

function numberAfter(text: string, words: RegExp): number {
  return Number(words.exec(text)?.[1]);
}

beforeAll(() => {
  writeFileSync(path('book.txt'), sampleText().slice(0, 20_000));
  const made = tessera(
    train('--architecture', 'tokenformer', '--tokens-qkv', '8', '--tokens-ffn', '20', '--out', path('run')),
  );
  expect(made.status, made.stderr).toBe(0);
  const gpt = tessera(train('--out', path('gpt')));
  expect(gpt.status, gpt.stderr).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a growth', () => {
  it("gives a model that costs the same bits, with the run's optimizer, and is trained on", () => {
    const grown = tessera([
      ...['grow', path('run'), '--tokens-qkv', '12', '--tokens-ffn', '30', '--out', path('grown'), '--json'],
    ]);
    expect(grown.status, grown.stderr).toBe(0);
    expect(JSON.parse(grown.stdout)).toMatchObject({
      tokens: { nQkv: 12, nO: 32, nFfn: 30 },
      tau: { nQkv: 8, nO: 32, nFfn: 20 },
      functionKept: true,
      optimizerSteps: 4,
    });
    expect(Object.keys(contentOf(path('grown')))).toEqual(
      expect.arrayContaining(['model.safetensors', 'optimizer.safetensors', 'onnx/decode.onnx', 'tessera.json']),
    );
    const [small, large] = ['run', 'grown'].map((name) => {
      const measured = tessera(['eval', path(name), '--text', path('book.txt'), '--bytes', '2000', '--json']);
      expect(measured.status, measured.stderr).toBe(0);
      return (JSON.parse(measured.stdout) as { bitsPerByte: number }).bitsPerByte;
    });
    expect(Math.abs((small ?? 0) - (large ?? 1))).toBeLessThan(1e-5);
    const on = tessera(train('--from', path('grown'), '--out', path('on')));
    expect(on.status, on.stderr).toBe(0);
    const config = JSON.parse(readFileSync(join(path('on'), 'model', 'config.json'), 'utf8')) as object;
    expect(config).toMatchObject({ qkv_slot_num: 12, tau_slot_num: { qkv: 8, proj: 32, ffn: 20 } });
  });

  it('says when the function changes', () => {
    const call = ['grow', path('run'), '--tokens-ffn', '24', '--no-keep-tau', '--random-keys', '--no-onnx'];
    const grown = tessera([...call, '--out', path('changed')]);
    expect(grown.status, grown.stderr).toBe(0);
    expect(grown.stdout).toMatch(/computes something else than before/);
    expect(numberAfter(grown.stdout, /tokens of feed-forward +20 +(\d+)/)).toBe(24);
    expect(Object.keys(contentOf(path('changed')))).not.toContain('onnx/decode.onnx');
  });
});

describe('bad input', () => {
  it.each<readonly [string, readonly string[], RegExp]>([
    ['fewer tokens', ['run', '--tokens-qkv', '4', '--out', 'none'], /nQkv cannot go from 8 down to 4/],
    ['nothing to add', ['run', '--out', 'none'], /Nothing would grow/],
    ['a model that cannot grow', ['gpt', '--tokens-ffn', '90', '--out', 'none'], /a gpt, which cannot grow/],
    ['no folder for it', ['run', '--tokens-ffn', '90'], /--out is missing/],
    ['its own folder', ['run', '--tokens-ffn', '90', '--out', 'run'], /would replace the one it grows from/],
    ['no model', ['nowhere', '--tokens-ffn', '90', '--out', 'none'], /There is no model folder/],
    ['half a token', ['run', '--tokens-ffn', '1.5', '--out', 'none'], /whole number from 1/],
  ])('%s: a sentence, exit code 2, nothing written', (_name, [from = '', ...rest], message) => {
    const before = contentOf(folder);
    const args = rest.map((word, i) => (rest[i - 1] === '--out' ? path(word) : word));
    const called = tessera(['grow', path(from), ...args]);
    expect(called.stderr).toMatch(message);
    expect(called.status).toBe(2);
    expect(contentOf(folder)).toEqual(before);
  });
});
