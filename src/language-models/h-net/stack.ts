/**
 * Stacks of pre-norm blocks that end in an RMS norm: Mamba-2 or causal attention, with or without a SwiGLU block. One
 * function serves training, where rows are whole sequences, and decoding, where they are single positions: how positions
 * are mixed is an argument.
 */

import {
  type Attend,
  type AttentionParameters,
  initAttention,
  initMamba2,
  initMlp,
  initNorm,
  type Mamba2Carry,
  type Mamba2Options,
  type Mamba2Parameters,
  type MlpParameters,
  mamba2,
  mlp,
  type NormParameters,
  norm,
  selfAttention,
} from '../../nn/index.js';
import {
  add,
  type Call,
  constant,
  type Dimension,
  type NDArray,
  type Random,
  type Tensor,
  zeros,
} from '../../tensor/index.js';
import { type BlockKind, hasMlp, isAttention, type StackLayout } from './layout.js';
import { EPSILON, type HNetOptions } from './options.js';

/** Parameters of a block. */
export interface BlockParameters<L = Tensor> {
  readonly norm1: NormParameters<L>;
  readonly attention?: AttentionParameters<L>;
  readonly mamba?: Mamba2Parameters<L>;
  readonly norm2?: NormParameters<L>;
  readonly mlp?: MlpParameters<L>;
}

/** Parameters of a stack. */
export interface StackParameters<L = Tensor> {
  readonly layers: readonly BlockParameters<L>[];
  readonly norm: NormParameters<L>;
}

/** A stack of a stage. */
export interface StackForm {
  readonly kinds: StackLayout;
  readonly width: number;
  readonly hidden: number;
  readonly heads: number;
  readonly head: number;
  readonly rotary: number;
  readonly window: number;
  readonly context: number;
  readonly mamba: Mamba2Options;
}

/** The form of a stack with these blocks in a stage. */
export function stackForm(options: HNetOptions, stage: number, kinds: StackLayout): StackForm {
  const at = (list: readonly number[]): number => list[stage] ?? 0;
  const [width, heads] = [at(options.widths), Math.max(1, at(options.heads))];
  return {
    kinds,
    width,
    heads,
    head: width / heads,
    hidden: at(options.hidden),
    rotary: at(options.rotary),
    window: at(options.windows),
    context: options.context,
    mamba: {
      width,
      expand: options.expand,
      state: options.state,
      head: options.ssmHead,
      convolution: options.conv,
      chunk: options.ssmChunk,
    },
  };
}

/** Fresh parameters; maps back to the residual stream are scaled down by the root of the `residuals` on the path. */
export function initStack(form: StackForm, residuals: number, random: Random): StackParameters<NDArray> {
  const deviation = 0.02;
  const outDeviation = deviation / Math.sqrt(residuals);
  const layers = form.kinds.map((kind, layer): BlockParameters<NDArray> => {
    const own = random.child('layers').child(layer);
    return {
      norm1: initNorm('rms', form.width),
      ...initMixer(form, kind, { deviation, outDeviation }, own),
      ...(hasMlp(kind)
        ? {
            norm2: initNorm('rms', form.width),
            mlp: initMlp(own.child('mlp'), { ...form, activation: 'swiglu', deviation, outDeviation }),
          }
        : {}),
    };
  });
  return { layers, norm: initNorm('rms', form.width) };
}

interface Deviations {
  readonly deviation: number;
  readonly outDeviation: number;
}

function initMixer(form: StackForm, kind: BlockKind, deviations: Deviations, random: Random) {
  if (!isAttention(kind)) return { mamba: initMamba2(random.child('mamba'), { ...form.mamba, ...deviations }) };
  const options = { ...form, kvHeads: form.heads, bias: false, ...deviations };
  return { attention: initAttention(random.child('attention'), options) };
}

/** How the positions of a stack's rows are mixed. */
export interface Mixing {
  readonly batch: Dimension;
  readonly time: Dimension;
  /** int64 `[batch, time]`. */
  readonly positions: Tensor;
  /** Given the number of the layer in the stack. */
  readonly attend: Attend;
  /** The states of Mamba-2 layers, by the same numbers; absent: whole rows from nothing. */
  readonly carry?: Mamba2Carry;
}

/** `x` `[batch * time, width]` through a stack and its last norm. */
export function applyStack(
  form: StackForm,
  parameters: StackParameters,
  x: Tensor,
  mixing: Mixing,
  call: Call,
): Tensor {
  const { batch, time, positions, attend, carry } = mixing;
  const rotary = form.rotary === 0 ? undefined : { positions, ...rotaryOf(form) };
  let stream = x;
  for (const [layer, block] of parameters.layers.entries()) {
    const here = call.at('layers').at(layer);
    stream = here.block((entering: Tensor) => {
      let x = entering;
      const normal = norm('rms', block.norm1, x, EPSILON);
      if (block.mamba !== undefined) {
        here.at('mamba');
        x = add(x, mamba2(block.mamba, normal, { ...form.mamba, layer, batch, time, carry }));
      } else if (block.attention !== undefined) {
        const settings = { ...form, kvHeads: form.heads, bias: false, layer, batch, time, rotary, attend };
        x = add(x, selfAttention(block.attention, normal, settings, here.at('attention')));
      }
      if (block.norm2 === undefined || block.mlp === undefined) return x;
      return add(x, mlp(block.mlp, norm('rms', block.norm2, x, EPSILON), 'swiglu'));
    })(stream);
  }
  call.at('norm');
  return norm('rms', parameters.norm, stream, EPSILON);
}

/**
 * Tables for heads of which only the first `rotary` channels turn, in the layout that turns channel i with channel
 * i + head / 2: pairs that do not turn have cosine 1 and sine 0. The names of published weights move the channels there.
 */
export function rotaryOf({ context, head, rotary }: Pick<StackForm, 'context' | 'head' | 'rotary'>): {
  readonly cosines: Tensor;
  readonly sines: Tensor;
} {
  const [half, turning] = [head / 2, rotary / 2];
  const [cosines, sines] = [zeros([context, half]), zeros([context, half])];
  for (let position = 0; position < context; position++) {
    for (let pair = 0; pair < half; pair++) {
      const angle = pair < turning ? position * 10000 ** (-pair / turning) : 0;
      cosines.data[position * half + pair] = Math.cos(angle);
      sines.data[position * half + pair] = Math.sin(angle);
    }
  }
  return { cosines: constant(cosines), sines: constant(sines) };
}
