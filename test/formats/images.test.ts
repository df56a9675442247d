import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import sharp from 'sharp';
import {
  convertChannels,
  decodeFrames,
  decodeImage,
  decodeImage16,
  describeImage,
  encodeJpeg,
  encodePng,
  fromTensorLayout,
  toTensorLayout,
} from 'tessera-kit/formats';
import { array, type NDArray, random, TesseraError } from 'tessera-kit/tensor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-images-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const bytes = (values: readonly number[], shape: readonly number[]) => array(values, shape, 'uint8');

function noise(seed: number, shape: readonly number[], below = 256): readonly number[] {
  return [...random(seed).integers(shape, below).data].map(Number);
}

/** Rows and columns told apart by every pixel: 3 x 2, left column dark. */
const SMALL = bytes([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150, 160, 170, 180], [3, 2, 3]);

describe('a picture', () => {
  it.each([1, 2, 3, 4] as const)('of %i channels comes back from PNG as it went in', async (channels) => {
    const shape = [5, 7, channels];
    const image = bytes(noise(channels, shape), shape);
    const png = await encodePng(image);
    const back = await decodeImage(png, { channels: 'stored' });
    expect(back).toEqual(image);
    expect(await describeImage(png)).toMatchObject({
      format: 'png',
      width: 7,
      height: 5,
      channels,
      bits: 8,
      frames: 1,
    });
    const path = join(folder, 'a.png');
    await writeFile(path, png);
    expect(await decodeImage(path, { channels: 'stored' })).toEqual(image);
  });

  it.each([1, 3, 4] as const)(
    'of 16 bits and %i channels keeps them; as 8 bits it has the upper ones',
    async (channels) => {
      const shape = [4, 3, channels];
      const values = noise(7 + channels, shape, 65536);
      const png = await encodePng(array(values, shape, 'int32'));
      expect((await describeImage(png)).bits).toBe(16);
      expect([...(await decodeImage16(png, { channels: 'stored' })).data]).toEqual(values);
      const upper = await decodeImage(png, { channels: 'stored' });
      for (const [i, value] of upper.data.entries())
        expect(Math.abs(value - (values[i] ?? 0) / 257)).toBeLessThanOrEqual(1);
      expect((await decodeImage16(await encodePng(SMALL))).data[0]).toBe(10 * 257);
    },
  );

  it('comes back from JPEG nearly as it went in, alpha dropped', async () => {
    const ramp = Array.from({ length: 32 * 32 }, (_, i) => [(i % 32) << 3, (i >> 5) << 3, 128, 40]).flat();
    const jpeg = await encodeJpeg(bytes(ramp, [32, 32, 4]), { quality: 95 });
    expect(await describeImage(jpeg)).toMatchObject({ format: 'jpeg', channels: 3 });
    const back = await decodeImage(jpeg);
    const apart = back.data.reduce(
      (sum, value, i) => sum + Math.abs(value - (ramp[Math.floor(i / 3) * 4 + (i % 3)] ?? 0)),
      0,
    );
    expect(apart / back.data.length).toBeLessThan(3);
  });

  it.each([
    [1, [0, 1, 2, 3, 4, 5], [3, 2]],
    [2, [1, 0, 3, 2, 5, 4], [3, 2]],
    [3, [5, 4, 3, 2, 1, 0], [3, 2]],
    [4, [4, 5, 2, 3, 0, 1], [3, 2]],
    [5, [0, 2, 4, 1, 3, 5], [2, 3]],
    [6, [4, 2, 0, 5, 3, 1], [2, 3]],
    [7, [5, 3, 1, 4, 2, 0], [2, 3]],
    [8, [1, 3, 5, 0, 2, 4], [2, 3]],
  ] as const)('of EXIF orientation %i is upright', async (orientation, pixels, shape) => {
    const raw = { width: 2, height: 3, channels: 3 } as const;
    const png = await sharp(SMALL.data, { raw }).withMetadata({ orientation }).png().toBuffer();
    const upright = await decodeImage(new Uint8Array(png));
    expect(upright.shape).toEqual([...shape, 3]);
    expect([...upright.data]).toEqual(pixels.flatMap((i) => [...SMALL.data.slice(i * 3, i * 3 + 3)]));
  });

  it('that moves gives its first frame, or all of them with their times', async () => {
    const strip = Buffer.from([255, 0, 255].flatMap((value) => new Array<number>(4 * 2 * 3).fill(value)));
    const gif = await sharp(strip, { raw: { width: 4, height: 6, channels: 3, pageHeight: 2 } })
      .gif({ delay: [100, 200, 300] })
      .toBuffer();
    const input = new Uint8Array(gif);
    expect(await describeImage(input)).toMatchObject({ format: 'gif', frames: 3, width: 4, height: 2 });
    expect((await decodeImage(input)).shape).toEqual([2, 4, 3]);
    const { frames, delays } = await decodeFrames(input, { channels: 1 });
    expect(frames.shape).toEqual([3, 2, 4, 1]);
    expect([frames.data[0], frames.data[8], frames.data[16]]).toEqual([255, 0, 255]);
    expect(delays).toEqual([100, 200, 300]);
    await expect(decodeFrames(input, { maxPixels: 20 })).rejects.toMatchObject({ code: 'bad-input' });
  });

  it('with alpha drops it, or is laid over a background', async () => {
    const png = await encodePng(bytes([200, 100, 0, 0, 200, 100, 0, 255, 200, 100, 0, 51], [1, 3, 4]));
    expect([...(await decodeImage(png)).data]).toEqual([200, 100, 0, 200, 100, 0, 200, 100, 0]);
    const laid = await decodeImage(png, { background: [255, 255, 255] });
    expect([...laid.data]).toEqual([255, 255, 255, 200, 100, 0, 244, 224, 204]);
  });

  it.each([
    ['fill', [4, 4]],
    ['cover', [4, 4]],
    ['contain', [4, 4]],
    ['inside', [4, 3]],
    ['outside', [6, 4]],
  ] as const)('3 high and 2 wide goes into 4 x 4 by %s', async (fit, size) => {
    const image = await decodeImage(await encodePng(SMALL), { width: 4, height: 4, fit });
    expect(image.shape).toEqual([...size, 3]);
    if (fit === 'contain') expect([...image.data.slice(9, 12)].every((value) => value === 0 || value > 10)).toBe(true);
  });

  it('with one size keeps its shape', async () => {
    const png = await encodePng(SMALL);
    expect((await decodeImage(png, { width: 4 })).shape).toEqual([6, 4, 3]);
    expect((await decodeImage(png, { height: 9, channels: 1 })).shape).toEqual([9, 6, 1]);
  });
});

