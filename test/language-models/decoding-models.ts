/** Small models made by hand for the tests of decoding and scoring, and the same in plain arithmetic. */

import { type CachedModel, type DecoderStep, type StepDecoder, selfAttention, type TokenCoder } from 'tessera-kit/nn';
import {
  add,
  array,
  type Call,
  constant,
  gather,
  matmul,
  type NDArray,
  random,
  reshape,
  type Tensor,
} from 'tessera-kit/tensor';

/** One token a byte, below `size`. */
export function byteCoder(size: number): TokenCoder {
  return {
    vocabulary: { size },
    encodeBytes: (bytes) => bytes,
    createDecoder: () => ({ push: (token) => Uint8Array.of(token), flush: () => new Uint8Array(0) }),
  };
}

/** Logits of a row of tokens that hang on every one of them and on its place: nothing can be disturbed unseen. */
export function hashedLogits(tokens: readonly number[], vocabulary: number): number[] {
  const state = tokens.reduce(
    (hash, token, place) => Math.imul(hash ^ (token + 31 * place), 0x01000193) >>> 0,
    0x811c9dc5,
  );
  return Array.from(
    { length: vocabulary },
    (_, token) => (Math.imul(state ^ (token * 0x9e3779b1), 0x85ebca6b) >>> 8) / 2 ** 22,
  );
}

/** What a decoder was asked. */
export interface Witness {
  readonly steps: DecoderStep[];
  opened: number;
  disposed: number;
}

/** A decoder that keeps each row's tokens, refuses what breaks the rules of a step, and predicts by a hash. */
export function hashDecoder(options: {
  readonly context: number;
  readonly vocabulary: number;
  readonly endOfText: number;
}) {
  const { context, vocabulary } = options;
  const witness: Witness = { steps: [], opened: 0, disposed: 0 };
  const decoder: StepDecoder = {
    ...options,
    open: async ({ batch }) => {
      witness.opened++;
      const rows = Array.from({ length: batch }, (): number[] => []);
      return {
        read: async (step) => {
          witness.steps.push(step);
          const { ids, time, at, lengths } = step;
          if (ids.length !== batch * time) throw new Error('ids do not fill the step');
          const out = new Float32Array(batch * vocabulary);
          for (const [index, row] of rows.entries()) {
            const [read = 0, length = 0] = [at[index], lengths[index]];
            if (length < 1 || length > time) throw new Error(`row ${index} has ${length} new tokens of ${time}`);
            if (read < 0 || read > row.length) throw new Error(`row ${index} goes on at ${read} of ${row.length}`);
            if (read + length > context) throw new Error(`row ${index} reads beyond the context`);
            row.splice(read, Number.POSITIVE_INFINITY, ...ids.subarray(index * time, index * time + length));
            out.set(hashedLogits(row, vocabulary), index * vocabulary);
          }
          return out;
        },
        dispose: async () => {
          witness.disposed++;
        },
      };
    },
  };
  return { decoder, witness };
}

/** Sizes of the two-layer model below: two query heads share one head of keys. */
const SIZES = { layers: 2, heads: 2, kvHeads: 1, head: 3, width: 4, vocabulary: 11, endOfText: 0 };

interface AttentionWeights<L> {
  readonly query: { readonly weight: L };
  readonly key: { readonly weight: L };
  readonly value: { readonly weight: L };
  readonly out: { readonly weight: L };
}

/** Weights of a model of two attention layers over token and position vectors. */
export interface HandMade<L> {
  readonly tokens: L;
  readonly positions: L;
  readonly layers: readonly AttentionWeights<L>[];
  readonly head: L;
}

/** Weights drawn from a seed, large enough that every earlier token matters. */
export function handMade(context: number, seed = 1): HandMade<NDArray> {
  const { layers, heads, kvHeads, head, width, vocabulary } = SIZES;
  const draw = (name: string, rows: number, columns: number): NDArray =>
    random(seed).child(name).normal([rows, columns], 0.8);
  return {
    tokens: draw('tokens', vocabulary, width),
    positions: draw('positions', context, width),
    layers: Array.from({ length: layers }, (_, layer) => ({
      query: { weight: draw(`query${layer}`, width, heads * head) },
      key: { weight: draw(`key${layer}`, width, kvHeads * head) },
      value: { weight: draw(`value${layer}`, width, kvHeads * head) },
      out: { weight: draw(`out${layer}`, heads * head, width) },
    })),
    head: draw('head', width, vocabulary),
  };
}

