/** The Node half of the host: files, worker threads, the machine's facts. Imported as `#host`. */

import { basename, dirname, join } from 'node:path';
import * as files from './node-files.js';
import * as packages from './node-packages.js';
import * as pictures from './node-pictures.js';
import * as threads from './node-threads.js';
import type { Host } from './types.js';

export * from './node-files.js';
export * from './node-packages.js';
export * from './node-pictures.js';
export * from './node-threads.js';
export type * from './types.js';

/** Joins path parts with the platform's separator. */
export function joinPath(...parts: readonly string[]): string {
  return join(...parts);
}

/** The last part of a path. */
export function baseName(path: string): string {
  return basename(path);
}

/** Everything before the last part of a path. */
export function directoryName(path: string): string {
  return dirname(path);
}

/** All of this half as one value, which also proves that nothing of the interface is missing. */
export const host: Host = { ...files, ...packages, ...pictures, ...threads, joinPath, baseName, directoryName };
