/**
 * TokenFormer (Wang et al., arXiv 2410.23168): what the paper claims of growing a trained model, tried with byte models
 * on novels. A small base is grown to three times its parameter tokens and trained on; beside it the same large model is
 * trained from scratch for as many new steps, and for all steps together.
 */

import { joinPath } from '#host';
import type { JsonObject } from '../formats/index.js';
import {
  type GrowOptions,
  growTokenformer,
  type SizedTokenformer,
  type Tokenformer,
  type TokenformerParameters,
  tokenformer,
  tokenformerForward,
} from '../language-models/index.js';
import { measureText } from '../measures/index.js';
import { cosineRate, countParameters, readTree, type TokenBatch, train, writeTree } from '../nn/index.js';
import { type Arrays, random, specsOf, type Tensor, TesseraError } from '../tensor/index.js';
import { byteTokenizer } from '../tokenizers/index.js';
import type { Measured, ReproductionContext, System } from './contract.js';
import { atLeast, atMost } from './criteria.js';
import { type DividedText, divideText } from './held-out.js';

/** The catalogue's entry, whole. */
export const tokenformerSystem: System = {
  slug: 'tokenformer',
  name: 'TokenFormer',
  family: 'language models',
  gives: 'a language model that is made larger by adding parameter tokens instead of training anew',
  paper: {
    title: 'TokenFormer: Rethinking Transformer Scaling with Tokenized Model Parameters',
    year: 2024,
    arxiv: '2410.23168',
  },
  claim:
    'A trained model can be made larger by adding key and value tokens with its function kept, and then needs far less training than the larger model from scratch.',
  library: [
    "import { growTokenformer, tokenformer } from 'tessera-kit/language-models';",
    '',
    "const model = tokenformer({ tokenizer, size: 'tiny' });",
    'const grown = growTokenformer(model, parameters, { nQkv: 576, nO: 576, nFfn: 2304 });',
  ].join('\n'),
  command: 'tessera grow runs/tokenformer --tokens-qkv 576 --tokens-o 576 --tokens-ffn 2304 --out grown',
  limits: [
    'Only the numbers of parameter tokens grow: width, heads, layers and vocabulary stay.',
    'Models of the softmax kind cannot grow with their function kept, and are refused.',
    'Growing does not beat training the large model from scratch for as long as base and growth together.',
    'A growth that keeps tau computes another function in the published PyTorch code, which takes tau from the rows.',
  ],
  reproduction: {
    baseline: 'the same large model from scratch, trained for the steps that the grown one had after its growth',
    data: ['english-novels'],
    minutes: 3,
    run: reproduce,
  },
};

const TOKENS = { small: { nQkv: 24, nO: 24, nFfn: 96 }, large: { nQkv: 72, nO: 72, nFfn: 288 } } as const;
const SHAPE = { layers: 2, width: 64, heads: 4, context: 64 } as const;
const BATCH = { batch: 8, length: 64 } as const;

/** What differs between the sizes of the experiment. */
const SIZES = {
  full: { base: 2000, more: 400, warmup: 50, measured: 12_000, files: undefined, bytes: undefined },
  quick: { base: 40, more: 10, warmup: 5, measured: 1000, files: 2, bytes: 30_000 },
} as const;

/** The share of each novel that is held out. */
const HELD_OUT = 0.07;

async function reproduce(context: ReproductionContext): Promise<Measured> {
  const { seed, signal } = context;
  const size = SIZES[context.size];
  const { measured, files, bytes } = size;
  const folder = await context.data('english-novels');
  const text = await divideText(folder, { share: HELD_OUT, seed, measured, files, bytes, signal });
  const tokenizer = byteTokenizer();
  const small = tokenformer({ ...SHAPE, ...TOKENS.small, tokenizer });
  const large = tokenformer({ ...SHAPE, ...TOKENS.large, tokenizer });
  const lab = laboratory(context, text);

  const base = await lab.train('base', small, size.base);
  const grow = async (part: string, options: Omit<GrowOptions, keyof typeof TOKENS.large> = {}) => {
    const grown = growTokenformer(small, base, { ...TOKENS.large, ...options, seed });
    const trained = await lab.train(part, grown.model, size.more, {
      parameters: grown.parameters,
      growth: { ...options },
    });
    return {
      grown,
      after: await lab.bitsPerByte(grown.model, grown.parameters, `${part}, right after`),
      end: await lab.bitsPerByte(grown.model, trained, part),
    };
  };
  const kept = await grow('grown');
  const newTau = await grow('grown-new-tau', { keepTau: false });
  const loader = await grow('grown-as-published', { keepTau: false, zeroKeys: false });
  const scratch = await lab.train('scratch', large, size.more);
  const scratchWhole = await lab.train('scratch-whole', large, size.base + size.more);

  const figures = {
    base: await lab.bitsPerByte(small, base, 'base'),
    afterGrowth: kept.after,
    maxLogitDifference: await lab.logitDifference({ model: small, parameters: base }, kept.grown),
    grown: kept.end,
    scratch: await lab.bitsPerByte(large, scratch, 'scratch'),
    scratchWhole: await lab.bitsPerByte(large, scratchWhole, 'scratch-whole'),
    newTauAfterGrowth: newTau.after,
    newTauGrown: newTau.end,
    publishedLoaderAfterGrowth: loader.after,
    publishedLoaderGrown: loader.end,
  };
  const { maxLogitDifference, ...bitsPerByte } = figures;
  return {
    figures: {
      bitsPerByte,
      maxLogitDifference,
      steps: { base: size.base, more: size.more },
      parameters: { base: countParameters(base), grown: countParameters(kept.grown.parameters) },
      heldOutBytes: text.heldOut.describe().bytes,
    },
    criteria: criteriaOf(figures),
  };
}

