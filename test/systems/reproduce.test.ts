/** The runner: the verdict from criteria, what a result says, and what stops a run. */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  atLeast,
  atMost,
  between,
  type Criterion,
  parseResult,
  type ReproductionEvent,
  type ReproductionOptions,
  type ReproductionResult,
  resultToJson,
  runReproduction,
  summaryToJson,
  verdictOf,
} from 'tessera-kit/systems';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testRuntime } from '../runtime.js';
import { TEXT, type TinyOptions, tiny, WORDS } from './tiny.mjs';

const folder = mkdtempSync(join(tmpdir(), 'tessera-runner-'));
const cache = join(folder, 'cache');
const runtime = await testRuntime({ threads: 1 });

beforeAll(async () => {
  mkdirSync(join(folder, 'data', 'tiny-words'), { recursive: true });
  writeFileSync(join(folder, 'data', 'tiny-words', 'words.txt'), TEXT);
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
});

const run = (options: TinyOptions = {}, more: ReproductionOptions = {}): Promise<ReproductionResult> =>
  runReproduction(tiny(options), {
    runtime,
    cache,
    dataSets: [WORDS],
    dataFolders: [join(folder, 'data')],
    ...more,
  });

describe('criteria', () => {
  const says = 'loss';
  it('hold at their bound, and keep the direction of the claim where they fail', () => {
    expect(atMost(2, { says, measured: 2 })).toEqual({
      says,
      measured: 2,
      needs: 'at most 2',
      holds: true,
      direction: true,
    });
    expect(atMost(2, { says, measured: 2.4, than: 2.5 })).toMatchObject({ holds: false, direction: true });
    expect(atMost(2, { says, measured: 2.6, than: 2.5 })).toMatchObject({ holds: false, direction: false });
    expect(atMost(2, { says, measured: 2.4 })).toMatchObject({ holds: false, direction: false });
    expect(atLeast(0.1 + 0.2, { says, measured: 0.25, than: 0.2 })).toEqual({
      says,
      measured: 0.25,
      needs: 'at least 0.3',
      holds: false,
      direction: true,
    });
    expect(atLeast(1, { says, measured: 1 })).toMatchObject({ holds: true, direction: true });
    expect(between(1, 2, { says, measured: 2.1 })).toMatchObject({ needs: 'from 1 to 2', holds: false });
    expect(between(1, 2, { says, measured: 2 })).toMatchObject({ holds: true, direction: true });
  });
  it('never hold for a figure that is not finite', () => {
    for (const one of [
      atMost(2, { says, measured: Number.NaN, than: 3 }),
      atLeast(2, { says, measured: Number.NaN }),
    ]) {
      expect(one).toMatchObject({ holds: false, direction: false });
    }
  });
  it('give the verdict', () => {
    const [good, near, bad] = [
      atMost(2, { says, measured: 1 }),
      atMost(2, { says, measured: 3, than: 4 }),
      atMost(2, { says, measured: 5, than: 4 }),
    ];
    expect(verdictOf([good, good], 'full')).toBe('reproduced');
    expect(verdictOf([good, near], 'full')).toBe('partly');
    expect(verdictOf([good, near, bad], 'full')).toBe('not reproduced');
    expect(verdictOf([], 'full')).toBe('not reproduced');
    expect(verdictOf([good], 'quick')).toBe('smoke');
  });
});

