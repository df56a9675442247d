/** The work of `tessera train`. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Corpus, corpusFromStrings, type Json, openCorpus } from '../formats/index.js';
import {
  type ArchitectureEntry,
  adaptModel,
  architectureOf,
  type LoadedModel,
  type TextModel,
} from '../language-models/index.js';
import { cutUtf8, measureText } from '../measures/index.js';
import {
  type AdamWStart,
  constantRate,
  cosineRate,
  readAdamWStart,
  type Schedule,
  type TrainContext,
  type TrainOptions,
  train,
  warmupStableDecay,
} from '../nn/index.js';
import { type Arrays, type Runtime, random, TesseraError } from '../tensor/index.js';
import { byteTokenizer, openTokenizer, type Tokenizer } from '../tokenizers/index.js';
import { flagOf, modelChoices } from './architecture-options.js';
import { dryRun } from './dry-run.js';
import { openEngine, openModel } from './engine.js';
import { learnTokenizer, tokenizerHash, writeTokenizer } from './learn-tokenizer.js';
import { refuseLoneLora } from './lora-choice.js';
import { optimizerOf } from './optimizer-choice.js';
import { OPTIMIZERS } from './optimizer-names.js';
import { type Job, needed } from './options.js';
import { size } from './output.js';
import type { TrainChoices } from './train.js';
import { followTraining, openTrainingSource } from './training.js';

const VOCABULARY = 4096;
const VALIDATION_BYTES = 256 * 1024;

/** Trains as the command line says. @throws TesseraError for everything a person can mend. */
export async function runTrain(choices: TrainChoices, { output, signal }: Job): Promise<void> {
  const text = needed(choices.text, '--text', 'tessera train --text book.txt --minutes 5');
  refuseContradictions(choices);
  const corpus = await openCorpus(text, { field: choices.field, signal });
  const validation =
    choices.validation === undefined ? undefined : await readStart(choices.validation, choices.field, signal);
  const start = choices.from === undefined ? undefined : await openModel(choices.from);
  const entry = start?.entry ?? architectureOf(choices.architecture ?? 'gpt');
  const out = choices.out ?? join('runs', entry.name);
  let runtime: Runtime | undefined;
  try {
    runtime = await openEngine(choices, output);
    const { bytes, files } = corpus.describe();
    output.note(`Text: ${size(bytes)} in ${files} ${files === 1 ? 'file' : 'files'}.`);
    const whole =
      start === undefined
        ? await freshModel(entry, choices, out, corpus, { output, signal })
        : await continuedModel(choices, start);
    const { model, parameters, freeze } = await beginning(choices, whole, start);
    const length = Math.min(choices.context ?? model.context, model.context);
    const { batch, seed } = choices;
    const data = await openTrainingSource({ corpus, model, batch, length, seed, output, signal });
    const options: TrainOptions<unknown, unknown, unknown> = {
      model,
      source: data.source,
      runtime,
      signal,
      seed,
      steps: choices.steps,
      minutes: choices.steps === undefined ? (choices.minutes ?? 10) : undefined,
      optimizer: optimizerOf({
        name: choices.optimizer,
        weightDecay: choices.weightDecay,
        multiplier: model.rates,
        start: await earlierMoments(choices, start?.folder),
        device: runtime.device,
        steps: choices.steps,
      }),
      rate: scheduleOf(choices, entry),
      clip: choices.clip === 0 ? Number.POSITIVE_INFINITY : choices.clip,
      accumulate: choices.accumulate,
      ema: choices.ema,
      freeze,
      parameters,
      checkNumerics: choices.checkNumerics,
      rematerialize: choices.rematerialize,
      precision: choices.precision,
    };
    if (choices.precision === 'mixed' && (runtime.device === 'cpu' || runtime.device === 'wasm'))
      output.note(`The device ${runtime.device} multiplies in float32 all the same: it has no float16 products.`);
    if (choices.dryRun) return await dryRun(options, { tokensPerUpdate: batch * length * choices.accumulate, output });
    const end = await followTraining(
      train({
        ...options,
        out,
        fresh: choices.fresh,
        saveEvery: choices.saveEvery,
        keep: choices.keep,
        fingerprint: await corpus.fingerprint(),
        config: configOf(choices, model, length),
        evaluate:
          validation === undefined || model.likelihood === 'none'
            ? undefined
            : (context) => evaluateOn(validation, model, context),
        evalEvery: choices.evalEvery,
        sample:
          choices.sampleEvery === undefined
            ? undefined
            : (context) => sampleFrom(model, choices.samplePrompt ?? '', context),
        sampleEvery: choices.sampleEvery,
      }),
      {
        output,
        bytesPerToken: data.bytesPerToken,
        onStart: async () => void (await writeTokenizer(out, model.tokenizer, model.context)),
        again: 'Give the same command again to go on from there.',
      },
    );
    const isAdapter = choices.lora !== undefined;
    const folder = join(out, isAdapter ? 'adapter' : 'model');
    await model.save(folder, await (end.averaged ?? end.parameters)(), { onnx: choices.onnx, signal });
    output.result(
      {
        run: out,
        [isAdapter ? 'adapter' : 'model']: folder,
        steps: end.step,
        loss: end.loss ?? null,
        seconds: end.seconds,
        best: end.best === undefined ? null : { step: end.best.step, figure: end.best.figure, value: end.best.value },
      },
      () =>
        isAdapter
          ? `The adapter is in ${folder}\n  tessera generate ${choices.from} --adapter ${folder} --prompt "..."\n  tessera merge ${choices.from} ${folder} --out merged`
          : `The model is in ${folder}\n  tessera generate ${folder} --prompt "..."\n  tessera eval ${folder} --text FILE`,
    );
  } finally {
    await start?.close();
    await runtime?.dispose();
  }
}