describe('what cannot be decoded', () => {
  it('has a sentence and a code', async () => {
    const png = await encodePng(bytes(noise(1, [64, 64, 3]), [64, 64, 3]));
    await expect(decodeImage(png.slice(0, 2000))).rejects.toMatchObject({ code: 'bad-file' });
    await expect(decodeImage(new TextEncoder().encode('no picture at all, but text'))).rejects.toMatchObject({
      code: 'bad-file',
      message: expect.stringContaining('cannot be decoded as a picture'),
    });
    await expect(decodeImage(join(folder, 'none.png'))).rejects.toMatchObject({ code: 'not-found' });
    await expect(decodeImage(png, { width: 0 })).rejects.toMatchObject({ code: 'bad-option' });
    await expect(encodeJpeg(SMALL, { quality: 0 })).rejects.toMatchObject({ code: 'bad-option' });
    await expect(encodePng(bytes([1, 2], [1, 2]))).rejects.toMatchObject({ code: 'bad-shape' });
  });

  it('is a picture of more pixels than are allowed, told before it is decoded', async () => {
    // A picture of 3 x 2 whose header says otherwise: no decoder gets to know that it lies.
    const bomb = Buffer.from(await encodePng(SMALL));
    bomb.writeUInt32BE(12_000, 16);
    bomb.writeUInt32BE(12_000, 20);
    bomb.writeUInt32BE(crc32(bomb.subarray(12, 29)), 29);
    const error: unknown = await decodeImage(new Uint8Array(bomb), { maxPixels: 1e8 }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(TesseraError);
    expect(error).toMatchObject({
      code: 'bad-input',
      message: 'The picture given is 12000 x 12000 pixels, more than the 100000000 that are allowed.',
    });
  });

  it('is every picture where sharp is not installed, and the hint says what to do', () => {
    const hide = `export const resolve = (name, context, next) => {
      if (name === 'sharp') throw new Error('hidden');
      return next(name, context);
    };`;
    const data = (script: string): string => `data:text/javascript,${encodeURIComponent(script)}`;
    const script = `import { decodeImage } from 'tessera-kit/formats';
      await decodeImage(new Uint8Array(9)).catch(({ code, message, hint }) => console.log(code, message, hint));`;
    const register = `import { register } from 'node:module'; register(${JSON.stringify(data(hide))});`;
    const given = ['--import', data(register), '--input-type=module', '-e', script];
    const { stdout } = spawnSync(process.execPath, given, { encoding: 'utf8' });
    expect(stdout).toBe(
      'not-found Pictures need the package sharp, which is not installed. Install it with: npm i sharp\n',
    );
  });

  it('of any changed byte is a TesseraError, or a picture of the size that is told', async () => {
    const jpeg = await encodeJpeg(bytes(noise(2, [16, 16, 3]), [16, 16, 3]));
    await fc.assert(
      fc.asyncProperty(fc.nat(jpeg.length - 1), fc.nat(255), async (place, value) => {
        const changed = jpeg.slice();
        changed[place] = value;
        const image = await decodeImage(changed, { maxPixels: 1e6 }).catch((error: Error) => error);
        if (image instanceof Error) expect(image).toBeInstanceOf(TesseraError);
        else expect(image.shape[2]).toBe(3);
      }),
      { numRuns: 60 },
    );
  });
});

describe('channels', () => {
  it('become gray by the luma of ITU-R 601, and colors by repeating', () => {
    const gray = convertChannels(bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255], [1, 4, 3]), 1);
    expect([...gray.data]).toEqual([76, 150, 29, 255]);
    expect([...convertChannels(gray, 4).data.slice(0, 4)]).toEqual([76, 76, 76, 255]);
    expect([...convertChannels(convertChannels(gray, 3), 1).data]).toEqual([...gray.data]);
  });
});

