/** The work of `tessera train`. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Corpus, corpusFromStrings, type Json, openCorpus } from '../formats/index.js';
import { type Gpt, type GptParameters, gpt, type LoadedGpt, saveGpt } from '../language-models/index.js';
import { cutUtf8, measureText } from '../measures/index.js';
import {
  adamW,
  constantRate,
  cosineRate,
  type Schedule,
  type TokenBatch,
  type TrainContext,
  type TrainOptions,
  train,
  warmupStableDecay,
} from '../nn/index.js';
import { type Arrays, type Runtime, type Tensor, TesseraError } from '../tensor/index.js';
import { openTokenizer, type Tokenizer } from '../tokenizers/index.js';
import { dryRun } from './dry-run.js';
import { openEngine, openModel } from './engine.js';
import { learnTokenizer, tokenizerHash, writeTokenizer } from './learn-tokenizer.js';
import { type Job, needed } from './options.js';
import { size } from './output.js';
import type { TrainChoices } from './train.js';
import { followTraining, openTrainingSource } from './training.js';

const VOCABULARY = 4096;
const CONTEXT = 256;
const RATES = { tiny: 2e-3, small: 1e-3, base: 6e-4 } as const;
const VALIDATION_BYTES = 256 * 1024;
/** Options that `--from` settles. */
const OF_THE_MODEL = [
  'size',
  'style',
  'layers',
  'width',
  'heads',
  'kvHeads',
  'hidden',
  'activation',
  'ropeTheta',
  'normEpsilon',
  'tokenizer',
  'vocabulary',
] as const;

