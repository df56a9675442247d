/** The Unigram model of a tokenizer.json: its pieces are a list of [token, log probability], their ids their places. */

import type { Json, JsonObject } from '../../formats/json.js';
import { TesseraError } from '../../host/error.js';
import type { AddedToken } from '../added-tokens.js';
import { checkIdRange } from '../bpe-file.js';
import { UNKNOWN_PENALTY, unigramModel } from '../unigram.js';
import { tokenTable } from '../vocabulary.js';
import { byteTokenIds } from './bpe-symbols.js';
import { checkAdded, type PipelineModel, without } from './model-parts.js';
import { bytesOf } from './unicode.js';

/** Reads the model. @throws bad-file for what is no piece, an unknown token that is none, or no pieces at all. */
export function readUnigram(model: JsonObject, added: readonly AddedToken[], where: string): PipelineModel {
  const pieces = readPieces(model.vocab, where);
  const unknown = model.unk_id ?? -1;
  if (typeof unknown !== 'number' || !Number.isInteger(unknown) || unknown < -1 || unknown >= pieces.length) {
    throw new TesseraError(
      'bad-file',
      `${where}: the model's unk_id is ${JSON.stringify(unknown)}, and its ${pieces.length} pieces have ids from 0.`,
    );
  }
  const ids = new Map(pieces.map(([token], id) => [token, id]));
  checkAdded(added, ids, new Map(pieces.map(([token], id) => [id, token])), where);
  const size = checkIdRange({ size: pieces.length, highest: pieces.length - 1 }, added, where);
  const tokens = new Array<Uint8Array | undefined>(size);
  for (const [id, [token]] of pieces.entries()) tokens[id] = bytesOf(token);
  for (const { id, bytes } of added) tokens[id] = bytes;
  // Of a token that is there twice, the last counts.
  const isPiece = (id: number): boolean => {
    const piece = pieces[id];
    return piece !== undefined && piece[0] !== '' && ids.get(piece[0]) === id;
  };
  const table = tokenTable(tokens, isPiece);
  const least = pieces.reduce((lowest, [, score]) => Math.min(lowest, score), Number.POSITIVE_INFINITY);
  const { merge } = unigramModel({
    table,
    scores: pieces.map(([, score]) => score),
    isPiece,
    unknown,
    unknownScore: least - UNKNOWN_PENALTY,
    ...(model.byte_fallback === true ? { byteIds: byteTokenIds(table) } : {}),
  });
  const rest = without(model, 'vocab');
  return {
    name: 'unigram',
    table,
    merge,
    idsPerByte: 1,
    hasAllBytes: false,
    write: () => ({ ...rest, vocab: pieces }),
  };
}

function readPieces(vocab: Json | undefined, where: string): readonly (readonly [string, number])[] {
  if (!Array.isArray(vocab)) throw new TesseraError('bad-file', `${where}: the model has no "vocab" of pieces.`);
  if (vocab.length === 0) throw new TesseraError('bad-file', `${where}: the vocabulary is empty.`);
  return vocab.map((entry: Json, id) => {
    const [token, score, more]: readonly Json[] = Array.isArray(entry) ? entry : [];
    if (typeof token !== 'string' || typeof score !== 'number' || more !== undefined) {
      throw new TesseraError(
        'bad-file',
        `${where}: piece ${id}, ${JSON.stringify(entry)}, is not a token and its log probability.`,
      );
    }
    return [token, score];
  });
}
