/** Parts that are kept between runs: whole or not at all, keyed by their settings. */

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { canonical, type Keeper, openKeeper } from '../../dist/systems/kept.js';

let folder = '';
let events: string[] = [];
const made = (text: string) => async (path: string) => writeFileSync(join(path, 'part.txt'), text);
const open = (options: { fresh?: boolean; version?: number; signal?: AbortSignal } = {}): Keeper =>
  openKeeper({
    folder,
    shared: { version: options.version ?? 1 },
    fresh: options.fresh,
    signal: options.signal ?? new AbortController().signal,
    onPart: ({ name, from }) => events.push(`${name} ${from}`),
  });
const textOf = (part: string): string => readFileSync(join(part, 'part.txt'), 'utf8');

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tessera-kept-'));
  events = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('a kept part', () => {
  it('is made once for the same settings, in whatever order they are named', async () => {
    const first = await open().kept('base', { width: 8, of: { a: 1, b: [2, 3] } }, made('one'));
    const keeper = open();
    const second = await keeper.kept('base', { of: { b: [2, 3], a: 1 }, width: 8 }, made('two'));
    expect(second).toBe(first);
    expect(textOf(second)).toBe('one');
    expect(events).toEqual(['base made', 'base kept']);
    expect(keeper.savedSeconds).toBeGreaterThan(0);
  });

  it.each([
    ['a setting', { name: 'base', settings: { width: 9 }, version: 1 }],
    ['its name', { name: 'grown', settings: { width: 8 }, version: 1 }],
    ['the version', { name: 'base', settings: { width: 8 }, version: 2 }],
  ])('is another one for another value of %s', async (_, { name, settings, version }) => {
    const first = await open().kept('base', { width: 8 }, made('one'));
    const other = await open({ version }).kept(name, settings, made('two'));
    expect(textOf(other)).toBe('two');
    expect(textOf(first)).toBe('one');
  });

  it('has its settings beside it', async () => {
    const part = await open().kept('base', { width: 8 }, made('one'));
    expect(JSON.parse(readFileSync(join(part, '..', 'settings.json'), 'utf8'))).toMatchObject({
      name: 'base',
      settings: { width: 8 },
      shared: { version: 1 },
      seconds: expect.any(Number),
    });
  });

  it('is made anew once where that is asked for', async () => {
    await open().kept('base', {}, made('one'));
    const keeper = open({ fresh: true });
    expect(textOf(await keeper.kept('base', {}, made('two')))).toBe('two');
    expect(textOf(await keeper.kept('base', {}, made('three')))).toBe('two');
    expect(events).toEqual(['base made', 'base made']);
  });

  it('is not there when making it failed, and can be tried again', async () => {
    const keeper = open();
    const failing = keeper.kept('base', {}, async (path) => {
      await made('half')(path);
      throw new Error('no more');
    });
    await expect(failing).rejects.toThrow('no more');
    expect(readdirSync(join(folder, 'base'))).toEqual([]);
    expect(textOf(await keeper.kept('base', {}, made('whole')))).toBe('whole');
  });

  it('is not there when the work was stopped while it was made', async () => {
    const controller = new AbortController();
    const part = open({ signal: controller.signal }).kept('base', {}, async (path) => {
      await made('half')(path);
      controller.abort();
    });
    await expect(part).rejects.toMatchObject({ code: 'aborted' });
    expect(readdirSync(join(folder, 'base'))).toEqual([]);
  });

  it('is made once when it is asked for twice at a time', async () => {
    const keeper = open();
    const parts = await Promise.all(['one', 'two'].map((text) => keeper.kept('base', {}, made(text))));
    expect(parts.map(textOf)).toEqual(['one', 'one']);
  });

  it('may be asked for by another part, whose time counts once', async () => {
    const slow = async (path: string): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, 60));
      await made('inner')(path);
    };
    await open().kept('inner', {}, slow);
    const keeper = open();
    const outer = await keeper.kept('outer', {}, async (path) => {
      await made(textOf(await keeper.kept('inner', {}, slow)))(path);
    });
    expect(textOf(outer)).toBe('inner');
    const again = open();
    await again.kept('outer', {}, made('never'));
    await again.kept('outer', {}, made('never'));
    expect(again.savedSeconds).toBeGreaterThanOrEqual(keeper.savedSeconds);
    expect(again.savedSeconds).toBeLessThan(2 * keeper.savedSeconds);
    expect(events.slice(-3)).toEqual(['inner kept', 'outer made', 'outer kept']);
  });

  it('is refused where something else is in its place', async () => {
    const part = await open().kept('base', {}, made('one'));
    const file = join(part, '..', 'settings.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace('"version": 1', '"version": 7'));
    await expect(open().kept('base', {}, made('two'))).rejects.toMatchObject({ code: 'bad-file' });
  });

  it('clears away what a process that was killed left the day before', async () => {
    for (const name of ['.old.aa.tmp', '.new.bb.tmp']) mkdirSync(join(folder, 'base', name), { recursive: true });
    const longAgo = Date.now() / 1000 - 2 * 24 * 3600;
    utimesSync(join(folder, 'base', '.old.aa.tmp'), longAgo, longAgo);
    await open().kept('base', {}, made('one'));
    expect(existsSync(join(folder, 'base', '.old.aa.tmp'))).toBe(false);
    expect(existsSync(join(folder, 'base', '.new.bb.tmp'))).toBe(true);
  });

  it('refuses names that are paths, and settings that JSON cannot hold', async () => {
    expect(() => open().kept('../up', {}, made('one'))).toThrow(/no name of a part/);
    expect(() => canonical({ rate: Number.NaN })).toThrow(/NaN/);
    expect(canonical({ b: [1, { d: null, c: 'x' }], a: true })).toBe('{"a":true,"b":[1,{"c":"x","d":null}]}');
  });
});