/** What must come out, of bits per byte and the largest difference of a logit. */
function criteriaOf(figures: {
  readonly base: number;
  readonly maxLogitDifference: number;
  readonly grown: number;
  readonly scratch: number;
  readonly newTauAfterGrowth: number;
}): Measured['criteria'] {
  const { base, maxLogitDifference, grown, scratch, newTauAfterGrowth } = figures;
  const below = base - grown;
  return [
    atMost(1e-5, {
      says: 'largest difference of a logit between the base and the model just grown from it',
      measured: maxLogitDifference,
    }),
    atLeast(0.3, {
      says: 'bits per byte that the grown model is below the large one from scratch after as many new steps',
      measured: scratch - grown,
      than: 0,
    }),
    {
      says: 'bits per byte that the grown model, trained on, is below its base',
      measured: below,
      needs: 'above 0',
      holds: below > 0,
      direction: below > 0,
    },
    atLeast(0.3, {
      says: 'bits per byte that the base loses when tau is taken from the new number of tokens',
      measured: newTauAfterGrowth - base,
      than: 0,
    }),
  ];
}

/** Where a model starts when it is not fresh; `growth` says so in the settings of a kept part. */
interface Start {
  readonly parameters: Arrays<TokenformerParameters>;
  readonly growth: JsonObject;
}

/** Training and measuring as every part of the experiment does it. */
function laboratory(context: ReproductionContext, text: DividedText) {
  const { runtime, seed, signal } = context;
  const size = SIZES[context.size];
  const schedule = cosineRate({ rate: 2e-3, warmup: size.warmup, floor: 0.1 });

  const trainPart = async (
    part: string,
    model: Tokenformer,
    steps: number,
    start?: Start,
  ): Promise<Arrays<TokenformerParameters>> => {
    const { nQkv, nO, nFfn } = model.architecture;
    const settings = {
      seed,
      steps,
      // A grown part hangs on the whole recipe of its base.
      base: size.base,
      tokens: { nQkv, nO, nFfn },
      growth: start?.growth ?? null,
      shape: { ...SHAPE },
      batch: { ...BATCH },
      rate: { ...schedule },
      text: await text.training.fingerprint(),
    };
    const folder = await context.kept(`tokenformer-${part}`, settings, async (made) => {
      const source = model.source(text.training, BATCH, random(seed).child('batches').child(part), { signal });
      const events = train({
        model,
        source,
        steps,
        rate: schedule,
        clip: 1,
        seed,
        runtime,
        signal,
        parameters: start?.parameters,
      });
      for await (const event of events) {
        if (event.type === 'step') {
          context.report(`${part}, update`, event.step, steps, `loss ${event.loss.toFixed(3)}`);
        } else if (event.type === 'end') {
          if (event.reason !== 'finished') throw new TesseraError('aborted', `The training of ${part} was stopped.`);
          await writeTree(joinPath(made, FILE), await event.parameters(), signal);
        }
      }
    });
    return (await readTree(joinPath(folder, FILE), model.init(random(seed)))) as Arrays<TokenformerParameters>;
  };

  return {
    train: trainPart,
    bitsPerByte: async (model: Tokenformer, parameters: Arrays<TokenformerParameters>, part: string) => {
      const runner = await model.open(runtime, parameters);
      try {
        const total = text.heldOut.describe().bytes;
        const figures = await measureText({ bits: runner.bits }, text.heldOut, {
          signal,
          report: (bytes) => context.report(`measuring ${part}, byte`, Math.min(bytes, total), total),
        });
        return figures.bitsPerByte;
      } finally {
        await runner.dispose();
      }
    },
    /** Over a batch of held-out windows. */
    logitDifference: async (one: SizedTokenformer, other: SizedTokenformer): Promise<number> => {
      const batch = await one.model.source(text.heldOut, BATCH, random(seed).child('logits')).next();
      if (batch === undefined) throw new Error('a source without epochs has no end');
      const [a, b] = [await logitsOf(context, one, batch), await logitsOf(context, other, batch)];
      return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] ?? Number.NaN))), 0);
    },
  };
}

const FILE = 'model.safetensors';

async function logitsOf(
  { runtime }: ReproductionContext,
  { model, parameters }: SizedTokenformer,
  { inputs }: Arrays<TokenBatch>,
): Promise<Float32Array> {
  const program = await runtime.compile<TokenformerParameters, { readonly ids: Tensor }, Tensor>(
    (state, { ids }, call) => ({ out: tokenformerForward(model.architecture, state, ids, call) }),
    { state: specsOf<TokenformerParameters>(parameters), input: { ids: { dtype: inputs.dtype, shape: inputs.shape } } },
  );
  const state = await runtime.upload(parameters);
  try {
    const { out } = await program.run(state, { ids: inputs });
    return Float32Array.from(out.data, Number);
  } finally {
    await state.dispose();
    await program.dispose();
  }
}
