/**
 * A GPT opened for use: continuations with a key-value cache, and the bits a document costs.
 *
 * Decoding runs one program whose only large outputs are the new rows of keys and values; they are written into caches
 * that live on the device and grow by doubling. Weights are constants of the program, which the runtime packs once.
 */

import {
  type BitsOptions,
  type CachedRows,
  cached,
  checkSampling,
  type GenerateOptions,
  type Runner,
  sampleToken,
} from '../../nn/index.js';
import {
  type Arrays,
  add,
  array,
  cast,
  createRuntime,
  crossEntropyRows,
  type DeviceTree,
  equal,
  matmul,
  mul,
  type NDArray,
  type Program,
  type Runtime,
  random,
  range,
  reshape,
  sum,
  type Tensor,
  TesseraError,
  zeros,
} from '../../tensor/index.js';
import type { Tokenizer } from '../../tokenizers/index.js';
import { frozen } from './export.js';
import { forward, type GptParameters, hiddenStates, logitsOf } from './model.js';
import type { GptOptions } from './options.js';

interface DecodeState {
  readonly caches: readonly CachedRows[];
}

interface DecodeInput {
  /** int32 `[batch, time]`. */
  readonly ids: Tensor;
  /** int32 `[batch]`: rows of the cache that are filled. */
  readonly at: Tensor;
  /** int32 `[batch]`: which of the new positions to predict from. */
  readonly last: Tensor;
}

/** Opens a model. Programs are compiled on first use. */
export async function openGptRunner(
  runtime: Runtime,
  options: GptOptions,
  weights: Arrays<GptParameters>,
  tokenizer: Tokenizer,
): Promise<Required<Runner>> {
  const decoder = once(() => openDecoder(runtime, options, weights));
  const scorer = once(() => compileScorer(runtime, options, weights));
  return {
    generate: (prompts, choices = {}) => generate(options, tokenizer, decoder.get, prompts, choices),
    bits: (document, choices = {}) => countBits(runtime, options, tokenizer, scorer.get, document, choices),
    dispose: async () => {
      await decoder.dispose();
      await scorer.dispose();
    },
  };
}

/** A program that is compiled when first asked for. */
function once<P extends { dispose(): Promise<void> }>(make: () => Promise<P>) {
  let made: Promise<P> | undefined;
  return {
    get: (): Promise<P> => {
      made ??= make();
      return made;
    },
    dispose: async (): Promise<void> => (await made)?.dispose(),
  };
}

/** Below this many weights in its blocks a model decodes faster on one thread: a token's products are too small to share. */
const ONE_THREAD = 4e6;

type Decoder = Program<DecodeState, DecodeInput, Tensor>;

/** A decoder and the runtime that it runs in. */
interface OpenDecoder {
  readonly runtime: Runtime;
  readonly program: Decoder;
  dispose(): Promise<void>;
}

/**
 * Compiles the decoder. A small model takes well under a millisecond a token, less than a message to a worker and back:
 * it gets a runtime of its own in this thread, which turns the event loop between tokens.
 */
async function openDecoder(
  runtime: Runtime,
  options: GptOptions,
  weights: Arrays<GptParameters>,
): Promise<OpenDecoder> {
  const small = options.layers * options.width * options.width * 12 < ONE_THREAD;
  const own = small ? await createRuntime({ device: runtime.device, threads: 1, worker: false }) : undefined;
  const used = own ?? runtime;
  const program = await compileDecoder(used, options, weights);
  return { runtime: used, program, dispose: () => (own === undefined ? program.dispose() : own.dispose()) };
}

