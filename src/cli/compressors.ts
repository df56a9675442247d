/** What general compressors make of a text: the figures that a model is held against. */

import { once } from 'node:events';
import { promisify } from 'node:util';
import { type BrotliOptions, brotliCompress, constants, createBrotliCompress, gzip } from 'node:zlib';
import { throwIfAborted } from '../host/error.js';
import { compressedBitsPerByte, conditionalBytes } from '../measures/index.js';

/** Bits per byte of the held-out text. */
export interface CompressorFigures {
  /** brotli at quality 11 with its largest common window, 16 MB. */
  readonly brotli: number;
  /** The same after it has read the training text. */
  readonly brotliAfterTraining: number;
  /** gzip at level 9. */
  readonly gzip: number;
}

const BROTLI: BrotliOptions = {
  params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 },
};

/** Compresses; reading the training text takes about two seconds a megabyte, outside of this thread. @throws aborted. */
export async function compressorFigures(
  training: readonly Uint8Array[],
  heldOut: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<CompressorFigures> {
  const text = Buffer.concat(heldOut);
  const [cold, zipped, after] = await Promise.all([
    promisify(brotliCompress)(text, BROTLI),
    promisify(gzip)(text, { level: 9 }),
    bytesAfter(training, text, signal),
  ]);
  return {
    brotli: compressedBitsPerByte(cold.length, text.length),
    brotliAfterTraining: compressedBitsPerByte(after, text.length),
    gzip: compressedBitsPerByte(zipped.length, text.length),
  };
}

/**
 * What brotli writes for `text` after `training`: the bytes of both less those of the first, which a flush between the two
 * makes visible in one pass (within half a percent of compressing twice).
 */
async function bytesAfter(training: readonly Uint8Array[], text: Uint8Array, signal: AbortSignal): Promise<number> {
  const stream = createBrotliCompress(BROTLI);
  let written = 0;
  stream.on('data', (chunk: Uint8Array) => {
    written += chunk.length;
  });
  const stop = (): void => void stream.destroy();
  signal.addEventListener('abort', stop);
  try {
    for (const document of training) {
      throwIfAborted(signal);
      await new Promise<void>((resolve) => void stream.write(document, () => resolve()));
    }
    await new Promise<void>((resolve) => void stream.flush(() => resolve()));
    throwIfAborted(signal);
    const first = written;
    const ended = once(stream, 'close');
    stream.end(text);
    await ended;
    throwIfAborted(signal);
    return conditionalBytes(written, first);
  } finally {
    signal.removeEventListener('abort', stop);
    stream.destroy();
  }
}
