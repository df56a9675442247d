/** Errors about pictures that both halves of the host give alike. */

import { TesseraError } from './error.js';
import type { PictureInfo } from './picture-types.js';

/** The name of a source in a sentence. */
export function pictureName(source: string | Uint8Array): string {
  return typeof source === 'string' ? source : 'The picture given';
}

/** @throws bad-input when a picture has more pixels than are allowed. */
export function checkPixels(info: PictureInfo, frames: number, maxPixels: number, called: string): void {
  const { width, height } = info;
  if (width * height * frames <= maxPixels) return;
  const size = `${width} x ${height}${frames > 1 ? ` x ${frames} frames` : ''}`;
  throw new TesseraError('bad-input', `${called} is ${size} pixels, more than the ${maxPixels} that are allowed.`, {
    hint: 'A small file can unpack to a huge picture. Raise maxPixels if it is trusted.',
  });
}

/** The error for what cannot be decoded. */
export function undecodable(called: string, cause: unknown): TesseraError {
  const reason = (cause instanceof Error ? cause.message : String(cause)).split('\n')[0]?.trim().replace(/\.$/, '');
  return new TesseraError('bad-file', `${called} cannot be decoded as a picture: ${reason}.`, {
    cause,
    hint: 'It is damaged, cut short, or of a format that is not known here.',
  });
}
