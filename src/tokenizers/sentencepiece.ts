/**
 * SentencePiece's models (Kudo & Richardson 2018, arXiv 1808.06226): a `.model` file as a tokenizer whose ids and texts
 * are those of the library (github.com/google/sentencepiece). Text is normalized, cut at its spaces where no piece goes
 * across them, and given to BPE's merges; a unigram model reads it whole, since the library's sums are rounded along it.
 */

import { defaultConfig, savedConfig } from './config.js';
import type { WordMerger } from './merges.js';
import type { Scanner } from './scanners.js';
import { sentencePieceMerger } from './sentencepiece-bpe.js';
import { isMark, sentencePieceDecoder } from './sentencepiece-decode.js';
import { byteOf, PIECE, readSentencePiece, type SentencePieceFile } from './sentencepiece-file.js';
import { sentencePieceToJson } from './sentencepiece-json.js';
import { sentencePieceNormalizer, type UserDefined, userDefinedPieces } from './sentencepiece-normalizer.js';
import type { EncodeOptions, Tokenizer, Vocabulary } from './tokenizer.js';
import { UNKNOWN_PENALTY, unigramModel } from './unigram.js';
import { sampledUnigram } from './unigram-lattice.js';
import { type TokenTable, tokenTable, vocabularyOf } from './vocabulary.js';
import { type IdSink, idSink, reserve, wordEncoder } from './word-encoder.js';

/** Choices of {@link sentencePieceTokenizer}. */
export interface SentencePieceOptions {
  /** `addSpecialTokens` puts the piece that begins a text in front (Llama 2); off unless asked for. */
  readonly beginsText?: boolean;
  /** `addSpecialTokens` puts the piece that ends a text at the end (T5); off unless asked for. */
  readonly endsText?: boolean;
  /**
   * Samples segmentations of a unigram model where `encode` has a `random`: each in proportion to its probability to the
   * power `alpha` (Kudo 2018, arXiv 1804.10959). 0 is any, a large one the best. Without it, `random` changes nothing.
   */
  readonly alpha?: number;
  /** What the file is called in errors. */
  readonly where?: string;
}

/** Ids and text of more room than this is not kept between calls. */
const KEPT = 1 << 20;
/** The least number that the library takes for the greatest score, in single precision. */
const LEAST_MAXIMUM = 2 ** -126;

/**
 * The tokenizer of a `.model` file. Control pieces written out in a text are text, as in the library, whatever
 * `parseSpecialTokens` says; user-defined pieces are always found.
 * @throws bad-file, unsupported.
 */
