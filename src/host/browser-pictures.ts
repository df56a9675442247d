/**
 * Pictures in a page, through its own decoders: ImageDecoder where the page has it (all frames), createImageBitmap
 * otherwise (the first one). Channels are of 8 bits, and pass through a canvas: colors beneath partial transparency are
 * rounded by it, and a picture without alpha comes as RGB, gray ones too.
 */

import { readFile } from './browser-files.js';
import { TesseraError } from './error.js';
import { checkPixels, pictureName, undecodable } from './picture-errors.js';
import { sniffPicture } from './picture-sniff.js';
import type { DecodePictureOptions, Picture, PictureInfo } from './picture-types.js';

const KINDS: Readonly<Record<string, string>> = { svg: 'image/svg+xml' };

/** What a picture's header says. @throws not-found; bad-file. */
export async function describePicture(source: string | Uint8Array): Promise<PictureInfo> {
  const bytes = typeof source === 'string' ? await readFile(source) : source;
  const sniffed = sniffPicture(bytes);
  if (sniffed !== undefined) return { ...sniffed, frames: (await openDecoder(bytes, sniffed.format))?.frames ?? 1 };
  const bitmap = await decodeBitmap(bytes, pictureName(source), false);
  const { width, height } = bitmap;
  bitmap.close();
  return { format: 'unknown', width, height, channels: 0, bits: 0, frames: 1, orientation: 1 };
}

/** Decodes a picture. @throws not-found; bad-file; bad-input for more pixels than are allowed; unsupported. */
export async function decodePicture(source: string | Uint8Array, options: DecodePictureOptions): Promise<Picture> {
  const { maxPixels, allFrames = false, ignoreProfile = false } = options;
  const called = pictureName(source);
  const bytes = typeof source === 'string' ? await readFile(source) : source;
  const sniffed = sniffPicture(bytes);
  const decoder = allFrames && sniffed !== undefined ? await openDecoder(bytes, sniffed.format) : undefined;
  const frames = decoder?.frames ?? 1;
  if (sniffed !== undefined) checkPixels({ ...sniffed, frames }, frames, maxPixels, called);
  if (decoder === undefined || frames === 1) {
    if (allFrames && sniffed?.format === 'gif' && decoder === undefined) {
      throw new TesseraError('unsupported', `${called} may move, and this page decodes first frames only.`, {
        hint: 'Use a browser that has ImageDecoder.',
      });
    }
    const bitmap = await decodeBitmap(bytes, called, ignoreProfile);
    checkPixels({ ...UNKNOWN, width: bitmap.width, height: bitmap.height }, 1, maxPixels, called);
    const { width, height } = bitmap;
    const data = readPixels(bitmap, width, height);
    bitmap.close();
    return withoutAlpha({ width, height, channels: 4, frames: 1, delays: [], data });
  }
  return withoutAlpha(await decoder.decode(called));
}

/** One frame as PNG or JPEG, of 8 bits. @throws unsupported for 16 bits. */
export async function encodePicture(picture: Picture, format: 'png' | 'jpeg', quality: number): Promise<Uint8Array> {
  const { width, height, channels, data } = picture;
  if (data instanceof Uint16Array) {
    throw new TesseraError('unsupported', 'A page encodes pictures of 8 bits only.', {
      hint: 'Divide by 257 and give uint8.',
    });
  }
  const pixels = new Uint8ClampedArray(width * height * 4);
  for (let i = 0; i < width * height; i++) {
    const at = i * channels;
    const gray = channels <= 2;
    for (let c = 0; c < 3; c++) pixels[i * 4 + c] = data[at + (gray ? 0 : c)] as number;
    pixels[i * 4 + 3] = channels === 2 || channels === 4 ? (data[at + channels - 1] as number) : 255;
  }
  const canvas = new OffscreenCanvas(width, height);
  contextOf(canvas).putImageData(new ImageData(pixels, width, height), 0, 0);
  const blob = await canvas.convertToBlob({ type: `image/${format}`, quality: quality / 100 });
  return new Uint8Array(await blob.arrayBuffer());
}

const UNKNOWN = { format: '', channels: 0, bits: 8, frames: 1, orientation: 1 } as const;

async function decodeBitmap(bytes: Uint8Array, called: string, ignoreProfile: boolean): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(new Blob([new Uint8Array(bytes)]), {
      imageOrientation: 'from-image',
      premultiplyAlpha: 'none',
      colorSpaceConversion: ignoreProfile ? 'none' : 'default',
    });
  } catch (cause) {
    throw undecodable(called, cause);
  }
}

function readPixels(source: CanvasImageSource, width: number, height: number): Uint8Array {
  const canvas = new OffscreenCanvas(width, height);
  const context = contextOf(canvas);
  context.drawImage(source, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function contextOf(canvas: OffscreenCanvas): OffscreenCanvasRenderingContext2D {
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (context !== null) return context;
  throw new TesseraError('unsupported', 'This page has no canvas to decode pictures with.');
}

/** RGB where every pixel is opaque. */
function withoutAlpha(picture: Picture): Picture {
  const { data } = picture;
  for (let at = 3; at < data.length; at += 4) if (data[at] !== 255) return picture;
  const rgb = new Uint8Array((data.length / 4) * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    for (let c = 0; c < 3; c++) rgb[to + c] = data[from + c] as number;
  }
  return { ...picture, channels: 3, data: rgb };
}

interface FrameDecoder {
  readonly frames: number;
  decode(called: string): Promise<Picture>;
}

/** The page's decoder of frames, where it has one for the format. */
async function openDecoder(bytes: Uint8Array, format: string): Promise<FrameDecoder | undefined> {
  const type = KINDS[format] ?? `image/${format}`;
  if (typeof ImageDecoder === 'undefined' || !(await ImageDecoder.isTypeSupported(type))) return undefined;
  const decoder = new ImageDecoder({ data: new Uint8Array(bytes), type });
  try {
    await decoder.tracks.ready;
    await decoder.completed;
  } catch {
    return undefined; // the other way says what is wrong
  }
  const frames = decoder.tracks.selectedTrack?.frameCount ?? 1;
  return {
    frames,
    decode: async (called) => {
      const parts: Uint8Array[] = [];
      const delays: number[] = [];
      let [width, height] = [0, 0];
      try {
        for (let frameIndex = 0; frameIndex < frames; frameIndex++) {
          const { image } = await decoder.decode({ frameIndex });
          [width, height] = [image.displayWidth, image.displayHeight];
          delays.push((image.duration ?? 0) / 1000);
          parts.push(readPixels(image, width, height));
          image.close();
        }
      } catch (cause) {
        throw undecodable(called, cause);
      } finally {
        decoder.close();
      }
      const data = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
      for (const [i, part] of parts.entries()) data.set(part, i * part.length);
      return { width, height, channels: 4, frames, delays, data };
    },
  };
}
