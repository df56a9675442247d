/** What the catalogue knows of a published system, and how the small experiment that tests its claim is run. */

import type { JsonObject } from '../formats/index.js';
import type { Runtime } from '../tensor/index.js';

/** A published system as a list shows it. */
export interface SystemEntry {
  /** The name of its file and of `tessera reproduce <slug>`. */
  readonly slug: string;
  readonly name: string;
  readonly family: string;
  /** What it gives a user, in a line. */
  readonly gives: string;
  load(): Promise<System>;
}

/** A published system. */
export interface System {
  readonly slug: string;
  readonly name: string;
  readonly paper: { readonly title: string; readonly year: number; readonly arxiv?: string };
  readonly family: string;
  readonly gives: string;
  /** What the paper claims, as far as the reproduction tests it. */
  readonly claim: string;
  /** How it is called from the library: lines of TypeScript. */
  readonly library: string;
  /** How it is called from the command line. */
  readonly command: string;
  readonly limits: readonly string[];
  readonly reproduction: Reproduction;
}

/** The small experiment that tests a system's claim. */
export interface Reproduction {
  /** What the system is measured against. */
  readonly baseline: string;
  /** The data sets that it reads, by their names in the list of data. No other can be had. */
  readonly data: readonly string[];
  /** Minutes of the full size on two cores, about. */
  readonly minutes: number;
  /** Runs the experiment. @throws aborted. */
  run(context: ReproductionContext): Promise<Measured>;
}

/** What was measured, and what it was held against. */
export interface Measured {
  readonly figures: JsonObject;
  readonly criteria: readonly Criterion[];
  /** Remarks that belong to the result: a threshold that a pilot reset, with its old value. */
  readonly remarks?: readonly string[];
}

/** One thing that must come out. */
export interface Criterion {
  /** What is asked, in words. */
  readonly says: string;
  /** A figure that is not finite never holds. */
  readonly measured: number;
  /** What is needed, in words: "at most 2.5". */
  readonly needs: string;
  readonly holds: boolean;
  /** Whether the claim's direction holds, even where the size does not. */
  readonly direction: boolean;
}

/** `reproduced`: all criteria hold; `partly`: all directions do; `not reproduced` otherwise; `smoke`: the quick size. */
export type Verdict = 'reproduced' | 'partly' | 'not reproduced' | 'smoke';

/** What a reproduction is given. */
export interface ReproductionContext {
  readonly runtime: Runtime;
  readonly seed: number;
  /** `quick` takes seconds, for tests: the same code on less of everything. */
  readonly size: 'full' | 'quick';
  /** Fires when the run is to stop. Long work in this thread must let timers run several times a second, or it is late. */
  readonly signal: AbortSignal;
  /**
   * The path of a data set's folder, or of a file in it by its published name, plain or packed by gzip. The sets that the
   * reproduction names are whole and have their sums before it runs. @throws mismatch for a folder that holds other files.
   */
  data(set: string, file?: string): Promise<string>;
  /** Tells how far a part is: "scratch, update", 120 of 400, "loss 2.61". */
  report(part: string, done: number, total: number, detail?: string): void;
  /**
   * The folder of a part that takes long (a trained model), kept for every reproduction that asks for the same name
   * (a-z, 0-9, hyphens) and settings, the seed among them. `make` fills an empty folder, whose files are read only
   * through the path that is given back: it appears whole or not at all, and is not made where it was kept.
   */
  kept(name: string, settings: JsonObject, make: (folder: string) => Promise<void>): Promise<string>;
}

/** The verdict that criteria give. */
export function verdictOf(criteria: readonly Criterion[], size: 'full' | 'quick'): Verdict {
  if (size === 'quick') return 'smoke';
  if (criteria.length > 0 && criteria.every(({ holds }) => holds)) return 'reproduced';
  return criteria.length > 0 && criteria.every(({ direction }) => direction) ? 'partly' : 'not reproduced';
}
