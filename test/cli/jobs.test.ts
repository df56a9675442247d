/** The jobs of the command line, called as a person calls them, on a tiny text. */

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSafetensors } from 'tessera-kit/formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleText } from '../../scripts/smoke.mjs';
import { bin, contentOf, tessera } from './command.js';

const folder = mkdtempSync(join(tmpdir(), 'tessera-jobs-'));
const path = (name: string): string => join(folder, name);
const TINY = [
  '--tokenizer',
  'bytes',
  '--layers',
  '1',
  '--width',
  '32',
  '--heads',
  '2',
  '--context',
  '32',
  '--batch',
  '4',
];
const train = (out: string, ...more: string[]): string[] => [
  'train',
  '--text',
  path('book.txt'),
  '--out',
  path(out),
  ...TINY,
  ...more,
];
const commands = ['demo', 'train', 'generate', 'eval', 'inspect', 'tokenizer', 'doctor'];

/** Calls the command and reads its result. */
function json<T>(args: readonly string[], input?: string): T {
  const { status, stdout, stderr } = tessera([...args, '--json'], { input });
  expect(status, stderr).toBe(0);
  const result: T = JSON.parse(stdout);
  return result;
}

/** Lines of a run's metrics: the losses by step. */
function lossesOf(run: string): (readonly [step: number, loss: number])[] {
  const lines = readFileSync(path(`${run}/metrics.jsonl`), 'utf8')
    .trim()
    .split('\n');
  return lines.flatMap((line) => {
    const { step, loss }: { step: number; loss?: number } = JSON.parse(line);
    return loss === undefined ? [] : [[step, loss] as const];
  });
}

