import fc from 'fast-check';
import { splitByTokens, truncateToTokens } from 'tessera-kit/tokenizers';
import { describe, expect, it } from 'vitest';
import { openEncoding } from './encodings.js';
import { CORPUS, TROUBLE } from './texts.js';

const tokenizer = openEncoding('cl100k_base');
const count = (text: string): number => tokenizer.encode(text).length;
const texts = fc.oneof(
  fc.constantFrom(...CORPUS.slice(0, 6), ...TROUBLE),
  fc.string({ unit: 'grapheme', maxLength: 80 }),
  fc
    .array(fc.constantFrom('word ', 'line\n', 'two\n\n', '😀', 'é', ' ', 'antidisestablishmentarianism'), {
      maxLength: 40,
    })
    .map((parts) => parts.join('')),
);
const whole = (text: string): boolean => !/^[\udc00-\udfff]|[\ud800-\udbff]$/.test(text);

describe('truncateToTokens', () => {
  it('keeps the longest beginning or end that fits, and no part of a character', () => {
    fc.assert(
      fc.property(texts, fc.nat(30), (text, budget) => {
        const start = truncateToTokens(tokenizer, text, budget);
        expect(text.startsWith(start)).toBe(true);
        expect(count(start)).toBeLessThanOrEqual(budget);
        expect(whole(start)).toBe(true);
        const more = [...text.slice(start.length)][0];
        if (more !== undefined) expect(count(start + more)).toBeGreaterThan(budget);

        const end = truncateToTokens(tokenizer, text, budget, { keep: 'end' });
        expect(text.endsWith(end)).toBe(true);
        expect(count(end)).toBeLessThanOrEqual(budget);
        expect(whole(end)).toBe(true);
        const before = [...text.slice(0, text.length - end.length)].at(-1);
        if (before !== undefined) expect(count(before + end)).toBeGreaterThan(budget);
      }),
      { numRuns: 300 },
    );
  });

  it('cuts at words, lines and paragraphs where it is asked to', () => {
    const text = 'First line here\nsecond line of it\n\nA new paragraph begins\nand ends';
    expect(truncateToTokens(tokenizer, text, 12, { at: 'word' })).toMatch(/\s$/);
    expect(truncateToTokens(tokenizer, text, 12, { at: 'line' })).toBe('First line here\nsecond line of it\n\n');
    expect(truncateToTokens(tokenizer, text, 12, { at: 'paragraph' })).toBe('First line here\nsecond line of it\n\n');
    expect(truncateToTokens(tokenizer, text, 6, { at: 'paragraph' })).toBe('First line here\n');
    expect(truncateToTokens(tokenizer, text, 5, { at: 'word', keep: 'end' })).toBe('paragraph begins\nand ends');
  });

  it('takes everything that fits, and nothing where nothing does', () => {
    expect(truncateToTokens(tokenizer, 'short', 100)).toBe('short');
    expect(truncateToTokens(tokenizer, 'short', 0)).toBe('');
    expect(() => truncateToTokens(tokenizer, 'short', 1.5)).toThrow(
      'A budget must be a whole number of tokens from 0, not 1.5.',
    );
  });
});

describe('splitByTokens', () => {
  it('gives pieces that fit and together are the text', () => {
    fc.assert(
      fc.property(
        fc.array(texts, { maxLength: 8 }),
        fc.integer({ min: 8, max: 60 }),
        fc.constantFrom('character', 'word', 'line', 'paragraph'),
        (parts, budget, at) => {
          const text = parts.join('');
          const pieces = splitByTokens(tokenizer, text, budget, { at });
          expect(pieces.join('')).toBe(text);
          for (const piece of pieces) {
            expect(piece).not.toBe('');
            expect(count(piece)).toBeLessThanOrEqual(budget);
            expect(whole(piece)).toBe(true);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('ends pieces after words', () => {
    const pieces = splitByTokens(tokenizer, 'the quick brown fox jumps over the lazy dog '.repeat(20), 16);
    for (const piece of pieces) expect(piece).toMatch(/^\S.*\s$/);
  });

  it('refuses a budget that a character does not fit', () => {
    expect(() => splitByTokens(tokenizer, 'a\u{1F9FF}', 1)).toThrow(/alone is more than 1 tokens/);
    expect(() => splitByTokens(tokenizer, 'a', 0)).toThrow('from 1, not 0');
  });
});
