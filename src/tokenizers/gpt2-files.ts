/**
 * Byte-level BPE in two files, as OpenAI published GPT-2's (`encoder.json`, `vocab.bpe`) and Hugging Face's folders have
 * it (`vocab.json`, `merges.txt`): put together as the content of a tokenizer.json, with the special tokens and the split
 * that the folder's configuration speaks of (GPT-2, RoBERTa, Qwen).
 */

import { isJsonObject, type Json, type JsonObject } from '../formats/json.js';
import { TesseraError } from '../host/error.js';
import { addedTokensJson, byteLevelComponents } from './bytes.js';
import { preTokenizerJson } from './pretokenize.js';

/** The files of a folder that say something about its vocabulary. */
export interface Gpt2Files {
  /** The content of `vocab.json`: spelling to id. */
  readonly vocab: JsonObject;
  /** The text of `merges.txt`: a pair on each line, the first of lowest rank. */
  readonly merges: string;
  /** The content of `tokenizer_config.json`. */
  readonly config?: JsonObject | undefined;
  /** The content of `added_tokens.json`: text to id. */
  readonly added?: JsonObject | undefined;
}

/** The content of the tokenizer.json that says the same. @throws bad-file; unsupported for what is not byte-level. */
export function gpt2Json({ vocab, merges, config = {}, added }: Gpt2Files, where: string): JsonObject {
  const pairs = readPairs(merges, where);
  if (pairs.length > 0 && pairs.every((pair) => !pair.includes('\u0120')) && Object.hasOwn(vocab, 'a</w>')) {
    throw new TesseraError(
      'unsupported',
      `${where}: words end in </w>, as CLIP's do; it is not byte-level BPE of GPT-2's kind.`,
      {
        hint: 'Its tokenizer.json can be read.',
      },
    );
  }
  const isQwen = String(config.tokenizer_class).startsWith('Qwen2');
  const components = byteLevelComponents(preTokenizerJson(isQwen ? 'qwen2' : 'gpt2'));
  const first = (name: string): JsonObject => (config.add_prefix_space === true ? { [name]: true } : {});
  return {
    added_tokens: addedTokens(vocab, config, added, where),
    ...components,
    normalizer: isQwen ? { type: 'NFC' } : null,
    pre_tokenizer: isQwen ? components.pre_tokenizer : { ...components.pre_tokenizer, ...first('add_prefix_space') },
    post_processor: surrounding(vocab, config) ?? components.post_processor,
    model: { type: 'BPE', vocab, merges: pairs },
  };
}

/** The lines of `merges.txt` without its heading. @throws bad-file naming the line. */
function readPairs(text: string, where: string): readonly string[] {
  const pairs: string[] = [];
  for (const [i, raw] of text.split('\n').entries()) {
    const line = raw.replace(/\r$/, '');
    if (line === '' || (i === 0 && line.startsWith('#version'))) continue;
    if (!/^\S+ \S+$/.test(line)) {
      throw new TesseraError(
        'bad-file',
        `${where}, line ${i + 1} of the merges is not two tokens with a space between.`,
      );
    }
    pairs.push(line);
  }
  return pairs;
}

/** What the configuration lists, or names as special; of a bare vocabulary, what looks special in it. */
function addedTokens(
  vocab: JsonObject,
  config: JsonObject,
  added: JsonObject | undefined,
  where: string,
): readonly JsonObject[] {
  const tokens = new Map<number, JsonObject>();
  const listed = isJsonObject(config.added_tokens_decoder) ? config.added_tokens_decoder : {};
  for (const [id, token] of Object.entries(listed)) {
    if (isJsonObject(token)) tokens.set(Number(id), { ...token, id: Number(id) });
  }
  const add = (content: string, id: Json | undefined): void => {
    if (typeof id !== 'number' || tokens.has(id)) return;
    const [token] = addedTokensJson([content], id);
    if (token !== undefined) tokens.set(id, token);
  };
  for (const [content, id] of Object.entries(added ?? {})) {
    if (typeof id !== 'number')
      throw new TesseraError('bad-file', `${where}: the added token ${JSON.stringify(content)} has no id.`);
    add(content, id);
  }
  for (const name of ['bos_token', 'eos_token', 'unk_token', 'pad_token', 'sep_token', 'cls_token', 'mask_token']) {
    const content = contentOf(config[name]);
    if (content !== undefined && Object.hasOwn(vocab, content)) add(content, vocab[content]);
  }
  for (const content of ['<|endoftext|>', ...(isRoberta(vocab) ? ROBERTA : [])]) add(content, vocab[content]);
  return [...tokens.entries()].sort(([a], [b]) => a - b).map(([, token]) => token);
}

const ROBERTA = ['<s>', '<pad>', '</s>', '<unk>', '<mask>'] as const;

function isRoberta(vocab: JsonObject): boolean {
  return ROBERTA.every((content) => typeof vocab[content] === 'number');
}

/** RoBERTa's `<s> ... </s>`. */
function surrounding(vocab: JsonObject, config: JsonObject): JsonObject | undefined {
  const [cls, sep] = [vocab['<s>'] ?? null, vocab['</s>'] ?? null];
  const asks = config.tokenizer_class === undefined || String(config.tokenizer_class).startsWith('Roberta');
  if (!asks || !isRoberta(vocab)) return undefined;
  return {
    type: 'RobertaProcessing',
    sep: ['</s>', sep],
    cls: ['<s>', cls],
    trim_offsets: true,
    add_prefix_space: false,
  };
}

/** The text of a token that is a string or an object with its content. */
function contentOf(value: Json | undefined): string | undefined {
  const content = isJsonObject(value) ? value.content : value;
  return typeof content === 'string' ? content : undefined;
}
