/** The figures that models are compared by. */

import fc from 'fast-check';
import {
  bitsPerByte,
  compressedBitsPerByte,
  conditionalBytes,
  cutUtf8,
  lossToBitsPerByte,
  measureText,
  perplexity,
} from 'tessera-kit/measures';
import { describe, expect, it } from 'vitest';

const encoder = new TextEncoder();

async function* documentsOf(texts: readonly string[]) {
  for (const text of texts) yield { bytes: encoder.encode(text) };
}

describe('figures', () => {
  it('give one bit per byte for a byte that is one of two', () => {
    expect(bitsPerByte(1000, 1000)).toBe(1);
    expect(perplexity(1000, 1000)).toBe(2);
    expect(compressedBitsPerByte(125, 1000)).toBe(1);
    expect(conditionalBytes(1500, 1375)).toBe(125);
  });

  it('turn a loss in nats a token into bits a byte', () => {
    // log(256) nats a token of four bytes: eight bits for four bytes.
    expect(lossToBitsPerByte(Math.log(256), 1, 4)).toBeCloseTo(2, 12);
  });

  it('refuse to divide by nothing', () => {
    expect(() => bitsPerByte(1, 0)).toThrow(/no bytes/);
    expect(() => perplexity(1, 0)).toThrow(/no tokens/);
  });
});

describe('cutUtf8', () => {
  it('never tears a character and never takes more than asked for', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.nat(40), (text, length) => {
        const bytes = encoder.encode(text);
        const cut = cutUtf8(bytes, length);
        const decoded = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(cut);
        return (
          cut.length <= length && text.startsWith(decoded) && (bytes.length > length || cut.length === bytes.length)
        );
      }),
    );
  });
});

describe('measureText', () => {
  const twoBits = { bits: async (document: Uint8Array) => ({ bits: 2 * document.length }) };

  it('counts every byte once, over all documents', async () => {
    const text = { documents: () => documentsOf(['four', 'sixsix', '\u00e9']) };
    const figures = await measureText(twoBits, text, { countTokens: (bytes) => bytes.length / 2 });
    expect(figures).toEqual({ documents: 3, bytes: 12, bits: 24, bitsPerByte: 2, tokens: 6, perplexity: 16 });
  });

  it('stops after the bytes asked for, between two characters', async () => {
    const text = { documents: () => documentsOf(['four', 'a\u00e9']) };
    expect((await measureText(twoBits, text, { maxBytes: 6 })).bytes).toBe(5);
  });

  it('stops when it is told to, and says so for no text', async () => {
    const text = { documents: () => documentsOf(['four']) };
    await expect(measureText(twoBits, text, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'aborted',
    });
    await expect(measureText(twoBits, { documents: () => documentsOf([]) })).rejects.toThrow(/no bytes/);
  });
});
