/** Lexinvariant models behind the contract of all architectures. */

import { TesseraError } from '../../tensor/index.js';
import type { Architecture, TextModel } from '../contract.js';
import { loadLexinvariant } from './folder.js';
import { type Lexinvariant, type LexinvariantSettings, lexinvariant } from './lexinvariant.js';

function isLexinvariant(model: TextModel): model is Lexinvariant & TextModel {
  return model.name === 'lexinvariant' && 'architecture' in model;
}

/** Makes, adjusts and opens lexinvariant models. */
export const lexinvariantArchitecture: Architecture = {
  create: (choices, tokenizer) => lexinvariant({ ...choices, tokenizer } as LexinvariantSettings),
  adjust: (model, choices) => {
    if (!isLexinvariant(model)) throw new TesseraError('mismatch', `A ${model.name} is no lexinvariant model.`);
    return lexinvariant({ ...model.architecture, ...choices, tokenizer: model.tokenizer } as LexinvariantSettings);
  },
  open: (folder) => loadLexinvariant(folder),
};
