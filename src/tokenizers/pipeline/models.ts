/** Models of a tokenizer.json beside byte-level BPE: which there are, and what the rest of the pipeline needs of each. */

import { isJsonObject, type Json, type JsonObject } from '../../formats/json.js';
import { TesseraError } from '../../host/error.js';
import type { Random } from '../../tensor/random.js';
import type { AddedToken } from '../added-tokens.js';
import { checkIdRange, readMerges, readVocabulary } from '../bpe-file.js';
import { BYTE_CHARACTERS } from '../byte-level.js';
import { mergeTable, type WordMerger, wordMerger } from '../merges.js';
import type { Scanner } from '../scanners.js';
import { type TokenTable, tokenTable } from '../vocabulary.js';
import { characterSymbols } from './bpe-symbols.js';
import { markScanner } from './mark-scanner.js';
import { sampledMerger } from './sampled-merges.js';
import { bytesOf, textOf } from './unicode.js';
import { wordLevelModel, wordPieceModel } from './word-models.js';

/** A model, ready for words. */
export interface PipelineModel {
  /** What `Tokenizer.name` says. */
  readonly name: string;
  /** All tokens as UTF-8; those of the model are found by their bytes. */
  readonly table: TokenTable;
  /** The ids of a word, always the same. */
  readonly merge: WordMerger;
  /** The ids of a word by chance, where the model samples. */
  readonly sample?: (random: Random) => WordMerger;
  /** Ids that a byte may become, at most. */
  readonly idsPerByte: number;
  /** Cuts a word where no token of the model reaches across; a whole word unless given. */
  readonly scan?: Scanner | undefined;
  /** Every byte of byte-level text has a token. */
  readonly hasAllBytes: boolean;
  /** The model as it is written to a file. */
  write(): JsonObject;
}

/** Reads a `model`. @throws unsupported, naming what is not known; bad-file. */
export function readModel(model: JsonObject, added: readonly AddedToken[], where: string): PipelineModel {
  const type = typeof model.type === 'string' ? model.type : guessType(model);
  switch (type) {
    case 'BPE':
      return readCharacterBpe(model, added, where);
    case 'WordPiece':
    case 'WordLevel':
      return readWordModel(type, model, added, where);
    default:
      throw new TesseraError(
        'unsupported',
        `${where}: the model ${JSON.stringify(model.type ?? null)} is not known here.`,
        { hint: 'The models that can be read are BPE, WordPiece, WordLevel and Unigram.' },
      );
  }
}

/** Files of old do not name the type; their fields do. */
function guessType(model: JsonObject): string {
  if (Array.isArray(model.merges)) return 'BPE';
  if (typeof model.continuing_subword_prefix === 'string') return 'WordPiece';
  if (isJsonObject(model.vocab)) return 'WordLevel';
  return Array.isArray(model.vocab) ? 'Unigram' : '';
}

interface VocabularyTable {
  readonly vocab: ReadonlyMap<string, number>;
  readonly table: TokenTable;
  readonly inModel: Uint8Array;
}

/** The tokens of the model and the added ones as UTF-8. @throws bad-file where two contradict each other. */
function readTable(model: JsonObject, added: readonly AddedToken[], where: string): VocabularyTable {
  const { vocab, ids } = readVocabulary(model, added, where);
  const size = checkIdRange(ids, added, where);
  const tokens = new Array<Uint8Array | undefined>(size);
  const inModel = new Uint8Array(size);
  const spellings = new Map<number, string>();
  for (const [spelling, id] of vocab) {
    inModel[id] = 1;
    tokens[id] = bytesOf(spelling);
    spellings.set(id, spelling);
  }
  checkAdded(added, vocab, spellings, where);
  for (const { id, bytes } of added) tokens[id] = bytes;
  return { vocab, table: tokenTable(tokens, (id) => inModel[id] === 1), inModel };
}

/** @throws bad-file where an added token has another id, or its id another token, in the model. */
export function checkAdded(
  added: readonly AddedToken[],
  vocab: ReadonlyMap<string, number>,
  spellings: ReadonlyMap<number, string>,
  where: string,
): void {
  for (const { id, content } of added) {
    const other = spellings.get(id);
    const known = vocab.get(content);
    if (other !== undefined && other !== content) {
      throw new TesseraError(
        'bad-file',
        `${where}: the tokens ${JSON.stringify(content)} and ${JSON.stringify(other)} have the same id, ${id}.`,
      );
    }
    if (known !== undefined && known !== id) {
      throw new TesseraError(
        'bad-file',
        `${where}: the token ${JSON.stringify(content)} has the id ${known} in the model and ${id} among the added tokens.`,
      );
    }
  }
}

/** The model's fields but for its vocabulary, and that from the table. */
function writeVocabulary(model: JsonObject, { table, inModel }: VocabularyTable, more: JsonObject = {}): JsonObject {
  const { bytes, offsets, size } = table;
  const vocab: [string, number][] = [];
  for (let id = 0; id < size; id++) {
    if (inModel[id] === 1) vocab.push([textOf(bytes.subarray(offsets[id], offsets[id + 1])), id]);
  }
  return { ...model, vocab: Object.fromEntries(vocab), ...more };
}

