/**
 * Decoding with key-value caches on the device, for every model whose layers mix positions through {@link Attend}.
 *
 * One program reads new tokens and gives, beside the logits, only the new rows of keys and values; they are written into
 * caches that grow by doubling. Weights are constants of the program, which the runtime packs once.
 */

import {
  type Arrays,
  add,
  array,
  type Call,
  cast,
  constant,
  createRuntime,
  type DeviceTree,
  type Dimension,
  equal,
  exportProgram,
  isNDArray,
  type Lowered,
  mapTree,
  matmul,
  type NDArray,
  type Program,
  type ProgramSpecs,
  type Runtime,
  range,
  reshape,
  type Tensor,
  type Tensors,
  zeros,
} from '../tensor/index.js';
import { type Attend, type CachedRows, cached } from './attention.js';
import type { DecoderSession, DecoderStep, StepDecoder } from './decoding.js';

/** Where the new tokens stand and how layers see those before them. */
export interface DecoderContext {
  readonly attend: Attend;
  /** int32 `[batch, time]`. */
  readonly positions: Tensor;
}

/** A model that decodes with caches. `E` is what a row keeps for as long as it lasts, beside its caches. */
export interface CachedModel<E = Record<string, never>> {
  readonly layers: number;
  readonly kvHeads: number;
  /** Width of a head. */
  readonly head: number;
  readonly width: number;
  readonly vocabulary: number;
  readonly context: number;
  readonly endOfText: number;
  /** Numbers in the weights that a token passes through: small models decode on one thread. */
  readonly weights: number;
  /** The last hidden states `[batch * time, width]` of ids int32 `[batch, time]`. */
  hidden(ids: Tensor, context: DecoderContext, extra: E, call: Call): Tensor;
  /** Logits `[batch, vocabulary]` of hidden states `[batch, width]`, one of each row. */
  logits(hidden: Tensor, extra: E, call: Call): Tensor;
  /** What each row keeps: specs with the named size "batch" first, and values for a number of rows. */
  readonly extra?: {
    readonly specs: ProgramSpecs<E, unknown>['state'];
    values(batch: number, seed: number): Arrays<E>;
  };
}

interface DecodeState<E> {
  readonly caches: readonly CachedRows[];
  readonly extra: E;
}

interface DecodeInput {
  /** int32 `[batch, time]`. */
  readonly ids: Tensor;
  /** int32 `[batch]`: rows of the cache that are filled. */
  readonly at: Tensor;
  /** int32 `[batch]`: which of the new positions to predict from. */
  readonly last: Tensor;
}

/** Parameters as constants of a graph. */
export function frozen<P>(parameters: Arrays<P>): P {
  return mapTree<Parameters<typeof constant>[0] & object, Tensors<Arrays<P>>>(parameters, isNDArray, (leaf) =>
    constant(leaf),
  ) as P;
}

/** Below this many weights a model decodes faster on one thread: a token's products are too small to share. */
const ONE_THREAD = 4e6;

/**
 * Compiles the decoder of a model. A small model takes well under a millisecond a token, less than a message to a worker
 * and back: it gets a runtime of its own in this thread, which turns the event loop between tokens.
 */
export async function openCachedDecoder<E>(
  runtime: Runtime,
  model: CachedModel<E>,
): Promise<StepDecoder & { dispose(): Promise<void> }> {
  const small = model.weights < ONE_THREAD;
  const own = small ? await createRuntime({ device: runtime.device, threads: 1, worker: false }) : undefined;
  const used = own ?? runtime;
  const program = await compile(used, model, 'time');
  // A small model's time is its nodes: for a single new token it has a program with fewer of them.
  const single = small ? await compile(used, model, 1) : program;
  const { context, vocabulary, endOfText } = model;
  return {
    context,
    vocabulary,
    endOfText,
    open: async ({ batch, expected, seed }) => {
      const extra = await used.upload(model.extra?.values(batch, seed) ?? ({} as Arrays<E>));
      const caches = await Caches.open(used, model, batch, bucket(model, expected));
      return new CachedSession(used, { program, single }, batch, caches, extra as DeviceTree<E>);
    },
    dispose: () => (own === undefined ? program.dispose() : own.dispose()),
  };
}

type DecodeProgram<E> = Program<DecodeState<E>, DecodeInput, Tensor>;

function compile<E>(runtime: Runtime, model: CachedModel<E>, time: Dimension): Promise<DecodeProgram<E>> {
  return runtime.compile<DecodeState<E>, DecodeInput, Tensor>(
    (state, input, call) => {
      const { logits, rows } = step(model, state, input, call);
      const append = rows.flatMap(({ key, value }, layer) => {
        const into = state.caches[layer];
        if (into === undefined) return [];
        return [
          { leaf: into.key, rows: key, at: input.at },
          { leaf: into.value, rows: value, at: input.at },
        ];
      });
      return { append, out: logits };
    },
    decodeSpecs(model, time),
  );
}

/**
 * The same program for other hosts: `ids`, `at`, `last`, `caches.N.key|value` and `extra.*` in; `logits` and
 * `rows.N.key|value` out, which the host writes into the caches at each row's own position.
 */
