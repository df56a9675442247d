/** Look-up over symbols of which half are trained on (arXiv 2305.16349, section 4.3). */

import {
  gptOptions,
  lexinvariantOptions,
  lookupRows,
  lookupSource,
  type TaskAccuracy,
  taskAccuracy,
} from '../language-models/index.js';
import { random } from '../tensor/index.js';
import type { ReproductionContext } from './contract.js';
import { freeModule, standardModule, type TrainedModule, trainPart } from './lexinvariant-part.js';

const SYMBOLS = 64;
const ROW = { pairs: 8, length: 47 } as const;
const BATCH = 64;
const SHAPE = { vocabulary: SYMBOLS, layers: 2, width: 64, heads: 4, context: ROW.length } as const;
const RATE = 2e-3;
const SIZES = {
  full: { steps: 1000, growth: 600, tests: 16 },
  quick: { steps: 8, growth: 5, tests: 1 },
} as const;

/** Exact match of the first query of a row, which nothing but the pairs can answer, and of all queries. */
export type LookupFigures = {
  readonly seen: number;
  readonly unseen: number;
  readonly seenAll: number;
  readonly unseenAll: number;
};

/** What look-up gave. */
export type LookupExperiment = {
  readonly lexinvariant: LookupFigures;
  readonly standard: LookupFigures;
  /** The standard model with a random vector for a fifth of the tokens of each training row. */
  readonly partly: LookupFigures;
  /** A value of the row, at random. */
  readonly guessing: number;
  readonly steps: number;
};

/** Trains and tests the three models. @throws aborted. */
export async function lookupExperiment(context: ReproductionContext): Promise<LookupExperiment> {
  const { runtime, seed, signal } = context;
  const { steps, growth, tests } = SIZES[context.size];
  const draws = random(seed).child('lookup');
  const order = Array.from(draws.child('symbols').permutation(SYMBOLS).data);
  const halves = { seen: order.slice(0, SYMBOLS / 2), unseen: order.slice(SYMBOLS / 2) };
  const settings = { ...SHAPE, ...ROW, batch: BATCH, growth };

  const measure = async <P>(part: string, model: TrainedModule<P>): Promise<LookupFigures> => {
    const source = lookupSource({ symbols: halves.seen, ...ROW, growth }, BATCH, draws.child('train'));
    const parameters = await trainPart(context, part, model, { source, steps, rate: RATE, settings });
    const test = (half: keyof typeof halves): Promise<TaskAccuracy> => {
      const rows = (index: number) =>
        lookupRows({ symbols: halves[half], ...ROW }, BATCH, draws.child('test').child(half).at(index));
      const batches = Array.from({ length: tests }, (_, index) => rows(index));
      return taskAccuracy(runtime, model, parameters, batches, { seed, signal });
    };
    const [seen, unseen] = [await test('seen'), await test('unseen')];
    return { seen: seen.first, unseen: unseen.first, seenAll: seen.all, unseenAll: unseen.all };
  };
  return {
    lexinvariant: await measure('lookup-lexinvariant', freeModule(lexinvariantOptions(SHAPE))),
    standard: await measure('lookup-standard', standardModule(gptOptions(SHAPE))),
    partly: await measure('lookup-partly', standardModule(gptOptions({ ...SHAPE, lexinvariance: 0.2 }))),
    guessing: 1 / ROW.pairs,
    steps,
  };
}