describe('the layout of tensors', () => {
  it.each(['none', 'imagenet', 'clip', 'siglip', 'half'] as const)('comes back from %s', (name) => {
    const shape = [4, 6, 3];
    const image = bytes(noise(5, shape), shape);
    const tensor = toTensorLayout(image, name);
    expect(tensor.shape).toEqual([3, 4, 6]);
    expect(fromTensorLayout(tensor, name)).toEqual(image);
  });

  it('is channels first, normalized as published', () => {
    const tensor: NDArray = toTensorLayout(bytes([255, 0, 51, 0, 0, 0], [1, 2, 3]), 'imagenet');
    const wanted = [
      (1 - 0.485) / 0.229,
      -0.485 / 0.229,
      -0.456 / 0.224,
      -0.456 / 0.224,
      (0.2 - 0.406) / 0.225,
      -0.406 / 0.225,
    ];
    for (const [i, value] of wanted.entries()) expect(tensor.data[i]).toBeCloseTo(value, 5);
    expect(() => toTensorLayout(bytes([1], [1, 1, 1]), 'clip')).toThrow('3 channels does not fit a picture of 1');
    expect(toTensorLayout(array([65535], [1, 1, 1], 'int32')).data[0]).toBe(1);
  });
});

const photos = join(process.env.TESSERA_DATA ?? 'data', 'skimage-photos');
it.skipIf(!existsSync(photos))(
  'photographs decode to the size they tell (skipped without skimage-photos)',
  async () => {
    for (const [name, channels] of [
      ['coffee.png', 3],
      ['camera.png', 1],
      ['rocket.jpg', 3],
    ] as const) {
      const path = join(photos, name);
      const info = await describeImage(path);
      const image = await decodeImage(new Uint8Array(await readFile(path)), { channels: 'stored' });
      expect(image.shape).toEqual([info.height, info.width, channels]);
    }
  },
);
