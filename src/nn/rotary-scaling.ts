/**
 * Rotary positions (Su et al., arXiv 2104.09864) stretched beyond the length that a model was trained on. A scaling
 * changes the rates at which pairs of dimensions turn, and some multiply queries and keys by an attention factor, which
 * rides in the tables.
 */

import { type NDArray, TesseraError, zeros } from '../tensor/index.js';

/** How rates are changed. `originalLength` is the length in training before, `factor` how many times longer it becomes. */
export type RotaryScaling =
  /** Position interpolation: every rate divided by `factor` (Chen et al., arXiv 2306.15595). */
  | { readonly kind: 'linear'; readonly factor: number }
  /** NTK-aware: the base grows so that the slowest pair is divided by `factor` and the fastest is left (arXiv 2309.00071, definition 1). */
  | { readonly kind: 'ntk'; readonly factor: number }
  /** The same with a factor that grows with the text at hand, from 1 up to `originalLength`. */
  | { readonly kind: 'dynamic'; readonly factor: number; readonly originalLength: number }
  | YarnScaling
  | Llama3Scaling
  | LongRopeScaling;

/**
 * YaRN (Peng et al., arXiv 2309.00071, definition 2): pairs that turn more than `betaFast` times within `originalLength`
 * keep their rate, those that turn less than `betaSlow` times are interpolated, with a ramp between.
 */
export interface YarnScaling {
  readonly kind: 'yarn';
  readonly factor: number;
  readonly originalLength: number;
  /** Default 32 and 1. */
  readonly betaFast?: number;
  readonly betaSlow?: number;
  /** Default: `0.1 ln(factor) + 1` (equation 22), or the quotient of two such that `mscale` and `mscaleAll` weight. */
  readonly attentionFactor?: number;
  readonly mscale?: number;
  readonly mscaleAll?: number;
  /** The ramp's ends are rounded outward to whole pairs (default true). */
  readonly truncate?: boolean;
}

/**
 * Llama 3.1's: wavelengths above `originalLength / low` are divided by `factor`, those below `originalLength / high` kept,
 * those between blended (arXiv 2407.21783 has the idea, the published code the form).
 */
export interface Llama3Scaling {
  readonly kind: 'llama3';
  readonly factor: number;
  readonly originalLength: number;
  readonly lowFrequencyFactor: number;
  readonly highFrequencyFactor: number;
}

/** LongRoPE (Ding et al., arXiv 2402.13753): a searched divisor for every pair, one set for short and one for long texts. */
export interface LongRopeScaling {
  readonly kind: 'longrope';
  readonly originalLength: number;
  readonly shortFactors: readonly number[];
  readonly longFactors: readonly number[];
  readonly factor: number;
  /** Default `sqrt(1 + ln(factor) / ln(originalLength))`. */
  readonly attentionFactor?: number;
}

/** What rotary tables are made from. */
export interface RotaryOptions {
  /** Dimensions of a head that turn: all of them, or the first ones (GPT-NeoX, arXiv 2204.06745). */
  readonly turned: number;
  /** Default 10000. */
  readonly theta?: number;
  readonly scaling?: RotaryScaling;
}

/** The rate of each pair in radians a position, and what cosines and sines are multiplied by. */
export interface RotaryRates {
  readonly rates: readonly number[];
  readonly attentionFactor: number;
}

/**
 * The rates for a text of `length` positions, on which `dynamic` and `longrope` depend.
 * @throws bad-option for an odd number of dimensions, factors that are not positive, or lists of another length.
 */
export function rotaryRates(options: RotaryOptions, length: number): RotaryRates {
  const { turned, theta = 10000, scaling } = options;
  if (!Number.isInteger(turned) || turned < 2 || turned % 2 !== 0)
    throw new TesseraError('bad-option', `Rotary positions turn pairs of dimensions, not ${turned}.`);
  const plain = ratesOf(turned, theta);
  if (scaling === undefined) return { rates: plain, attentionFactor: 1 };
  for (const [name, value] of Object.entries(scaling)) {
    if (typeof value === 'number' && !(Number.isFinite(value) && value > 0))
      throw new TesseraError('bad-option', `The rotary scaling's ${name} must be above 0, not ${value}.`);
  }
  switch (scaling.kind) {
    case 'linear':
      return { rates: plain.map((rate) => rate / scaling.factor), attentionFactor: 1 };
    case 'ntk':
      return { rates: stretched(turned, theta, scaling.factor), attentionFactor: 1 };
    case 'dynamic': {
      const reach = Math.max(length, scaling.originalLength) / scaling.originalLength;
      return { rates: stretched(turned, theta, scaling.factor * reach - (scaling.factor - 1)), attentionFactor: 1 };
    }
    case 'yarn':
      return { rates: yarn(plain, turned, theta, scaling), attentionFactor: yarnAttention(scaling) };
    case 'llama3':
      return { rates: plain.map((rate) => llama3(rate, scaling)), attentionFactor: 1 };
    case 'longrope':
      return longRope(plain, scaling, length);
  }
}