/** The model that is trained, where it starts, and what of it is not trained: the model itself, or adapters of it. */
async function beginning(
  choices: TrainChoices,
  model: TextModel,
  start: LoadedModel | undefined,
): Promise<{
  readonly model: TextModel;
  readonly parameters?: Arrays<unknown>;
  readonly freeze?: readonly string[];
}> {
  const parameters = await start?.parameters();
  const { lora: rank, loraAlpha, loraDropout, loraTargets, loraRankStabilized, dora, seed, freeze, from } = choices;
  if (rank === undefined || parameters === undefined) return { model, parameters, freeze };
  const adapted = adaptModel(model, parameters, random(seed).child('adapters'), {
    rank,
    alpha: loraAlpha,
    dropout: loraDropout,
    targets: loraTargets,
    rankStabilized: loraRankStabilized,
    dora,
    base: from,
  });
  // The base is frozen whole, so that patterns for parts of it choose nothing more.
  return {
    model: adapted.model as unknown as TextModel,
    parameters: adapted.parameters,
    freeze: [...adapted.model.freeze, ...(freeze ?? [])],
  };
}

/** A model that was grown brings the moments of its run, which are AdamW's. */
async function earlierMoments(choices: TrainChoices, folder: string | undefined): Promise<AdamWStart | undefined> {
  const isUseless = folder === undefined || choices.lora !== undefined || choices.optimizer !== 'adamw';
  return isUseless ? undefined : readAdamWStart(folder);
}

function refuseContradictions(choices: TrainChoices): void {
  refuseLoneLora(choices);
  if (choices.steps !== undefined && choices.minutes !== undefined) {
    throw new TesseraError('bad-option', 'A run takes either --steps or --minutes, not both.');
  }
  if (choices.tokenizer !== undefined && choices.vocabulary !== undefined) {
    throw new TesseraError(
      'bad-option',
      '--vocabulary is for a tokenizer that is trained; the one given has its own size.',
      { hint: 'Leave out --vocabulary or --tokenizer.' },
    );
  }
}

/** The first 256 KiB of a text, as documents in memory. */
async function readStart(paths: readonly string[], field: string, signal: AbortSignal): Promise<Corpus> {
  const corpus = await openCorpus(paths, { field, signal });
  const texts: Uint8Array[] = [];
  let left = VALIDATION_BYTES;
  for await (const { bytes } of corpus.documents()) {
    const part = cutUtf8(bytes, left);
    texts.push(part);
    left -= part.length;
    if (part.length < bytes.length) break;
  }
  return corpusFromStrings(texts, paths.join(', '));
}

async function freshModel(
  entry: ArchitectureEntry,
  choices: TrainChoices,
  out: string,
  corpus: Corpus,
  job: Job,
): Promise<TextModel> {
  const chosen = modelChoices(entry, choices);
  const architecture = await entry.load();
  return architecture.create(chosen, await tokenizerFor(entry, choices, out, { corpus, ...job }));
}

async function tokenizerFor(
  entry: ArchitectureEntry,
  choices: TrainChoices,
  out: string,
  { corpus, output, signal }: Job & { readonly corpus: Corpus },
): Promise<Tokenizer> {
  if (entry.tokens === 'bytes') {
    if ((choices.tokenizer ?? 'bytes') === 'bytes' && choices.vocabulary === undefined) return byteTokenizer();
    throw new TesseraError('bad-option', `${entry.name} reads bytes; it takes no other tokenizer.`, {
      hint: `Leave out ${choices.vocabulary === undefined ? '--tokenizer' : '--vocabulary'}.`,
    });
  }
  if (choices.tokenizer !== undefined) return openTokenizer(choices.tokenizer);
  const kept = join(out, 'tokenizer.json');
  const resumes = !choices.fresh && !choices.dryRun && existsSync(join(out, 'config.json')) && existsSync(kept);
  if (resumes) return openTokenizer(kept);
  return (await learnTokenizer({ corpus, vocabulary: choices.vocabulary ?? VOCABULARY, output, signal })).tokenizer;
}