/** The model as a graph: residual attention layers with no norm. `attend` and `positions` come from the caller. */
export function handMadeHidden(
  weights: HandMade<NDArray>,
  ids: Tensor,
  { attend, positions }: Parameters<CachedModel['hidden']>[1],
  call: Call,
): Tensor {
  const [batch = 1, time = 1] = ids.shape;
  const embedded = add(gather(constant(weights.tokens), ids, 0), gather(constant(weights.positions), positions, 0));
  let x = reshape(embedded, [-1, SIZES.width]);
  for (const [layer, own] of weights.layers.entries()) {
    const parameters = {
      query: { weight: constant(own.query.weight) },
      key: { weight: constant(own.key.weight) },
      value: { weight: constant(own.value.weight) },
      out: { weight: constant(own.out.weight) },
    };
    x = add(
      x,
      selfAttention(parameters, x, { ...SIZES, bias: false, layer, batch, time, attend }, call.at(`layer${layer}`)),
    );
  }
  return x;
}

/** The model for cached decoding; `weights` decides whether it has a thread of its own. */
export function handMadeCached(weights: HandMade<NDArray>, context: number, size = 100): CachedModel {
  return {
    ...SIZES,
    context,
    weights: size,
    hidden: (ids, place, _extra, call) => handMadeHidden(weights, ids, place, call),
    logits: (hidden) => matmul(hidden, constant(weights.head)),
  };
}

/** Logits after every token of one row, `[time][vocabulary]`, from the definition of attention, in float64. */
export function handMadeLogits(weights: HandMade<NDArray>, ids: readonly number[]): number[][] {
  const { heads, head, width, vocabulary } = SIZES;
  const entry = ({ data, shape }: NDArray, row: number, column: number): number =>
    Number(data[row * (shape[1] ?? 0) + column]);
  const times = (x: readonly number[], matrix: NDArray): number[] =>
    Array.from({ length: matrix.shape[1] ?? 0 }, (_, j) =>
      x.reduce((sum, value, i) => sum + value * entry(matrix, i, j), 0),
    );
  let rows = ids.map((id, place) =>
    Array.from({ length: width }, (_, j) => entry(weights.tokens, id, j) + entry(weights.positions, place, j)),
  );
  for (const own of weights.layers) {
    const [queries, keys, values] = [own.query, own.key, own.value].map(({ weight }) =>
      rows.map((row) => times(row, weight)),
    );
    rows = rows.map((row, now) => {
      const mixed: number[] = [];
      for (let h = 0; h < heads; h++) {
        const query = queries?.[now]?.slice(h * head, (h + 1) * head) ?? [];
        const scores = (keys ?? []).slice(0, now + 1).map((key) => {
          const product = query.reduce((sum, value, i) => sum + value * (key[i] ?? 0), 0);
          return Math.exp(product / Math.sqrt(head));
        });
        const total = scores.reduce((sum, score) => sum + score, 0);
        for (let i = 0; i < head; i++) {
          mixed.push(scores.reduce((sum, score, then) => sum + (score / total) * (values?.[then]?.[i] ?? 0), 0));
        }
      }
      const change = times(mixed, own.out.weight);
      return row.map((value, i) => value + (change[i] ?? 0));
    });
  }
  const logits = rows.map((row) => times(row, weights.head));
  if (logits.some((row) => row.length !== vocabulary)) throw new Error('a row of logits is of another length');
  return logits;
}

/** Bits of token `target` under logits. */
export function bitsOf(logits: readonly number[], target: number): number {
  const top = Math.max(...logits);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
  return (Math.log(total) + top - (logits[target] ?? 0)) / Math.LN2;
}

/** Float32 logits as a constant tensor. */
export function constantLogits(values: readonly number[], rows: number): Tensor {
  const repeated = Array.from({ length: rows }, () => values).flat();
  return constant(array(repeated, [rows, values.length]));
}
