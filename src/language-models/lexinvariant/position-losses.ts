/** Losses by position: a mean over positions hides what a model learns from its context, and depends on its length. */

import { throwIfAborted } from '../../host/error.js';
import type { Module, TokenArrays, TokenBatch } from '../../nn/index.js';
import {
  type Arrays,
  crossEntropyRows,
  type DeviceTree,
  type NDArray,
  type Runtime,
  reshape,
  specsOf,
  type Tensor,
  TesseraError,
} from '../../tensor/index.js';

/** Nats at each position of a window. */
export interface LossesByPosition {
  /** The mean over windows and draws, by position. */
  readonly mean: Float64Array;
  /** The standard error of the mean over draws, by position; zeros for one draw. */
  readonly error: Float64Array;
}

/** How losses are measured. */
export interface PositionOptions {
  /** Windows of one run (default 8); the last ones that do not fill a run are left out. */
  readonly rows?: number;
  /** Draws of the sequences' vectors (default 8); 1 for a model that draws nothing. */
  readonly draws?: number;
  readonly seed?: number;
  readonly signal?: AbortSignal;
  /** Called with the share that is done. */
  readonly report?: (share: number) => void;
}

/**
 * The cross-entropy of a model that turns a batch into logits `[batch * time, vocabulary]`, at each position of windows
 * `[windows, time]`.
 * @throws bad-input for fewer windows than rows; aborted.
 */
export async function lossesByPosition<P>(
  runtime: Runtime,
  model: Pick<Module<P, TokenBatch, Tensor>, 'apply'>,
  parameters: Arrays<P>,
  windows: TokenArrays,
  options: PositionOptions = {},
): Promise<LossesByPosition> {
  const { rows = 8, draws = 8, seed = 0, signal, report } = options;
  const [count = 0, time = 0] = windows.inputs.shape;
  const runs = Math.floor(count / rows);
  if (runs === 0) throw new TesseraError('bad-input', `${count} windows are fewer than the ${rows} of one run.`);
  const shape = [rows, time];
  const program = await runtime.compile<P, TokenBatch, Tensor>(
    (state, batch, call) => ({
      out: reshape(crossEntropyRows(model.apply(state, batch, call), reshape(batch.targets, [-1])), shape),
    }),
    {
      state: specsOf<P>(parameters),
      input: { inputs: { dtype: 'int32', shape }, targets: { dtype: 'int32', shape } },
      seed,
    },
  );
  const state = (await runtime.upload(parameters)) as unknown as DeviceTree<P>;
  const part = ({ data }: NDArray<'int32'>, run: number): NDArray<'int32'> => ({
    dtype: 'int32',
    shape,
    data: data.slice(run * rows * time, (run + 1) * rows * time),
  });
  try {
    const means: Float64Array[] = [];
    for (let draw = 0; draw < draws; draw++) {
      const total = new Float64Array(time);
      for (let run = 0; run < runs; run++) {
        throwIfAborted(signal);
        const batch = { inputs: part(windows.inputs, run), targets: part(windows.targets, run) };
        const { out } = await program.run(state, batch, { step: draw, micro: run });
        for (let i = 0; i < rows * time; i++) total[i % time] = (total[i % time] ?? 0) + Number(out.data[i]);
        report?.((draw * runs + run + 1) / (draws * runs));
      }
      means.push(total.map((value) => value / (runs * rows)));
    }
    return overDraws(means, time);
  } finally {
    await state.dispose();
    await program.dispose();
  }
}

function overDraws(means: readonly Float64Array[], time: number): LossesByPosition {
  const draws = means.length;
  const mean = new Float64Array(time).map((_, at) => means.reduce((sum, one) => sum + (one[at] ?? 0), 0) / draws);
  const error = mean.map((middle, at) => {
    const squares = means.reduce((sum, one) => sum + ((one[at] ?? 0) - middle) ** 2, 0);
    return draws < 2 ? 0 : Math.sqrt(squares / (draws - 1) / draws);
  });
  return { mean, error };
}

/** The mean of values from position `from` to before `to`. */
export function meanOver(values: Float64Array, from: number, to: number): number {
  const part = values.subarray(from, to);
  return part.reduce((sum, value) => sum + value, 0) / part.length;
}
