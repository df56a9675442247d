/**
 * H-Net (Hwang, Wang & Gu, arXiv 2507.07955): what the paper claims of learned chunks, tried with a small model of attention
 * blocks on novels. Beside it the same network is trained with two rules in the place of the router: a chunk at every
 * sixth byte, and one after every white space.
 */

import { joinPath } from '#host';
import { isJsonObject, type JsonObject, readJsonObject, writeJson } from '../formats/index.js';
import { type HNet, type HNetChoices, type HNetParameters, hNet } from '../language-models/index.js';
import { measureText } from '../measures/index.js';
import { adamW, cosineRate, countParameters, readTree, train, writeTree } from '../nn/index.js';
import { type Arrays, random, TesseraError } from '../tensor/index.js';
import type { Measured, ReproductionContext, System } from './contract.js';
import { atLeast, atMost, between } from './criteria.js';
import { type DividedText, divideText } from './held-out.js';

/** The catalogue's entry, whole. */
export const hNetSystem: System = {
  slug: 'h-net',
  name: 'H-Net',
  family: 'language models',
  gives: 'a language model of bytes that learns, while it trains, where to cut its own tokens, and can show the cuts',
  paper: {
    title: 'Dynamic Chunking for End-to-End Hierarchical Sequence Modeling',
    year: 2025,
    arxiv: '2507.07955',
  },
  claim:
    'A model of bytes that learns where chunks begin by predicting the next byte cuts text at sensible places without being told them, and predicts better than with chunks of a fixed length.',
  library: [
    "import { hNet } from 'tessera-kit/language-models';",
    '',
    "const model = hNet({ layout: 'T2,[T4],T2', widths: [128, 192], ratios: [6] });",
    'const runner = await model.open(runtime, parameters);',
    "const { stages } = await runner.segment('It was the best of times');",
  ].join('\n'),
  command: 'tessera segment runs/h-net --text "It was the best of times"',
  limits: [
    'Bytes only: no other tokenizer fits.',
    'Small models cut where chance leads them, often beside white space rather than at it; what they cut still predicts better than fixed chunks.',
    'The experiment uses attention blocks and one stage; Mamba-2 blocks and two stages are in the library, untested by it.',
    'The paper compares at 10^20 FLOPs and more; this compares two million parameters on novels.',
    'In training a row has room for chunks at half of its bytes; the least likely beyond them are dropped and counted.',
  ],
  reproduction: {
    baseline: 'the same network with a chunk at every sixth byte, and with one after every white space',
    data: ['english-novels'],
    minutes: 35,
    run: (context) => reproduceHNet(context, SIZES[context.size]),
  },
};

/** How large the experiment is. */
export interface HNetExperiment {
  readonly model: HNetChoices;
  readonly batch: number;
  /** Peak of the learning rate. */
  readonly rate: number;
  readonly steps: number;
  readonly warmup: number;
  /** Bytes measured of each held-out slice; files, and bytes of each, that are read (default: all). */
  readonly measured: number;
  readonly files?: number;
  readonly bytes?: number;
  /** Updates between points of the log. */
  readonly every: number;
}

const FULL: HNetExperiment = {
  model: {
    layout: 'T2,[T4],T2',
    widths: [128, 192],
    heads: [4, 6],
    hidden: [352, 512],
    ratios: [6],
    ratioWeight: 0.05,
    embeddingDeviation: 0.02,
    context: 256,
  },
  batch: 16,
  rate: 1e-3,
  steps: 1500,
  warmup: 100,
  measured: 12_000,
  every: 100,
};

const SIZES: Readonly<Record<'full' | 'quick', HNetExperiment>> = {
  full: FULL,
  quick: {
    ...FULL,
    model: { ...FULL.model, layout: 'T1,[T1],T1', widths: [32, 48], heads: [2, 3], hidden: [64, 96], context: 64 },
    batch: 4,
    steps: 20,
    warmup: 5,
    measured: 1000,
    files: 2,
    bytes: 30_000,
    every: 5,
  },
};

/** The share of each novel that is held out. */
const HELD_OUT = 0.07;

/** Who cuts, and the most chunks of a row as a share of its bytes. */
const RULES = {
  learned: { boundaries: 'learned', capacity: 0.5 },
  stride: { boundaries: 'stride', capacity: 0.2 },
  spaces: { boundaries: 'spaces', capacity: 0.4 },
} as const satisfies Readonly<Record<string, HNetChoices>>;

