/** Models of a tokenizer.json beside byte-level BPE: which there are, and what the rest of the pipeline needs of each. */

import { isJsonObject, type Json, type JsonObject } from '../../formats/json.js';
import { TesseraError } from '../../host/error.js';
import type { Random } from '../../tensor/random.js';
import type { AddedToken } from '../added-tokens.js';
import { readMerges } from '../bpe-file.js';
import { BYTE_CHARACTERS } from '../byte-level.js';
import { mergeTable, type WordMerger, wholeWordsFirst, wordMerger } from '../merges.js';
import { byteTokenIds, characterSymbols } from './bpe-symbols.js';
import { type PipelineModel, readTable, textField, without, writeVocabulary } from './model-parts.js';
import { pairScanner } from './pair-scanner.js';
import { sampledMerger } from './sampled-merges.js';
import { bytesOf, textOf } from './unicode.js';
import { readUnigram } from './unigram-model.js';
import { wordLevelModel, wordPieceModel } from './word-models.js';

/** Reads a `model`. @throws unsupported, naming what is not known; bad-file. */
export function readModel(model: JsonObject, added: readonly AddedToken[], where: string): PipelineModel {
  const type = typeof model.type === 'string' ? model.type : guessType(model);
  switch (type) {
    case 'BPE':
      return readCharacterBpe(model, added, where);
    case 'WordPiece':
    case 'WordLevel':
      return readWordModel(type, model, added, where);
    case 'Unigram':
      return readUnigram(model, added, where);
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
  const unknown = textField(model, 'unk_token', where);
  const odd = new Set([vocab.get(unknown ?? '') ?? -1, ...(byteFallback ? byteTokenIds(table) : [])]);
  const fill = characterSymbols(table, {
    prefix,
    suffix,
    byteFallback,
    unknown,
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
    scan: prefix === '' && suffix === '' && !ignoresMerges ? pairScanner(table, merges, odd) : undefined,
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
