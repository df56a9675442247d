/** What the models of a tokenizer.json have in common: the tokens as UTF-8, fields, and what the pipeline asks of a model. */

import type { JsonObject } from '../../formats/json.js';
import { TesseraError } from '../../host/error.js';
import type { Random } from '../../tensor/random.js';
import type { AddedToken } from '../added-tokens.js';
import { checkIdRange, readVocabulary } from '../bpe-file.js';
import type { WordMerger } from '../merges.js';
import type { Scanner } from '../scanners.js';
import { type TokenTable, tokenTable } from '../vocabulary.js';
import { bytesOf, textOf } from './unicode.js';

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

/** The tokens of a model and the added ones. */
export interface VocabularyTable {
  /** The model's: spelling to id. */
  readonly vocab: ReadonlyMap<string, number>;
  readonly table: TokenTable;
  /** 1 for each id that the model has. */
  readonly inModel: Uint8Array;
}

/** The tokens of the model and the added ones as UTF-8. @throws bad-file where two contradict each other. */
export function readTable(model: JsonObject, added: readonly AddedToken[], where: string): VocabularyTable {
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
export function writeVocabulary(
  model: JsonObject,
  { table, inModel }: VocabularyTable,
  more: JsonObject = {},
): JsonObject {
  const { bytes, offsets, size } = table;
  const vocab: [string, number][] = [];
  for (let id = 0; id < size; id++) {
    if (inModel[id] === 1) vocab.push([textOf(bytes.subarray(offsets[id], offsets[id + 1])), id]);
  }
  return { ...model, vocab: Object.fromEntries(vocab), ...more };
}

/** A model's fields without those that are kept otherwise. */
export function without(model: JsonObject, ...names: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(model).filter(([name]) => !names.includes(name)));
}

/** A string in a field of the model, undefined where it is null or absent. @throws bad-file. */
export function textField(model: JsonObject, field: string, where: string): string | undefined {
  const value = model[field] ?? undefined;
  if (value === undefined || typeof value === 'string') return value;
  throw new TesseraError('bad-file', `${where}: the model's "${field}" is ${JSON.stringify(value)}, not a string.`);
}
