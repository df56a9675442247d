/** Runs an optimizer over given gradients, to be compared with a slow reference in doubles. */

import type { TreeOptimizer } from 'tessera-kit/nn';
import { array, createRuntime, type NDArray, random, specsOf, type Tensor } from 'tessera-kit/tensor';

export type Leaves = Readonly<Record<string, NDArray>>;

/** What a reference gives for one leaf: its next value from its gradient, step counted from 1. */
export type Reference = (
  start: readonly number[],
  shape: readonly number[],
) => (gradient: readonly number[], t: number) => readonly number[];

export const RATE = 0.02;
const STEPS = 6;
const draws = random(5);
const shapes: Readonly<Record<string, readonly number[]>> = { wide: [3, 5], tall: [6, 4], bias: [4] };

/** Parameters to begin with, and gradients for some steps. */
export const start: Leaves = Object.fromEntries(
  Object.entries(shapes).map(([name, shape]) => [name, draws.child(name).normal(shape)]),
);
export const slopes: readonly Leaves[] = Array.from({ length: STEPS }, (_, i) =>
  Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      draws
        .child(`g-${name}`)
        .at(i)
        .normal(shape, 0.1 * (1 + i)),
    ]),
  ),
);

export const numbers = ({ data }: NDArray): number[] => Array.from(data, Number);

interface State {
  readonly parameters: Readonly<Record<string, Tensor>>;
  readonly moments: unknown;
}

/** The parameters after all steps, as an engine makes them. */
export async function run(optimizer: TreeOptimizer, begin: Leaves = start): Promise<Leaves> {
  const runtime = await createRuntime({ worker: false, threads: 1 });
  try {
    const values = { parameters: begin, moments: optimizer.init(begin) };
    const rate = array([RATE], []);
    const state = await runtime.upload(values);
    const program = await runtime.compile(
      (from: State, given: { gradients: unknown; rate: Tensor }, call) => ({
        state: optimizer.update(from.parameters, given.gradients, from.moments, given.rate, call) as never,
        out: {},
      }),
      {
        state: specsOf<State>(values),
        input: specsOf<{ gradients: unknown; rate: Tensor }>({ gradients: begin, rate }),
      },
    );
    for (const [step, gradients] of slopes.entries()) {
      const given = Object.fromEntries(Object.keys(begin).map((name) => [name, gradients[name]]));
      await program.run(state as never, { gradients: given, rate } as never, { step });
    }
    return ((await state.read()) as unknown as { parameters: Leaves }).parameters;
  } finally {
    await runtime.dispose();
  }
}

/** The parameters after all steps, leaf by leaf, in doubles. */
export function expected(reference: Reference, begin: Leaves = start): Readonly<Record<string, readonly number[]>> {
  return Object.fromEntries(
    Object.entries(begin).map(([name, leaf]) => {
      const next = reference(numbers(leaf), leaf.shape);
      let value: readonly number[] = numbers(leaf);
      for (const [i, gradients] of slopes.entries()) {
        const gradient = gradients[name];
        if (gradient !== undefined) value = next(numbers(gradient), i + 1);
      }
      return [name, value];
    }),
  );
}

/** The largest difference over all leaves. */
export function distance(found: Leaves, wanted: Readonly<Record<string, readonly number[]>>): number {
  return Math.max(
    ...Object.entries(wanted).flatMap(([name, values]) => {
      const leaf = found[name];
      return leaf === undefined ? [Number.NaN] : numbers(leaf).map((x, i) => Math.abs(x - (values[i] ?? Number.NaN)));
    }),
  );
}
