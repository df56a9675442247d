/**
 * The programs of a decoding step: a stack for one new position of each row, with what its layers keep on the device.
 *
 * Each has two forms. Where all rows of the batch take the step nothing is moved. Where some do, the products are of those
 * rows only: what their layers keep is gathered, and what is new is written back at each row's own place.
 */

import { type CachedRows, embed, linear, type Mamba2State, once } from '../../nn/index.js';
import {
  type Append,
  add,
  array,
  type Call,
  cast,
  type DeviceTree,
  type Dimension,
  gather,
  greater,
  matmul,
  mul,
  type NDArray,
  type Program,
  type Runtime,
  reshape,
  type Spec,
  type Specs,
  slice,
  sub,
  type Tensor,
  TesseraError,
  where,
} from '../../tensor/index.js';
import { cachedWindow } from './attend.js';
import { parseLayout, stagesOf } from './layout.js';
import { type HNetParameters, type OuterStage, outerStage, widen } from './model.js';
import type { HNetOptions } from './options.js';
import { boundaryBetween } from './routing.js';
import { applyStack, type StackForm, type StackParameters, stackForm } from './stack.js';
import { type LayerState, openStates, type StepStates, stateSpecs } from './states.js';

/** Runs a stack of a session for some of its rows. */
export interface StackStep<In, Out extends string> {
  readonly form: StackForm;
  run(
    states: StepStates,
    name: string,
    batch: number,
    input: Readonly<Record<keyof In & string, NDArray>>,
    place: { readonly rows: Int32Array; readonly places: Int32Array },
  ): Promise<Readonly<Record<Out, Float32Array<ArrayBuffer>>>>;
}

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

/** The steps of a stage that chunks. */
export interface OuterSteps {
  readonly encode: StackStep<EncodeInput, 'out' | 'probability'>;
  readonly decode: StackStep<DecodeInput, 'out' | 'average'>;
}

