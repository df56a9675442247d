import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { splitWordBytes, splitWords, unicodeWords, wordBoundaries, wordEnds, wordStream } from 'tessera-kit/text';
import { describe, expect, it } from 'vitest';

const fixture = (name: string): string => readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8');
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const joined = (parts: readonly Uint8Array[]): number[] => parts.flatMap((part) => [...part]);

/** Texts of pieces that meet the rules in every order. */
const trickyText = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...['a', 'B', 'é', 'ß', 'א', "'", '"', '.', ':', ',', '_', '1', '٣', '⁄', ' ', '  ', '\t', '\n', '\r', '\r\n'],
        ...[
          '\u3000',
          '\u0301',
          '\u200d',
          '\u00ad',
          'ア',
          '漢',
          'ก',
          '🇩',
          '🇪',
          '👩',
          '🏽',
          'ℹ',
          'Ⓜ',
          '\u2028',
          '\ufffd',
        ],
      ),
      fc.string({ unit: 'binary', maxLength: 2 }),
    ),
    { maxLength: 16 },
  )
  .map((parts) => parts.join(''));

describe('word boundaries', () => {
  it('agree with every case of WordBreakTest-16.0.0', () => {
    const cases = fixture('word-break-test-16.txt')
      .split('\n')
      .filter((line) => line.startsWith('÷'));
    expect(cases.length).toBeGreaterThan(1800);
    for (const line of cases) {
      const words = line.slice(2, -2).split(' ÷ ');
      const expected = words.map((word) =>
        String.fromCodePoint(...word.split(' × ').map((hex) => Number.parseInt(hex, 16))),
      );
      expect(unicodeWords(expected.join('')), line).toEqual(expected);
    }
  });

  it('rest on a table that tells of characters what the engine does, where it knows them', () => {
    let differ = 0;
    for (let point = 0; point < 0x20000; point += point < 0x3000 ? 1 : 7) {
      if (point >= 0xd800 && point < 0xe000) continue;
      const character = String.fromCodePoint(point);
      const first = /\p{P}/u.test(character)
        ? `b${character}`
        : /[\p{Lu}\p{White_Space}]/u.test(character)
          ? 'b'
          : undefined;
      if (first !== undefined && splitWords(`b${character}b`)[0] !== first) differ++;
    }
    // Characters that Unicode added after 16.0.
    expect(differ).toBeLessThan(10);
  });

  it('go round in order and lose nothing, lone surrogates too', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 0xffff })), (units) => {
        const text = String.fromCharCode(...units);
        expect(unicodeWords(text).join('')).toBe(text);
        const found = wordBoundaries(text);
        expect(found).toEqual([...new Set(found)].sort((a, b) => a - b));
      }),
    );
  });
});