describe('a reproduction', () => {
  it('gives figures, criteria, verdict and how it was run', async () => {
    const events: ReproductionEvent[] = [];
    const result = await run({}, { seed: 3, threads: 1, onEvent: (event) => events.push(event) });
    expect(result).toMatchObject({
      slug: 'tiny-bees',
      claim: 'Bees hold many an e.',
      baseline: 'a line of two',
      figures: { found: 9, share: 9 / TEXT.length, by: { seed: 3 } },
      criteria: [{ says: 'letters e', measured: 9, needs: 'at least 5', holds: true }, { holds: true }],
      verdict: 'reproduced',
      size: 'full',
      seed: 3,
      command: 'tessera reproduce tiny-bees --seed 3 --threads 1',
      date: expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
    });
    expect(result.machine).toMatch(/^\d+ cores?.*GiB memory, ONNX Runtime [\d.]+ \(native, 1 thread\), node [\d.]+$/);
    expect(result.machine).not.toMatch(/\//);
    expect(result.machine).not.toContain(hostname());
    expect(events.map(({ type }) => type)).toEqual(['start', 'part', 'progress']);
  });

  it('makes an engine of its own where none is given', async () => {
    const { verdict, machine, command } = await run({}, { runtime: undefined, device: 'cpu', threads: 1 });
    expect(verdict).toBe('reproduced');
    expect(machine).toContain('(native, 1 thread)');
    expect(command).toBe('tessera reproduce tiny-bees --seed 0 --device cpu --threads 1');
  });

  it('makes a kept part once, and counts its time', async () => {
    let makes = 0;
    const options: TinyOptions = { onMake: () => makes++ };
    const first = await run(options, { seed: 11 });
    const second = await run(options, { seed: 11 });
    expect(makes).toBe(1);
    expect(first.keptSeconds).toBe(0);
    expect(second.keptSeconds).toBeGreaterThan(0);
    expect(second.seconds).toBeGreaterThan(second.keptSeconds);
    await run(options, { seed: 12 });
    await run(options, { seed: 11, fresh: true });
    expect(makes).toBe(3);
  });

  it('keeps nothing of a quick run, which proves nothing', async () => {
    let makes = 0;
    for (let i = 0; i < 2; i++) {
      const { verdict, command } = await run({ onMake: () => makes++ }, { size: 'quick', cache: undefined });
      expect(verdict).toBe('smoke');
      expect(command).toBe('tessera reproduce tiny-bees --seed 0 --quick');
    }
    expect(makes).toBe(2);
    expect(existsSync('.tessera/letters')).toBe(false);
  });

  it('has the verdict that its criteria give', async () => {
    expect((await run({ least: 10, than: 2 })).verdict).toBe('partly');
    expect((await run({ least: 10, than: 12 })).verdict).toBe('not reproduced');
  });

  it('says null for a figure that is not finite', async () => {
    const criteria = [atMost(1, { says: 'a loss', measured: Number.NaN })];
    const result = await run({ criteria });
    expect(result).toMatchObject({ verdict: 'not reproduced', criteria: [{ measured: null }] });
    expect(parseResult(JSON.stringify(resultToJson(result)), 'it').criteria[0]?.measured).toBe(null);
  });

  it.each<[string, Criterion, RegExp]>([
    ['holds against its direction', { says: 'x', measured: 1, needs: '', holds: true, direction: false }, /direction/],
    ['holds without a figure', { says: 'x', measured: Number.NaN, needs: '', holds: true, direction: true }, /NaN/],
  ])('is refused when a criterion %s', async (_, criterion, says) => {
    await expect(run({ criteria: [criterion] })).rejects.toThrow(says);
  });

  it('is not begun without its data', async () => {
    const events: ReproductionEvent[] = [];
    const more = { dataFolders: [join(folder, 'nowhere')], onEvent: (event: ReproductionEvent) => events.push(event) };
    await expect(run({}, more)).rejects.toMatchObject({ code: 'not-found', message: /tiny-words is not here/ });
    expect(events).toEqual([]);
  });

  it('may read no data that it does not name', async () => {
    const system = tiny();
    const { reproduction } = system;
    const stranger = { ...system, reproduction: { ...reproduction, data: [] } };
    const options = { runtime, cache: join(folder, 'none'), dataSets: [WORDS], dataFolders: [join(folder, 'data')] };
    await expect(runReproduction(stranger, options)).rejects.toThrow(/reads "tiny-words" and does not name it/);
  });

  it.each([
    ['slow', { slow: true }],
    ['deaf', { deaf: true }],
  ])('stops when it is told to, and leaves no half of a part: %s', async (_, options) => {
    const controller = new AbortController();
    const own = join(folder, 'stopped');
    const more = { cache: own, signal: controller.signal, onEvent: () => controller.abort() };
    await expect(run(options, more)).rejects.toMatchObject({ code: 'aborted', message: /Tiny bees was stopped/ });
    expect(existsSync(join(own, 'letters')) ? readdirSync(join(own, 'letters')) : []).toEqual([]);
  });
});

describe('a result as JSON', () => {
  it('is read back as it was', async () => {
    const result = await run();
    expect(parseResult(JSON.stringify(resultToJson(result)), 'it')).toEqual(result);
    const { slug, claim, figures, criteria, verdict, seconds } = result;
    expect(summaryToJson(result)).toEqual({ slug, claim, figures, criteria, verdict, seconds });
  });

  it.each<[string, (text: string) => string, RegExp]>([
    ['is cut short', (text) => text.slice(0, 40), /not valid JSON/],
    ['claims another verdict', (text) => text.replace('"reproduced"', '"partly"'), /criteria give "reproduced", not/],
    ['lacks a seed', (text) => text.replace('"seed":0,"command', '"command'), /"seed" is no number/],
    ['has criteria without a bound', (text) => text.replace('"needs":"at least 5",', ''), /criterion is incomplete/],
  ])('is refused when it %s', async (_, spoil, says) => {
    const text = JSON.stringify(resultToJson(await run()));
    expect(spoil(text)).not.toBe(text);
    expect(() => parseResult(spoil(text), 'it')).toThrow(says);
  });
});
