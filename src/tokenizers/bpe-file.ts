/**
 * The `tokenizer.json` of byte-level BPE, read into plain parts and written from them. The parts keep what a file said:
 * reading what was written gives the same ids for every text, and the same components, added tokens and merges.
 *
 * `truncation` and `padding` are kept and not applied: they are the caller's, as in transformers.js.
 */

import { isJsonObject, type Json, type JsonObject } from '../formats/json.js';
import { TesseraError } from '../host/error.js';
import { type AddedToken, readAddedTokens } from './added-tokens.js';
import { readSpelling, spellBytes } from './byte-level.js';
import { type TokenTable, tokenTable } from './vocabulary.js';

/** A byte-level BPE tokenizer taken apart. */
export interface BpeParts {
  /** All tokens; those that the model spells as bytes are found by their bytes. */
  readonly table: TokenTable;
  /** 1 for each id that the model has; an id that only an added token has is none of it. */
  readonly inModel: Uint8Array;
  /** How the model writes tokens that are no spelling of bytes. */
  readonly raw: ReadonlyMap<number, string>;
  /** [left, right, result] of each merge, in the order of their rank. */
  readonly merges: Int32Array;
  /** The file wrote merges as pairs, not as two words in one string. */
  readonly mergesArePairs: boolean;
  /** A word that is a token is that token, whatever the merges say (Llama 3). */
  readonly ignoreMerges: boolean;
  /** The token for a byte that has none. */
  readonly unknown: string | undefined;
  readonly fuseUnknown: boolean;
  readonly added: readonly AddedToken[];
  /** `normalizer`, `pre_tokenizer`, `post_processor`, `decoder`, `truncation`, `padding` as they are in the file. */
  readonly components: JsonObject;
}

const COMPONENTS = ['truncation', 'padding', 'normalizer', 'pre_tokenizer', 'post_processor', 'decoder'] as const;

/** Takes a `tokenizer.json` apart. @throws bad-file, unsupported. */
export function readBpe(file: JsonObject, where: string): BpeParts {
  const { model } = file;
  if (!isJsonObject(model)) throw new TesseraError('bad-file', `${where} is not a tokenizer.json: it has no "model".`);
  const added = readAddedTokens(file.added_tokens, where);
  const { vocab, ids } = readVocabulary(model, added, where);
  const raw = new Map<number, string>();
  const addedById = new Map(added.map((token) => [token.id, token]));
  const size = checkIdRange(ids, added, where);
  const tokens = new Array<Uint8Array | undefined>(size);
  const inModel = new Uint8Array(size);
  const encoder = new TextEncoder();
  for (const [spelling, id] of vocab) {
    const bytes = readSpelling(spelling);
    const token = addedById.get(id);
    if (token !== undefined && token.content !== spelling) duplicate(id, token.content, spelling, where);
    inModel[id] = 1;
    if (bytes === undefined) raw.set(id, spelling);
    tokens[id] = bytes ?? encoder.encode(spelling);
  }
  for (const token of added) {
    const known = vocab.get(token.content);
    if (known !== undefined && known !== token.id) {
      throw new TesseraError(
        'bad-file',
        `${where}: the token ${JSON.stringify(token.content)} has the id ${known} in the model and ${token.id} among the added tokens.`,
      );
    }
    // An added token decodes to its text, whatever its characters would mean as bytes.
    if (inModel[token.id] === 1) raw.set(token.id, token.content);
    tokens[token.id] = token.bytes;
  }
  const { merges, arePairs } = readMerges(model.merges, vocab, where);
  return {
    table: tokenTable(tokens, (id) => inModel[id] === 1 && !raw.has(id)),
    inModel,
    raw,
    merges,
    mergesArePairs: arePairs,
    ignoreMerges: model.ignore_merges === true,
    unknown: typeof model.unk_token === 'string' ? model.unk_token : undefined,
    fuseUnknown: model.fuse_unk === true,
    added,
    components: Object.fromEntries(COMPONENTS.map((name) => [name, file[name] ?? null])),
  };
}

