/**
 * Mamba-2 (Dao & Gu, arXiv 2405.21060, section 7): a selective state-space layer with one decay a head.
 *
 * `in_proj` gives gate z, x, B, C and step sizes; a short causal convolution with SiLU mixes x, B and C of neighbors; the
 * recurrence of {@link stateSpace} runs over x; each head adds its input times `D`; the result times SiLU of the gate is
 * normed (or gated after the norm) and projected back. The same parameters run chunked over whole rows, or a few positions
 * at a time from states that are handed on.
 *
 * Left out: limits of the step size, a `D` of a number a channel, channels beside the recurrence (`d_ssm`): the published
 * models use none of them.
 */

import {
  add,
  cast,
  constant,
  type Dimension,
  exp,
  less,
  mul,
  type NDArray,
  neg,
  type Random,
  range,
  reshape,
  rmsNorm,
  type Spec,
  silu,
  softplus,
  splitSizes,
  type Tensor,
  TesseraError,
} from '../tensor/index.js';
import { type ConvolutionParameters, convolve, convolveAfter, initConvolution } from './convolution.js';
import { initLinear, initNorm, type LinearParameters, linear, type NormParameters } from './layers.js';
import { continueStateSpace, type StateSpaceInput, type StateSpaceOutput, stateSpace } from './state-space.js';

/** How a Mamba-2 layer is built. Sizes must divide: `heads = expand * width / head`, `groups` divides heads. */
export interface Mamba2Options {
  readonly width: number;
  /** Inner width over width; default 2. */
  readonly expand?: number;
  /** Numbers that a head keeps for each of its channels; default 128. */
  readonly state?: number;
  /** Channels of a head; default 64. */
  readonly head?: number;
  /** Heads of a group share B and C; default 1 group. */
  readonly groups?: number;
  /** Positions that the convolution sees, itself included; default 4. */
  readonly convolution?: number;
  /**
   * Positions of a chunk of the parallel form, on which results do not depend; default 64 (published: 256, for a GPU). On a
   * CPU 32 to 256 are within a fifth of each other, 64 the fastest or next to it.
   */
  readonly chunk?: number;
  /** Norm before the gate instead of after it; default false, as published. */
  readonly normBeforeGate?: boolean;
  readonly normEpsilon?: number;
  /** Standard deviation of the fresh weights of `in`, and of `out`, the map back to the residual stream. */
  readonly deviation?: number;
  readonly outDeviation?: number;
}

/**
 * Parameters of a layer, with the names that state-spaces/mamba gives them: `in` is `in_proj` (`[width, inner + channels +
 * heads]` in the order z, x, B, C, dt; published as its transpose), `convolution` is `conv1d` (weight `[channels, width]`;
 * published as `[channels, 1, width]`), `dtBias` is `dt_bias`, `logA` is `A_log`, `skip` is `D` (each `[heads]`), `norm` is
 * `norm` (`[inner]`), `out` is `out_proj` (`[inner, width]`; published as its transpose).
 */
export interface Mamba2Parameters<L = Tensor> {
  readonly in: LinearParameters<L>;
  readonly convolution: ConvolutionParameters<L>;
  readonly dtBias: L;
  readonly logA: L;
  readonly skip: L;
  readonly norm: NormParameters<L>;
  readonly out: LinearParameters<L>;
}

/** What a layer keeps of each row between calls. */
export interface Mamba2State<L = Tensor> {
  /** The last inputs of the convolution: `[batch, convolution - 1, channels]`. */
  readonly convolution: L;
  /** `[batch, heads, head, state]`. */
  readonly states: L;
}

/** The sizes that follow from a layer's options. */
export interface Mamba2Sizes {
  readonly inner: number;
  readonly heads: number;
  readonly head: number;
  readonly groups: number;
  readonly state: number;
  /** Channels of the convolution: x, B and C. */
  readonly channels: number;
  readonly convolution: number;
}