/** The experiment at any size. @throws not-found, aborted. */
export async function reproduceHNet(context: ReproductionContext, size: HNetExperiment): Promise<Measured> {
  const { seed, signal } = context;
  const folder = await context.data('english-novels');
  const { measured, files, bytes } = size;
  const text = await divideText(folder, { share: HELD_OUT, seed, measured, files, bytes, signal });
  const bitsPerByte: Record<string, number> = {};
  const logs: Record<string, JsonObject> = {};
  let [cuts, parameters] = [{ ratio: 0, touching: 0, chance: 0 }, 0];
  for (const [part, rule] of Object.entries(RULES)) {
    const model = hNet({ ...size.model, ...rule });
    const trained = await trainPart(context, size, text, part, model);
    logs[part] = trained.log;
    bitsPerByte[part] = await bitsOf(context, text, model, trained.parameters, part);
    if (part !== 'learned') continue;
    cuts = await cutsOf(context, text, model, trained.parameters);
    parameters = countParameters(trained.parameters);
  }
  return {
    figures: {
      bitsPerByte,
      boundaries: { ...cuts },
      log: logs,
      steps: size.steps,
      parameters,
      heldOutBytes: text.heldOut.describe().bytes,
    },
    criteria: criteriaOf(bitsPerByte, cuts),
    remarks: [
      'Fresh embeddings have the standard deviation 0.02, not 1, and the peak of the learning rate is 1e-3, for every part: of six pilots of 300 to 600 updates on another seed and split these touched white space most (0.75).',
      'Where a router of this size cuts is a matter of chance: over the pilots, which differed in the deviation of embeddings, the rate, the router\'s rate or the weight of the ratio loss, the share at white space went from 0.17 to 0.75 while bits per byte, after as many updates, stayed within 0.03. In the run of these figures it cuts after the first letter of frequent words ("t|he", "h|ad"), and predicts better than the rule that cuts at white space.',
    ],
  };
}

interface Cuts {
  /** Boundaries a byte. */
  readonly ratio: number;
  /** The share of boundaries that touch white space: at it, or at the byte after it. */
  readonly touching: number;
  /** The share of all bytes that do, which is what random cuts give. */
  readonly chance: number;
}

/** What must come out. */
function criteriaOf(bits: Readonly<Record<string, number>>, { ratio, touching, chance }: Cuts): Measured['criteria'] {
  const { learned = Number.NaN, stride = Number.NaN, spaces = Number.NaN } = bits;
  return [
    between(0.13, 0.22, { says: 'boundaries that the trained model sets, a byte of held-out text', measured: ratio }),
    atLeast(0.75, {
      says: 'share of its boundaries that touch white space (random cuts: the share of all bytes that do)',
      measured: touching,
      than: chance,
    }),
    atLeast(0.02, {
      says: 'bits per byte that learned chunks are below chunks of six bytes',
      measured: stride - learned,
      than: 0,
    }),
    atMost(0.05, {
      says: 'bits per byte that learned chunks are above chunks after white space',
      measured: learned - spaces,
      than: stride - spaces,
    }),
  ];
}

const FILE = 'model.safetensors';
const LOG = 'log.json';

async function trainPart(
  context: ReproductionContext,
  size: HNetExperiment,
  text: DividedText,
  part: string,
  model: HNet,
): Promise<{ readonly parameters: Arrays<HNetParameters>; readonly log: JsonObject }> {
  const { runtime, seed, signal } = context;
  const { steps, batch, every } = size;
  const schedule = cosineRate({ rate: size.rate, warmup: size.warmup, floor: 0.1 });
  const settings = {
    seed,
    steps,
    batch,
    every,
    model: { ...model.architecture } as unknown as JsonObject,
    rate: { ...schedule },
    text: await text.training.fingerprint(),
  };
  const folder = await context.kept(`h-net-${part}`, settings, async (made) => {
    // The batches are the same for every rule.
    const length = model.context;
    const source = model.source(text.training, { batch, length }, random(seed).child('batches'), { signal });
    const optimizer = adamW({
      multiplier: model.rates,
      scalars: runtime.device === 'webgpu' ? 'float32' : 'float64',
    });
    const log = new TrainLog(every);
    for await (const event of train({ model, source, steps, optimizer, rate: schedule, seed, runtime, signal })) {
      if (event.type === 'step') {
        log.add(event.step, event.loss, event.figures);
        context.report(`${part}, update`, event.step, steps, `loss ${event.loss.toFixed(3)}`);
      } else if (event.type === 'end') {
        if (event.reason !== 'finished') throw new TesseraError('aborted', `The training of ${part} was stopped.`);
        await writeTree(joinPath(made, FILE), await event.parameters(), signal);
        await writeJson(joinPath(made, LOG), log.json());
      }
    }
  });
  const found = await readJsonObject(joinPath(folder, LOG));
  const parameters = (await readTree(joinPath(folder, FILE), model.init(random(seed)))) as Arrays<HNetParameters>;
  return { parameters, log: isJsonObject(found) ? found : {} };
}