function ratesOf(turned: number, theta: number): number[] {
  return Array.from({ length: turned / 2 }, (_, pair) => theta ** ((-2 * pair) / turned));
}

/** A base that divides the slowest rate by `factor`; a single pair is the fastest already. */
function stretched(turned: number, theta: number, factor: number): number[] {
  return ratesOf(turned, turned === 2 ? theta : theta * factor ** (turned / (turned - 2)));
}

function yarn(plain: readonly number[], turned: number, theta: number, scaling: YarnScaling): number[] {
  const { factor, originalLength, betaFast = 32, betaSlow = 1, truncate = true } = scaling;
  /** The pair that turns so many times within the original length. */
  const pairOf = (turns: number): number =>
    (turned * Math.log(originalLength / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(0, truncate ? Math.floor(pairOf(betaFast)) : pairOf(betaFast));
  const high = Math.min(turned - 1, truncate ? Math.ceil(pairOf(betaSlow)) : pairOf(betaSlow));
  // A ramp without length is a step; the published code makes it a very short ramp.
  const width = high === low ? 0.001 : high - low;
  return plain.map((rate, pair) => {
    const interpolated = Math.min(1, Math.max(0, (pair - low) / width));
    return (rate / factor) * interpolated + rate * (1 - interpolated);
  });
}

function yarnAttention({ factor, attentionFactor, mscale, mscaleAll }: YarnScaling): number {
  const weight = (share: number): number => (factor <= 1 ? 1 : 0.1 * share * Math.log(factor) + 1);
  if (attentionFactor !== undefined) return attentionFactor;
  return mscale !== undefined && mscaleAll !== undefined ? weight(mscale) / weight(mscaleAll) : weight(1);
}

function llama3(rate: number, scaling: Llama3Scaling): number {
  const { factor, originalLength, lowFrequencyFactor: low, highFrequencyFactor: high } = scaling;
  const turns = (originalLength * rate) / (2 * Math.PI);
  if (turns < low) return rate / factor;
  if (turns > high) return rate;
  const kept = (turns - low) / (high - low);
  return (1 - kept) * (rate / factor) + kept * rate;
}

function longRope(plain: readonly number[], scaling: LongRopeScaling, length: number): RotaryRates {
  const { originalLength, shortFactors, longFactors, factor } = scaling;
  for (const [name, list] of Object.entries({ shortFactors, longFactors })) {
    if (list.length !== plain.length || !list.every((value) => value > 0))
      throw new TesseraError('bad-option', `The rotary scaling's ${name} must be ${plain.length} numbers above 0.`);
  }
  const divisors = length > originalLength ? longFactors : shortFactors;
  const grown = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalLength));
  return {
    rates: plain.map((rate, pair) => rate / (divisors[pair] ?? 1)),
    attentionFactor: scaling.attentionFactor ?? grown,
  };
}

/** Tables that `rotary` takes, `[positions, pairs]` each. */
export interface RotaryTables {
  readonly cosines: NDArray<'float32'>;
  readonly sines: NDArray<'float32'>;
}

/** The cosines and sines of given angles in radians, `angle(position, pair)`, times a factor. */
export function tablesOfAngles(
  positions: number,
  pairs: number,
  angle: (position: number, pair: number) => number,
  factor = 1,
): RotaryTables {
  const [cosines, sines] = [zeros([positions, pairs]), zeros([positions, pairs])];
  for (let position = 0; position < positions; position++) {
    for (let pair = 0; pair < pairs; pair++) {
      const turn = angle(position, pair);
      cosines.data[position * pairs + pair] = factor * Math.cos(turn);
      sines.data[position * pairs + pair] = factor * Math.sin(turn);
    }
  }
  return { cosines, sines };
}

/**
 * Tables of the positions below `positions`, for texts of `length` (default: as many). Without a scaling they are those of
 * `rotaryTables`.
 * @throws bad-option as {@link rotaryRates}.
 */
export function scaledRotaryTables(positions: number, options: RotaryOptions, length = positions): RotaryTables {
  const { rates, attentionFactor } = rotaryRates(options, length);
  return tablesOfAngles(positions, rates.length, (at, pair) => at * (rates[pair] ?? 0), attentionFactor);
}
