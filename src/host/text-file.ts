/** What both halves do with the bytes of a text file. */

import { TesseraError } from './error.js';

/** UTF-8 without a byte order mark. @throws bad-file naming the file. */
export function textOf(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new TesseraError('bad-file', `${path} is not UTF-8 text.`, { cause: error });
  }
}