function compileDecoder(runtime: Runtime, options: GptOptions, weights: Arrays<GptParameters>): Promise<Decoder> {
  const parameters = frozen(weights);
  const cache = { dtype: 'float32', shape: ['batch', options.kvHeads, 'capacity', options.head] } as const;
  const row = { dtype: 'int32', shape: ['batch'] } as const;
  return runtime.compile<DecodeState, DecodeInput, Tensor>(
    (state, input, call) => {
      const rows: CachedRows[] = [];
      const positions = add(reshape(input.at, ['batch', 1]), reshape(range('time'), [1, 'time']));
      const attend = cached(state.caches, input.at, rows);
      const hidden = hiddenStates(options, parameters, input.ids, { attend, positions }, call);
      // The hidden state of each row's own last token, by a product with a row of zeros and a one.
      const chosen = cast(
        equal(reshape(range('time'), [1, 1, 'time']), reshape(input.last, ['batch', 1, 1])),
        'float32',
      );
      const logits = logitsOf(
        parameters,
        reshape(matmul(chosen, reshape(hidden, ['batch', 'time', options.width])), ['batch', options.width]),
        call,
      );
      const append = rows.flatMap(({ key, value }, layer) => {
        const into = state.caches[layer];
        return into === undefined
          ? []
          : [
              { leaf: into.key, rows: key, at: input.at },
              { leaf: into.value, rows: value, at: input.at },
            ];
      });
      return { append, out: logits };
    },
    {
      state: { caches: Array.from({ length: options.layers }, () => ({ key: cache, value: cache })) },
      input: { ids: { dtype: 'int32', shape: ['batch', 'time'] }, at: row, last: row },
    },
  );
}

/** Caches on the device, with room for `capacity` positions in each row. */
class Caches {
  private constructor(
    private readonly runtime: Runtime,
    private readonly options: GptOptions,
    readonly tree: DeviceTree<DecodeState>,
    readonly capacity: number,
  ) {}

  static async open(
    runtime: Runtime,
    options: GptOptions,
    batch: number,
    capacity: number,
    old?: Arrays<DecodeState>,
  ): Promise<Caches> {
    const grow = (values: NDArray | undefined): NDArray => {
      const grown = zeros([batch, options.kvHeads, capacity, options.head]);
      const before = values?.shape[2] ?? 0;
      const [from, to] = [before * options.head, capacity * options.head];
      for (let row = 0; values !== undefined && row < batch * options.kvHeads; row++) {
        grown.data.set((values.data as Float32Array).subarray(row * from, (row + 1) * from), row * to);
      }
      return grown;
    };
    const caches = Array.from({ length: options.layers }, (_, layer) => {
      const before = old?.caches[layer];
      return { key: grow(before?.key), value: grow(before?.value) };
    });
    const tree = (await runtime.upload({ caches })) as unknown as DeviceTree<DecodeState>;
    return new Caches(runtime, options, tree, capacity);
  }

  /** These caches, or larger copies when `needed` positions do not fit. */
  async fit(batch: number, needed: number): Promise<Caches> {
    if (needed <= this.capacity) return this;
    const larger = await Caches.open(
      this.runtime,
      this.options,
      batch,
      bucket(this.options, needed),
      await this.tree.read(),
    );
    await this.tree.dispose();
    return larger;
  }
}

/** The next power of two from 64, at most the context. */
function bucket(options: GptOptions, needed: number): number {
  return Math.min(Math.max(options.context, needed), Math.max(64, 2 ** Math.ceil(Math.log2(needed))));
}

interface Row {
  readonly tokens: number[];
  readonly uniform: () => number;
  readonly decoder: ReturnType<Tokenizer['createDecoder']>;
  readonly stops: StopFilter;
  filled: number;
  made: number;
  done: boolean;
}

