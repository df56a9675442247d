/**
 * Chat templates: the Jinja text in `tokenizer_config.json` that turns messages into the one text that a model was tuned
 * on, with the names that `transformers` gives it (`messages`, `tools`, `add_generation_prompt`, the special tokens).
 */

import { Template } from '@huggingface/jinja';
import { isJsonObject, type Json, type JsonObject } from '../formats/json.js';
import { TesseraError } from '../host/error.js';

/** A message; templates read more fields than these from some. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: Json;
  readonly [field: string]: Json | undefined;
}

/** What a template is filled with beside the messages. */
export interface ChatOptions {
  /** Ends with the beginning of the model's answer. */
  readonly addGenerationPrompt?: boolean;
  /** Which template, where the configuration names several; `default`, or `tool_use` where there are tools, unless given. */
  readonly name?: string;
  /** Descriptions of tools, as JSON schemas. */
  readonly tools?: readonly JsonObject[];
  readonly documents?: readonly JsonObject[];
  /** Anything else that the template reads. */
  readonly variables?: JsonObject;
}

/**
 * The text of a conversation by the template in the content of a `tokenizer_config.json`.
 * @throws not-found when there is no template (of that name); bad-file for one that is no Jinja; bad-input for messages
 * that it refuses, with its own words.
 */
export function applyChatTemplate(
  config: JsonObject,
  messages: readonly ChatMessage[],
  options: ChatOptions = {},
): string {
  const { addGenerationPrompt = false, tools, documents, variables = {} } = options;
  const source = templateOf(config, options.name ?? (tools === undefined ? undefined : 'tool_use'), options.name);
  let template: Template;
  try {
    template = new Template(source);
  } catch (error) {
    throw new TesseraError('bad-file', `The chat template cannot be read: ${reason(error)}`, { cause: error });
  }
  try {
    return template.render({
      ...specialTokens(config),
      ...variables,
      messages,
      tools: tools ?? null,
      documents: documents ?? null,
      add_generation_prompt: addGenerationPrompt,
    });
  } catch (error) {
    throw new TesseraError('bad-input', `The chat template refuses the messages: ${reason(error)}`, { cause: error });
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The source: the only one, or of several the one with the name, else the one called `default`. */
function templateOf(config: JsonObject, wanted: string | undefined, asked: string | undefined): string {
  const found = config.chat_template;
  if (typeof found === 'string' && asked === undefined) return found;
  const named = new Map<string, string>(typeof found === 'string' ? [['default', found]] : []);
  for (const entry of Array.isArray(found) ? found : []) {
    if (isJsonObject(entry) && typeof entry.name === 'string' && typeof entry.template === 'string')
      named.set(entry.name, entry.template);
  }
  const source =
    (wanted === undefined ? undefined : named.get(wanted)) ?? (asked === undefined ? named.get('default') : undefined);
  if (source !== undefined) return source;
  const which = asked === undefined ? 'no chat template' : `no chat template called ${JSON.stringify(asked)}`;
  throw new TesseraError('not-found', `The tokenizer's configuration has ${which}.`, {
    hint:
      named.size > 0 ? `It has ${[...named.keys()].join(', ')}.` : 'Models that were tuned on conversations have one.',
  });
}

/** `bos_token` and its like, by their text. */
function specialTokens(config: JsonObject): Record<string, string> {
  return Object.fromEntries(
    Object.entries(config).flatMap(([key, value]): [string, string][] => {
      if (!key.endsWith('_token')) return [];
      const text = isJsonObject(value) ? value.content : value;
      return typeof text === 'string' ? [[key, text]] : [];
    }),
  );
}
