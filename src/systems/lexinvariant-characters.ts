/** Models of characters on Shakespeare, measured by position on plain and on ciphered text. */

import { openCorpus } from '../formats/index.js';
import {
  type Deciphered,
  decipherProbe,
  gptOptions,
  type LexinvariantParameters,
  type LossesByPosition,
  lexinvariantOptions,
  lexinvariantTables,
  lexinvariantUnder,
  lossesByPosition,
  substitutionCipher,
} from '../language-models/index.js';
import {
  type BatchSource,
  countParameters,
  frozen,
  functionSource,
  type TokenArrays,
  type TokenBatch,
} from '../nn/index.js';
import { type Call, type NDArray, type Random, random, type Tensor } from '../tensor/index.js';
import type { ReproductionContext } from './contract.js';
import { freeModule, standardModule, type TrainedModule, trainPart } from './lexinvariant-part.js';

const SHAPE = { layers: 4, width: 192, heads: 4 } as const;
const RATE = 2e-3;
const BATCH = 8;
const SIZES = {
  full: {
    ...SHAPE,
    context: 256,
    steps: 2000,
    windows: 256,
    draws: 8,
    probe: 300,
    characters: Number.POSITIVE_INFINITY,
  },
  quick: { ...SHAPE, width: 32, layers: 2, context: 64, steps: 10, windows: 8, draws: 2, probe: 5, characters: 60_000 },
} as const;
/** Where buckets of positions begin, as far as the context reaches. */
const EDGES = [0, 8, 16, 32, 64, 128, 192, 256] as const;

/** The losses of one model. */
export interface CipherLosses {
  readonly plain: LossesByPosition;
  readonly ciphered: LossesByPosition;
}

/** What the models of characters gave. */
export interface CharacterExperiment {
  readonly losses: { readonly standard: CipherLosses; readonly lexinvariant: CipherLosses };
  /** Where buckets begin and the last one ends. */
  readonly edges: readonly number[];
  /** Nats of the test's own distribution of symbols. */
  readonly unigram: number;
  readonly symbols: number;
  readonly deciphered: Deciphered;
  readonly draws: number;
  readonly steps: number;
  readonly parameters: { readonly standard: number; readonly lexinvariant: number };
}

/** Trains both models on the first nine tenths and measures on the last. @throws aborted. */
export async function characterExperiment(context: ReproductionContext): Promise<CharacterExperiment> {
  const { runtime, seed, signal } = context;
  const { steps, windows, draws, probe, characters, ...shape } = SIZES[context.size];
  const path = await context.data('tinyshakespeare');
  const corpus = await openCorpus([path], { signal });
  const { ids, symbols } = await readCharacters(corpus.documents(), characters);
  const cut = Math.floor(ids.length * 0.9);
  const texts = { train: ids.subarray(0, cut), test: ids.subarray(cut) };
  const options = { ...shape, vocabulary: symbols };
  const settings = { ...options, batch: BATCH, text: await corpus.fingerprint(), characters: ids.length };
  const length = shape.context;

  const plain = consecutive(texts.test, windows, length);
  const cipher = substitutionCipher(symbols, random(seed).child('cipher'));
  const ciphered = { inputs: written(plain.inputs, cipher), targets: written(plain.targets, cipher) };

  const measure = async <P>(part: string, model: TrainedModule<P>, repeats: number) => {
    const source = randomWindows(texts.train, length, random(seed).child('windows'));
    const parameters = await trainPart(context, part, model, { source, steps, rate: RATE, settings });
    const losses = (name: string, given: TokenArrays): Promise<LossesByPosition> =>
      lossesByPosition(runtime, model, parameters, given, {
        draws: repeats,
        seed,
        signal,
        report: (share) => context.report(`${part}, ${name}`, Math.round(share * 100), 100),
      });
    return {
      parameters,
      losses: { plain: await losses('plain text', plain), ciphered: await losses('ciphered text', ciphered) },
    };
  };
  const standard = await measure('standard', standardModule(gptOptions(options)), 1);
  const own = lexinvariantOptions(options);
  const free = await measure('lexinvariant', freeModule(own), draws);

  const weights = frozen<LexinvariantParameters>(free.parameters);
  const probed = {
    width: own.width,
    vocabulary: symbols,
    states: (given: Tensor, call: Call) =>
      lexinvariantUnder(own, weights, given, lexinvariantTables(own, weights, BATCH, call), call).hidden,
  };
  const deciphered = await decipherProbe(runtime, probed, texts, { length, batch: BATCH, steps: probe, seed, signal });
  return {
    losses: { standard: standard.losses, lexinvariant: free.losses },
    edges: [...EDGES.filter((edge) => edge < length), length],
    unigram: entropy(texts.test, symbols),
    symbols,
    deciphered,
    draws,
    steps,
    parameters: { standard: countParameters(standard.parameters), lexinvariant: countParameters(free.parameters) },
  };
}

/** The characters of a text as ids, in the order of their code points. */
async function readCharacters(
  documents: AsyncIterable<{ readonly bytes: Uint8Array }>,
  limit: number,
): Promise<{ readonly ids: Int32Array; readonly symbols: number }> {
  let text = '';
  for await (const { bytes } of documents) text += new TextDecoder().decode(bytes);
  const characters = [...text].slice(0, limit);
  const alphabet = [...new Set(characters)].sort();
  const idOf = new Map(alphabet.map((character, id) => [character, id]));
  return { ids: Int32Array.from(characters, (character) => idOf.get(character) ?? 0), symbols: alphabet.length };
}

function windowsAt(ids: Int32Array, starts: ArrayLike<number>, length: number): TokenArrays {
  const rows = starts.length;
  const cut = (from: number): NDArray<'int32'> => {
    const data = new Int32Array(rows * length);
    for (let row = 0; row < rows; row++) {
      const start = Number(starts[row]) + from;
      data.set(ids.subarray(start, start + length), row * length);
    }
    return { dtype: 'int32', shape: [rows, length], data };
  };
  return { inputs: cut(0), targets: cut(1) };
}

/** Windows side by side from the start of a text, at most `most`. */
function consecutive(ids: Int32Array, most: number, length: number): TokenArrays {
  const count = Math.min(most, Math.floor((ids.length - 1) / length));
  return windowsAt(
    ids,
    Array.from({ length: count }, (_, index) => index * length),
    length,
  );
}

/** Batches of windows from random places. */
function randomWindows(ids: Int32Array, length: number, draws: Random): BatchSource<TokenBatch> {
  return functionSource((index) => windowsAt(ids, draws.at(index).integers([BATCH], ids.length - length).data, length));
}

function written(ids: NDArray<'int32'>, cipher: Int32Array): NDArray<'int32'> {
  return { ...ids, data: ids.data.map((id) => Number(cipher[id])) };
}

function entropy(ids: Int32Array, symbols: number): number {
  const counts = new Float64Array(symbols);
  for (const id of ids) counts[id] = (counts[id] ?? 0) + 1;
  return counts.reduce(
    (sum, count) => (count === 0 ? sum : sum - (count / ids.length) * Math.log(count / ids.length)),
    0,
  );
}
