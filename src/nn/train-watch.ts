/** What a run keeps an eye on: whether the loss is sane, and how fast updates are made. */

import { isJsonObject, type Json, type JsonObject } from '../formats/index.js';
import { TesseraError } from '../tensor/index.js';

const WINDOW = 100;
const BEFORE_JUDGING = 50;

/** Judges losses. Its record is kept in checkpoints, so that a resumed run judges as the uninterrupted one. */
export interface LossWatch {
  /**
   * Takes the loss of update `step`, from 1. @throws not-finite when it or the norm is no number, or when it exploded:
   * more than `factor` times the median of the last 100 losses and above every loss of the first 50 updates, after
   * these and the warm-up are over.
   */
  see(step: number, loss: number, gradientNorm: number): void;
  record(): JsonObject;
}

/** Watches losses. `describeLast` names the last good checkpoint in a sentence. */
export function watchLoss(options: {
  readonly factor: number | false;
  readonly warmup: number;
  readonly describeLast: () => string;
  readonly record?: Json;
}): LossWatch {
  const { factor, warmup, describeLast } = options;
  const recent = numbersOf(options.record, 'recent');
  const [before] = numbersOf(options.record, 'highest');
  let highest = before ?? Number.NEGATIVE_INFINITY;
  let last = recent.at(-1);
  const stop = (what: string, hint: string): never => {
    throw new TesseraError('not-finite', `${what} ${describeLast()}`, { hint });
  };
  return {
    see: (step, loss, gradientNorm) => {
      const was = last === undefined ? '' : ` (it was ${text(last)} one step before)`;
      if (!Number.isFinite(loss)) stop(`The loss became ${loss} at step ${step}${was}.`, NUMERICS);
      if (!Number.isFinite(gradientNorm))
        stop(`The norm of the gradients became ${gradientNorm} at step ${step}, at a loss of ${text(loss)}.`, NUMERICS);
      if (step <= BEFORE_JUDGING) highest = Math.max(highest, loss);
      else if (factor !== false && step > warmup) {
        const middle = median(recent);
        if (middle > 0 && loss > factor * middle && loss > highest) {
          stop(
            `The loss exploded at step ${step}: ${text(loss)}, more than ${factor} times the median of the last ${recent.length} (${text(middle)}).`,
            RATE,
          );
        }
      }
      recent.push(loss);
      if (recent.length > WINDOW) recent.shift();
      last = loss;
    },
    record: () => ({ recent: [...recent], highest: Number.isFinite(highest) ? [highest] : [] }),
  };
}

const NUMERICS = 'Take a lower rate or a longer warm-up; checkNumerics names the operation in which it begins.';
const RATE = 'Take a lower rate or a longer warm-up, or set explosion to false.';

function text(value: number): string {
  return Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(3) : value.toFixed(4);
}

function numbersOf(record: Json | undefined, field: string): number[] {
  const list = isJsonObject(record) ? record[field] : undefined;
  if (list === undefined || !Array.isArray(list)) return [];
  return list.filter((value: Json): value is number => typeof value === 'number');
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

/** Measures how long updates take. */
export interface SpeedMeter {
  add(seconds: number, count: number): void;
  /** Seconds an update, over the last 20. */
  secondsPerStep(): number;
  /** Counted things a second, over the last 20 updates. */
  countPerSecond(): number;
  /** Seconds of all updates. */
  total(): number;
}

/** A meter that begins with seconds of earlier starts. */
export function speedMeter(before = 0): SpeedMeter {
  const last: { readonly seconds: number; readonly count: number }[] = [];
  let total = before;
  const sum = (field: 'seconds' | 'count'): number => last.reduce((all, entry) => all + entry[field], 0);
  return {
    add: (seconds, count) => {
      total += seconds;
      last.push({ seconds, count });
      if (last.length > 20) last.shift();
    },
    secondsPerStep: () => (last.length === 0 ? 0 : sum('seconds') / last.length),
    countPerSecond: () => (last.length === 0 ? 0 : sum('count') / Math.max(sum('seconds'), 1e-9)),
    total: () => total,
  };
}
