/**
 * Text within a budget of tokens: the longest beginning or end that fits, and pieces that each fit. What is promised
 * holds for the piece as its reader will encode it, on its own, since a word that is cut may have other tokens.
 */

import { TesseraError } from '../host/error.js';
import type { EncodeOptions, Tokenizer } from './tokenizer.js';

/** Where text may be cut, from the finest to the coarsest; a coarser one gives way where a piece has no such place. */
export type CutPlace = 'character' | 'word' | 'line' | 'paragraph';

/** How a text is cut down. */
export interface TruncateOptions extends EncodeOptions {
  /** Which part is kept; the start unless given. */
  readonly keep?: 'start' | 'end';
  /** Where it may be cut; at any character unless given. */
  readonly at?: CutPlace;
}

/** How a text is cut up. */
export interface SplitOptions extends EncodeOptions {
  /** Where pieces may end; after a word, with the white space behind it, unless given. */
  readonly at?: CutPlace;
}

/**
 * The longest beginning (or end) of a text that is found to encode to at most `budget` tokens; characters are never cut.
 * @throws bad-option for a budget that is no whole number from 0.
 */
export function truncateToTokens(
  tokenizer: Tokenizer,
  text: string,
  budget: number,
  options: TruncateOptions = {},
): string {
  const { keep = 'start', at = 'character', ...encoding } = options;
  checkBudget(budget, 0);
  const fits = (part: string): boolean => tokenizer.encode(part, encoding).length <= budget;
  if (fits(text)) return text;
  if (keep === 'start') {
    const end = longest(text, fits, guess(tokenizer, text, budget, encoding));
    return text.slice(0, placeBefore(text, 0, end, at));
  }
  const start = shortest(text, fits, guess(tokenizer, text, -budget, encoding));
  return text.slice(placeAfter(text, start, at));
}

/**
 * Pieces of a text, which joined are the text, that encode to at most `budget` tokens each.
 * @throws bad-option for a budget that is no whole number from 1, or that one character does not fit.
 */
export function splitByTokens(
  tokenizer: Tokenizer,
  text: string,
  budget: number,
  options: SplitOptions = {},
): string[] {
  const { at = 'word', ...encoding } = options;
  checkBudget(budget, 1);
  const fits = (part: string): boolean => tokenizer.encode(part, encoding).length <= budget;
  const pieces: string[] = [];
  // A window that holds more than a piece, however long the text.
  let window = Math.max(256, budget * 8);
  for (let from = 0; from < text.length; ) {
    let rest = text.slice(from, from + window);
    while (from + rest.length < text.length && fits(rest)) {
      window *= 2;
      rest = text.slice(from, from + window);
    }
    if (from + rest.length === text.length && fits(rest)) {
      pieces.push(rest);
      break;
    }
    const end = longest(rest, fits, guess(tokenizer, rest, budget, encoding));
    if (end === 0) {
      const [character = ''] = rest;
      throw new TesseraError('bad-option', `${JSON.stringify(character)} alone is more than ${budget} tokens.`, {
        hint: 'Allow more tokens a piece.',
      });
    }
    const cut = placeBefore(rest, 0, end, at);
    pieces.push(rest.slice(0, cut));
    from += cut;
  }
  return pieces;
}

function checkBudget(budget: number, least: number): void {
  if (Number.isInteger(budget) && budget >= least) return;
  throw new TesseraError('bad-option', `A budget must be a whole number of tokens from ${least}, not ${budget}.`);
}

/** Where the text's first tokens end (or, below 0, its last ones start), by the lengths of their bytes: a place to start from. */
function guess(tokenizer: Tokenizer, text: string, budget: number, options: EncodeOptions): number {
  const ids = tokenizer.encode(text, options);
  const part = budget >= 0 ? ids.subarray(0, budget) : ids.subarray(ids.length + budget);
  const { length } = tokenizer.decode(part);
  const place = budget >= 0 ? length : text.length - length;
  return Math.min(text.length, Math.max(0, place));
}

/** A place of a character's start, at or before a place. */
function toCharacter(text: string, place: number): number {
  const unit = text.charCodeAt(place);
  const before = text.charCodeAt(place - 1);
  return unit >= 0xdc00 && unit < 0xe000 && before >= 0xd800 && before < 0xdc00 ? place - 1 : place;
}

/** The largest end of a beginning that fits, near a guess. */
function longest(text: string, fits: (part: string) => boolean, guessed: number): number {
  const test = (end: number): boolean => fits(text.slice(0, toCharacter(text, end)));
  return toCharacter(text, boundary(text.length, guessed, test));
}

/** The smallest start of an end that fits, near a guess. */
function shortest(text: string, fits: (part: string) => boolean, guessed: number): number {
  const test = (size: number): boolean => {
    const start = text.length - size;
    const whole = toCharacter(text, start);
    return fits(text.slice(whole < start ? start + 1 : start));
  };
  const start = text.length - boundary(text.length, text.length - guessed, test);
  return toCharacter(text, start) < start ? start + 1 : start;
}

/** The largest size for which `test` holds: doubling steps away from a guess, then halving between. 0 always holds. */
function boundary(most: number, guessed: number, test: (size: number) => boolean): number {
  let low = 0;
  let high = most + 1;
  let step = 1;
  if (test(guessed)) {
    for (low = guessed; low + step < high && test(low + step); step *= 2) low += step;
    high = Math.min(high, low + step);
  } else {
    for (high = guessed; high - step > 0 && !test(high - step); step *= 2) high -= step;
    low = Math.max(0, high - step);
  }
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (test(middle)) low = middle;
    else high = middle;
  }
  return low;
}

const PLACES: Readonly<Record<Exclude<CutPlace, 'character'>, RegExp>> = {
  word: /\s+/gu,
  line: /\n+/g,
  paragraph: /\n[^\S\n]*\n\s*/g,
};
/** What is tried where there is no coarser place. */
const FINER: Readonly<Record<CutPlace, CutPlace>> = {
  character: 'character',
  word: 'character',
  line: 'word',
  paragraph: 'line',
};

/** The last place after a separator in `(from, end]`; where there is none, of a finer kind. */
function placeBefore(text: string, from: number, end: number, at: CutPlace): number {
  if (at === 'character' || end >= text.length) return end;
  let place = -1;
  for (const match of text.slice(from, end + 1).matchAll(PLACES[at])) {
    const after = from + match.index + match[0].length;
    if (after <= end && after > from) place = after;
  }
  return place > from ? place : placeBefore(text, from, end, FINER[at]);
}

/** The first place after a separator from `start` on; where there is none, of a finer kind. */
function placeAfter(text: string, start: number, at: CutPlace): number {
  if (at === 'character' || start === 0) return start;
  const { lastIndex, found } = search(text, start, PLACES[at]);
  return found && lastIndex < text.length ? lastIndex : placeAfter(text, start, FINER[at]);
}

function search(
  text: string,
  start: number,
  expression: RegExp,
): { readonly lastIndex: number; readonly found: boolean } {
  const each = new RegExp(expression.source, expression.flags);
  each.lastIndex = Math.max(0, start - 1);
  const found = each.test(text);
  return { lastIndex: Math.max(start, each.lastIndex), found };
}
