/** Partial lexinvariance for a GPT that is there (arXiv 2305.16349, section 5). */

import { type Gpt, gpt } from '../gpt/gpt.js';

/**
 * The same GPT, trained with a random vector in place of a token's learned one with the probability `p` a sequence
 * (default 0.2, the paper's). Its weights, files and everything outside training stay those of the GPT; with `p` 0 it
 * is the GPT bit for bit.
 * @throws bad-option for a `p` that is no probability, or a model whose output has a table of its own.
 */
export function partiallyLexinvariant(model: Gpt, { p = 0.2 }: { readonly p?: number } = {}): Gpt {
  return gpt({ ...model.architecture, lexinvariance: p, tokenizer: model.tokenizer });
}
