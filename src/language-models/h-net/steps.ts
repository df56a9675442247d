/**
 * The programs of a decoding step: a stack for one new position of each row, with what its layers keep on the device.
 *
 * Each has two forms. Where all rows of the batch take the step nothing is moved. Where some do, the products are of those
 * rows only: what their layers keep is gathered, and what is new is written back at each row's own place.
 */

import { once } from '../../nn/index.js';
import {
  type Append,
  array,
  cast,
  type DeviceTree,
  gather,
  type NDArray,
  type Program,
  type Runtime,
  reshape,
  type Spec,
  type Specs,
  type Tensor,
  where,
} from '../../tensor/index.js';
import {
  type DecodeInput,
  describeSteps,
  type EncodeInput,
  type MainInput,
  type StepDescription,
  stepStack,
} from './describe.js';
import type { HNetParameters } from './model.js';
import type { HNetOptions } from './options.js';
import type { StepPlace } from './session.js';
import type { StackForm } from './stack.js';
import { type LayerState, openStates, type StepStates, stateSpecs } from './states.js';

/** Runs a stack of a session for some of its rows. */
export interface StackStep<In, Out extends string> {
  readonly form: StackForm;
  run(
    states: StepStates,
    batch: number,
    input: Readonly<Record<keyof In & string, NDArray>>,
    place: StepPlace,
  ): Promise<Readonly<Record<Out, Float32Array<ArrayBuffer>>>>;
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

/** Every step of a model, each form compiled when it is first needed. */
export function openSteps(runtime: Runtime, options: HNetOptions, parameters: HNetParameters): Steps {
  const programs: { dispose(): Promise<void> }[] = [];
  const forms: [string, StackForm][] = [];
  const compile = <In, Out extends string>(step: StepDescription<In, Out>): StackStep<In, Out> => {
    forms.push([step.name, step.form]);
    const all = once(() => compileAll(runtime, step));
    const some = once(() => compileSome(runtime, step));
    programs.push(all, some);
    return {
      form: step.form,
      run: (states, ...given) => runStep(all.get, some.get, (needed) => states.fit(step.name, needed), ...given),
    };
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
  room: (needed: number) => Promise<DeviceTree<unknown>>,
  batch: number,
  input: Readonly<Record<keyof In & string, NDArray>>,
  { rows, places }: StepPlace,
): Promise<Readonly<Record<Out, Float32Array<ArrayBuffer>>>> {
  const layers = await room(Math.max(...places) + 1);
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
