/**
 * OpenAI's rank files (`.tiktoken`: a token in base64 and its rank on each line) and the encodings that are made of them.
 *
 * tiktoken merges whichever adjacent pair of a word joins to the token of lowest rank, and takes a word that is a token
 * as it is. What is inside a token merges as the token's bytes do alone, so that each token has one last merge, if any:
 * the pair that is left when its own bytes are merged. Those pairs, by rank, are the merges of a byte-level BPE model,
 * which then gives the same ids (with `ignore_merges`).
 */

import type { JsonObject } from '../formats/json.js';
import { TesseraError } from '../host/error.js';
import { bpeTokenizer } from './bpe.js';
import { byteLevelComponents } from './bytes.js';
import { defaultConfig } from './config.js';
import { type MergeTableBuilder, mergeTableBuilder } from './merges.js';
import { preTokenizerJson } from './pretokenize.js';
import type { SplitPatternName } from './scanners.js';
import type { Tokenizer } from './tokenizer.js';
import { type TokenBytes, type TokenTable, tokenTableOf } from './vocabulary.js';

/** An encoding by its name: whose ranks it has, how it splits, and its special tokens. */
export interface Encoding {
  /** The rank file, without its ending. */
  readonly ranks: string;
  readonly split: SplitPatternName;
  readonly special: Readonly<Record<string, number>>;
}

const END = '<|endoftext|>';
const FILL = ['<|fim_prefix|>', '<|fim_middle|>', '<|fim_suffix|>'] as const;

/** OpenAI's encodings, as tiktoken's registry has them. */
export const ENCODINGS = {
  gpt2: { ranks: 'r50k_base', split: 'gpt2', special: { [END]: 50256 } },
  r50k_base: { ranks: 'r50k_base', split: 'gpt2', special: { [END]: 50256 } },
  p50k_base: { ranks: 'p50k_base', split: 'gpt2', special: { [END]: 50256 } },
  p50k_edit: {
    ranks: 'p50k_base',
    split: 'gpt2',
    special: { [END]: 50256, [FILL[0]]: 50281, [FILL[1]]: 50282, [FILL[2]]: 50283 },
  },
  cl100k_base: {
    ranks: 'cl100k_base',
    split: 'cl100k',
    special: { [END]: 100257, [FILL[0]]: 100258, [FILL[1]]: 100259, [FILL[2]]: 100260, '<|endofprompt|>': 100276 },
  },
  o200k_base: { ranks: 'o200k_base', split: 'o200k', special: { [END]: 199999, '<|endofprompt|>': 200018 } },
  o200k_harmony: { ranks: 'o200k_base', split: 'o200k', special: harmony() },
} as const satisfies Readonly<Record<string, Encoding>>;

/** The name of an encoding. */
export type EncodingName = keyof typeof ENCODINGS;

/** True for a name in {@link ENCODINGS}. */
export function isEncodingName(name: string): name is EncodingName {
  return Object.hasOwn(ENCODINGS, name);
}

/** The tokens of conversations, and reserved ones in the gaps between them and after, up to 201087. */
function harmony(): Readonly<Record<string, number>> {
  const named: Readonly<Record<string, number>> = {
    '<|startoftext|>': 199998,
    [END]: 199999,
    '<|return|>': 200002,
    '<|constrain|>': 200003,
    '<|channel|>': 200005,
    '<|start|>': 200006,
    '<|end|>': 200007,
    '<|message|>': 200008,
    '<|call|>': 200012,
  };
  const taken = new Set(Object.values(named));
  const reserved = Array.from({ length: 201088 - 200000 }, (_, i) => 200000 + i).filter((id) => !taken.has(id));
  const others = reserved.map((id) => [id === 200018 ? '<|endofprompt|>' : `<|reserved_${id}|>`, id] as const);
  return { ...named, ...Object.fromEntries(others) };
}

/** How a rank file becomes a tokenizer. */
export interface TiktokenOptions {
  /** How text is cut into words. */
  readonly split: SplitPatternName | { readonly source: string };
  /** Special tokens: text to id. */
  readonly special?: Readonly<Record<string, number>>;
  /** How errors name the file. */
  readonly where?: string;
}

/**
 * The tokenizer of a rank file's bytes. @throws bad-file, with the line, for what is no token and rank, for ranks or
 * tokens that come twice, and for bytes that no token is.
 */