/** The model that training goes on from. @throws bad-option for what that model has settled. */
async function continuedModel(
  choices: TrainChoices,
  { model, entry }: LoadedModel & { readonly entry: ArchitectureEntry },
): Promise<TextModel> {
  const refuse = (flag: string): never => {
    throw new TesseraError(
      'bad-option',
      `${flag} cannot be chosen with --from: the model that training goes on from has settled it.`,
      { hint: 'Leave it out, or train from the beginning.' },
    );
  };
  if ((choices.architecture ?? entry.name) !== entry.name) refuse('--architecture');
  const { context, dropout, ...chosen } = modelChoices(entry, choices);
  const isAnew = (name: string): boolean =>
    entry.options.some((option) => option.name === name && option.again === true);
  const anew = Object.fromEntries(Object.entries(chosen).filter(([name]) => isAnew(name)));
  const settled = Object.fromEntries(Object.entries(chosen).filter(([name]) => !isAnew(name)));
  const [first] = Object.keys(settled);
  if (first !== undefined) refuse(settled[first] === false ? flagOf(first).replace('--', '--no-') : flagOf(first));
  if (choices.tokenizer !== undefined) refuse('--tokenizer');
  if (choices.vocabulary !== undefined) refuse('--vocabulary');
  if (context !== undefined && Number(context) > model.context) {
    throw new TesseraError(
      'bad-option',
      `The model reads ${model.context} tokens at once; a context of ${String(context)} is too long for it.`,
    );
  }
  return (await entry.load()).adjust(model, { dropout: dropout ?? 0, ...anew });
}

function scheduleOf(choices: TrainChoices, entry: ArchitectureEntry): Schedule {
  const usual = choices.from === undefined ? entry.rate(choices) : choices.lora === undefined ? 3e-4 : 1e-3;
  const shared = { rate: choices.rate ?? OPTIMIZERS[choices.optimizer].rate(usual), warmup: choices.warmup ?? 0.05 };
  switch (choices.schedule) {
    case 'constant':
      return constantRate(shared);
    case 'cosine':
      return cosineRate(shared);
    case 'wsd':
      return warmupStableDecay(shared);
  }
}

/** What makes the run what it is, beside what the trainer writes down itself. */
function configOf(choices: TrainChoices, model: TextModel, length: number): Json {
  const learned = choices.tokenizer === undefined && choices.from === undefined;
  return {
    architecture: model.name,
    model: model.options,
    batch: choices.batch,
    length,
    tokenizer: learned ? { learned: choices.vocabulary ?? VOCABULARY } : tokenizerHash(model.tokenizer),
    from: choices.from ?? null,
  };
}

async function evaluateOn(
  text: Corpus,
  model: TextModel,
  context: TrainContext<unknown>,
): Promise<Record<string, number>> {
  const runner = await model.open(context.runtime, await context.parameters());
  try {
    const { bits } = runner;
    if (bits === undefined) throw new Error(`a ${model.name} counts no bits`);
    const figures = await measureText({ bits }, text, { signal: context.signal });
    return { 'validation bits/byte': figures.bitsPerByte };
  } finally {
    await runner.dispose();
  }
}

async function sampleFrom(model: TextModel, prompt: string, context: TrainContext<unknown>): Promise<string> {
  return (
    prompt +
    (await continuation(model, context.runtime, await context.parameters(), prompt, {
      maxTokens: 48,
      seed: context.step,
      signal: context.signal,
    }))
  );
}

/** How a sample is drawn. */
interface SampleOptions {
  readonly maxTokens: number;
  readonly seed: number;
  readonly signal?: AbortSignal;
}

/** A continuation of a prompt as text. */
export async function continuation<P>(
  model: TextModel<P>,
  runtime: Runtime,
  parameters: Arrays<P>,
  prompt: string,
  options: SampleOptions,
): Promise<string> {
  const runner = await model.open(runtime, parameters);
  try {
    const decoder = new TextDecoder();
    let text = '';
    const prompts = [new TextEncoder().encode(prompt)];
    for await (const { bytes } of runner.generate?.(prompts, { temperature: 0.8, topP: 0.95, ...options }) ?? [])
      text += decoder.decode(bytes, { stream: true });
    return text + decoder.decode();
  } finally {
    await runner.dispose();
  }
}
