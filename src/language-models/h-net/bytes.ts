/** Documents as ids. */

import { BOS } from './options.js';

/** The bytes of a document after the one that begins it. */
export function begun(bytes: Uint8Array): Int32Array<ArrayBuffer> {
  const ids = new Int32Array(bytes.length + 1);
  ids[0] = BOS;
  ids.set(bytes, 1);
  return ids;
}
