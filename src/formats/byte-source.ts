/** Bytes in memory, read as a file is. */

import type { RandomAccess } from '#host';

/** Bytes with the reading interface of a file; every read is a copy. Reading past the end gives what there is. */
export function bytesAsFile(bytes: Uint8Array): RandomAccess {
  return {
    size: bytes.length,
    read: async (offset, length) => bytes.slice(offset, offset + length),
    close: async () => undefined,
  };
}
