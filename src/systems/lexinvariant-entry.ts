/** Lexinvariant language models in the list of systems, without their code. */

import type { SystemEntry } from './contract.js';

/** A language model without token embeddings. */
export const LEXINVARIANT: SystemEntry = {
  slug: 'lexinvariant',
  name: 'Lexinvariant Language Models',
  family: 'language models',
  gives: 'a language model that learns what tokens mean from each text alone, and so reads ciphers and unknown symbols',
  load: async () => (await import('./lexinvariant.js')).lexinvariantSystem,
};
