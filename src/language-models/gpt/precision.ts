/**
 * Smaller exports of the same program: weights stored as float16, or matrix products on 8-bit integers.
 * Inputs, outputs and caches stay float32.
 */

import { castArray } from '../../formats/index.js';
import type { Lowered, NDArray } from '../../tensor/index.js';

type NodeProto = Lowered['model']['graph']['node'][number];
type Initializer = Lowered['initializers'][number];

/** Weights below this many elements (norms, biases, scalars) stay as they are. */
const LARGE = 1024;

function isWeight({ value }: Initializer): boolean {
  return value.dtype === 'float32' && value.data.length >= LARGE;
}

function rebuilt(lowered: Lowered, node: readonly NodeProto[], initializers: readonly Initializer[]): Lowered {
  const graph = { ...lowered.model.graph, node: [...node] };
  return { ...lowered, model: { ...lowered.model, graph }, initializers, nodes: node.length };
}

/** The same program with its large weights stored as float16 and widened when the session is created. */
export function halfWeights(lowered: Lowered): Lowered {
  const casts: NodeProto[] = [];
  const initializers = lowered.initializers.map((initializer): Initializer => {
    if (!isWeight(initializer)) return initializer;
    const name = `${initializer.name}_fp16`;
    casts.push({
      opType: 'Cast',
      input: [name],
      output: [initializer.name],
      attribute: [{ name: 'to', type: 2, i: 1 }],
    });
    return { name, value: castArray(initializer.value, 'float16') };
  });
  return rebuilt(lowered, [...casts, ...lowered.model.graph.node], initializers);
}

const ZERO_POINT = 128;

/** Unsigned 8-bit values around 128 with one scale for each column of `[rows, columns]`. */
function quantizeColumns(matrix: NDArray): {
  readonly values: NDArray<'uint8'>;
  readonly scales: NDArray<'float32'>;
  readonly zeros: NDArray<'uint8'>;
} {
  const [rows = 0, columns = 0] = matrix.shape;
  const source = matrix.data as Float32Array;
  const scales = new Float32Array(columns);
  for (let i = 0; i < source.length; i++) {
    const column = i % columns;
    scales[column] = Math.max(scales[column] ?? 0, Math.abs(source[i] ?? 0));
  }
  for (let column = 0; column < columns; column++) scales[column] = (scales[column] ?? 0) / 127 || 1;
  const values = new Uint8Array(rows * columns);
  for (let i = 0; i < source.length; i++)
    values[i] = Math.round((source[i] ?? 0) / (scales[i % columns] ?? 1)) + ZERO_POINT;
  return {
    values: { dtype: 'uint8', shape: [rows, columns], data: values },
    scales: { dtype: 'float32', shape: [columns], data: scales },
    zeros: { dtype: 'uint8', shape: [columns], data: new Uint8Array(columns).fill(ZERO_POINT) },
  };
}

function turned(matrix: NDArray): NDArray {
  const [rows = 0, columns = 0] = matrix.shape;
  const data = new Float32Array(matrix.data.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) data[j * rows + i] = Number(matrix.data[i * columns + j]);
  return { dtype: 'float32', shape: [columns, rows], data };
}

function integerAttribute(node: NodeProto, name: string): number {
  return node.attribute.find((attribute) => attribute.name === name)?.i ?? 0;
}

/**
 * The same program with every product of activations and a weight matrix on 8-bit integers: weights quantized by column,
 * activations by tensor as they come. Tables that are only looked up are stored in 8 bits by row.
 */
export function quantizedWeights(lowered: Lowered): Lowered {
  const weights = new Map(
    lowered.initializers.filter(isWeight).map((initializer) => [initializer.name, initializer.value]),
  );
  const added = new Map<string, NDArray>();
  const quantize = (name: string, matrix: () => NDArray): readonly [string, string, string] => {
    const names = [`${name}_q`, `${name}_scale`, `${name}_zero`] as const;
    if (!added.has(names[0])) {
      const { values, scales, zeros } = quantizeColumns(matrix());
      for (const [index, value] of [values, scales, zeros].entries()) added.set(names[index] ?? '', value);
    }
    return names;
  };
  const nodes = lowered.model.graph.node.flatMap((node): NodeProto[] => {
    const [first = '', second = ''] = node.input;
    const product = weights.get(second);
    const plain =
      node.opType === 'MatMul' ||
      (node.opType === 'Gemm' && integerAttribute(node, 'transA') === 0 && node.input.length === 2);
    if (plain && product !== undefined && product.shape.length === 2) {
      const transposed = node.opType === 'Gemm' && integerAttribute(node, 'transB') === 1;
      const names = quantize(transposed ? `${second}_t` : second, () => (transposed ? turned(product) : product));
      return [
        {
          opType: 'DynamicQuantizeMatMul',
          domain: 'com.microsoft',
          input: [first, ...names],
          output: node.output,
          attribute: [],
        },
      ];
    }
    const table = weights.get(first);
    if (node.opType === 'Gather' && table !== undefined && table.shape.length === 2) {
      const [output = ''] = node.output;
      const [values, scales] = quantize(`${first}_t`, () => turned(table));
      const byRow = `${first}_rows`;
      const stored = added.get(values);
      if (stored !== undefined) added.set(byRow, turnedBytes(stored));
      const column = `${first}_column`;
      const scale = added.get(scales);
      if (scale !== undefined) added.set(column, { ...scale, shape: [scale.data.length, 1] });
      const zero = `${first}_middle`;
      added.set(zero, { dtype: 'float32', shape: [], data: Float32Array.of(ZERO_POINT) });
      const at = (suffix: string) => `${output}_${suffix}`;
      return [
        { opType: 'Gather', input: [byRow, second], output: [at('bytes')], attribute: node.attribute },
        { opType: 'Gather', input: [column, second], output: [at('scale')], attribute: node.attribute },
        { opType: 'Cast', input: [at('bytes')], output: [at('float')], attribute: [{ name: 'to', type: 2, i: 1 }] },
        { opType: 'Sub', input: [at('float'), zero], output: [at('centered')], attribute: [] },
        { opType: 'Mul', input: [at('centered'), at('scale')], output: [output], attribute: [] },
      ];
    }
    return [node];
  });
  const used = new Set(nodes.flatMap((node) => node.input));
  const all = [...lowered.initializers, ...[...added].map(([name, value]) => ({ name, value }))];
  return rebuilt(
    lowered,
    nodes,
    all.filter(({ name }) => used.has(name)),
  );
}

function turnedBytes(matrix: NDArray): NDArray {
  const [rows = 0, columns = 0] = matrix.shape;
  const data = new Uint8Array(matrix.data.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) data[j * rows + i] = Number(matrix.data[i * columns + j]);
  return { dtype: 'uint8', shape: [columns, rows], data };
}
