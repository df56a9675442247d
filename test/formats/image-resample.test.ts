/** Sizes and crops of pictures, against numbers that Pillow publishes and the conventions of image processors. */

import fc from 'fast-check';
import { centerCrop, cropImage, type ImageFilter, resizeImage, resizeShortestEdge } from 'tessera-kit/formats';
import { array, type NDArray, random } from 'tessera-kit/tensor';
import { describe, expect, it } from 'vitest';

const image = (values: readonly number[], shape: readonly number[]) => array(values, shape, 'uint8');

/** Two dark and two bright squares, as in the tests of python-pillow/Pillow (Tests/test_image_resample.py). */
function squares(size: number, channels: number): NDArray<'uint8'> {
  const half = size / 2;
  const values = Array.from({ length: size * size }, (_, i) => {
    const bright = Math.floor(i / size) < half === i % size < half;
    return new Array<number>(channels).fill(bright ? 0xe1 : 0xff - 0xe1);
  });
  return image(values.flat(), [size, size, channels]);
}

/** What those tests expect: the top left fourth in hexadecimal. */
const EXPECTED: readonly (readonly [ImageFilter, number, number, string])[] = [
  ['bilinear', 8, 4, 'e1 c9 c9 b7'],
  ['bicubic', 12, 6, 'e1 e3 d4 e3 e5 d6 d4 d6 c9'],
  ['lanczos', 16, 8, 'e1 e0 e4 d7 e0 df e3 d6 e4 e3 e7 da d7 d6 d9 ce'],
  ['bilinear', 2, 4, 'e1 b0 b0 98'],
  ['bicubic', 4, 8, 'e1 e5 ee b9 e5 e9 f3 bc ee f3 fd c1 b9 bc c1 a2'],
  [
    'lanczos',
    6,
    12,
    'e1 e0 db ed f5 b8 e0 df da ec f3 b7 db db d6 e7 ee b5 ed ec e6 fb ff bf f5 f4 ee ff ff c4 b8 b7 b4 bf c4 a0',
  ],
];

describe('resizing', () => {
  it.each(EXPECTED)('by %s from %i to %i gives the pixels that Pillow expects', (filter, from, to, hex) => {
    const wanted = hex.split(' ').map((text) => Number.parseInt(text, 16));
    for (const channels of [1, 3]) {
      const out = resizeImage(squares(from, channels), to, to, filter);
      const half = to / 2;
      for (let y = 0; y < to; y++) {
        for (let x = 0; x < to; x++) {
          const [row, column] = [y < half ? y : to - 1 - y, x < half ? x : to - 1 - x];
          const value = wanted[row * half + column] ?? 0;
          const mirrored = y < half === x < half ? value : 255 - value;
          const at = (y * to + x) * channels;
          expect([...out.data.slice(at, at + channels)]).toEqual(new Array<number>(channels).fill(mirrored));
        }
      }
    }
  });

  const filters: readonly ImageFilter[] = ['nearest', 'box', 'bilinear', 'hamming', 'bicubic', 'lanczos'];

  it.each(filters)('by %s keeps a flat picture flat, in every type and size', (filter) => {
    const size = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(size, size, size, size, fc.nat(255), (height, width, newHeight, newWidth, value) => {
        for (const dtype of ['uint8', 'int32', 'float32'] as const) {
          const flat = array(new Array<number>(height * width * 3).fill(value), [height, width, 3], dtype);
          const out = resizeImage(flat, newHeight, newWidth, filter);
          expect(out.shape).toEqual([newHeight, newWidth, 3]);
          expect(out.data.every((got) => Math.abs(got - value) < 1e-3)).toBe(true);
        }
      }),
      { numRuns: 40 },
    );
  });

  it.each(filters)('by %s to the size it has changes nothing, and turned pictures stay turned', (filter) => {
    // Far from black and white, where a pass would clip.
    const values = [...random(3).integers([9, 6, 1], 100).data].map((value) => Number(value) + 80);
    const picture = image(values, [9, 6, 1]);
    expect(resizeImage(picture, 9, 6, filter)).toEqual(picture);
    const turned = image(
      Array.from({ length: 54 }, (_, i) => values[(i % 9) * 6 + Math.floor(i / 9)] ?? 0),
      [6, 9, 1],
    );
    const [a, b] = [resizeImage(picture, 4, 13, filter), resizeImage(turned, 13, 4, filter)];
    // The passes come in another order, so that rounding may differ by one.
    for (let y = 0; y < 4; y++) {
      for (let x = 0; x < 13; x++) {
        expect(Math.abs(Number(a.data[y * 13 + x]) - Number(b.data[x * 4 + y]))).toBeLessThanOrEqual(1);
      }
    }
  });

  it('lets no color of what is transparent through', () => {
    // Opaque white beside transparent red: halfway it is white and half transparent.
    const picture = image([255, 255, 255, 255, 255, 0, 0, 0], [1, 2, 4]);
    const [red, green, blue, alpha] = resizeImage(picture, 1, 1, 'bilinear').data;
    expect([red, green, blue, alpha]).toEqual([255, 255, 255, 128]);
  });

  it('of 16 bits rounds once and stays in range', () => {
    const edge = array([0, 0, 0, 65535, 65535, 65535], [1, 6, 1], 'int32');
    const out = resizeImage(edge, 1, 12, 'bicubic');
    expect(Math.min(...out.data)).toBe(0);
    expect(Math.max(...out.data)).toBe(65535);
  });

  it('refuses sizes and shapes that are none', () => {
    expect(() => resizeImage(squares(2, 1), 0, 2)).toThrow('cannot be made 2 x 0 pixels');
    expect(() => resizeImage(array([1, 2], [1, 2], 'uint8'), 2, 2)).toThrow('is [height, width, channels], not [1, 2]');
  });
});

describe('an image processor', () => {
  it.each([
    [480, 640, 224, [224, 298]],
    [640, 480, 224, [298, 224]],
    [300, 300, 224, [224, 224]],
    [3, 1000, 2, [2, 666]],
  ] as const)(
    'makes the shorter edge of %i x %i %i, the longer one cut to whole pixels',
    (height, width, edge, size) => {
      const picture = image(new Array<number>(height * width).fill(7), [height, width, 1]);
      expect(resizeShortestEdge(picture, edge, 'nearest').shape).toEqual([...size, 1]);
    },
  );

  it('crops the middle, and pads what is smaller with zeros', () => {
    const picture = image([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [3, 4, 1]);
    expect([...centerCrop(picture, 2, 1).data]).toEqual([2, 6]);
    expect([...centerCrop(picture, 1, 3).data]).toEqual([5, 6, 7]);
    expect([...centerCrop(image([1, 2], [1, 2, 1]), 2, 5).data]).toEqual([0, 0, 0, 0, 0, 0, 0, 1, 2, 0]);
    expect([...cropImage(picture, 2, 3, 2, 2).data]).toEqual([12, 0, 0, 0]);
    expect([...cropImage(picture, 5, 9, 1, 2).data]).toEqual([0, 0]);
  });
});
