/**
 * The programs of a training run and the state they share. With one batch an update, loss, gradients, clipping,
 * optimizer and average are one program; otherwise one program adds a micro-batch's gradients to sums in the state and
 * another makes the update from them.
 *
 * Gradients are taken of totals and divided once, by the count of all micro-batches, in the multiplication that clips.
 */

import {
  type Arrays,
  add,
  arrayLeaves,
  broadcastTo,
  type Call,
  constant,
  type DeviceTree,
  div,
  gradients,
  isNDArray,
  mapTensors,
  mapTree,
  maximum,
  mul,
  type NDArray,
  type Program,
  type Runtime,
  type Shape,
  type Spec,
  type Specs,
  specLeaves,
  specsOf,
  stopGradient,
  type Tensor,
  TesseraError,
  type Traced,
  tensorLeaves,
  zeros,
} from '../tensor/index.js';
import { isSpec } from '../tensor/tree.js';
import { clippedMean } from './clip.js';
import { averageTree } from './ema.js';
import { isFiniteScalar, keepIfFinite, type LossScaling, nextLossScaling, overflowed } from './loss-scale.js';
import type { Module, Objective } from './module.js';
import { withLeaves, withoutLeaves } from './paths.js';
import type { TreeOptimizer } from './train-types.js';

/** The trees of a run. The objective's own parameters are a tree beside the model's. */
export interface TrainTrees<P, Q> {
  readonly model: P;
  readonly own: { readonly objective: Q };
  readonly moments: { readonly model: unknown; readonly own: unknown; readonly scaling?: LossScaling };
  readonly average?: P;
}

interface Sums<P, Q> {
  readonly model: P;
  readonly own: { readonly objective: Q };
  readonly total: Tensor;
  readonly count: Tensor;
}

interface State<P, Q> extends TrainTrees<P, Q> {
  readonly sums?: Sums<P, Q>;
}

interface Settings {
  readonly rate: Tensor;
  /** What the average takes from the parameters. */
  readonly weight: Tensor;
}

interface Measured {
  readonly loss: Tensor;
  readonly norm: Tensor;
  readonly count: Tensor;
}

/** What one update gives. */
export interface UpdateResult {
  readonly loss: number;
  readonly gradientNorm: number;
  readonly count: number;
  readonly figures: Readonly<Record<string, number>>;
}

/** A run's state on the device with the programs that change it. */
export interface Trainer<P, B, Q> {
  readonly state: DeviceTree<P>;
  readonly averaged: DeviceTree<P> | undefined;
  readonly bytes: number;
  /** Compiles what batches of this form need. */
  prepare(batch: Arrays<B>): Promise<{ readonly nodes: number; readonly flops: number }>;
  /** One update, the `step`-th from 0, from one batch or, when accumulating, several. */
  update(
    batches: readonly Arrays<B>[],
    at: { readonly step: number; readonly rate: number; readonly weight: number },
  ): Promise<UpdateResult>;
  /** A tree as it is now, copied to this thread. */
  read(part: keyof TrainTrees<P, Q>): Promise<unknown>;
  write(values: Arrays<TrainTrees<P, Q>>): Promise<void>;
  dispose(): Promise<void>;
}

/** What a trainer is made of. */
export interface TrainerOptions<P, B, O, Q> {
  readonly model: Module<P, B, O>;
  readonly objective: Objective<B, O, Q>;
  readonly optimizer: TreeOptimizer;
  readonly frozen: (path: string, shape: Shape) => boolean;
  readonly clip: number | undefined;
  readonly accumulate: boolean;
  readonly seed: number;
  readonly checkNumerics: boolean;
  readonly rematerialize: boolean;
  readonly precision: 'float32' | 'mixed';
}