export function exportCachedDecoder<E>(model: CachedModel<E>): Lowered {
  const specs = decodeSpecs(model);
  return exportProgram<
    Record<string, never>,
    DecodeInput & DecodeState<E>,
    { logits: Tensor; rows: readonly CachedRows[] }
  >((_state, input, call) => ({ out: step(model, input, input, call) }), {
    state: {},
    input: { ...specs.input, ...specs.state } as never,
  });
}

function decodeSpecs<E>(model: CachedModel<E>, time: Dimension = 'time'): ProgramSpecs<DecodeState<E>, DecodeInput> {
  const cache = { dtype: 'float32', shape: ['batch', model.kvHeads, 'capacity', model.head] } as const;
  const row = { dtype: 'int32', shape: ['batch'] } as const;
  return {
    state: {
      caches: Array.from({ length: model.layers }, () => ({ key: cache, value: cache })),
      extra: model.extra?.specs ?? {},
    },
    input: { ids: { dtype: 'int32', shape: ['batch', time] }, at: row, last: row },
  } as ProgramSpecs<DecodeState<E>, DecodeInput>;
}

function step<E>(
  model: CachedModel<E>,
  state: DecodeState<E>,
  input: DecodeInput,
  call: Call,
): { readonly logits: Tensor; readonly rows: readonly CachedRows[] } {
  const rows: CachedRows[] = [];
  const [, time = 1] = input.ids.shape;
  const positions = add(reshape(input.at, ['batch', 1]), reshape(range(time), [1, time]));
  const attend = cached(state.caches, input.at, rows);
  const hidden = model.hidden(input.ids, { attend, positions }, state.extra, call);
  const last = time === 1 ? hidden : lastOf(hidden, input.last, time, model.width);
  return { logits: model.logits(reshape(last, ['batch', model.width]), state.extra, call), rows };
}

/** The hidden state of each row's own last token, by a product with a row of zeros and a one. */
function lastOf(hidden: Tensor, last: Tensor, time: Dimension, width: number): Tensor {
  const chosen = cast(equal(reshape(range(time), [1, 1, time]), reshape(last, ['batch', 1, 1])), 'float32');
  return matmul(chosen, reshape(hidden, ['batch', time, width]));
}

class CachedSession<E> implements DecoderSession {
  constructor(
    private readonly runtime: Runtime,
    private readonly programs: { readonly program: DecodeProgram<E>; readonly single: DecodeProgram<E> },
    private readonly batch: number,
    private caches: Caches,
    private readonly extra: DeviceTree<E>,
  ) {}

  async read({ ids, time, at, lengths }: DecoderStep): Promise<Float32Array> {
    const { batch } = this;
    this.caches = await this.caches.fit(Math.max(...at) + time);
    const state = this.runtime.join({ caches: this.caches.tree, extra: this.extra });
    const program = time === 1 ? this.programs.single : this.programs.program;
    const { out } = await program.run(state as unknown as DeviceTree<DecodeState<E>>, {
      ids: { dtype: 'int32', shape: [batch, time], data: ids },
      at: array(at, [batch], 'int32'),
      last: array(
        lengths.map((length) => length - 1),
        [batch],
        'int32',
      ),
    });
    return out.data as Float32Array;
  }

  async dispose(): Promise<void> {
    await this.caches.tree.dispose();
    await this.extra.dispose();
  }
}

/** The next power of two from 64, at most the context. */
function bucket({ context }: { readonly context: number }, needed: number): number {
  return Math.min(Math.max(context, needed), Math.max(64, 2 ** Math.ceil(Math.log2(needed))));
}

type CacheShape = Pick<CachedModel, 'layers' | 'kvHeads' | 'head' | 'context'>;

/** Caches on the device, with room for `capacity` positions in each row. */
class Caches {
  private constructor(
    private readonly runtime: Runtime,
    private readonly shape: CacheShape,
    private readonly batch: number,
    readonly tree: DeviceTree<readonly CachedRows[]>,
    readonly capacity: number,
  ) {}

  static async open(
    runtime: Runtime,
    shape: CacheShape,
    batch: number,
    capacity: number,
    old?: readonly { readonly key: NDArray; readonly value: NDArray }[],
  ): Promise<Caches> {
    const grow = (values: NDArray | undefined): NDArray => {
      const grown = zeros([batch, shape.kvHeads, capacity, shape.head]);
      const before = values?.shape[2] ?? 0;
      const [from, to] = [before * shape.head, capacity * shape.head];
      for (let row = 0; values !== undefined && row < batch * shape.kvHeads; row++) {
        grown.data.set((values.data as Float32Array).subarray(row * from, (row + 1) * from), row * to);
      }
      return grown;
    };
    const caches = Array.from({ length: shape.layers }, (_, layer) => ({
      key: grow(old?.[layer]?.key),
      value: grow(old?.[layer]?.value),
    }));
    const tree = (await runtime.upload(caches)) as unknown as DeviceTree<readonly CachedRows[]>;
    return new Caches(runtime, shape, batch, tree, capacity);
  }

  /** These caches, or larger copies when `needed` positions do not fit. */
  async fit(needed: number): Promise<Caches> {
    if (needed <= this.capacity) return this;
    const old = (await this.tree.read()) as readonly { readonly key: NDArray; readonly value: NDArray }[];
    const larger = await Caches.open(this.runtime, this.shape, this.batch, bucket(this.shape, needed), old);
    await this.tree.dispose();
    return larger;
  }
}