/** Writes the parts as the text of a `tokenizer.json`. */
export function writeBpe(parts: BpeParts): string {
  const { bytes, offsets } = parts.table;
  const spell = (id: number): string =>
    parts.raw.get(id) ?? spellBytes(bytes.subarray(offsets[id] as number, offsets[id + 1] as number));
  const vocabulary: string[] = [];
  for (let id = 0; id < parts.table.size; id++) {
    if (parts.inModel[id] === 1) vocabulary.push(`      ${JSON.stringify(spell(id))}: ${id}`);
  }
  const merges: string[] = [];
  for (let i = 0; i < parts.merges.length; i += 3) {
    const pair = [spell(parts.merges[i] as number), spell(parts.merges[i + 1] as number)];
    merges.push(`      ${JSON.stringify(parts.mergesArePairs ? pair : pair.join(' '))}`);
  }
  const added = parts.added.map((token) => ({
    id: token.id,
    content: token.content,
    single_word: token.singleWord,
    lstrip: token.stripsLeft,
    rstrip: token.stripsRight,
    normalized: token.normalized,
    special: token.special,
  }));
  const components = COMPONENTS.map((name) => [name, field(parts.components[name] ?? null)] as const);
  const model = [
    '"type": "BPE"',
    '"dropout": null',
    `"unk_token": ${JSON.stringify(parts.unknown ?? null)}`,
    '"continuing_subword_prefix": null',
    '"end_of_word_suffix": null',
    `"fuse_unk": ${parts.fuseUnknown}`,
    '"byte_fallback": false',
    `"ignore_merges": ${parts.ignoreMerges}`,
    `"vocab": ${block('{', vocabulary, '}')}`,
    `"merges": ${block('[', merges, ']')}`,
  ];
  const fields = [
    ['version', '"1.0"'],
    ...components.slice(0, 2),
    ['added_tokens', field(added)],
    ...components.slice(2),
    ['model', `{\n${model.map((line) => `    ${line}`).join(',\n')}\n  }`],
  ];
  return `{\n${fields.map(([name, text]) => `  ${JSON.stringify(name)}: ${text}`).join(',\n')}\n}\n`;
}

/** A value as the value of a field that is indented by two. */
function field(value: Json): string {
  return JSON.stringify(value, null, 2).replaceAll('\n', '\n  ');
}

function block(open: string, lines: readonly string[], close: string): string {
  return lines.length === 0 ? open + close : `${open}\n${lines.join(',\n')}\n    ${close}`;
}

/**
 * True for a file that `readBpe` and the byte-level components read: plain BPE whose words are bytes. Old files of GPT-2's
 * kind do not name the model's type.
 */
export function isByteLevelBpe({ model, normalizer, pre_tokenizer: preTokenizer, decoder }: JsonObject): boolean {
  if (!isJsonObject(model) || !(model.type === 'BPE' || (model.type === undefined && Array.isArray(model.merges)))) {
    return false;
  }
  const { dropout, continuing_subword_prefix: prefix, end_of_word_suffix: suffix } = model;
  if ((dropout ?? 0) !== 0 || (prefix ?? '') !== '' || (suffix ?? '') !== '' || model.byte_fallback === true)
    return false;
  const cuts = componentsOf(preTokenizer, 'pretokenizers');
  const levels = cuts.filter(({ type }) => type === 'ByteLevel');
  return (
    componentsOf(normalizer, 'normalizers').every(({ type }) => /^NFK?[CD]$/.test(String(type))) &&
    levels.length === 1 &&
    levels[0] === cuts.at(-1) &&
    cuts.every((cut) => cut.type === 'ByteLevel' || isPlainSplit(cut)) &&
    cuts.every((cut, i) => cut.add_prefix_space !== true || i === 0) &&
    componentsOf(decoder, 'decoders').some(({ type }) => type === 'ByteLevel') &&
    componentsOf(decoder, 'decoders').every(({ type }) => type === 'ByteLevel' || type === 'Fuse')
  );
}

/** A Split that keeps its matches, or the gaps between them, or both. */
function isPlainSplit({ type, behavior, pattern }: JsonObject): boolean {
  const isPattern = isJsonObject(pattern) && (typeof pattern.Regex === 'string' || pattern.String !== '');
  return type === 'Split' && (behavior === 'Isolated' || behavior === 'Removed') && isPattern;
}

