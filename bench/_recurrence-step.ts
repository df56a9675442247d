/**
 * The step of a recurrent language model over 128 positions: stacked LSTMs, or minGRUs (through `scan`) with a norm before
 * each and an addition behind it; an embedding and a head of its own.
 */

import {
  crossEntropy,
  embed,
  initLinear,
  initLstm,
  initMinGru,
  initNorm,
  type LinearParameters,
  linear,
  lstm,
  type MinGruParameters,
  type Module,
  minGru,
  type NormParameters,
  norm,
  type RecurrentParameters,
  type TokenBatch,
} from 'tessera-kit/nn';
import { add, type NDArray, type Random, type Tensor } from 'tessera-kit/tensor';
import { tokens } from './_gpt-step.js';
import { linearProducts, type Step } from './_steps.js';

/** The size of the comparison. */
export const RECURRENCE = { layers: 2, width: 256, vocabulary: 256, batch: 32, length: 128 } as const;

/** The kinds of recurrence. */
export type Cell = 'lstm' | 'mingru';

interface Layer<L = Tensor> {
  readonly norm?: NormParameters<L>;
  readonly lstm?: RecurrentParameters<L>;
  readonly mingru?: MinGruParameters<L>;
}

interface Recurrent<L = Tensor> {
  readonly embedding: { readonly weight: L };
  readonly layers: readonly Layer<L>[];
  readonly head: LinearParameters<L>;
}

function modelOf(cell: Cell): Module<Recurrent, TokenBatch, Tensor> {
  const { layers, width, vocabulary } = RECURRENCE;
  return {
    init: (random: Random) => {
      const layer = (index: number): Layer<NDArray> => {
        const own = random.child('layers').child(index);
        return cell === 'lstm'
          ? { lstm: initLstm(own, { inputs: width, width }) }
          : { norm: initNorm('rms', width), mingru: initMinGru(own, { inputs: width, width }) };
      };
      const parameters: Recurrent<NDArray> = {
        embedding: { weight: random.child('embedding').normal([vocabulary, width], 1) },
        layers: Array.from({ length: layers }, (_, index) => layer(index)),
        head: initLinear(random.child('head'), width, vocabulary, { bias: true }),
      };
      return parameters as never;
    },
    apply: (p, { inputs }, call) => {
      let x = embed(p.embedding.weight, inputs); // [batch, length, width]
      for (const [index, layer] of p.layers.entries()) {
        call.at('layers').at(index);
        if (layer.lstm !== undefined) x = lstm(layer.lstm, x).y;
        if (layer.mingru !== undefined && layer.norm !== undefined)
          x = add(x, minGru(layer.mingru, norm('rms', layer.norm, x, 1e-6)));
      }
      return linear(p.head, x);
    },
  };
}

function products(cell: Cell) {
  const { layers, width, vocabulary, batch, length } = RECURRENCE;
  const rows = batch * length;
  const head = linearProducts(rows, width, vocabulary);
  if (cell === 'mingru') return [...linearProducts(rows, width, width, 2 * layers), ...head];
  const gates = 4 * width;
  const state = { batch: 1, m: batch, transposeA: false, times: layers * length };
  return [
    ...linearProducts(rows, width, gates, layers),
    // The state's map: a step at a time but for its weights.
    { ...state, k: width, n: gates, transposeB: false },
    { ...state, k: gates, n: width, transposeB: true },
    { batch: 1, m: width, k: rows, n: gates, transposeA: true, transposeB: false, times: layers },
    ...head,
  ];
}

/** The step of a kind of recurrence. */
export function recurrenceStep(cell: Cell): Step<Recurrent, TokenBatch, Tensor> {
  const { width, layers, vocabulary, batch, length } = RECURRENCE;
  return {
    name: cell,
    model: modelOf(cell),
    objective: { loss: (apply, _own, given, call) => crossEntropy(apply(given, call), given.targets) },
    batch: tokens({ layers, width, heads: 1, vocabulary, batch, length }) as never,
    rows: batch,
    products: products(cell),
    peer: { script: 'torch_recurrence.py', options: { ...RECURRENCE, cell } },
  };
}
