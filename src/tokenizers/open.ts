/** Tokenizers from files: a tokenizer.json, a folder that holds one, or the word `bytes`. */

import { directoryName, joinPath, readTextFile, stat } from '#host';
import { isJsonObject, type JsonObject, parseJson } from '../formats/json.js';
import { TesseraError } from '../host/error.js';
import { bpeTokenizer } from './bpe.js';
import { isByteLevelBpe, readBpe } from './bpe-file.js';
import { byteTokenizer } from './bytes.js';
import { pipelineTokenizer } from './pipeline/tokenizer.js';
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
 * Opens a tokenizer: the path of a tokenizer.json, or of a folder that holds one (the `tokenizer_config.json` beside it
 * is read too), or `bytes` for the byte tokenizer. @throws not-found, bad-file, unsupported.
 */
export async function openTokenizer(path: string): Promise<Tokenizer> {
  if (path === 'bytes') return byteTokenizer();
  const isFolder = !path.endsWith('.json') && (await stat(path))?.kind === 'directory';
  const file = isFolder ? joinPath(path, 'tokenizer.json') : path;
  const text = await readTextFile(file);
  return loadTokenizer(text, {
    where: file,
    config: await readConfig(joinPath(directoryName(file), 'tokenizer_config.json')),
  });
}

async function readConfig(path: string): Promise<JsonObject | undefined> {
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (error) {
    if (error instanceof TesseraError && error.code === 'not-found') return undefined;
    throw error;
  }
  const config = parseJson(text, path);
  return isJsonObject(config) ? config : undefined;
}
