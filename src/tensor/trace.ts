/** Tracing: a function of tensors is called once, and what it returns, records and draws becomes a program. */

import { TesseraError } from '../host/error.js';
import { checkpoint } from './checkpoint.js';
import type { Draw } from './draws.js';
import { enterScope, input, isStatic, type Spec, sameShape, shapeError, shapeText, type Tensor } from './graph.js';
import { sum } from './operations/broadcast.js';
import { cast, lessEqual, mul } from './operations/elementwise.js';
import { cumsum, softmax } from './operations/reduce.js';
import { isSpec, joinPath, type Leaf, mapTree, type Specs, tensorLeaves } from './tree.js';

/** What a traced function may use beside its arguments. */
export interface Call {
  /** True while training: dropout is on. */
  readonly training: boolean;
  /** The step, counted from 0: a float32 scalar. */
  readonly step: Tensor;
  /** Draws at this call's path. */
  readonly random: TracedRandom;
  /** The call of a part: its draws and figures are named under `name`, so the same path is the same draw. */
  at(name: string | number): Call;
  /** Reports a scalar with every run under this path. */
  record(name: string, figure: Tensor): void;
  /** A block of a model: where the program rematerializes, {@link checkpoint} of it, elsewhere the block itself. */
  block<I extends readonly Tensor[], R>(f: (...inputs: I) => R): (...inputs: I) => R;
}

/** The verbs of {@link Random}, giving tensors that are drawn anew at each run. */
export interface TracedRandom {
  normal(shape: readonly number[], deviation?: number): Tensor;
  uniform(shape: readonly number[], low?: number, high?: number): Tensor;
  integers(shape: readonly number[], below: number): Tensor;
  bernoulli(shape: readonly number[], probability: number): Tensor;
  permutation(n: number): Tensor;
  /** One class a row of `[..., classes]` logits, by inverting the distribution at one uniform number a row; int32. */
  categorical(logits: Tensor): Tensor;
}

/** Rows that a run writes into a state leaf after it ran: `rows` `[batch, heads, new, head]` at each row's `at` `[batch]`. */
export interface Append {
  readonly leaf: Tensor;
  readonly rows: Tensor;
  readonly at: Tensor;
}

/** What a traced function returns: new state leaves, rows to append, and the outputs. */
export interface Traced<S, Out> {
  readonly state?: DeepPartial<S>;
  readonly append?: readonly Append[];
  readonly out: Out;
}

/** A tree of which any branch may be missing. */
export type DeepPartial<T> = T extends Tensor ? T : { readonly [K in keyof T]?: DeepPartial<T[K]> };

/** The arguments a function is traced for. */
export interface ProgramSpecs<S, In> {
  readonly state: Specs<S>;
  readonly input: Specs<In>;
  readonly seed?: number;
  readonly training?: boolean;
  /** Threads of this program, where fewer than the runtime's serve it better: sums too small to share. */
  readonly threads?: number;
  /** Also compute, for every float tensor, whether it is finite; a run then says where a NaN began. */
  readonly checkNumerics?: boolean;
  /** Compute the insides of {@link Call.block}s again for gradients instead of keeping them: less memory, more sums. */
  readonly rematerialize?: boolean;
  /** `mixed`: products in float16 between casts (see onnx/half-products.ts); default float32. */
  readonly precision?: 'float32' | 'mixed';
}

/** A function of state and input that can be compiled. */
export type Traceable<S, In, Out> = (state: S, input: In, call: Call) => Traced<S, Out>;

/** Everything a trace found. */
export interface Trace {
  readonly state: readonly Leaf<Tensor>[];
  readonly input: readonly Leaf<Tensor>[];
  readonly draws: readonly (readonly [Draw, Tensor])[];
  readonly step: Tensor;
  readonly updates: readonly Leaf<Tensor>[];
  readonly appends: readonly { readonly path: string; readonly rows: Tensor; readonly at: Tensor }[];
  readonly out: readonly Leaf<Tensor>[];
  /** The outputs in the form in which they were returned. */
  readonly outTree: unknown;
  readonly figures: readonly Leaf<Tensor>[];
}

class Recorder {
  readonly draws = new Map<string, readonly [Draw, Tensor]>();
  readonly figures = new Map<string, Tensor>();
  readonly step = input('step', { dtype: 'float32', shape: [] });

  draw(path: string, verb: Draw['verb'], spec: Spec, numbers: readonly number[]): Tensor {
    const { shape } = spec;
    if (!isStatic(shape)) throw shapeError(`A random draw needs known sizes, not ${shapeText(shape)}.`);
    const key = `${path}:${verb}[${shape.join()}](${numbers.join()})`;
    const known = this.draws.get(key);
    if (known !== undefined) return known[1];
    const tensor = input(key, spec);
    this.draws.set(key, [{ path, verb, shape, numbers }, tensor]);
    return tensor;
  }
}

