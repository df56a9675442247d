/** A model measured on a text: every byte counted once, document by document. */

import { throwIfAborted } from '../host/error.js';
import { bitsPerByte, perplexity } from './bits.js';

/** Anything that can say how many bits a document costs; an opened model is one. */
export interface BitCounter {
  bits(
    document: Uint8Array,
    options?: { readonly signal?: AbortSignal; readonly report?: (bytes: number) => void },
  ): Promise<{ readonly bits: number; readonly error?: number }>;
}

/** Documents to measure on; a corpus is one. */
export interface MeasuredDocuments {
  documents(): AsyncIterable<{ readonly bytes: Uint8Array }>;
}

/** Options of {@link measureText}. */
export interface MeasureTextOptions {
  /** How many tokens a document has, for the perplexity. */
  readonly countTokens?: (bytes: Uint8Array) => number;
  /** Stop after so many bytes; the last document is cut there, between two characters. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal;
  /** Called with the bytes measured so far. */
  readonly report?: (bytes: number) => void;
}

/** What was measured. */
export interface TextFigures {
  readonly documents: number;
  readonly bytes: number;
  readonly bits: number;
  readonly bitsPerByte: number;
  /** The standard error of the bits per byte, for models whose likelihood is a mean over draws. */
  readonly error?: number;
  readonly tokens?: number;
  /** Per token. */
  readonly perplexity?: number;
}

/**
 * Counts the bits that a model needs for documents, each predicted by itself from an end-of-text token.
 * @throws bad-input when there is no text; aborted.
 */
export async function measureText(
  model: BitCounter,
  text: MeasuredDocuments,
  options: MeasureTextOptions = {},
): Promise<TextFigures> {
  const { countTokens, maxBytes = Number.POSITIVE_INFINITY, signal, report } = options;
  let [documents, bytes, bits, tokens] = [0, 0, 0, 0];
  let variance: number | undefined;
  for await (const document of text.documents()) {
    throwIfAborted(signal);
    const part = cutUtf8(document.bytes, maxBytes - bytes);
    if (part.length === 0) break;
    const before = bytes;
    const counted = await model.bits(part, { signal, report: (done) => report?.(before + done) });
    bits += counted.bits;
    // The draws of one document are not those of another.
    if (counted.error !== undefined) variance = (variance ?? 0) + counted.error ** 2;
    documents++;
    bytes += part.length;
    tokens += countTokens?.(part) ?? 0;
    report?.(bytes);
    if (bytes >= maxBytes) break;
  }
  return {
    documents,
    bytes,
    bits,
    bitsPerByte: bitsPerByte(bits, bytes),
    ...(variance === undefined ? {} : { error: Math.sqrt(variance) / bytes }),
    ...(countTokens === undefined ? {} : { tokens, perplexity: perplexity(bits, tokens) }),
  };
}

/** At most the first `length` bytes of UTF-8 text, without a torn character at the end. */
export function cutUtf8(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length <= length) return bytes;
  let end = Math.max(0, Math.floor(length));
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}