/** Uploads the state, which starts as `values`, and gives the means to change it. Compiling waits for the first batch. */
export async function openTrainer<P, B, O, Q>(
  runtime: Runtime,
  values: Arrays<TrainTrees<P, Q>>,
  options: TrainerOptions<P, B, O, Q>,
): Promise<Trainer<P, B, Q>> {
  const { accumulate, seed, checkNumerics, rematerialize, precision } = options;
  const trained = <T>(tree: T): T => withoutLeaves(tree, options.frozen);
  const whole = accumulate ? { ...values, sums: zeroSums(trained(values.model), trained(values.own)) } : values;
  const state = (await runtime.upload(whole)) as unknown as DeviceTree<State<P, Q>>;
  const specs = { state: specsOf<State<P, Q>>(whole), seed, training: true, checkNumerics, rematerialize, precision };
  // Specs, so that the values themselves can be let go of.
  const forms: Readonly<Record<keyof TrainTrees<P, Q>, unknown>> = {
    model: specsOf(values.model),
    own: specsOf(values.own),
    moments: specsOf(values.moments),
    average: specsOf(values.average),
  };
  const scalar: Spec = { dtype: 'float32', shape: [] };
  const settings: Specs<Settings> = { rate: scalar, weight: scalar };

  const lossOf = (from: State<P, Q>, batch: B, call: Call) => {
    const model = (input: B, inner: Call): O => options.model.apply(from.model, input, inner);
    const { total, count, extra } = options.objective.loss(model, from.own.objective, batch, call);
    for (const [name, tensor] of Object.entries({ total, count, ...(extra === undefined ? {} : { extra }) })) {
      if (tensor.shape.length === 0) continue;
      throw new TesseraError(
        'bad-shape',
        `The objective's ${name} must be a scalar, not [${tensor.shape.join(', ')}].`,
      );
    }
    const target = extra === undefined ? total : add(total, mul(extra, stopGradient(count)));
    const factor = from.moments.scaling?.factor;
    const scaled = factor === undefined ? target : mul(target, factor);
    const slopes = gradients(scaled, { model: trained(from.model), own: trained(from.own) });
    return { target, count, slopes };
  };

  /** New trees from summed gradients; leaves that are frozen stay the tensors they were. */
  const updated = (
    from: State<P, Q>,
    slopes: { readonly model: P; readonly own: unknown },
    sums: { readonly target: Tensor; readonly count: Tensor },
    given: Settings,
    call: Call,
  ) => {
    // Nothing counted is no reason for NaN.
    const count = maximum(sums.count, 1e-20);
    const scaling = from.moments.scaling;
    const clipped = clippedMean(slopes, scaling === undefined ? count : mul(count, scaling.factor), options.clip);
    const model = options.optimizer.update(
      trained(from.model),
      clipped.gradients.model,
      from.moments.model,
      given.rate,
      call,
    );
    const own = options.optimizer.update(trained(from.own), clipped.gradients.own, from.moments.own, given.rate, call);
    const state = {
      model: withLeaves(from.model, model.parameters),
      own: withLeaves(from.own, own.parameters),
      moments: { model: model.moments, own: own.moments },
      ...(from.average === undefined ? {} : { average: averageTree(from.average, model.parameters, given.weight) }),
    };
    const out: Measured = { loss: div(sums.target, count), norm: clipped.norm, count: sums.count };
    if (scaling === undefined) return { state, out };
    const finite = isFiniteScalar(clipped.norm);
    const next = nextLossScaling(scaling, finite);
    call.record('lossScale', next.factor);
    call.record('overflow', overflowed(finite));
    const kept = keepIfFinite(finite, state, from);
    return { state: { ...kept, moments: { ...kept.moments, scaling: next } }, out };
  };

  type Whole = Program<State<P, Q>, { readonly batch: B; readonly settings: Settings }, Measured>;
  type Micro = Program<State<P, Q>, B, Record<string, never>>;
  const wholes = new Map<string, Whole>();
  const micros = new Map<string, Micro>();
  let finish: Program<State<P, Q>, Settings, Measured> | undefined;

  const compileWhole = (batch: Arrays<B>): Promise<Whole> =>
    runtime.compile<State<P, Q>, { readonly batch: B; readonly settings: Settings }, Measured>(
      (from, given, call) => {
        const { target, count, slopes } = lossOf(from, given.batch, call);
        return updated(from, slopes, { target, count }, given.settings, call) as Traced<State<P, Q>, Measured>;
      },
      { ...specs, input: { batch: specsOf<B>(batch), settings } },
    );

  const compileMicro = (batch: Arrays<B>): Promise<Micro> =>
    runtime.compile<State<P, Q>, B, Record<string, never>>(
      (from, given, call) => {
        const { target, count, slopes } = lossOf(from, given, call);
        const sums = from.sums;
        if (sums === undefined) throw new Error('sums are part of the state');
        const grown = addTrees({ model: sums.model, own: sums.own }, slopes);
        return {
          state: { sums: { ...grown, total: add(sums.total, target), count: add(sums.count, count) } },
          out: {},
        } as Traced<State<P, Q>, Record<string, never>>;
      },
      { ...specs, input: specsOf<B>(batch) },
    );

  const compileFinish = (): Promise<Program<State<P, Q>, Settings, Measured>> =>
    runtime.compile<State<P, Q>, Settings, Measured>(
      (from, given, call) => {
        const sums = from.sums;
        if (sums === undefined) throw new Error('sums are part of the state');
        const summed = { model: sums.model, own: sums.own };
        const { state: next, out } = updated(from, summed, { target: sums.total, count: sums.count }, given, call);
        const cleared = mapTensors(sums, (leaf) => broadcastTo(constant(0, leaf.dtype), leaf.shape));
        return { state: { ...next, sums: cleared }, out } as Traced<State<P, Q>, Measured>;
      },
      { ...specs, input: settings },
    );

  const keyOf = (batch: Arrays<B>): string =>
    arrayLeaves(batch)
      .map(([path, { dtype, shape }]) => `${path}:${dtype}[${shape.join()}]`)
      .join(' ');
  const compiled = async <T>(
    known: Map<string, T>,
    batch: Arrays<B>,
    compile: (batch: Arrays<B>) => Promise<T>,
  ): Promise<T> => {
    const found = known.get(keyOf(batch)) ?? (await compile(batch));
    known.set(keyOf(batch), found);
    return found;
  };

  return {
    state: state.view('model') as DeviceTree<P>,
    averaged: values.average === undefined ? undefined : (state.view('average') as DeviceTree<P>),
    bytes: state.bytes,
    prepare: async (batch) => {
      if (!accumulate) return (await compiled(wholes, batch, compileWhole)).report;
      const { report } = await compiled(micros, batch, compileMicro);
      finish ??= await compileFinish();
      return { nodes: report.nodes + finish.report.nodes, flops: report.flops };
    },
    update: async (batches, { step, rate, weight }) => {
      const given = { rate: floatScalar(rate), weight: floatScalar(weight) };
      if (!accumulate) {
        const [batch] = batches;
        if (batch === undefined) throw new Error('an update needs a batch');
        // A known program is started at once, before anything else gets this thread.
        const program = wholes.get(keyOf(batch)) ?? (await compiled(wholes, batch, compileWhole));
        const { out, figures } = await program.run(state, { batch, settings: given } as never, { step });
        return measured(out, figures);
      }
      const recorded: Readonly<Record<string, number>>[] = [];
      for (const [micro, batch] of batches.entries()) {
        const program = micros.get(keyOf(batch)) ?? (await compiled(micros, batch, compileMicro));
        recorded.push((await program.run(state, batch, { step, micro })).figures);
      }
      finish ??= await compileFinish();
      const { out, figures } = await finish.run(state, given as never, { step });
      return measured(out, { ...meanFigures(recorded), ...figures });
    },
    read: async (part) => {
      const form = forms[part];
      if (specLeaves(form).length === 0) return form;
      const found = new Map(arrayLeaves(await state.view(part).read()));
      return mapTree(form, isSpec, (_leaf, path) => found.get(path));
    },
    write: (next) => state.write(next as never),
    dispose: async () => {
      for (const program of [...wholes.values(), ...micros.values(), ...(finish === undefined ? [] : [finish])])
        await program.dispose();
      await state.dispose();
    },
  };
}

function zeroSums(model: unknown, own: unknown): unknown {
  const empty = (tree: unknown): unknown => mapTree(tree, isNDArray, ({ dtype, shape }) => zeros(shape, dtype));
  return { model: empty(model), own: empty(own), total: floatScalar(0), count: floatScalar(0) };
}

function addTrees<T>(sums: T, slopes: unknown): T {
  const found = new Map(tensorLeaves(slopes));
  return mapTensors(sums, (sum, path) => {
    const slope = found.get(path);
    return slope === undefined ? sum : add(sum, slope);
  });
}

function floatScalar(value: number): NDArray {
  return { dtype: 'float32', shape: [], data: Float32Array.of(value) };
}

function measured(out: Arrays<Measured>, figures: Readonly<Record<string, number>>): UpdateResult {
  const number = ({ data }: NDArray): number => Number(data[0]);
  return { loss: number(out.loss), gradientNorm: number(out.norm), count: number(out.count), figures };
}

function meanFigures(recorded: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const names = Object.keys(recorded[0] ?? {});
  return Object.fromEntries(
    names.map((name) => [name, recorded.reduce((sum, figures) => sum + (figures[name] ?? 0), 0) / recorded.length]),
  );
}
