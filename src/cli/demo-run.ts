/** The work of `tessera demo`: tokenizer, training, export, and a model held against compressors. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readTextFile, remove, writeFileAtomic } from '#host';
import { corpusFromStrings, isJsonObject, type JsonObject, parseJson } from '../formats/index.js';
import { type Gpt, type GptParameters, gpt, saveGpt } from '../language-models/index.js';
import { measureText } from '../measures/index.js';
import { adamW, readRun, train, warmupStableDecay } from '../nn/index.js';
import { type Arrays, type Runtime, TesseraError } from '../tensor/index.js';
import { openTokenizer, type Tokenizer } from '../tokenizers/index.js';
import { compressorFigures } from './compressors.js';
import type { DemoChoices } from './demo.js';
import { type DemoText, demoText, firstBytes } from './demo-text.js';
import { openEngine } from './engine.js';
import { learnTokenizer, writeTokenizer } from './learn-tokenizer.js';
import type { Job } from './options.js';
import { count, duration, size, table } from './output.js';
import { continuation } from './train-run.js';
import { followTraining, openTrainingSource } from './training.js';

/** The demo's choices: what gave the fewest bits per byte in two minutes on two cores. */
const SETTINGS = {
  vocabulary: 1024,
  layers: 3,
  width: 128,
  heads: 2,
  context: 256,
  batch: 4,
  rate: 2e-3,
  minutes: 1.6,
  seed: 1,
} as const;

const MEASURED_BYTES = 256 * 1024;
const RESULT = 'result.json';

interface DemoResult {
  readonly fingerprint: string;
  readonly text: string;
  readonly model: string;
  readonly steps: number;
  readonly minutes: number | null;
  readonly parameters: number;
  readonly trainingSeconds: number;
  readonly totalSeconds: number;
  readonly secondsToFirstLoss: number | null;
  readonly measuredBytes: number;
  readonly bitsPerByte: {
    readonly model: number;
    readonly brotli: number;
    readonly brotliAfterTraining: number;
    readonly gzip: number;
  };
  readonly prompt: string;
  readonly sample: string;
}

/** Runs the demo, goes on with it, or shows its result. @throws TesseraError for everything a person can mend. */
export async function runDemo(choices: DemoChoices, job: Job): Promise<void> {
  const began = performance.now();
  const { output, signal } = job;
  const { out } = choices;
  if (choices.steps !== undefined && choices.minutes !== undefined) {
    throw new TesseraError('bad-option', 'The demo takes either --steps or --minutes, not both.');
  }
  const text = await demoText(choices.text, signal);
  const fingerprint = await corpusFromStrings([...text.training, ...text.heldOut]).fingerprint();
  await refuseOtherText(out, fingerprint, choices.fresh === true);
  const finished = choices.fresh ? undefined : await earlierResult(choices);
  if (finished !== undefined) {
    output.note(`This demo has finished before; its result is below. Start anew with: tessera demo --fresh`);
    return show(finished, job);
  }
  const runtime = await openEngine(choices, output);
  try {
    const result = await makeResult({ choices, text, fingerprint, runtime, began }, job);
    await writeFileAtomic(join(out, RESULT), `${JSON.stringify(result, null, 2)}\n`);
    show(result, job);
  } finally {
    await runtime.dispose();
  }
}

/** A run of other text is not gone on with. */
async function refuseOtherText(out: string, fingerprint: string, fresh: boolean): Promise<void> {
  if (fresh) return;
  const run = await readRun(out);
  if (run === undefined || run.config.fingerprint === fingerprint) return;
  throw new TesseraError('mismatch', `The run in ${out} was made with another text, so it is not gone on with.`, {
    hint: 'Choose another folder with --out, or start anew there with --fresh.',
  });
}

/** The result of an earlier run, when it is what is asked for now. */
async function earlierResult(choices: DemoChoices): Promise<DemoResult | undefined> {
  const path = join(choices.out, RESULT);
  if (!existsSync(path)) return undefined;
  const result = parseJson(await readTextFile(path), path);
  if (!isDemoResult(result)) return undefined;
  const sameLength =
    (choices.steps === undefined || (result.minutes === null && result.steps === choices.steps)) &&
    (choices.minutes === undefined || result.minutes === choices.minutes);
  return sameLength && existsSync(join(result.model, 'config.json')) ? result : undefined;
}

function isDemoResult(value: unknown): value is DemoResult {
  const has = (object: JsonObject, names: readonly string[]): boolean => names.every((name) => name in object);
  return (
    isJsonObject(value as JsonObject) &&
    has(value as JsonObject, ['fingerprint', 'model', 'steps', 'bitsPerByte', 'measuredBytes', 'prompt', 'sample'])
  );
}

interface Making {
  readonly choices: DemoChoices;
  readonly text: DemoText;
  readonly fingerprint: string;
  readonly runtime: Runtime;
  readonly began: number;
}

