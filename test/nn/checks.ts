/** Running traced functions of arrays, and comparing them and their gradients with slow ones. */

import {
  type Arrays,
  arrayLeaves,
  type Call,
  cast,
  constant,
  gradients,
  mapTree,
  mul,
  type NDArray,
  type Runtime,
  random,
  sum,
  type Tensor,
} from 'tessera-kit/tensor';
import { expect } from 'vitest';

/** The elements as numbers. */
export function numbers(x: NDArray | undefined): number[] {
  return x === undefined ? [] : Array.from({ length: x.data.length }, (_, i) => Number(x.data[i]));
}

/** The largest absolute difference of two lists of one length. */
export function furthest(found: readonly number[], expected: readonly number[]): number {
  expect(found.length).toBe(expected.length);
  return expected.reduce((most, value, i) => {
    const off = Math.abs((found[i] ?? Number.NaN) - value);
    return Number.isNaN(off) ? Number.POSITIVE_INFINITY : Math.max(most, off);
  }, 0);
}

function isArray(value: unknown): value is NDArray {
  return typeof value === 'object' && value !== null && 'dtype' in value && 'data' in value;
}

/** A tree of arrays in float64; whole numbers and truth values stay as they are. */
export function doubles<A>(tree: A): A {
  return mapTree<NDArray, A>(tree, isArray, (leaf) =>
    leaf.dtype === 'float32' ? { ...leaf, dtype: 'float64', data: Float64Array.from(leaf.data as Float32Array) } : leaf,
  ) as A;
}

/** Traces, runs and forgets `f`. */
export async function run<In, Out>(
  runtime: Runtime,
  f: (input: In, call: Call) => Out,
  input: Arrays<In>,
  options: { readonly training?: boolean; readonly seed?: number } = {},
): Promise<Arrays<Out>> {
  const program = await runtime.compile<object, In, Out>((_state, given, call) => ({ out: f(given, call) }), {
    state: {},
    input: input as never,
    ...options,
  });
  const { out } = await program.run(runtime.join({}), input);
  await program.dispose();
  return out;
}

const STEP = 1e-5;

/**
 * The largest error of the slopes of `f` along random directions, one for each float leaf of the input, against central
 * differences in float64, relative to 1 + the sizes of what is added up.
 */
export async function slopeError<In>(
  runtime: Runtime,
  f: (input: In, call: Call) => Tensor,
  input: Arrays<In>,
  options: { readonly training?: boolean; readonly seed?: number } = {},
): Promise<number> {
  const given = doubles(input);
  const wanted = arrayLeaves(given).filter(([, leaf]) => leaf.dtype === 'float64');
  const program = await runtime.compile<object, In, { loss: Tensor; slopes: readonly Tensor[] }>(
    (_state, tensors, call) => {
      const out = f(tensors, call);
      const shape = out.shape.map(Number);
      const weights = cast(constant(random(77).uniform(shape, 0.5, 1.5)), out.dtype);
      const loss = sum(mul(out, weights));
      const leaves = new Map<string, Tensor>();
      mapTree(
        tensors,
        (x): x is Tensor => typeof x === 'object' && x !== null && 'node' in x,
        (x, path) => {
          leaves.set(path, x);
          return x;
        },
      );
      const places = wanted.flatMap(([path]) => leaves.get(path) ?? []);
      return { out: { loss, slopes: gradients(loss, places) } };
    },
    { state: {}, input: given as never, ...options },
  );
  const at = async (values: Arrays<In>) => (await program.run(runtime.join({}), values)).out;
  const { slopes } = (await at(given)) as unknown as { slopes: readonly NDArray[] };
  let worst = 0;
  for (const [order, [path, leaf]] of wanted.entries()) {
    const along = random(order).child('along').normal([leaf.data.length]).data;
    const lossAt = async (step: number): Promise<number> => {
      const moved = mapTree<NDArray, Arrays<In>>(given, isArray, (x, place) =>
        place === path
          ? { ...x, data: Float64Array.from(x.data as Float64Array, (value, i) => value + step * (along[i] ?? 0)) }
          : x,
      ) as Arrays<In>;
      const { loss } = (await at(moved)) as unknown as { loss: NDArray };
      return Number(loss.data[0]);
    };
    const numeric = (await lossAt(STEP)) - (await lossAt(-STEP));
    let [analytic, size] = [0, 1];
    for (const [i, step] of along.entries()) {
      const term = step * Number(slopes[order]?.data[i]);
      analytic += term;
      size += Math.abs(term);
    }
    const off = Math.abs(analytic - numeric / (2 * STEP)) / size;
    worst = Number.isNaN(off) ? Number.POSITIVE_INFINITY : Math.max(worst, off);
  }
  await program.dispose();
  return worst;
}
