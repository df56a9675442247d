/**
 * The tokenizer of any tokenizer.json: added tokens, normalizer, pre-tokenizer, model, post-processor, decoder, each as
 * Hugging Face's library has it (github.com/huggingface/tokenizers). Byte-level BPE has a shorter way, `bpe.ts`.
 *
 * Bytes that are not UTF-8 are characters of their own to the models; a normalizer or a regular expression sees U+FFFD.
 */

import { isJsonObject, type Json, type JsonObject } from '../../formats/json.js';
import { TesseraError } from '../../host/error.js';
import { type AddedToken, addedTokenSplitter, readAddedTokens } from '../added-tokens.js';
import { readPostProcessor } from '../components.js';
import { defaultConfig, findEndOfText, savedConfig } from '../config.js';
import { decodeIds, streamDecoder } from '../decode.js';
import type { WordMerger } from '../merges.js';
import { type Scanner, wholeRange } from '../scanners.js';
import { KEPT, keptBuffer, toUtf8 } from '../text-buffer.js';
import type { DecodeOptions, EncodeOptions, StreamDecoder, Tokenizer } from '../tokenizer.js';
import { checkId, type TokenTable, tokenTable, vocabularyOf } from '../vocabulary.js';
import { type IdSink, idSink, pushIds, reserve, wordEncoder } from '../word-encoder.js';
import { byteLevelBytes, chainOf, flattenDecoders, readDecoder } from './decoders.js';
import { readModel } from './models.js';
import { type Normalizer, readNormalizer } from './normalizers.js';
import { readPreTokenizer } from './pre-tokenizers.js';
import { withoutSpace } from './scanners.js';
import { bytesOf, textOf } from './unicode.js';

