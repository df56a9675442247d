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
  checkModel(model, where);
  const added = readAddedTokens(file.added_tokens, where);
  const { vocab, ids } = readVocabulary(model, added, where);
  const raw = new Map<number, string>();
  const addedById = new Map(added.map((token) => [token.id, token]));
  const size = added.reduce(
    (most, { id }) => Math.max(most, id + 1),
    ids.size === 0 ? 0 : Math.max(0, ids.highest + 1),
  );
  if (size > (ids.size + added.length) * 16 + 65536) {
    throw new TesseraError('bad-file', `${where}: an id of ${size - 1} among ${ids.size} tokens cannot be right.`);
  }
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

/** @throws unsupported when the model is another than plain byte-level BPE. */
function checkModel(model: JsonObject, where: string): void {
  const { type } = model;
  // Old files of GPT-2's kind do not name the type.
  if (type !== 'BPE' && !(type === undefined && Array.isArray(model.merges))) {
    throw new TesseraError('unsupported', `${where}: the model ${JSON.stringify(type ?? null)} is not known here.`, {
      hint: 'Byte-level BPE tokenizers can be read: those of GPT-2, Llama 3, Qwen and their like.',
    });
  }
  const { dropout, continuing_subword_prefix: prefix, end_of_word_suffix: suffix, byte_fallback: fallback } = model;
  const odd =
    typeof dropout === 'number' && dropout > 0
      ? `dropout of ${dropout}`
      : typeof prefix === 'string' && prefix !== ''
        ? `continuing_subword_prefix ${JSON.stringify(prefix)}`
        : typeof suffix === 'string' && suffix !== ''
          ? `end_of_word_suffix ${JSON.stringify(suffix)}`
          : fallback === true
            ? 'byte_fallback'
            : undefined;
  if (odd !== undefined) throw new TesseraError('unsupported', `${where}: the BPE model's ${odd} is not known here.`);
}

interface VocabularyIds {
  readonly size: number;
  readonly highest: number;
}

function readVocabulary(
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

function readMerges(
  value: Json | undefined,
  vocab: ReadonlyMap<string, number>,
  where: string,
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
    [left, right, left + right].forEach((spelling, i) => {
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