export function tiktokenTokenizer(ranks: Uint8Array, options: TiktokenOptions): Tokenizer {
  const { split, special = {}, where = 'the rank file' } = options;
  const encoder = new TextEncoder();
  const plain = { special: true, singleWord: false, stripsLeft: false, stripsRight: false, normalized: false };
  const added = Object.entries(special)
    .sort(([, a], [, b]) => a - b)
    .map(([content, id]) => ({ id, content, bytes: encoder.encode(content), ...plain }));
  const read = readRanks(ranks, where);
  const tokens = withAdded(read, added, where);
  const size = read.present.length;
  const table = tokenTableOf(tokens, (id) => id < size && read.present[id] === 1);
  const inModel = new Uint8Array(tokens.present.length);
  inModel.set(read.present);
  const merges = mergesOfRanks(table, inModel, where);
  const components: JsonObject = { truncation: null, padding: null, ...byteLevelComponents(preTokenizerJson(split)) };
  const parts = { table, inModel, raw: new Map(), merges, mergesArePairs: false, ignoreMerges: true };
  const config = defaultConfig(Object.hasOwn(special, END) ? END : undefined);
  return bpeTokenizer({ ...parts, unknown: undefined, fuseUnknown: false, added, components }, config, where);
}

/** The tokens with the special ones at their ids. @throws bad-file for an id that has a token already. */
function withAdded(
  read: TokenBytes,
  added: readonly { readonly id: number; readonly bytes: Uint8Array }[],
  where: string,
): TokenBytes {
  const before = read.present.length;
  const size = added.reduce((most, { id }) => Math.max(most, id + 1), before);
  const present = new Uint8Array(size);
  present.set(read.present);
  const lengths = new Int32Array(size);
  for (let id = 0; id < before; id++) lengths[id] = (read.offsets[id + 1] as number) - (read.offsets[id] as number);
  for (const { id, bytes } of added) {
    if (present[id] === 1) throw new TesseraError('bad-file', `${where}: the rank ${id} is also a special token.`);
    present[id] = 1;
    lengths[id] = bytes.length;
  }
  const offsets = new Int32Array(size + 1);
  for (let id = 0; id < size; id++) offsets[id + 1] = (offsets[id] as number) + (lengths[id] as number);
  const bytes = new Uint8Array(offsets[size] as number);
  // Ranks come in order, so that what lies before the first special token is copied in one piece.
  const first = added.reduce((least, { id }) => Math.min(least, id), before);
  bytes.set(read.bytes.subarray(0, read.offsets[first]));
  for (let id = first; id < before; id++)
    bytes.set(read.bytes.subarray(read.offsets[id], read.offsets[id + 1]), offsets[id]);
  for (const token of added) bytes.set(token.bytes, offsets[token.id]);
  return { bytes, offsets, present };
}

/** The value of each base64 digit; -1 for other bytes. */
const DIGITS = base64Digits();

function base64Digits(): Int8Array {
  const digits = new Int8Array(256).fill(-1);
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  for (let value = 0; value < 64; value++) digits[alphabet.charCodeAt(value)] = value;
  return digits;
}

/** The bytes of each rank's token. @throws bad-file with the line. */
export function readRanks(file: Uint8Array, where: string): TokenBytes {
  const wrong = (line: number, why: string): never => {
    throw new TesseraError('bad-file', `${where}, line ${line}: ${why}.`, {
      hint: 'A rank file has a token in base64, a space and its rank on each line.',
    });
  };
  // A line is at least six bytes: four of base64, a space and a digit.
  const most = Math.ceil(file.length / 6) + 1;
  const pool = new Uint8Array(Math.ceil((file.length * 3) / 4));
  const [ranks, starts] = [new Int32Array(most), new Int32Array(most + 1)];
  let [used, at, count, highest] = [0, 0, 0, -1];
  for (let line = 1; at < file.length; line++) {
    const start = used;
    let bits = 0;
    let held = 0;
    for (; at < file.length; at++) {
      const digit = DIGITS[file[at] as number] as number;
      if (digit < 0) break;
      held = ((held << 6) | digit) & 0xffff;
      bits += 6;
      if (bits >= 8) {
        bits -= 8;
        pool[used++] = held >> bits;
      }
    }
    while (file[at] === 0x3d) at++;
    const isEmpty = used === start && (at >= file.length || file[at] === 0x0a || file[at] === 0x0d);
    if (!isEmpty) {
      if (used === start || file[at] !== 0x20) wrong(line, 'there is no token in base64 before a space');
      let rank = 0;
      const digits = at + 1;
      for (at++; at < file.length && (file[at] as number) >= 0x30 && (file[at] as number) <= 0x39; at++)
        rank = rank * 10 + (file[at] as number) - 0x30;
      if (at === digits || at - digits > 8) wrong(line, 'there is no rank after the token');
      if (rank > file.length) wrong(line, `a rank of ${rank} cannot be right`);
      ranks[count] = rank;
      starts[++count] = used;
      if (rank > highest) highest = rank;
    }
    if (file[at] === 0x0d) at++;
    if (at < file.length && file[at++] !== 0x0a) wrong(line, 'there is more after the rank');
  }
  if (count === 0) throw new TesseraError('bad-file', `${where} holds no ranks.`);
  return inOrder(pool, ranks.subarray(0, count), starts, highest + 1, where);
}

