/** Lexinvariant models in the list of architectures: their choices, without any of their code. */

import type { ArchitectureEntry } from '../contract.js';

const RATES: Readonly<Record<string, number>> = { tiny: 2e-3, small: 1e-3, base: 6e-4 };

/** A decoder without token embeddings. */
export const LEXINVARIANT_ENTRY: ArchitectureEntry = {
  name: 'lexinvariant',
  about: 'a decoder whose tokens get fresh random vectors in every sequence: it learns patterns of use, not words',
  modelTypes: ['tessera_lexinvariant'],
  tokens: 'any',
  options: [
    { name: 'size', kind: 'choice', choices: ['tiny', 'small', 'base'], about: 'a ready size (default: tiny)' },
    { name: 'layers', kind: 'count', about: 'layers' },
    { name: 'width', kind: 'count', about: 'width of the hidden states' },
    { name: 'heads', kind: 'count', about: 'attention heads' },
    { name: 'kvHeads', kind: 'count', about: 'heads of keys and values (default: all heads)' },
    { name: 'hidden', kind: 'count', about: 'width inside the feed-forward block' },
    {
      name: 'form',
      kind: 'choice',
      choices: ['tables', 'permutation'],
      about: 'fresh tables, or one table and an order of the vocabulary a sequence (default: tables up to 512 tokens)',
    },
    { name: 'embedStd', kind: 'number', least: 0, about: 'standard deviation of the random vectors (default: 1)' },
    { name: 'inputScale', kind: 'number', least: 0, about: 'where their learned scale starts (default: 0.3)' },
    { name: 'offset', kind: 'off', about: 'no learned vector that is added to every token' },
    { name: 'deviation', kind: 'number', least: 0, about: 'of fresh weights (default: 1 / sqrt(width))' },
    { name: 'learnSpecial', kind: 'flag', about: 'special tokens keep a learned vector' },
    { name: 'tableSeed', kind: 'whole', about: "the seed of the permutation form's table (default: 0)" },
    { name: 'ropeTheta', kind: 'number', least: 1, about: 'base of the rotary positions (default: 10000)' },
    { name: 'normEpsilon', kind: 'number', least: 0, most: 1, about: 'added inside the norms' },
    { name: 'context', kind: 'count', about: 'tokens that the model reads at once (default: 256)' },
    { name: 'dropout', kind: 'number', least: 0, most: 0.99, about: 'share of dropped activations (default: 0)' },
  ],
  rate: ({ size }) => RATES[String(size ?? 'tiny')] ?? 1e-3,
  load: async () => (await import('./architecture.js')).lexinvariantArchitecture,
};
