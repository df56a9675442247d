/** Text to ids and back, in every published format; the trainer. Loads no tensor runtime. */

export { type CutPlace, type SplitOptions, splitByTokens, type TruncateOptions, truncateToTokens } from './budget.js';
export { type ByteTokenizerOptions, byteTokenizer } from './bytes.js';
export { applyChatTemplate, type ChatMessage, type ChatOptions } from './chat.js';
export {
  type EncodedCorpus,
  type EncodedFolder,
  type EncodeFilesOptions,
  type EncodeProgress,
  encodeFiles,
  encodeFilesTo,
} from './encode-files.js';
export { type LoadOptions, loadTokenizer, openTokenizer } from './open.js';
export type { OpenOptions } from './resolve.js';
export { SPLIT_PATTERNS, type SplitPatternName } from './scanners.js';
export { type SentencePieceOptions, sentencePieceTokenizer } from './sentencepiece.js';
export { type SentencePieceJsonOptions, sentencePieceToJson } from './sentencepiece-json.js';
export { encodeWithSpecial, type SpecialTokenOptions } from './special.js';
export {
  ENCODINGS,
  type Encoding,
  type EncodingName,
  isEncodingName,
  type TiktokenOptions,
  tiktokenTokenizer,
} from './tiktoken.js';
export type {
  DecodeOptions,
  EncodeOptions,
  SavedFile,
  SaveOptions,
  StreamDecoder,
  Tokenizer,
  Vocabulary,
} from './tokenizer.js';
export { type TrainBpeOptions, type TrainedBpe, type TrainProgress, trainBpe } from './train.js';
