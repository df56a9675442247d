/** GPT behind the contract of all architectures. */

import { TesseraError } from '../../tensor/index.js';
import type { Architecture, TextModel } from '../contract.js';
import { loadGpt } from './folder.js';
import { type Gpt, type GptSettings, gpt } from './gpt.js';

function isGpt(model: TextModel): model is Gpt & TextModel {
  return model.name === 'gpt' && 'architecture' in model;
}

/** Makes, adjusts and opens GPTs. */
export const gptArchitecture: Architecture = {
  create: (choices, tokenizer) => gpt({ ...choices, tokenizer } as GptSettings),
  adjust: (model, choices) => {
    if (!isGpt(model)) throw new TesseraError('mismatch', `A ${model.name} is no gpt.`);
    return gpt({ ...model.architecture, ...choices, tokenizer: model.tokenizer } as GptSettings);
  },
  open: (folder) => loadGpt(folder),
};
