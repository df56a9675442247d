/** Stages that write the bytes anew: Metaspace's marks, ByteLevel's added space and its alphabet. */

import { TesseraError } from '../../host/error.js';
import { spellInto } from './normalizers.js';
import { booleanOf, type Component, characterOf, stringOf } from './read.js';
import { bytesOf } from './unicode.js';

/** Pieces of text: start and end of each in `bytes`, in turn. */
export interface Pieces {
  readonly bytes: Uint8Array;
  readonly ranges: readonly number[];
}

/** Takes pieces to finer ones; `isStart`: the first piece may be the start of the whole text. */
export type Stage = (pieces: Pieces, isStart: boolean) => Pieces;

/** Metaspace: a mark for each space and, by its scheme, one before the text; words begin with it. @throws bad-file. */
export function readMetaspace(value: Component, where: string): Stage {
  const replacement = characterOf(value, 'replacement', where);
  const mark = bytesOf(replacement);
  const scheme = readPrependScheme(value, where);
  const splits = booleanOf(value, 'split', where, true);
  return ({ bytes, ranges }, isStart) => {
    let size = 0;
    for (let i = 0; i < ranges.length; i += 2) size += (ranges[i + 1] as number) - (ranges[i] as number);
    const out = new Uint8Array(size * mark.length + (ranges.length / 2) * mark.length);
    const pieces: number[] = [];
    let end = 0;
    const put = (): void => {
      for (let i = 0; i < mark.length; i++) out[end++] = mark[i] as number;
    };
    for (let i = 0; i < ranges.length; i += 2) {
      const from = ranges[i] as number;
      const to = ranges[i + 1] as number;
      let start = end;
      const isMarked = bytes[from] === 0x20 || isAt(mark, bytes, from, to);
      if (!isMarked && (scheme === 'always' || (scheme === 'first' && isStart && from === 0))) put();
      for (let at = from; at < to; ) {
        const isMark = bytes[at] === 0x20 || isAt(mark, bytes, at, to);
        if (isMark) {
          if (splits && end > start) {
            pieces.push(start, end);
            start = end;
          }
          at += bytes[at] === 0x20 ? 1 : mark.length;
          put();
        } else out[end++] = bytes[at++] as number;
      }
      if (start < end) pieces.push(start, end);
    }
    return { bytes: out.subarray(0, end), ranges: pieces };
  };
}

function isAt(mark: Uint8Array, bytes: Uint8Array, at: number, to: number): boolean {
  if (at + mark.length > to) return false;
  for (let i = 0; i < mark.length; i++) if (mark[i] !== bytes[at + i]) return false;
  return true;
}

/** `prepend_scheme`, or what files before it said by `add_prefix_space`. @throws bad-file. */
export function readPrependScheme(value: Component, where: string): 'first' | 'never' | 'always' {
  const scheme = stringOf(value, 'prepend_scheme', where, value.add_prefix_space === false ? 'never' : 'always');
  if (scheme === 'first' || scheme === 'never' || scheme === 'always') return scheme;
  throw new TesseraError(
    'bad-file',
    `${where}: the Metaspace prepend_scheme ${JSON.stringify(scheme)} is not first, never or always.`,
  );
}

/** Puts a space before each piece that does not begin with one. */
export const prefixSpaces: Stage = ({ bytes, ranges }) => {
  let size = ranges.length / 2;
  for (let i = 0; i < ranges.length; i += 2) size += (ranges[i + 1] as number) - (ranges[i] as number);
  const out = new Uint8Array(size);
  const pieces: number[] = [];
  let end = 0;
  for (let i = 0; i < ranges.length; i += 2) {
    const from = ranges[i] as number;
    const to = ranges[i + 1] as number;
    const start = end;
    if (bytes[from] !== 0x20) out[end++] = 0x20;
    for (let at = from; at < to; at++) out[end++] = bytes[at] as number;
    pieces.push(start, end);
  }
  return { bytes: out.subarray(0, end), ranges: pieces };
};

/** Writes each byte as its character of the byte-level alphabet. */
export const spellPieces: Stage = ({ bytes, ranges }) => {
  let size = 0;
  for (let i = 0; i < ranges.length; i += 2) size += (ranges[i + 1] as number) - (ranges[i] as number);
  const out = new Uint8Array(size * 2);
  const pieces: number[] = [];
  let end = 0;
  for (let i = 0; i < ranges.length; i += 2) {
    const start = end;
    end = spellInto(bytes, ranges[i] as number, ranges[i + 1] as number, out, end);
    pieces.push(start, end);
  }
  return { bytes: out.subarray(0, end), ranges: pieces };
};
