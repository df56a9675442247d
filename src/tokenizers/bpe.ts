/**
 * Byte-level BPE (Radford et al. 2019; the tokenizers of GPT-2, Llama 3 and Qwen). Text is UTF-8 bytes; added tokens, a normalizer, the split into words and the merges work on stretches of it, and the only thing
 * allocated per call is the result. A vocabulary without merges is the bytes themselves and skips all that.
 */

import { isJsonObject, type Json, type JsonObject } from '../formats/json.js';
import { addedTokenSplitter } from './added-tokens.js';
import { type BpeParts, writeBpe } from './bpe-file.js';
import { checkDecoder, readNormalizer, readPostProcessor } from './components.js';
import { decodeIds, streamDecoder, toText } from './decode.js';
import { mergeTable, type WordMerger, wordMerger } from './merges.js';
import { readPreTokenizer } from './pretokenize.js';
import type { EncodeOptions, Tokenizer } from './tokenizer.js';
import { type TokenTable, vocabularyOf } from './vocabulary.js';
import { type IdSink, idSink, reserve, wordEncoder } from './word-encoder.js';

/** Names by which files call the token that ends a text, the likeliest first. */
const END_OF_TEXT = ['<|endoftext|>', '<|end_of_text|>', '</s>', '<eos>', '<|end|>', '<|im_end|>'];
/** What Hugging Face's libraries write where no length was given. */
const NO_MAXIMUM = 1e30;
/** Room for text, in bytes, and for ids that is kept between calls. */
const KEPT = 1 << 20;

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * The tokenizer of some parts. `config` is the content of `tokenizer_config.json`; without it, one is made.
 * @throws bad-file, unsupported.
 */
export function bpeTokenizer(parts: BpeParts, config: JsonObject | undefined, where: string): Tokenizer {
  const { components, added, table } = parts;
  const normalize = readNormalizer(components.normalizer, where);
  const preTokenizer = readPreTokenizer(components.pre_tokenizer, where);
  const surrounding = readPostProcessor(components.post_processor, where);
  checkDecoder(components.decoder, where);
  const special = new Map(added.filter((token) => token.special).map(({ content, id }) => [content, id]));
  const addedIds = new Map(added.map(({ content, id }) => [content, id]));
  const vocabulary = vocabularyOf(table, addedIds);
  const byteIds = Int32Array.from({ length: 256 }, (_, byte) => table.find(Uint8Array.of(byte), 0, 1));
  const unknown = parts.unknown === undefined ? -1 : (vocabulary.id(parts.unknown) ?? -1);
  const merges = mergeTable(parts.merges);
  const merge = wordMerger(merges, { byteIds, unknown, fuseUnknown: parts.fuseUnknown });
  const words = wordEncoder(parts.ignoreMerges ? wholeWordsFirst(merge, table) : merge);
  const hasAllBytes = byteIds.every((id) => id >= 0);
  const isBytes = merges.count === 0 && hasAllBytes && !parts.ignoreMerges && !preTokenizer.dropsText;

  const raw = addedTokenSplitter(added.filter(({ normalized }) => !normalized));
  const late = addedTokenSplitter(added.filter(({ normalized }) => normalized));
  const { scan, split, addsSpace } = preTokenizer;
  const text = keptBuffer();
  const rewritten = keptBuffer();
  const spaced = keptBuffer();

  const encodeStretches = (whole: Uint8Array, options: EncodeOptions, sink: IdSink): void => {
    const parseSpecial = options.parseSpecialTokens !== false;
    const onToken = (id: number): void => {
      reserve(sink, 1);
      sink.ids[sink.length++] = id;
    };
    const encodeWords = (bytes: Uint8Array, from: number, to: number): void => {
      if (isBytes) {
        reserve(sink, to - from);
        for (let at = from; at < to; at++) sink.ids[sink.length++] = byteIds[bytes[at] as number] as number;
      } else if (scan !== undefined) words.encode(bytes, from, to, scan, sink);
      else if (split !== undefined) {
        const ranges = split(bytes, from, to);
        for (let i = 0; i < ranges.length; i += 2) {
          words.encode(bytes, ranges[i] as number, ranges[i + 1] as number, wholeRange, sink);
        }
      }
    };
    const encodeText = (bytes: Uint8Array, from: number, to: number): void => {
      if (!addsSpace || from === to || bytes[from] === 0x20) encodeWords(bytes, from, to);
      else {
        const copy = spaced(to - from + 1);
        copy[0] = 0x20;
        copy.set(bytes.subarray(from, to), 1);
        encodeWords(copy, 0, to - from + 1);
      }
    };
    const encodeLate = (bytes: Uint8Array, from: number, to: number): void => {
      if (late === undefined) encodeText(bytes, from, to);
      else late(bytes, from, to, parseSpecial, encodeText, onToken);
    };
    const encodeRaw = (bytes: Uint8Array, from: number, to: number): void => {
      if (normalize === undefined) encodeLate(bytes, from, to);
      else {
        const copy = toUtf8(rewritten, normalize(toText(bytes.subarray(from, to))));
        encodeLate(copy, 0, copy.length);
      }
    };
    if (raw === undefined) encodeRaw(whole, 0, whole.length);
    else raw(whole, 0, whole.length, parseSpecial, encodeRaw, onToken);
  };

  let sink = idSink(1024);
  const encodeBytes = (bytes: Uint8Array, options: EncodeOptions = {}): Int32Array<ArrayBuffer> => {
    sink.length = 0;
    const { before, after } = options.addSpecialTokens === true ? surrounding : { before: [], after: [] };
    push(sink, before);
    encodeStretches(bytes, options, sink);
    push(sink, after);
    words.release();
    const ids = sink.ids.slice(0, sink.length);
    if (sink.ids.length > KEPT) sink = idSink(1024);
    return ids;
  };

  const specialIds = new Set(special.values());
  const endOfText = findEndOfText(config, special, addedIds);
  const saved = config ?? defaultConfig(added.find(({ id }) => id === endOfText)?.content);
  return {
    name: isBytes ? 'bytes' : 'bpe',
    vocabulary,
    endOfText,
    special,
    lossy:
      normalize !== undefined ||
      addsSpace ||
      preTokenizer.dropsText ||
      !hasAllBytes ||
      added.some(({ stripsLeft, stripsRight }) => stripsLeft || stripsRight),
    encode: (string, options) => encodeBytes(toUtf8(text, string), options),
    encodeBytes,
    decode: (ids, options = {}) =>
      toText(decodeIds(table, ids, options.skipSpecialTokens === true ? specialIds : undefined)),
    decodeBytes: (ids, options = {}) =>
      decodeIds(table, ids, options.skipSpecialTokens === true ? specialIds : undefined),
    createDecoder: (options = {}) => streamDecoder(table, options.skipSpecialTokens === true ? specialIds : undefined),
    clearCache: words.clear,
    save: (options = {}) => [
      { file: 'tokenizer.json', text: writeBpe(parts) },
      {
        file: 'tokenizer_config.json',
        text: `${JSON.stringify(
          {
            ...saved,
            ...(options.maxLength === undefined ? {} : { model_max_length: options.maxLength }),
            ...options.config,
          },
          null,
          2,
        )}\n`,
      },
    ],
  };
}