async function makeResult({ choices, text, fingerprint, runtime, began }: Making, job: Job): Promise<DemoResult> {
  const { output, signal } = job;
  const { out, steps } = choices;
  const minutes = steps === undefined ? (choices.minutes ?? SETTINGS.minutes) : undefined;
  const training = corpusFromStrings(text.training, text.name);
  output.note(`Text: ${text.name}, ${size(training.describe().bytes)} to learn from.`);
  const tokenizer = await demoTokenizer(choices, training, job);
  const { layers, width, heads, context, batch, seed, rate } = SETTINGS;
  const model = gpt({ layers, width, heads, context, tokenizer });
  const data = await openTrainingSource({ corpus: training, model, batch, length: context, seed, output, signal });
  let firstLoss: number | null = null;
  const events = train({
    model,
    source: data.source,
    runtime,
    steps,
    minutes,
    seed,
    out,
    fresh: choices.fresh,
    fingerprint,
    config: { demo: { ...SETTINGS } },
    rate: warmupStableDecay({ rate, warmup: 0.02, decay: 0.4 }),
    optimizer: adamW({ weightDecay: 0.1 }),
    signal,
  });
  const end = await followTraining(
    noteFirst(events, () => {
      firstLoss ??= (performance.now() - began) / 1000;
    }),
    {
      output,
      bytesPerToken: data.bytesPerToken,
      onStart: async () => {
        if (choices.fresh) await remove(join(out, RESULT));
        await writeTokenizer(out, tokenizer, context);
      },
      again: `Go on with the same command: ${sameCommand(choices)}`,
    },
  );
  const parameters = await end.parameters();
  const folder = join(out, 'model');
  const held = firstBytes(text.heldOut, MEASURED_BYTES);
  const measuredBytes = held.reduce((sum, { length }) => sum + length, 0);
  output.note(
    `Measuring on ${count(measuredBytes)} bytes of held-out text, and compressing them with brotli and gzip.`,
  );
  const compressing = compressorFigures(text.training, held, signal);
  // An error is met where the promise is awaited.
  compressing.catch(() => undefined);
  await saveGpt(folder, { architecture: model.architecture, parameters, tokenizer, signal });
  const bits = await measureOn(held, model, runtime, parameters, signal);
  const prompt = promptOf(text.heldOut);
  const sample = await continuation(model, runtime, parameters, prompt, { maxTokens: 80, seed, signal });
  const compressed = await compressing;
  return {
    fingerprint,
    text: text.name,
    model: folder,
    steps: end.step,
    minutes: minutes ?? null,
    parameters: await countOf(parameters),
    trainingSeconds: end.seconds,
    totalSeconds: (performance.now() - began) / 1000,
    secondsToFirstLoss: firstLoss,
    measuredBytes,
    bitsPerByte: { model: bits, ...compressed },
    prompt,
    sample,
  };
}

async function countOf(parameters: Arrays<GptParameters>): Promise<number> {
  const { countParameters } = await import('../nn/index.js');
  return countParameters(parameters);
}

/** The events as they are, with a call at the first that tells a loss. */
async function* noteFirst<E extends { readonly type: string }>(
  events: AsyncIterable<E>,
  first: () => void,
): AsyncGenerator<E> {
  for await (const event of events) {
    if (event.type === 'measure' || event.type === 'step') first();
    yield event;
  }
}

async function demoTokenizer(
  choices: DemoChoices,
  corpus: ReturnType<typeof corpusFromStrings>,
  { output, signal }: Job,
): Promise<Tokenizer> {
  const kept = join(choices.out, 'tokenizer.json');
  if (!choices.fresh && existsSync(join(choices.out, 'config.json')) && existsSync(kept)) return openTokenizer(kept);
  return (await learnTokenizer({ corpus, vocabulary: SETTINGS.vocabulary, output, signal })).tokenizer;
}

async function measureOn(
  documents: readonly Uint8Array[],
  model: Gpt,
  runtime: Runtime,
  parameters: Arrays<GptParameters>,
  signal: AbortSignal,
): Promise<number> {
  const { bits, dispose } = await model.open(runtime, parameters);
  if (bits === undefined) throw new Error('a gpt counts bits');
  const figures = await measureText({ bits }, corpusFromStrings(documents), { signal });
  await dispose();
  return figures.bitsPerByte;
}

/** The first words of the held-out text: about forty letters, ending at a space. */
function promptOf(documents: readonly Uint8Array[]): string {
  const text = new TextDecoder().decode(documents[0]?.subarray(0, 400)).trimStart().replace(/\s+/g, ' ');
  const end = text.indexOf(' ', 40);
  return end === -1 ? text.slice(0, 40) : text.slice(0, end);
}

function show(result: DemoResult, { output }: Job): void {
  const { bitsPerByte, model, prompt, sample } = result;
  output.result({ ...result }, () =>
    [
      '',
      `Bits per byte on ${count(result.measuredBytes)} bytes of held-out text (fewer is better):`,
      table(
        ['', 'bits/byte'],
        [
          ['this model', bitsPerByte.model.toFixed(3)],
          ['brotli -q 11, after the training text', bitsPerByte.brotliAfterTraining.toFixed(3)],
          ['brotli -q 11', bitsPerByte.brotli.toFixed(3)],
          ['gzip -9', bitsPerByte.gzip.toFixed(3)],
        ],
      ),
      '',
      'A continuation:',
      `  [${prompt}]${sample.replace(/\n/g, '\n  ')}`,
      '',
      `The model, ${count(result.parameters)} parameters after ${count(result.steps)} updates (${duration(result.trainingSeconds)}), is in ${model}`,
      '',
      'Try next:',
      `  ${call()} generate ${model} --prompt "The people of"`,
      `  ${call()} inspect ${model}`,
      `  ${call()} train --text FILE --minutes 5`,
    ].join('\n'),
  );
}

/** The command that goes on with this run. */
function sameCommand({ text, steps, minutes, out }: DemoChoices): string {
  const parts = [
    `${call()} demo`,
    ...(text === undefined ? [] : ['--text', ...text]),
    ...(steps === undefined ? [] : ['--steps', steps]),
    ...(minutes === undefined ? [] : ['--minutes', minutes]),
    ...(out === 'runs/demo' ? [] : ['--out', out]),
  ];
  return parts.join(' ');
}

/** How the command is called here: by its name when npm did not start it. */
function call(): string {
  return process.env.npm_lifecycle_event === 'start' ? 'npx tessera' : 'tessera';
}
