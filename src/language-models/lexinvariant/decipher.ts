/**
 * The deciphering probe (arXiv 2305.16349, section 4.2): a text is written in a substitution cipher, another for each
 * window, and a small probe is trained to read from the model's hidden states which real token stands at each place. Its
 * accuracy by position says how far the model has worked the cipher out.
 *
 * Probes: `linear`, `mlp` (one hidden layer), and `similarity`: a linear map into the space of a standard model's
 * embeddings, where the nearest by cosine is taken.
 */

import { throwIfAborted } from '../../host/error.js';
import {
  type BatchSource,
  crossEntropy,
  functionSource,
  initLinear,
  initMlp,
  type LinearParameters,
  linear,
  type MlpParameters,
  mlp,
  type Objective,
  type TokenBatch,
  train,
} from '../../nn/index.js';
import {
  type Arrays,
  add,
  argmax,
  type Call,
  constant,
  type DeviceTree,
  div,
  matmul,
  type NDArray,
  type Random,
  type Runtime,
  random,
  specsOf,
  sqrt,
  stopGradient,
  sumSquares,
  type Tensor,
  TesseraError,
} from '../../tensor/index.js';

/** What a probe reads: hidden states `[batch * time, width]` of ids int32 `[batch, time]`, of a trained model. */
export interface ProbedModel {
  readonly width: number;
  readonly vocabulary: number;
  states(ids: Tensor, call: Call): Tensor;
}

/** How a probe is trained and tested. */
export interface DecipherOptions {
  readonly kind?: 'linear' | 'mlp' | 'similarity';
  /** A standard model's embeddings `[vocabulary, any]`, for `similarity`. */
  readonly embeddings?: NDArray;
  /** Tokens of a window (the model's context, or less). */
  readonly length: number;
  /** Windows of a batch (default 8). */
  readonly batch?: number;
  /** Updates (default 300) and their rate (default 3e-3). */
  readonly steps?: number;
  readonly rate?: number;
  /** Batches of the test (default 16). */
  readonly tests?: number;
  readonly seed?: number;
  readonly signal?: AbortSignal;
}

/** What a probe found. */
export interface Deciphered {
  /** Share of real tokens found, by position. */
  readonly accuracy: Float64Array;
  /** The share of the test's commonest token: what a probe that reads nothing reaches. */
  readonly commonest: number;
}

interface Probe<L = Tensor> {
  readonly linear?: LinearParameters<L>;
  readonly mlp?: MlpParameters<L>;
}

/** A substitution cipher: token v is written as `cipher[v]`. */
export function substitutionCipher(vocabulary: number, random: Random): Int32Array {
  return random.permutation(vocabulary).data;
}

/**
 * Trains a probe on one text and tests it on another, both token ids.
 * @throws bad-option when `similarity` has no embeddings of the vocabulary; bad-input for a text shorter than a window;
 * aborted.
 */
export async function decipherProbe(
  runtime: Runtime,
  model: ProbedModel,
  texts: { readonly train: Int32Array; readonly test: Int32Array },
  options: DecipherOptions,
): Promise<Deciphered> {
  const { steps = 300, rate = 3e-3, tests = 16, seed = 0, signal, batch = 8, length } = options;
  const probe = probeOf(model, options);
  const draws = random(seed).child('decipher');
  let parameters: Arrays<Probe> | undefined;
  const run = train<Probe, TokenBatch, Tensor>({
    runtime,
    model: probe,
    objective: READ,
    source: cipherSource(texts.train, model.vocabulary, { batch, length }, draws.child('train')),
    steps,
    rate,
    seed,
    signal,
    explosion: false,
  });
  for await (const event of run) if (event.type === 'end') parameters = await event.parameters();
  throwIfAborted(signal);
  if (parameters === undefined) throw new Error('a run ends');
  const source = cipherSource(texts.test, model.vocabulary, { batch, length }, draws.child('test'));
  const shape = [batch, length];
  const spec = { dtype: 'int32', shape } as const;
  const program = await runtime.compile<Probe, TokenBatch, Tensor>(
    (state, given, call) => ({ out: argmax(probe.apply(state, given, call)) }),
    { state: specsOf<Probe>(parameters), input: { inputs: spec, targets: spec }, seed },
  );
  const state = (await runtime.upload(parameters)) as unknown as DeviceTree<Probe>;
  const accuracy = new Float64Array(length);
  const seen = new Int32Array(model.vocabulary);
  try {
    for (let micro = 0; micro < tests; micro++) {
      throwIfAborted(signal);
      const given = await source.next();
      if (given === undefined) throw new Error('the test has no end');
      const { out } = await program.run(state, given, { micro });
      for (const [at, target] of Array.from(given.targets.data, Number).entries()) {
        seen[target] = (seen[target] ?? 0) + 1;
        if (Number(out.data[at]) === target) accuracy[at % length] = (accuracy[at % length] ?? 0) + 1;
      }
    }
  } finally {
    await state.dispose();
    await program.dispose();
  }
  return {
    accuracy: accuracy.map((right) => right / (tests * batch)),
    commonest: Math.max(...seen) / (tests * batch * length),
  };
}

