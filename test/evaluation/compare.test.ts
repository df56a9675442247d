/** Architectures beside each other: the same budget, kept results, noise, and what is held out. */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type CompareEvent,
  type CompareOptions,
  characterNoise,
  compare,
  plotComparison,
} from 'tessera-kit/evaluation';
import { corpusFromStrings } from 'tessera-kit/formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleText } from '../../scripts/smoke.mjs';
import { testRuntime } from '../runtime.js';

const runtime = await testRuntime();
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-compare-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const options = (): CompareOptions => ({
  architectures: ['gpt'],
  choices: { gpt: { layers: 1, width: 32, heads: 2 } },
  corpus: corpusFromStrings([sampleText().slice(0, 40_000), sampleText().slice(40_000, 60_000)], 'sample'),
  budget: { flops: 4e9 },
  out: join(folder, 'comparison'),
  runtime,
  batch: 4,
  length: 32,
  heldOutBytes: 1500,
});

describe('compare', () => {
  it('spends the budget, measures what was held out, and keeps the result', async () => {
    const events: CompareEvent[] = [];
    const first = await compare({ ...options(), report: (event) => events.push(event) });
    const [model] = first.models;
    if (model === undefined) throw new Error('a model was compared');
    expect(model.flops).toBeLessThanOrEqual(4e9);
    expect(model.flops).toBeGreaterThan(4e9 - model.flopsPerUpdate);
    expect(model.bitsPerByte).toBeLessThan(8);
    expect(model.noisyBitsPerByte).toBeGreaterThan(model.bitsPerByte ?? 0);
    expect(model.curve.at(-1)?.step).toBe(model.steps);
    expect(model.curve[0]?.bitsPerByte).toBeGreaterThan(model.curve.at(-1)?.bitsPerByte ?? 0);
    expect(events.some(({ type }) => type === 'step')).toBe(true);

    const again: CompareEvent[] = [];
    const second = await compare({ ...options(), report: (event) => again.push(event) });
    expect(second).toEqual(first);
    expect(again).toEqual([{ type: 'model', name: 'gpt', kept: true }]);

    const svg = await plotComparison(first);
    expect(svg).toMatch(/^<svg /);
    expect(svg).toContain('Bits per byte');
  });

  it('goes on where it was stopped, to the same figures', async () => {
    const stop = new AbortController();
    const out = join(folder, 'stopped');
    const stopping = compare({
      ...options(),
      out,
      signal: stop.signal,
      report: (event) => {
        if (event.type === 'step' && event.step === 20) stop.abort();
      },
    });
    await expect(stopping).rejects.toMatchObject({ code: 'aborted' });
    const metrics = await readFile(join(out, 'gpt', 'run', 'metrics.jsonl'), 'utf8');
    expect(metrics.split('\n').length).toBeGreaterThan(20);
    const whole = await compare(options());
    const resumed = await compare({ ...options(), out });
    expect(resumed.models[0]?.bitsPerByte).toBe(whole.models[0]?.bitsPerByte);
    expect(resumed.models[0]?.curve).toEqual(whole.models[0]?.curve);
  });

  it('names what it does not know', async () => {
    await expect(compare({ ...options(), architectures: ['gtp'] })).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringContaining('"gtp"'),
    });
  });
});

describe('characterNoise', () => {
  const text = sampleText().slice(0, 5000);

  it('changes about the share that was asked for, the same way for the same seed', () => {
    const noisy = characterNoise(text, { share: 0.1, seed: 3 });
    expect(characterNoise(text, { share: 0.1, seed: 3 })).toBe(noisy);
    expect(characterNoise(text, { share: 0.1, seed: 4 })).not.toBe(noisy);
    // Dropped and doubled characters balance; the length stays within a few of the 500 changed ones.
    expect(Math.abs(noisy.length - text.length)).toBeLessThan(100);
  });

  it('leaves a text as it is without noise, and changes nearly all of it with a share of one', () => {
    expect(characterNoise(text, { share: 0 })).toBe(text);
    const all = characterNoise('abcdefghij'.repeat(100), { share: 1 });
    expect(all).not.toContain('abcdefghij');
    expect(() => characterNoise(text, { share: 1.5 })).toThrow(/from 0 to 1/);
  });
});
