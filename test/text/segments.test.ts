import fc from 'fast-check';
import { graphemes, sentences, type WordSegment, words } from 'tessera-kit/text';
import { describe, expect, it } from 'vitest';
import { MIXED, SAMPLES } from './samples.js';

const engine = (text: string, granularity: 'word' | 'sentence' | 'grapheme', locale = 'und'): Intl.SegmentData[] => [
  ...new Intl.Segmenter(locale, { granularity }).segment(text),
];
const shown = ({ text, wordLike }: WordSegment): string => `${text}|${wordLike}`;
const asked = ({ segment, isWordLike }: Intl.SegmentData): string => `${segment}|${isWordLike}`;

/** Sample texts in random order, some torn, long enough to need several windows. */
const longText = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...Object.values(SAMPLES),
        ...Object.values(SAMPLES).map((sample) => sample.replace(/\s+$/, ' ')),
      ),
      fc.string({ unit: 'grapheme', maxLength: 5 }),
      fc.constantFrom(' ', 'a', '1', "'", '.', '\u0301', '\u200d', '。', '漢', 'か', 'カ', '\ud800'),
    ),
    { minLength: 1, maxLength: 120 },
  )
  .map((parts) => parts.join(''));

describe('segments', () => {
  it('are those of the engine for every sample, also in a language', () => {
    for (const [name, sample] of Object.entries(SAMPLES)) {
      expect([...words(sample)].map(shown), name).toEqual(engine(sample, 'word').map(asked));
      expect([...sentences(sample)].map((s) => s.text)).toEqual(engine(sample, 'sentence').map((s) => s.segment));
      expect([...graphemes(sample)]).toEqual(engine(sample, 'grapheme').map((s) => s.segment));
    }
    for (const locale of ['sv', 'el', 'ja', 'en']) {
      expect([...words(MIXED, { locale })].map(shown)).toEqual(engine(MIXED, 'word', locale).map(asked));
    }
  });

  it('do not depend on windows: a long text gives what the engine gives for the whole', () => {
    fc.assert(
      fc.property(longText, (text) => {
        expect([...words(text)].map(shown)).toEqual(engine(text, 'word').map(asked));
        expect([...graphemes(text)]).toEqual(engine(text, 'grapheme').map((s) => s.segment));
        expect([...sentences(text)].map((s) => s.text)).toEqual(engine(text, 'sentence').map((s) => s.segment));
      }),
      { numRuns: 25 },
    );
  });

  it('of Latin text, cut without the engine, are the same', () => {
    const latin = fc.string({ unit: fc.integer({ max: 0x2ff }).map((p) => String.fromCharCode(p)), maxLength: 30 });
    const prose = fc.string({ unit: fc.constantFrom(...'aZé1_ .:,\'"-\t\r\n\u00a0\u00ad\u00b7'), maxLength: 30 });
    fc.assert(
      fc.property(fc.oneof(latin, prose), (text) => {
        expect([...words(text)].map(shown)).toEqual(engine(text, 'word').map(asked));
        expect([...graphemes(text)]).toEqual(engine(text, 'grapheme').map((s) => s.segment));
      }),
      { numRuns: 500 },
    );
  });

  it('lie end to end', () => {
    let at = 0;
    for (const { text, start, end } of words(MIXED)) {
      expect([start, MIXED.slice(start, end)]).toEqual([at, text]);
      at = end;
    }
    expect(at).toBe(MIXED.length);
    at = 0;
    for (const { text, start, end } of sentences(MIXED)) {
      expect([start, MIXED.slice(start, end)]).toEqual([at, text]);
      at = end;
    }
    expect(at).toBe(MIXED.length);
    expect([...words('')]).toEqual([]);
  });

  it('take linear time over long texts: one word, one cluster, prose without line ends', () => {
    for (const unit of ['a', 'ж', 'e\u0301', 'a b ', 'Слово и дело. ', 'ข้าว ']) {
      const text = unit.repeat(Math.floor(100_000 / unit.length));
      let length = 0;
      for (const word of words(text)) length += word.text.length;
      expect(length).toBe(text.length);
    }
    expect([...graphemes(`x${'\u0301'.repeat(100_000)}y`)].length).toBe(2);
  });

  it('of an unknown language are refused', () => {
    expect(() => [...words('a', { locale: 'no such language' })]).toThrow(
      expect.objectContaining({ code: 'bad-option', message: expect.stringContaining('no such language') }),
    );
  });
});
