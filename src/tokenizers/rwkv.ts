/**
 * RWKV's vocabulary (github.com/BlinkDL/ChatRWKV, `rwkv_vocab_v20230424.txt`): at each place the longest token that the
 * text goes on with, found in a trie of bytes. There is no split into words and there are no merges.
 *
 * A line is an id, a Python literal (a string, or bytes where the token is not UTF-8) and its length in bytes. It is
 * saved as WordPiece without a prefix behind a ByteLevel, which takes the longest token too and gives the same ids.
 */

import type { JsonObject } from '../formats/json.js';
import { TesseraError } from '../host/error.js';
import { addedTokenSplitter } from './added-tokens.js';
import { spellBytes } from './byte-level.js';
import { byteLevelComponents } from './bytes.js';
import { defaultConfig, savedConfig } from './config.js';
import { decodeIds, streamDecoder, toText } from './decode.js';
import { byteTrie } from './pipeline/trie.js';
import { preTokenizerJson } from './pretokenize.js';
import { readPythonLiteral } from './python-literal.js';
import { keptBuffer, toUtf8 } from './text-buffer.js';
import type { EncodeOptions, Tokenizer } from './tokenizer.js';
import { type TokenTable, tokenTable, vocabularyOf } from './vocabulary.js';
import { idSink, reserve } from './word-encoder.js';

/** Id 0 is in no file: it ends a text. */
const END_OF_TEXT = '<|rwkv_tokenizer_end_of_text|>';
/** Room for ids that is kept between calls. */
const KEPT = 1 << 20;