/** A `tokenizer_config.json` for a tokenizer of ours, which ends, begins and pads with the same token where it has one. */
export function defaultConfig(endOfText: string | undefined): JsonObject {
  return {
    ...(endOfText === undefined ? {} : { bos_token: endOfText, eos_token: endOfText, pad_token: endOfText }),
    clean_up_tokenization_spaces: false,
    model_max_length: NO_MAXIMUM,
    tokenizer_class: 'PreTrainedTokenizerFast',
  };
}

/** Appends ids. */
function push(sink: IdSink, ids: readonly number[]): void {
  reserve(sink, ids.length);
  for (const id of ids) sink.ids[sink.length++] = id;
}

const wholeRange = (_bytes: Uint8Array, _at: number, end: number): number => end;

/** `ignore_merges`: a word that is a token is not merged. */
function wholeWordsFirst(merge: WordMerger, table: TokenTable): WordMerger {
  return (bytes, from, to, out, at) => {
    const id = table.find(bytes, from, to);
    if (id === -1) return merge(bytes, from, to, out, at);
    out[at] = id;
    return 1;
  };
}

/** Gives a buffer with room for so many bytes. */
export type KeptBuffer = (length: number) => Bytes;

/** Gives a buffer with room for `length` bytes; the same one again unless it would be large. */
export function keptBuffer(): KeptBuffer {
  let kept = new Uint8Array(0);
  return (length) => {
    if (length > KEPT) return new Uint8Array(length);
    if (length > kept.length) kept = new Uint8Array(Math.min(KEPT, Math.max(1024, length * 2)));
    return kept;
  };
}

const encoder = new TextEncoder();

/** The text's UTF-8; a lone surrogate is U+FFFD. */
export function toUtf8(kept: KeptBuffer, text: string): Bytes {
  const most = text.length * 3;
  if (most > KEPT) return encoder.encode(text);
  const buffer = kept(most);
  return buffer.subarray(0, encoder.encodeInto(text, buffer).written);
}

/** The token that ends a text: what the configuration names, or the likeliest of the special ones. */
export function findEndOfText(
  config: JsonObject | undefined,
  special: ReadonlyMap<string, number>,
  added: ReadonlyMap<string, number>,
): number | undefined {
  const named: Json | undefined = isJsonObject(config?.eos_token) ? config.eos_token.content : config?.eos_token;
  if (typeof named === 'string' && added.has(named)) return added.get(named);
  const known = END_OF_TEXT.find((content) => special.has(content));
  return known === undefined ? undefined : special.get(known);
}
