/**
 * Sounds in WAV files: integers of 8, 16, 24 and 32 bits, floats of 32 and 64, any number of channels, plain, extensible
 * and RF64 (above 4 GiB), read at any place or as a stream and written the same way. Samples are float32 in -1 to 1, a row
 * a channel: exact for integers up to 24 bits, rounded for those of 32 and for doubles.
 *
 * Left out: compressed encodings (ADPCM, A-law, mu-law, MP3), which are refused by name; loops, cue points and other
 * chunks, which are passed over.
 */

import { openRandomAccess } from '#host';
import { TesseraError, throwIfAborted } from '../host/error.js';
import { type NDArray, ndarray } from '../tensor/ndarray.js';
import { bytesAsFile } from './byte-source.js';
import { readWavHeader, SAMPLE_BYTES, type WavHeader } from './wav-header.js';
import { decodeSamples } from './wav-samples.js';

export type { WavEncoding } from './wav-header.js';
export { encodeWav, type WavPieces, type WriteWavOptions, writeWav } from './wav-write.js';

/** An open sound. */
export interface Wav extends Omit<WavHeader, 'start'> {
  readonly file: string;
  /** Seconds of sound. */
  readonly seconds: number;
  /** Samples `start` to `end` (not included): [channels, end - start]. @throws bad-option for a range that is not there. */
  read(start?: number, end?: number): Promise<NDArray<'float32'>>;
  /** All samples in pieces of [channels, frames], the last maybe shorter. Default 65,536 frames a piece. */
  pieces(options?: { readonly frames?: number; readonly signal?: AbortSignal }): AsyncIterable<NDArray<'float32'>>;
  close(): Promise<void>;
}

/** A sound in memory. */
export interface Sound {
  /** [channels, samples]. */
  readonly samples: NDArray<'float32'>;
  /** Samples a second of each channel. */
  readonly sampleRate: number;
}

const PIECE_FRAMES = 2 ** 16;

/**
 * Opens a WAV file, or a file's bytes; only the header is read.
 *
 * @throws not-found; bad-file for what is no WAV, is cut short, has a data chunk of no whole frames, or a block size that
 * contradicts its channels; unsupported for compressed encodings, by name.
 */
export async function openWav(source: string | Uint8Array): Promise<Wav> {
  const file = typeof source === 'string' ? source : 'The sound given';
  const access = typeof source === 'string' ? await openRandomAccess(source) : bytesAsFile(source);
  try {
    const { start: first, ...header } = await readWavHeader(access, file);
    const { channels, encoding, frames, sampleRate } = header;
    const frameBytes = channels * SAMPLE_BYTES[encoding];
    const read = async (start = 0, end = frames): Promise<NDArray<'float32'>> => {
      if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end < start || end > frames) {
        throw new TesseraError('bad-option', `Samples ${start} to ${end} of ${file} were asked for; it has ${frames}.`);
      }
      const count = end - start;
      const out = new Float32Array(channels * count);
      // By pieces: the bytes of a long sound are not held beside its samples.
      for (let at = 0; at < count; at += PIECE_FRAMES) {
        const length = Math.min(PIECE_FRAMES, count - at);
        const bytes = await access.read(first + (start + at) * frameBytes, length * frameBytes);
        decodeSamples(bytes, encoding, channels, out, count, at);
      }
      return ndarray('float32', [channels, count], out);
    };
    return {
      file,
      ...header,
      seconds: frames / sampleRate,
      read,
      pieces: async function* ({ frames: size = PIECE_FRAMES, signal } = {}) {
        if (!Number.isInteger(size) || size < 1) {
          throw new TesseraError('bad-option', `A piece has a whole number of samples from 1, not ${size}.`);
        }
        for (let at = 0; at < frames; at += size) {
          throwIfAborted(signal);
          yield await read(at, Math.min(frames, at + size));
        }
      },
      close: () => access.close(),
    };
  } catch (error) {
    await access.close();
    throw error;
  }
}

/** A whole sound. @throws as `openWav`. */
export async function readWav(source: string | Uint8Array): Promise<Sound> {
  const wav = await openWav(source);
  try {
    return { samples: await wav.read(), sampleRate: wav.sampleRate };
  } finally {
    await wav.close();
  }
}