/** The sizes of a layer. @throws bad-option when they do not divide. */
export function mamba2Sizes(options: Mamba2Options): Mamba2Sizes {
  const { width, expand = 2, state = 128, head = 64, groups = 1, convolution = 4, chunk = 64 } = options;
  const inner = expand * width;
  const whole = { width, inner, state, head, groups, convolution, chunk };
  for (const [name, size] of Object.entries(whole)) {
    if (!Number.isInteger(size) || size < 1)
      throw new TesseraError('bad-option', `A Mamba-2 layer needs a whole number from 1 for ${name}, not ${size}.`);
  }
  if (inner % head !== 0 || (inner / head) % groups !== 0) {
    throw new TesseraError(
      'bad-option',
      `A Mamba-2 layer of width ${width} x ${expand} does not divide into heads of ${head} and ${groups} groups of them.`,
      { hint: 'Choose a head that divides expand * width, and groups that divide the number of heads.' },
    );
  }
  return { inner, heads: inner / head, head, groups, state, channels: inner + 2 * groups * state, convolution };
}

const DT = { low: 1e-3, high: 1e-1, floor: 1e-4 };

/**
 * Fresh parameters as published: step sizes log-uniform in [0.001, 0.1] through the inverse of softplus, rates uniform in
 * [1, 16], skips of 1, the convolution as PyTorch's, other weights normal.
 */
export function initMamba2(random: Random, options: Mamba2Options): Mamba2Parameters<NDArray> {
  const { inner, heads, channels, convolution } = mamba2Sizes(options);
  const { deviation, outDeviation = deviation } = options;
  const filled = (values: Float32Array): NDArray<'float32'> => ({ dtype: 'float32', shape: [heads], data: values });
  const steps = random.child('dtBias').uniform([heads], Math.log(DT.low), Math.log(DT.high)).data;
  const rates = random.child('logA').uniform([heads], 1, 16).data;
  return {
    in: initLinear(random.child('in'), options.width, inner + channels + heads, { deviation }),
    convolution: initConvolution(random.child('convolution'), channels, convolution),
    dtBias: filled(
      steps.map((logarithm) => {
        const step = Math.max(Math.exp(logarithm), DT.floor);
        return step + Math.log(-Math.expm1(-step));
      }),
    ),
    logA: filled(rates.map(Math.log)),
    skip: filled(new Float32Array(heads).fill(1)),
    norm: initNorm('rms', inner),
    out: initLinear(random.child('out'), inner, options.width, { deviation: outDeviation }),
  };
}

/** States of rows that have read nothing. */
export function initialMamba2State(options: Mamba2Options, batch: number): Mamba2State<NDArray> {
  const sizes = mamba2StateSpecs(options, batch);
  const none = ({ shape }: Spec): NDArray => {
    const known = shape.map(Number);
    return { dtype: 'float32', shape: known, data: new Float32Array(known.reduce((all, size) => all * size, 1)) };
  };
  return { convolution: none(sizes.convolution), states: none(sizes.states) };
}

/** The specs of a layer's states for a number of rows, or a name for it. */
export function mamba2StateSpecs(options: Mamba2Options, batch: Dimension): Mamba2State<Spec> {
  const { channels, convolution, heads, head, state } = mamba2Sizes(options);
  return {
    convolution: { dtype: 'float32', shape: [batch, convolution - 1, channels] },
    states: { dtype: 'float32', shape: [batch, heads, head, state] },
  };
}

/** The states that a model's layers start from, and where they leave theirs. */
export interface Mamba2Carry {
  readonly states: readonly Mamba2State[];
  /** int32 `[batch]`: the positions of each row that are real, the first of `time`; default: all. */
  readonly lengths?: Tensor;
  /** Receives each layer's states after the last real position. */
  readonly next: Mamba2State[];
}

/** Where a layer stands and how its rows are laid out. */
export interface Mamba2Call extends Mamba2Options {
  readonly layer: number;
  readonly batch: Dimension;
  readonly time: Dimension;
  /** Absent: whole rows from a state of 0, in chunks, as training and evaluation use them. */
  readonly carry?: Mamba2Carry;
}

