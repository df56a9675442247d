import { padding } from './padding.js';
import { scatters } from './scatters.js';
import { sorting } from './sorting.js';
import type { OperationRow } from './value.js';

/** Sorting, scattering, segments, padding. */
export const indexing: readonly OperationRow[] = [...sorting, ...scatters, ...padding];
