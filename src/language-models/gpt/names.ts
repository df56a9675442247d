/**
 * The published tensor names of both forms, and how our tensors become theirs and back: Llama stores `[out, in]`,
 * GPT-2 stores `[in, out]` with query, key and value side by side.
 */

import type { LazyTensor, Safetensors } from '../../formats/index.js';
import { type Arrays, arrayLeaves, type NDArray, nest, sizeOf, TesseraError } from '../../tensor/index.js';
import type { Adaptable } from '../contract.js';
import type { GptParameters } from './model.js';
import type { GptOptions } from './options.js';

/** One published tensor and the leaves of ours that it holds, joined along the last axis where there are several. */
export interface PublishedTensor {
  readonly name: string;
  readonly paths: readonly string[];
  readonly shapes: readonly (readonly number[])[];
  readonly transposed: boolean;
}

/** Every published tensor of a model, in the order of its layers. */
export function publishedTensors(options: GptOptions): PublishedTensor[] {
  return options.style === 'llama' ? llamaTensors(options) : gpt2Tensors(options);
}

function llamaTensors(options: GptOptions): PublishedTensor[] {
  const { width, hidden, heads, kvHeads, head, vocabulary } = options;
  const plain = (name: string, path: string, shape: readonly number[]): PublishedTensor => ({
    name,
    paths: [path],
    shapes: [shape],
    transposed: false,
  });
  const turned = (name: string, path: string, shape: readonly number[]): PublishedTensor => ({
    ...plain(name, path, shape),
    transposed: true,
  });
  const blocks = Array.from({ length: options.layers }, (_, layer) => {
    const theirs = `model.layers.${layer}`;
    const ours = `blocks.${layer}`;
    return [
      plain(`${theirs}.input_layernorm.weight`, `${ours}.norm1.weight`, [width]),
      turned(`${theirs}.self_attn.q_proj.weight`, `${ours}.attention.query.weight`, [width, heads * head]),
      turned(`${theirs}.self_attn.k_proj.weight`, `${ours}.attention.key.weight`, [width, kvHeads * head]),
      turned(`${theirs}.self_attn.v_proj.weight`, `${ours}.attention.value.weight`, [width, kvHeads * head]),
      turned(`${theirs}.self_attn.o_proj.weight`, `${ours}.attention.out.weight`, [heads * head, width]),
      plain(`${theirs}.post_attention_layernorm.weight`, `${ours}.norm2.weight`, [width]),
      turned(`${theirs}.mlp.gate_proj.weight`, `${ours}.mlp.gate.weight`, [width, hidden]),
      turned(`${theirs}.mlp.up_proj.weight`, `${ours}.mlp.up.weight`, [width, hidden]),
      turned(`${theirs}.mlp.down_proj.weight`, `${ours}.mlp.down.weight`, [hidden, width]),
    ];
  });
  return [
    plain('model.embed_tokens.weight', 'embedding.weight', [vocabulary, width]),
    ...blocks.flat(),
    plain('model.norm.weight', 'norm.weight', [width]),
    ...(options.tied ? [] : [turned('lm_head.weight', 'head.weight', [width, vocabulary])]),
  ];
}

function gpt2Tensors(options: GptOptions): PublishedTensor[] {
  const { width, hidden, vocabulary, context } = options;
  const plain = (name: string, path: string, shape: readonly number[]): PublishedTensor => ({
    name,
    paths: [path],
    shapes: [shape],
    transposed: false,
  });
  const affine = (name: string, path: string, shape: readonly [number, number]): PublishedTensor[] => [
    plain(`${name}.weight`, `${path}.weight`, shape),
    plain(`${name}.bias`, `${path}.bias`, [shape[1]]),
  ];
  const norms = (name: string, path: string): PublishedTensor[] => [
    plain(`${name}.weight`, `${path}.weight`, [width]),
    plain(`${name}.bias`, `${path}.bias`, [width]),
  ];
  const blocks = Array.from({ length: options.layers }, (_, layer) => {
    const theirs = `transformer.h.${layer}`;
    const ours = `blocks.${layer}`;
    const fused = (part: 'weight' | 'bias', shape: readonly number[]): PublishedTensor => ({
      name: `${theirs}.attn.c_attn.${part}`,
      paths: ['query', 'key', 'value'].map((role) => `${ours}.attention.${role}.${part}`),
      shapes: [shape, shape, shape],
      transposed: false,
    });
    return [
      ...norms(`${theirs}.ln_1`, `${ours}.norm1`),
      fused('weight', [width, width]),
      fused('bias', [width]),
      ...affine(`${theirs}.attn.c_proj`, `${ours}.attention.out`, [width, width]),
      ...norms(`${theirs}.ln_2`, `${ours}.norm2`),
      ...affine(`${theirs}.mlp.c_fc`, `${ours}.mlp.up`, [width, hidden]),
      ...affine(`${theirs}.mlp.c_proj`, `${ours}.mlp.down`, [hidden, width]),
    ];
  });
  return [
    plain('transformer.wte.weight', 'embedding.weight', [vocabulary, width]),
    plain('transformer.wpe.weight', 'positions.weight', [context, width]),
    ...blocks.flat(),
    ...norms('transformer.ln_f', 'norm'),
  ];
}

