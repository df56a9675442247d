/**
 * Word boundaries by the default rules of Unicode (UAX #29, section 4.1, revision of Unicode 16.0), over a frozen table.
 *
 * Notable: the rules alone, without dictionaries and without a language. `Intl.Segmenter` (segments.ts) differs in three
 * ways: it looks up words of Thai, Lao, Khmer, Burmese, Chinese and Japanese, where these rules cut between ideographs
 * and join no further; CLDR's root locale cuts at a colon between letters, where these rules do not; and its tables
 * change with the engine's ICU. What must agree between machines, such as the words of a trained model, is cut here.
 *
 * One step a character, constant work each: a boundary before `'` or `.` between letters is settled by the next character
 * that is not a mark, so it is held back until then, and nothing is read twice.
 */

import { CLASS_OF_SIGN, RUNS } from './word-break-data.js';

// The Word_Break classes, in the order of the table.
const OTHER = 0;
const A_LETTER = 1;
const HEBREW_LETTER = 2;
const NUMERIC = 3;
const KATAKANA = 4;
const EXTEND_NUM_LET = 5;
const MID_LETTER = 6;
const MID_NUM = 7;
const MID_NUM_LET = 8;
const SINGLE_QUOTE = 9;
const DOUBLE_QUOTE = 10;
const EXTEND = 11;
const FORMAT = 12;
const ZWJ = 13;
const W_SEG_SPACE = 14;
const CR = 15;
const LF = 16;
const NEWLINE = 17;
const REGIONAL_INDICATOR = 18;
const PICTOGRAPH = 19;
const LETTER_PICTOGRAPH = 20;
const START = 21;

/** What a character is beside its Word_Break class: the low three bits of {@link characterClass}. */
export const PUNCTUATION = 1;
export const LOWER = 2;
export const UPPER = 3;
export const WHITE_SPACE = 4;

let classes: Uint8Array | undefined;

/** A class for every code point: 8 times the Word_Break class plus the kind. Made when first asked for. */
export function classTable(): Uint8Array {
  if (classes !== undefined) return classes;
  const table = new Uint8Array(0x110000);
  let at = 0;
  for (const [, turns, first, second, sign, length] of RUNS.matchAll(
    /,([0-9a-z]+)([^0-9a-z])([^0-9a-z])|([^0-9a-z,])([0-9a-z]*)/g,
  )) {
    if (sign !== undefined) {
      const end = at + (length ? Number.parseInt(length, 36) : 1);
      table.fill(CLASS_OF_SIGN.get(sign) ?? 0, at, end);
      at = end;
    } else {
      const pair = [CLASS_OF_SIGN.get(first ?? '') ?? 0, CLASS_OF_SIGN.get(second ?? '') ?? 0] as const;
      for (let turn = Number.parseInt(turns ?? '0', 36); turn > 0; turn--, at += 2) table.set(pair, at);
    }
  }
  classes = table;
  return table;
}

/** The class of a code point: 8 times its Word_Break class plus its kind. */
export function characterClass(point: number): number {
  return classTable()[point] ?? 0;
}

// What a pair of neighbors says about the place between them; 0 is a boundary.
const JOIN = 1;
const WAIT = 2; // the next character decides
const FLAGS = 3; // regional indicators: join the second to the first, not to the one before

const LETTERS = [A_LETTER, HEBREW_LETTER, LETTER_PICTOGRAPH];
const WORDS = [...LETTERS, NUMERIC, KATAKANA];

/** The rules WB5 to WB16 for a pair, at `32 * left + right`. */
const PAIRS: Uint8Array = pairs();

function pairs(): Uint8Array {
  const table = new Uint8Array(32 * 32);
  const set = (left: readonly number[], right: readonly number[], says: number): void => {
    for (const l of left) for (const r of right) table[32 * l + r] = says;
  };
  set(LETTERS, LETTERS, JOIN); // WB5
  set(LETTERS, [MID_LETTER, MID_NUM_LET, SINGLE_QUOTE], WAIT); // WB6
  set([HEBREW_LETTER], [SINGLE_QUOTE], JOIN); // WB7a
  set([HEBREW_LETTER], [DOUBLE_QUOTE], WAIT); // WB7b
  set([NUMERIC, ...LETTERS], [NUMERIC], JOIN); // WB8, WB9
  set([NUMERIC], LETTERS, JOIN); // WB10
  set([NUMERIC], [MID_NUM, MID_NUM_LET, SINGLE_QUOTE], WAIT); // WB12
  set([KATAKANA], [KATAKANA], JOIN); // WB13
  set([...WORDS, EXTEND_NUM_LET], [EXTEND_NUM_LET], JOIN); // WB13a
  set([EXTEND_NUM_LET], WORDS, JOIN); // WB13b
  set([REGIONAL_INDICATOR], [REGIONAL_INDICATOR], FLAGS); // WB15, WB16
  return table;
}

const isLetter = (c: number): boolean => c === A_LETTER || c === HEBREW_LETTER || c === LETTER_PICTOGRAPH;
const isMark = (c: number): boolean => c === EXTEND || c === FORMAT || c === ZWJ;
const isNewline = (c: number): boolean => c === CR || c === LF || c === NEWLINE;

