/**
 * Architectures beside each other: each is trained with the same budget on the same text and measured on the same
 * held-out bytes. A model's run and result are kept in a folder of its own, so that a comparison that was stopped goes on
 * model by model.
 */

import { joinPath, makeDirectory, readFile, stat } from '#host';
import { type Corpus, type Json, type JsonObject, readJsonObject, writeJson } from '../formats/index.js';
import { throwIfAborted } from '../host/error.js';
import { type ArchitectureEntry, architectureOf, type TextModel } from '../language-models/index.js';
import { measureText } from '../measures/index.js';
import { adamW, cosineRate, type EndEvent, type StepEvent, train } from '../nn/index.js';
import { type Arrays, type Runtime, random, TesseraError } from '../tensor/index.js';
import { byteTokenizer, type Tokenizer } from '../tokenizers/index.js';
import { endsOf, sampleDocuments, withoutEnds } from './hold-out.js';
import { characterNoise } from './noise.js';

/** How much each model may spend: floating-point operations of its matrix products, or minutes. */
export type Budget = { readonly flops: number } | { readonly minutes: number };

/** Options of {@link compare}. */
export interface CompareOptions {
  readonly architectures: readonly string[];
  /** Choices of an architecture's options by its name: `{ gpt: { layers: 6 } }`. */
  readonly choices?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly corpus: Corpus;
  readonly budget: Budget;
  /** Where runs and results are kept. */
  readonly out: string;
  readonly runtime: Runtime;
  /** For architectures that take any (default: bytes, so that all read the same units). */
  readonly tokenizer?: Tokenizer;
  /** Rows of a batch (default 16) and positions of a row (default 256). */
  readonly batch?: number;
  readonly length?: number;
  readonly seed?: number;
  /** Bytes to be measured on (default 256 KiB), of the last twentieth of each document. */
  readonly heldOutBytes?: number;
  /** The share of noisy characters (default 0.1). */
  readonly noise?: number;
  readonly fresh?: boolean;
  readonly signal?: AbortSignal;
  readonly report?: (event: CompareEvent) => void;
}

/** How far a comparison is. */
export type CompareEvent =
  | { readonly type: 'model'; readonly name: string; readonly kept: boolean }
  | { readonly type: 'budget'; readonly name: string; readonly steps: number; readonly flopsPerUpdate: number }
  | ({ readonly type: 'step'; readonly name: string } & Pick<StepEvent, 'step' | 'steps' | 'loss' | 'secondsLeft'>)
  | { readonly type: 'measure'; readonly name: string; readonly what: string };

/** One place of a model's learning curve. */
export interface CurvePoint {
  readonly step: number;
  readonly flops: number;
  readonly bitsPerByte: number;
}

/** What was measured of one architecture. */
export interface ComparedModel {
  readonly name: string;
  readonly parameters: number;
  readonly steps: number;
  /** Floating-point operations of the matrix products: of one update, and of the whole training. */
  readonly flopsPerUpdate: number;
  readonly flops: number;
  readonly trainingSeconds: number;
  readonly trainingBytesPerSecond: number;
  /** Of greedy decoding, one prompt; absent for models that do not continue texts. */
  readonly decodingBytesPerSecond?: number;
  /** Weights and moments on the device, and the largest resident size of the process while it trained. */
  readonly stateBytes: number;
  readonly memoryBytes: number;
  /** `exact`, or the mean over `draws` with a standard error; `none`: the model has no likelihood. */
  readonly likelihood: 'exact' | 'sampled' | 'none';
  readonly bitsPerByte?: number;
  readonly error?: number;
  /** On the held-out text with noisy characters, per byte of that text. */
  readonly noisyBitsPerByte?: number;
  readonly curve: readonly CurvePoint[];
}

/** What was compared, and how. */
export interface Comparison {
  readonly budget: Budget;
  readonly batch: number;
  readonly length: number;
  readonly seed: number;
  readonly noise: number;
  readonly heldOutBytes: number;
  readonly models: readonly ComparedModel[];
}

const HELD_OUT = 1 / 20;
const FIGURE = 'bits per byte';
const CURVE_BYTES = 32 * 1024;
const DECODED = 256;

/**
 * Trains and measures every architecture in turn. @throws bad-option for unknown names; bad-input when the text is too
 * short; aborted.
 */
