/**
 * The step of an encoder whose rows a decoder reads by cross attention, as in translation: sources padded to one length,
 * targets of another, pre-norm blocks with biases, tanh GELU, learned positions and a tied head.
 */

import {
  addPositions,
  bidirectional,
  causal,
  crossEntropy,
  embed,
  initNorm,
  initPositions,
  initTransformerBlock,
  lengthMask,
  type Module,
  type NormParameters,
  norm,
  type PositionParameters,
  sourceRows,
  type TransformerBlockParameters,
  transformerBlock,
  unembed,
} from 'tessera-kit/nn';
import { array, type NDArray, type Random, reshape, type Tensor } from 'tessera-kit/tensor';
import { attentionProducts, linearProducts, type Step } from './_steps.js';

/** The size of the comparison. */
export const CROSS = {
  layers: 2,
  width: 128,
  heads: 4,
  vocabulary: 512,
  batch: 16,
  sources: 160,
  targets: 96,
} as const;

interface Translator<L = Tensor> {
  readonly embedding: { readonly weight: L };
  readonly sourcePositions: PositionParameters<L>;
  readonly targetPositions: PositionParameters<L>;
  readonly encoder: readonly TransformerBlockParameters<L>[];
  readonly decoder: readonly TransformerBlockParameters<L>[];
  readonly encoderNorm: NormParameters<L>;
  readonly decoderNorm: NormParameters<L>;
}

interface Pairs {
  /** int32 `[batch, sources]`, of which the first `lengths` `[batch]` are there. */
  readonly sources: Tensor;
  readonly lengths: Tensor;
  /** int32 `[batch, targets]`. */
  readonly inputs: Tensor;
  readonly targets: Tensor;
}

const BLOCK = { width: CROSS.width, heads: CROSS.heads, activation: 'gelu_tanh' } as const;
const DECODER = { ...BLOCK, source: CROSS.width } as const;

const model: Module<Translator, Pairs, Tensor> = {
  init: (random: Random) => {
    const { layers, width, vocabulary, sources, targets } = CROSS;
    const blocks = (name: string, options: typeof BLOCK | typeof DECODER) =>
      Array.from({ length: layers }, (_, layer) =>
        initTransformerBlock(random.child(name).child(layer), {
          ...options,
          outDeviation: 0.02 / Math.sqrt(2 * layers),
        }),
      );
    const parameters: Translator<NDArray> = {
      embedding: { weight: random.child('embedding').normal([vocabulary, width], 0.02) },
      sourcePositions: initPositions(random.child('sources'), sources, width),
      targetPositions: initPositions(random.child('targets'), targets, width),
      encoder: blocks('encoder', BLOCK),
      decoder: blocks('decoder', DECODER),
      encoderNorm: initNorm('layer', width),
      decoderNorm: initNorm('layer', width),
    };
    return parameters as never;
  },
  apply: (p, { sources: ids, lengths, inputs }, call) => {
    const { batch, sources, targets, width, heads } = CROSS;
    const attend = bidirectional({ mask: lengthMask(lengths, sources) });
    const rows = (tokens: Tensor, table: Tensor, time: number) =>
      addPositions(table, embed(p.embedding.weight, reshape(tokens, [-1])), { batch, time });
    let read = rows(ids, p.sourcePositions.weight, sources); // [batch * sources, width]
    for (const [layer, block] of p.encoder.entries()) {
      read = transformerBlock(block, read, BLOCK, { batch, time: sources, attend }, call.at('encoder').at(layer));
    }
    read = norm('layer', p.encoderNorm, read, 1e-5);
    let x = rows(inputs, p.targetPositions.weight, targets); // [batch * targets, width]
    const over = { width, source: width, heads, kvHeads: heads, head: width / heads, bias: true, batch, sources };
    for (const [layer, block] of p.decoder.entries()) {
      const source = block.cross && { ...sourceRows(block.cross, read, over), attend };
      const place = { batch, time: targets, attend: causal(targets), source };
      x = transformerBlock(block, x, DECODER, place, call.at('decoder').at(layer));
    }
    return unembed(p.embedding.weight, norm('layer', p.decoderNorm, x, 1e-5));
  },
};

/** Sources with some structure, targets that follow from them, and lengths from half to all. */
function batchOf(): { readonly [name in keyof Pairs]: NDArray } {
  const { batch, sources, targets, vocabulary } = CROSS;
  const id = (index: number): number => Math.floor(vocabulary * Math.abs(Math.sin(index * index)));
  const ids = (length: number, from: number): NDArray =>
    array(
      Array.from({ length: batch * length }, (_, index) => id(index + from)),
      [batch, length],
      'int32',
    );
  const lengths = Array.from({ length: batch }, (_, row) => Math.round(sources * (0.5 + row / (2 * (batch - 1)))));
  return {
    sources: ids(sources, 7),
    lengths: array(lengths, [batch], 'int32'),
    inputs: ids(targets, 0),
    targets: ids(targets, 1),
  };
}

function products() {
  const { layers, width, heads, vocabulary, batch, sources, targets } = CROSS;
  const [read, made, head] = [batch * sources, batch * targets, width / heads];
  const each = batch * heads;
  const feedForward = (rows: number) => [
    ...linearProducts(rows, width, 4 * width, layers),
    ...linearProducts(rows, 4 * width, width, layers),
  ];
  return [
    ...linearProducts(read, width, width, 4 * layers),
    ...attentionProducts(each, sources, sources, head, layers),
    ...feedForward(read),
    // The decoder's own attention and its questions to the source.
    ...linearProducts(made, width, width, 6 * layers),
    ...linearProducts(read, width, width, 2 * layers),
    ...attentionProducts(each, targets, targets, head, layers),
    ...attentionProducts(each, targets, sources, head, layers),
    ...feedForward(made),
    ...linearProducts(made, width, vocabulary, 1),
  ];
}

/** The step. */
export const crossStep: Step<Translator, Pairs, Tensor> = {
  name: 'cross attention',
  model,
  objective: { loss: (apply, _own, batch, call) => crossEntropy(apply(batch, call), batch.targets) },
  batch: batchOf() as never,
  rows: CROSS.batch,
  products: products(),
  peer: { script: 'torch_cross.py', options: CROSS },
};
