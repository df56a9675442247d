/**
 * The tensors of published H-Net checkpoints (goombalab/hnet) and where they are in ours. Published matrices are
 * `[out, in]`, ours `[in, out]`. `Wqkv` stacks queries, keys and values, `fc1` the values and then the
 * gates of SwiGLU.
 *
 * Of heads that turn only some channels, published weights turn channel i with channel i + rotary / 2; ours turn it with
 * channel i + head / 2, so the rows of queries and keys stand in another order. Scores are the same.
 */

import type { Safetensors, TensorSource } from '../../formats/index.js';
import { mamba2Sizes } from '../../nn/index.js';
import { type Arrays, arrayLeaves, type NDArray, nest, type Shape, TesseraError, zeros } from '../../tensor/index.js';
import { hasMlp, isAttention, type Layout, parseLayout, type StackLayout, stagesOf } from './layout.js';
import type { HNetParameters } from './model.js';
import { type HNetOptions, VOCABULARY } from './options.js';
import { type StackForm, stackForm } from './stack.js';

/** A published tensor: our leaves that it stacks along its first axis. */
export interface PublishedTensor {
  readonly name: string;
  /** Its shape as it is published. */
  readonly shape: readonly number[];
  readonly paths: readonly string[];
  /** The shape of our one leaf, where it differs without any number moving. */
  readonly own?: readonly number[];
  /** Our leaves are its transpose. */
  readonly transposed: boolean;
  /** For leaves whose columns are heads that turn: the published column of each of ours. */
  readonly orders?: readonly (readonly number[] | undefined)[];
}

/** Every published tensor of a model. */
export function publishedHNetTensors(options: HNetOptions): readonly PublishedTensor[] {
  const stages = stagesOf(parseLayout(options.layout));
  const width = options.widths[0] ?? 1;
  return [
    plain('embeddings.weight', 'embedding.weight', [VOCABULARY, width]),
    ...stages.flatMap((layout, stage) => stageTensors(options, layout, stage)),
    matrix('lm_head.weight', 'head.weight', VOCABULARY, width),
  ];
}

function plain(name: string, path: string, shape: readonly number[]): PublishedTensor {
  return { name, shape, paths: [path], transposed: false };
}

function matrix(name: string, path: string, out: number, inputs: number): PublishedTensor {
  return { name, shape: [out, inputs], paths: [path], transposed: true };
}

function stageTensors(options: HNetOptions, layout: Layout, stage: number): readonly PublishedTensor[] {
  const prefix = `backbone${'.main_network'.repeat(stage)}`;
  const own = `stages.${stage}`;
  const width = options.widths[stage] ?? 1;
  const wider = stage === 0 ? 0 : width - (options.widths[stage - 1] ?? 0);
  const pad = wider > 0 ? [plain(`${prefix}.pad_dimension`, `${own}.pad`, [wider])] : [];
  const stack = (name: string, path: string, kinds: StackLayout): readonly PublishedTensor[] =>
    stackTensors(stackForm(options, stage, kinds), `${prefix}.${name}`, `${own}.${path}`);
  if ('main' in layout) return [...pad, ...stack('main_network', 'main', layout.main)];
  return [
    ...pad,
    ...stack('encoder', 'encoder', layout.encoder),
    matrix(`${prefix}.routing_module.q_proj_layer.weight`, `${own}.routing.query.weight`, width, width),
    matrix(`${prefix}.routing_module.k_proj_layer.weight`, `${own}.routing.key.weight`, width, width),
    matrix(`${prefix}.residual_proj.weight`, `${own}.residual.weight`, width, width),
    plain(`${prefix}.residual_proj.bias`, `${own}.residual.bias`, [width]),
    ...stack('decoder', 'decoder', layout.decoder),
  ];
}

function stackTensors(form: StackForm, prefix: string, path: string): readonly PublishedTensor[] {
  const { width, hidden } = form;
  const layers = form.kinds.flatMap((kind, layer): readonly PublishedTensor[] => {
    const [name, own] = [`${prefix}.layers.${layer}`, `${path}.layers.${layer}`];
    const mixer = isAttention(kind) ? attentionTensors(form, name, own) : mambaTensors(form, name, own);
    const feed = [
      plain(`${name}.norm2.weight`, `${own}.norm2.weight`, [width]),
      {
        name: `${name}.mlp.fc1.weight`,
        shape: [2 * hidden, width],
        paths: [`${own}.mlp.up.weight`, `${own}.mlp.gate.weight`],
        transposed: true,
      },
      matrix(`${name}.mlp.fc2.weight`, `${own}.mlp.down.weight`, width, hidden),
    ];
    return [plain(`${name}.norm1.weight`, `${own}.norm1.weight`, [width]), ...mixer, ...(hasMlp(kind) ? feed : [])];
  });
  return [...layers, plain(`${prefix}.rmsnorm.weight`, `${path}.norm.weight`, [width])];
}

function attentionTensors(form: StackForm, name: string, path: string): readonly PublishedTensor[] {
  const order = turnedColumns(form);
  return [
    {
      name: `${name}.mixer.Wqkv.weight`,
      shape: [3 * form.width, form.width],
      paths: ['query', 'key', 'value'].map((part) => `${path}.attention.${part}.weight`),
      transposed: true,
      orders: [order, order, undefined],
    },
    matrix(`${name}.mixer.out_proj.weight`, `${path}.attention.out.weight`, form.width, form.width),
  ];
}

