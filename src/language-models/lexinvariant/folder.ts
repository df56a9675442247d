/** A lexinvariant model read from a folder. */

import { random } from '../../tensor/index.js';
import type { LoadedModel } from '../contract.js';
import { openTextModel, readTextModel } from '../model-folder.js';
import { type Lexinvariant, lexinvariant } from './lexinvariant.js';
import { initLexinvariant, type LexinvariantParameters } from './model.js';
import { fromLexinvariantConfig } from './options.js';
import { LEXINVARIANT_TYPE } from './save.js';

/** A lexinvariant model found in a folder. */
export type LoadedLexinvariant = LoadedModel<LexinvariantParameters, Lexinvariant>;

/**
 * Opens a folder of a lexinvariant model.
 * @throws not-found, bad-file, unsupported; mismatch when the tokenizer has more tokens than the model is set for.
 */
export async function loadLexinvariant(path: string): Promise<LoadedLexinvariant> {
  const { folder, config, tokenizer } = await openTextModel(path, LEXINVARIANT_TYPE, ({ vocabSize }) =>
    Number(vocabSize),
  );
  try {
    const architecture = fromLexinvariantConfig(config);
    return {
      model: lexinvariant({ ...architecture, tokenizer }),
      parameters: () => readTextModel<LexinvariantParameters>(folder, initLexinvariant(architecture, random(0))),
      weights: folder.weights,
      close: folder.close,
    };
  } catch (error) {
    await folder.close();
    throw error;
  }
}
