/**
 * A SentencePiece model as the content of a Hugging Face `tokenizer.json` (github.com/huggingface/tokenizers), the way
 * `convert_slow_tokenizer.py` of github.com/huggingface/transformers puts models together.
 */

import type { JsonObject } from '../formats/json.js';
import { TesseraError } from '../host/error.js';
import { eachMerge } from './sentencepiece-bpe.js';
import { isMark } from './sentencepiece-decode.js';
import { PIECE, readSentencePiece, type SentencePieceFile } from './sentencepiece-file.js';
import { type TokenTable, tokenTable } from './vocabulary.js';

/** What the post-processor of the file adds, and the file's name in errors. */
export interface SentencePieceJsonOptions {
  /** The post-processor puts the piece that begins a text in front. */
  readonly beginsText?: boolean;
  /** The post-processor puts the piece that ends a text at the end. */
  readonly endsText?: boolean;
  readonly where?: string;
}

/** More than one piece. */
const SEVERAL = -1;
const MARK = '\u2581';
const text = (bytes: Uint8Array): string => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);

/**
 * The tokenizer.json of a `.model` file. Its ids are SentencePiece's for text without the names of control pieces (the
 * library finds those in text), but for rules of normalization that go across or into grapheme clusters, and for sums of
 * scores so near that single and double precision differ on them.
 * @throws bad-file, and unsupported where a tokenizer.json cannot say the same.
 */
export function sentencePieceToJson(model: Uint8Array, options: SentencePieceJsonOptions = {}): JsonObject {
  const { where = 'The .model file' } = options;
  const file = readSentencePiece(model, where);
  const refuse = (reason: string): TesseraError =>
    new TesseraError('unsupported', `${where} cannot be written as a tokenizer.json that says the same: ${reason}.`, {
      hint: 'Keep the .model file: it is read as it is.',
    });
  const { types, pieces } = file;
  if (file.whitespaceAsSuffix) throw refuse('it has spaces at the ends of pieces (treat_whitespace_as_suffix)');
  if (!file.escapeWhitespaces) throw refuse('it leaves spaces as they are (escape_whitespaces is off)');
  if (types.includes(PIECE.unused)) throw refuse('it has unused pieces');
  const table = tokenTable(pieces);
  const names = pieces.map(text);
  const special = (id: number): boolean => types[id] === PIECE.control || types[id] === PIECE.unknown;
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: names.flatMap((content, id) =>
      special(id) || types[id] === PIECE.userDefined
        ? [
            {
              id,
              content,
              single_word: false,
              lstrip: false,
              rstrip: false,
              normalized: false,
              special: special(id),
            },
          ]
        : [],
    ),
    ...pipeline(file),
    post_processor: postProcessor(file, names, options),
    decoder: decoder(file, names),
    model: file.type === 'unigram' ? unigram(file, names) : bpe(file, table, names, refuse),
  };
}

