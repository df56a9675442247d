/**
 * What kind of tokenizer a file or folder holds, told from what is in it: tokenizer.json, tekken.json, vocab.json with
 * merges.txt, vocab.txt, rank files, SentencePiece models, RWKV's vocabulary.
 */

import { baseName, directoryName, joinPath, listDirectory, readFile, readTextFile, stat } from '#host';
import { isJsonObject, type Json, type JsonObject, parseJson } from '../formats/json.js';
import { TesseraError } from '../host/error.js';
import { textOf } from '../host/text-file.js';
import { gpt2Json } from './gpt2-files.js';
import { compactRanks, publishedName } from './rank-files.js';
import { isRwkvVocabulary, rwkvTokenizer } from './rwkv.js';
import { SPLIT_PATTERNS, type SplitPatternName } from './scanners.js';
import { sentencePieceTokenizer } from './sentencepiece.js';
import { isTekken, tekkenTokenizer } from './tekken.js';
import { ENCODINGS, tiktokenTokenizer } from './tiktoken.js';
import type { Tokenizer } from './tokenizer.js';
import { isWordPieceVocabulary, wordPieceJson } from './wordpiece-file.js';

/** A tokenizer, or the content of a tokenizer.json from which one is made. */
export type Recognized =
  | { readonly tokenizer: Tokenizer }
  | { readonly file: string | JsonObject; readonly config: JsonObject | undefined; readonly where: string };

/** The largest file that is read, in bytes; vocabularies are of some megabytes. */
const LARGEST = 1 << 29;

const KINDS =
  'Tokenizers are: tokenizer.json, tekken.json, vocab.json with merges.txt, vocab.txt, rank files (.tiktoken), ' +
  "SentencePiece's .model, RWKV's vocabulary, or a folder that holds one of them.";

/** Pairs of files, as folders and OpenAI name them. */
const PAIRS = [
  ['vocab.json', 'merges.txt'],
  ['encoder.json', 'vocab.bpe'],
] as const;

/** The tokenizer in a folder. @throws not-found where there is none; as {@link recognizeFile}. */
export async function recognizeFolder(folder: string, split: SplitPatternName | undefined): Promise<Recognized> {
  const names = (await listDirectory(folder)).filter(({ kind }) => kind !== 'directory').map(({ name }) => name);
  const pair = PAIRS.find((both) => both.every((name) => names.includes(name)));
  const found =
    names.find((name) => name === 'tokenizer.json') ??
    names.find((name) => name === 'tekken.json') ??
    pair?.[0] ??
    names.find((name) => name.endsWith('.model')) ??
    names.find((name) => name === 'vocab.txt') ??
    names.find((name) => /^rwkv_vocab.*\.txt$/.test(name)) ??
    names.find((name) => name.endsWith('.tiktoken')) ??
    names.find((name) => /^tekken.*\.json$/.test(name));
  if (found !== undefined) return recognizeFile(joinPath(folder, found), split);
  throw new TesseraError(
    'not-found',
    `${folder} holds no tokenizer: there is no ${joinPath(folder, 'tokenizer.json')}.`,
    {
      hint: KINDS,
    },
  );
}

/**
 * The tokenizer in a file. `split` says how words are cut where a rank file does not.
 * @throws not-found; bad-file; unsupported; bad-option for a rank file without a split.
 */
