/** TokenFormer in the list of systems, without its code. */

import type { SystemEntry } from './contract.js';

/** A decoder of parameter tokens. */
export const TOKENFORMER: SystemEntry = {
  slug: 'tokenformer',
  name: 'TokenFormer',
  family: 'language models',
  gives: 'a language model that is made larger by adding parameter tokens instead of training anew',
  load: async () => (await import('./tokenformer.js')).tokenformerSystem,
};
