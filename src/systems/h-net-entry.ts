/** H-Net in the list of systems, without its code. */

import type { SystemEntry } from './contract.js';

/** The byte-level model that learns its own tokens. */
export const H_NET: SystemEntry = {
  slug: 'h-net',
  name: 'H-Net',
  family: 'language models',
  gives: 'a language model of bytes that learns, while it trains, where to cut its own tokens, and can show the cuts',
  load: async () => (await import('./h-net.js')).hNetSystem,
};
