/**
 * The size of a picture from its first bytes, so that a page can refuse a huge one before it decodes it: PNG (its IHDR), JPEG
 * (its SOF), GIF (its screen), WebP (VP8, VP8L, VP8X).
 */

import type { PictureInfo } from './picture-types.js';

/** What the header of a PNG, JPEG, GIF or WebP says, undefined for other formats and for damaged headers. */
export function sniffPicture(bytes: Uint8Array): PictureInfo | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (at: number, length: number): string => String.fromCharCode(...bytes.subarray(at, at + length));
  if (bytes.length < 26) return undefined;
  if (text(0, 8) === '\u0089PNG\r\n\u001a\n') {
    const channels = { 0: 1, 2: 3, 3: 3, 4: 2, 6: 4 }[view.getUint8(25)] ?? 0;
    return info('png', view.getUint32(16), view.getUint32(20), channels, view.getUint8(24));
  }
  if (text(0, 4) === 'GIF8') return info('gif', view.getUint16(6, true), view.getUint16(8, true), 3, 8);
  if (text(0, 4) === 'RIFF' && text(8, 4) === 'WEBP' && bytes.length >= 30) return sniffWebp(view, text(12, 4));
  return view.getUint16(0) === 0xffd8 ? sniffJpeg(view) : undefined;
}

function sniffWebp(view: DataView, kind: string): PictureInfo | undefined {
  const u24 = (at: number): number => view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
  if (kind === 'VP8X') return info('webp', u24(24) + 1, u24(27) + 1, (view.getUint8(20) & 16) !== 0 ? 4 : 3, 8);
  if (kind === 'VP8 ') return info('webp', view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff, 3, 8);
  if (kind !== 'VP8L') return undefined;
  const bits = view.getUint32(21, true);
  return info('webp', (bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1, (bits & 0x10000000) !== 0 ? 4 : 3, 8);
}

function sniffJpeg(view: DataView): PictureInfo | undefined {
  for (let at = 2; at + 10 <= view.byteLength; ) {
    if (view.getUint8(at) !== 0xff) return undefined;
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at++; // filling
      continue;
    }
    // A frame's start, whatever the coding; C4, C8 and CC are tables.
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return info('jpeg', view.getUint16(at + 7), view.getUint16(at + 5), view.getUint8(at + 9), view.getUint8(at + 4));
    }
    at += 2 + view.getUint16(at + 2);
  }
  return undefined;
}

function info(format: string, width: number, height: number, channels: number, bits: number): PictureInfo | undefined {
  return width > 0 && height > 0 ? { format, width, height, channels, bits, frames: 1, orientation: 1 } : undefined;
}
