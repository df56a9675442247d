/** WAV files written whole or as a stream of pieces: plain for one or two channels of up to 16 bits, extensible otherwise. */

import { createWriter } from '#host';
import { TesseraError, throwIfAborted } from '../host/error.js';
import type { NDArray } from '../tensor/ndarray.js';
import { SAMPLE_BYTES, type WavEncoding } from './wav-header.js';
import { encodeSamples } from './wav-samples.js';

/** How samples are written. */
export interface WriteWavOptions {
  /** Samples a second of each channel. */
  readonly sampleRate: number;
  /** Default 'pcm16'. */
  readonly encoding?: WavEncoding;
  readonly signal?: AbortSignal;
}

/** Samples that come in pieces; their number must be known before, since the header has it. */
export interface WavPieces {
  readonly channels: number;
  /** Samples of each channel in all. */
  readonly frames: number;
  /** Pieces `[channels, any]`, one after the other. */
  readonly pieces: AsyncIterable<NDArray<'float32'>> | Iterable<NDArray<'float32'>>;
}

const CHUNK_FRAMES = 2 ** 16;
/** Loudspeakers of 1 to 8 channels, as WAVEFORMATEXTENSIBLE orders them. */
const MASKS = [0, 4, 3, 7, 0x33, 0x37, 0x3f, 0x13f, 0x63f] as const;
const MOST_RIFF_BYTES = 2 ** 32 - 1;

/**
 * A WAV file's bytes of samples `[channels, samples]` in -1 to 1 (`[samples]` is one channel). Integers are rounded to
 * nearest and clipped; floats are kept as they are.
 *
 * @throws bad-shape for another shape, bad-option for a sample rate that is none.
 */
export function encodeWav(samples: NDArray<'float32'>, options: WriteWavOptions): Uint8Array {
  const { encoding = 'pcm16', sampleRate } = options;
  const { channels, frames } = sizesOf(samples);
  const header = wavHeader(channels, frames, sampleRate, encoding);
  const data = encodeSamples(samples.data, encoding, channels, 0, frames);
  const bytes = new Uint8Array(header.length + data.length + (data.length % 2));
  bytes.set(header);
  bytes.set(data, header.length);
  return bytes;
}

/**
 * Writes samples `[channels, samples]`, or pieces of them, to a file that appears whole or not at all. Above 4 GiB it is
 * RF64.
 *
 * @throws bad-shape for another shape, or pieces that are more or fewer than was said; bad-option; no-space; aborted.
 */
export async function writeWav(
  path: string,
  samples: NDArray<'float32'> | WavPieces,
  options: WriteWavOptions,
): Promise<void> {
  const { encoding = 'pcm16', sampleRate, signal } = options;
  const { channels, frames, pieces } = 'pieces' in samples ? samples : { ...sizesOf(samples), pieces: [samples] };
  const header = wavHeader(channels, frames, sampleRate, encoding);
  const writer = await createWriter(path);
  try {
    await writer.write(header);
    let written = 0;
    for await (const piece of pieces) {
      const size = sizesOf(piece);
      written += size.frames;
      if (size.channels !== channels || written > frames) {
        throw new TesseraError(
          'bad-shape',
          `A piece [${piece.shape.join(', ')}] does not fit [${channels}, ${frames}].`,
        );
      }
      for (let from = 0; from < size.frames; from += CHUNK_FRAMES) {
        throwIfAborted(signal);
        const to = Math.min(size.frames, from + CHUNK_FRAMES);
        await writer.write(encodeSamples(piece.data, encoding, channels, from, to));
      }
    }
    if (written !== frames) {
      throw new TesseraError('bad-shape', `The pieces have ${written} samples a channel; ${frames} were announced.`);
    }
    if ((frames * channels * SAMPLE_BYTES[encoding]) % 2 === 1) await writer.write(new Uint8Array(1));
    await writer.commit();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

function sizesOf({ shape }: NDArray<'float32'>): { readonly channels: number; readonly frames: number } {
  if (shape.length === 1) return { channels: 1, frames: shape[0] ?? 0 };
  const [channels = 0, frames = 0] = shape;
  if (shape.length === 2 && channels > 0) return { channels, frames };
  throw new TesseraError('bad-shape', `Samples are [channels, samples], not [${shape.join(', ')}].`);
}

function wavHeader(channels: number, frames: number, sampleRate: number, encoding: WavEncoding): Uint8Array {
  const whole = Number.isInteger(sampleRate) && sampleRate > 0 && sampleRate < 2 ** 32;
  if (!whole) throw new TesseraError('bad-option', `A sample rate is a whole number of hertz, not ${sampleRate}.`);
  if (channels > 0xffff) throw new TesseraError('bad-shape', `${channels} channels are more than a WAV file can have.`);
  const width = SAMPLE_BYTES[encoding];
  const dataBytes = frames * channels * width;
  const extensible = channels > 2 || encoding === 'pcm24' || encoding === 'pcm32';
  const formatBytes = extensible ? 40 : 16;
  const plainBytes = 12 + 8 + formatBytes + 8;
  const wide = plainBytes + dataBytes + 1 > MOST_RIFF_BYTES;
  const size = plainBytes + (wide ? 36 : 0);
  const riffBytes = size - 8 + dataBytes + (dataBytes % 2);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let at = 0;
  const text = (letters: string): void => {
    for (const letter of letters) view.setUint8(at++, letter.charCodeAt(0));
  };
  const u16 = (value: number): void => {
    view.setUint16(at, value, true);
    at += 2;
  };
  const u32 = (value: number): void => {
    view.setUint32(at, value, true);
    at += 4;
  };
  const u64 = (value: number): void => {
    view.setBigUint64(at, BigInt(value), true);
    at += 8;
  };
  text(wide ? 'RF64' : 'RIFF');
  u32(wide ? MOST_RIFF_BYTES : riffBytes);
  text('WAVE');
  if (wide) {
    text('ds64');
    u32(28);
    u64(riffBytes);
    u64(dataBytes);
    u64(frames);
    u32(0); // no table of other chunks
  }
  const tag = encoding.startsWith('pcm') ? 1 : 3;
  text('fmt ');
  u32(formatBytes);
  u16(extensible ? 0xfffe : tag);
  u16(channels);
  u32(sampleRate);
  u32(sampleRate * channels * width);
  u16(channels * width);
  u16(width * 8);
  if (extensible) {
    u16(22);
    u16(width * 8);
    u32(MASKS[channels] ?? 0);
    u16(tag);
    for (const byte of [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]) view.setUint8(at++, byte);
  }
  text('data');
  u32(wide ? MOST_RIFF_BYTES : dataBytes);
  return bytes;
}
