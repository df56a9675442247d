/** Training only what a growth added. */

import type { NDArray } from '../../tensor/index.js';
import { tokenKindOf } from './model.js';
import { lastGrowth, type TokenformerOptions } from './options.js';

/**
 * Factors of the learning rate that train only the tokens which the last growth added: 0 for old rows and for what has no
 * tokens, 1 for new rows. For the `multiplier` of `adamW`; frozen rows do not decay either.
 * @throws bad-option for a model that has not grown.
 */
export function freezeOldTokens(architecture: TokenformerOptions): (path: string) => number | NDArray {
  const { tokens } = lastGrowth(architecture);
  return (path) => {
    const kind = tokenKindOf(path);
    if (kind === undefined || tokens[kind] === architecture[kind]) return 0;
    const data = new Float32Array(architecture[kind]).fill(1, tokens[kind]);
    return { dtype: 'float32', shape: [architecture[kind], 1], data };
  };
}
