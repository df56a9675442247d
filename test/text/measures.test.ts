import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import {
  countBytes,
  countCodePoints,
  countScripts,
  countText,
  graphemes,
  isNormalized,
  normalizationForms,
  offsetTable,
  scriptOf,
  splitLines,
  splitParagraphs,
  truncate,
} from 'tessera-kit/text';
import { describe, expect, it } from 'vitest';
import { MIXED, SAMPLES } from './samples.js';

const encoder = new TextEncoder();
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.array(fc.integer({ max: 0xffff }), { maxLength: 100 }).map((units) => String.fromCharCode(...units)),
  fc.constant(MIXED),
);

describe('counts', () => {
  it('agree with encoder and iterator for any text', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(countBytes(text)).toBe(encoder.encode(text).length);
        expect(countCodePoints(text)).toBe([...text].length);
      }),
    );
  });

  it('tell five lengths', () => {
    expect(countText('e\u0301👍🏽\r\nß')).toEqual({ graphemes: 4, codePoints: 7, units: 9, bytes: 15, lines: 2 });
    expect(countText('')).toEqual({ graphemes: 0, codePoints: 0, units: 0, bytes: 0, lines: 0 });
  });
});

describe('lines and paragraphs', () => {
  it('joined are the text', () => {
    fc.assert(
      fc.property(anyText, fc.array(fc.constantFrom('a', ' ', '\n', '\r', '\u2029')), (text, more) => {
        const whole = text + more.join('');
        expect(splitLines(whole).join('')).toBe(whole);
        expect(splitParagraphs(whole).join('')).toBe(whole);
      }),
    );
  });

  it('end at every line end of Unicode, and at blank lines', () => {
    expect(splitLines('a\r\nb\rc\n\nd\u0085e\u2028f\u2029g\vh\fi')).toEqual([
      'a\r\n',
      'b\r',
      'c\n',
      '\n',
      'd\u0085',
      'e\u2028',
      'f\u2029',
      'g\v',
      'h\f',
      'i',
    ]);
    expect(splitLines('a\n')).toEqual(['a\n']);
    expect(splitParagraphs('\n\na\nb\n \t\n\nc\n')).toEqual(['\n\na\nb\n \t\n\n', 'c\n']);
  });
});

describe('offsets', () => {
  it('are those of a walk through the text, for every place in every unit', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const table = offsetTable(text);
        const at = { bytes: 0, units: 0, codePoints: 0 };
        for (const character of text) {
          const size = { bytes: encoder.encode(character).length, units: character.length, codePoints: 1 };
          for (const from of ['bytes', 'units', 'codePoints'] as const) {
            for (let inside = 0; inside < size[from]; inside++) {
              for (const to of ['bytes', 'units', 'codePoints'] as const) {
                // In its own unit, too, a place inside a character is the character's start.
                if (table.convert(at[from] + inside, from, to) !== at[to]) expect.fail(`${from} to ${to} in "${text}"`);
              }
            }
          }
          at.bytes += size.bytes;
          at.units += size.units;
          at.codePoints++;
        }
        expect([table.length('bytes'), table.length('units'), table.length('codePoints')]).toEqual([
          at.bytes,
          at.units,
          at.codePoints,
        ]);
        expect(table.convert(at.bytes, 'bytes', 'units')).toBe(text.length);
      }),
      { numRuns: 40 },
    );
  });

  it('outside of the text are refused', () => {
    const table = offsetTable('aé');
    for (const offset of [-1, 4, 0.5]) {
      expect(() => table.convert(offset, 'bytes', 'units')).toThrow(expect.objectContaining({ code: 'bad-option' }));
    }
  });
});

describe('truncation', () => {
  it('ends between graphemes, within every limit, and one more grapheme would be too much', () => {
    const limits = fc.record({ bytes: fc.nat(40), units: fc.nat(30), codePoints: fc.nat(30), graphemes: fc.nat(20) });
    const text = fc.array(fc.constantFrom('a', 'é', 'e\u0301', '👍🏽', '漢', '🇩🇪', '\r\n', ' ')).map((p) => p.join(''));
    fc.assert(
      fc.property(text, limits, (whole, limit) => {
        const fits = (t: string): boolean => {
          const { bytes, units, codePoints, graphemes: clusters } = countText(t);
          return (
            bytes <= limit.bytes &&
            units <= limit.units &&
            codePoints <= limit.codePoints &&
            clusters <= limit.graphemes
          );
        };
        const cut = truncate(whole, limit);
        const pieces = [...graphemes(whole)];
        const kept = [...graphemes(cut)].length;
        expect(fits(cut) && pieces.slice(0, kept).join('') === cut).toBe(true);
        expect(cut === whole || !fits(pieces.slice(0, kept + 1).join(''))).toBe(true);
      }),
    );
    expect(truncate('abc', {})).toBe('abc');
    expect(() => truncate('abc', { bytes: Number.NaN })).toThrow(expect.objectContaining({ code: 'bad-option' }));
  });
});

describe('scripts and normalization', () => {
  it('count each code point once, under its script', () => {
    expect([...countScripts('Abc где漢字 ひカ!')]).toEqual([
      ['Common', 3],
      ['Cyrillic', 3],
      ['Latin', 3],
      ['Han', 2],
      ['Hiragana', 1],
      ['Katakana', 1],
    ]);
    const total = [...countScripts(MIXED).values()].reduce((sum, count) => sum + count, 0);
    expect(total).toBe(countCodePoints(MIXED));
    const main: Record<string, string> = { russian: 'Cyrillic', thai: 'Thai', korean: 'Hangul', hindi: 'Devanagari' };
    for (const [name, script] of Object.entries(main)) {
      expect([...countScripts(SAMPLES[name] ?? '').keys()][0]).toBe(script);
    }
    expect([scriptOf(0x301), scriptOf(0x378), scriptOf(0xd800)]).toEqual(['Inherited', 'Unknown', 'Unknown']);
  });

  it('know every letter of the first plane that the engine knows', () => {
    for (let point = 0; point < 0x10000; point += 7) {
      const letter = /\p{L}/u.test(String.fromCodePoint(point));
      if (letter && scriptOf(point) === 'Unknown') expect.fail(`U+${point.toString(16)}`);
    }
  });

  it('tell the forms that a text is in', () => {
    expect(normalizationForms('abc')).toEqual(['NFC', 'NFD', 'NFKC', 'NFKD']);
    expect(normalizationForms('é')).toEqual(['NFC', 'NFKC']);
    expect(normalizationForms('e\u0301')).toEqual(['NFD', 'NFKD']);
    expect(normalizationForms('ﬁ')).toEqual(['NFC', 'NFD']);
    expect(isNormalized('ﬁ', 'NFKC')).toBe(false);
  });

  const ntrex = join(process.env.TESSERA_DATA ?? 'data', 'ntrex-128');
  it.skipIf(!existsSync(ntrex))('find the script of NTREX-128 languages (set TESSERA_DATA)', () => {
    const scripts: Record<string, string> = {
      amh: 'Ethiopic',
      ben: 'Bengali',
      ell: 'Greek',
      heb: 'Hebrew',
      tha: 'Thai',
    };
    for (const [language, script] of Object.entries(scripts)) {
      const text = gunzipSync(readFileSync(join(ntrex, `newstest2019-ref.${language}.txt.gz`))).toString();
      expect([...countScripts(text).keys()][0], language).toBe(script);
      expect(splitLines(text).join('')).toBe(text);
    }
  });
});
