/** The training script that runs in Node and in a page alike: a small GPT, its gradients at step 0, and its losses. */

import { corpusFromStrings } from 'tessera-kit/formats';
import { gpt } from 'tessera-kit/language-models';
import { train } from 'tessera-kit/nn';
import { arrayLeaves, createRuntime, type Device, div, gradients, random, specsOf } from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';

/** Where and how long the script runs. */
export interface ScriptOptions {
  readonly device: Device | 'auto';
  readonly threads?: number;
  readonly steps: number;
}

/** What it found. */
export interface ScriptResult {
  /** The line of the engine. */
  readonly about: string;
  readonly device: Device;
  readonly threads: number;
  /** Gradients of the first batch by the path of the parameter. */
  readonly gradients: Readonly<Record<string, readonly number[]>>;
  /** The loss of each step. */
  readonly losses: readonly number[];
  /** Operations of the gradients' program that left the device. */
  readonly fallbacks: readonly string[];
  /** Milliseconds from the beginning to the first loss. */
  readonly firstLoss: number;
  /** Median milliseconds of a step. */
  readonly step: number;
}

const SEED = 7;

/** Text with structure at several lengths, the same everywhere. */
function text(): string {
  const words = Array.from({ length: 4000 }, (_, i) => `word${(i * 7919) % 1013}${i % 3 === 0 ? '.' : ''}`);
  return words.join(' ');
}

/** Trains from scratch; everything but the device is the same at every call. */
export async function trainingScript({ device, threads, steps }: ScriptOptions): Promise<ScriptResult> {
  const began = performance.now();
  const model = gpt({ tokenizer: byteTokenizer(), layers: 2, width: 32, heads: 2, context: 32 });
  const corpus = corpusFromStrings([text()]);
  const source = () => model.source(corpus, { batch: 4, length: 32 }, random(SEED));
  const runtime = await createRuntime({ device, threads });
  try {
    const parameters = model.init(random(SEED));
    const batch = await source().next();
    if (batch === undefined) throw new Error('a source without a batch');
    const program = await runtime.compile(
      (state: ReturnType<typeof specsOf<never>>, input: never, call) => {
        const { total, count } = model.objective.loss(
          (inputs, inner) => model.apply(state as never, inputs, inner),
          {},
          input,
          call,
        );
        return { out: gradients(div(total, count), state) };
      },
      { state: specsOf(parameters) as never, input: specsOf(batch) as never, seed: SEED, training: true },
    );
    const state = await runtime.upload(parameters);
    const { out } = await program.run(state as never, batch as never);
    const slopes = Object.fromEntries(arrayLeaves(out).map(([path, { data }]) => [path, Array.from(data, Number)]));
    const { fallbacks } = program.report;
    await program.dispose();
    await state.dispose();
    const losses: number[] = [];
    const times: number[] = [];
    let firstLoss = 0;
    let last = performance.now();
    for await (const event of train({ model, source: source(), steps, rate: 1e-3, runtime, seed: SEED })) {
      if (event.type !== 'step') continue;
      losses.push(event.loss);
      const now = performance.now();
      if (losses.length === 1) firstLoss = now - began;
      else times.push(now - last);
      last = now;
    }
    const step = times.sort((a, b) => a - b)[times.length >> 1] ?? 0;
    const { about, device: found, threads: used } = runtime;
    return { about, device: found, threads: used, gradients: slopes, losses, fallbacks, firstLoss, step };
  } finally {
    await runtime.dispose();
  }
}

/** How far two results are from each other. */
export interface Distance {
  /** The largest difference of a gradient's element, over 1 + its size. */
  readonly gradients: number;
  /** The largest difference of a loss in the first 20 steps, and in all. */
  readonly losses20: number;
  readonly losses: number;
}

/** Compares a result with that of the CPU. Infinite where one has what the other lacks. */
export function distance(a: ScriptResult, b: ScriptResult): Distance {
  const paths = new Set([...Object.keys(a.gradients), ...Object.keys(b.gradients)]);
  const losses = worst(a.losses, b.losses);
  return {
    gradients: Math.max(...[...paths].map((path) => worst(a.gradients[path], b.gradients[path]))),
    losses20: worst(a.losses.slice(0, 20), b.losses.slice(0, 20)),
    losses,
  };
}

function worst(a: readonly number[] | undefined, b: readonly number[] | undefined): number {
  if (a === undefined || b === undefined || a.length !== b.length) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (const [index, value] of a.entries()) {
    const difference = Math.abs(value - (b[index] ?? Number.NaN)) / (1 + Math.abs(value));
    // A number that is none is as far as can be.
    most = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(most, difference);
  }
  return most;
}

/** What differences may be: gradients at step 0, losses to step 20 and to step 100. */
export const LIMITS: Distance = { gradients: 1e-5, losses20: 1e-4, losses: 1e-2 };

/** Whether a distance is within the limits. */
export function isNear(found: Distance): boolean {
  return found.gradients <= LIMITS.gradients && found.losses20 <= LIMITS.losses20 && found.losses <= LIMITS.losses;
}
