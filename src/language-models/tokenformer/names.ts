/**
 * The tensor names of the published checkpoints, those of a GPT-NeoX pipeline made sequential: the embedding is module
 * 0, the blocks begin at module 2, and the last norm is module `layers + 3`. Tensors are stored as ours are.
 */

import type { LazyTensor, ModelFolder } from '../../formats/index.js';
import { type Arrays, arrayLeaves, type Leaf, type NDArray, nest, TesseraError } from '../../tensor/index.js';
import type { TokenformerParameters } from './model.js';
import type { TokenformerOptions } from './options.js';

/** A tensor under its published name and under our path. */
export interface TokenformerName {
  readonly name: string;
  readonly path: string;
  readonly shape: readonly number[];
}

/** Every tensor of a model, in the order of its modules. */
export function tokenformerNames(options: TokenformerOptions): TokenformerName[] {
  const { layers, width, vocabulary, nQkv, nO, nFfn } = options;
  const tokens = (name: string, path: string, count: number): TokenformerName[] =>
    (['key', 'value'] as const).map((part) => ({
      name: `${name}.${part}_param_tokens`,
      path: `${path}.${part}`,
      shape: [count, width],
    }));
  const blocks = Array.from({ length: layers }, (_, layer) => {
    const theirs = `sequential.${layer + 2}`;
    const ours = `blocks.${layer}`;
    return [
      ...tokens(`${theirs}.attention.query`, `${ours}.attention.query`, nQkv),
      ...tokens(`${theirs}.attention.key`, `${ours}.attention.key`, nQkv),
      ...tokens(`${theirs}.attention.value`, `${ours}.attention.value`, nQkv),
      ...tokens(`${theirs}.attention.proj`, `${ours}.attention.out`, nO),
      ...tokens(`${theirs}.mlp`, `${ours}.ffn`, nFfn),
    ];
  });
  const last = `sequential.${layers + 3}.norm`;
  return [
    { name: EMBEDDING, path: 'embedding.weight', shape: [vocabulary, width] },
    ...blocks.flat(),
    { name: `${last}.weight`, path: 'norm.weight', shape: [width] },
    { name: `${last}.bias`, path: 'norm.bias', shape: [width] },
  ];
}

const EMBEDDING = 'sequential.0.word_embeddings.weight';

/** The tensors of a parameter tree under their published names. @throws mismatch for a parameter that is not there. */
export function toPublishedTokenformer(
  options: TokenformerOptions,
  parameters: Arrays<TokenformerParameters>,
): LazyTensor[] {
  const leaves = new Map(arrayLeaves(parameters));
  return tokenformerNames(options).map(({ name, path, shape }) => ({
    name,
    dtype: 'float32',
    shape,
    read: () => {
      const leaf = leaves.get(path);
      if (leaf === undefined) throw new TesseraError('mismatch', `The model has no parameter "${path}".`);
      return leaf;
    },
  }));
}

/** Weights under published names. */
type Weights = Pick<ModelFolder['weights'], 'has' | 'tensor' | 'read'>;

/** The rows of the embedding, which published configurations do not name. @throws mismatch when there is none. */
export function publishedVocabulary(weights: Weights): number {
  return weights.tensor(findName(weights, EMBEDDING)).shape[0] ?? 0;
}

/**
 * Reads the parameters of a model from published weights of any float type.
 * @throws mismatch naming the tensor that is missing or of another shape; bad-file.
 */
export async function fromPublishedTokenformer(
  options: TokenformerOptions,
  weights: Weights,
): Promise<Arrays<TokenformerParameters>> {
  const leaves: Leaf<NDArray>[] = [];
  for (const { name: published, path, shape: expected } of tokenformerNames(options)) {
    const name = findName(weights, published);
    const { shape } = weights.tensor(name);
    if (shape.join() !== expected.join()) {
      throw new TesseraError(
        'mismatch',
        `The tensor "${name}" has the shape [${shape.join(', ')}]; config.json asks for [${expected.join(', ')}].`,
      );
    }
    leaves.push([path, await weights.read(name, { as: 'float32' })]);
  }
  return nest(leaves) as Arrays<TokenformerParameters>;
}

/** A checkpoint of several pipeline stages has no prefix, and its tied embedding stands apart. */
function findName(weights: Weights, name: string): string {
  const bare = name.replace('sequential.', '');
  const tied = name === EMBEDDING ? ['tied_modules.embed.word_embeddings.weight'] : [];
  const found = [name, bare, ...tied].find((candidate) => weights.has(candidate));
  if (found === undefined) throw new TesseraError('mismatch', `The weights lack the tensor "${name}".`);
  return found;
}