/** A model's fields without those that are kept otherwise. */
function without(model: JsonObject, ...names: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(model).filter(([name]) => !names.includes(name)));
}

function readWordModel(
  type: 'WordPiece' | 'WordLevel',
  model: JsonObject,
  added: readonly AddedToken[],
  where: string,
): PipelineModel {
  const tokens = readTable(model, added, where);
  const { table, inModel, vocab } = tokens;
  const unknown = vocab.get(textField(model, 'unk_token', where) ?? (type === 'WordPiece' ? '[UNK]' : '<unk>')) ?? -1;
  const rest = without(model, 'vocab');
  let merge: WordMerger;
  if (type === 'WordLevel') merge = wordLevelModel(table, unknown);
  else {
    const most = model.max_input_chars_per_word ?? 100;
    if (typeof most !== 'number' || !Number.isInteger(most) || most < 0) {
      throw new TesseraError(
        'bad-file',
        `${where}: the model's "max_input_chars_per_word" is ${JSON.stringify(most)}, not a whole number of at least 0.`,
      );
    }
    const prefix = textField(model, 'continuing_subword_prefix', where) ?? '##';
    merge = wordPieceModel(table, (id) => inModel[id] === 1, { unknown, prefix, maxCharacters: most });
  }
  return {
    name: type.toLowerCase(),
    table,
    merge,
    idsPerByte: 1,
    hasAllBytes: false,
    write: () => writeVocabulary(rest, tokens),
  };
}

function readCharacterBpe(model: JsonObject, added: readonly AddedToken[], where: string): PipelineModel {
  const tokens = readTable(model, added, where);
  const { table, vocab } = tokens;
  const prefix = textField(model, 'continuing_subword_prefix', where) ?? '';
  const suffix = textField(model, 'end_of_word_suffix', where) ?? '';
  const dropout = model.dropout ?? 0;
  if (typeof dropout !== 'number' || !(dropout >= 0 && dropout <= 1)) {
    throw new TesseraError(
      'bad-file',
      `${where}: the model's dropout is ${JSON.stringify(dropout)}, not a probability from 0 to 1.`,
    );
  }
  const byteFallback = model.byte_fallback === true;
  const ignoresMerges = model.ignore_merges === true;
  const { merges, arePairs } = readMerges(model.merges, vocab, where, prefix.length);
  const ranks = mergeTable(merges);
  const fill = characterSymbols(table, {
    prefix,
    suffix,
    byteFallback,
    unknown: textField(model, 'unk_token', where),
    fuseUnknown: model.fuse_unk === true,
  });
  // Only with byte fallback do a prefix and a suffix become symbols of their own.
  const idsPerByte = byteFallback ? 1 + bytesOf(prefix + suffix).length : 1;
  const merge =
    idsPerByte === 1
      ? wordMerger(ranks, { byteIds: new Int32Array(256).fill(-1), unknown: -1, fuseUnknown: false, fill })
      : sampledMerger(ranks, fill, idsPerByte, () => false);
  const sampled = (random: Random): WordMerger => {
    const draw = random.stream();
    return sampledMerger(ranks, fill, idsPerByte, () => draw() < dropout);
  };
  const rest = without(model, 'vocab', 'merges');
  const spell = (id: number): string => textOf(table.bytes.subarray(table.offsets[id], table.offsets[id + 1]));
  return {
    name: 'bpe',
    table,
    merge: ignoresMerges ? wholeWordsFirst(merge, table) : merge,
    ...(dropout > 0 ? { sample: sampled } : {}),
    idsPerByte,
    scan: prefix === '' && suffix === '' && !ignoresMerges ? markScanner(table, merges) : undefined,
    hasAllBytes: prefix === '' && suffix === '' && BYTE_CHARACTERS.every((character) => vocab.has(character)),
    write: () => {
      const written: Json[] = [];
      for (let i = 0; i < merges.length; i += 3) {
        const pair = [spell(merges[i] as number), spell(merges[i + 1] as number)];
        written.push(arePairs ? pair : pair.join(' '));
      }
      return writeVocabulary(rest, tokens, { merges: written });
    },
  };
}

/** `ignore_merges`: a word that is a token is not merged. */
function wholeWordsFirst(merge: WordMerger, table: TokenTable): WordMerger {
  return (bytes, from, to, out, at) => {
    const id = table.find(bytes, from, to);
    if (id === -1) return merge(bytes, from, to, out, at);
    out[at] = id;
    return 1;
  };
}

/** A string in a field of the model, undefined where it is null or absent. @throws bad-file. */
function textField(model: JsonObject, field: string, where: string): string | undefined {
  const value = model[field] ?? undefined;
  if (value === undefined || typeof value === 'string') return value;
  throw new TesseraError('bad-file', `${where}: the model's "${field}" is ${JSON.stringify(value)}, not a string.`);
}