/** Every step of a model. */
export interface Steps {
  readonly stages: readonly (OuterSteps | { readonly main: StackStep<MainInput, 'out'> })[];
  open(batch: number, expected: number): Promise<StepStates>;
  dispose(): Promise<void>;
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

/** Every step of a model, each form compiled when it is first needed. */
export function openSteps(runtime: Runtime, options: HNetOptions, parameters: HNetParameters): Steps {
  const programs: { dispose(): Promise<void> }[] = [];
  const forms: [string, StackForm][] = [];
  const compile = <In, Out extends string>(step: StepDescription<In, Out>): StackStep<In, Out> => {
    forms.push([step.name, step.form]);
    const all = once(() => compileAll(runtime, step));
    const some = once(() => compileSome(runtime, step));
    programs.push(all, some);
    return { form: step.form, run: (...given) => runStep(all.get, some.get, ...given) };
  };
  const stages: Steps['stages'][number][] = [];
  for (const steps of describeSteps(options, parameters)) {
    if (steps.main !== undefined) stages.push({ main: compile(steps.main) });
    else stages.push({ encode: compile(steps.encode), decode: compile(steps.decode) });
  }
  return {
    stages,
    open: (batch, expected) => openStates(runtime, forms, batch, Math.min(expected, options.context), options.context),
    dispose: async () => {
      for (const program of programs) await program.dispose();
    },
  };
}

interface State {
  readonly layers: readonly LayerState[];
}

interface AllInput<In> {
  readonly given: In;
  /** int32 `[rows]`: positions read before. */
  readonly at: Tensor;
}

interface SomeInput<In> extends AllInput<In> {
  /** int32 `[rows]`: which rows of the batch these are. */
  readonly rows: Tensor;
  /** int32 `[batch]`: where in these a row is; 0 for rows that are not. */
  readonly slots: Tensor;
  /** int32 `[batch]`: the places of all rows. */
  readonly places: Tensor;
  /** int32 `[batch]`: 1 for rows that take the step. */
  readonly moves: Tensor;
}

type AllProgram<In, Out extends string> = Program<State, AllInput<In>, Record<Out, Tensor>>;
type SomeProgram<In, Out extends string> = Program<State, SomeInput<In>, Record<Out, Tensor>>;

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
  const attend = cachedWindow(caches, at, form.window, fresh);
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

function compileAll<In, Out extends string>(
  runtime: Runtime,
  step: StepDescription<In, Out>,
): Promise<AllProgram<In, Out>> {
  return runtime.compile<State, AllInput<In>, Record<Out, Tensor>>(
    (state, { given, at }, call) => {
      let kept: readonly LayerState[] = [];
      const out = step.body(
        given,
        (x) => {
          const result = stepStack(step.form, step.parameters, x, state.layers, at, call);
          kept = result.layers;
          return result.out;
        },
        call,
      );
      return { append: appends(state, kept, at), state: replaced(state, kept), out };
    },
    {
      state: { layers: stateSpecs(step.form) } as Specs<State>,
      input: { given: step.input('batch'), at: ROW } as Specs<AllInput<In>>,
    },
  );
}

const ROW: Spec = { dtype: 'int32', shape: ['batch'] };

function appends(state: State, kept: readonly LayerState[], at: Tensor): Append[] {
  return kept.flatMap(({ cache }, layer) => {
    const into = state.layers[layer]?.cache;
    if (cache === undefined || into === undefined) return [];
    return [
      { leaf: into.key, rows: cache.key, at },
      { leaf: into.value, rows: cache.value, at },
    ];
  });
}

/** The states of Mamba-2 layers after a step, of rows that did not move as they were. */
function replaced(
  state: State,
  kept: readonly LayerState[],
  moves?: Tensor,
): { readonly layers: readonly LayerState[] } {
  const layers = kept.map(({ mamba }, layer): LayerState => {
    const old = state.layers[layer]?.mamba;
    if (mamba === undefined || old === undefined) return {};
    if (moves === undefined) return { mamba };
    const moved = (after: Tensor, before: Tensor): Tensor =>
      where(cast(reshape(moves, ['batch', ...before.shape.slice(1).map(() => 1)]), 'bool'), after, before);
    return {
      mamba: {
        convolution: moved(mamba.convolution, old.convolution),
        states: moved(mamba.states, old.states),
      },
    };
  });
  return { layers };
}

function compileSome<In, Out extends string>(
  runtime: Runtime,
  step: StepDescription<In, Out>,
): Promise<SomeProgram<In, Out>> {
  const row: Spec = { dtype: 'int32', shape: ['rows'] };
  const each = (layers: readonly LayerState[], index: Tensor): LayerState[] =>
    layers.map(({ cache, mamba }) => ({
      cache: cache && { key: gather(cache.key, index, 0), value: gather(cache.value, index, 0) },
      mamba: mamba && { convolution: gather(mamba.convolution, index, 0), states: gather(mamba.states, index, 0) },
    }));
  return runtime.compile<State, SomeInput<In>, Record<Out, Tensor>>(
    (state, { given, at, rows, slots, places, moves }, call) => {
      let kept: readonly LayerState[] = [];
      const out = step.body(
        given,
        (x) => {
          const result = stepStack(step.form, step.parameters, x, each(state.layers, rows), at, call);
          // A row that takes no step gets another's at its next place, which it overwrites before it is ever read.
          kept = each(result.layers, slots);
          return result.out;
        },
        call,
      );
      return { append: appends(state, kept, places), state: replaced(state, kept, moves), out };
    },
    {
      state: { layers: stateSpecs(step.form) } as Specs<State>,
      input: { given: step.input('rows'), at: row, rows: row, slots: ROW, places: ROW, moves: ROW } as Specs<
        SomeInput<In>
      >,
    },
  );
}

async function runStep<In, Out extends string>(
  all: () => Promise<AllProgram<In, Out>>,
  some: () => Promise<SomeProgram<In, Out>>,
  states: StepStates,
  name: string,
  batch: number,
  input: Readonly<Record<keyof In & string, NDArray>>,
  { rows, places }: { readonly rows: Int32Array; readonly places: Int32Array },
): Promise<Readonly<Record<Out, Float32Array<ArrayBuffer>>>> {
  const layers = await states.fit(name, Math.max(...places) + 1);
  const integers = (values: ArrayLike<number>): NDArray => array(Int32Array.from(values), [values.length], 'int32');
  const at = integers(Int32Array.from(rows, (row) => places[row] ?? 0));
  let result: unknown;
  if (rows.length === batch) {
    ({ out: result } = await (await all()).run(layers as DeviceTree<State>, { given: input, at } as never));
  } else {
    const [slots, moves] = [new Int32Array(batch), new Int32Array(batch)];
    for (const [slot, row] of rows.entries()) {
      slots[row] = slot;
      moves[row] = 1;
    }
    const given = {
      given: input,
      at,
      rows: integers(rows),
      slots: integers(slots),
      places: integers(places),
      moves: integers(moves),
    };
    ({ out: result } = await (await some()).run(layers as DeviceTree<State>, given as never));
  }
  const arrays = result as Readonly<Record<Out, NDArray>>;
  return Object.fromEntries(
    Object.entries<NDArray>(arrays).map(([key, { data }]) => [key, data as Float32Array<ArrayBuffer>]),
  ) as Record<Out, Float32Array<ArrayBuffer>>;
}
