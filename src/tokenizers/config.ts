/** The `tokenizer_config.json` beside a tokenizer: what it says of a text's end, and what is written. */

import { isJsonObject, type Json, type JsonObject } from '../formats/json.js';
import type { SavedFile, SaveOptions } from './tokenizer.js';

/** Names by which files call the token that ends a text, the likeliest first. */
const END_OF_TEXT = ['<|endoftext|>', '<|end_of_text|>', '</s>', '<eos>', '<|end|>', '<|im_end|>'];
/** What Hugging Face's libraries write where no length was given. */
const NO_MAXIMUM = 1e30;

/** A `tokenizer_config.json` for a tokenizer of ours, which ends, begins and pads with the same token where it has one. */
export function defaultConfig(endOfText: string | undefined): JsonObject {
  return {
    ...(endOfText === undefined ? {} : { bos_token: endOfText, eos_token: endOfText, pad_token: endOfText }),
    clean_up_tokenization_spaces: false,
    model_max_length: NO_MAXIMUM,
    tokenizer_class: 'PreTrainedTokenizerFast',
  };
}

/** The token that ends a text: what the configuration names, or the likeliest of the special ones. */
export function findEndOfText(
  config: JsonObject | undefined,
  special: ReadonlyMap<string, number>,
  added: ReadonlyMap<string, number>,
): number | undefined {
  const named: Json | undefined = isJsonObject(config?.eos_token) ? config.eos_token.content : config?.eos_token;
  if (typeof named === 'string' && added.has(named)) return added.get(named);
  const known = END_OF_TEXT.find((content) => special.has(content));
  return known === undefined ? undefined : special.get(known);
}

/** The file of a configuration with what the caller of `save` adds. */
export function savedConfig(config: JsonObject, { maxLength, config: more }: SaveOptions): SavedFile {
  const all = { ...config, ...(maxLength === undefined ? {} : { model_max_length: maxLength }), ...more };
  return { file: 'tokenizer_config.json', text: `${JSON.stringify(all, null, 2)}\n` };
}
