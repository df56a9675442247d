/** The systems as a list shows them. To add one: an import of its light `ENTRY`, and its name in the list. */

import type { SystemEntry } from './contract.js';
import { H_NET } from './h-net-entry.js';
import { LEXINVARIANT } from './lexinvariant-entry.js';
import { named } from './nearest.js';
import { TOKENFORMER } from './tokenformer-entry.js';

/** Every system. Nothing of one is loaded before its `load`. */
export const SYSTEMS: readonly SystemEntry[] = [H_NET, LEXINVARIANT, TOKENFORMER];

/** The entry of a slug. @throws not-found, naming the nearest. */
export function systemOf(slug: string, systems: readonly SystemEntry[] = SYSTEMS): SystemEntry {
  return named(slug, systems, {
    what: 'system',
    nameOf: (entry) => entry.slug,
    list: '`tessera systems` lists all.',
  });
}

/** The systems by family, both in the order of the list. */
export function systemsByFamily(
  systems: readonly SystemEntry[] = SYSTEMS,
): ReadonlyMap<string, readonly SystemEntry[]> {
  const families = new Map<string, SystemEntry[]>();
  for (const entry of systems) families.set(entry.family, [...(families.get(entry.family) ?? []), entry]);
  return families;
}
