/**
 * BERT's `vocab.txt`: a token on each line, its id the line's number from 0. Put together as the content of a
 * tokenizer.json: BERT's cleaning and splitting, WordPiece, `[CLS]` and `[SEP]` around a text.
 */

import type { JsonObject } from '../formats/json.js';
import { TesseraError } from '../host/error.js';

/** The special tokens of BERT's vocabularies. */
const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] as const;

/** True for the lines of a vocab.txt. */
export function isWordPieceVocabulary(text: string): boolean {
  return /^\[UNK\]\r?$/m.test(text) && !/^\s*\{/.test(text);
}

/**
 * The content of the tokenizer.json that says the same. Text is made lower case where `tokenizer_config.json` says
 * `do_lower_case`, or, where it says nothing, when no token has a letter in upper case. @throws bad-file.
 */
export function wordPieceJson(text: string, config: JsonObject = {}, where = 'vocab.txt'): JsonObject {
  const lines = text.split('\n').map((line) => line.replace(/\r$/, ''));
  if (lines.at(-1) === '') lines.pop();
  const vocab = new Map<string, number>();
  for (const [id, token] of lines.entries()) {
    if (vocab.has(token)) {
      throw new TesseraError(
        'bad-file',
        `${where}, line ${id + 1}: the token ${JSON.stringify(token)} is there twice.`,
      );
    }
    vocab.set(token, id);
  }
  if (!vocab.has('[UNK]')) throw new TesseraError('bad-file', `${where} has no line [UNK].`);
  const id = (token: string): number | undefined => vocab.get(token);
  const hasUpperCase = lines.some((line) => !/^\[.*\]$/.test(line) && /\p{Lu}/u.test(line));
  const [cls, sep] = [id('[CLS]'), id('[SEP]')];
  const flag = (name: string, otherwise: boolean): boolean => {
    const value = config[name];
    return typeof value === 'boolean' ? value : otherwise;
  };
  const added = SPECIAL.flatMap((content) => {
    const at = id(content);
    return at === undefined ? [] : [{ id: at, content, normalized: false, special: true }];
  });
  return {
    added_tokens: added.sort((a, b) => a.id - b.id),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: flag('tokenize_chinese_chars', true),
      strip_accents: typeof config.strip_accents === 'boolean' ? config.strip_accents : null,
      lowercase: flag('do_lower_case', !hasUpperCase),
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor:
      cls === undefined || sep === undefined
        ? null
        : { type: 'BertProcessing', sep: ['[SEP]', sep], cls: ['[CLS]', cls] },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocab),
    },
  };
}
