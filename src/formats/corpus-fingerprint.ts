/** Hashes that tell one text from another without reading all of it. */

import { baseName, openRandomAccess } from '#host';
import type { CorpusFile } from './corpus-files.js';

const SAMPLE_BYTES = 4096;
const SAMPLED_FILES = 256;

/**
 * SHA-256 of the options, every file's name (without its folder) and size, and 4 KiB of the beginning, middle and
 * end of up to 256 files spread over the corpus. A change that keeps sizes and misses the samples is not seen.
 */
export async function fingerprintFiles(files: readonly CorpusFile[], options: string): Promise<string> {
  const encoder = new TextEncoder();
  const parts: Uint8Array[] = [encoder.encode(`${options}\n`)];
  for (const { path, size } of files) parts.push(encoder.encode(`${baseName(path)} ${size}\n`));
  const stride = Math.max(1, files.length / SAMPLED_FILES);
  for (let place = 0; place < files.length; place += stride) {
    const path = files[Math.floor(place)]?.path ?? '';
    const file = await openRandomAccess(path);
    try {
      const length = Math.min(SAMPLE_BYTES, file.size);
      for (const offset of [0, (file.size - length) >> 1, file.size - length]) {
        parts.push(await file.read(Math.max(0, offset), length));
      }
    } finally {
      await file.close();
    }
  }
  return hash(parts);
}

/** SHA-256 of all texts, each with its length before it. */
export function fingerprintBytes(texts: readonly Uint8Array[]): Promise<string> {
  const encoder = new TextEncoder();
  return hash(texts.flatMap((text) => [encoder.encode(`${text.length} `), text]));
}

async function hash(parts: readonly Uint8Array[]): Promise<string> {
  // Web Crypto hashes only what it is given at once: hash each part, then the hashes.
  const hashes: Uint8Array[] = [];
  for (const part of parts) hashes.push(await sha256(part));
  const joined = new Uint8Array(hashes.length * 32);
  for (const [i, value] of hashes.entries()) joined.set(value, i * 32);
  return `sha256:${[...(await sha256(joined))].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  const copy = new Uint8Array(bytes); // over an ArrayBuffer of its own, as Web Crypto's type wants
  return new Uint8Array(await crypto.subtle.digest('SHA-256', copy));
}