/** WB6, WB7, WB7b, WB7c, WB11, WB12: a character between two others that does not part them. */
function bridges(before: number, middle: number, after: number): boolean {
  if (isLetter(before) && isLetter(after)) {
    if (middle === MID_LETTER || middle === MID_NUM_LET || middle === SINGLE_QUOTE) return true;
    return middle === DOUBLE_QUOTE && before === HEBREW_LETTER && after === HEBREW_LETTER;
  }
  return (
    before === NUMERIC && after === NUMERIC && (middle === MID_NUM || middle === MID_NUM_LET || middle === SINGLE_QUOTE)
  );
}

/** There is a boundary before the character that was just read. */
export const HERE = 1;
/** There is a boundary at {@link WordBreaker.held}, which earlier characters left open. */
export const AT_HELD = 2;

/** Finds the boundaries between characters that come one by one. */
export class WordBreaker {
  /** Where the boundary lies that waits for the next character, or that {@link AT_HELD} speaks of. */
  held = 0;
  private waiting = false;
  private last = START; // the last character
  private before = OTHER; // the last but one and the last character that are not marks (WB4)
  private previous = OTHER;
  private oddFlags = false;

  /**
   * With `emojiEnds`, a pictograph after a zero-width joiner ends what came before it and is no letter even where its class
   * says so (six are, such as U+2139): not the rules, but what unicode-segmentation 1.12 does and hat-splitter with it.
   */
  constructor(private readonly emojiEnds: boolean = false) {}

  /** A text begins. */
  reset(): void {
    this.waiting = false;
    this.last = START;
    this.before = OTHER;
    this.previous = OTHER;
    this.oddFlags = false;
  }

  /** True when a run of letters goes on, so that more letters change nothing and need no `step`. */
  get inLetters(): boolean {
    return this.last === A_LETTER && this.previous === A_LETTER;
  }

  /** Reads a character of a Word_Break class that starts at `at`. Gives `HERE`, `AT_HELD`, both added, or 0. */
  step(current: number, at: number): number {
    const last = this.last;
    this.last = current;
    if (last === START || isNewline(last)) {
      if (last === CR && current === LF) return 0; // WB3
      this.before = OTHER;
      this.previous = isMark(current) ? OTHER : current;
      this.oddFlags = current === REGIONAL_INDICATOR;
      return last === START ? 0 : HERE; // WB3a
    }
    if (isMark(current)) return 0; // WB4
    const joined = last === ZWJ && (current === PICTOGRAPH || current === LETTER_PICTOGRAPH); // WB3c
    const before = this.before;
    const previous = this.previous;
    this.before = previous;
    this.previous = current;
    if (joined && this.emojiEnds) {
      this.previous = PICTOGRAPH;
      this.waiting = false;
      return 0;
    }
    let found = 0;
    const bridged = bridges(before, previous, current);
    if (this.waiting) {
      this.waiting = false;
      if (!bridged) found = AT_HELD;
    }
    if (bridged) return 0;
    if (isNewline(current)) return found | HERE; // WB3b
    const odd = this.oddFlags;
    this.oddFlags = current === REGIONAL_INDICATOR && !(previous === REGIONAL_INDICATOR && odd);
    if (joined || (last === W_SEG_SPACE && current === W_SEG_SPACE)) return found; // WB3d
    switch (PAIRS[32 * previous + current]) {
      case JOIN:
        return found;
      case WAIT:
        this.waiting = true;
        this.held = at;
        return found;
      case FLAGS:
        return odd ? found : found | HERE;
      default:
        return found | HERE; // WB999
    }
  }

  /** The text ends: `AT_HELD` when a boundary was still open, else 0. The end is a boundary too where there is a text. */
  end(): number {
    return this.waiting ? AT_HELD : 0;
  }
}

/**
 * The offsets, in UTF-16 code units, of the word boundaries of a text by the default rules of UAX #29: its start, every
 * place between two words, and its end. An empty text has none. A lone surrogate is a character of no special class.
 */
export function wordBoundaries(text: string): number[] {
  const table = classTable();
  const breaker = new WordBreaker();
  const found: number[] = [];
  if (text === '') return found;
  found.push(0);
  for (let at = 0; at < text.length; ) {
    const point = text.codePointAt(at) ?? 0;
    const says = breaker.step((table[point] ?? 0) >> 3, at);
    if (says !== 0) {
      if ((says & AT_HELD) !== 0) found.push(breaker.held);
      if ((says & HERE) !== 0) found.push(at);
    }
    at += point > 0xffff ? 2 : 1;
  }
  if (breaker.end() !== 0) found.push(breaker.held);
  found.push(text.length);
  return found;
}

/** The words and what lies between them by the default rules of UAX #29; joined they are the text. */
export function unicodeWords(text: string): string[] {
  const found = wordBoundaries(text);
  return found.slice(1).map((end, index) => text.slice(found[index], end));
}
