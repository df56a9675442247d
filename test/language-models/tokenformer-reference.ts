/** A slow TokenFormer in plain float64 arithmetic, written from the paper's equations alone. */

import type { TokenformerOptions } from 'tessera-kit/language-models';
import { arrayLeaves, type NDArray } from 'tessera-kit/tensor';

type Matrix = number[][];

/** The error function by its series, and its continued fraction for larger arguments. */
export function erf(x: number): number {
  const size = Math.abs(x);
  if (size < 3) {
    let [term, sum] = [size, size];
    for (let k = 1; k < 100; k++) {
      term *= -(size * size) / k;
      sum += term / (2 * k + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let k = 60; k > 0; k--) fraction = k / 2 / (size + fraction);
  return Math.sign(x) * (1 - Math.exp(-size * size) / Math.sqrt(Math.PI) / (size + fraction));
}

/** GELU with the exact error function. */
export function gelu(x: number): number {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

function lengthOf(row: readonly number[]): number {
  return Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
}

/** Weights of tokens for one row of scores. */
export function weightsOf(
  scores: readonly number[],
  options: Pick<TokenformerOptions, 'kind' | 'epsilon'> & { readonly tauTokens: number },
): number[] {
  const { kind, epsilon, tauTokens } = options;
  if (kind === 'softmax') {
    const powers = scores.map((score) => Math.exp(score));
    const total = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => (power / total) * tauTokens);
  }
  const tau = Math.sqrt(tauTokens);
  if (kind === 'l2_norm_gelu') return scores.map((score) => gelu((score / (lengthOf(scores) + epsilon)) * tau));
  const bent = scores.map(gelu);
  return bent.map((value) => (value / (lengthOf(bent) + epsilon)) * tau);
}

/** Logits `[time][vocabulary]` of one row of ids. */
export function tokenformerReference(options: TokenformerOptions, parameters: unknown, ids: readonly number[]): Matrix {
  const leaves = new Map(arrayLeaves(parameters));
  const matrix = (path: string): Matrix => {
    const leaf: NDArray | undefined = leaves.get(path);
    if (leaf === undefined) throw new Error(`no ${path}`);
    const [rows = 0, columns = 1] = leaf.shape;
    return Array.from({ length: rows }, (_, i) =>
      Array.from({ length: columns }, (_unused, j) => Number(leaf.data[i * columns + j])),
    );
  };
  const dot = (a: readonly number[], b: readonly number[]): number =>
    a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
  const { width, heads, kind, epsilon } = options;
  const pattention = (path: string, x: readonly number[], tauTokens: number): number[] => {
    const values = matrix(`${path}.value`);
    const scores = matrix(`${path}.key`).map((key) => dot(x, key));
    const weights = weightsOf(scores, { kind, epsilon, tauTokens });
    return Array.from({ length: width }, (_, j) =>
      dot(
        weights,
        values.map((row) => row[j] ?? 0),
      ),
    );
  };
  const plain = (x: readonly number[]): number[] => {
    const mean = x.reduce((a, b) => a + b, 0) / x.length;
    const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
    return x.map((value) => (value - mean) / Math.sqrt(variance + options.normEpsilon));
  };
  const head = width / heads;
  const turning = Math.floor(head * options.rotaryShare);
  const turn = (x: readonly number[], position: number): number[] =>
    x.map((value, i) => {
      const inHead = i % head;
      if (inHead >= turning) return value;
      const half = turning / 2;
      const angle = position * options.ropeTheta ** (-(inHead % half) / half);
      const other = inHead < half ? -(x[i + half] ?? 0) : (x[i - half] ?? 0);
      return value * Math.cos(angle) + other * Math.sin(angle);
    });
  const embedding = matrix('embedding.weight');
  let x = ids.map((id) => embedding[id] ?? []);
  const sum = (a: readonly number[], b: readonly number[]): number[] => a.map((value, i) => value + (b[i] ?? 0));
  for (let layer = 0; layer < options.layers; layer++) {
    const path = `blocks.${layer}.attention`;
    const y = x.map(plain);
    const queries = y.map((row, t) => turn(pattention(`${path}.query`, row, options.tau.nQkv), t));
    const keys = y.map((row, t) => turn(pattention(`${path}.key`, row, options.tau.nQkv), t));
    const values = y.map((row) => pattention(`${path}.value`, row, options.tau.nQkv));
    const mixed = queries.map((query, t) =>
      Array.from({ length: heads }, (_, h) => {
        const part = (row: readonly number[]): readonly number[] => row.slice(h * head, (h + 1) * head);
        const scores = keys.slice(0, t + 1).map((key) => dot(part(query), part(key)) / Math.sqrt(head));
        const top = Math.max(...scores);
        const powers = scores.map((score) => Math.exp(score - top));
        const total = powers.reduce((a, b) => a + b, 0);
        return Array.from({ length: head }, (_unused, j) =>
          powers.reduce((so, power, s) => so + (power / total) * (values[s]?.[h * head + j] ?? 0), 0),
        );
      }).flat(),
    );
    x = x.map((row, t) => sum(row, pattention(`${path}.out`, mixed[t] ?? [], options.tau.nO)));
    x = x.map((row) => sum(row, pattention(`blocks.${layer}.ffn`, plain(row), options.tau.nFfn)));
  }
  const weight = matrix('norm.weight').flat();
  const bias = matrix('norm.bias').flat();
  return x.map((row) => {
    const normal = plain(row).map((value, i) => value * (weight[i] ?? 0) + (bias[i] ?? 0));
    return embedding.map((token) => dot(normal, token));
  });
}