/** The tokenizer of a tokenizer.json's content. @throws bad-file; unsupported, naming what is not known. */
export function pipelineTokenizer(file: JsonObject, config: JsonObject | undefined, where: string): Tokenizer {
  const modelJson = file.model;
  if (!isJsonObject(modelJson)) {
    throw new TesseraError('bad-file', `${where} is not a tokenizer.json: it has no "model".`);
  }
  const added = readAddedTokens(file.added_tokens, where);
  const model = readModel(modelJson, added, where);
  const normalize = readNormalizer(file.normalizer, where);
  const preTokenizer = readPreTokenizer(file.pre_tokenizer, where);
  const surrounding = readPostProcessor(file.post_processor, where);
  const decoding = readDecoding(file.decoder, model.table, where);
  const special = new Map(added.filter((token) => token.special).map(({ content, id }) => [content, id]));
  const specialIds = new Set(special.values());
  const addedIds = new Map(added.map(({ content, id }) => [content, id]));

  const { stages } = preTokenizer;
  const scan: Scanner = preTokenizer.scan ?? model.scan ?? wholeRange;
  const dress = (merge: WordMerger): WordMerger => (preTokenizer.scan === undefined ? merge : withoutSpace(merge));
  const plain = dress(model.merge);
  const words = wordEncoder(plain);
  // Where a word may have more ids than bytes, the encoder of words has no room for them.
  const direct = model.idsPerByte > 1 ? plain : undefined;
  const raw = addedTokenSplitter(added.filter(({ normalized }) => !normalized));
  const late = addedTokenSplitter(specialFirst(added).map((token) => normalized(token, normalize)));
  const text = keptBuffer();

  const encodeRange = (
    bytes: Uint8Array,
    from: number,
    to: number,
    sink: IdSink,
    merge: WordMerger | undefined,
  ): void => {
    if (merge === undefined) {
      words.encode(bytes, from, to, scan, sink);
      return;
    }
    for (let at = from; at < to; ) {
      const end = scan(bytes, at, to);
      reserve(sink, (end - at) * model.idsPerByte);
      sink.length += merge(bytes, at, end, sink.ids, sink.length);
      at = end;
    }
  };
  const encodeStretches = (whole: Uint8Array, options: EncodeOptions, sink: IdSink): void => {
    const parseSpecial = options.parseSpecialTokens !== false;
    const merge =
      model.sample !== undefined && options.random !== undefined ? dress(model.sample(options.random)) : direct;
    const onToken = (id: number): void => {
      reserve(sink, 1);
      sink.ids[sink.length++] = id;
    };
    const encodeText = (bytes: Uint8Array, from: number, to: number, isStart: boolean): void => {
      if (stages.length === 0) {
        encodeRange(bytes, from, to, sink, merge);
        return;
      }
      const pieces = stages.reduce((result, stage) => stage(result, isStart), {
        bytes,
        ranges: [from, to] as readonly number[],
      });
      const { ranges } = pieces;
      for (let i = 0; i < ranges.length; i += 2) {
        encodeRange(pieces.bytes, ranges[i] as number, ranges[i + 1] as number, sink, merge);
      }
    };
    const encodeRaw = (bytes: Uint8Array, from: number, to: number): void => {
      const isFirst = from === 0;
      const given = isFirst && to === bytes.length ? bytes : bytes.subarray(from, to);
      const clean = normalize === undefined ? given : normalize(given);
      if (clean.length === 0) return;
      if (late === undefined) encodeText(clean, 0, clean.length, isFirst);
      else {
        const onText = (part: Uint8Array, start: number, end: number): void =>
          encodeText(part, start, end, isFirst && start === 0);
        late(clean, 0, clean.length, parseSpecial, onText, onToken);
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
    try {
      encodeStretches(bytes, options, sink);
    } finally {
      words.release();
    }
    pushIds(sink, after);
    const ids = sink.ids.slice(0, sink.length);
    if (sink.ids.length > KEPT) sink = idSink(1024);
    return ids;
  };

  const skipped = (options: DecodeOptions): ReadonlySet<number> | undefined =>
    options.skipSpecialTokens === true ? specialIds : undefined;
  const endOfText = findEndOfText(config, special, addedIds);
  const saved = config ?? defaultConfig(added.find(({ id }) => id === endOfText)?.content);
  const rest = Object.fromEntries(Object.entries(file).filter(([name]) => name !== 'model'));
  return {
    name: model.name,
    vocabulary: vocabularyOf(model.table, addedIds),
    endOfText,
    special,
    lossy:
      normalize !== undefined ||
      !preTokenizer.keepsBytes ||
      !decoding.isExact ||
      !model.hasAllBytes ||
      added.some(({ stripsLeft, stripsRight }) => stripsLeft || stripsRight),
    encode: (string, options) => encodeBytes(toUtf8(text, string), options),
    encodeBytes,
    decode: (ids, options = {}) => decoding.decode(ids, skipped(options)),
    decodeBytes: (ids, options = {}) => decoding.decodeBytes(ids, skipped(options)),
    createDecoder: (options = {}) => decoding.stream(skipped(options)),
    clearCache: words.clear,
    save: (options = {}) => [
      { file: 'tokenizer.json', text: `${JSON.stringify({ ...rest, model: model.write() }, null, 2)}\n` },
      savedConfig(saved, options),
    ],
  };
}

/** Those of the added tokens that are found in normalized text; of two that become equal, a special one counts. */
function specialFirst(added: readonly AddedToken[]): readonly AddedToken[] {
  const wanted = added.filter(({ normalized: isLate }) => isLate);
  return [...wanted.filter(({ special }) => special), ...wanted.filter(({ special }) => !special)];
}

/** A token as it looks in normalized text. */
function normalized(token: AddedToken, normalize: Normalizer | undefined): AddedToken {
  return normalize === undefined ? token : { ...token, bytes: normalize(token.bytes) };
}

/** From ids to text. */
interface Decoding {
  /** The bytes of tokens are the bytes of the text. */
  readonly isExact: boolean;
  decode(ids: ArrayLike<number>, skip: ReadonlySet<number> | undefined): string;
  decodeBytes(ids: ArrayLike<number>, skip: ReadonlySet<number> | undefined): Uint8Array<ArrayBuffer>;
  stream(skip: ReadonlySet<number> | undefined): StreamDecoder;
}

function readDecoding(given: Json | undefined, table: TokenTable, where: string): Decoding {
  const decoders = readDecoder(given, where);
  const strings: (string | undefined)[] = [];
  const textOfId = (id: number): string => {
    checkId(table, id);
    strings[id] ??= textOf(table.bytes.subarray(table.offsets[id], table.offsets[id + 1]));
    return strings[id];
  };
  const types = given === undefined || given === null ? [] : flattenDecoders(given, where).map(({ type }) => type);
  if (types[0] === 'ByteLevel' && types.slice(1).every((type) => type === 'Fuse')) {
    return exactDecoding(table, textOfId);
  }
  const decode = (ids: ArrayLike<number>, skip: ReadonlySet<number> | undefined): string => {
    const parts: string[] = [];
    const chain = chainOf(decoders, { push: (part) => parts.push(part), end: () => undefined });
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as number;
      const token = textOfId(id);
      if (skip?.has(id) !== true) chain.push(token);
    }
    chain.end();
    return parts.join('');
  };
  return {
    isExact: false,
    decode,
    decodeBytes: (ids, skip) => bytesOf(decode(ids, skip)),
    stream: (skip) => {
      let done = '';
      const start = () =>
        chainOf(decoders, {
          push: (part) => {
            done += part;
          },
          end: () => undefined,
        });
      let chain = start();
      const take = (): string => {
        const result = done;
        done = '';
        return result;
      };
      const pushText = (id: number): string => {
        const token = textOfId(id);
        if (skip?.has(id) !== true) chain.push(token);
        return take();
      };
      const flushText = (): string => {
        chain.end();
        chain = start();
        return take();
      };
      return { pushText, flushText, push: (id) => bytesOf(pushText(id)), flush: () => bytesOf(flushText()) };
    },
  };
}

/** ByteLevel alone: tokens are bytes that stand one after the other. */
function exactDecoding(table: TokenTable, textOfId: (id: number) => string): Decoding {
  let made: TokenTable | undefined;
  const bytes = (): TokenTable => {
    made ??= tokenTable(
      Array.from({ length: table.size }, (_, id) =>
        table.present[id] === 1 ? byteLevelBytes(textOfId(id)) : undefined,
      ),
    );
    return made;
  };
  return {
    isExact: true,
    decode: (ids, skip) => textOf(decodeIds(bytes(), ids, skip)),
    decodeBytes: (ids, skip) => decodeIds(bytes(), ids, skip),
    stream: (skip) => streamDecoder(bytes(), skip),
  };
}