export async function compare(options: CompareOptions): Promise<Comparison> {
  const { batch = 16, length = 256, seed = 0, noise = 0.1, heldOutBytes = 256 * 1024, signal } = options;
  const entries = options.architectures.map(architectureOf);
  if (entries.length === 0) throw new TesseraError('bad-option', 'There is no architecture to compare.');
  const heldOut = await sampleDocuments(endsOf(options.corpus, HELD_OUT), heldOutBytes);
  if (heldOut.length === 0) throw new TesseraError('bad-input', 'The text is too short to hold any of it out.');
  const texts: Texts = {
    training: withoutEnds(options.corpus, HELD_OUT),
    heldOut,
    few: await sampleDocuments(endsOf(options.corpus, HELD_OUT), Math.min(CURVE_BYTES, heldOutBytes)),
    noisy: heldOut.map((bytes, index) =>
      new TextEncoder().encode(
        characterNoise(new TextDecoder().decode(bytes), { share: noise, seed: seed * 1000 + index }),
      ),
    ),
  };
  const models: ComparedModel[] = [];
  for (const entry of entries) {
    throwIfAborted(signal);
    models.push(await keptModel(entry, texts, { ...options, batch, length, seed, noise, heldOutBytes }));
  }
  const bytes = heldOut.reduce((total, part) => total + part.length, 0);
  return { budget: options.budget, batch, length, seed, noise, heldOutBytes: bytes, models };
}

interface Texts {
  readonly training: Pick<Corpus, 'documents'>;
  readonly heldOut: readonly Uint8Array[];
  readonly noisy: readonly Uint8Array[];
  /** A part of the held-out text, for the learning curve. */
  readonly few: readonly Uint8Array[];
}

type Settled = CompareOptions & Required<Pick<CompareOptions, 'batch' | 'length' | 'seed' | 'noise' | 'heldOutBytes'>>;

/** A model's result, as it was kept or made now. */
async function keptModel(entry: ArchitectureEntry, texts: Texts, options: Settled): Promise<ComparedModel> {
  const { batch, length, seed, noise, heldOutBytes, budget, fresh, report } = options;
  const folder = joinPath(options.out, entry.name);
  const path = joinPath(folder, 'comparison.json');
  const settings: JsonObject = {
    budget,
    batch,
    length,
    seed,
    noise,
    heldOutBytes,
    choices: (options.choices?.[entry.name] ?? {}) as Json,
    tokenizer: options.tokenizer?.vocabulary.size ?? 'bytes',
    text: await options.corpus.fingerprint(),
  };
  if (fresh !== true && (await stat(path)) !== undefined) {
    const found = await readJsonObject(path);
    if (JSON.stringify(found.settings) === JSON.stringify(settings)) {
      report?.({ type: 'model', name: entry.name, kept: true });
      return found.result as unknown as ComparedModel;
    }
  }
  report?.({ type: 'model', name: entry.name, kept: false });
  const result = await measureModel(entry, texts, { ...options, folder, settings });
  await makeDirectory(folder);
  await writeJson(path, { settings, result: result as unknown as Json });
  return result;
}

async function measureModel(
  entry: ArchitectureEntry,
  texts: Texts,
  options: Settled & { readonly folder: string; readonly settings: JsonObject },
): Promise<ComparedModel> {
  const { length, runtime, signal, report } = options;
  const architecture = await entry.load();
  const tokenizer = entry.tokens === 'bytes' ? byteTokenizer() : (options.tokenizer ?? byteTokenizer());
  const model = architecture.create({ context: length, ...options.choices?.[entry.name] }, tokenizer);
  const trained = await trainModel(entry, model, texts, options);
  const parameters = await trained.end.parameters();
  const { end: _end, ...figures } = trained;
  const runner = await model.open(runtime, parameters);
  try {
    const measure = async (what: string, documents: readonly Uint8Array[]) => {
      report?.({ type: 'measure', name: entry.name, what });
      return runner.bits === undefined ? undefined : bitsOf(runner.bits, documents, signal);
    };
    const plain = await measure('bits per byte', texts.heldOut);
    const noisy = await measure('bits per byte under noise', texts.noisy);
    report?.({ type: 'measure', name: entry.name, what: 'decoding' });
    const prompt = texts.heldOut[0]?.subarray(0, 64) ?? new Uint8Array(0);
    const speed = runner.generate === undefined ? undefined : await decodingSpeed(runner.generate, prompt, signal);
    return {
      name: entry.name,
      ...figures,
      likelihood: model.likelihood,
      ...(speed === undefined ? {} : { decodingBytesPerSecond: speed }),
      ...(plain === undefined ? {} : { bitsPerByte: plain.bitsPerByte }),
      ...(plain?.error === undefined ? {} : { error: plain.error }),
      ...(noisy === undefined ? {} : { noisyBitsPerByte: noisy.bitsPerByte }),
    };
  } finally {
    await runner.dispose();
  }
}

type Bits = NonNullable<Awaited<ReturnType<TextModel['open']>>['bits']>;
type Generate = NonNullable<Awaited<ReturnType<TextModel['open']>>['generate']>;

/** Bits per byte over documents; with draws also the standard error. */
function bitsOf(bits: Bits, documents: readonly Uint8Array[], signal?: AbortSignal) {
  const source = {
    async *documents() {
      for (const bytes of documents) yield { bytes };
    },
  };
  return measureText({ bits }, source, { signal });
}