/** Tokens by their rank, from tokens as they were read. @throws bad-file for a rank that comes twice. */
function inOrder(pool: Uint8Array, ranks: Int32Array, starts: Int32Array, size: number, where: string): TokenBytes {
  const present = new Uint8Array(size);
  const lengths = new Int32Array(size);
  let isSorted = true;
  for (let i = 0; i < ranks.length; i++) {
    const rank = ranks[i] as number;
    if (present[rank] === 1) throw new TesseraError('bad-file', `${where}: the rank ${rank} is there twice.`);
    if (i > 0 && rank < (ranks[i - 1] as number)) isSorted = false;
    present[rank] = 1;
    lengths[rank] = (starts[i + 1] as number) - (starts[i] as number);
  }
  const offsets = new Int32Array(size + 1);
  for (let id = 0; id < size; id++) offsets[id + 1] = (offsets[id] as number) + (lengths[id] as number);
  const bytes = isSorted ? pool.slice(0, offsets[size]) : new Uint8Array(offsets[size] as number);
  if (!isSorted)
    for (const [i, rank] of ranks.entries()) bytes.set(pool.subarray(starts[i], starts[i + 1]), offsets[rank]);
  return { bytes, offsets, present };
}

/** Each token's last merge, [left, right, token] in the order of ranks. @throws bad-file for bytes without a token. */
function mergesOfRanks(table: TokenTable, inModel: Uint8Array, where: string): Int32Array {
  const { size, bytes, offsets } = table;
  const byteIds = Int32Array.from({ length: 256 }, (_, byte) => table.find(Uint8Array.of(byte), 0, 1));
  const missing = byteIds.indexOf(-1);
  if (missing >= 0) throw new TesseraError('bad-file', `${where}: no token is the byte ${missing}.`);
  const merges = new Int32Array(size * 3);
  let length = 0;
  // The pairs that tokens of lower rank end in; a rank is its token's id.
  const pairs = mergeTableBuilder(size);
  const longest = offsets.reduce(
    (most, end, id) => (id === 0 ? 0 : Math.max(most, end - (offsets[id - 1] as number))),
    0,
  );
  const [symbols, places] = [new Int32Array(longest), new Int32Array(longest)];
  for (let id = 0; id < size; id++) {
    const [from, to] = [offsets[id] as number, offsets[id + 1] as number];
    if (inModel[id] === 0) continue;
    if (table.find(bytes, from, to) !== id)
      throw new TesseraError('bad-file', `${where}: the token of the rank ${id} is there twice.`);
    if (to - from < 2) continue;
    for (let i = from; i < to; i++) symbols[i - from] = byteIds[bytes[i] as number] as number;
    const left = mergeToTwo(pairs, symbols, places, to - from);
    let [first, second] = [symbols[0] as number, symbols[1] as number];
    if (!left) {
      // A token of higher rank is on the way to this one, or none leads to it.
      const middle = lastMerge(table, id);
      if (middle < 0) continue;
      first = table.find(bytes, from, middle);
      second = table.find(bytes, middle, to);
    }
    merges[length++] = first;
    merges[length++] = second;
    merges[length++] = id;
    pairs.add(first, second, id, id);
  }
  return merges.slice(0, length);
}

/** Merges symbols by the pairs known so far until two are left; false where more are. */
function mergeToTwo(
  { table, find }: MergeTableBuilder,
  symbols: Int32Array,
  places: Int32Array,
  count: number,
): boolean {
  const { slots } = table;
  let length = count;
  for (let i = 0; i + 1 < length; i++) places[i] = find(symbols[i] as number, symbols[i + 1] as number);
  while (length > 2) {
    let best = -1;
    let rank = 0x7fffffff;
    for (let i = 0; i + 1 < length; i++) {
      const place = places[i] as number;
      if (place >= 0 && (slots[place + 2] as number) < rank) {
        rank = slots[place + 2] as number;
        best = i;
      }
    }
    if (best < 0) return false;
    symbols[best] = rank;
    length--;
    for (let i = best + 1; i < length; i++) {
      symbols[i] = symbols[i + 1] as number;
      places[i] = places[i + 1] as number;
    }
    if (best > 0) places[best - 1] = find(symbols[best - 1] as number, rank);
    if (best + 1 < length) places[best] = find(rank, symbols[best + 1] as number);
  }
  return true;
}

/** Where the token's bytes, merged by the rank of what they join to, join last; -1 where they never become the token. */
function lastMerge({ bytes, offsets, find }: TokenTable, id: number): number {
  const [from, to] = [offsets[id] as number, offsets[id + 1] as number];
  const ends = Array.from({ length: to - from }, (_, i) => from + i + 1);
  while (ends.length > 2) {
    let best = -1;
    let rank = -1;
    for (let part = 0; part + 1 < ends.length; part++) {
      const joined = find(bytes, ends[part - 1] ?? from, ends[part + 1] as number);
      if (joined >= 0 && (rank < 0 || joined < rank)) [best, rank] = [part, joined];
    }
    if (best < 0) return -1;
    ends.splice(best, 1);
  }
  return ends[0] as number;
}
