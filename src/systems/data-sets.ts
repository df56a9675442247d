/** Every data set that a reproduction reads. To add one: a file of `data-sets/` named after it, and a line here. */

import type { DataSet } from './data-set.js';
import { ENGLISH_NOVELS } from './data-sets/english-novels.js';
import { GUTENBERG_BOOKS } from './data-sets/gutenberg-books.js';
import { TINYSHAKESPEARE } from './data-sets/tinyshakespeare.js';
import { named } from './nearest.js';

/** The data sets, by name. */
export const DATA_SETS: readonly DataSet[] = [ENGLISH_NOVELS, GUTENBERG_BOOKS, TINYSHAKESPEARE];

/** The data set of a name. @throws not-found, naming the nearest. */
export function dataSetOf(name: string, sets: readonly DataSet[] = DATA_SETS): DataSet {
  return named(name, sets, {
    what: 'data set',
    nameOf: (set) => set.name,
    list: '`tessera data list` shows all.',
  });
}
