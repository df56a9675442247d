import fc from 'fast-check';
import { byteTokenizer, loadTokenizer, type Tokenizer, trainBpe } from 'tessera-kit/tokenizers';
import { beforeAll, describe, expect, it } from 'vitest';
import { CORPUS, drawer, TROUBLE } from './texts.js';

const PATTERNS = ['gpt2', 'cl100k', 'qwen2', 'none', { source: ' ?[a-z]+|\\s+|.' }] as const;
const anyText = fc.string({ unit: 'binary', maxLength: 60 });
/** Strings of any code units, lone surrogates among them. */
const anyUnits = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0xd800, max: 0xdfff })), { maxLength: 40 })
  .map((units) => String.fromCharCode(...units));

const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, '\ufffd');

describe.each(PATTERNS)('a tokenizer with the split pattern %o', (splitPattern) => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    ({ tokenizer } = await trainBpe(CORPUS, { vocabularySize: 600, splitPattern, specialTokens: ['<|pad|>'] }));
  });

  it('gives back every text', () => {
    for (const text of [...CORPUS, ...TROUBLE]) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    fc.assert(
      fc.property(anyText, (text) => tokenizer.decode(tokenizer.encode(text)) === text),
      { numRuns: 500 },
    );
  });

  it('encodes a lone surrogate as U+FFFD', () => {
    fc.assert(
      fc.property(anyUnits, (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(wellFormed(text));
        expect(tokenizer.encode(text)).toEqual(tokenizer.encode(wellFormed(text)));
      }),
    );
  });

  it('gives back every sequence of bytes', () => {
    expect(tokenizer.lossy).toBe(false);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect([...tokenizer.decodeBytes(tokenizer.encodeBytes(bytes))]).toEqual([...bytes]);
      }),
      { numRuns: 500 },
    );
  });

  it('encodes the UTF-8 of a text as the text', () => {
    for (const text of [...CORPUS, ...TROUBLE]) {
      expect(tokenizer.encodeBytes(new TextEncoder().encode(text))).toEqual(tokenizer.encode(text));
    }
  });

  it('encodes bytes in the middle of a larger buffer as the same bytes alone', () => {
    const bytes = new TextEncoder().encode(CORPUS.join(''));
    const larger = new Uint8Array(bytes.length + 7).fill(0x61);
    larger.set(bytes, 5);
    expect(tokenizer.encodeBytes(larger.subarray(5, 5 + bytes.length))).toEqual(tokenizer.encodeBytes(bytes));
  });

  it('decodes one id at a time to the same bytes, never half a character', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const decoder = tokenizer.createDecoder();
        const pieces = [...tokenizer.encode(text)].map((id) => decoder.pushText(id));
        expect(pieces.join('') + decoder.flushText()).toBe(text);
        expect(pieces.every((piece) => text.includes('\ufffd') || !piece.includes('\ufffd'))).toBe(true);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const decoder = tokenizer.createDecoder();
        const pieces = [...tokenizer.encodeBytes(bytes)].map((id) => decoder.push(id));
        expect([...pieces, decoder.flush()].flatMap((piece) => [...piece])).toEqual([...bytes]);
      }),
    );
  });

  it('saves a file that loads as a tokenizer with the same ids and the same file', () => {
    const [file, config] = tokenizer.save();
    expect(file?.file).toBe('tokenizer.json');
    expect(config?.file).toBe('tokenizer_config.json');
    const again = loadTokenizer(file?.text ?? '', { config: JSON.parse(config?.text ?? '') });
    expect(again.save()).toEqual(tokenizer.save());
    expect([again.endOfText, [...again.special], again.vocabulary.size]).toEqual([
      tokenizer.endOfText,
      [...tokenizer.special],
      tokenizer.vocabulary.size,
    ]);
    for (const text of [...CORPUS, ...TROUBLE]) expect(again.encode(text)).toEqual(tokenizer.encode(text));
  });

  it('gives each token its bytes and its id back', () => {
    for (let id = 0; id < tokenizer.vocabulary.size; id++) {
      const token = tokenizer.vocabulary.token(id);
      const special = [...tokenizer.special].find(([, each]) => each === id);
      expect(tokenizer.vocabulary.id(special === undefined ? token : special[0])).toBe(id);
    }
  });
});

describe('the word cache', () => {
  it('changes no id, however often it starts afresh', async () => {
    const { tokenizer } = await trainBpe(CORPUS, { vocabularySize: 400 });
    const draw = drawer(1);
    const words = Array.from({ length: 150_000 }, () =>
      Array.from({ length: 1 + draw(24) }, () => String.fromCharCode(97 + draw(26))).join(''),
    );
    const whole = tokenizer.encode(words.join(' '));
    const fresh = loadTokenizer(tokenizer.save()[0]?.text ?? '');
    const apart = words.map((word, i) => fresh.encode(i === 0 ? word : ` ${word}`));
    let at = 0;
    for (const ids of apart) {
      for (const id of ids) if (id !== whole[at++]) throw new Error(`id ${at - 1} differs`);
    }
    expect(at).toBe(whole.length);
  });
});

describe('a word of a megabyte', () => {
  it.each([
    ['of one letter', () => 'a'.repeat(1_000_000)],
    ['of letters at random', () => Array.from({ length: 1_000_000 }, () => 'etaoinshrdlu'[draw(12)]).join('')],
  ])('%s is encoded: where time grew with the square, this would outlast the limit of a test', async (_, make) => {
    const { tokenizer } = await trainBpe([...CORPUS, 'a'.repeat(4000)], { vocabularySize: 700 });
    const word = make();
    tokenizer.encode(word.slice(0, 100_000));
    expect(tokenizer.decode(tokenizer.encode(word))).toBe(word);
  });
  const draw = drawer(5);
});

describe('the byte tokenizer', () => {
  it('has the value of a byte as its id, and special tokens after the bytes', () => {
    const tokenizer = byteTokenizer({ specialTokens: ['<|user|>'] });
    expect([...tokenizer.encode('hé\0<|endoftext|><|user|>')]).toEqual([104, 195, 169, 0, 256, 257]);
    expect([tokenizer.name, tokenizer.vocabulary.size, tokenizer.endOfText]).toEqual(['bytes', 258, 256]);
  });

  it('may go without an end of text', () => {
    const tokenizer = byteTokenizer({ endOfText: false });
    expect([tokenizer.vocabulary.size, tokenizer.endOfText]).toEqual([256, undefined]);
  });

  it('gives back every sequence of bytes and saves itself', () => {
    const tokenizer = byteTokenizer();
    const again = loadTokenizer(tokenizer.save()[0]?.text ?? '');
    expect(again.name).toBe('bytes');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect([...tokenizer.decodeBytes(tokenizer.encodeBytes(bytes))]).toEqual([...bytes]);
        expect(again.encodeBytes(bytes)).toEqual(tokenizer.encodeBytes(bytes));
      }),
    );
  });

  it.each([[['']], [['<|a|>', '<|a|>']], [['<|endoftext|>']]])('refuses the special tokens %j', (specialTokens) => {
    expect(() => byteTokenizer({ specialTokens })).toThrow(/special token/);
  });
});