function pipeline(file: SentencePieceFile): JsonObject {
  const { addDummyPrefix, removeExtraWhitespaces, charsmapBytes } = file;
  const steps: JsonObject[] = [];
  if (charsmapBytes.length > 0) {
    let binary = '';
    for (const byte of charsmapBytes) binary += String.fromCharCode(byte);
    steps.push({ type: 'Precompiled', precompiled_charsmap: btoa(binary) });
  }
  if (removeExtraWhitespaces) {
    steps.push({ type: 'Replace', pattern: { Regex: '^ +| +$' }, content: '' });
    steps.push({ type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' });
  }
  if (addDummyPrefix) steps.push({ type: 'Prepend', prepend: MARK });
  steps.push({ type: 'Replace', pattern: { String: ' ' }, content: MARK });
  return {
    normalizer: steps.length === 1 ? (steps[0] as JsonObject) : { type: 'Sequence', normalizers: steps },
    // BPE merges the whole text: cutting it changes nothing but time. A unigram model reads what is between spaces.
    pre_tokenizer: goesOverSpaces(file)
      ? null
      : { type: 'Metaspace', replacement: MARK, prepend_scheme: 'never', split: file.type === 'unigram' },
  };
}

/** Whether a piece has U+2581 after its start: cut at each of them, it would never come up. */
function goesOverSpaces({ pieces, types }: SentencePieceFile): boolean {
  return pieces.some((piece, id) => {
    if (types[id] !== PIECE.normal) return false;
    for (let at = 1; at < piece.length; at++) if (isMark(piece, at)) return true;
    return false;
  });
}

function postProcessor(
  file: SentencePieceFile,
  names: readonly string[],
  { beginsText, endsText }: SentencePieceJsonOptions,
): JsonObject | null {
  const before = beginsText === true && names.includes(file.begin) ? [file.begin] : [];
  const after = endsText === true && names.includes(file.end) ? [file.end] : [];
  if (before.length + after.length === 0) return null;
  const template = (sequence: 'A' | 'B', type: number): JsonObject[] => [
    ...before.map((id) => ({ SpecialToken: { id, type_id: type } })),
    { Sequence: { id: sequence, type_id: type } },
    ...after.map((id) => ({ SpecialToken: { id, type_id: type } })),
  ];
  return {
    type: 'TemplateProcessing',
    single: template('A', 0),
    pair: [...template('A', 0), ...template('B', 1)],
    special_tokens: Object.fromEntries(
      [...before, ...after].map((name) => [name, { id: name, ids: [names.indexOf(name)], tokens: [name] }]),
    ),
  };
}

function decoder(file: SentencePieceFile, names: readonly string[]): JsonObject {
  const steps: JsonObject[] = [
    { type: 'Replace', pattern: { String: names[file.unknown] as string }, content: text(file.unknownSurface) },
    { type: 'Replace', pattern: { String: MARK }, content: ' ' },
  ];
  if (file.byteFallback) steps.push({ type: 'ByteFallback' });
  steps.push({ type: 'Fuse' });
  if (file.addDummyPrefix || file.removeExtraWhitespaces) {
    steps.push({ type: 'Strip', content: ' ', start: 1, stop: 0 });
  }
  return { type: 'Sequence', decoders: steps };
}

function unigram(file: SentencePieceFile, names: readonly string[]): JsonObject {
  return {
    type: 'Unigram',
    unk_id: file.unknown,
    vocab: names.map((name, id) => [name, file.scores[id] as number]),
    byte_fallback: file.byteFallback,
  };
}

function bpe(
  file: SentencePieceFile,
  table: TokenTable,
  names: readonly string[],
  refuse: (reason: string) => TesseraError,
): JsonObject {
  const { scores, types } = file;
  const merges: [number, number, number][] = [];
  let lacking = '';
  const symbol = (from: number, to: number): number => {
    const id = table.find(table.bytes, from, to);
    if (id !== -1 && types[id] === PIECE.normal) return id;
    const lead = table.bytes[from] as number;
    const isCharacter = to - from === (lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4);
    if (isCharacter) lacking = text(table.bytes.subarray(from, to));
    return -1;
  };
  eachMerge(file, table, symbol, (left, right, id) => {
    if (left >= 0) merges.push([left, right, id]);
  });
  if (lacking !== '') throw refuse(`the character ${JSON.stringify(lacking)} is in a piece and is none itself`);
  merges.sort((a, b) => (scores[b[2]] as number) - (scores[a[2]] as number) || a[2] - b[2]);
  // Equal scores go from left to right in SentencePiece; merges have an order, which shows where two want one symbol.
  const lefts = new Map<string, number>();
  const key = (id: number, result: number): string => `${id} ${scores[result]}`;
  const mixed = merges.filter(([, , result]) => !isRun(names[result]));
  for (const [left, , result] of mixed) {
    const known = lefts.get(key(left, result));
    lefts.set(key(left, result), known === undefined || known === result ? result : SEVERAL);
  }
  for (const [, right, result] of mixed) {
    const other = lefts.get(key(right, result));
    if (other === undefined || other === result) continue;
    throw refuse(`${JSON.stringify(names[result])} and a piece that overlaps it have equal scores`);
  }
  return {
    type: 'BPE',
    dropout: null,
    unk_token: names[file.unknown] as string,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: true,
    byte_fallback: file.byteFallback,
    ignore_merges: false,
    vocab: Object.fromEntries(names.map((name, id) => [name, id])),
    merges: merges.map(([left, right]) => [names[left] as string, names[right] as string]),
  };
}

/** One character again and again: runs of spaces, whose merges come out alike from the left and in their order. */
function isRun(name: string | undefined): boolean {
  return name !== undefined && new Set(name).size === 1;
}