/** Means of loss, boundaries a byte and ratio loss over so many updates each, and the dropped boundaries of all. */
class TrainLog {
  private readonly points: { step: number; loss: number; ratio: number; ratioLoss: number }[] = [];
  private sums = { count: 0, loss: 0, ratio: 0, ratioLoss: 0 };
  private dropped = 0;

  constructor(private readonly every: number) {}

  add(step: number, loss: number, figures: Readonly<Record<string, number>>): void {
    const figure = (name: string): number => figures[`stages.0.${name}`] ?? Number.NaN;
    const { sums } = this;
    sums.count++;
    sums.loss += loss;
    sums.ratio += figure('ratio');
    sums.ratioLoss += figure('ratioLoss');
    this.dropped += figure('dropped');
    if (step % this.every !== 0) return;
    const mean = (total: number): number => Number((total / sums.count).toPrecision(5));
    this.points.push({
      step,
      loss: mean(sums.loss),
      ratio: mean(sums.ratio),
      ratioLoss: mean(sums.ratioLoss),
    });
    this.sums = { count: 0, loss: 0, ratio: 0, ratioLoss: 0 };
  }

  json(): JsonObject {
    const column = (name: 'step' | 'loss' | 'ratio' | 'ratioLoss'): number[] => this.points.map((point) => point[name]);
    return {
      step: column('step'),
      loss: column('loss'),
      ratio: column('ratio'),
      ratioLoss: column('ratioLoss'),
      dropped: this.dropped,
    };
  }
}

async function bitsOf(
  context: ReproductionContext,
  { heldOut }: DividedText,
  model: HNet,
  parameters: Arrays<HNetParameters>,
  part: string,
): Promise<number> {
  const runner = await model.open(context.runtime, parameters);
  try {
    const total = heldOut.describe().bytes;
    const figures = await measureText({ bits: runner.bits }, heldOut, {
      signal: context.signal,
      report: (bytes) => context.report(`measuring ${part}, byte`, Math.min(bytes, total), total),
    });
    return figures.bitsPerByte;
  } finally {
    await runner.dispose();
  }
}

function isSpace(byte: number | undefined): boolean {
  return byte === 32 || (byte !== undefined && byte > 8 && byte <= 13);
}

/** Where a model cuts the held-out text. */
async function cutsOf(
  context: ReproductionContext,
  { heldOut }: DividedText,
  model: HNet,
  parameters: Arrays<HNetParameters>,
): Promise<Cuts> {
  const runner = await model.open(context.runtime, parameters);
  const total = heldOut.describe().bytes;
  let [bytes, near, cuts, touching] = [0, 0, 0, 0];
  try {
    for await (const document of heldOut.documents()) {
      const text = document.bytes;
      const touches = (at: number): boolean => isSpace(text[at]) || isSpace(text[at - 1]);
      const { stages } = await runner.segment(text, { signal: context.signal });
      // The first byte begins a chunk whatever the router says.
      for (const { start } of stages[0]?.spans.slice(1) ?? []) {
        cuts++;
        touching += Number(touches(start));
      }
      for (let at = 1; at < text.length; at++) near += Number(touches(at));
      bytes += Math.max(0, text.length - 1);
      context.report('cutting the held-out text, byte', Math.min(bytes, total), total);
    }
  } finally {
    await runner.dispose();
  }
  return { ratio: cuts / bytes, touching: cuts === 0 ? 0 : touching / cuts, chance: near / bytes };
}
