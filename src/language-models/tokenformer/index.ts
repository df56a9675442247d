/** The TokenFormer family: options, model, growth, files and runner. */

export { isTokenformer } from './architecture.js';
export { fromTokenformerConfig, TOKENFORMER_TYPE, toTokenformerConfig } from './config.js';
export { type LoadedTokenformer, loadTokenformer } from './folder.js';
export { freezeOldTokens } from './freeze.js';
export {
  dropGrownTokens,
  type GrowOptions,
  growMoments,
  growTokenformer,
  type SizedTokenformer,
} from './grow.js';
export {
  initTokenformer,
  type TokenformerBlock,
  type TokenformerContext,
  type TokenformerParameters,
  tokenformerForward,
  tokenformerHidden,
  tokenformerLogits,
} from './model.js';
export {
  fromPublishedTokenformer,
  type TokenformerName,
  tokenformerNames,
  toPublishedTokenformer,
} from './names.js';
export {
  countTokenformer,
  type Growth,
  TOKENFORMER_SIZES,
  type TokenCounts,
  type TokenformerChoices,
  type TokenformerOptions,
  type TokenformerSize,
  tokenformerOptions,
} from './options.js';
export {
  initPattention,
  PATTENTION_KINDS,
  type PattentionKind,
  type PattentionOptions,
  type PattentionParameters,
  pattention,
  pattentionWeights,
} from './pattention.js';
export { cachedTokenformer, openTokenformerRunner } from './runner.js';
export { type SaveTokenformerOptions, saveTokenformer } from './save.js';
export { type Tokenformer, type TokenformerSettings, tokenformer } from './tokenformer.js';
