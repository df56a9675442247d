/**
 * Split patterns of tokenizer.json as JavaScript regular expressions, for those that no scanner is written for. The
 * files' dialect is Oniguruma's: white space is Unicode's, `^` and `$` stand at every line, groups may ignore case,
 * quantifiers may be possessive. What cannot be said in JavaScript is an error that shows the pattern.
 */

import { TesseraError } from '../host/error.js';

const WORD = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}';
/** The letters that ASCII letters equal when case is ignored, beside their other case. */
const FOLDS: Readonly<Record<string, string>> = { s: '\u017f', k: '\u212a' };

/** A global, Unicode-aware expression that matches what the pattern matches. @throws unsupported. */
export function translatePattern(source: string): RegExp {
  try {
    return new RegExp(translate(source), 'gmu');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TesseraError('unsupported', `The split pattern ${JSON.stringify(source)} cannot be used: ${reason}`, {
      cause: error,
    });
  }
}

/** A global expression that matches a text as it stands. */
export function literalPattern(text: string): RegExp {
  return new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), 'gu');
}

function translate(source: string): string {
  const out: string[] = [];
  /** Where the group's piece is in `out`, and whether case was ignored outside of it. */
  const groups: { readonly start: number; readonly ignored: boolean }[] = [];
  let ignoresCase = false;
  let isInClass = false;
  let atomStart = 0;
  let atoms = 0;
  const atom = (piece: string): void => {
    if (!isInClass) atomStart = out.length;
    out.push(piece);
  };
  for (let at = 0; at < source.length; at++) {
    const character = String.fromCodePoint(source.codePointAt(at) ?? 0);
    at += character.length - 1;
    if (character === '\\') {
      const escaped = readEscape(source, at, isInClass);
      atom(escaped.text);
      at = escaped.last;
    } else if (isInClass) {
      if (character === '[' || source.startsWith('&&', at))
        throw new Error('A class within a class is not known here.');
      if (character === ']') isInClass = false;
      if (ignoresCase && source[at + 1] === '-' && source[at + 2] !== ']') {
        throw new Error('A range that ignores case is not known here.');
      }
      out.push(ignoresCase ? bothCases(character) : character);
    } else if (character === '[') {
      atom(character);
      isInClass = true;
      if (source[at + 1] === '^') out.push(source[++at] ?? '');
    } else if (character === '(') {
      groups.push({ start: out.length, ignored: ignoresCase });
      if (source.startsWith('(?i:', at)) {
        ignoresCase = true;
        out.push('(?:');
        at += 3;
      } else out.push(character);
    } else if (character === ')') {
      const group = groups.pop();
      out.push(character);
      atomStart = group?.start ?? 0;
      ignoresCase = group?.ignored ?? false;
    } else if (/[*+?{]/.test(character) && out.at(-1) !== '(') {
      const quantifier = /^(?:[*+?]|\{\d*,?\d*\})/.exec(source.slice(at))?.[0] ?? character;
      out.push(quantifier);
      at += quantifier.length - 1;
      if (source[at + 1] === '+' && character === '{') {
        // In Oniguruma's default syntax an interval is never possessive: the plus repeats it.
        at++;
        out.splice(atomStart, 0, '(?:');
        out.push(')+');
      } else if (source[at + 1] === '+') {
        // A possessive quantifier: what a look-ahead has matched is not given back.
        at++;
        const name = `possessive${atoms++}`;
        out.splice(atomStart, 0, `(?:(?=(?<${name}>`);
        out.push(`))\\k<${name}>)`);
      } else if (source[at + 1] === '?') out.push(source[++at] ?? '');
    } else atom(ignoresCase && bothCases(character) !== character ? `[${bothCases(character)}]` : character);
  }
  return out.join('');
}

/** The translation of the escape at `at`, and the place of its last character. */
function readEscape(source: string, at: number, isInClass: boolean): { readonly text: string; readonly last: number } {
  const next = source[at + 1] ?? '';
  const last = at + 1;
  switch (next) {
    case 's':
      return { text: '\\p{White_Space}', last };
    case 'S':
      return { text: '\\P{White_Space}', last };
    case 'd':
      return { text: '\\p{Nd}', last };
    case 'D':
      return { text: '\\P{Nd}', last };
    case 'w':
      return { text: isInClass ? WORD : `[${WORD}]`, last };
    case 'W':
      if (isInClass) throw new Error('\\W in a class is not known here.');
      return { text: `[^${WORD}]`, last };
    case 'A':
      return { text: '(?<![\\s\\S])', last };
    case 'z':
      return { text: '(?![\\s\\S])', last };
    case 'p':
    case 'P': {
      const name = /^\{(\^?)([^}]*)\}/.exec(source.slice(at + 2));
      if (name === null) return { text: `\\${next}`, last };
      const isNegated = (next === 'P') !== (name[1] === '^');
      return { text: `\\${isNegated ? 'P' : 'p'}{${name[2]}}`, last: last + name[0].length };
    }
    default: {
      // Punctuation may be escaped without need there, not here.
      const isNeedless = !/[\p{L}\p{N}^$\\.*+?()[\]{}|/-]/u.test(next) || (next === '-' && !isInClass);
      return { text: isNeedless ? next : `\\${next}`, last };
    }
  }
}

function bothCases(character: string): string {
  const lower = character.toLowerCase();
  if (!/^[a-z]$/.test(lower)) return character;
  return lower + lower.toUpperCase() + (FOLDS[lower] ?? '');
}
