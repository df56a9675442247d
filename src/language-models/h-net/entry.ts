/** H-Net in the list of architectures: its choices, without any of its code. */

import type { ArchitectureEntry } from '../contract.js';

/** The byte-level model that learns its own tokens. */
export const H_NET_ENTRY: ArchitectureEntry = {
  name: 'h-net',
  about: 'reads bytes and learns where to cut them into chunks, on which most of it runs',
  modelTypes: ['tessera_h-net'],
  tokens: 'bytes',
  options: [
    {
      name: 'size',
      kind: 'choice',
      choices: ['tiny', 'small', '1stage_L', '2stage_L', '1stage_XL', '2stage_XL'],
      about: 'a ready or published size (default: tiny)',
    },
    { name: 'layout', kind: 'text', about: 'the blocks, such as "m4,[T22],m4" or "T2,[T1m1,[T4],m1T1],T2"' },
    { name: 'widths', kind: 'text', about: 'width of each stage, with commas' },
    { name: 'stageHidden', kind: 'text', about: 'width inside the feed-forward blocks of each stage' },
    { name: 'stageHeads', kind: 'text', about: 'attention heads of each stage' },
    { name: 'rotary', kind: 'text', about: 'channels of a head that turn with the position, by stage' },
    { name: 'windows', kind: 'text', about: 'earlier positions that attention sees, by stage; -1 for all' },
    {
      name: 'ratios',
      kind: 'text',
      about: 'positions of a chunk that training aims at, by stage (default: 6, or 3,3)',
    },
    { name: 'ratioWeight', kind: 'number', least: 0, about: 'weight of the ratio loss (default: 0.03)' },
    {
      name: 'capacity',
      kind: 'number',
      least: 0,
      most: 1,
      about: 'most chunks in training, as a share (default: 0.5)',
    },
    {
      name: 'boundaries',
      kind: 'choice',
      choices: ['learned', 'stride', 'spaces'],
      about: 'who cuts: the router, every N-th byte, or white space (default: learned)',
    },
    {
      name: 'embeddingDeviation',
      kind: 'number',
      least: 0,
      about: 'standard deviation of fresh embeddings (default: 0.02 for tiny, else 1)',
    },
    { name: 'rates', kind: 'text', about: 'factors of the learning rate by stage, such as 3,1.7,0.9 (default: 1)' },
    { name: 'context', kind: 'count', about: 'bytes that the model reads at once (default: 256)' },
  ],
  rate: ({ size }) => (size === undefined || size === 'tiny' ? 2e-3 : size === 'small' ? 1e-3 : 6e-4),
  load: async () => (await import('./architecture.js')).hNetArchitecture,
};
