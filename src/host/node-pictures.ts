/** Pictures in Node, through `sharp` (libvips), an optional dependency that is loaded when first used. */

import type { Metadata, Sharp, SharpOptions } from 'sharp';
import { TesseraError } from './error.js';
import { stat } from './node-files.js';
import { checkPixels, pictureName, undecodable } from './picture-errors.js';
import type { DecodePictureOptions, Picture, PictureInfo } from './picture-types.js';

const BITS: Readonly<Record<string, number>> = { uchar: 8, char: 8, ushort: 16, short: 16, float: 32, double: 64 };

type Open = (input: string | Uint8Array | Uint16Array, options?: SharpOptions) => Sharp;

async function loadSharp(): Promise<Open> {
  try {
    return (await import('sharp')).default;
  } catch (cause) {
    throw new TesseraError('not-found', 'Pictures need the package sharp, which is not installed.', {
      cause,
      hint: 'Install it with: npm i sharp',
    });
  }
}

/** What a picture's header says. @throws not-found; bad-file. */
export async function describePicture(source: string | Uint8Array): Promise<PictureInfo> {
  return infoOf(await readMetadata(await loadSharp(), source));
}

/** Decodes a picture. @throws not-found; bad-file; bad-input for more pixels than are allowed. */
export async function decodePicture(source: string | Uint8Array, options: DecodePictureOptions): Promise<Picture> {
  const { maxPixels, allFrames = false, wide = false, ignoreProfile = false } = options;
  const sharp = await loadSharp();
  const metadata = await readMetadata(sharp, source);
  const info = infoOf(metadata);
  const frames = allFrames ? info.frames : 1;
  checkPixels(info, frames, maxPixels, pictureName(source));
  const deep = wide && info.bits === 16;
  // Of raw gray pixels libvips gives no alpha: those come as RGB.
  const gray = info.channels === 1;
  try {
    const image = sharp(source, {
      failOn: 'error',
      pages: frames,
      limitInputPixels: maxPixels,
      ignoreIcc: ignoreProfile,
    });
    // A strip of frames cannot be turned; formats that move have no orientation.
    const upright = frames === 1 ? image.autoOrient() : image;
    const space = deep ? (gray ? 'grey16' : 'rgb16') : gray ? 'b-w' : 'srgb';
    const { data, info: out } = await upright
      .toColourspace(space)
      .raw({ depth: deep ? 'ushort' : 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const pixels = deep
      ? new Uint16Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength))
      : new Uint8Array(data);
    const twice = info.channels === 2 && out.channels === 4;
    return {
      width: out.width,
      height: out.height / frames,
      channels: twice ? 2 : out.channels,
      frames,
      delays: frames > 1 ? (metadata.delay ?? []) : [],
      // Of RGBA that was gray, red and alpha are all there is.
      data: twice ? pixels.filter((_, i) => i % 4 === 0 || i % 4 === 3) : pixels,
    };
  } catch (cause) {
    throw undecodable(pictureName(source), cause);
  }
}

/** One frame as PNG or JPEG. @throws bad-input for sizes that the format has not. */
export async function encodePicture(picture: Picture, format: 'png' | 'jpeg', quality: number): Promise<Uint8Array> {
  const sharp = await loadSharp();
  const { width, height, channels, data } = picture;
  const deep = data instanceof Uint16Array;
  try {
    const raw = { width, height, channels: channelsOf(channels) };
    // Of a Uint16Array sharp knows by itself that its channels have 16 bits.
    const image = sharp(data, { raw, limitInputPixels: false }).toColourspace(spaceOf(channels, deep));
    const encoded =
      format === 'png' ? image.png() : image.jpeg({ quality, chromaSubsampling: quality >= 90 ? '4:4:4' : '4:2:0' });
    return new Uint8Array(await encoded.toBuffer());
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const says = `A picture of ${width} x ${height} pixels could not be encoded as ${format}: ${reason}`;
    throw new TesseraError('bad-input', `${says.replace(/\.$/, '')}.`, { cause });
  }
}

function channelsOf(channels: number): 1 | 2 | 3 | 4 {
  return channels === 1 || channels === 2 || channels === 3 ? channels : 4;
}

function spaceOf(channels: number, deep: boolean): 'grey16' | 'rgb16' | 'b-w' | 'srgb' {
  return deep ? (channels <= 2 ? 'grey16' : 'rgb16') : channels <= 2 ? 'b-w' : 'srgb';
}

async function readMetadata(sharp: Open, source: string | Uint8Array): Promise<Metadata> {
  if (typeof source === 'string' && (await stat(source))?.kind !== 'file') {
    throw new TesseraError('not-found', `There is no file ${source}.`, { hint: 'Check the path.' });
  }
  try {
    // The limit is checked against what this tells, before anything is decoded.
    return await sharp(source, { limitInputPixels: false, pages: -1 }).metadata();
  } catch (cause) {
    throw undecodable(pictureName(source), cause);
  }
}

function infoOf(metadata: Metadata): PictureInfo {
  const { format, width, height, pageHeight, pages = 1, channels, depth, orientation = 1 } = metadata;
  return {
    format,
    width,
    height: pageHeight ?? height,
    channels,
    bits: BITS[depth] ?? 0,
    frames: pages,
    orientation,
  };
}
