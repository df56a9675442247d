/** Pictures in a headless Chromium page: the same numbers as in Node, where the formats keep them. */

import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { decodeImage, encodePng } from 'tessera-kit/formats';
import { array, random } from 'tessera-kit/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPage, type Served, serve, startBrowser } from '../../bench/verify/page/browser.js';

const started = await startBrowser();
const missing = 'missing' in started ? started.missing : undefined;
const dist = fileURLToPath(new URL('../../dist', import.meta.url));

/** A page without a bundler: the modules as they are built, and the one name that a bundler would resolve. */
const PAGE = `<!doctype html><script type="importmap">{"imports":{"#host":"/dist/host/browser.js"}}</script>
<script type="module">globalThis.images = await import('/dist/formats/images.js');</script>`;

interface Answer {
  readonly shape?: readonly number[];
  readonly data?: readonly number[];
  readonly delays?: readonly number[];
  readonly code?: string;
}

describe.skipIf(missing !== undefined)(`a page${missing === undefined ? '' : ` (${missing})`}`, () => {
  let folder = '';
  let served: Served | undefined;
  let opened: Awaited<ReturnType<typeof openPage>> | undefined;

  beforeAll(async () => {
    if ('missing' in started) return;
    folder = await mkdtemp(join(tmpdir(), 'tessera-page-'));
    await mkdir(folder, { recursive: true });
    await symlink(dist, join(folder, 'dist'));
    await writeFile(join(folder, 'index.html'), PAGE);
    served = await serve(folder, { isolated: false });
    opened = await openPage(started.browser, served.url);
    await opened.page.waitForFunction('globalThis.images !== undefined');
  }, 240_000);
  afterAll(async () => {
    if ('browser' in started) await started.browser.close();
    await served?.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** Calls a function of the library's pictures in the page, on bytes. */
  async function inPage(name: string, bytes: Uint8Array, options: object = {}): Promise<Answer> {
    if (opened === undefined) throw new Error('no page');
    const script = `(async () => {
      try {
        const out = await images[${JSON.stringify(name)}](Uint8Array.from(${JSON.stringify([...bytes])}), ${JSON.stringify(options)});
        const value = out.frames?.data === undefined ? out : out.frames;
        return { ...out, shape: value.shape, data: value.data && [...value.data] };
      } catch (error) {
        return { code: error.code, message: error.message };
      }
    })()`;
    return (await opened.page.evaluate(script)) as Answer;
  }

  const shape = [9, 7, 3] as const;
  const noise = array([...random(4).integers(shape, 256).data].map(Number), shape, 'uint8');

  it('decodes a PNG to the numbers that Node gives, resized and in gray alike', async () => {
    const png = await encodePng(noise);
    for (const options of [{}, { channels: 1 }, { width: 4, height: 5 }, { width: 20, filter: 'lanczos' }] as const) {
      const wanted = await decodeImage(png, options);
      const found = await inPage('decodeImage', png, options);
      expect(found.shape).toEqual(wanted.shape);
      expect(found.data).toEqual([...wanted.data]);
    }
    expect(await inPage('describeImage', png)).toMatchObject({
      format: 'png',
      width: 7,
      height: 9,
      channels: 3,
      bits: 8,
    });
  });

  it('keeps alpha, and turns a picture as its EXIF orientation says', async () => {
    const alpha = array([200, 100, 0, 255, 10, 20, 30, 0], [1, 2, 4], 'uint8');
    const found = await inPage('decodeImage', await encodePng(alpha), { channels: 4 });
    expect([found.data?.slice(0, 4), found.data?.[7]]).toEqual([[200, 100, 0, 255], 0]);
    const raw = { width: 7, height: 9, channels: 3 } as const;
    for (const orientation of [3, 6, 8]) {
      const jpeg = new Uint8Array(
        await sharp(noise.data, { raw }).withMetadata({ orientation }).jpeg({ quality: 100 }).toBuffer(),
      );
      const wanted = await decodeImage(jpeg);
      const turned = await inPage('decodeImage', jpeg);
      expect(turned.shape).toEqual(wanted.shape);
      // Decoders of JPEG may differ by a little.
      const apart = wanted.data.reduce((sum, value, i) => sum + Math.abs(value - (turned.data?.[i] ?? 0)), 0);
      expect(apart / wanted.data.length).toBeLessThan(4);
    }
  });

  it('decodes every frame of a picture that moves', async () => {
    const strip = Buffer.from([255, 0, 255].flatMap((value) => new Array<number>(4 * 2 * 3).fill(value)));
    const gif = await sharp(strip, { raw: { width: 4, height: 6, channels: 3, pageHeight: 2 } })
      .gif({ delay: [100, 200, 300] })
      .toBuffer();
    const { shape: size, data, delays } = await inPage('decodeFrames', new Uint8Array(gif), { channels: 1 });
    expect(size).toEqual([3, 2, 4, 1]);
    expect([data?.[0], data?.[8], data?.[16]]).toEqual([255, 0, 255]);
    expect(delays).toEqual([100, 200, 300]);
  });

  it('encodes what Node decodes, and says what it cannot do', async () => {
    if (opened === undefined) throw new Error('no page');
    const given = JSON.stringify([...noise.data]);
    const encoded: unknown = await opened.page.evaluate(
      `images.encodePng({ dtype: 'uint8', shape: [9, 7, 3], data: Uint8Array.from(${given}) }).then((png) => [...png])`,
    );
    if (!Array.isArray(encoded)) throw new Error('no bytes');
    expect(await decodeImage(Uint8Array.from(encoded))).toEqual(noise);
    expect(await inPage('decodeImage', new TextEncoder().encode('no picture'))).toMatchObject({ code: 'bad-file' });
    expect(await inPage('decodeImage', await encodePng(noise), { maxPixels: 62 })).toMatchObject({ code: 'bad-input' });
    expect(opened.complaints).toEqual([]);
  });
});
