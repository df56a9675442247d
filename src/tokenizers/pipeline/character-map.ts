/**
 * Normalizers that treat most characters one by one. What a character becomes is remembered, so that text is read byte by
 * byte and no string is made of it; only where characters act on each other (marks, jamos, clusters) does a short run of
 * text go through the normalizer as a string: the character before, those that act, and the one behind.
 */

import { bytesOf, decodeAt, isAscii, textOf } from './unicode.js';

/** In the table of ASCII: the byte is left out; the character is no single byte of ASCII afterwards. */
const DROPPED = -1;
const OTHERWISE = -2;
/** What a character becomes that its neighbors have a say in. */
const INVOLVED = new Uint8Array(0);
/** Runs of so many UTF-16 units at most are remembered, so many of them. */
const SHORT_RUN = 12;
const KEPT_RUNS = 1 << 12;

/** True for a character that may compose or change places with the one before it: a mark, or a jamo within a syllable. */
export function joinsOthers(character: string): boolean {
  return /^[\p{M}\u1160-\u11ff]/u.test(character.normalize('NFKD'));
}

/** True for a character that may be one grapheme cluster with a neighbor. */
export function joinsClusters(character: string): boolean {
  return character === '\r' || countClusters(`a${character}a`) < 3 || countClusters(character + character) < 2;
}

const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

function countClusters(text: string): number {
  return [...segmenter.segment(text)].length;
}

/** A normalizer from its effect on text; `isInvolved` tells of a character and its result whether neighbors matter. */
export function byCharacters(
  normalize: (text: string) => string,
  isInvolved: (character: string, result: string) => boolean,
): (bytes: Uint8Array) => Uint8Array {
  const table = Int16Array.from({ length: 128 }, (_, byte) => {
    const character = String.fromCharCode(byte);
    const result = normalize(character);
    if (isInvolved(character, result) || result.length > 1 || result > '\u007f') return OTHERWISE;
    return result === '' ? DROPPED : result.charCodeAt(0);
  });
  const isIdentity = table.every((result, byte) => result === byte);
  const pages: ((Uint8Array | undefined)[] | undefined)[] = [];
  const resultOf = (point: number): Uint8Array => {
    pages[point >> 8] ??= new Array<Uint8Array | undefined>(256).fill(undefined);
    const page = pages[point >> 8] as (Uint8Array | undefined)[];
    const known = page[point & 0xff];
    if (known !== undefined) return known;
    const character = String.fromCodePoint(point);
    const result = normalize(character);
    const made = isInvolved(character, result) ? INVOLVED : Uint8Array.from(bytesOf(result));
    page[point & 0xff] = made;
    return made;
  };
  const runs = new Map<string, Uint8Array>();
  const resultOfRun = (run: string): Uint8Array => {
    const known = runs.get(run);
    if (known !== undefined) return known;
    const made = bytesOf(normalize(run));
    if (run.length <= SHORT_RUN) {
      if (runs.size >= KEPT_RUNS) runs.clear();
      runs.set(run, made);
    }
    return made;
  };
  return (bytes) => {
    const { length } = bytes;
    if (isIdentity && isAscii(bytes, 0, length)) return bytes;
    let out = new Uint8Array(length + 16);
    let to = 0;
    /** Where the last character starts in `bytes`, and where its result starts in `out`. */
    let lastAt = 0;
    let lastTo = 0;
    const room = (more: number, at: number): void => {
      if (to + more <= out.length) return;
      const grown = new Uint8Array(Math.max(out.length + (out.length >> 1), to + more + length - at));
      grown.set(out);
      out = grown;
    };
    for (let at = 0; at < length; ) {
      const byte = bytes[at] as number;
      if (byte < 0x80) {
        const mapped = table[byte] as number;
        if (mapped !== OTHERWISE) {
          if (to === out.length) room(1, at);
          lastAt = at++;
          lastTo = to;
          out[to] = mapped;
          to += mapped === DROPPED ? 0 : 1;
          continue;
        }
      }
      const character = decodeAt(bytes, at, length);
      const result = resultOf(character >> 3);
      if (result !== INVOLVED) {
        room(result.length, at);
        lastAt = at;
        lastTo = to;
        for (let i = 0; i < result.length; i++) out[to++] = result[i] as number;
        at += character & 7;
        continue;
      }
      let end = at + (character & 7);
      for (let isLast = false; end < length && !isLast; ) {
        const next = decodeAt(bytes, end, length);
        isLast = resultOf(next >> 3) !== INVOLVED;
        end += next & 7;
        // Whatever follows the last one may act on it.
        if (isLast && end < length && resultOf(decodeAt(bytes, end, length) >> 3) === INVOLVED) isLast = false;
      }
      const run = resultOfRun(textOf(bytes.subarray(lastAt, end)));
      to = lastTo;
      room(run.length, end);
      out.set(run, to);
      to += run.length;
      at = end;
      lastAt = end;
      lastTo = to;
    }
    return out.subarray(0, to);
  };
}