/**
 * `x` `[batch * time, width]` through a layer. With `carry` the rows are new positions behind those read before, and
 * positions beyond a row's length leave its states alone (what they give has no meaning). Sizes may then be names, but work
 * grows with the square of a `time` that is only a name: read long prompts in pieces of a chunk.
 * @returns the same shape.
 */
export function mamba2(parameters: Mamba2Parameters, x: Tensor, options: Mamba2Call): Tensor {
  const { inner, heads, head, groups, state, channels } = mamba2Sizes(options);
  const { batch, time, layer, carry, chunk = 64 } = options;
  const rows = x.shape[0] ?? 1;
  const [gate, mixed, step] = three(splitSizes(linear(parameters.in, x), [inner, channels, heads], 1));
  const before = carry?.states[layer];
  if (carry !== undefined && before === undefined) throw new Error(`no state for layer ${layer}`);
  const apart = reshape(mixed, [batch, time, channels]);
  const near =
    before === undefined
      ? { y: convolve(parameters.convolution, apart), before: undefined }
      : convolveAfter(parameters.convolution, apart, before.convolution, carry?.lengths);
  const [values, b, c] = three(splitSizes(silu(near.y), [inner, groups * state, groups * state], 2));
  const input = {
    x: reshape(values, [batch, time, heads, head]),
    dt: real(reshape(softplus(add(step, parameters.dtBias)), [batch, time, heads]), carry?.lengths),
    a: neg(exp(parameters.logA)),
    b: reshape(b, [batch, time, groups, state]),
    c: reshape(c, [batch, time, groups, state]),
  };
  const result = mix(before === undefined ? input : { ...input, initial: before.states }, before === undefined, chunk);
  if (carry !== undefined && near.before !== undefined)
    carry.next[layer] = { convolution: near.before, states: result.state };
  const y = add(result.y, mul(input.x, reshape(parameters.skip, [heads, 1])));
  return linear(parameters.out, gated(parameters.norm.weight, reshape(y, [rows, inner]), gate, groups, options));
}

/** In chunks where whole rows, or more new positions than a chunk holds, are of known size; in one step elsewhere. */
function mix(input: StateSpaceInput, whole: boolean, chunk: number): StateSpaceOutput {
  const [batch, time] = input.x.shape;
  const long = typeof batch === 'number' && typeof time === 'number' && time > chunk;
  return whole || long ? stateSpace(input, chunk) : continueStateSpace(input);
}

function three(parts: readonly Tensor[]): readonly [Tensor, Tensor, Tensor] {
  const [a, b, c] = parts;
  if (a === undefined || b === undefined || c === undefined) throw new Error('three parts were split');
  return [a, b, c];
}

/** Step sizes of 0 beyond each row's length: such a step neither decays the state nor adds to it. */
function real(dt: Tensor, lengths: Tensor | undefined): Tensor {
  if (lengths === undefined) return dt;
  const [batch = 1, time = 1] = dt.shape;
  const exists = less(reshape(range(time), [1, time, 1]), reshape(lengths, [batch, 1, 1]));
  return mul(dt, cast(exists, 'float32'));
}

/** The gated RMS norm of `y` `[rows, inner]`, over the channels of each group. */
function gated(weight: Tensor, y: Tensor, gate: Tensor, groups: number, options: Mamba2Options): Tensor {
  const { normBeforeGate = false, normEpsilon = 1e-5 } = options;
  const open = silu(gate);
  const x = normBeforeGate ? y : mul(y, open);
  const normal = groups === 1 ? rmsNorm(x, weight, normEpsilon) : groupNorm(x, weight, groups, normEpsilon);
  return normBeforeGate ? mul(normal, open) : normal;
}

function groupNorm(x: Tensor, weight: Tensor, groups: number, epsilon: number): Tensor {
  const [rows = 1, inner = 1] = x.shape;
  const width = Number(inner) / groups;
  const ones = constant({ dtype: 'float32', shape: [width], data: new Float32Array(width).fill(1) });
  return mul(reshape(rmsNorm(reshape(x, [-1, width]), ones, epsilon), [rows, inner]), weight);
}
