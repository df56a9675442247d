/**
 * Patterns and what is done with their matches: the five behaviors by which Split and its like cut text (`Removed`,
 * `Isolated`, `MergedWithPrevious`, `MergedWithNext`, `Contiguous`).
 */

import { isJsonObject, type Json } from '../../formats/json.js';
import { TesseraError } from '../../host/error.js';
import { literalPattern, translatePattern } from '../regular-expression.js';
import type { Component } from './read.js';

const BEHAVIORS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const;

/** What becomes of the matches. */
export type Behavior = (typeof BEHAVIORS)[number];

/** Reads a `behavior`. @throws unsupported, naming it. */
export function readBehavior(value: Component, where: string, fallback?: Behavior): Behavior {
  const given: Json = value.behavior ?? fallback ?? null;
  const behavior = BEHAVIORS.find((each) => each === given);
  if (behavior !== undefined) return behavior;
  throw new TesseraError(
    'unsupported',
    `${where}: the ${value.type} behavior ${JSON.stringify(given)} is not known here.`,
    { hint: `There are ${BEHAVIORS.join(', ')}.` },
  );
}

/** Reads a `pattern`: `{ "String": ".." }` or `{ "Regex": ".." }`. @throws bad-file, unsupported. */
export function readPattern(pattern: Json | undefined, what: string, where: string): RegExp {
  if (isJsonObject(pattern)) {
    if (typeof pattern.String === 'string') return literalPattern(pattern.String);
    if (typeof pattern.Regex === 'string') return translatePattern(pattern.Regex);
  }
  throw new TesseraError('bad-file', `${where}: a ${what} has no pattern.`);
}

/**
 * Start and end of each match, in UTF-16 units. As in the library, no empty match touches the one before it, and nothing
 * matches in an empty text.
 */
export function findMatches(text: string, expression: RegExp): readonly (readonly [number, number])[] {
  if (text === '') return [];
  const found: [number, number][] = [];
  let last = -1;
  for (const match of text.matchAll(expression)) {
    const end = match.index + match[0].length;
    if (match[0].length === 0 && match.index === last) continue;
    found.push([match.index, end]);
    last = end;
  }
  return found;
}

/**
 * Cuts by matches. `spans` holds [start, end, 1 for a match or 0] of stretches that lie end to end; the pieces' starts
 * and ends are appended to `pieces`, empty ones left out.
 */
export function cut(spans: readonly number[], behavior: Behavior, pieces: number[]): void {
  const put = (start: number, end: number): void => {
    if (start < end) pieces.push(start, end);
  };
  const count = spans.length;
  if (behavior === 'Isolated' || behavior === 'Removed') {
    for (let i = 0; i < count; i += 3) {
      if (behavior === 'Isolated' || spans[i + 2] === 0) put(spans[i] as number, spans[i + 1] as number);
    }
    return;
  }
  if (count === 0) return;
  if (behavior === 'MergedWithNext') {
    // From the right: a match joins what follows it, unless that is a match too.
    const reversed: number[] = [];
    let start = spans[count - 3] as number;
    let end = spans[count - 2] as number;
    let wasMatch = spans[count - 1] === 1;
    for (let i = count - 6; i >= 0; i -= 3) {
      const isMatch = spans[i + 2] === 1;
      if (!(isMatch && !wasMatch)) {
        reversed.push(end, start);
        end = spans[i + 1] as number;
      }
      start = spans[i] as number;
      wasMatch = isMatch;
    }
    reversed.push(end, start);
    for (let i = reversed.length - 1; i > 0; i -= 2) put(reversed[i] as number, reversed[i - 1] as number);
    return;
  }
  let start = spans[0] as number;
  let end = spans[1] as number;
  let wasMatch = spans[2] === 1;
  for (let i = 3; i < count; i += 3) {
    const isMatch = spans[i + 2] === 1;
    const joins = behavior === 'Contiguous' ? isMatch === wasMatch : isMatch && !wasMatch;
    if (!joins) {
      put(start, end);
      start = spans[i] as number;
    }
    end = spans[i + 1] as number;
    wasMatch = isMatch;
  }
  put(start, end);
}