beforeAll(() => {
  const text = sampleText();
  writeFileSync(path('book.txt'), text.slice(0, 20_000));
  writeFileSync(path('held-out.txt'), text.slice(20_000, 22_000));
  const made = tessera(
    train(
      'run',
      '--steps',
      '6',
      '--validation',
      path('held-out.txt'),
      '--sample-every',
      '3',
      '--onnx',
      'fp32,quantized',
    ),
  );
  expect(made.status, made.stderr).toBe(0);
  // Progress belongs to standard error, the result to standard output.
  expect(made.stderr).toMatch(/Training: update 1 of 6, loss [\d.]+/);
  expect(made.stderr).toMatch(/Update 6: validation bits\/byte [\d.]+/);
  expect(made.stderr).toMatch(/Update 3, a sample: /);
  expect(made.stdout).toMatch(/^The model is in .*run\/model/);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('tessera', () => {
  it.each(commands)('%s --help has examples', (command) => {
    const { status, stdout } = tessera([command, '--help']);
    expect(status).toBe(0);
    expect(stdout).toMatch(new RegExp(`Examples:\\n  tessera ${command}`));
  });

  it('without a command, and with --version, tells what there is', () => {
    expect(tessera([]).stdout).toMatch(/Commands:\n\s+demo/);
    expect(tessera(['--version']).stdout.trim()).toMatch(/^\d+\.\d+\.\d+$/);
  });
});

describe('tessera train', () => {
  it('writes a run and a model that other tools know the layout of', () => {
    expect(readdirSync(path('run')).sort()).toEqual([
      'checkpoints',
      'config.json',
      'environment.json',
      'metrics.jsonl',
      'model',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    expect(readdirSync(path('run/model')).sort()).toEqual([
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'onnx',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    expect(readdirSync(path('run/model/onnx')).sort()).toEqual(['model.onnx', 'model_quantized.onnx']);
  });

  it('tells with --dry-run what a run takes, and writes nothing', () => {
    const figures = json<Record<string, number>>(train('dry', '--steps', '1000', '--dry-run'));
    expect(figures).toMatchObject({
      parameters: 257 * 32 + 32 * 3 + 4 * 32 * 32 + 3 * 32 * 96,
      steps: 1000,
      tokens: 4 * 32 * 1000,
    });
    expect(figures.flops).toBeGreaterThan(0);
    expect(figures.minutes).toBeGreaterThan(0);
    expect(existsSync(path('dry'))).toBe(false);
  });

  it('goes on from a model, leaves frozen weights as they are', async () => {
    const args = [
      'train',
      '--text',
      path('book.txt'),
      '--from',
      path('run'),
      '--freeze',
      'embedding',
      '--freeze',
      'blocks.0.attention.**',
      '--batch',
      '4',
      '--accumulate',
      '2',
      '--steps',
      '2',
      '--out',
      path('tuned'),
      '--ema',
      '0.9',
      '--schedule',
      'wsd',
      '--onnx',
      'none',
    ];
    json(args);
    const [before, after] = await Promise.all(['run', 'tuned'].map((run) => openSafetensors(path(`${run}/model`))));
    if (before === undefined || after === undefined) throw new Error('two models');
    for (const name of before.names) {
      const isFrozen = /embed_tokens|self_attn/.test(name);
      expect(Buffer.from(await after.readRaw(name)).equals(await before.readRaw(name)), name).toBe(isFrozen);
    }
    await Promise.all([before.close(), after.close()]);
    const [old, tuned] = ['run', 'tuned'].map((run) => contentOf(path(`${run}/model`)));
    expect(tuned?.['tokenizer.json']).toBe(old?.['tokenizer.json']);
    expect(tuned?.['model.safetensors']).not.toBe(old?.['model.safetensors']);
    expect(existsSync(path('tuned/model/onnx'))).toBe(false);
  });

  it('stops within a second of Ctrl-C with a checkpoint, and goes on to the same losses', {
    timeout: 60_000,
  }, async () => {
    const args = train('stopped', '--steps', '400', '--save-every', '400', '--onnx', 'none');
    const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stderr, stoppedAt] = ['', 0];
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      if (stoppedAt > 0 || !/update 1 of 400/.test(stderr)) return;
      stoppedAt = performance.now();
      child.kill('SIGINT');
    });
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    const seconds = (performance.now() - stoppedAt) / 1000;
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /Stopping.*stopped after update [\d,]+; the checkpoint is .*step-\d+.*\n.*Give the same command again/s,
    );
    expect(seconds).toBeLessThan(5);
    const [name = ''] = readdirSync(path('stopped/checkpoints'));
    const step = Number(/\d+/.exec(name)?.[0]);
    expect(lossesOf('stopped').at(-1)?.[0]).toBe(step);
    expect(step).toBeLessThan(400);
    const resumed = tessera(args);
    expect(resumed.stderr).toMatch(new RegExp(`Going on after update ${step} of 400`));
    expect(tessera(args.map((value) => (value === path('stopped') ? path('whole') : value))).status).toBe(0);
    expect(lossesOf('stopped')).toEqual(lossesOf('whole'));
  });
});

describe('tessera generate', () => {
  it('continues prompts from arguments, the same for the same seed', () => {
    const args = ['generate', path('run/model'), 'The', '--prompt', 'A', '--max-tokens', '8', '--seed', '4'];
    const first = tessera(args);
    expect(first.status, first.stderr).toBe(0);
    expect(first.stdout).toMatch(/^The[\s\S]*\n\nA[\s\S]*\n$/);
    expect(tessera(args).stdout).toBe(first.stdout);
  });

  it('continues lines of standard input, and standard input as a whole', () => {
    type Generated = { readonly results: readonly { readonly prompt: string; readonly continuation: string }[] };
    const lines = json<Generated>(['generate', path('run'), '--lines', '--max-tokens', '3'], 'One\nTwo\n');
    expect(lines.results.map(({ prompt }) => prompt)).toEqual(['One', 'Two']);
    const whole = json<Generated>(['generate', path('run'), '--max-tokens', '3', '--temperature', '0'], 'One\nTwo\n');
    expect(whole.results).toHaveLength(1);
    expect(whole.results[0]?.prompt).toBe('One\nTwo');
    expect(whole.results[0]?.continuation.length).toBeGreaterThan(0);
  });
});

describe('tessera eval', () => {
  it('tells bits per byte and perplexity, which agree for a byte tokenizer', () => {
    const figures = json<Record<string, number>>(['eval', path('run'), '--text', path('held-out.txt')]);
    expect(figures).toMatchObject({ bytes: 2000, tokens: 2000, documents: 1 });
    expect(figures.perplexity).toBeCloseTo(2 ** (figures.bitsPerByte ?? 0), 6);
    expect(figures.bitsPerByte).toBeLessThan(8.1);
  });
});

describe('tessera inspect', () => {
  it.each([
    ['run/model/model.safetensors', /model\.embed_tokens\.weight\s+F32\s+\[257, 32\]/],
    ['run/model/onnx/model.onnx', /input\s+input_ids\s+int64\s+\[.*\][\s\S]*output\s+logits\s+float32/],
    ['run/model/tokenizer.json', /tokens\s+257/],
    ['run/checkpoints/step-6', /step\s+6/],
    ['run', /updates\s+6[\s\S]*model_type\s+llama/],
  ])('shows %s', (name, shows) => {
    const { status, stdout, stderr } = tessera(['inspect', path(name)]);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(shows);
  });
});

describe('tessera demo', () => {
  const demo = (...more: string[]): string[] => ['demo', '--text', path('book.txt'), '--out', path('demo'), ...more];

  it('makes a model, shows the result again when it has finished, and refuses another text', () => {
    type Result = {
      readonly bitsPerByte: Record<string, number>;
      readonly steps: number;
      readonly totalSeconds: number;
    };
    const first = json<Result>(demo('--steps', '2'));
    expect(Object.keys(first.bitsPerByte).sort()).toEqual(['brotli', 'brotliAfterTraining', 'gzip', 'model']);
    expect(first.bitsPerByte.brotliAfterTraining).toBeLessThan(first.bitsPerByte.brotli ?? 0);
    const again = tessera(demo());
    expect(again.stderr).toMatch(/finished before.*--fresh/s);
    expect(again.stdout).toMatch(/brotli -q 11.*Try next:/s);
    expect(json<Result>(demo()).totalSeconds).toBe(first.totalSeconds);
    const other = tessera(['demo', '--text', path('held-out.txt'), '--out', path('demo')]);
    expect(other.status).toBe(2);
    expect(other.stderr).toMatch(/made with another text/);
  });
});

describe('tessera doctor', () => {
  it('names the engine', () => {
    expect(json<Record<string, unknown>>(['doctor'])).toMatchObject({
      node: process.version,
      cores: expect.any(Number),
      engine: expect.stringContaining('ONNX Runtime'),
    });
  });
});
