/** The same training script in Node and in a headless Chromium page, with and without cross-origin isolation. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildPage, openPage, runInPage, type Served, serve, startBrowser } from '../../bench/verify/page/browser.js';
import {
  distance,
  isNear,
  type ScriptOptions,
  type ScriptResult,
  trainingScript,
} from '../../bench/verify/page/script.js';

const STEPS = 6;
const PATIENCE = 240_000;
const root = fileURLToPath(new URL('../../bench/verify/page', import.meta.url));

const started = await startBrowser();
const missing = 'missing' in started ? started.missing : undefined;

describe.skipIf(missing !== undefined)(`a page${missing === undefined ? '' : ` (${missing})`}`, () => {
  let folder = '';
  let reference: ScriptResult;
  const served: Served[] = [];
  const pages = new Map<boolean, Awaited<ReturnType<typeof openPage>>>();
  const open = async (isolated: boolean): Promise<Awaited<ReturnType<typeof openPage>>> => {
    if ('missing' in started) throw new Error(started.missing);
    const known = pages.get(isolated);
    if (known !== undefined) return known;
    const server = await serve(folder, { isolated });
    served.push(server);
    const opened = await openPage(started.browser, server.url);
    pages.set(isolated, opened);
    return opened;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tessera-page-'));
    await buildPage(root, folder);
    reference = await trainingScript({ device: 'cpu', steps: STEPS });
  }, PATIENCE);
  afterAll(async () => {
    if ('browser' in started) await started.browser.close();
    for (const server of served) await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  test.each([false, true])(
    'trains as Node does, cross-origin isolated: %s',
    { timeout: PATIENCE },
    async (isolated) => {
      const { page, complaints } = await open(isolated);
      const {
        result,
        error,
        isolated: found,
      } = await runInPage(page, {
        device: 'wasm',
        threads: isolated ? 2 : undefined,
        steps: STEPS,
      });
      expect(error).toBeUndefined();
      expect(found).toBe(isolated);
      if (result === undefined) throw new Error('no result');
      const far = distance(reference, result);
      expect(isNear(far), JSON.stringify(far)).toBe(true);
      expect(result.losses.at(-1)).toBeLessThan(result.losses[0] ?? 0);
      expect(result.about.includes('one thread since the page is not cross-origin isolated')).toBe(!isolated);
      expect(result.threads).toBe(isolated ? 2 : 1);
      expect(complaints).toEqual([]);
    },
  );

  const REFUSALS: readonly (readonly [string, ScriptOptions['device'], number | undefined, string, string, string])[] =
    [
      [
        'no native engine',
        'cpu',
        undefined,
        'unsupported',
        'A page has no device "cpu".',
        'Choose webgpu, wasm or auto.',
      ],
      [
        'no WebGPU adapter',
        'webgpu',
        undefined,
        'not-found',
        'The page has WebGPU and no adapter for it.',
        'choose wasm',
      ],
      ['no shared memory', 'wasm', 2, 'unsupported', 'has one thread, not 2', 'Cross-Origin-Opener-Policy'],
      ['an unknown device', 'tpu' as 'cpu', undefined, 'bad-option', 'There is no device "tpu".', 'Choose cpu, wasm'],
    ];
  test.each(REFUSALS)('with %s is told so in a sentence', async (_name, device, threads, code, sentence, hint) => {
    const { page } = await open(false);
    const { result, error } = await runInPage(page, { device, threads, steps: 1 });
    expect(result).toBeUndefined();
    expect(error?.code).toBe(code);
    expect(error?.message).toContain(sentence);
    expect(error?.hint).toContain(hint);
  });
});