/** A component, or those of a sequence; what is not well formed is one without a type. */
function componentsOf(value: Json | undefined, list: string): readonly JsonObject[] {
  if (value === undefined || value === null) return [];
  if (!isJsonObject(value)) return [{}];
  const parts = value[list];
  return value.type === 'Sequence' && Array.isArray(parts)
    ? parts.flatMap((part: Json) => componentsOf(part, list))
    : [value];
}

/** How many ids a vocabulary has, and the highest. */
export interface VocabularyIds {
  readonly size: number;
  readonly highest: number;
}

/** One more than the highest id of the model and the added tokens. @throws bad-file where it is far beyond their number. */
export function checkIdRange(ids: VocabularyIds, added: readonly AddedToken[], where: string): number {
  const size = added.reduce((most, { id }) => Math.max(most, id + 1), Math.max(0, ids.highest + 1));
  if (size > (ids.size + added.length) * 16 + 65536) {
    throw new TesseraError('bad-file', `${where}: an id of ${size - 1} among ${ids.size} tokens cannot be right.`);
  }
  return size;
}

/** Reads the "vocab" of a model, spelling to id. @throws bad-file for what is no id, an id twice, or nothing at all. */
export function readVocabulary(
  model: JsonObject,
  added: readonly AddedToken[],
  where: string,
): { readonly vocab: ReadonlyMap<string, number>; readonly ids: VocabularyIds } {
  if (!isJsonObject(model.vocab)) throw new TesseraError('bad-file', `${where}: the model has no "vocab".`);
  const vocab = new Map<string, number>();
  const byId = new Map<number, string>();
  let highest = -1;
  for (const [spelling, id] of Object.entries(model.vocab)) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0) {
      throw new TesseraError(
        'bad-file',
        `${where}: the token ${JSON.stringify(spelling)} has the id ${JSON.stringify(id)}.`,
      );
    }
    const other = byId.get(id);
    if (other !== undefined) duplicate(id, other, spelling, where);
    byId.set(id, spelling);
    vocab.set(spelling, id);
    if (id > highest) highest = id;
  }
  if (vocab.size + added.length === 0) throw new TesseraError('bad-file', `${where}: the vocabulary is empty.`);
  return { vocab, ids: { size: vocab.size, highest } };
}

function duplicate(id: number, one: string, other: string, where: string): never {
  throw new TesseraError(
    'bad-file',
    `${where}: the tokens ${JSON.stringify(one)} and ${JSON.stringify(other)} have the same id, ${id}.`,
  );
}

/**
 * Reads "merges" as [left, right, result] of each; the right token's first `prefix` characters are no part of the result.
 * @throws bad-file for what is no pair, and for tokens that the vocabulary lacks.
 */
export function readMerges(
  value: Json | undefined,
  vocab: ReadonlyMap<string, number>,
  where: string,
  prefix = 0,
): { readonly merges: Int32Array; readonly arePairs: boolean } {
  if (!Array.isArray(value)) throw new TesseraError('bad-file', `${where}: the model has no list of "merges".`);
  const merges = new Int32Array(value.length * 3);
  let arePairs = false;
  value.forEach((merge: Json, rank) => {
    const isText = typeof merge === 'string';
    const [left, right, more]: readonly Json[] = isText ? merge.split(' ') : Array.isArray(merge) ? merge : [];
    if (typeof left !== 'string' || typeof right !== 'string' || more !== undefined) {
      throw new TesseraError('bad-file', `${where}: merge ${rank}, ${JSON.stringify(merge)}, is not two tokens.`);
    }
    arePairs ||= !isText;
    [left, right, left + right.slice(prefix)].forEach((spelling, i) => {
      const id = vocab.get(spelling);
      if (id === undefined) {
        throw new TesseraError(
          'bad-file',
          `${where}: merge ${rank}, ${JSON.stringify(merge)}, needs the token ${JSON.stringify(spelling)}, which the vocabulary lacks.`,
        );
      }
      merges[rank * 3 + i] = id;
    });
  });
  return { merges, arePairs };
}
