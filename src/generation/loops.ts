/** The loops that this host knows, by the names that `tessera.json` gives them; each is loaded when it is needed. */

import type { ProgramsDescription } from '../formats/programs.js';
import type { RunDecoder } from './decoder.js';
import type { EngineOptions } from './program.js';

/** Opens the programs of a description for decoding. */
export type OpenLoop = (
  folder: string,
  description: ProgramsDescription,
  options: EngineOptions,
) => Promise<RunDecoder>;

/** Loop by loop, what opens it. */
export const LOOPS: ReadonlyMap<string, () => Promise<OpenLoop>> = new Map([
  ['h-net', async () => (await import('./h-net.js')).openHNetLoop],
  ['next-token', async () => (await import('./next-token.js')).openNextToken],
]);
