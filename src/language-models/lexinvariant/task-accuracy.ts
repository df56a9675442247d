/** Exact match on tasks whose rows have answers at some positions. */

import { throwIfAborted } from '../../host/error.js';
import type { Module, TokenArrays, TokenBatch } from '../../nn/index.js';
import {
  type Arrays,
  argmax,
  type DeviceTree,
  type Runtime,
  reshape,
  specsOf,
  type Tensor,
} from '../../tensor/index.js';

/** The target of a position that is not counted. */
export const NOT_COUNTED = -100;

/** How often a model's likeliest token is the answer. */
export interface TaskAccuracy {
  /** Of the first answer of each row. */
  readonly first: number;
  /** Of all answers. */
  readonly all: number;
  /** Rows of which every answer is right. */
  readonly rows: number;
}

/**
 * Exact match of a model that turns a batch into logits `[batch * time, vocabulary]`. Answers are read with the right
 * ones before them. Every batch draws anew where the model draws.
 * @throws bad-input when no batch is given; aborted.
 */
export async function taskAccuracy<P>(
  runtime: Runtime,
  model: Pick<Module<P, TokenBatch, Tensor>, 'apply'>,
  parameters: Arrays<P>,
  batches: Iterable<TokenArrays>,
  options: { readonly seed?: number; readonly signal?: AbortSignal } = {},
): Promise<TaskAccuracy> {
  const given = [...batches];
  const [shape = [1, 1]] = given.map(({ inputs }) => inputs.shape);
  const spec = { dtype: 'int32', shape } as const;
  const program = await runtime.compile<P, TokenBatch, Tensor>(
    (state, batch, call) => ({ out: reshape(argmax(model.apply(state, batch, call)), shape) }),
    { state: specsOf<P>(parameters), input: { inputs: spec, targets: spec }, seed: options.seed },
  );
  const state = (await runtime.upload(parameters)) as unknown as DeviceTree<P>;
  const counts = { first: 0, all: 0, rows: 0, answers: 0, asked: 0 };
  try {
    for (const [micro, batch] of given.entries()) {
      throwIfAborted(options.signal);
      const { out } = await program.run(state, batch, { micro });
      count(counts, out.data, batch.targets.data, Number(shape[1]));
    }
  } finally {
    await state.dispose();
    await program.dispose();
  }
  const { asked, answers } = counts;
  return { first: counts.first / asked, all: counts.all / answers, rows: counts.rows / asked };
}

interface Counts {
  first: number;
  all: number;
  rows: number;
  /** Answers sought, and rows that seek one. */
  answers: number;
  asked: number;
}

function count(counts: Counts, found: ArrayLike<number | bigint>, sought: Int32Array, time: number): void {
  for (let start = 0; start < sought.length; start += time) {
    let [answers, right] = [0, 0];
    for (let at = start; at < start + time; at++) {
      if (sought[at] === NOT_COUNTED) continue;
      const isRight = Number(found[at]) === sought[at];
      if (isRight && answers === 0) counts.first++;
      answers++;
      if (isRight) right++;
    }
    if (answers === 0) continue;
    counts.asked++;
    counts.answers += answers;
    counts.all += right;
    if (right === answers) counts.rows++;
  }
}
