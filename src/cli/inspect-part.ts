/** What `tessera inspect` says of one thing: a name, a value for programs, and lines for people. */

import type { Json } from '../formats/index.js';

/** One thing that was looked into. */
export interface Part {
  readonly name: string;
  readonly value: Json;
  readonly lines: string;
}

/** A text cut to what a line of a table holds. */
export function shorten(text: string, most = 100): string {
  return text.length > most ? `${text.slice(0, most - 3)}...` : text;
}
