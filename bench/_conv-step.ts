/**
 * The step of a small convolutional net on pictures of CIFAR's size: three stages of a 3 x 3 convolution, relu and
 * maximum pooling by two, then a linear head over ten classes.
 */

import {
  applyConv2d,
  type ConvParameters,
  crossEntropy,
  initConv2d,
  initLinear,
  type LinearParameters,
  linear,
  type Module,
} from 'tessera-kit/nn';
import { array, maxPool2d, type NDArray, type Random, relu, reshape, type Tensor } from 'tessera-kit/tensor';
import { linearProducts, type Step } from './_steps.js';

/** The size of the comparison. */
export const CONV = { batch: 32, side: 32, channels: 3, stages: [32, 64, 128], classes: 10 } as const;

interface ConvNet<L = Tensor> {
  readonly stages: readonly ConvParameters<L>[];
  readonly head: LinearParameters<L>;
}

interface Pictures {
  /** float32 `[batch, channels, side, side]`. */
  readonly pictures: Tensor;
  /** int32 `[batch]`. */
  readonly kinds: Tensor;
}

/** What each stage takes: channels in and out, and the side of its picture. */
const STAGES = CONV.stages.map((outputs, stage) => ({
  inputs: CONV.stages[stage - 1] ?? CONV.channels,
  outputs,
  side: CONV.side / 2 ** stage,
}));

/** Numbers that the head reads: the last stage's channels at the places that pooling left. */
const FEATURES = STAGES.reduce((_, { outputs, side }) => outputs * (side / 2) ** 2, 0);

const model: Module<ConvNet, Pictures, Tensor> = {
  init: (random: Random) => {
    const parameters: ConvNet<NDArray> = {
      stages: STAGES.map(({ inputs, outputs }, stage) =>
        initConv2d(random.child('stages').child(stage), { inputs, outputs, kernel: 3 }),
      ),
      head: initLinear(random.child('head'), FEATURES, CONV.classes, { bias: true }),
    };
    return parameters as never;
  },
  apply: ({ stages, head }, { pictures }) => {
    const deep = stages.reduce(
      (x, stage) => maxPool2d(relu(applyConv2d(stage, x, { padding: 1 })), { kernel: 2 }),
      pictures,
    );
    return linear(head, reshape(deep, [CONV.batch, FEATURES]));
  },
};

/** Waves of a length of their own for each class, the same in every engine. */
function batchOf(): { readonly [name in keyof Pictures]: NDArray } {
  const { batch, side, channels, classes } = CONV;
  const places = side * side;
  const wave = (index: number): number => {
    const kind = Math.floor(index / (channels * places)) % classes;
    return Math.sin(((index % places) * (kind + 1)) / 7 + index / 1000);
  };
  return {
    pictures: array(
      Array.from({ length: batch * channels * places }, (_, index) => wave(index)),
      [batch, channels, side, side],
    ),
    kinds: array(
      Array.from({ length: batch }, (_, row) => row % classes),
      [batch],
      'int32',
    ),
  };
}

/** Each convolution as the product of its unfolded picture; the pictures themselves need no gradient. */
function products() {
  const convolutions = STAGES.flatMap(({ inputs, outputs, side }, stage) => {
    const [forward, input, weight] = linearProducts(CONV.batch * side * side, inputs * 9, outputs);
    return [forward, stage === 0 ? undefined : input, weight].filter((product) => product !== undefined);
  });
  return [...convolutions, ...linearProducts(CONV.batch, FEATURES, CONV.classes)];
}

/** The step. */
export const convStep: Step<ConvNet, Pictures, Tensor> = {
  name: 'convolutions',
  model,
  objective: { loss: (apply, _own, batch, call) => crossEntropy(apply(batch, call), batch.kinds) },
  batch: batchOf() as never,
  rows: CONV.batch,
  products: products(),
  peer: { script: 'torch_conv.py', options: CONV },
};