/** What a call is made for. */
type Purpose = Pick<ProgramSpecs<unknown, unknown>, 'training' | 'rematerialize'>;

function callAt(recorder: Recorder, purpose: Purpose, path: string): Call {
  const draw = (verb: Draw['verb'], dtype: Spec['dtype'], shape: readonly number[], ...numbers: number[]) =>
    recorder.draw(path, verb, { dtype, shape }, numbers);
  const traced: TracedRandom = {
    normal: (shape, deviation = 1) => draw('normal', 'float32', shape, deviation),
    uniform: (shape, low = 0, high = 1) => draw('uniform', 'float32', shape, low, high),
    integers: (shape, below) => draw('integers', 'int32', shape, below),
    bernoulli: (shape, probability) => draw('bernoulli', 'bool', shape, probability),
    permutation: (n) => draw('permutation', 'int32', [n], n),
    categorical: (logits) => {
      const rows = logits.shape.slice(0, -1);
      if (!isStatic(rows)) throw shapeError('categorical needs a known number of rows.');
      const chance = draw('uniform', 'float32', [...rows, 1], 0, 1);
      const running = cumsum(softmax(logits), -1);
      // Rounding may leave the last running sum under 1: scale the chance by it.
      const total = sum(softmax(logits), -1, { keepDims: true });
      return cast(sum(cast(lessEqual(running, mul(chance, total)), 'float32'), -1), 'int32');
    },
  };
  return {
    training: purpose.training ?? false,
    step: recorder.step,
    random: traced,
    at: (name) => {
      const inner = joinPath(path, name);
      enterScope(inner);
      return callAt(recorder, purpose, inner);
    },
    record: (name, figure) => {
      if (figure.shape.length !== 0)
        throw shapeError(`The figure "${name}" must be a scalar, not ${shapeText(figure.shape)}.`);
      recorder.figures.set(joinPath(path, name), figure);
    },
    block: (f) => (purpose.rematerialize === true ? checkpoint(f) : f),
  };
}

/** Calls `f` once with symbolic tensors. @throws TesseraError when returned state does not fit the state given. */
export function trace<S, In, Out>(f: Traceable<S, In, Out>, specs: ProgramSpecs<S, In>): Trace {
  const recorder = new Recorder();
  const bind = (tree: unknown, prefix: string): readonly [unknown, Leaf<Tensor>[]] => {
    const bound: Leaf<Tensor>[] = [];
    const tensors = mapTree(tree, isSpec, (spec, path) => {
      const tensor = input(`${prefix}:${path}`, { dtype: spec.dtype, shape: spec.shape });
      bound.push([path, tensor]);
      return tensor;
    });
    return [tensors, bound];
  };
  const [state, stateLeaves] = bind(specs.state, 'state');
  const [inputs, inputLeaves] = bind(specs.input, 'in');
  const before = enterScope('');
  let result: Traced<S, Out>;
  try {
    result = f(state as S, inputs as In, callAt(recorder, specs, ''));
  } finally {
    enterScope(before);
  }
  return {
    state: stateLeaves,
    input: inputLeaves,
    draws: [...recorder.draws.values()],
    step: recorder.step,
    updates: checkUpdates(stateLeaves, tensorLeaves(result.state)),
    appends: (result.append ?? []).map(({ leaf, rows, at }) => {
      const found = stateLeaves.find(([, tensor]) => tensor === leaf);
      if (found === undefined) throw new TesseraError('bad-option', 'append must name a leaf of the state.');
      return { path: found[0], rows, at };
    }),
    out: tensorLeaves(result.out),
    outTree: result.out,
    figures: [...recorder.figures.entries()],
  };
}

function checkUpdates(state: readonly Leaf<Tensor>[], updates: readonly Leaf<Tensor>[]): Leaf<Tensor>[] {
  const known = new Map(state);
  return updates.filter(([path, tensor]) => {
    const old = known.get(path);
    if (old === undefined)
      throw new TesseraError('bad-option', `The program returned state "${path}", which its state does not have.`);
    if (old.dtype !== tensor.dtype || !sameShape(old.shape, tensor.shape)) {
      const [was, is] = [old, tensor].map(({ dtype, shape }) => `${dtype} ${shapeText(shape)}`);
      throw shapeError(`The state "${path}" is ${was} and would become ${is}.`);
    }
    return old !== tensor;
  });
}

/** The specs of a tree of arrays, tensors or specs. */
export function specsOf<P>(tree: unknown): Specs<P> {
  return mapTree(tree, isSpec, ({ dtype, shape }) => ({ dtype, shape }));
}
