/** The bits that a document costs a causal model: windows of full context that overlap by half. */

import {
  type Call,
  crossEntropyRows,
  type DeviceTree,
  mul,
  type Program,
  type Runtime,
  reshape,
  sum,
  type Tensor,
  TesseraError,
} from '../tensor/index.js';
import type { BitsOptions } from './module.js';
import { scoreWindows } from './windows.js';

/** A causal model as a scorer needs it. */
export interface ScoredModel {
  readonly context: number;
  readonly vocabulary: number;
  readonly endOfText: number;
  /** Logits `[rows * context, vocabulary]` of ids int32 `[rows, context]`; each row is a sequence of its own. */
  logits(ids: Tensor, call: Call): Tensor;
  /** True when the logits depend on draws: figures are then means over several. */
  readonly draws?: boolean;
}

interface ScoreInput {
  readonly inputs: Tensor;
  readonly targets: Tensor;
  /** 1 for targets that are counted. */
  readonly counted: Tensor;
}

/** A compiled scorer. */
export interface Scorer {
  /** Bits for a document of tokens; with draws the mean, and the standard error of it. */
  bits(
    tokens: ArrayLike<number>,
    options?: BitsOptions & { readonly bytes?: number },
  ): Promise<{ readonly bits: number; readonly error?: number }>;
  dispose(): Promise<void>;
}

const SCORE_BYTES = 64e6;
/** Draws that a figure is the mean of, when nothing else is said. */
const DRAWS = 8;

/** Compiles a scorer with as many rows at once as fit into 64 MB of logits, at most 8. */
export async function openScorer(runtime: Runtime, model: ScoredModel): Promise<Scorer> {
  const { context, vocabulary } = model;
  const rows = Math.max(1, Math.min(8, Math.floor(SCORE_BYTES / (4 * context * vocabulary))));
  const shape = [rows, context];
  const program = await runtime.compile<Record<string, never>, ScoreInput, Tensor>(
    (_state, { inputs, targets, counted }, call) => {
      const losses = crossEntropyRows(model.logits(inputs, call), reshape(targets, [-1]));
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
  return {
    bits: async (tokens, options = {}) => {
      if (model.draws !== true) return { bits: await score(runtime, program, model, rows, tokens, options) };
      const { draws = DRAWS, seed = 0 } = options;
      const results: number[] = [];
      for (let draw = 0; draw < draws; draw++) {
        const once = { ...options, at: seed * 4096 + draw, part: [draw, draws] as const };
        results.push(await score(runtime, program, model, rows, tokens, once));
      }
      return meanOf(results);
    },
    dispose: () => program.dispose(),
  };
}

function meanOf(results: readonly number[]): { readonly bits: number; readonly error: number } {
  const bits = results.reduce((total, value) => total + value, 0) / results.length;
  const squares = results.reduce((total, value) => total + (value - bits) ** 2, 0);
  return { bits, error: results.length < 2 ? 0 : Math.sqrt(squares / (results.length - 1) / results.length) };
}

interface ScoreOptions extends BitsOptions {
  readonly bytes?: number;
  /** Chooses the draws. */
  readonly at?: number;
  /** Which of how many passes this is, for the progress. */
  readonly part?: readonly [number, number];
}

/** Each token is counted once, with at least half a context before it. */
async function score(
  runtime: Runtime,
  program: Program<Record<string, never>, ScoreInput, Tensor>,
  { context, endOfText }: ScoredModel,
  rows: number,
  tokens: ArrayLike<number>,
  options: ScoreOptions,
): Promise<number> {
  const sequence = new Int32Array(tokens.length + 1);
  sequence[0] = endOfText;
  sequence.set(tokens, 1);
  const windows = scoreWindows(tokens.length, context);
  const nothing = runtime.join({}) as DeviceTree<Record<string, never>>;
  const [part, parts] = options.part ?? [0, 1];
  const size = rows * context;
  const shape = [rows, context];
  let nats = 0;
  for (let first = 0; first < windows.length; first += rows) {
    if (options.signal?.aborted)
      throw new TesseraError('aborted', 'The evaluation was stopped.', { cause: options.signal.reason });
    const [inputs, targets, counted] = [new Int32Array(size), new Int32Array(size), new Float32Array(size)];
    const batch = windows.slice(first, first + rows);
    for (const [row, { start, skipped }] of batch.entries()) {
      const window = sequence.subarray(start, start + context + 1);
      inputs.set(window.subarray(0, Math.min(context, window.length)), row * context);
      targets.set(window.subarray(1), row * context);
      counted.fill(1, row * context + skipped, row * context + Math.max(skipped, window.length - 1));
    }
    const { out } = await program.run(
      nothing,
      {
        inputs: { dtype: 'int32', shape, data: inputs },
        targets: { dtype: 'int32', shape, data: targets },
        counted: { dtype: 'float32', shape, data: counted },
      },
      // Other windows of the same document draw anew.
      { step: options.at ?? 0, micro: first },
    );
    for (let row = 0; row < batch.length; row++) nats += Number(out.data[row]);
    const done = (part + Math.min(windows.length, first + rows) / windows.length) / parts;
    options.report?.(Math.round((options.bytes ?? 0) * done));
  }
  return nats / Math.LN2;
}
