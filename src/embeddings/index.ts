/** Ids to vectors without the usual table. */

export * from './partial.js';
export * from './sequence-tables.js';