export function sentencePieceTokenizer(model: Uint8Array, options: SentencePieceOptions = {}): Tokenizer {
  const file = readSentencePiece(model, options.where);
  const { types, pieces } = file;
  const table = tokenTable(pieces);
  const userDefined = userDefinedPieces(table, types);
  const normalize = sentencePieceNormalizer(file, userDefined);
  const byteIds = file.byteFallback ? fallbackIds(file) : undefined;
  const { encode, sample, clear } = encoderOf(file, table, userDefined, byteIds, options.alpha);
  const decoder = sentencePieceDecoder(file);
  const utf8 = new TextEncoder();
  const names = pieces.map((piece, id) =>
    types[id] === PIECE.control || types[id] === PIECE.unknown ? new TextDecoder().decode(piece) : undefined,
  );
  const special = new Map(names.flatMap((name, id) => (name === undefined ? [] : [[name, id] as const])));
  const before = options.beginsText === true ? special.get(file.begin) : undefined;
  const after = options.endsText === true ? special.get(file.end) : undefined;
  const endOfText = special.get(file.end);

  let sink = idSink(1024);
  const put = (id: number | undefined): void => {
    if (id === undefined) return;
    reserve(sink, 1);
    sink.ids[sink.length++] = id;
  };
  const encodeRange = (bytes: Uint8Array, length: number, call: EncodeOptions = {}): Ids => {
    sink.length = 0;
    if (call.addSpecialTokens === true) put(before);
    const normalized = normalize(bytes, 0, length);
    if (sample !== undefined && call.random !== undefined) {
      reserve(sink, normalized.length);
      const draw = call.random.stream();
      sink.length += sample(normalized.bytes, 0, normalized.length, sink.ids, sink.length, draw);
    } else encode(normalized.bytes, normalized.length, sink);
    if (call.addSpecialTokens === true) put(after);
    const ids = sink.ids.slice(0, sink.length);
    if (sink.ids.length > KEPT) sink = idSink(1024);
    return ids;
  };
  const encodeBytes: Tokenizer['encodeBytes'] = (bytes, call) => encodeRange(bytes, bytes.length, call);
  let kept = new Uint8Array(0);
  return {
    name: file.type,
    vocabulary: vocabulary(file, table, decoder.surfaces, special),
    endOfText,
    special,
    lossy: true,
    encode: (text, call) => {
      if (text.length * 3 > KEPT) return encodeBytes(utf8.encode(text), call);
      if (kept.length < text.length * 3) kept = new Uint8Array(Math.min(KEPT, text.length * 6));
      return encodeRange(kept, utf8.encodeInto(text, kept).written, call);
    },
    encodeBytes,
    decode: decoder.text,
    decodeBytes: decoder.bytes,
    createDecoder: decoder.stream,
    clearCache: clear,
    save: (saved = {}) => [
      { file: 'tokenizer.json', text: `${JSON.stringify(sentencePieceToJson(model, options), null, 2)}\n` },
      savedConfig(
        {
          ...defaultConfig(endOfText === undefined ? undefined : file.end),
          ...(special.has(file.begin) ? { bos_token: file.begin } : {}),
          unk_token: names[file.unknown] ?? null,
        },
        saved,
      ),
    ],
  };
}

type Ids = Int32Array<ArrayBuffer>;

/** Encodes normalized text. */
interface NormalizedEncoder {
  encode(bytes: Uint8Array, length: number, sink: IdSink): void;
  readonly sample: ReturnType<typeof sampledUnigram> | undefined;
  clear(): void;
}

function encoderOf(
  file: SentencePieceFile,
  table: TokenTable,
  userDefined: UserDefined | undefined,
  byteIds: Int32Array | undefined,
  alpha: number | undefined,
): NormalizedEncoder {
  if (file.type === 'unigram') {
    const model = sentencePieceUnigram(file, table, byteIds);
    return {
      sample: alpha === undefined ? undefined : sampledUnigram(model, alpha),
      clear: () => undefined,
      encode: (bytes, length, sink) => {
        reserve(sink, length);
        sink.length += model.merge(bytes, 0, length, sink.ids, sink.length);
      },
    };
  }
  const merge = aroundUserDefined(sentencePieceMerger(file, table, byteIds), userDefined);
  const scan = cutAtSpaces(file, table);
  const words = wordEncoder(merge);
  return {
    sample: undefined,
    clear: words.clear,
    encode: (bytes, length, sink) => {
      words.encode(bytes, 0, length, scan, sink);
      words.release();
    },
  };
}

/** The unigram model of a file, with the library's scores. */
export function sentencePieceUnigram(
  file: SentencePieceFile,
  table: TokenTable,
  byteIds: Int32Array | undefined,
): ReturnType<typeof unigramModel> {
  const { types, scores, unknown, pieces } = file;
  let least = 3.4028234663852886e38;
  let greatest = LEAST_MAXIMUM;
  for (let id = 0; id < pieces.length; id++) {
    if (types[id] !== PIECE.normal) continue;
    least = Math.min(least, scores[id] as number);
    greatest = Math.max(greatest, scores[id] as number);
  }
  return unigramModel({
    table,
    // A user-defined piece is always chosen: its score is that of the best piece for each of its bytes.
    scores: Float64Array.from(scores, (score, id) =>
      types[id] === PIECE.userDefined ? Math.fround((pieces[id]?.length ?? 0) * greatest) - 0.1 : score,
    ),
    isPiece: (id) => types[id] === PIECE.normal || types[id] === PIECE.userDefined,
    unknown,
    unknownScore: Math.fround(least - UNKNOWN_PENALTY),
    byteIds,
    rule: 'sentencepiece',
  });
}