const READ: Objective<TokenBatch, Tensor> = {
  loss: (model, _own, batch, call) => crossEntropy(model(batch, call), batch.targets),
};

/** The probe as a module: the model below it is a constant, its hidden states have no gradient. */
function probeOf(model: ProbedModel, { kind = 'linear', embeddings }: DecipherOptions) {
  const { width, vocabulary } = model;
  const known = kind === 'similarity' ? unitRows(embeddings, vocabulary) : undefined;
  return {
    init: (draws: Random): Arrays<Probe> => {
      const deviation = 1 / Math.sqrt(width);
      const outputs = known === undefined ? vocabulary : Number(known.shape[1]);
      const probe: Probe<NDArray> =
        kind === 'mlp'
          ? {
              mlp: initMlp(draws, { width, hidden: 4 * width, activation: 'gelu', bias: true, deviation }),
              linear: initLinear(draws.child('read'), width, vocabulary, { bias: true, deviation }),
            }
          : { linear: initLinear(draws, width, outputs, { bias: known === undefined, deviation }) };
      return probe as Arrays<Probe>;
    },
    apply: (probe: Probe, { inputs }: TokenBatch, call: Call): Tensor => {
      const states = stopGradient(model.states(inputs, call));
      const read = probe.mlp === undefined ? states : mlp(probe.mlp, states, 'gelu');
      if (probe.linear === undefined) throw new Error('every probe has a last map');
      const out = linear(probe.linear, read);
      if (known === undefined) return out;
      const unit = div(out, sqrt(add(sumSquares(out, -1, { keepDims: true }), 1e-12)));
      return matmul(unit, known, { transposeB: true, scale: SHARPNESS });
    },
  };
}

/** What cosines are multiplied with before the softmax that trains the map. */
const SHARPNESS = 10;

function unitRows(embeddings: NDArray | undefined, vocabulary: number): Tensor {
  if (embeddings === undefined || embeddings.shape[0] !== vocabulary || embeddings.shape.length !== 2) {
    throw new TesseraError('bad-option', `A similarity probe needs embeddings of ${vocabulary} tokens.`, {
      hint: 'Give the embedding table of a standard model over the same tokens.',
    });
  }
  const [, width = 1] = embeddings.shape;
  const data = Float32Array.from(embeddings.data, Number);
  for (let row = 0; row < vocabulary; row++) {
    const part = data.subarray(row * width, (row + 1) * width);
    const norm = Math.sqrt(part.reduce((sum, value) => sum + value * value, 0)) || 1;
    part.set(part.map((value) => value / norm));
  }
  return constant({ dtype: 'float32', shape: [vocabulary, width], data });
}

/** Windows of a text from random places, each in a cipher of its own; the targets are the real tokens. */
function cipherSource(
  text: Int32Array,
  vocabulary: number,
  { batch, length }: { readonly batch: number; readonly length: number },
  draws: Random,
): BatchSource<TokenBatch> {
  if (text.length < length) {
    throw new TesseraError('bad-input', `A text of ${text.length} tokens is shorter than a window of ${length}.`);
  }
  const shape = [batch, length];
  return functionSource((index) => {
    const own = draws.at(index);
    const [inputs, targets] = [new Int32Array(batch * length), new Int32Array(batch * length)];
    const starts = own.child('starts').integers([batch], text.length - length + 1).data;
    for (const [row, start] of starts.entries()) {
      const cipher = substitutionCipher(vocabulary, own.child(row));
      for (let at = 0; at < length; at++) {
        const token = text[start + at] ?? 0;
        targets[row * length + at] = token;
        inputs[row * length + at] = cipher[token] ?? 0;
      }
    }
    return {
      inputs: { dtype: 'int32', shape, data: inputs } as const,
      targets: { dtype: 'int32', shape, data: targets } as const,
    };
  });
}
