/**
 * BPE over characters, as in SentencePiece's and CLIP's vocabularies: the first symbols of a word are its characters,
 * within the word with `continuing_subword_prefix`, at its end with `end_of_word_suffix`; a character without a token is
 * its bytes' tokens `<0x00>` to `<0xFF>` (`byte_fallback`), or the unknown token, one for each or one for a run of them.
 */

import { TesseraError } from '../../host/error.js';
import type { TokenTable } from '../vocabulary.js';
import { bytesOf, lengthAt } from './unicode.js';

/** How characters become symbols. */
export interface CharacterOptions {
  readonly prefix: string;
  readonly suffix: string;
  readonly byteFallback: boolean;
  /** The `unk_token`, or undefined: characters without a token are left out. */
  readonly unknown: string | undefined;
  readonly fuseUnknown: boolean;
}

/** Writes the first symbols of `bytes[from, to)` to `target` and returns how many there are. */
export type SymbolFiller = (bytes: Uint8Array, from: number, to: number, target: Int32Array) => number;

/** The ids of the tokens `<0x00>` to `<0xFF>`, -1 where one is missing: [256]. */
export function byteTokenIds(table: TokenTable): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) =>
    idOf(table, `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  );
}

function idOf(table: TokenTable, token: string): number {
  const bytes = bytesOf(token);
  return table.find(bytes, 0, bytes.length);
}

/** The filler for the tokens of a table. */
export function characterSymbols(table: TokenTable, options: CharacterOptions): SymbolFiller {
  const { byteFallback, fuseUnknown, unknown } = options;
  const prefix = bytesOf(options.prefix);
  const suffix = bytesOf(options.suffix);
  const isPlain = prefix.length === 0 && suffix.length === 0;
  const unknownId = unknown === undefined ? -1 : idOf(table, unknown);
  const byteIds = byteFallback ? byteTokenIds(table) : new Int32Array(256).fill(-1);
  const scratch = new Uint8Array(prefix.length + 4 + suffix.length);
  const ascii = Int32Array.from({ length: 128 }, (_, byte) => table.find(Uint8Array.of(byte), 0, 1));
  return (bytes, from, to, target) => {
    let count = 0;
    let pending = false;
    for (let at = from; at < to; ) {
      const length = lengthAt(bytes, at, to);
      const end = at + length;
      let id: number;
      let spelled = bytes;
      let spelledFrom = at;
      let spelledTo = end;
      if (isPlain) id = length === 1 ? (ascii[bytes[at] as number] ?? -1) : table.find(bytes, at, end);
      else {
        spelled = scratch;
        spelledFrom = 0;
        spelledTo = 0;
        if (at > from) for (let i = 0; i < prefix.length; i++) scratch[spelledTo++] = prefix[i] as number;
        for (let each = at; each < end; each++) scratch[spelledTo++] = bytes[each] as number;
        if (end === to) for (let i = 0; i < suffix.length; i++) scratch[spelledTo++] = suffix[i] as number;
        id = table.find(scratch, 0, spelledTo);
      }
      at = end;
      if (id >= 0) {
        if (pending) target[count++] = unknownId;
        pending = false;
        target[count++] = id;
        continue;
      }
      if (byteFallback) {
        let hasAll = true;
        for (let i = spelledFrom; i < spelledTo; i++) hasAll &&= (byteIds[spelled[i] as number] as number) >= 0;
        if (hasAll) {
          // The library lets an unknown token that waits come after the bytes.
          for (let i = spelledFrom; i < spelledTo; i++) target[count++] = byteIds[spelled[i] as number] as number;
          continue;
        }
      }
      if (unknown === undefined) continue;
      if (unknownId < 0) throw missingUnknown(unknown);
      if (pending && !fuseUnknown) target[count++] = unknownId;
      pending = true;
    }
    if (pending) target[count++] = unknownId;
    return count;
  };
}

function missingUnknown(unknown: string): TesseraError {
  return new TesseraError(
    'bad-input',
    `The text has a character without a token, and the vocabulary lacks the unknown token ${JSON.stringify(unknown)}.`,
  );
}