/** Words are merged between the user-defined pieces in them. */
function aroundUserDefined(merge: WordMerger, userDefined: UserDefined | undefined): WordMerger {
  if (userDefined === undefined) return merge;
  return (bytes, from, to, out, at) => {
    let length = 0;
    let start = from;
    for (let each = from; each < to; ) {
      const size = userDefined.starts[bytes[each] as number] === 1 ? userDefined.match(bytes, each, to) : 0;
      if (size === 0) {
        each++;
        continue;
      }
      const id = userDefined.id();
      if (start < each) length += merge(bytes, start, each, out, at + length);
      out[at + length++] = id;
      each += size;
      start = each;
    }
    return start < to ? length + merge(bytes, start, to, out, at + length) : length;
  };
}

/** Words begin, or end, at spaces where no piece goes across their ends; else the whole text is one. */
function cutAtSpaces(file: SentencePieceFile, table: TokenTable): Scanner {
  const whole: Scanner = (_bytes, _at, end) => end;
  const { types, pieces } = file;
  // An unknown space could be one token with the unknown character before or after it.
  const mark = table.find(Uint8Array.of(0xe2, 0x96, 0x81), 0, 3);
  const isKnown = mark !== -1 && (types[mark] === PIECE.normal || types[mark] === PIECE.userDefined);
  if (!isKnown && !file.byteFallback) return whole;
  let goesOver = false;
  let comesAfter = false;
  for (const [id, piece] of pieces.entries()) {
    if (types[id] !== PIECE.normal && types[id] !== PIECE.userDefined) continue;
    for (let at = 0; at < piece.length; ) {
      const isHere = isMark(piece, at);
      at += isHere ? 3 : 1;
      if (at >= piece.length) break;
      const isNext = isMark(piece, at);
      if (!isHere && isNext) goesOver = true;
      if (isHere && !isNext) comesAfter = true;
    }
  }
  if (!goesOver) {
    return (bytes, at, end) => {
      let to = at;
      while (to < end && isMark(bytes, to)) to += 3;
      while (to < end && !(bytes[to] === 0xe2 && isMark(bytes, to))) to++;
      return Math.min(to, end);
    };
  }
  if (comesAfter) return whole;
  return (bytes, at, end) => {
    let to = at;
    while (to < end && !(bytes[to] === 0xe2 && isMark(bytes, to))) to++;
    while (to < end && isMark(bytes, to)) to += 3;
    return Math.min(to, end);
  };
}

function fallbackIds({ pieces, types }: SentencePieceFile): Int32Array {
  const ids = new Int32Array(256).fill(-1);
  pieces.forEach((piece, id) => {
    if (types[id] === PIECE.byte) ids[byteOf(piece)] = id;
  });
  return ids;
}

/** Tokens as they are decoded, special ones by their name; found by either spelling of a space. */
function vocabulary(
  file: SentencePieceFile,
  table: TokenTable,
  surfaces: TokenTable,
  special: ReadonlyMap<string, number>,
): Vocabulary {
  const shown = vocabularyOf(surfaces, special);
  const stored = vocabularyOf(table, special);
  const isSpecial = (id: number): boolean => file.types[id] === PIECE.control || file.types[id] === PIECE.unknown;
  return {
    size: table.size,
    token: (id) => (isSpecial(id) ? stored : shown).token(id),
    id: (token) => {
      const text = typeof token === 'string' ? token : new TextDecoder().decode(token);
      return stored.id(token) ?? stored.id(text.replaceAll(' ', '\u2581'));
    },
  };
}
