/** Room for the UTF-8 of texts that is used again from call to call. */

type Bytes = Uint8Array<ArrayBuffer>;

/** Room for text, in bytes, and for ids that is kept between calls. */
export const KEPT: number = 1 << 20;

/** Gives a buffer with room for so many bytes. */
export type KeptBuffer = (length: number) => Bytes;

/** Gives a buffer with room for `length` bytes; the same one again unless it would be large. */
export function keptBuffer(): KeptBuffer {
  let kept = new Uint8Array(0);
  return (length) => {
    if (length > KEPT) return new Uint8Array(length);
    if (length > kept.length) kept = new Uint8Array(Math.min(KEPT, Math.max(1024, length * 2)));
    return kept;
  };
}

const encoder = new TextEncoder();

/** The text's UTF-8; a lone surrogate is U+FFFD. */
export function toUtf8(kept: KeptBuffer, text: string): Bytes {
  const most = text.length * 3;
  if (most > KEPT) return encoder.encode(text);
  const buffer = kept(most);
  return buffer.subarray(0, encoder.encodeInto(text, buffer).written);
}
