/** Criteria from a figure and a bound, so that what is needed and whether it holds cannot disagree. */

import type { Criterion } from './contract.js';

/** A figure that is held against a bound. */
export interface Bounded {
  /** What is asked, in words. */
  readonly says: string;
  readonly measured: number;
  /**
   * The figure that the claim's direction needs to be beaten, the baseline's for one; without it the direction holds
   * when the criterion does.
   */
  readonly than?: number;
}

/** A figure that must be at most a bound; its direction holds when it is below `than`. */
export function atMost(bound: number, { says, measured, than }: Bounded): Criterion {
  const holds = measured <= bound;
  return {
    says,
    measured,
    needs: `at most ${short(bound)}`,
    holds,
    direction: holds || (than !== undefined && measured < than),
  };
}

/** A figure that must be at least a bound; its direction holds when it is above `than`. */
export function atLeast(bound: number, { says, measured, than }: Bounded): Criterion {
  const holds = measured >= bound;
  return {
    says,
    measured,
    needs: `at least ${short(bound)}`,
    holds,
    direction: holds || (than !== undefined && measured > than),
  };
}

/** A figure that must lie between two bounds, which belong to it. */
export function between(least: number, most: number, { says, measured }: Omit<Bounded, 'than'>): Criterion {
  const holds = measured >= least && measured <= most;
  return { says, measured, needs: `from ${short(least)} to ${short(most)}`, holds, direction: holds };
}

function short(value: number): string {
  return String(Number(value.toPrecision(6)));
}
