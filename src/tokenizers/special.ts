/** Special tokens in text that a stranger may have written: which ones count, and which ones are refused. */

import { TesseraError } from '../host/error.js';
import type { EncodeOptions, Tokenizer } from './tokenizer.js';

/** Which special tokens a text may hold. Sets of their texts, or `all`. */
export interface SpecialTokenOptions extends Omit<EncodeOptions, 'parseSpecialTokens'> {
  /** These become their ids where they are written out; none unless given. */
  readonly allowedSpecial?: 'all' | Iterable<string>;
  /** These are refused; all that are not allowed, unless given. What is neither allowed nor refused is plain text. */
  readonly disallowedSpecial?: 'all' | Iterable<string>;
}

/**
 * The ids of a text by the rules of tiktoken: `allowedSpecial` become ids, `disallowedSpecial` are an error, the rest is
 * text like any other. (`encode` alone takes all special tokens, or none with `parseSpecialTokens: false`.)
 * @throws bad-input for a token that is refused, with its place; bad-option for a name that is no special token.
 */
export function encodeWithSpecial(
  tokenizer: Tokenizer,
  text: string,
  options: SpecialTokenOptions = {},
): Int32Array<ArrayBuffer> {
  const { allowedSpecial = [], disallowedSpecial = 'all', ...rest } = options;
  const allowed = chosen(tokenizer, allowedSpecial);
  const refused = chosen(tokenizer, disallowedSpecial);
  if (disallowedSpecial === 'all') for (const token of allowed) refused.delete(token);
  const found = [...refused]
    .map((token) => ({ token, at: text.indexOf(token) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at)[0];
  if (found !== undefined) {
    throw new TesseraError(
      'bad-input',
      `The text holds the special token ${JSON.stringify(found.token)} at ${found.at}, which is not allowed in it.`,
      { hint: 'Allow it, or leave it out of what is disallowed: it is then read as plain text.' },
    );
  }
  if (allowed.size === 0) return tokenizer.encode(text, { ...rest, parseSpecialTokens: false });
  if (allowed.size === tokenizer.special.size) return tokenizer.encode(text, rest);
  return joined(tokenizer, text, allowed, rest);
}

function chosen(tokenizer: Tokenizer, given: 'all' | Iterable<string>): Set<string> {
  if (given === 'all') return new Set(tokenizer.special.keys());
  const names = new Set(given);
  for (const name of names) {
    if (!tokenizer.special.has(name))
      throw new TesseraError('bad-option', `${JSON.stringify(name)} is no special token of this tokenizer.`, {
        hint: `It has ${[...tokenizer.special.keys()].slice(0, 8).join(', ') || 'none'}.`,
      });
  }
  return names;
}

/** Allowed tokens as ids, the leftmost first and of those the longest; what lies between as plain text. */
function joined(
  tokenizer: Tokenizer,
  text: string,
  allowed: ReadonlySet<string>,
  options: EncodeOptions,
): Int32Array<ArrayBuffer> {
  const longestFirst = [...allowed].sort((a, b) => b.length - a.length);
  const expression = new RegExp(`(${longestFirst.map(literal).join('|')})`, 'u');
  const { addSpecialTokens, ...inside } = options;
  const parts = text.split(expression).map((part, index) => {
    const id = index % 2 === 1 ? tokenizer.special.get(part) : undefined;
    return id === undefined ? tokenizer.encode(part, { ...inside, parseSpecialTokens: false }) : Int32Array.of(id);
  });
  // What the post-processor puts around a text is what it puts around an empty one.
  const around = addSpecialTokens === true ? tokenizer.encode('', { addSpecialTokens }) : new Int32Array(0);
  const whole = tokenizer.encode('a', { addSpecialTokens, parseSpecialTokens: false });
  const before =
    around.length === 0
      ? 0
      : Math.max(
          0,
          whole.findIndex((id, i) => id !== around[i]),
        );
  return concatenated([around.subarray(0, before), ...parts, around.subarray(before)]);
}

function literal(token: string): string {
  return token.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}

function concatenated(parts: readonly Int32Array[]): Int32Array<ArrayBuffer> {
  const all = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
