/** What each step of a model computes of one new position of each row; the same for programs of this library and exported ones. */

import { type CachedRows, cached, embed, linear, type Mamba2State } from '../../nn/index.js';
import {
  add,
  type Call,
  cast,
  type Dimension,
  greater,
  matmul,
  mul,
  reshape,
  type Spec,
  slice,
  sub,
  type Tensor,
  TesseraError,
  where,
} from '../../tensor/index.js';
import { parseLayout, stagesOf } from './layout.js';
import { type HNetParameters, type OuterStage, outerStage, widen } from './model.js';
import type { HNetOptions } from './options.js';
import { boundaryBetween } from './routing.js';
import { applyStack, type StackForm, type StackParameters, stackForm } from './stack.js';
import type { LayerState } from './states.js';

/** What an encoder step is given, row by row. */
export interface EncodeInput {
  /** Bytes int32 `[rows]`, or the hidden states of the stage outside `[rows, width]`. */
  readonly x: Tensor;
  /** The hidden state before: `[rows, width]`. */
  readonly previous: Tensor;
  /** int32 `[rows]`: 1 where a document begins. */
  readonly begins: Tensor;
}

/** What a decoder step is given. */
export interface DecodeInput {
  /** The encoder's hidden states `[rows, width]`. */
  readonly x: Tensor;
  /** What the stage inside gave; anything where it took no step. */
  readonly inside: Tensor;
  /** The average of the chunks so far. */
  readonly average: Tensor;
  /** `[rows]`: what the average takes; 0 where it repeats. */
  readonly weight: Tensor;
}

/** What the innermost step is given. */
export interface MainInput {
  readonly x: Tensor;
}

/** One new position of a stack: `mix` runs it. */
export type StepBody<In, Out extends string> = (
  input: In,
  stack: (x: Tensor) => Tensor,
  call: Call,
) => Readonly<Record<Out, Tensor>>;

/** What a step computes, apart from what its layers keep. */
export interface StepDescription<In, Out extends string> {
  readonly name: string;
  readonly form: StackForm;
  readonly parameters: StackParameters;
  readonly input: (rows: Dimension) => Readonly<Record<keyof In & string, Spec>>;
  readonly body: StepBody<In, Out>;
}

/** Embedding or widening, encoder, and the router between the state before and this one. */
export function describeEncode(
  options: HNetOptions,
  parameters: HNetParameters,
  stage: number,
  outer: OuterStage,
): StepDescription<EncodeInput, 'out' | 'probability'> {
  const width = options.widths[stage] ?? 1;
  const outside = options.widths[stage - 1] ?? 1;
  return {
    name: `${stage}.encoder`,
    form: outer.encoder,
    parameters: outer.encode,
    input: (rows) => ({
      x: stage === 0 ? { dtype: 'int32', shape: [rows] } : { dtype: 'float32', shape: [rows, outside] },
      previous: { dtype: 'float32', shape: [rows, width] },
      begins: { dtype: 'int32', shape: [rows] },
    }),
    body: ({ x, previous, begins }, stack) => {
      const entered = stage === 0 ? embed(parameters.embedding.weight, x) : widen(x, parameters.stages[stage]?.pad);
      const hidden = stack(entered);
      const chance = boundaryBetween(outer.routing, previous, hidden);
      return { out: hidden, probability: where(cast(begins, 'bool'), 1, chance) };
    },
  };
}

/** The average, the skip, the decoder, and the way out: narrower states, or logits. */
export function describeDecode(
  options: HNetOptions,
  parameters: HNetParameters,
  stage: number,
  outer: OuterStage,
): StepDescription<DecodeInput, 'out' | 'average'> {
  const width = options.widths[stage] ?? 1;
  const wide = (rows: Dimension): Spec => ({ dtype: 'float32', shape: [rows, width] });
  return {
    name: `${stage}.decoder`,
    form: outer.decoder,
    parameters: outer.decode,
    input: (rows) => ({
      x: wide(rows),
      inside: wide(rows),
      average: wide(rows),
      weight: { dtype: 'float32', shape: [rows] },
    }),
    body: ({ x, inside, average, weight }, stack) => {
      const share = reshape(weight, [-1, 1]);
      const next = add(mul(share, inside), mul(sub(1, share), average));
      const decoded = stack(add(next, linear(outer.residual, x)));
      const out =
        stage === 0
          ? matmul(decoded, parameters.head.weight)
          : slice(decoded, 1, 0, options.widths[stage - 1] ?? width);
      return { out, average: next };
    },
  };
}

/** The innermost stage. */
export function describeMain(
  options: HNetOptions,
  parameters: HNetParameters,
  stage: number,
  kinds: StackForm['kinds'],
  stack: StackParameters,
): StepDescription<MainInput, 'out'> {
  const outside = options.widths[stage - 1] ?? 1;
  return {
    name: `${stage}.main`,
    form: stackForm(options, stage, kinds),
    parameters: stack,
    input: (rows) => ({ x: { dtype: 'float32', shape: [rows, outside] } }),
    body: ({ x }, run) => ({ out: slice(run(widen(x, parameters.stages[stage]?.pad)), 1, 0, outside) }),
  };
}

/** The descriptions of a model's steps, stage after stage. */
export function describeSteps(options: HNetOptions, parameters: HNetParameters) {
  return stagesOf(parseLayout(options.layout)).map((layout, stage) => {
    const own = parameters.stages[stage];
    if (own === undefined) throw new TesseraError('mismatch', `The parameters have no stage ${stage}.`);
    const outer = outerStage(options, layout, stage, own);
    if (outer !== undefined) {
      return {
        encode: describeEncode(options, parameters, stage, outer),
        decode: describeDecode(options, parameters, stage, outer),
      };
    }
    if (own.main === undefined || !('main' in layout)) {
      throw new TesseraError('mismatch', `The parameters of stage ${stage} lack the main network.`);
    }
    return { main: describeMain(options, parameters, stage, layout.main, own.main) };
  });
}

/** A stack on single positions, given what its layers kept; tells what they keep now. */
export function stepStack(
  form: StackForm,
  parameters: StackParameters,
  x: Tensor,
  layers: readonly LayerState[],
  at: Tensor,
  call: Call,
): { readonly out: Tensor; readonly layers: readonly LayerState[] } {
  const rows = x.shape[0] ?? 1;
  const fresh: CachedRows[] = [];
  const caches = layers.map((layer): CachedRows => layer.cache ?? { key: x, value: x });
  const positions = cast(reshape(at, [rows, 1]), 'int64');
  const attend = cached(caches, at, fresh, form.window);
  // A row that begins has read nothing, whatever stands in its states.
  const goesOn = cast(greater(at, 0), 'float32');
  const nothing: Mamba2State = { convolution: x, states: x };
  const states = layers.map(
    ({ mamba }): Mamba2State =>
      mamba === undefined
        ? nothing
        : {
            convolution: mul(mamba.convolution, reshape(goesOn, [rows, 1, 1])),
            states: mul(mamba.states, reshape(goesOn, [rows, 1, 1, 1])),
          },
  );
  const next: Mamba2State[] = [];
  const mixing = { batch: rows, time: 1, positions, attend, carry: { states, next } };
  const out = applyStack(form, parameters, x, mixing, call);
  return { out, layers: layers.map((_, layer) => ({ cache: fresh[layer], mamba: next[layer] })) };
}