async function* generate(
  options: GptOptions,
  tokenizer: Tokenizer,
  decoder: () => Promise<OpenDecoder>,
  prompts: readonly Uint8Array[],
  choices: GenerateOptions,
): AsyncGenerator<{ readonly row: number; readonly bytes: Uint8Array }> {
  checkSampling(choices);
  const { maxTokens = 128, seed = 0, stop = [], signal } = choices;
  if (!Number.isInteger(maxTokens) || maxTokens < 1)
    throw new TesseraError('bad-option', `The number of new tokens must be a whole number from 1, not ${maxTokens}.`);
  if (prompts.length === 0) return;
  const { program, runtime } = await decoder();
  const rows = prompts.map((prompt, index): Row => {
    const tokens = [...tokenizer.encodeBytes(prompt)];
    return {
      tokens: tokens.length === 0 ? [options.endOfText] : tokens,
      uniform: random(seed).child('generate').child(index).stream(),
      decoder: tokenizer.createDecoder(),
      stops: stopFilter(stop),
      filled: 0,
      made: 0,
      done: false,
    };
  });
  const batch = rows.length;
  const keep = Math.max(1, options.context >> 1);
  const longest = Math.max(...rows.map(({ tokens }) => Math.min(tokens.length, options.context)));
  let caches = await Caches.open(
    runtime,
    options,
    batch,
    bucket(options, Math.min(options.context, longest + Math.min(maxTokens, 64))),
  );
  const known = Math.min(options.vocabulary, tokenizer.vocabulary.size);
  let news = rows.map((row) => row.tokens.slice(-options.context));
  try {
    while (rows.some(({ done }) => !done)) {
      if (signal?.aborted) throw new TesseraError('aborted', 'The generation was stopped.', { cause: signal.reason });
      const time = Math.max(...news.map((tokens) => tokens.length));
      caches = await caches.fit(batch, Math.max(...rows.map(({ filled }) => filled)) + time);
      const ids = new Int32Array(batch * time);
      for (const [index, tokens] of news.entries()) ids.set(tokens, index * time);
      const at = array(
        rows.map(({ filled }) => filled),
        [batch],
        'int32',
      );
      const last = array(
        news.map((tokens) => tokens.length - 1),
        [batch],
        'int32',
      );
      const { out } = await program.run(caches.tree, {
        ids: { dtype: 'int32', shape: [batch, time], data: ids },
        at,
        last,
      });
      const logits = out.data as Float32Array;
      for (const [index, row] of rows.entries()) {
        row.filled += news[index]?.length ?? 0;
        if (row.done) {
          row.filled--;
          continue;
        }
        const own = logits.subarray(index * options.vocabulary, index * options.vocabulary + known);
        const token = sampleToken(own, choices, row.uniform, row.tokens);
        row.tokens.push(token);
        row.made++;
        const ended = token === options.endOfText;
        const pieces = [row.stops.push(ended ? row.decoder.flush() : row.decoder.push(token))];
        row.done = ended || row.stops.found || row.made >= maxTokens;
        if (row.done && !row.stops.found) pieces.push(row.stops.push(row.decoder.flush()), row.stops.flush());
        for (const bytes of pieces) if (bytes.length > 0) yield { row: index, bytes };
      }
      news = rows.map((row) => row.tokens.slice(-1));
      // A full context goes on from its newer half, read again from position 0.
      if (rows.some(({ filled, done }) => !done && filled >= options.context)) {
        for (const row of rows) row.filled = 0;
        news = rows.map((row) => row.tokens.slice(-keep));
      }
    }
  } finally {
    await caches.tree.dispose();
  }
}

interface StopFilter {
  readonly found: boolean;
  /** Bytes that can no longer be part of a stop text. */
  push(bytes: Uint8Array): Uint8Array;
  flush(): Uint8Array;
}

/** Holds back what may turn out to be a stop text; ends before the first one that appears. */
function stopFilter(stops: readonly string[]): StopFilter {
  const encoder = new TextEncoder();
  const texts = stops.filter((text) => text !== '').map((text) => encoder.encode(text));
  const longest = Math.max(0, ...texts.map(({ length }) => length));
  let held = new Uint8Array(0);
  let found = false;
  const take = (length: number): Uint8Array => {
    const ready = held.slice(0, length);
    held = held.slice(length);
    return ready;
  };
  return {
    get found() {
      return found;
    },
    push: (bytes) => {
      if (texts.length === 0) return bytes;
      const joined = new Uint8Array(held.length + bytes.length);
      joined.set(held);
      joined.set(bytes, held.length);
      held = joined;
      const places = texts.map((text) => indexOfBytes(held, text)).filter((place) => place >= 0);
      if (places.length > 0) {
        found = true;
        return take(Math.min(...places));
      }
      return take(Math.max(0, held.length - longest + 1));
    },
    flush: () => take(held.length),
  };
}

