/**
 * The chunks of a WAV file (Multimedia Programming Interface and Data Specifications 1.0, "WAVE"; WAVEFORMATEXTENSIBLE;
 * RF64, EBU Tech 3306): where the samples are and how they are stored. Every size is checked against the file.
 */

import type { RandomAccess } from '#host';
import { TesseraError } from '../host/error.js';

/** How a sample is stored: integers of 8 (unsigned) to 32 bits, or floats, little-endian. */
export type WavEncoding = 'pcm8' | 'pcm16' | 'pcm24' | 'pcm32' | 'float32' | 'float64';

/** Bytes of a sample. */
export const SAMPLE_BYTES: Readonly<Record<WavEncoding, number>> = {
  pcm8: 1,
  pcm16: 2,
  pcm24: 3,
  pcm32: 4,
  float32: 4,
  float64: 8,
};

/** What a file says of its samples. */
export interface WavHeader {
  readonly encoding: WavEncoding;
  /** Bits that mean something, at most those of the encoding. */
  readonly validBits: number;
  readonly channels: number;
  readonly sampleRate: number;
  /** Samples of each channel. */
  readonly frames: number;
  /** Which loudspeakers the channels are for (`dwChannelMask`); 0 when the file does not say. */
  readonly channelMask: number;
  /** Texts of the LIST INFO chunk by their four letters: INAM, IART, ICMT, ... */
  readonly tags: Readonly<Record<string, string>>;
  /** Where the first sample is. */
  readonly start: number;
}

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
/** What is told of formats that are not read. */
const OTHERS: Readonly<Record<number, string>> = {
  2: 'Microsoft ADPCM',
  6: 'A-law',
  7: 'mu-law',
  17: 'IMA ADPCM',
  49: 'GSM 6.10',
  80: 'MPEG',
  85: 'MP3',
};
/** The end of a sub-format's identifier that is one of the plain formats' (KSDATAFORMAT_SUBTYPE_...). */
const SUBFORMAT_TAIL = '000000001000800000aa00389b71';
const MOST_CHANNELS = 1024;
const MOST_FORMAT_BYTES = 4096;
const MOST_INFO_BYTES = 2 ** 20;
const FULL = 0xffffffff;

interface Format {
  readonly encoding: WavEncoding;
  readonly validBits: number;
  readonly channels: number;
  readonly sampleRate: number;
  readonly channelMask: number;
}

/**
 * Reads the chunks up to the samples and, where the file goes on, the texts after them. A data chunk whose size was never
 * written (0 or all ones, as streaming writers leave it) goes on to the file's end.
 *
 * @throws bad-file for what is no WAV, is cut short, or contradicts itself; unsupported for other encodings.
 */
export async function readWavHeader(access: RandomAccess, file: string): Promise<WavHeader> {
  const wide = await checkForm(access, file);
  let format: Format | undefined;
  let data: { readonly start: number; readonly size: number } | undefined;
  let sizes: { readonly data: number } | undefined;
  const tags: Record<string, string> = {};
  for (let at = 12; at + 8 <= access.size; ) {
    const head = await access.read(at, 8);
    const id = ascii(head, 0, 4);
    const told = viewOf(head).getUint32(4, true);
    const start = at + 8;
    let size = told;
    if (id === 'ds64') sizes = await readWideSizes(access, start, size, file);
    else if (id === 'fmt ')
      format = parseFormat(await readChunk(access, id, start, size, MOST_FORMAT_BYTES, file), file);
    else if (id === 'LIST' && size <= MOST_INFO_BYTES && start + size <= access.size) {
      readInfo(await access.read(start, size), tags);
    } else if (id === 'data' && data === undefined) {
      const unknown = told === FULL || (told === 0 && start < access.size && (await isLast(access, start)));
      if (told === FULL && wide && sizes !== undefined) size = sizes.data;
      else if (unknown) size = access.size - start;
      data = { start, size };
    }
    at = start + size + (size % 2); // chunks begin at even places
  }
  if (format === undefined) throw bad(file, 'it has no fmt chunk');
  if (data === undefined) throw bad(file, 'it has no data chunk', 'It was probably cut short.');
  const { start, size } = data;
  if (start + size > access.size) {
    const has = access.size - start;
    throw bad(file, `its data chunk should have ${size} bytes and has ${has}`, 'It was cut short: fetch it again.');
  }
  const frameBytes = SAMPLE_BYTES[format.encoding] * format.channels;
  if (size % frameBytes !== 0) {
    throw bad(
      file,
      `its ${size} bytes of samples are no whole number of ${frameBytes} for ${format.channels} channels`,
    );
  }
  return { ...format, frames: size / frameBytes, tags, start };
}