/** The linear modules of a model, and which of them PEFT adapts where nothing is chosen. */
export function adaptableModules(options: GptOptions): Adaptable {
  const modules = publishedTensors(options).flatMap(({ name, paths, shapes }) => {
    const isLinear = shapes[0]?.length === 2 && !/^(embedding|positions)\./.test(paths[0] ?? '');
    if (!isLinear) return [];
    return [{ name: name.replace(/\.weight$/, ''), paths, ...(paths[0] === 'head.weight' ? { isHead: true } : {}) }];
  });
  return options.style === 'llama'
    ? { modules, usual: ['q_proj', 'v_proj'], fanInFanOut: false }
    : { modules, usual: ['c_attn'], fanInFanOut: true };
}

/** The shape that a published tensor has in the file. */
export function publishedShape(tensor: PublishedTensor): readonly number[] {
  const [head = []] = tensor.shapes;
  const joined = [...head.slice(0, -1), tensor.shapes.reduce((total, shape) => total + (shape.at(-1) ?? 0), 0)];
  return tensor.transposed ? joined.reverse() : joined;
}

/** The tensors of a parameter tree under their published names, each made when it is read. */
export function toPublished(options: GptOptions, parameters: Arrays<GptParameters>): LazyTensor[] {
  const leaves = new Map(arrayLeaves(parameters));
  return publishedTensors(options).map((tensor) => ({
    name: tensor.name,
    dtype: 'float32',
    shape: publishedShape(tensor),
    read: () => {
      const parts = tensor.paths.map((path) => {
        const leaf = leaves.get(path);
        if (leaf === undefined) throw new TesseraError('mismatch', `The model has no parameter "${path}".`);
        return leaf;
      });
      const [only] = parts;
      const joined = parts.length === 1 && only !== undefined ? only : joinColumns(parts);
      return tensor.transposed ? transposeArray(joined) : joined;
    },
  }));
}

/** Reads the parameters of a model from published weights of any float type. @throws mismatch or not-found naming the tensor. */
export async function fromPublished(options: GptOptions, weights: Safetensors): Promise<Arrays<GptParameters>> {
  const leaves: [string, NDArray][] = [];
  for (const tensor of publishedTensors(options)) {
    const name = findName(weights, tensor.name);
    const expected = publishedShape(tensor);
    const { shape } = weights.tensor(name);
    if (shape.join() !== expected.join()) {
      throw new TesseraError(
        'mismatch',
        `The tensor "${name}" has the shape [${shape.join(', ')}]; config.json asks for [${expected.join(', ')}].`,
      );
    }
    const stored = await weights.read(name, { as: 'float32' });
    const array = tensor.transposed ? transposeArray(stored) : stored;
    if (tensor.paths.length === 1) leaves.push([tensor.paths[0] ?? '', array]);
    else
      for (const [index, part] of splitColumns(array, tensor.paths.length).entries())
        leaves.push([tensor.paths[index] ?? '', part]);
  }
  return nest(leaves) as Arrays<GptParameters>;
}

/** Some checkpoints leave out the prefix of the body ("h.0.ln_1.weight"). */
function findName(weights: Safetensors, name: string): string {
  const bare = name.replace(/^(transformer|model)\./, '');
  const found = [name, bare].find((candidate) => weights.has(candidate));
  if (found === undefined) throw new TesseraError('mismatch', `The weights lack the tensor "${name}".`);
  return found;
}

function transposeArray(matrix: NDArray): NDArray {
  const [rows = 0, columns = 0] = matrix.shape;
  const source = matrix.data;
  const data = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) data[j * rows + i] = Number(source[i * columns + j]);
  return { dtype: 'float32', shape: [columns, rows], data };
}

function joinColumns(parts: readonly NDArray[]): NDArray {
  const [head] = parts;
  if (head === undefined) throw new Error('nothing to join');
  const rows = sizeOf(head.shape.slice(0, -1));
  const width = head.shape.at(-1) ?? 1;
  const data = new Float32Array(rows * width * parts.length);
  for (const [index, part] of parts.entries()) {
    const values = part.data as Float32Array;
    for (let row = 0; row < rows; row++)
      data.set(values.subarray(row * width, (row + 1) * width), (row * parts.length + index) * width);
  }
  return { dtype: 'float32', shape: [...head.shape.slice(0, -1), width * parts.length], data };
}

function splitColumns(matrix: NDArray, parts: number): NDArray[] {
  const rows = sizeOf(matrix.shape.slice(0, -1));
  const width = (matrix.shape.at(-1) ?? 0) / parts;
  const values = matrix.data as Float32Array;
  return Array.from({ length: parts }, (_, index) => {
    const data = new Float32Array(rows * width);
    for (let row = 0; row < rows; row++) {
      const start = (row * parts + index) * width;
      data.set(values.subarray(start, start + width), row * width);
    }
    return { dtype: 'float32', shape: [...matrix.shape.slice(0, -1), width], data };
  });
}
