/**
 * SentencePiece's `.model` file: the message ModelProto of github.com/google/sentencepiece
 * (`src/sentencepiece_model.proto`) in the wire format of protocol buffers, read within its bounds.
 */

import { TesseraError } from '../host/error.js';
import { type Charsmap, readCharsmap } from './precompiled.js';

/** What a piece is. */
export const PIECE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** A `.model` taken apart. */
export interface SentencePieceFile {
  readonly type: 'unigram' | 'bpe';
  /** The pieces' text in UTF-8, with U+2581 for spaces, by id. */
  readonly pieces: readonly Uint8Array[];
  readonly scores: Float32Array;
  /** One of {@link PIECE} for each piece. */
  readonly types: Uint8Array;
  /** The id of the unknown piece. */
  readonly unknown: number;
  readonly byteFallback: boolean;
  readonly whitespaceAsSuffix: boolean;
  /** What the unknown piece is decoded to. */
  readonly unknownSurface: Uint8Array;
  /** The names of the pieces that begin and end a text. */
  readonly begin: string;
  readonly end: string;
  readonly addDummyPrefix: boolean;
  readonly removeExtraWhitespaces: boolean;
  readonly escapeWhitespaces: boolean;
  /** The rules that text goes through, and the bytes they were read from. */
  readonly charsmap: Charsmap | undefined;
  readonly charsmapBytes: Uint8Array;
}

/** The pieces of a vocabulary of more are refused. */
const MOST_PIECES = 1 << 22;
const utf8 = new TextEncoder();

/** Reads a `.model` file. @throws bad-file, unsupported. */
export function readSentencePiece(file: Uint8Array, where = 'The .model file'): SentencePieceFile {
  const damaged = (reason: string): TesseraError =>
    new TesseraError('bad-file', `${where} cannot be read as a SentencePiece model: ${reason}.`, {
      hint: 'It is damaged or of another format; take it from its source again.',
    });
  const pieces: Uint8Array[] = [];
  const scores: number[] = [];
  const types: number[] = [];
  const spec = {
    type: 1,
    byteFallback: false,
    whitespaceAsSuffix: false,
    unknownSurface: utf8.encode(' \u2047 '),
    begin: '<s>',
    end: '</s>',
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
    escapeWhitespaces: true,
    charsmapBytes: new Uint8Array(0),
  };
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  for (const [number, value] of fields(file, damaged)) {
    if (typeof value === 'number') continue;
    if (number === 1) {
      if (pieces.length === MOST_PIECES) throw damaged(`it has more than ${MOST_PIECES} pieces`);
      let piece = new Uint8Array(0);
      let score = 0;
      let type: number = PIECE.normal;
      for (const [field, content] of fields(value, damaged)) {
        if (field === 1 && typeof content !== 'number') piece = content.slice();
        if (field === 2 && typeof content !== 'number' && content.length === 4) score = float(content);
        if (field === 3 && typeof content === 'number') type = content;
      }
      pieces.push(piece);
      scores.push(score);
      types.push(type);
    } else if (number === 2) {
      for (const [field, content] of fields(value, damaged)) {
        if (typeof content === 'number') {
          if (field === 3) spec.type = content;
          if (field === 24) spec.whitespaceAsSuffix = content !== 0;
          if (field === 35) spec.byteFallback = content !== 0;
        } else {
          if (field === 44) spec.unknownSurface = content.slice();
          if (field === 46) spec.begin = text(content);
          if (field === 47) spec.end = text(content);
        }
      }
    } else if (number === 3) {
      for (const [field, content] of fields(value, damaged)) {
        if (typeof content === 'number') {
          if (field === 3) spec.addDummyPrefix = content !== 0;
          if (field === 4) spec.removeExtraWhitespaces = content !== 0;
          if (field === 5) spec.escapeWhitespaces = content !== 0;
        } else if (field === 2) spec.charsmapBytes = content.slice();
      }
    } else if (number === 5) {
      for (const [field, content] of fields(value, damaged)) {
        if (field === 2 && typeof content !== 'number' && content.length > 0) {
          throw unsupported(where, 'it rewrites decoded text (denormalizer_spec)');
        }
      }
    }
  }
  if (pieces.length === 0) throw damaged('it has no pieces');
  if (spec.type !== 1 && spec.type !== 2) throw unsupported(where, `it is of model type ${spec.type}`);
  const unknown = checkPieces(pieces, scores, types, spec.byteFallback, damaged);
  if (spec.type === 2 && types.includes(PIECE.unused)) throw unsupported(where, 'it is BPE with unused pieces');
  const { type, charsmapBytes, ...rest } = spec;
  return {
    ...rest,
    type: type === 1 ? 'unigram' : 'bpe',
    pieces,
    scores: Float32Array.from(scores),
    types: Uint8Array.from(types),
    unknown,
    charsmapBytes,
    charsmap: charsmapBytes.length === 0 ? undefined : readCharsmap(charsmapBytes),
  };
}

