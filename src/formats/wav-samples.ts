/** Samples as they are stored in WAV files, interleaved, and as float32 in -1 to 1, a row a channel. */

import type { WavEncoding } from './wav-header.js';
import { SAMPLE_BYTES } from './wav-header.js';

/**
 * Interleaved samples into rows `out[channel * stride + frame + at]`. Integers are divided by 2^(bits - 1), unsigned bytes
 * with 128 for zero.
 */
export function decodeSamples(
  bytes: Uint8Array,
  encoding: WavEncoding,
  channels: number,
  out: Float32Array,
  stride: number,
  at = 0,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const width = SAMPLE_BYTES[encoding];
  const read = READERS[encoding];
  const frames = bytes.length / (width * channels);
  let place = 0;
  for (let frame = 0; frame < frames; frame++) {
    for (let channel = 0; channel < channels; channel++, place += width) {
      out[channel * stride + frame + at] = read(view, place);
    }
  }
}

/**
 * Rows of samples into interleaved bytes: frames `from` to `to`. Integers are rounded to nearest; what is outside of -1 to 1
 * is clipped, floats are kept. Not-a-number becomes 0 in integers.
 */
export function encodeSamples(
  rows: Float32Array,
  encoding: WavEncoding,
  channels: number,
  from: number,
  to: number,
): Uint8Array {
  const stride = rows.length / channels;
  const width = SAMPLE_BYTES[encoding];
  const bytes = new Uint8Array((to - from) * channels * width);
  const view = new DataView(bytes.buffer);
  const write = WRITERS[encoding];
  let place = 0;
  for (let frame = from; frame < to; frame++) {
    for (let channel = 0; channel < channels; channel++, place += width) {
      write(view, place, rows[channel * stride + frame] ?? 0);
    }
  }
  return bytes;
}

const READERS: Readonly<Record<WavEncoding, (view: DataView, at: number) => number>> = {
  pcm8: (view, at) => (view.getUint8(at) - 128) / 128,
  pcm16: (view, at) => view.getInt16(at, true) / 2 ** 15,
  pcm24: (view, at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 2 ** 23,
  pcm32: (view, at) => view.getInt32(at, true) / 2 ** 31,
  float32: (view, at) => view.getFloat32(at, true),
  float64: (view, at) => view.getFloat64(at, true),
};

function whole(value: number, bits: number): number {
  const half = 2 ** (bits - 1);
  return Math.max(-half, Math.min(half - 1, Math.round(value * half))) || 0;
}

const WRITERS: Readonly<Record<WavEncoding, (view: DataView, at: number, value: number) => void>> = {
  pcm8: (view, at, value) => view.setUint8(at, whole(value, 8) + 128),
  pcm16: (view, at, value) => view.setInt16(at, whole(value, 16), true),
  pcm24: (view, at, value) => {
    const integer = whole(value, 24);
    view.setUint16(at, integer & 0xffff, true);
    view.setInt8(at + 2, integer >> 16);
  },
  pcm32: (view, at, value) => view.setInt32(at, whole(value, 32), true),
  float32: (view, at, value) => view.setFloat32(at, value, true),
  float64: (view, at, value) => view.setFloat64(at, value, true),
};