/** Bytes a second of greedy decoding, after one run that compiles. */
async function decodingSpeed(generate: Generate, prompt: Uint8Array, signal?: AbortSignal): Promise<number> {
  let seconds = 0;
  let bytes = 0;
  for (let run = 0; run < 2; run++) {
    const started = performance.now();
    bytes = 0;
    for await (const piece of generate([prompt], { temperature: 0, maxTokens: DECODED, signal })) {
      bytes += piece.bytes.length;
    }
    seconds = (performance.now() - started) / 1000;
  }
  return bytes / seconds;
}

interface Trained {
  readonly parameters: number;
  readonly steps: number;
  readonly flopsPerUpdate: number;
  readonly flops: number;
  readonly trainingSeconds: number;
  readonly trainingBytesPerSecond: number;
  readonly stateBytes: number;
  readonly memoryBytes: number;
  readonly curve: readonly CurvePoint[];
  readonly end: EndEvent<unknown>;
}

async function trainModel(
  entry: ArchitectureEntry,
  model: TextModel,
  texts: Texts,
  options: Settled & { readonly folder: string; readonly settings: JsonObject },
): Promise<Trained> {
  const { batch, length, seed, budget, runtime, folder, settings, signal, report } = options;
  let read = { bytes: 0, tokens: 0 };
  const source = () =>
    model.source(texts.training, { batch, length }, random(seed).child('data'), {
      signal,
      report: (progress) => {
        read = progress;
      },
    });
  const shared = { model, seed, runtime, signal, optimizer: adamW({ multiplier: model.rates }) } as const;
  const rate = cosineRate({ rate: entry.rate(options.choices?.[entry.name] ?? {}), warmup: 0.05 });
  const flopsPerUpdate = await flopsOf(train({ ...shared, source: source(), steps: 1 }));
  const steps = 'flops' in budget ? Math.max(1, Math.floor(budget.flops / flopsPerUpdate)) : undefined;
  if (steps !== undefined) report?.({ type: 'budget', name: entry.name, steps, flopsPerUpdate });
  const few = texts.few;
  let start = { parameters: 0, stateBytes: 0 };
  let memory = 0;
  let end: EndEvent<unknown> | undefined;
  const run = train({
    ...shared,
    source: source(),
    rate,
    ...(steps === undefined ? { minutes: 'minutes' in budget ? budget.minutes : 1 } : { steps }),
    out: joinPath(folder, 'run'),
    fresh: options.fresh,
    config: settings,
    keep: 1,
    evaluate:
      model.likelihood === 'none'
        ? undefined
        : async ({ parameters }) => ({
            [FIGURE]: await measureNow(model, runtime, await parameters(), few, signal),
          }),
  });
  for await (const event of run) {
    if (event.type === 'start') start = event;
    if (event.type === 'end') end = event;
    if (event.type !== 'step') continue;
    memory = Math.max(memory, event.memory);
    const { step, loss, secondsLeft } = event;
    report?.({ type: 'step', name: entry.name, step, steps: event.steps, loss, secondsLeft });
  }
  throwIfAborted(signal);
  if (end === undefined) throw new Error('a run has an end');
  const tokens = end.step * batch * length;
  return {
    parameters: start.parameters,
    steps: end.step,
    flopsPerUpdate,
    flops: end.step * flopsPerUpdate,
    trainingSeconds: end.seconds,
    trainingBytesPerSecond: (tokens * (read.bytes / Math.max(1, read.tokens))) / end.seconds,
    stateBytes: start.stateBytes,
    memoryBytes: memory,
    curve: await curveOf(joinPath(folder, 'run', 'metrics.jsonl'), flopsPerUpdate),
    end,
  };
}

/** The evaluations of a run, also those before it was stopped. */
async function curveOf(path: string, flopsPerUpdate: number): Promise<CurvePoint[]> {
  const lines = new TextDecoder().decode(await readFile(path)).split('\n');
  return lines.flatMap((line): CurvePoint[] => {
    const entry = line === '' ? {} : (JSON.parse(line) as { readonly step?: number; readonly evaluation?: JsonObject });
    const value = entry.evaluation?.[FIGURE];
    if (entry.step === undefined || typeof value !== 'number') return [];
    return [{ step: entry.step, flops: entry.step * flopsPerUpdate, bitsPerByte: value }];
  });
}

/** The matrix-product operations of one update; the run is left when they are known. */
async function flopsOf(run: AsyncIterable<{ readonly type: string; readonly flops?: number }>): Promise<number> {
  for await (const event of run) if (event.type === 'start') return event.flops ?? 0;
  throw new Error('a run has a start');
}

async function measureNow(
  model: TextModel,
  runtime: Runtime,
  parameters: Arrays<unknown>,
  documents: readonly Uint8Array[],
  signal?: AbortSignal,
): Promise<number> {
  const runner = await model.open(runtime, parameters);
  try {
    if (runner.bits === undefined) throw new Error(`a ${model.name} counts no bits`);
    return (await bitsOf(runner.bits, documents, signal)).bitsPerByte;
  } finally {
    await runner.dispose();
  }
}
