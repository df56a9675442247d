/** TokenFormer in the list of architectures: its choices, without any of its code. */

import type { ArchitectureEntry } from '../contract.js';

const RATES: Readonly<Record<string, number>> = { tiny: 2e-3, small: 1e-3 };

/** A decoder whose every linear map is an attention over parameter tokens. */
export const TOKENFORMER_ENTRY: ArchitectureEntry = {
  name: 'tokenformer',
  about: 'a decoder of parameter tokens that grows by adding more of them (tessera grow)',
  // Published folders have no type and name this class instead.
  modelTypes: ['tessera_tokenformer', 'TokenFormerForCausalLM'],
  tokens: 'any',
  options: [
    {
      name: 'size',
      kind: 'choice',
      choices: ['tiny', 'small', '150M', '450M', '900M', '1.5B', '354M', '757M'],
      about: 'a ready size (default: tiny)',
    },
    { name: 'layers', kind: 'count', about: 'layers' },
    { name: 'width', kind: 'count', about: 'width of the hidden states' },
    { name: 'heads', kind: 'count', about: 'attention heads' },
    { name: 'tokensQkv', kind: 'count', about: 'parameter tokens of each query, key and value layer (default: width)' },
    { name: 'tokensO', kind: 'count', about: 'parameter tokens of the layer after attention (default: width)' },
    { name: 'tokensFfn', kind: 'count', about: 'parameter tokens of the feed-forward layer (default: 4 x width)' },
    {
      name: 'pattention',
      kind: 'choice',
      choices: ['l2_norm_gelu', 'gelu_l2_norm', 'softmax'],
      about: 'how scores become weights (default: l2_norm_gelu); softmax cannot grow',
    },
    { name: 'ropeTheta', kind: 'number', least: 1, about: 'base of the rotary positions (default: 10000)' },
    {
      name: 'rotaryShare',
      kind: 'number',
      least: 0,
      most: 1,
      about: 'share of each head that they turn (default: 0.25)',
    },
    { name: 'normEpsilon', kind: 'number', least: 0, most: 1, about: 'added inside the norms' },
    { name: 'context', kind: 'count', about: 'tokens that the model reads at once (default: 256)' },
    {
      name: 'freezeOld',
      kind: 'flag',
      again: true,
      about: 'with --from: train only the tokens that the last growth added',
    },
    { name: 'dropout', kind: 'number', least: 0, most: 0.99, about: 'share of dropped activations (default: 0)' },
  ],
  rate: ({ size }) => RATES[String(size ?? 'tiny')] ?? 6e-4,
  load: async () => (await import('./architecture.js')).tokenformerArchitecture,
};
