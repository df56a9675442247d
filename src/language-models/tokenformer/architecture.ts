/** TokenFormer behind the contract of all architectures. */

import { TesseraError } from '../../tensor/index.js';
import type { Architecture, TextModel } from '../contract.js';
import { loadTokenformer } from './folder.js';
import { type Tokenformer, type TokenformerSettings, tokenformer } from './tokenformer.js';

/** Whether a model is a TokenFormer. */
export function isTokenformer(model: { readonly name: string }): model is Tokenformer & TextModel {
  return model.name === 'tokenformer' && 'architecture' in model;
}

/** Makes, adjusts and opens TokenFormers. */
export const tokenformerArchitecture: Architecture = {
  create: (choices, tokenizer) => tokenformer({ ...settingsOf(choices), tokenizer } as TokenformerSettings),
  adjust: (model, choices) => {
    if (!isTokenformer(model)) throw new TesseraError('mismatch', `A ${model.name} is no tokenformer.`);
    return tokenformer({
      ...model.architecture,
      ...settingsOf(choices),
      tokenizer: model.tokenizer,
    } as TokenformerSettings);
  },
  open: (folder) => loadTokenformer(folder),
};

/** The list's names say what is counted; the library has the paper's. */
function settingsOf({
  tokensQkv,
  tokensO,
  tokensFfn,
  pattention,
  ...others
}: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const renamed = { nQkv: tokensQkv, nO: tokensO, nFfn: tokensFfn, kind: pattention };
  return { ...others, ...Object.fromEntries(Object.entries(renamed).filter(([, value]) => value !== undefined)) };
}
