/**
 * Text encoded as it arrives, with the ids that the whole text has.
 *
 * A text may be cut before a space between two words, and after a line's end before a letter, when no token reaches over
 * such a place and the tokenizer puts nothing at a text's beginning: merges, longest matches and best paths on the two
 * sides then know nothing of each other. Where a tokenizer does not allow it, the text is held whole.
 */

import type { EncodeOptions, Tokenizer } from '../tokenizers/index.js';

/** The ids of a stretch of text. */
export interface Stretch {
  readonly bytes: number;
  readonly ids: Int32Array;
}

/** Bytes of text that are encoded at a time, at least. */
const STRETCH = 1 << 20;

/** Where a tokenizer allows a cut. */
export interface Cuts {
  /** Between a byte that is no space and ` a`. */
  readonly spaces: boolean;
  /** Between `x\n` and a letter. */
  readonly lines: boolean;
}

/** Encodes a stream piece by piece. */
export async function* encodeStream(
  tokenizer: Tokenizer,
  chunks: AsyncIterable<Uint8Array>,
  options: EncodeOptions,
): AsyncGenerator<Stretch> {
  let held: Uint8Array[] = [];
  let length = 0;
  let wanted = STRETCH;
  let cuts: Cuts | undefined;
  for await (const chunk of chunks) {
    held.push(chunk);
    length += chunk.length;
    if (length < wanted) continue;
    cuts ??= options.addSpecialTokens === true ? { spaces: false, lines: false } : allowedCuts(tokenizer);
    const bytes = joined(held, length);
    const cut = lastCut(bytes, cuts);
    if (cut > 0) {
      yield { bytes: cut, ids: tokenizer.encodeBytes(bytes.subarray(0, cut), options) };
      held = [bytes.subarray(cut)];
      length -= cut;
      wanted = length + STRETCH;
    } else {
      held = [bytes];
      wanted = length * 2;
    }
  }
  const bytes = joined(held, length);
  yield { bytes: length, ids: tokenizer.encodeBytes(bytes, options) };
}

/** The last place where the bytes may be cut, or 0. */
export function lastCut(bytes: Uint8Array, cuts: Cuts): number {
  if (!cuts.spaces && !cuts.lines) return 0;
  for (let at = bytes.length - 2; at >= 2; at--) {
    const byte = bytes[at] as number;
    if (cuts.spaces && byte === 0x20 && isLetter(bytes[at + 1] as number) && isPlain(bytes[at - 1] as number))
      return at;
    if (cuts.lines && bytes[at - 1] === 0x0a && isLetter(byte) && isPlain(bytes[at - 2] as number)) return at;
  }
  return 0;
}

/** A letter of ASCII. */
function isLetter(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

/** A visible character of ASCII. */
function isPlain(byte: number): boolean {
  return byte > 0x20 && byte < 0x7f;
}

/** Which cuts leave the ids as they are: no token reaches over one, and trials agree. */
export function allowedCuts(tokenizer: Tokenizer): Cuts {
  let [spaces, lines] = [true, true];
  const marked = markedSpaces(tokenizer);
  for (let id = 0; id < tokenizer.vocabulary.size && (spaces || lines); id++) {
    const token = tokenOf(tokenizer, id);
    if (token === undefined) continue;
    for (let at = 0; at + 1 < token.length; at++) {
      if (token[at] === 0x0a && isLetter(token[at + 1] as number)) lines = false;
      if (at > 0 && token[at] === 0x20 && isLetter(token[at + 1] as number)) spaces = false;
    }
    // SentencePiece's mark of a space, inside of a token.
    if (marked && new TextDecoder().decode(token).indexOf('\u2581', 1) > 0) spaces = false;
  }
  const agrees = (left: string, right: string): boolean => {
    const whole = tokenizer.encode(left + right);
    const apart = [...tokenizer.encode(left), ...tokenizer.encode(right)];
    return whole.length === apart.length && whole.every((id, i) => id === apart[i]);
  };
  const before = ['word', 'a', 'end.', 'x=1', '"', '(', '12', 'Word,', '!', ...tokenizer.special.keys()];
  const after = ['word', 'a b', 'Tail', 'xyz 1'];
  const all = (between: readonly [string, string]): boolean =>
    before.every((left) => after.every((right) => agrees(left + between[0], between[1] + right)));
  return { spaces: spaces && all(['', ' ']), lines: lines && all(['\n', '']) };
}

function markedSpaces(tokenizer: Tokenizer): boolean {
  return tokenizer.lossy && tokenizer.vocabulary.id('\u2581') !== undefined;
}

function tokenOf({ vocabulary }: Tokenizer, id: number): Uint8Array | undefined {
  try {
    return vocabulary.token(id);
  } catch {
    // An id that no token has.
    return undefined;
  }
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
