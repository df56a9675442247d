/**
 * The `Tokenizer`: text to ids and back. Everything is synchronous and carries no tensor runtime. Ids are
 * `Int32Array`s, the integer type of arrays that feed a model.
 *
 * Text is UTF-8 inside: a string's lone surrogates become U+FFFD. Byte-level vocabularies keep every byte, so
 * `decodeBytes(encodeBytes(bytes))` are the same bytes, well-formed UTF-8 or not, unless `lossy` says otherwise.
 */

import type { JsonObject } from '../formats/json.js';
import type { Random } from '../tensor/random.js';

/** Choices of one call of `encode`. */
export interface EncodeOptions {
  /** Draws for tokenizers that sample a segmentation; the others ignore it. */
  readonly random?: Random;
  /**
   * Adds what the file's post-processor adds, such as a begin-of-text token. Off unless asked for, so that decoding
   * gives the text back (transformers.js and Python have it on).
   */
  readonly addSpecialTokens?: boolean;
  /**
   * Special tokens written out in the text become their ids, as in Hugging Face's libraries; on unless switched off.
   * Switch it off for text of strangers.
   */
  readonly parseSpecialTokens?: boolean;
}

/** Choices of one call of `decode`. */
export interface DecodeOptions {
  /** Leaves special tokens out. */
  readonly skipSpecialTokens?: boolean;
}

/** The tokens behind the ids. */
export interface Vocabulary {
  /** One more than the largest id: the rows that an embedding needs. */
  readonly size: number;
  /** The bytes of a token. @throws bad-input for an id that no token has. */
  token(id: number): Uint8Array;
  /** The id of a token given by its text or bytes, or undefined; a special token by its text. */
  id(token: string | Uint8Array): number | undefined;
}

/** A token's decoder that is fed one id at a time; it holds back incomplete UTF-8 sequences. */
export interface StreamDecoder {
  /** The bytes that the id completes: whole characters, and bytes that cannot become one, as they are. */
  push(id: number): Uint8Array;
  /** As `push`, as text; bytes that are not UTF-8 become U+FFFD. Use one of the two on one decoder. */
  pushText(id: number): string;
  /** What is still held back: the bytes of an incomplete character. */
  flush(): Uint8Array;
  /** As `flush`, as text. */
  flushText(): string;
}

/** A file that `save` asks to be written. */
export interface SavedFile {
  readonly file: string;
  readonly text: string;
}

/** Choices of `save`. */
export interface SaveOptions {
  /** The longest sequence that the model reads, in tokens, for `tokenizer_config.json`. */
  readonly maxLength?: number;
  /** More fields for `tokenizer_config.json`, such as `chat_template`. */
  readonly config?: JsonObject;
}

/** Turns text into ids and ids into text. */
export interface Tokenizer {
  /** What kind it is: `bytes`, `bpe`, `unigram`, `wordpiece`, `wordlevel` or `rwkv`. */
  readonly name: string;
  readonly vocabulary: Vocabulary;
  /** The token that ends a document, where the vocabulary has one. */
  readonly endOfText: number | undefined;
  /** Special tokens: text to id. */
  readonly special: ReadonlyMap<string, number>;
  /** Decoding may not give back what was encoded: a normalizer, an added space, a missing byte. */
  readonly lossy: boolean;
  /** The ids of a text. */
  encode(text: string, options?: EncodeOptions): Int32Array<ArrayBuffer>;
  /** The ids of bytes, which need not be UTF-8. */
  encodeBytes(bytes: Uint8Array, options?: EncodeOptions): Int32Array<ArrayBuffer>;
  /** The text of ids; bytes that are not UTF-8 become U+FFFD. @throws bad-input for an id that no token has. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** The bytes of ids, exactly. @throws bad-input for an id that no token has. */
  decodeBytes(ids: ArrayLike<number>, options?: DecodeOptions): Uint8Array<ArrayBuffer>;
  /** A decoder for ids that arrive one by one. */
  createDecoder(options?: DecodeOptions): StreamDecoder;
  /** Forgets the words that were met, whose ids are kept in a few megabytes; encoding goes on as before. */
  clearCache(): void;
  /** What to write so that Hugging Face's libraries open it: `tokenizer.json` and `tokenizer_config.json`. */
  save(options?: SaveOptions): readonly SavedFile[];
}
