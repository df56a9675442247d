/**
 * Byte-level BPE (Radford et al. 2019; the tokenizers of GPT-2, Llama 3 and Qwen). Text is UTF-8 bytes; added tokens, a normalizer, the split into words and the merges work on stretches of it, and the only thing
 * allocated per call is the result. A vocabulary without merges is the bytes themselves and skips all that.
 */

import type { JsonObject } from '../formats/json.js';
import { addedTokenSplitter } from './added-tokens.js';
import { type BpeParts, writeBpe } from './bpe-file.js';
import { checkDecoder, readNormalizer, readPostProcessor } from './components.js';
import { defaultConfig, findEndOfText, savedConfig } from './config.js';
import { decodeIds, streamDecoder, toText } from './decode.js';
import { mergeTable, wholeWordsFirst, wordMerger } from './merges.js';
import { readPreTokenizer } from './pretokenize.js';
import { wholeRange } from './scanners.js';
import { KEPT, keptBuffer, toUtf8 } from './text-buffer.js';
import type { EncodeOptions, Tokenizer } from './tokenizer.js';
import { vocabularyOf } from './vocabulary.js';
import { type IdSink, idSink, pushIds, reserve, wordEncoder } from './word-encoder.js';

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
    pushIds(sink, before);
    encodeStretches(bytes, options, sink);
    pushIds(sink, after);
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
    save: (options = {}) => [{ file: 'tokenizer.json', text: writeBpe(parts) }, savedConfig(saved, options)],
  };
}