/** Trains as the command line says. @throws TesseraError for everything a person can mend. */
export async function runTrain(choices: TrainChoices, { output, signal }: Job): Promise<void> {
  const text = needed(choices.text, '--text', 'tessera train --text book.txt --minutes 5');
  refuseContradictions(choices);
  const corpus = await openCorpus(text, { field: choices.field, signal });
  const validation =
    choices.validation === undefined ? undefined : await readStart(choices.validation, choices.field, signal);
  const start = choices.from === undefined ? undefined : await openModel(choices.from);
  let runtime: Runtime | undefined;
  try {
    runtime = await openEngine(choices, output);
    const { bytes, files } = corpus.describe();
    output.note(`Text: ${size(bytes)} in ${files} ${files === 1 ? 'file' : 'files'}.`);
    const model =
      start === undefined ? await freshModel(choices, corpus, { output, signal }) : continuedModel(choices, start);
    const length = Math.min(choices.context ?? model.architecture.context, model.architecture.context);
    const { batch, seed } = choices;
    const data = await openTrainingSource({ corpus, model, batch, length, seed, output, signal });
    const options: TrainOptions<GptParameters, TokenBatch, Tensor> = {
      model,
      source: data.source,
      runtime,
      signal,
      seed,
      steps: choices.steps,
      minutes: choices.steps === undefined ? (choices.minutes ?? 10) : undefined,
      optimizer: adamW({ weightDecay: choices.weightDecay }),
      rate: scheduleOf(choices),
      clip: choices.clip === 0 ? Number.POSITIVE_INFINITY : choices.clip,
      accumulate: choices.accumulate,
      ema: choices.ema,
      freeze: choices.freeze,
      parameters: await start?.parameters(),
      checkNumerics: choices.checkNumerics,
    };
    if (choices.dryRun) return await dryRun(options, { tokensPerUpdate: batch * length * choices.accumulate, output });
    const { out } = choices;
    const end = await followTraining(
      train({
        ...options,
        out,
        fresh: choices.fresh,
        saveEvery: choices.saveEvery,
        keep: choices.keep,
        fingerprint: await corpus.fingerprint(),
        config: configOf(choices, model, length),
        evaluate: validation === undefined ? undefined : (context) => evaluateOn(validation, model, context),
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
        onStart: async () => void (await writeTokenizer(out, model.tokenizer, model.architecture.context)),
        again: 'Give the same command again to go on from there.',
      },
    );
    const folder = join(out, 'model');
    const parameters = await (end.averaged ?? end.parameters)();
    await saveGpt(folder, {
      architecture: model.architecture,
      parameters,
      tokenizer: model.tokenizer,
      onnx: choices.onnx,
      signal,
    });
    output.result(
      {
        run: out,
        model: folder,
        steps: end.step,
        loss: end.loss ?? null,
        seconds: end.seconds,
        best: end.best === undefined ? null : { step: end.best.step, figure: end.best.figure, value: end.best.value },
      },
      () =>
        `The model is in ${folder}\n  tessera generate ${folder} --prompt "..."\n  tessera eval ${folder} --text FILE`,
    );
  } finally {
    await start?.close();
    await runtime?.dispose();
  }
}

function refuseContradictions(choices: TrainChoices): void {
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
  if (choices.from === undefined) return;
  const settled = OF_THE_MODEL.find((name) => choices[name] !== undefined);
  if (settled === undefined && choices.tied !== false) return;
  const name = (settled ?? 'no-tied').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new TesseraError(
    'bad-option',
    `--${name} cannot be chosen with --from: the model that training goes on from has settled it.`,
    {
      hint: 'Leave it out, or train from the beginning.',
    },
  );
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

async function freshModel(choices: TrainChoices, corpus: Corpus, job: Job): Promise<Gpt> {
  const {
    size: name,
    style,
    layers,
    width,
    heads,
    kvHeads,
    hidden,
    activation,
    ropeTheta,
    normEpsilon,
    tied,
    dropout,
  } = choices;
  const given = {
    style,
    layers,
    width,
    heads,
    kvHeads,
    hidden,
    activation,
    ropeTheta,
    normEpsilon,
    dropout,
    tied: tied === false ? false : undefined,
  };
  const chosen = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return gpt({
    ...chosen,
    size: name,
    context: choices.context ?? CONTEXT,
    tokenizer: await tokenizerFor(choices, corpus, job),
  });
}

async function tokenizerFor(choices: TrainChoices, corpus: Corpus, { output, signal }: Job): Promise<Tokenizer> {
  if (choices.tokenizer !== undefined) return openTokenizer(choices.tokenizer);
  const kept = join(choices.out, 'tokenizer.json');
  const resumes = !choices.fresh && !choices.dryRun && existsSync(join(choices.out, 'config.json')) && existsSync(kept);
  if (resumes) return openTokenizer(kept);
  return (await learnTokenizer({ corpus, vocabulary: choices.vocabulary ?? VOCABULARY, output, signal })).tokenizer;
}

function continuedModel(choices: TrainChoices, start: LoadedGpt): Gpt {
  const { architecture, tokenizer } = start.model;
  const { context, dropout = 0 } = choices;
  if (context !== undefined && context > architecture.context) {
    throw new TesseraError(
      'bad-option',
      `The model reads ${architecture.context} tokens at once; a context of ${context} is too long for it.`,
    );
  }
  return gpt({ ...architecture, dropout, tokenizer });
}

function scheduleOf(choices: TrainChoices): Schedule {
  const usual = choices.from === undefined ? RATES[choices.size ?? 'tiny'] : 3e-4;
  const shared = { rate: choices.rate ?? usual, warmup: choices.warmup ?? 0.05 };
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
function configOf(choices: TrainChoices, model: Gpt, length: number): Json {
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
  model: Gpt,
  context: TrainContext<GptParameters>,
): Promise<Record<string, number>> {
  const runner = await model.open(context.runtime, await context.parameters());
  try {
    const { bits } = runner;
    if (bits === undefined) throw new Error('a gpt counts bits');
    const figures = await measureText({ bits }, text, { signal: context.signal });
    return { 'validation bits/byte': figures.bitsPerByte };
  } finally {
    await runner.dispose();
  }
}

async function sampleFrom(model: Gpt, prompt: string, context: TrainContext<GptParameters>): Promise<string> {
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
export async function continuation(
  model: Gpt,
  runtime: Runtime,
  parameters: Arrays<GptParameters>,
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
