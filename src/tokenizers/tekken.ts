/**
 * Mistral's `tekken.json`: a pattern, tokens in base64 with their ranks, and special tokens, which have the first ids; a
 * token's id is its rank after them (github.com/mistralai/mistral-common, `tekken.py`). Merges as tiktoken's do.
 */

import { isJsonObject, type Json, type JsonObject } from '../formats/json.js';
import { TesseraError } from '../host/error.js';
import { tiktokenTokenizer } from './tiktoken.js';
import type { Tokenizer } from './tokenizer.js';

/** The special tokens of files that do not list them, by id. */
const UNLISTED: readonly string[] = [
  ...['<unk>', '<s>', '</s>', '[INST]', '[/INST]', '[AVAILABLE_TOOLS]', '[/AVAILABLE_TOOLS]', '[TOOL_RESULTS]'],
  ...['[/TOOL_RESULTS]', '[TOOL_CALLS]', '[IMG]', '<pad>', '[IMG_BREAK]', '[IMG_END]', '[PREFIX]', '[MIDDLE]'],
  ...['[SUFFIX]', '[SYSTEM_PROMPT]', '[/SYSTEM_PROMPT]', '[TOOL_CONTENT]'],
];

/** More special tokens than this are no file of Mistral's. */
const MOST_SPECIAL = 1 << 20;

/** True for the content of a tekken.json. */
export function isTekken({ config, vocab }: JsonObject): boolean {
  return isJsonObject(config) && typeof config.pattern === 'string' && Array.isArray(vocab);
}

/** The tokenizer of a tekken.json's content. @throws bad-file. */
export function tekkenTokenizer(file: JsonObject, where = 'tekken.json'): Tokenizer {
  const { config, vocab } = file;
  if (!isJsonObject(config) || typeof config.pattern !== 'string' || !Array.isArray(vocab)) {
    throw new TesseraError(
      'bad-file',
      `${where} is no tekken.json: it needs a "config" with a "pattern", and a "vocab".`,
    );
  }
  const specials = wholeField(config, 'default_num_special_tokens', where);
  const size = wholeField(config, 'default_vocab_size', where);
  const inner = size - specials;
  if (specials > MOST_SPECIAL || inner < 0 || inner > vocab.length) {
    throw new TesseraError(
      'bad-file',
      `${where} says ${size} tokens, ${specials} of them special, and lists ${vocab.length} others.`,
    );
  }
  const lines: string[] = [];
  for (const [i, entry] of vocab.entries()) {
    const { rank, token_bytes: bytes } = isJsonObject(entry) ? entry : {};
    if (typeof rank !== 'number' || !Number.isSafeInteger(rank) || rank < 0 || typeof bytes !== 'string') {
      throw new TesseraError('bad-file', `${where}: entry ${i} of "vocab" has no "rank" and "token_bytes".`);
    }
    if (rank < inner) lines.push(`${bytes} ${rank + specials}`);
  }
  return tiktokenTokenizer(new TextEncoder().encode(lines.join('\n')), {
    split: { source: config.pattern },
    special: specialTokens(file.special_tokens, specials, where),
    where,
  });
}

function specialTokens(listed: Json | undefined, count: number, where: string): Readonly<Record<string, number>> {
  const names = Array.from({ length: count }, (_, id) => `<SPECIAL_${id}>`);
  if (listed === undefined || listed === null)
    UNLISTED.slice(0, count).forEach((name, id) => {
      names[id] = name;
    });
  else if (!Array.isArray(listed)) throw new TesseraError('bad-file', `${where}: "special_tokens" is not a list.`);
  else {
    for (const [i, entry] of listed.entries()) {
      const { rank, token_str: name } = isJsonObject(entry) ? entry : {};
      if (
        typeof rank !== 'number' ||
        !Number.isSafeInteger(rank) ||
        rank < 0 ||
        rank >= count ||
        typeof name !== 'string'
      ) {
        throw new TesseraError(
          'bad-file',
          `${where}: entry ${i} of "special_tokens" needs a "token_str" and a "rank" below ${count}.`,
        );
      }
      names[rank] = name;
    }
  }
  const special = Object.fromEntries(names.map((name, id) => [name, id]));
  if (Object.keys(special).length !== count) {
    throw new TesseraError('bad-file', `${where}: a special token is there twice.`);
  }
  return special;
}

function wholeField(config: JsonObject, field: string, where: string): number {
  const value = config[field];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new TesseraError('bad-file', `${where}: "${field}" is ${JSON.stringify(value ?? null)}, not a whole number.`);
}
