/** The architectures as a list shows them: nothing here loads a model's code, so that `--help` is quick. */

import type { ArchitectureEntry } from './contract.js';
import { GPT_ENTRY } from './gpt/entry.js';

/** The architectures, the baseline first. */
export const ARCHITECTURES: readonly ArchitectureEntry[] = [GPT_ENTRY];