export async function recognizeFile(path: string, split: SplitPatternName | undefined): Promise<Recognized> {
  const size = (await stat(path))?.size ?? 0;
  if (size > LARGEST) {
    throw new TesseraError('bad-file', `${path} is no tokenizer: it has ${size} bytes.`, { hint: KINDS });
  }
  const bytes = await readFile(path);
  const name = baseName(path);
  const start = new TextDecoder().decode(bytes.subarray(0, 4096)).replace(/^\ufeff/, '');
  if (/^\s*\{/.test(start) || (name.endsWith('.json') && !isRankLine(start))) return recognizeJson(bytes, path, split);
  if (isRankLine(start)) return { tokenizer: await ranksTokenizer(bytes, path, split) };
  if (PAIRS.some(([, merges]) => merges === name)) return recognizePair(path);
  // A model's first field are its pieces.
  if (name.endsWith('.model') && bytes[0] === 0x0a)
    return { tokenizer: sentencePieceTokenizer(bytes, { where: path }) };
  if (!name.endsWith('.model')) {
    if (isRwkvVocabulary(start)) return { tokenizer: rwkvTokenizer(textOf(path, bytes), path) };
    const isText = !start.includes('\0') && !start.includes('\ufffd');
    const text = isText || name === 'vocab.txt' ? textOf(path, bytes) : '';
    if (isWordPieceVocabulary(text)) {
      const config = await readOptional(joinPath(directoryName(path), 'tokenizer_config.json'));
      return { file: wordPieceJson(text, config, path), config, where: path };
    }
  }
  throw new TesseraError('bad-file', `${path} is no tokenizer of a kind known here.`, { hint: KINDS });
}

/** A token in base64, a space, a rank and the end of the line. */
function isRankLine(start: string): boolean {
  return /^[A-Za-z0-9+/]+={0,2} \d+\r?(\n|$)/.test(start);
}

async function recognizeJson(
  bytes: Uint8Array,
  path: string,
  split: SplitPatternName | undefined,
): Promise<Recognized> {
  const content: Json = parseJson(textOf(path, bytes), path);
  if (!isJsonObject(content)) {
    throw new TesseraError('bad-file', `${path} is not a tokenizer.json: it must hold a JSON object.`, { hint: KINDS });
  }
  if (!isJsonObject(content.model)) {
    if (isTekken(content)) return { tokenizer: tekkenTokenizer(content, path) };
    if (typeof content.bpe_ranks === 'string') {
      return { tokenizer: await compactTokenizer(content, bytes, path, split) };
    }
    if (PAIRS.some(([vocab]) => vocab === baseName(path))) return recognizePair(path, content);
  }
  // What else it may be, `loadTokenizer` says.
  const config = await readOptional(joinPath(directoryName(path), 'tokenizer_config.json'));
  return { file: content, config, where: path };
}

async function recognizePair(path: string, read?: JsonObject): Promise<Recognized> {
  const folder = directoryName(path);
  const names = PAIRS.find((pair) => pair.some((name) => name === baseName(path))) ?? PAIRS[0];
  const [vocabPath, mergesPath] = [joinPath(folder, names[0]), joinPath(folder, names[1])];
  const vocab = read ?? (await readOptional(vocabPath));
  const hasMerges = (await stat(mergesPath)) !== undefined;
  if (vocab === undefined || !hasMerges) {
    throw new TesseraError(
      'not-found',
      `${path} is half a tokenizer: there is no ${hasMerges ? vocabPath : mergesPath} beside it.`,
      { hint: 'GPT-2 and its like have their vocabulary in one file and their merges in another.' },
    );
  }
  const config = await readOptional(joinPath(folder, 'tokenizer_config.json'));
  const added = await readOptional(joinPath(folder, 'added_tokens.json'));
  const merges = await readTextFile(mergesPath);
  return { file: gpt2Json({ vocab, merges, config, added }, folder), config, where: folder };
}

/** tiktoken's JSON form, which has its own pattern and special tokens. */
async function compactTokenizer(
  content: JsonObject,
  bytes: Uint8Array,
  path: string,
  split: SplitPatternName | undefined,
): Promise<Tokenizer> {
  const { pat_str: source, special_tokens: listed } = content;
  if (typeof source !== 'string' && split === undefined) throw noSplit(path);
  const special: Record<string, number> = {};
  for (const [token, id] of Object.entries(isJsonObject(listed) ? listed : {})) {
    if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0 || id > 1 << 24) {
      throw new TesseraError('bad-file', `${path}: the special token ${JSON.stringify(token)} has no id.`);
    }
    special[token] = id;
  }
  const way = split ?? { source: String(source) };
  return tiktokenTokenizer(compactRanks(bytes, path), { split: way, special, where: path });
}

/** A rank file: one that is published has its encoding's split and special tokens. */
async function ranksTokenizer(
  bytes: Uint8Array,
  where: string,
  split: SplitPatternName | undefined,
): Promise<Tokenizer> {
  const published = await publishedName(bytes);
  if (published === undefined && split === undefined) throw noSplit(where);
  const encoding = published === undefined ? undefined : ENCODINGS[published];
  return tiktokenTokenizer(bytes, {
    split: split ?? encoding?.split ?? 'gpt2',
    ...(encoding === undefined ? {} : { special: encoding.special }),
    where,
  });
}

function noSplit(where: string): TesseraError {
  return new TesseraError('bad-option', `${where} is a rank file, and it does not say how text is cut into words.`, {
    hint: `Give the option split (--split): ${Object.keys(SPLIT_PATTERNS).join(', ')}.`,
  });
}

/** The JSON object in a file, undefined where there is no file or another value. @throws bad-file. */
async function readOptional(path: string): Promise<JsonObject | undefined> {
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (error) {
    if (error instanceof TesseraError && error.code === 'not-found') return undefined;
    throw error;
  }
  const value = parseJson(text, path);
  return isJsonObject(value) ? value : undefined;
}
