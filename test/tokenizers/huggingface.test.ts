import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AutoTokenizer, env } from '@huggingface/transformers';
import { byteTokenizer, loadTokenizer, type Tokenizer, trainBpe } from 'tessera-kit/tokenizers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CORPUS, drawer, TROUBLE } from './texts.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-'));
  env.allowRemoteModels = false;
  env.localModelPath = folder;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Texts on which transformers.js and Python agree: its `\s` is JavaScript's, with U+FEFF and without U+0085. */
const draw = drawer(11);
const random = Array.from({ length: 300 }, () =>
  Array.from(
    { length: 1 + draw(12) },
    () => ["'s", ' ', '  ', '\n', '\t', 'ab', 'Çé', '12', '!', '中文', '<|endoftext|>', '😀'][draw(12)],
  ).join(''),
);
const texts = [...CORPUS, ...TROUBLE, ...random];

/** Opens what `save` gives as transformers.js does from a path, without a network. */
async function open(name: string, tokenizer: Tokenizer) {
  await mkdir(join(folder, name), { recursive: true });
  for (const { file, text } of tokenizer.save({ maxLength: 512 })) await writeFile(join(folder, name, file), text);
  return AutoTokenizer.from_pretrained(name);
}

const withComponents = (tokenizer: Tokenizer, components: Record<string, unknown>): Tokenizer => {
  const [file, config] = tokenizer.save();
  return loadTokenizer({ ...JSON.parse(file?.text ?? ''), ...components }, { config: JSON.parse(config?.text ?? '') });
};

describe('transformers.js', () => {
  const trained = async (options: Partial<Parameters<typeof trainBpe>[1]> = {}): Promise<Tokenizer> =>
    (await trainBpe(CORPUS, { vocabularySize: 700, ...options })).tokenizer;
  const cases: readonly [string, () => Tokenizer | Promise<Tokenizer>][] = [
    ['bytes', () => byteTokenizer()],
    ['gpt2', () => trained()],
    ['cl100k', () => trained({ splitPattern: 'cl100k', specialTokens: ['<|user|>'] })],
    ['qwen2', () => trained({ splitPattern: 'qwen2' })],
    ['whole', () => trained({ splitPattern: 'none' })],
    [
      'space',
      async () =>
        withComponents(await trained(), {
          pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
        }),
    ],
    ['nfc', async () => withComponents(await trained(), { normalizer: { type: 'NFC' } })],
  ];
  it.each(cases)('opens a saved tokenizer with the same ids and the same text: %s', async (name, make) => {
    const tokenizer = await make();
    const theirs = await open(name, tokenizer);
    for (const text of texts) {
      const ids = [...tokenizer.encode(text)];
      expect(theirs.encode(text, { add_special_tokens: false }), JSON.stringify(text)).toEqual(ids);
      if (ids.length > 0) expect(tokenizer.decode(ids)).toBe(theirs.decode(ids));
    }
    expect(theirs.model_max_length).toBe(512);
    expect(theirs.eos_token).toBe('<|endoftext|>');
    expect(theirs.encode(theirs.eos_token, { add_special_tokens: false })).toEqual([tokenizer.endOfText]);
  });
});
