/** One shot: a function of arrays, traced, run and forgotten. */

import { isNDArray } from '../ndarray.js';
import { type Arrays, mapTree, type Tensors } from '../tree.js';
import { createRuntime } from './runtime.js';
import type { Runtime } from './types.js';

let shared: Promise<Runtime> | undefined;

/**
 * Computes `f` of arrays once, in this thread: for tests, docs and small sums.
 * Arguments and result are trees of arrays.
 */
export async function evaluate<A extends readonly unknown[], Out>(
  f: (...inputs: { [K in keyof A]: Tensors<A[K]> }) => Out,
  ...inputs: A
): Promise<Arrays<Out>> {
  shared ??= createRuntime({ worker: false });
  const runtime = await shared;
  const specs = mapTree(inputs, isNDArray, ({ dtype, shape }) => ({ dtype, shape }));
  const program = await runtime.compile(
    (_state: unknown, given: unknown) => ({ out: f(...(given as { [K in keyof A]: Tensors<A[K]> })) }),
    {
      state: {},
      input: specs as never,
    },
  );
  try {
    const nothing = runtime.join({});
    const { out } = await program.run(nothing, inputs as never);
    return out as Arrays<Out>;
  } finally {
    await program.dispose();
  }
}
