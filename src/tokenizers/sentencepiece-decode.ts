/**
 * Ids back to text as SentencePiece does it (github.com/google/sentencepiece, `src/sentencepiece_processor.cc`): U+2581
 * becomes a space, the space that was put in front goes, control pieces are nothing, bytes are joined.
 */

import { streamDecoder } from './decode.js';
import { byteOf, PIECE, type SentencePieceFile } from './sentencepiece-file.js';
import { characterLength } from './sentencepiece-normalizer.js';
import type { DecodeOptions, StreamDecoder } from './tokenizer.js';
import { checkId, type TokenTable, tokenTable } from './vocabulary.js';

const SPACE = Uint8Array.of(0x20);
const NONE = new Uint8Array(0);
const REPLACEMENT = [0xef, 0xbf, 0xbd] as const;

/** Decodes the ids of a model. */
export interface SentencePieceDecoder {
  /** What each id is decoded to, but for a space in front. */
  readonly surfaces: TokenTable;
  bytes(ids: ArrayLike<number>, options?: DecodeOptions): Uint8Array<ArrayBuffer>;
  text(ids: ArrayLike<number>, options?: DecodeOptions): string;
  stream(options?: DecodeOptions): StreamDecoder;
}

/** The decoder of a model. */
export function sentencePieceDecoder(file: SentencePieceFile): SentencePieceDecoder {
  const { types, pieces, removeExtraWhitespaces, addDummyPrefix } = file;
  const surfaces = tokenTable(
    pieces.map((piece, id) => {
      if (types[id] === PIECE.control) return NONE;
      if (types[id] === PIECE.unknown) return file.unknownSurface;
      if (types[id] === PIECE.byte) return Uint8Array.of(byteOf(piece));
      return withSpaces(piece);
    }),
  );
  /** 1 for each id whose piece begins with U+2581. */
  const begins = Uint8Array.from(pieces, (piece, id) => {
    const isText = types[id] === PIECE.normal || types[id] === PIECE.userDefined || types[id] === PIECE.unused;
    return isText && isMark(piece, 0) ? 1 : 0;
  });
  const strips = removeExtraWhitespaces || addDummyPrefix;

  /** Tells how many bytes at the start of each id's surface go. */
  const leading = (): ((id: number) => number) => {
    let isStart = strips;
    let wasStripped = false;
    let hasText = false;
    return (id) => {
      const length = (surfaces.offsets[id + 1] as number) - (surfaces.offsets[id] as number);
      if (!isStart) return 0;
      if (types[id] === PIECE.byte) {
        hasText = true;
        return 0;
      }
      if (wasStripped || hasText) isStart = false;
      const cut = isStart ? (begins[id] as number) : 0;
      wasStripped = cut === 1 && !removeExtraWhitespaces;
      if (length > cut) hasText = true;
      return cut;
    };
  };
  const isSkipped = (id: number, options: DecodeOptions): boolean =>
    options.skipSpecialTokens === true && types[id] === PIECE.unknown;

  /** The bytes of ids; `breaks` is told where a control piece keeps the bytes around it from being one character. */
  const bytesOf = (ids: ArrayLike<number>, options: DecodeOptions = {}, breaks?: number[]): Uint8Array<ArrayBuffer> => {
    const { bytes, offsets } = surfaces;
    let length = 0;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as number;
      checkId(surfaces, id);
      length += (offsets[id + 1] as number) - (offsets[id] as number);
    }
    const out = new Uint8Array(length);
    const cut = leading();
    let to = 0;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as number;
      if (isSkipped(id, options)) continue;
      if (types[id] === PIECE.control) breaks?.push(to);
      const end = offsets[id + 1] as number;
      for (let from = (offsets[id] as number) + cut(id); from < end; from++) out[to++] = bytes[from] as number;
    }
    return to === length ? out : out.slice(0, to);
  };

  return {
    surfaces,
    bytes: (ids, options) => bytesOf(ids, options),
    text: (ids, options) => {
      const breaks = [0];
      const bytes = bytesOf(ids, options, breaks);
      return breaks.map((from, i) => toText(bytes.subarray(from, breaks[i + 1]))).join('');
    },
    stream: (options = {}) => {
      const inner = streamDecoder(surfaces);
      const cut = leading();
      const push = (id: number): Uint8Array => {
        checkId(surfaces, id);
        if (isSkipped(id, options)) return NONE;
        // What is cut stands in front of all text, so that nothing is held back before it.
        const stripped = cut(id);
        const bytes = inner.push(id);
        return stripped === 0 ? bytes : bytes.subarray(stripped);
      };
      return {
        push,
        flush: inner.flush,
        pushText: (id) => (types[id] === PIECE.control ? toText(inner.flush()) : toText(push(id))),
        flushText: () => toText(inner.flush()),
      };
    },
  };
}

/** A piece with spaces for U+2581. */
export function withSpaces(piece: Uint8Array): Uint8Array<ArrayBuffer> {
  const out: number[] = [];
  for (let at = 0; at < piece.length; at++) {
    if (isMark(piece, at)) {
      out.push(...SPACE);
      at += 2;
    } else out.push(piece[at] as number);
  }
  return Uint8Array.from(out);
}

/** Whether U+2581 stands at a place. */
export function isMark(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xe2 && bytes[at + 1] === 0x96 && bytes[at + 2] === 0x81;
}

/** Bytes as text; each byte that is part of no character is U+FFFD. */
function toText(bytes: Uint8Array): string {
  if (bytes.length === 0) return '';
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let from = 0;
  while (from < bytes.length) {
    const length = characterLength(bytes, from, bytes.length);
    if (length === 0) break;
    from += length;
  }
  if (from === bytes.length) return decoder.decode(bytes);
  const out: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at, bytes.length);
    if (length === 0) out.push(...REPLACEMENT);
    for (let each = at; each < at + length; each++) out.push(bytes[each] as number);
    at += Math.max(1, length);
  }
  return decoder.decode(Uint8Array.from(out));
}
