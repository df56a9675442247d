/**
 * The example page: built with Vite's defaults, served as static files, trained offline in a headless Chromium. The first
 * loss comes in under 5 s, the page's own script is under 400 KB gzipped beside the runtime's binary, Stop stops, the
 * model writes text, and its safetensors open. `--screenshots FOLDER` keeps pictures of the page.
 */

import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Page } from 'puppeteer-core';
import { openSafetensors } from 'tessera-kit/formats';
import { root } from '../_commands.js';
import { buildPage, openPage, serve, startBrowser } from './page/browser.js';

const FIRST_LOSS_SECONDS = 5;
const SCRIPT_BYTES = 400e3;
const PATIENCE = 600_000;

const round = (value: number): number => Math.round(value * 10) / 10;

/** Gzipped bytes of the scripts that a visit fetches: all of them, whichever device is chosen. */
async function scriptBytes(folder: string): Promise<Record<string, number>> {
  const assets = join(folder, 'assets');
  const scripts = (await readdir(assets)).filter((file) => file.endsWith('.js'));
  const sizes: Record<string, number> = {};
  for (const file of scripts) {
    sizes[file.replace(/-[\w-]{8}\.js$/, '')] = gzipSync(await readFile(join(assets, file)), { level: 9 }).length;
  }
  return sizes;
}

async function waitForFile(path: string): Promise<boolean> {
  for (let tries = 0; tries < 200; tries++) {
    if ((await stat(path).catch(() => undefined)) !== undefined) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}

/** A page's text by the identifier of the element. */
function textOf(page: Page, id: string): Promise<string> {
  return page.$eval(`#${id}`, (element) => element.textContent ?? '');
}

async function pictures(page: Page, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [name, width, height, scheme] of [
    ['wide-light', 1280, 900, 'light'],
    ['wide-dark', 1280, 900, 'dark'],
    ['phone-light', 390, 844, 'light'],
    ['phone-dark', 390, 844, 'dark'],
  ] as const) {
    await page.setViewport({ width, height, deviceScaleFactor: 1 });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  }
}

/** Builds, opens and uses the page as a person would. */
export default async function run(args: readonly string[]): Promise<{ ok: boolean; figures: object }> {
  const at = args.indexOf('--screenshots');
  const folder = await mkdtemp(join(tmpdir(), 'tessera-example-'));
  const files = join(folder, 'files');
  const downloads = join(folder, 'downloads');
  try {
    await buildPage(join(root, 'examples/train-in-a-page'), files);
    const sizes = await scriptBytes(files);
    const total = Object.values(sizes).reduce((sum, size) => sum + size, 0);
    const started = await startBrowser();
    if ('missing' in started) return { ok: false, figures: { scriptBytes: total, skipped: started.missing } };
    const { browser } = started;
    const served = await serve(files, { isolated: true });
    try {
      const { page, complaints } = await openPage(browser, served.url);
      const outside: string[] = [];
      page.on('request', (request) => {
        if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(served.url)) outside.push(request.url());
      });
      const session = await page.createCDPSession();
      await session.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: downloads });
      const overflows = async (width: number): Promise<boolean> => {
        await page.setViewport({ width, height: 844 });
        return page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
      };
      const narrow = await overflows(360);
      await page.setViewport({ width: 1280, height: 900 });
      const pressed = performance.now();
      await page.click('#train');
      await page.waitForFunction(() => document.getElementById('loss')?.textContent !== '–', { timeout: PATIENCE });
      const firstLoss = (performance.now() - pressed) / 1000;
      await page.waitForFunction(() => Number(document.getElementById('step')?.textContent?.split(' ')[0]) >= 120, {
        timeout: PATIENCE,
        polling: 200,
      });
      const engine = await textOf(page, 'status');
      if (at !== -1) await pictures(page, args[at + 1] ?? 'screenshots');
      const stopping = performance.now();
      await page.click('#stop');
      await page.waitForFunction(() => /^Stopped/.test(document.getElementById('status')?.textContent ?? ''), {
        timeout: PATIENCE,
      });
      const stopped = (performance.now() - stopping) / 1000;
      const before = await textOf(page, 'output');
      await page.click('#sample');
      await page.waitForFunction(
        (old) => document.getElementById('output')?.textContent !== old,
        { timeout: PATIENCE },
        before,
      );
      const written = await textOf(page, 'output');
      await page.click('[data-file="model.safetensors"]');
      const arrived = await waitForFile(join(downloads, 'model.safetensors'));
      const opened = arrived ? await openSafetensors(join(downloads, 'model.safetensors')) : undefined;
      const figures = {
        engine,
        firstLossSeconds: round(firstLoss),
        scriptKilobytesGzipped: round(total / 1000),
        scripts: Object.fromEntries(Object.entries(sizes).map(([name, size]) => [name, round(size / 1000)])),
        stopSeconds: round(stopped),
        lastStep: await textOf(page, 'step'),
        lossBits: Number(await textOf(page, 'loss')),
        written,
        tensors: opened?.names.length ?? 0,
        requestsOutside: outside,
        complaints,
        widerThanPhone: narrow,
      };
      const ok =
        firstLoss < FIRST_LOSS_SECONDS &&
        total < SCRIPT_BYTES &&
        figures.tensors > 0 &&
        written.length > 50 &&
        outside.length === 0 &&
        complaints.length === 0 &&
        !narrow;
      return { ok, figures };
    } finally {
      await browser.close();
      await served.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
