/** GPT in the list of architectures: its choices, without any of its code. */

import type { ArchitectureEntry } from '../contract.js';

const RATES: Readonly<Record<string, number>> = { tiny: 2e-3, small: 1e-3, base: 6e-4 };

/** The baseline: decoders of the published Llama and GPT-2 forms. */
export const GPT_ENTRY: ArchitectureEntry = {
  name: 'gpt',
  about: 'the decoder-only Transformer in its Llama and GPT-2 forms, the baseline',
  modelTypes: ['llama', 'gpt2'],
  tokens: 'any',
  options: [
    { name: 'size', kind: 'choice', choices: ['tiny', 'small', 'base'], about: 'a ready size (default: tiny)' },
    { name: 'style', kind: 'choice', choices: ['llama', 'gpt2'], about: 'which published layout (default: llama)' },
    { name: 'layers', kind: 'count', about: 'layers' },
    { name: 'width', kind: 'count', about: 'width of the hidden states' },
    { name: 'heads', kind: 'count', about: 'attention heads' },
    { name: 'kvHeads', kind: 'count', about: 'heads of keys and values (default: all heads)' },
    { name: 'hidden', kind: 'count', about: 'width inside the feed-forward block' },
    {
      name: 'activation',
      kind: 'choice',
      choices: ['swiglu', 'gelu_tanh', 'gelu', 'relu', 'silu'],
      about: 'of the feed-forward block',
    },
    { name: 'ropeTheta', kind: 'number', least: 1, about: 'base of the rotary positions (default: 10000)' },
    { name: 'normEpsilon', kind: 'number', least: 0, most: 1, about: 'added inside the norms' },
    { name: 'tied', kind: 'off', about: 'a table of its own for the output' },
    { name: 'context', kind: 'count', about: 'tokens that the model reads at once (default: 256)' },
    { name: 'dropout', kind: 'number', least: 0, most: 0.99, about: 'share of dropped activations (default: 0)' },
    {
      name: 'lexinvariance',
      kind: 'number',
      least: 0,
      most: 1,
      about: 'share of tokens with a random vector in each training sequence (default: 0)',
    },
  ],
  rate: ({ size }) => RATES[String(size ?? 'tiny')] ?? 1e-3,
  load: async () => (await import('./architecture.js')).gptArchitecture,
};
