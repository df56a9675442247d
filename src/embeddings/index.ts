/** Ids to vectors without the usual table. */

export * from './sequence-tables.js';
