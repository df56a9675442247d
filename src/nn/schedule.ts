/** Learning rates as pure functions of the step. A schedule is plain data, so that a run can write it down. */

import { TesseraError } from '../tensor/index.js';

/** What all schedules share. */
interface Warmup {
  /** The highest rate. */
  readonly rate: number;
  /** Steps over which the rate rises from 0 in a line: a number of steps, or below 1 a share of all steps. */
  readonly warmup: number;
}

/** Rises, then stays. */
export interface ConstantSchedule extends Warmup {
  readonly kind: 'constant';
}

/** Rises, then falls along half a cosine (Loshchilov & Hutter, arXiv 1608.03983) to `floor * rate`. */
export interface CosineSchedule extends Warmup {
  readonly kind: 'cosine';
  readonly floor: number;
}

/** Rises, stays, and falls in the last part (Hu et al., arXiv 2404.06395; Hagele et al., arXiv 2405.18392). */
export interface WarmupStableDecaySchedule extends Warmup {
  readonly kind: 'warmup-stable-decay';
  /** Steps of the fall: a number of steps, or below 1 a share of all steps. */
  readonly decay: number;
  /** `linear`, or `sqrt` for `1 - sqrt(progress)`. */
  readonly shape: 'linear' | 'sqrt';
  readonly floor: number;
}

/** A schedule as data. */
export type Schedule = ConstantSchedule | CosineSchedule | WarmupStableDecaySchedule;

/** A rate that stays the same after a warm-up (default: none). */
export function constantRate(options: { readonly rate: number; readonly warmup?: number }): Schedule {
  return checked({ kind: 'constant', warmup: 0, ...options });
}

/** A cosine schedule (default: 5 % warm-up, down to a tenth). */
export function cosineRate(options: {
  readonly rate: number;
  readonly warmup?: number;
  readonly floor?: number;
}): Schedule {
  return checked({ kind: 'cosine', warmup: 0.05, floor: 0.1, ...options });
}

/** Warm-up, a stable phase and a decay (default: 5 % and the last 20 %, `1 - sqrt`, down to 0). */
export function warmupStableDecay(options: {
  readonly rate: number;
  readonly warmup?: number;
  readonly decay?: number;
  readonly shape?: 'linear' | 'sqrt';
  readonly floor?: number;
}): Schedule {
  return checked({ kind: 'warmup-stable-decay', warmup: 0.05, decay: 0.2, shape: 'sqrt', floor: 0, ...options });
}

function checked(schedule: Schedule): Schedule {
  const refuse = (what: string, value: number): never => {
    throw new TesseraError('bad-option', `${what}, not ${value}.`);
  };
  if (!(schedule.rate >= 0 && Number.isFinite(schedule.rate)))
    refuse('A learning rate must be a number of at least 0', schedule.rate);
  if (!(schedule.warmup >= 0)) refuse('The warm-up must be at least 0 steps', schedule.warmup);
  if (schedule.kind === 'warmup-stable-decay' && !(schedule.decay >= 0))
    refuse('The decay must be at least 0 steps', schedule.decay);
  if (schedule.kind !== 'constant' && !(schedule.floor >= 0 && schedule.floor <= 1)) {
    refuse('The floor of a schedule is a share of the rate from 0 to 1', schedule.floor);
  }
  return schedule;
}

/** A length given in steps or, below 1, as a share of all steps. */
function length(given: number, steps: number): number {
  return given < 1 ? Math.round(given * steps) : given;
}

/** How many steps the warm-up of a schedule takes in a run of `steps`. */
export function warmupSteps(schedule: Schedule, steps: number): number {
  return length(schedule.warmup, steps);
}

/** The rate at `step`, counted from 0, of a run of `steps`. */
export function rateAt(schedule: Schedule, step: number, steps: number): number {
  const warmup = warmupSteps(schedule, steps);
  const { rate } = schedule;
  if (step < warmup) return (rate * (step + 1)) / warmup;
  switch (schedule.kind) {
    case 'constant':
      return rate;
    case 'cosine': {
      const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
      return between(rate, schedule.floor, (1 + Math.cos(Math.PI * progress)) / 2);
    }
    case 'warmup-stable-decay': {
      const decay = Math.min(length(schedule.decay, steps), steps - warmup);
      const progress = Math.min(1, Math.max(0, step + 1 - (steps - decay)) / (decay + 1));
      return between(rate, schedule.floor, 1 - (schedule.shape === 'sqrt' ? Math.sqrt(progress) : progress));
    }
  }
}

/** `rate` times a number from `floor` (at share 0) to 1. */
function between(rate: number, floor: number, share: number): number {
  return rate * (floor + (1 - floor) * share);
}