/** True for RF64, whose sizes are of 64 bits. */
async function checkForm(access: RandomAccess, file: string): Promise<boolean> {
  if (access.size < 12) throw bad(file, `it has ${access.size} bytes, too few`);
  const start = await access.read(0, 12);
  const form = ascii(start, 0, 4);
  if ((form === 'RIFF' || form === 'RF64') && ascii(start, 8, 12) === 'WAVE') return form === 'RF64';
  const known = {
    OggS: 'Ogg',
    fLaC: 'FLAC',
    RIFX: 'big-endian WAV',
    'ID3\u0003': 'MP3',
    'ID3\u0004': 'MP3',
    FORM: 'AIFF',
  };
  const other = Object.entries(known).find(([magic]) => magic === form)?.[1];
  throw bad(
    file,
    other === undefined ? 'it does not begin with RIFF and WAVE' : `it is ${other}`,
    'Convert it to WAV.',
  );
}

/** A size of zero is a writer's that never came back if nothing that looks like a chunk follows. */
async function isLast(access: RandomAccess, start: number): Promise<boolean> {
  if (access.size - start < 8) return true;
  return !/^[ -~]{4}$/.test(ascii(await access.read(start, 4), 0, 4));
}

async function readWideSizes(access: RandomAccess, start: number, size: number, file: string) {
  const view = viewOf(await readChunk(access, 'ds64', start, size, MOST_FORMAT_BYTES, file));
  if (view.byteLength < 24) throw bad(file, `its ds64 chunk has ${view.byteLength} bytes, too few`);
  const data = Number(view.getBigUint64(8, true));
  if (!Number.isSafeInteger(data)) throw bad(file, `its data chunk would have ${data} bytes`);
  return { data };
}

async function readChunk(access: RandomAccess, id: string, start: number, size: number, most: number, file: string) {
  if (size > most || start + size > access.size) throw bad(file, `its ${id.trim()} chunk would have ${size} bytes`);
  return access.read(start, size);
}

function parseFormat(bytes: Uint8Array, file: string): Format {
  if (bytes.length < 16) throw bad(file, `its fmt chunk has ${bytes.length} bytes, and 16 are the least`);
  const view = viewOf(bytes);
  let tag = view.getUint16(0, true);
  const channels = view.getUint16(2, true);
  const sampleRate = view.getUint32(4, true);
  const blockAlign = view.getUint16(12, true);
  const bits = view.getUint16(14, true);
  let validBits = bits;
  let channelMask = 0;
  if (tag === EXTENSIBLE) {
    if (bytes.length < 40) throw bad(file, `its extensible fmt chunk has ${bytes.length} bytes, and 40 are needed`);
    validBits = view.getUint16(18, true) || bits;
    channelMask = view.getUint32(20, true);
    tag = view.getUint16(24, true);
    const tail = [...bytes.subarray(26, 40)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    if (tail !== SUBFORMAT_TAIL) throw unsupported(file, 'a sub-format of its own');
  }
  const encoding = encodingOf(tag, bits, file);
  if (channels < 1 || channels > MOST_CHANNELS) throw bad(file, `it says that it has ${channels} channels`);
  if (sampleRate < 1) throw bad(file, `it says that its sample rate is ${sampleRate}`);
  if (blockAlign !== channels * SAMPLE_BYTES[encoding]) {
    const needed = `${channels} channels of ${bits} bits take ${channels * SAMPLE_BYTES[encoding]} bytes`;
    throw bad(file, `its blocks are said to be ${blockAlign} bytes, and ${needed}`);
  }
  return { encoding, validBits: Math.min(validBits, bits), channels, sampleRate, channelMask };
}

function encodingOf(tag: number, bits: number, file: string): WavEncoding {
  if (tag === PCM && bits === 8) return 'pcm8';
  if (tag === PCM && bits === 16) return 'pcm16';
  if (tag === PCM && bits === 24) return 'pcm24';
  if (tag === PCM && bits === 32) return 'pcm32';
  if (tag === FLOAT && bits === 32) return 'float32';
  if (tag === FLOAT && bits === 64) return 'float64';
  if (tag === PCM || tag === FLOAT) throw unsupported(file, `${tag === PCM ? 'integers' : 'floats'} of ${bits} bits`);
  throw unsupported(file, OTHERS[tag] ?? `format ${tag}`);
}

function readInfo(bytes: Uint8Array, tags: Record<string, string>): void {
  if (ascii(bytes, 0, 4) !== 'INFO') return;
  const view = viewOf(bytes);
  for (let at = 4; at + 8 <= bytes.length; ) {
    const size = view.getUint32(at + 4, true);
    const text = new TextDecoder().decode(bytes.subarray(at + 8, Math.min(bytes.length, at + 8 + size)));
    tags[ascii(bytes, at, at + 4)] = text.replace(/\0.*$/s, '').trim();
    at += 8 + size + (size % 2);
  }
}

function ascii(bytes: Uint8Array, start: number, end: number): string {
  return String.fromCharCode(...bytes.subarray(start, end));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function unsupported(file: string, what: string): TesseraError {
  return new TesseraError('unsupported', `${file} is a WAV file of ${what}, which is not read.`, {
    hint: 'Convert it to integers of 16 bits, for example with ffmpeg -c:a pcm_s16le.',
  });
}

function bad(file: string, what: string, hint?: string): TesseraError {
  return new TesseraError('bad-file', `${file} cannot be read as WAV: ${what}.`, { hint });
}