/** Checks what SentencePiece checks, and returns the id of the unknown piece. */
function checkPieces(
  pieces: readonly Uint8Array[],
  scores: readonly number[],
  types: readonly number[],
  byteFallback: boolean,
  damaged: (reason: string) => TesseraError,
): number {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const known = new Set<string>();
  let unknown = -1;
  let bytes = 0;
  for (const [id, piece] of pieces.entries()) {
    const type = types[id] as number;
    if (type < 1 || type > 6) throw damaged(`the piece ${id} is of type ${type}`);
    if (piece.length === 0) throw damaged(`the piece ${id} is empty`);
    if (Number.isNaN(scores[id])) throw damaged(`the piece ${id} has no number for a score`);
    let name: string;
    try {
      name = decoder.decode(piece);
    } catch {
      throw damaged(`the piece ${id} is not UTF-8`);
    }
    if (known.has(name)) throw damaged(`the piece ${JSON.stringify(name)} is there twice`);
    known.add(name);
    if (type === PIECE.unknown) {
      if (unknown !== -1) throw damaged(`the pieces ${unknown} and ${id} are both the unknown one`);
      unknown = id;
    }
    if (type === PIECE.byte) {
      if (!byteFallback) throw damaged(`it has the byte ${JSON.stringify(name)} and no byte fallback`);
      if (byteOf(piece) === -1) throw damaged(`the piece ${JSON.stringify(name)} is no byte`);
      bytes++;
    }
  }
  if (unknown === -1) throw damaged('it has no unknown piece');
  if (byteFallback && bytes !== 256) throw damaged(`it has byte fallback and ${bytes} bytes of 256`);
  return unknown;
}

/** The byte that a piece `<0x00>` to `<0xFF>` stands for, or -1. */
export function byteOf(piece: Uint8Array): number {
  const digits = /^<0x([0-9A-F]{2})>$/.exec(new TextDecoder().decode(piece))?.[1];
  return digits === undefined ? -1 : Number.parseInt(digits, 16);
}

function unsupported(where: string, reason: string): TesseraError {
  return new TesseraError('unsupported', `${where} is a SentencePiece model that cannot be used: ${reason}.`, {
    hint: 'Models of type Unigram (1) and BPE (2) can be used.',
  });
}

function float(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getFloat32(0, true);
}

/** The fields of a message: a number for a varint (32 bits of it), the bytes for others. */
function* fields(
  message: Uint8Array,
  damaged: (reason: string) => TesseraError,
): Generator<readonly [number, number | Uint8Array]> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = message[at++];
      if (byte === undefined) throw damaged('it ends within a number');
      value += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) return value;
    }
    throw damaged('a number has no end');
  };
  while (at < message.length) {
    const tag = varint();
    const wire = tag % 8;
    const number = Math.floor(tag / 8);
    if (number < 1 || number > 2 ** 29) throw damaged(`a field has the number ${number}`);
    if (wire === 0) {
      yield [number, varint()];
      continue;
    }
    const length = wire === 1 ? 8 : wire === 5 ? 4 : wire === 2 ? varint() : -1;
    if (length < 0) throw damaged(`a field is of wire type ${wire}`);
    if (length > message.length - at) throw damaged('a field goes on beyond its end');
    yield [number, message.subarray(at, at + length)];
    at += length;
  }
}