function mambaTensors({ width, mamba }: StackForm, name: string, path: string): readonly PublishedTensor[] {
  const { inner, heads, channels, convolution } = mamba2Sizes(mamba);
  const [from, into] = [`${name}.mixer`, `${path}.mamba`];
  return [
    matrix(`${from}.in_proj.weight`, `${into}.in.weight`, inner + channels + heads, width),
    {
      ...plain(`${from}.conv1d.weight`, `${into}.convolution.weight`, [channels, 1, convolution]),
      own: [channels, convolution],
    },
    plain(`${from}.conv1d.bias`, `${into}.convolution.bias`, [channels]),
    plain(`${from}.dt_bias`, `${into}.dtBias`, [heads]),
    plain(`${from}.A_log`, `${into}.logA`, [heads]),
    plain(`${from}.D`, `${into}.skip`, [heads]),
    plain(`${from}.norm.weight`, `${into}.norm.weight`, [inner]),
    matrix(`${from}.out_proj.weight`, `${into}.out.weight`, width, inner),
  ];
}

/** For each of our columns of queries and keys the published one; undefined where whole heads turn. */
export function turnedColumns({ heads, head, rotary }: StackForm): readonly number[] | undefined {
  if (rotary === head || rotary === 0) return undefined;
  const [half, turning] = [head / 2, rotary / 2];
  const within = Array.from({ length: head }, (_, column) => {
    const pair = column % half;
    const second = column >= half;
    if (pair < turning) return second ? turning + pair : pair;
    return second ? rotary + (half - turning) + (pair - turning) : rotary + (pair - turning);
  });
  return Array.from({ length: heads * head }, (_, column) => {
    const first = column - (column % head);
    return first + (within[column % head] ?? 0);
  });
}

/** The parameters under their published names and in their published form. */
export function* toPublishedHNet(options: HNetOptions, parameters: Arrays<HNetParameters>): Iterable<TensorSource> {
  const leaves = new Map(arrayLeaves(parameters));
  for (const tensor of publishedHNetTensors(options)) {
    const parts = tensor.paths.map((path, index) => {
      const leaf = leaves.get(path);
      if (leaf === undefined) throw new TesseraError('mismatch', `The model has no parameter "${path}".`);
      const order = tensor.orders?.[index];
      const rows = tensor.transposed ? transposed(leaf) : leaf;
      return order === undefined ? rows : movedRows(rows, order, 'out');
    });
    yield { name: tensor.name, array: stacked(parts, tensor.shape) };
  }
}

/** Reads parameters from published weights of any float type. @throws mismatch naming the tensor. */
export async function fromPublishedHNet(
  options: HNetOptions,
  weights: Pick<Safetensors, 'names' | 'has' | 'tensor' | 'read'>,
): Promise<Arrays<HNetParameters>> {
  const tensors = publishedHNetTensors(options);
  const known = new Set(tensors.map(({ name }) => name));
  const unknown = weights.names.find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw new TesseraError(
      'mismatch',
      `The weights hold the tensor "${unknown}", which the configuration has no place for.`,
    );
  }
  const leaves: [string, NDArray][] = [];
  for (const tensor of tensors) {
    if (!weights.has(tensor.name)) throw new TesseraError('mismatch', `The weights lack the tensor "${tensor.name}".`);
    checkShape(tensor, weights.tensor(tensor.name).shape);
    const stored = await weights.read(tensor.name, { as: 'float32' });
    for (const [index, part] of unstacked(stored, tensor.paths.length).entries()) {
      const order = tensor.orders?.[index];
      const rows = order === undefined ? part : movedRows(part, order, 'in');
      const leaf = tensor.transposed ? transposed(rows) : { ...rows, shape: tensor.own ?? rows.shape };
      leaves.push([tensor.paths[index] ?? '', leaf]);
    }
  }
  return nest(leaves) as Arrays<HNetParameters>;
}

function checkShape({ name, shape }: PublishedTensor, found: Shape): void {
  if (found.join() === shape.join()) return;
  throw new TesseraError(
    'mismatch',
    `The tensor "${name}" is [${found.join(', ')}]; the configuration asks for [${shape.join(', ')}].`,
  );
}

function transposed(matrix: NDArray): NDArray {
  const [rows = 0, columns = 0] = matrix.shape;
  const turned = zeros([columns, rows]);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) turned.data[j * rows + i] = Number(matrix.data[i * columns + j]);
  }
  return turned;
}

/** Rows of published queries or keys in our order (`in`), or ours in the published order (`out`). */
function movedRows(matrix: NDArray, order: readonly number[], way: 'in' | 'out'): NDArray {
  const [rows = 0, columns = 0] = matrix.shape;
  const moved = zeros([rows, columns]);
  for (const [ours, theirs] of order.entries()) {
    const [from, to] = way === 'in' ? [theirs, ours] : [ours, theirs];
    for (let j = 0; j < columns; j++) moved.data[to * columns + j] = Number(matrix.data[from * columns + j]);
  }
  return moved;
}

function stacked(parts: readonly NDArray[], shape: readonly number[]): NDArray {
  const whole = zeros(shape);
  let at = 0;
  for (const { data } of parts) {
    for (let i = 0; i < data.length; i++) whole.data[at + i] = Number(data[i]);
    at += data.length;
  }
  return whole;
}

function unstacked(whole: NDArray, parts: number): readonly NDArray[] {
  if (parts === 1) return [whole];
  const shape = [(whole.shape[0] ?? 0) / parts, ...whole.shape.slice(1)];
  const size = whole.data.length / parts;
  return Array.from({ length: parts }, (_, part) => {
    const piece = zeros(shape);
    for (let i = 0; i < size; i++) piece.data[i] = Number(whole.data[part * size + i]);
    return piece;
  });
}