function indexOfBytes(bytes: Uint8Array, part: Uint8Array): number {
  for (let i = 0; i + part.length <= bytes.length; i++) {
    let j = 0;
    while (j < part.length && bytes[i + j] === part[j]) j++;
    if (j === part.length) return i;
  }
  return -1;
}

interface ScoreInput {
  readonly inputs: Tensor;
  readonly targets: Tensor;
  /** 1 for targets that are counted. */
  readonly counted: Tensor;
}

interface Scorer {
  readonly program: Program<Record<string, never>, ScoreInput, Tensor>;
  readonly rows: number;
  dispose(): Promise<void>;
}

const SCORE_BYTES = 64e6;

async function compileScorer(runtime: Runtime, options: GptOptions, weights: Arrays<GptParameters>): Promise<Scorer> {
  const parameters = frozen(weights);
  const rows = Math.max(1, Math.min(8, Math.floor(SCORE_BYTES / (4 * options.context * options.vocabulary))));
  const shape = [rows, options.context];
  const program = await runtime.compile<Record<string, never>, ScoreInput, Tensor>(
    (_state, { inputs, targets, counted }, call) => {
      const logits = forward(options, parameters, inputs, call);
      const losses = crossEntropyRows(logits, reshape(targets, [-1]));
      return { out: sum(mul(reshape(losses, shape), counted), 1) };
    },
    {
      state: {},
      input: {
        inputs: { dtype: 'int32', shape },
        targets: { dtype: 'int32', shape },
        counted: { dtype: 'float32', shape },
      },
    },
  );
  return { program, rows, dispose: () => program.dispose() };
}

/** Windows of full context that overlap by half; each token is counted once, with at least half a context before it. */
async function countBits(
  runtime: Runtime,
  options: GptOptions,
  tokenizer: Tokenizer,
  scorer: () => Promise<Scorer>,
  document: Uint8Array,
  choices: BitsOptions,
): Promise<{ readonly bits: number }> {
  const { program, rows } = await scorer();
  const { context, endOfText } = options;
  const tokens = tokenizer.encodeBytes(document);
  const sequence = new Int32Array(tokens.length + 1);
  sequence[0] = endOfText;
  sequence.set(tokens, 1);
  const stride = Math.max(1, context >> 1);
  const starts: number[] = [];
  for (let start = 0; start === 0 || start + context - stride < tokens.length; start += stride) starts.push(start);
  const nothing = runtime.join({}) as DeviceTree<Record<string, never>>;
  let nats = 0;
  for (let first = 0; first < starts.length; first += rows) {
    if (choices.signal?.aborted)
      throw new TesseraError('aborted', 'The evaluation was stopped.', { cause: choices.signal.reason });
    const size = rows * context;
    const [inputs, targets, counted] = [new Int32Array(size), new Int32Array(size), new Float32Array(size)];
    const batch = starts.slice(first, first + rows);
    for (const [row, start] of batch.entries()) {
      const part = sequence.subarray(start, start + context + 1);
      inputs.set(part.subarray(0, Math.min(context, part.length)), row * context);
      targets.set(part.subarray(1), row * context);
      const skipped = start === 0 ? 0 : context - stride;
      counted.fill(1, row * context + skipped, row * context + Math.max(skipped, part.length - 1));
    }
    const shape = [rows, context];
    const { out } = await program.run(nothing, {
      inputs: { dtype: 'int32', shape, data: inputs },
      targets: { dtype: 'int32', shape, data: targets },
      counted: { dtype: 'float32', shape, data: counted },
    });
    for (let row = 0; row < batch.length; row++) nats += Number(out.data[row]);
    choices.report?.(Math.round((document.length * Math.min(starts.length, first + rows)) / starts.length));
  }
  return { bits: nats / Math.LN2 };
}
