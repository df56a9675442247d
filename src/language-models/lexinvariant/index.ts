/** Lexinvariant models: options, model, files, runner, and the tasks that probe what they learn. */

export * from '../../embeddings/index.js';
export {
  type Deciphered,
  type DecipherOptions,
  decipherProbe,
  type ProbedModel,
  substitutionCipher,
} from './decipher.js';
export { type LoadedLexinvariant, loadLexinvariant } from './folder.js';
export {
  type Lexinvariant,
  type LexinvariantSettings,
  lexinvariant,
  lexinvariantModule,
  withVocabulary,
} from './lexinvariant.js';
export { type LookupShape, lookupRows, lookupSource } from './lookup.js';
export {
  initLexinvariant,
  type LexinvariantBatch,
  type LexinvariantParameters,
  lexinvariantForward,
  lexinvariantObjective,
  lexinvariantTables,
  lexinvariantUnder,
} from './model.js';
export {
  fromLexinvariantConfig,
  type LexinvariantChoices,
  type LexinvariantForm,
  type LexinvariantOptions,
  lexinvariantOptions,
  toLexinvariantConfig,
} from './options.js';
export { partiallyLexinvariant } from './partial.js';
export { type PermutationShape, permutationRows, permutationSource } from './permutation-task.js';
export { type LossesByPosition, lossesByPosition, meanOver } from './position-losses.js';
export { cachedLexinvariant, openLexinvariantRunner, type RowVectors, rowDraw } from './runner.js';
export { LEXINVARIANT_TYPE, type SaveLexinvariantOptions, saveLexinvariant } from './save.js';
export { NOT_COUNTED, type TaskAccuracy, taskAccuracy } from './task-accuracy.js';
