import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readPreTokenizer } from '../../dist/tokenizers/pretokenize.js';
import { translatePattern } from '../../dist/tokenizers/regular-expression.js';
import { findScanner, SPLIT_PATTERNS } from '../../dist/tokenizers/scanners.js';
import { CORPUS, TROUBLE } from './texts.js';

/** Characters on which the patterns turn. */
const pieces = fc.constantFrom(
  ...["'", "'s", "'RE", "'ſ", "'Ll", ' ', '  ', '\n', '\r\n', '\t', '\u0085', '\u00a0', '\u3000', '\ufeff'],
  ...[
    'a',
    'B',
    'é',
    'e\u0301',
    'ǅ',
    'ʰ',
    '1',
    '23',
    '½',
    '٣',
    'Ⅷ',
    '!',
    '?',
    '-',
    '_',
    '/',
    '<|',
    '😀',
    '中',
    '\0',
    '\u200d',
  ],
);
const text = fc.oneof(
  fc.array(pieces, { maxLength: 14 }).map((parts) => parts.join('')),
  fc.string({ unit: 'binary', maxLength: 30 }),
);

function scanned(source: string, bytes: Uint8Array): readonly string[] {
  const scan = findScanner(source);
  const words: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = scan?.(bytes, at, bytes.length) ?? bytes.length;
    words.push(Array.from(bytes.subarray(at, end)).join(' '));
    at = end;
  }
  return words;
}

describe.each(Object.entries(SPLIT_PATTERNS))('the scanner of %s', (_, source) => {
  it('splits as the regular expression does', () => {
    const expression = translatePattern(source);
    const encoder = new TextEncoder();
    const check = (each: string): void => {
      const expected = (each.match(expression) ?? []).map((word) => encoder.encode(word).join(' '));
      expect(scanned(source, encoder.encode(each))).toEqual(expected);
    };
    for (const each of [...CORPUS, ...TROUBLE]) check(each);
    fc.assert(fc.property(text, check), { numRuns: 3000 });
  });

  it('goes through any bytes word by word, to the end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const words = scanned(source, bytes);
        expect(words.every((word) => word !== '')).toBe(true);
        expect(words.join(' ')).toBe(bytes.join(' '));
      }),
    );
  });
});

describe('a split pattern of another dialect', () => {
  it.each<[string, string, readonly string[]]>([
    ['(?i:ab)c', 'ABc abC aBc', ['ABc', 'aBc']],
    ["'(?i:[sdmt]|ll)", "'S 'LL 'ſ 'x", ["'S", "'LL", "'ſ"]],
    ['a++b|a', 'aab aac', ['aab', 'a', 'a']],
    ['a++a', 'aaa', []],
    ['(?:ab)?+c', 'abc c', ['abc', 'c']],
    ['\\p{N}{1,3}+', '1234567', ['1234567']],
    ['\\s+$', 'a  \nb', ['  ']],
    ['\\d+|\\w+', 'x1 ٣', ['x1', '٣']],
    ['[^\\s\\-\\#]+', 'a-b#c d\u0085e', ['a', 'b', 'c', 'd', 'e']],
    ['\\"\\-|\\/', 'a"-/', ['"-', '/']],
    ['\\p{^L}', 'a1', ['1']],
    ['\\Aa|b\\z', 'aab bb', ['a', 'b']],
  ])('%s', (source, given, expected) => {
    expect(given.match(translatePattern(source)) ?? []).toEqual(expected);
  });

  it.each(['[[:alpha:]]', '[a&&b]', '(', '\\h+', '(?i:[a-z])', '(?>a)', '[\\W]'])('is refused: %s', (source) => {
    expect(() => translatePattern(source)).toThrow(`The split pattern ${JSON.stringify(source)} cannot be used`);
  });
});

describe('a Split', () => {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, use_regex: false };
  const words = (parts: readonly Record<string, unknown>[], given: string | Uint8Array): readonly string[] => {
    const json = JSON.parse(JSON.stringify({ type: 'Sequence', pretokenizers: [...parts, byteLevel] }));
    const { split } = readPreTokenizer(json, 'test');
    const bytes = typeof given === 'string' ? new TextEncoder().encode(given) : given;
    const ranges = split?.(bytes, 0, bytes.length) ?? [];
    return ranges.flatMap((start, i) =>
      i % 2 === 0 ? [new TextDecoder().decode(bytes.subarray(start, ranges[i + 1]))] : [],
    );
  };
  const part = (pattern: unknown, behavior: string, invert = false) => ({ type: 'Split', pattern, behavior, invert });

  it('keeps all, the matches or the gaps', () => {
    expect(words([part({ Regex: '\\d' }, 'Isolated')], 'a1é23')).toEqual(['a', '1', 'é', '2', '3']);
    expect(words([part({ Regex: '\\d' }, 'Removed')], 'a1é23')).toEqual(['a', 'é']);
    expect(words([part({ Regex: '\\d' }, 'Removed', true)], 'a1é23')).toEqual(['1', '2', '3']);
    expect(words([part({ String: '.' }, 'Isolated')], 'a.b')).toEqual(['a', '.', 'b']);
  });

  it('works on what the one before left', () => {
    const parts = [part({ Regex: '\\d' }, 'Isolated'), part({ Regex: SPLIT_PATTERNS.gpt2 }, 'Isolated')];
    expect(words(parts, 'ab 12 c')).toEqual(['ab', ' ', '1', '2', ' c']);
  });

  it('makes a word of a byte that is not UTF-8', () => {
    expect(words([part({ Regex: 'b+' }, 'Isolated')], Uint8Array.of(0x61, 0xff, 0x62, 0x62, 0xc3))).toEqual([
      'a',
      '\ufffd',
      'bb',
      '\ufffd',
    ]);
  });
});
