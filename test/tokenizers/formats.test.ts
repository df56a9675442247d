import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { openTokenizer } from 'tessera-kit/tokenizers';
import { afterAll, describe, expect, it } from 'vitest';
import { openEncoding } from './encodings.js';
import { writeModel } from './sentencepiece-writer.js';
import { CORPUS, TROUBLE } from './texts.js';

const folder = mkdtempSync(join(tmpdir(), 'tessera-formats-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const write = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, content);
  return path;
};

describe("GPT-2's two files", () => {
  const gpt2 = openEncoding('r50k_base');
  const { model } = JSON.parse(gpt2.save()[0]?.text ?? '') as { model: { vocab: object; merges: string[] } };
  write('gpt2/vocab.json', JSON.stringify({ ...model.vocab, '<|endoftext|>': 50256 }));
  const merges = write('gpt2/merges.txt', `#version: 0.2\n${model.merges.join('\n')}\n`);

  it.each(['gpt2', 'gpt2/vocab.json', 'gpt2/merges.txt'])('give the ids of the encoding: %s', async (name) => {
    const tokenizer = await openTokenizer(join(folder, name));
    for (const text of [...CORPUS.slice(0, 6), ...TROUBLE]) expect(tokenizer.encode(text)).toEqual(gpt2.encode(text));
  });

  it('are refused with one of them missing', async () => {
    write('half/merges.txt', readFileSync(merges));
    await expect(openTokenizer(join(folder, 'half/merges.txt'))).rejects.toThrow(/half a tokenizer.*vocab\.json/);
  });
});

describe('vocab.txt', () => {
  const words = [
    '[PAD]',
    '[UNK]',
    '[CLS]',
    '[SEP]',
    '[MASK]',
    'riv',
    '##er',
    '##s',
    'cafe',
    'the',
    '3',
    ',',
    '中',
    '文',
  ];
  const path = write('bert/vocab.txt', `${words.join('\n')}\n`);
  const names = (ids: ArrayLike<number>): string[] => Array.from(ids, (id) => words[id] ?? '');

  it("is BERT's WordPiece: lower case, no accents, the longest pieces first", async () => {
    const tokenizer = await openTokenizer(path);
    expect(names(tokenizer.encode('The Rivers,CAFÉ 3中文 xyz'))).toEqual(
      'the riv ##er ##s , cafe 3 中 文 [UNK]'.split(' '),
    );
    expect(names(tokenizer.encode('the', { addSpecialTokens: true }))).toEqual(['[CLS]', 'the', '[SEP]']);
    expect(tokenizer.decode(tokenizer.encode('the rivers , cafe'))).toBe('the rivers, cafe');
  });

  it('keeps case where the configuration beside it says so', async () => {
    write('cased/vocab.txt', readFileSync(path));
    write('cased/tokenizer_config.json', '{"do_lower_case": false}');
    const tokenizer = await openTokenizer(join(folder, 'cased'));
    expect(names(tokenizer.encode('The the'))).toEqual(['[UNK]', 'the']);
  });
});

it('a SentencePiece model is opened from its folder and by its file', async () => {
  const bytes = writeModel({
    pieces: [
      { piece: '<unk>', type: 2 },
      { piece: '\u2581river', score: -1 },
      { piece: '\u2581', score: -3 },
      { piece: 's', score: -2 },
    ],
  });
  write('sp/tokenizer.model', bytes);
  for (const name of ['sp', 'sp/tokenizer.model']) {
    const tokenizer = await openTokenizer(join(folder, name));
    expect([...tokenizer.encode('rivers')]).toEqual([1, 3]);
  }
});

const data = join(process.env.TESSERA_DATA ?? 'data', 'tokenizers');

/** Recorded with Python's tokenizers and sentencepiece. */
describe.skipIf(!existsSync(data))(`published tokenizers${existsSync(data) ? '' : ` (no ${data})`}`, () => {
  const unpacked = (from: string, to: string): string => write(to, gunzipSync(readFileSync(join(data, from))));

  it.each([
    ['gpt2', 'gpt2.tokenizer-json'],
    ['llama2', 'llama2.sentencepiece'],
    ['sentencepiece-test/test_model.model', 'sp-test-en.sentencepiece'],
    ['sentencepiece-test/test_ja_model.model', 'sp-test-ja.sentencepiece'],
  ])('give the recorded ids: %s', async (name, reference) => {
    if (name === 'gpt2') {
      unpacked('gpt2/vocab.json.gz', 'published/vocab.json');
      write('published/merges.txt', readFileSync(join(data, 'gpt2/merges.txt')));
    }
    const tokenizer = await openTokenizer(name === 'gpt2' ? join(folder, 'published') : join(data, name));
    const lines = gunzipSync(readFileSync(join(data, 'reference', `${reference}.jsonl.gz`)))
      .toString()
      .trim()
      .split('\n');
    expect(lines.length).toBeGreaterThan(100);
    for (const line of lines) {
      const { text, ids } = JSON.parse(line) as { text: string; ids: number[] };
      expect([...tokenizer.encode(text)], text).toEqual(ids);
    }
  });
});