describe('the word splitter', () => {
  const cases = JSON.parse(fixture('hat-splitter.json')) as { text: string; words: string[]; ofEightBytes: number[] }[];

  it.each(cases)('splits $text as hat-splitter 0.1.10 does', ({ text, words, ofEightBytes }) => {
    expect(splitWords(text)).toEqual(words);
    expect(splitWordBytes(bytesOf(text), { maxBytes: 8 }).map((word) => word.length)).toEqual(ofEightBytes);
  });

  it('cuts long words between characters where one fits', () => {
    expect(splitWords('Hello, world!', { maxBytes: 4 })).toEqual(['Hell', 'o,', ' wor', 'ld!']);
    expect(splitWords('verylongword', { maxBytes: 10 })).toEqual(['verylongwo', 'rd']);
    expect(splitWords('für', { maxBytes: 2 })).toEqual(['f', 'ü', 'r']);
    expect(splitWordBytes(bytesOf('🌝'), { maxBytes: 2 }).map((word) => word.length)).toEqual([2, 2]);
    expect(splitWordBytes(bytesOf('año'), { maxBytes: 1 }).map((word) => word.length)).toEqual([1, 1, 1, 1]);
  });

  it('keeps every byte of any bytes, in words of the allowed length', () => {
    const limits = fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined });
    const input = fc.oneof(fc.uint8Array({ maxLength: 60 }), trickyText.map(bytesOf));
    fc.assert(
      fc.property(input, limits, (bytes, maxBytes) => {
        const words = splitWordBytes(bytes, { maxBytes });
        expect(joined(words)).toEqual([...bytes]);
        for (const word of words) expect(word.length > 0 && word.length <= (maxBytes ?? bytes.length)).toBe(true);
      }),
    );
  });

  it('gives a stream the words of the whole, wherever its chunks end', () => {
    const input = fc.oneof(fc.uint8Array({ maxLength: 60 }), trickyText.map(bytesOf));
    const options = fc.record({ maxBytes: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }) });
    fc.assert(
      fc.property(input, fc.array(fc.nat(60), { maxLength: 8 }), options, (bytes, cuts, limit) => {
        const stream = wordStream(limit);
        const places = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
        const words = places.slice(1).flatMap((end, index) => stream.push(bytes.subarray(places[index], end)));
        words.push(...stream.finish());
        expect(words).toEqual(splitWordBytes(bytes, limit).map((word) => word.slice()));
        expect([...stream.push(bytes), ...stream.finish()]).toEqual(words); // begins anew
      }),
    );
  });

  it('keeps the words of a prefix, but for the last one, which may grow', () => {
    fc.assert(
      fc.property(trickyText, (text) => {
        const whole = splitWords(text);
        const points = [...text];
        for (let length = 0; length < points.length; length++) {
          splitWords(points.slice(0, length).join('')).forEach((word, index) => {
            // Torn surrogates become U+FFFD at the end.
            expect(
              whole
                .slice(index)
                .join('')
                .startsWith(word.replace(/\ufffd$/, '')),
            ).toBe(true);
          });
        }
      }),
      { numRuns: 60 },
    );
  });

  it('makes bytes that UTF-8 never uses, or chosen ones, words by themselves', () => {
    const lengths = (bytes: readonly number[], special?: readonly number[]): number[] =>
      splitWordBytes(Uint8Array.from(bytes), { special }).map((word) => word.length);
    expect(lengths([0x61, 0xc0, 0x2e, 0xff, 0xff, 0x62])).toEqual([1, 1, 1, 1, 1, 1]);
    expect(lengths([0x20, 0x01, 0x61])).toEqual([2, 1]);
    expect(lengths([0x61, 0x01, 0x2e], [0x01])).toEqual([1, 1, 1]);
    expect(lengths([0x20, 0xff], [])).toEqual([2]);
    expect(() => splitWords('a', { special: [0x80] })).toThrow(expect.objectContaining({ code: 'bad-option' }));
    expect(() => splitWords('a', { maxBytes: 0 })).toThrow(expect.objectContaining({ code: 'bad-option' }));
    expect(() => wordStream({ maxBytes: 1.5 })).toThrow(expect.objectContaining({ code: 'bad-option' }));
  });

  it('takes linear time over a word of a megabyte, whole, limited and in small chunks', () => {
    for (const unit of ['a', 'é', '\u0301', '1,']) {
      const bytes = bytesOf(unit.repeat(Math.floor(1_000_000 / bytesOf(unit).length)));
      expect(wordEnds(bytes).at(-1)).toBe(bytes.length);
      expect(wordEnds(bytes, { maxBytes: 100 }).length).toBeGreaterThanOrEqual(bytes.length / 100);
      const stream = wordStream();
      let length = 0;
      for (let at = 0; at < bytes.length; at += 5000) {
        for (const word of stream.push(bytes.subarray(at, at + 5000))) length += word.length;
      }
      for (const word of stream.finish()) length += word.length;
      expect(length).toBe(bytes.length);
    }
  });

  const ntrex = join(process.env.TESSERA_DATA ?? 'data', 'ntrex-128');
  it.skipIf(!existsSync(ntrex))('keeps every language of NTREX-128 (set TESSERA_DATA)', () => {
    const files = readdirSync(ntrex).filter((name) => name.endsWith('.txt.gz'));
    expect(files.length).toBeGreaterThan(100);
    for (const name of files) {
      const bytes = new Uint8Array(gunzipSync(readFileSync(join(ntrex, name)))).subarray(0, 30_000);
      const ends = wordEnds(bytes, { maxBytes: 100 });
      expect(ends.at(-1)).toBe(bytes.length);
      expect(ends.every((end, index) => end - (ends[index - 1] ?? 0) <= 100 && end > (ends[index - 1] ?? 0))).toBe(
        true,
      );
    }
  });
});
