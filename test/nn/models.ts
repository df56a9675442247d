/** Small models that the tests train. */

import { corpusFromStrings } from 'tessera-kit/formats';
import {
  arraySource,
  type BatchSource,
  crossEntropy,
  dropout,
  initLinear,
  type LinearParameters,
  linear,
  type Module,
  type Objective,
  type TokenBatch,
  type TrainEvent,
  tokenSource,
} from 'tessera-kit/nn';
import { array, constant, gather, mul, type NDArray, random, sub, sum, type Tensor, tanh } from 'tessera-kit/tensor';

/** A perceptron with one hidden layer. */
export interface Perceptron {
  readonly hidden: LinearParameters;
  readonly out: LinearParameters;
}

/** Rows `x` `[batch, 3]` and what is to be said of them, `y` `[batch, 1]`. */
export interface Examples {
  readonly x: Tensor;
  readonly y: Tensor;
}

export function perceptron(probability = 0): Module<Perceptron, Examples, Tensor> {
  return {
    init: (draws) => ({
      hidden: initLinear(draws.child('hidden'), 3, 16, { bias: true, deviation: 0.5 }),
      out: initLinear(draws.child('out'), 16, 1, { bias: true, deviation: 0.3 }),
    }),
    apply: (parameters, { x }, call) => {
      const hidden = dropout(tanh(linear(parameters.hidden, x)), probability, call.at('hidden'));
      call.record('activity', sum(mul(hidden, hidden)));
      return linear(parameters.out, hidden);
    },
  };
}

export const squares: Objective<Examples, Tensor> = {
  loss: (model, _own, batch, call) => {
    const error = sub(model(batch, call), batch.y);
    return { total: sum(mul(error, error)), count: constant(Number(batch.x.shape[0])) };
  },
};

/** 64 rows of a smooth function. */
export function examples(
  batch: number,
  options: { readonly scale?: number; readonly epochs?: number } = {},
): BatchSource<Examples> {
  const x = random(11).normal([64, 3]);
  const y = Float32Array.from(
    { length: 64 },
    (_, i) => (options.scale ?? 1) * (Number(x.data[3 * i]) - Number(x.data[3 * i + 1]) * Number(x.data[3 * i + 2])),
  );
  return arraySource({ x, y: array(y, [64, 1]) }, { batch, seed: 4, epochs: options.epochs });
}

/** A table of the next byte's logits for each byte. */
export interface Bigram {
  readonly table: Tensor;
}

export const bigram: Module<Bigram, TokenBatch, Tensor> & { readonly objective: Objective<TokenBatch, Tensor> } = {
  init: (draws) => ({ table: draws.normal([257, 257], 0.01) }),
  apply: ({ table }, { inputs }) => gather(table, inputs, 0),
  objective: { loss: (model, _own, batch, call) => crossEntropy(model(batch, call), batch.targets) },
};

export function bytesOfText(text: string, batch = 8, length = 16): BatchSource<TokenBatch> {
  return tokenSource(corpusFromStrings([text]), (bytes) => bytes, { batch, length, endOfText: 256, random: random(2) });
}

/** What a run told, and the losses of its steps. */
export async function follow<P>(
  events: AsyncIterable<TrainEvent<P>>,
): Promise<{ losses: number[]; events: TrainEvent<P>[]; end: Extract<TrainEvent<P>, { type: 'end' }> }> {
  const seen: TrainEvent<P>[] = [];
  for await (const event of events) seen.push(event);
  const end = seen.at(-1);
  if (end?.type !== 'end') throw new Error('the last event is the end');
  return { losses: seen.flatMap((event) => (event.type === 'step' ? [event.loss] : [])), events: seen, end };
}

export function flat(tree: unknown): number[] {
  const found: number[] = [];
  const walk = (branch: unknown): void => {
    if (typeof branch !== 'object' || branch === null) return;
    if ('dtype' in branch && 'data' in branch) found.push(...Array.from((branch as NDArray).data, Number));
    else for (const value of Object.values(branch)) walk(value);
  };
  walk(tree);
  return found;
}
