/** Windows in which a document is scored: each of full context, overlapping by half, every token counted once. */

/** A window of a document of tokens that begins with its end-of-text token. */
export interface ScoreWindow {
  /** Where it begins. */
  readonly start: number;
  /** Its first targets that are not counted, since the window before counts them. */
  readonly skipped: number;
}

/** The windows of a document of `tokens` tokens. */
export function scoreWindows(tokens: number, context: number): ScoreWindow[] {
  const stride = Math.max(1, context >> 1);
  const skipped = context - stride;
  const windows = [{ start: 0, skipped: 0 }];
  for (let start = stride; start + skipped < tokens; start += stride) windows.push({ start, skipped });
  return windows;
}
