/**
 * A headless Chromium from npm, static files served with or without cross-origin isolation, and pages built as a user of
 * the library would build them.
 */

import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, extname, join, normalize } from 'node:path';
import chromium from '@sparticuz/chromium';
import puppeteer, { type Browser, type Page } from 'puppeteer-core';
import { build } from 'vite';
import type { PageAnswer } from './main.js';
import type { ScriptOptions } from './script.js';

/** Chromium's own switches: nothing that would give a page shared memory or other sites' files. */
const SWITCHES = ['--no-sandbox', '--no-zygote', '--disable-dev-shm-usage'];
/** WebGPU on the software device that Chromium brings. */
const SOFTWARE_WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

/** Where Chromium and its libraries lie; undefined with the reason where the package does not run on this platform. */
export async function findChromium(): Promise<{ readonly path: string } | { readonly missing: string }> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return { missing: `@sparticuz/chromium is for Linux on x64, not ${process.platform} on ${process.arch}` };
  }
  try {
    return { path: await chromium.executablePath() };
  } catch (error) {
    return { missing: `@sparticuz/chromium could not be unpacked: ${error instanceof Error ? error.message : error}` };
  }
}

/** Starts the browser, or says why it cannot. */
export async function startBrowser(
  options: { readonly webgpu?: boolean } = {},
): Promise<{ readonly browser: Browser } | { readonly missing: string }> {
  const found = await findChromium();
  if ('missing' in found) return found;
  const args = [...SWITCHES, ...(options.webgpu === true ? SOFTWARE_WEBGPU : [])];
  try {
    return {
      browser: await puppeteer.launch({
        executablePath: found.path,
        headless: 'shell',
        args,
        protocolTimeout: 900_000,
      }),
    };
  } catch (error) {
    return { missing: `Chromium does not start: ${error instanceof Error ? error.message.split('\n')[0] : error}` };
  }
}

/** The environment in which Node finds Chromium's software Vulkan device: its library and a loader lie beside it. */
export async function softwareVulkan(): Promise<Record<string, string> | { readonly missing: string }> {
  const found = await findChromium();
  if ('missing' in found) return { missing: found.missing };
  const folder = dirname(found.path);
  const icd = join(folder, 'vk_swiftshader_icd.json');
  const parts = [icd, join(folder, 'libvk_swiftshader.so'), join(folder, 'libvulkan.so.1')];
  const absent = parts.find((file) => !existsSync(file));
  if (absent !== undefined) return { missing: `@sparticuz/chromium brought no ${absent}` };
  return { VK_ICD_FILENAMES: icd, LD_LIBRARY_PATH: folder };
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/** Static files of a folder at an address of this machine. */
export interface Served {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves a folder; `isolated` sends the two headers that let a page's threads share memory. */
export async function serve(folder: string, options: { readonly isolated: boolean }): Promise<Served> {
  const isolation = options.isolated
    ? { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' }
    : {};
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent((request.url ?? '/').replace(/[?#].*$/, '')));
    const file = join(folder, path.endsWith('/') ? `${path}index.html` : path);
    if (!file.startsWith(folder) || !existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream', ...isolation });
    createReadStream(file).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a server without a port');
  return {
    url: `http://localhost:${address.port}/`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Bundles a page with Vite's defaults, as a user of the library does. */
export async function buildPage(root: string, outDir: string): Promise<void> {
  await build({ root, base: './', logLevel: 'error', configFile: false, build: { outDir, emptyOutDir: true } });
}

/** Opens the page of this folder and keeps what it complains of. */
export async function openPage(
  browser: Browser,
  url: string,
): Promise<{ readonly page: Page; readonly complaints: string[] }> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error instanceof Error ? error.message : String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/favicon/.test(message.location().url ?? '')) complaints.push(message.text());
  });
  await page.goto(url);
  return { page, complaints };
}

/** Runs the script in an opened page. */
export function runInPage(page: Page, options: ScriptOptions): Promise<PageAnswer> {
  return page.evaluate(
    (given: ScriptOptions) =>
      (globalThis as unknown as { runInPage(options: ScriptOptions): Promise<PageAnswer> }).runInPage(given),
    options,
  );
}
