/** Finding by name, with the nearest name for one that is mistyped. */

import { TesseraError } from '../host/error.js';
import { nearest } from '../text/nearest.js';

/** How the entries of a list are told of. */
export interface Naming<T> {
  /** What an entry is called: "data set". */
  readonly what: string;
  nameOf(entry: T): string;
  /** The sentence that says where the names are listed. */
  readonly list: string;
}

/** The entry of a name. @throws not-found, naming the nearest. */
export function named<T>(name: string, entries: readonly T[], naming: Naming<T>): T {
  const found = entries.find((entry) => naming.nameOf(entry) === name);
  if (found !== undefined) return found;
  const near = nearest(name, entries.map(naming.nameOf));
  throw new TesseraError('not-found', `There is no ${naming.what} "${name}".`, {
    hint: near === undefined ? naming.list : `Did you mean ${near}? ${naming.list}`,
  });
}
