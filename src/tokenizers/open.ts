/** Tokenizers by path or name, and from the content of a tokenizer.json. */

import { isJsonObject, type JsonObject, parseJson } from '../formats/json.js';
import { TesseraError } from '../host/error.js';
import { bpeTokenizer } from './bpe.js';
import { isByteLevelBpe, readBpe } from './bpe-file.js';
import { byteTokenizer } from './bytes.js';
import { pipelineTokenizer } from './pipeline/tokenizer.js';
import { type OpenOptions, resolveTokenizer } from './resolve.js';
import type { Tokenizer } from './tokenizer.js';

/** Choices of `loadTokenizer`. */
export interface LoadOptions {
  /** The content of `tokenizer_config.json`, where there is one. */
  readonly config?: JsonObject;
  /** How errors name the file; `tokenizer.json` unless given. */
  readonly where?: string;
}

/** The tokenizer that a tokenizer.json (its text or its content) describes. @throws bad-file, unsupported. */
export function loadTokenizer(json: string | JsonObject, options: LoadOptions = {}): Tokenizer {
  const { config, where = 'tokenizer.json' } = options;
  const file = typeof json === 'string' ? parseJson(json, where) : json;
  if (!isJsonObject(file)) {
    throw new TesseraError('bad-file', `${where} is not a tokenizer.json: it must hold a JSON object.`);
  }
  return isByteLevelBpe(file)
    ? bpeTokenizer(readBpe(file, where), config, where)
    : pipelineTokenizer(file, config, where);
}

/**
 * Opens a tokenizer: a path (a file or a folder of any format that `recognize.ts` knows), the name of an encoding or a
 * model of OpenAI's, a repository in Hugging Face's cache, or `bytes` for the byte tokenizer.
 * @throws not-found, bad-file, unsupported, bad-option.
 */
export async function openTokenizer(name: string, options: OpenOptions = {}): Promise<Tokenizer> {
  if (name === 'bytes') return byteTokenizer();
  const found = await resolveTokenizer(name, options);
  if ('tokenizer' in found) return found.tokenizer;
  return loadTokenizer(found.file, {
    where: found.where,
    ...(found.config === undefined ? {} : { config: found.config }),
  });
}
