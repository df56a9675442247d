/** Texts cut to a length without tearing what a reader calls a character. */

import { TesseraError } from '../host/error.js';
import { countBytes, countCodePoints } from './counts.js';
import { graphemes } from './segments.js';

/** How long a text may be; of several limits each holds. */
export interface TruncateLimits {
  readonly graphemes?: number;
  readonly codePoints?: number;
  /** UTF-16 code units. */
  readonly units?: number;
  /** Bytes in UTF-8. */
  readonly bytes?: number;
}

/** The longest start of a text that keeps every limit and ends between two graphemes. @throws bad-option. */
export function truncate(text: string, limits: TruncateLimits): string {
  const given = Object.entries(limits).filter(([, limit]) => limit !== undefined);
  for (const [unit, limit] of given) {
    if (!(limit >= 0)) throw new TesseraError('bad-option', `A text cannot have ${limit} ${unit}.`);
  }
  const most = Number.POSITIVE_INFINITY;
  const { graphemes: clusters = most, codePoints = most, units = most, bytes = most } = limits;
  let [counted, points, end, size] = [0, 0, 0, 0];
  for (const grapheme of graphemes(text)) {
    counted++;
    points += codePoints === most ? 0 : countCodePoints(grapheme);
    size += bytes === most ? 0 : countBytes(grapheme);
    if (counted > clusters || points > codePoints || end + grapheme.length > units || size > bytes) break;
    end += grapheme.length;
  }
  return text.slice(0, end);
}
