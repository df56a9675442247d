/** A slow GPT in plain float64 arithmetic, written from the papers' equations alone, to hold the fast one against. */

import type { GptOptions } from 'tessera-kit/language-models';
import { arrayLeaves, type NDArray } from 'tessera-kit/tensor';

type Matrix = number[][];

/** Logits `[time][vocabulary]` of one row of ids. */
export function referenceLogits(options: GptOptions, parameters: unknown, ids: readonly number[]): Matrix {
  const leaves = new Map(arrayLeaves(parameters));
  const get = (path: string): NDArray => {
    const leaf = leaves.get(path);
    if (leaf === undefined) throw new Error(`no ${path}`);
    return leaf;
  };
  const at = (array: NDArray, index: number): number => Number(array.data[index]);
  const matrix = (path: string): Matrix => {
    const array = get(path);
    const [rows = 0, columns = 0] = array.shape;
    return Array.from({ length: rows }, (_, i) =>
      Array.from({ length: columns }, (_, j) => at(array, i * columns + j)),
    );
  };
  const vector = (path: string): number[] => Array.from(get(path).data, Number);
  const affine = (path: string, x: number[]): number[] => {
    const weight = matrix(`${path}.weight`);
    const bias = leaves.has(`${path}.bias`) ? vector(`${path}.bias`) : undefined;
    return (weight[0] ?? []).map((_, j) =>
      x.reduce((sum, value, i) => sum + value * (weight[i]?.[j] ?? 0), bias?.[j] ?? 0),
    );
  };
  const normed = (path: string, x: number[]): number[] => {
    const weight = vector(`${path}.weight`);
    const mean = options.style === 'gpt2' ? x.reduce((a, b) => a + b, 0) / x.length : 0;
    const square = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
    const bias = leaves.has(`${path}.bias`) ? vector(`${path}.bias`) : undefined;
    return x.map(
      (value, i) => ((value - mean) / Math.sqrt(square + options.normEpsilon)) * (weight[i] ?? 0) + (bias?.[i] ?? 0),
    );
  };
  const stretch = options.ropeScaling?.kind === 'linear' ? options.ropeScaling.factor : 1;
  const turn = (x: number[], position: number): number[] => {
    const half = x.length / 2;
    return x.map((value, i) => {
      const pair = i % half;
      const angle = (position / stretch) * options.ropeTheta ** (-pair / half);
      const other = i < half ? -(x[i + half] ?? 0) : (x[i - half] ?? 0);
      return value * Math.cos(angle) + other * Math.sin(angle);
    });
  };
  const gelu = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
  const silu = (x: number): number => x / (1 + Math.exp(-x));

  const table = matrix('embedding.weight');
  const places = options.style === 'gpt2' ? matrix('positions.weight') : undefined;
  let stream = ids.map((id, time) => (table[id] ?? []).map((value, i) => value + (places?.[time]?.[i] ?? 0)));
  const { head, heads, kvHeads } = options;
  for (let layer = 0; layer < options.layers; layer++) {
    const path = `blocks.${layer}`;
    const inputs = stream.map((x) => normed(`${path}.norm1`, x));
    const cut = (x: number[], h: number): number[] => x.slice(h * head, (h + 1) * head);
    const rotate = (x: number[], time: number): number[] => (options.style === 'llama' ? turn(x, time) : x);
    const queries = inputs.map((x) => affine(`${path}.attention.query`, x));
    const keys = inputs.map((x) => affine(`${path}.attention.key`, x));
    const values = inputs.map((x) => affine(`${path}.attention.value`, x));
    const mixed = inputs.map((_, time) =>
      Array.from({ length: heads }, (_, h) => {
        const shared = Math.floor(h / (heads / kvHeads));
        const query = rotate(cut(queries[time] ?? [], h), time);
        const scores = Array.from({ length: time + 1 }, (_, source) => {
          const key = rotate(cut(keys[source] ?? [], shared), source);
          return query.reduce((sum, value, i) => sum + value * (key[i] ?? 0), 0) / Math.sqrt(head);
        });
        const top = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - top));
        const total = weights.reduce((a, b) => a + b, 0);
        return Array.from({ length: head }, (_, i) =>
          weights.reduce(
            (sum, weight, source) => sum + (weight / total) * (cut(values[source] ?? [], shared)[i] ?? 0),
            0,
          ),
        );
      }).flat(),
    );
    stream = stream.map((x, time) =>
      affine(`${path}.attention.out`, mixed[time] ?? []).map((value, i) => value + (x[i] ?? 0)),
    );
    stream = stream.map((x) => {
      const normal = normed(`${path}.norm2`, x);
      const up = affine(`${path}.mlp.up`, normal);
      const hidden =
        options.style === 'llama'
          ? affine(`${path}.mlp.gate`, normal).map((gate, i) => silu(gate) * (up[i] ?? 0))
          : up.map(gelu);
      return affine(`${path}.mlp.down`, hidden).map((value, i) => value + (x[i] ?? 0));
    });
  }
  return stream.map((x) => {
    const last = normed('norm', x);
    if (!options.tied) return affine('head', last);
    return table.map((row) => row.reduce((sum, value, i) => sum + value * (last[i] ?? 0), 0));
  });
}
