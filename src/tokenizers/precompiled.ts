/**
 * SentencePiece's `precompiled_charsmap`: rules that replace text, such as NFKC's, as a double array in the layout of
 * Darts-clone (github.com/s-yata/darts-clone) and a pool of strings that end with a zero byte. In front of both stands
 * the size of the double array in bytes, 32 bits, little-endian.
 */

import { TesseraError } from '../host/error.js';

/** Rules that replace what text begins with. */
export interface Charsmap {
  /** The bytes of all replacements. */
  readonly pool: Uint8Array;
  /** The longest rule that matches at `at`, or the shortest; returns the length of what it replaces, or 0. */
  match(bytes: Uint8Array, at: number, to: number, isShortest?: boolean): number;
  /** Whether a rule starts with this ASCII byte and is no longer, or goes on with an ASCII byte. */
  mayStart(byte: number): boolean;
  /** Where in `pool` the replacement of the last match starts, and where it ends. */
  start(): number;
  end(): number;
}

/** How rules are applied to text. */
export interface PrecompiledOptions {
  /**
   * As Hugging Face's `Precompiled` does: by grapheme clusters. A cluster of less than 6 bytes that begins with a rule
   * becomes what the shortest such rule says, the rest of the cluster is dropped; other clusters go character by
   * character. Switched off: as SentencePiece does, the longest rule at each place. On unless switched off.
   */
  readonly graphemes?: boolean;
}

/** Stretches that are not ASCII, with what may be in one cluster with them. */
const NOT_ASCII = /(?:\r\n|[\0-\x7f])?(?:[^\0-\x7f]+(?:\r\n|[\0-\x7f])?)+/g;
/** Replacements of this many bytes are left out; Unicode's longest has 33. */
const LONGEST = 4096;
/** Clusters of this many bytes go character by character. */
const LONG_CLUSTER = 6;

/**
 * The function that applies a charsmap, given as it stands in a `.model` file or in base64 as in a tokenizer.json.
 * @throws bad-file for one that is cut short or no base64.
 */
export function precompiledNormalizer(
  charsmap: string | Uint8Array,
  options: PrecompiledOptions = {},
): (text: string) => string {
  const rules = readCharsmap(typeof charsmap === 'string' ? fromBase64(charsmap) : charsmap);
  const encoder = new TextEncoder();
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  /** The replacement of text that begins with a rule, or undefined. */
  const replace = (text: string): string | undefined => {
    const bytes = encoder.encode(text);
    if (rules.match(bytes, 0, bytes.length, true) === 0) return undefined;
    return decoder.decode(rules.pool.subarray(rules.start(), rules.end()));
  };
  if (options.graphemes === false) {
    const longest = longestRules(rules);
    return (text) => decoder.decode(longest(encoder.encode(text)));
  }
  const ascii = Array.from({ length: 128 }, (_, code) => replace(String.fromCharCode(code)));
  /** Characters that a rule touches; a carriage return may be one cluster with what follows. */
  const touched = Array.from({ length: 128 }, (_, code) => code).filter((code) => ascii[code] !== undefined);
  const asciiRules = new RegExp(`[${[...touched, 0x0d].map((code) => `\\u{${code.toString(16)}}`).join('')}]`, 'u');
  const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
  const inClusters = (text: string): string => {
    let result = '';
    for (const { segment } of segmenter.segment(text)) {
      const whole = encoder.encode(segment).length < LONG_CLUSTER ? replace(segment) : undefined;
      if (whole !== undefined) result += whole;
      else for (const character of segment) result += replace(character) ?? character;
    }
    return result;
  };
  return (string) => {
    const text = string.replace(/\p{Cs}/gu, '\ufffd');
    let result = '';
    let at = 0;
    // An ASCII character beside ASCII ones is a cluster of its own, but for a carriage return before a newline.
    for (const { index, 0: other } of text.matchAll(NOT_ASCII)) {
      const plain = text.slice(at, index);
      result += (asciiRules.test(plain) ? inClusters(plain) : plain) + inClusters(other);
      at = index + other.length;
    }
    const rest = text.slice(at);
    return result + (asciiRules.test(rest) ? inClusters(rest) : rest);
  };
}

/** Applies the longest rule at each place, as SentencePiece does. */
function longestRules(rules: Charsmap): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => {
    let out = new Uint8Array(bytes.length * 2 + 64);
    let length = 0;
    for (let at = 0; at < bytes.length; ) {
      const matched = rules.match(bytes, at, bytes.length);
      const size = matched === 0 ? 1 : rules.end() - rules.start();
      if (length + size > out.length) {
        const grown = new Uint8Array((length + size) * 2);
        grown.set(out);
        out = grown;
      }
      if (matched === 0) out[length++] = bytes[at++] as number;
      else {
        out.set(rules.pool.subarray(rules.start(), rules.end()), length);
        length += size;
        at += matched;
      }
      // Rules match whole characters: none starts within one.
      while (matched === 0 && at < bytes.length && ((bytes[at] as number) & 0xc0) === 0x80) {
        if (length === out.length) {
          const grown = new Uint8Array(length * 2);
          grown.set(out);
          out = grown;
        }
        out[length++] = bytes[at++] as number;
      }
    }
    return out.subarray(0, length);
  };
}

/** Reads a charsmap. @throws bad-file. */
export function readCharsmap(file: Uint8Array): Charsmap {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const size = file.length < 4 ? 0 : view.getUint32(0, true);
  if (size < 4 || size % 4 !== 0 || size > file.length - 4) {
    throw damaged(`its double array has ${size} bytes, of ${file.length} in all`);
  }
  const units = Int32Array.from({ length: size / 4 }, (_, i) => view.getInt32(4 + i * 4, true));
  const pool = file.slice(4 + size);
  let from = 0;
  let end = 0;
  const offset = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);
  const root = offset(units[0] as number);
  return {
    pool,
    mayStart: (byte) => {
      const unit = units[root ^ byte];
      if (byte === 0 || unit === undefined || (unit & 0x800000ff) !== byte) return false;
      if ((unit & 0x100) !== 0) return true;
      const place = root ^ byte ^ offset(unit);
      for (let next = 1; next < 0x80; next++) if (((units[place ^ next] ?? 0) & 0x800000ff) === next) return true;
      return false;
    },
    match: (bytes, at, to, isShortest = false) => {
      let length = 0;
      let place = root;
      for (let each = at; each < to; each++) {
        const byte = bytes[each] as number;
        if (byte === 0) break;
        place ^= byte;
        const unit = units[place];
        // The label: a leaf, whose highest bit is set, is no byte's.
        if (unit === undefined || (unit & 0x800000ff) !== byte) break;
        place ^= offset(unit);
        const leaf = (unit & 0x100) === 0 ? undefined : units[place];
        if (leaf === undefined) continue;
        const value = leaf & 0x7fffffff;
        // A damaged file may point anywhere, and make a book of each character.
        let zero = value;
        const most = Math.min(pool.length, value + LONGEST);
        while (zero < most && pool[zero] !== 0) zero++;
        if (value > pool.length || zero === value + LONGEST) continue;
        from = value;
        end = zero;
        length = each + 1 - at;
        if (isShortest) break;
      }
      return length;
    },
    start: () => from,
    end: () => end,
  };
}

function fromBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch (cause) {
    throw damaged('it is no base64', cause);
  }
}

function damaged(reason: string, cause?: unknown): TesseraError {
  return new TesseraError('bad-file', `The normalizer's precompiled_charsmap cannot be read: ${reason}.`, {
    hint: 'The tokenizer file is damaged; take it from its source again.',
    cause,
  });
}
