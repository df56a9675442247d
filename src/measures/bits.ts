/**
 * Bits, bytes and tokens turned into figures. Bits per byte of the original text compare models of any tokenizer with
 * each other and with compressors; perplexity compares only models that share a tokenizer.
 */

import { TesseraError } from '../host/error.js';

/** Nats (what a cross-entropy gives) as bits. */
export function natsToBits(nats: number): number {
  return nats / Math.LN2;
}

/** `bits / bytes`. @throws bad-input when there are no bytes. */
export function bitsPerByte(bits: number, bytes: number): number {
  return bits / positive(bytes, 'bytes');
}

/** `2^(bits / tokens)`: how many equally likely tokens the model hesitates between. @throws bad-input when there are no tokens. */
export function perplexity(bits: number, tokens: number): number {
  return 2 ** (bits / positive(tokens, 'tokens'));
}

/**
 * Bits per byte of a mean loss in nats a token, for text of which `tokens` tokens cover `bytes` bytes.
 * @throws bad-input when there are no bytes.
 */
export function lossToBitsPerByte(loss: number, tokens: number, bytes: number): number {
  return bitsPerByte(natsToBits(loss) * tokens, bytes);
}

/** Bits per byte of a compressor: what it wrote, in bytes, for `bytes` of text. @throws bad-input when there are no bytes. */
export function compressedBitsPerByte(compressedBytes: number, bytes: number): number {
  return bitsPerByte(8 * compressedBytes, bytes);
}

/**
 * Bytes that a compressor needs for a text once it has read another: what it writes for both, less what it writes for the
 * first alone.
 */
export function conditionalBytes(compressedBoth: number, compressedFirst: number): number {
  return compressedBoth - compressedFirst;
}

function positive(count: number, what: string): number {
  if (count > 0) return count;
  throw new TesseraError('bad-input', `There are no ${what} to divide by.`, {
    hint: 'Measure a text that is not empty.',
  });
}