/** True for the beginning of a vocabulary of this kind. */
export function isRwkvVocabulary(text: string): boolean {
  return /^\d+ b?(['"]).*\1 \d+\r?(\n|$)/.test(text);
}

/** The tokenizer of the file's text. @throws bad-file with the line. */
export function rwkvTokenizer(text: string, where = 'the vocabulary'): Tokenizer {
  const table = readVocabulary(text, where);
  const trie = byteTrie(table.bytes.length + 1, 1);
  for (let id = 1; id < table.size; id++) {
    if (table.present[id] === 1)
      trie.add(0, table.bytes, table.offsets[id] as number, table.offsets[id + 1] as number, id);
  }
  const missing = Array.from({ length: 256 }, (_, byte) => trie.step(0, byte)).findIndex(
    (node) => node < 0 || (trie.ids[node] as number) < 0,
  );
  if (missing >= 0) throw new TesseraError('bad-file', `${where}: no token is the byte ${missing}.`);
  const plain = { special: true, singleWord: false, stripsLeft: false, stripsRight: false, normalized: false };
  const end = { id: 0, content: END_OF_TEXT, bytes: new TextEncoder().encode(END_OF_TEXT), ...plain };
  const special = new Map([[END_OF_TEXT, 0]]);
  const split = addedTokenSplitter([end]);
  const buffer = keptBuffer();
  let sink = idSink(1024);
  const { ids, step } = trie;

  const encodeRange = (bytes: Uint8Array, from: number, to: number): void => {
    reserve(sink, to - from);
    let { length } = sink;
    const out = sink.ids;
    for (let start = from; start < to; ) {
      let [found, stop] = [-1, start + 1];
      for (let at = start, node = 0; at < to; ) {
        node = step(node, bytes[at++] as number);
        if (node < 0) break;
        const id = ids[node] as number;
        if (id >= 0) [found, stop] = [id, at];
      }
      out[length++] = found;
      start = stop;
    }
    sink.length = length;
  };
  const push = (id: number): void => {
    reserve(sink, 1);
    sink.ids[sink.length++] = id;
  };
  const encodeBytes = (bytes: Uint8Array, options: EncodeOptions = {}): Int32Array<ArrayBuffer> => {
    sink.length = 0;
    if (split === undefined || options.parseSpecialTokens === false) encodeRange(bytes, 0, bytes.length);
    else split(bytes, 0, bytes.length, true, encodeRange, push);
    const result = sink.ids.slice(0, sink.length);
    if (sink.ids.length > KEPT) sink = idSink(1024);
    return result;
  };
  const skipped = (skips: boolean | undefined): ReadonlySet<number> | undefined =>
    skips === true ? new Set([0]) : undefined;
  return {
    name: 'rwkv',
    vocabulary: vocabularyOf(table, special),
    endOfText: 0,
    special,
    lossy: false,
    encode: (string, options) => encodeBytes(toUtf8(buffer, string), options),
    encodeBytes,
    decode: (list, options = {}) => toText(decodeIds(table, list, skipped(options.skipSpecialTokens))),
    decodeBytes: (list, options = {}) => decodeIds(table, list, skipped(options.skipSpecialTokens)),
    createDecoder: (options = {}) => streamDecoder(table, skipped(options.skipSpecialTokens)),
    // Nothing is kept.
    clearCache: () => undefined,
    save: (options = {}) => [
      { file: 'tokenizer.json', text: `${JSON.stringify(wordPieceForm(table), null, 2)}\n` },
      savedConfig(defaultConfig(END_OF_TEXT), options),
    ],
  };
}

/** The content of a tokenizer.json that gives the same ids. */
function wordPieceForm({ size, present, bytes, offsets }: TokenTable): JsonObject {
  const vocab: Record<string, number> = {};
  for (let id = 1; id < size; id++) {
    if (present[id] === 1) vocab[spellBytes(bytes.subarray(offsets[id], offsets[id + 1]))] = id;
  }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [
      {
        id: 0,
        content: END_OF_TEXT,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      },
    ],
    ...byteLevelComponents(preTokenizerJson('none')),
    model: {
      type: 'WordPiece',
      // Every byte is a token, so that nothing is unknown.
      unk_token: spellBytes(Uint8Array.of(0)),
      continuing_subword_prefix: '',
      max_input_chars_per_word: 0x7fffffff,
      vocab,
    },
  };
}

/** @throws bad-file with the line. */
function readVocabulary(text: string, where: string): TokenTable {
  const lines = text.split('\n');
  const tokens: (Uint8Array | undefined)[] = [];
  tokens[0] = new TextEncoder().encode(END_OF_TEXT);
  const known = new Map<string, number>();
  for (const [i, raw] of lines.entries()) {
    const line = raw.replace(/\r$/, '');
    if (line === '') continue;
    const wrong = (why: string): TesseraError =>
      new TesseraError('bad-file', `${where}, line ${i + 1}: ${why}.`, {
        hint: 'A line is an id, a Python literal of a string or bytes, and its length in bytes.',
      });
    const first = line.indexOf(' ');
    const last = line.lastIndexOf(' ');
    const [id, length] = [Number(line.slice(0, first)), Number(line.slice(last + 1))];
    if (first < 1 || last <= first || !Number.isSafeInteger(id) || id < 1) throw wrong('it has no id from 1');
    if (id > lines.length * 2 + 65536) throw wrong(`an id of ${id} among ${lines.length} lines cannot be right`);
    const bytes = readPythonLiteral(line.slice(first + 1, last));
    if (bytes === undefined) throw wrong('there is no Python literal after the id');
    if (bytes.length !== length) throw wrong(`the token is of ${bytes.length} bytes, not ${line.slice(last + 1)}`);
    if (bytes.length === 0) throw wrong('the token is empty');
    if (tokens[id] !== undefined) throw wrong(`the id ${id} is there twice`);
    const spelling = spellBytes(bytes);
    if (known.has(spelling)) throw wrong(`its token has the id ${known.get(spelling)} too`);
    known.set(spelling, id);
    tokens[id] = bytes;
  }
  if (known.size === 0) throw new TesseraError('bad-file', `${where} holds no tokens.`);
  // Holes in the array become absent tokens.
  return tokenTable(Array.from(tokens), (id) => id !== 0);
}
