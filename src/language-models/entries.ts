/** The architectures as a list shows them: nothing here loads a model's code, so that `--help` is quick. */

import type { ArchitectureEntry } from './contract.js';
import { GPT_ENTRY } from './gpt/entry.js';
import { H_NET_ENTRY } from './h-net/entry.js';
import { LEXINVARIANT_ENTRY } from './lexinvariant/entry.js';
import { TOKENFORMER_ENTRY } from './tokenformer/entry.js';

/** The architectures, the baseline first. */
export const ARCHITECTURES: readonly ArchitectureEntry[] = [
  GPT_ENTRY,
  H_NET_ENTRY,
  LEXINVARIANT_ENTRY,
  TOKENFORMER_ENTRY,
];
