/** The training step that engines are compared on, and the matrix products that it consists of. */

import { type GptOptions, gptOptions } from 'tessera-kit/language-models';
import {
  add,
  array,
  createRuntime,
  matmul,
  type NDArray,
  type Runtime,
  random,
  reshape,
  slice,
  specsOf,
  type Tensor,
} from 'tessera-kit/tensor';
import { type Contender, median } from './_rounds.js';

/** A size of the comparison. */
export interface StepSize {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly vocabulary: number;
  readonly batch: number;
  readonly length: number;
}

/** The small and the large step. */
export const SIZES = {
  small: { layers: 4, width: 128, heads: 4, vocabulary: 512, batch: 16, length: 128 },
  large: { layers: 6, width: 384, heads: 6, vocabulary: 4096, batch: 8, length: 256 },
} as const satisfies Record<string, StepSize>;

/** The architecture of a size: GPT-2 form, tanh GELU, biases, learned positions, tied head. */
export function architecture(size: StepSize): GptOptions {
  const { layers, width, heads, vocabulary, length } = size;
  return gptOptions({ style: 'gpt2', layers, width, heads, vocabulary, context: length });
}

/** A product `[batch, m, k] @ [batch, k, n]` as the step computes it, and how often. */
export interface Product {
  readonly batch: number;
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly times: number;
}

/** Every matrix product of forward and backward. */
export function products(size: StepSize): Product[] {
  const { layers, width, heads, vocabulary, batch, length } = size;
  const rows = batch * length;
  const head = width / heads;
  const layer = (inputs: number, outputs: number, times: number): Product[] => [
    { batch: 1, m: rows, k: inputs, n: outputs, transposeA: false, transposeB: false, times },
    { batch: 1, m: rows, k: outputs, n: inputs, transposeA: false, transposeB: true, times },
    { batch: 1, m: inputs, k: rows, n: outputs, transposeA: true, transposeB: false, times },
  ];
  const each = batch * heads;
  const attention: Product[] = [
    { batch: each, m: length, k: head, n: length, transposeA: false, transposeB: true, times: 2 * layers },
    { batch: each, m: length, k: length, n: head, transposeA: false, transposeB: false, times: 2 * layers },
    { batch: each, m: length, k: length, n: head, transposeA: true, transposeB: false, times: 2 * layers },
  ];
  const headProducts: Product[] = [
    { batch: 1, m: rows, k: width, n: vocabulary, transposeA: false, transposeB: true, times: 1 },
    { batch: 1, m: rows, k: vocabulary, n: width, transposeA: false, transposeB: false, times: 1 },
    { batch: 1, m: vocabulary, k: rows, n: width, transposeA: true, transposeB: false, times: 1 },
  ];
  return [
    ...layer(width, width, 4 * layers),
    ...layer(width, 4 * width, layers),
    ...layer(4 * width, width, layers),
    ...attention,
    ...headProducts,
  ];
}

/** Floating-point operations of a product, once. */
export function flopsOf({ batch, m, k, n }: Product): number {
  return 2 * batch * m * k * n;
}

/** Matrix products, in floating-point operations. */
export function productFlops(list: readonly Product[]): number {
  return list.reduce((total, product) => total + product.times * flopsOf(product), 0);
}

/** The matrix products of one step, in floating-point operations. */
export function stepFlops(size: StepSize): number {
  return productFlops(products(size));
}

/** The step's matrix products alone, as {@link productsTimed} has them. */
export function productsAlone(size: StepSize, threads: number): Promise<Contender & { close(): Promise<void> }> {
  return productsTimed(products(size), threads);
}

/**
 * Matrix products alone, through the same runtime: a contender whose time is what a step would take if nothing but its
 * products were computed, each shape at the rate that it reaches by itself.
 */
export async function productsTimed(
  list: readonly Product[],
  threads: number,
): Promise<Contender & { close(): Promise<void> }> {
  const runtime = await createRuntime({ device: 'cpu', threads, worker: false });
  const timed: { readonly times: number; readonly run: () => Promise<number> }[] = [];
  for (const product of list) timed.push({ times: product.times, run: await prepare(runtime, product) });
  return {
    name: 'products',
    round: async () => {
      let milliseconds = 0;
      for (const { times, run } of timed) milliseconds += times * (await run());
      return [milliseconds];
    },
    close: () => runtime.dispose(),
  };
}

/** Operations of one run: enough that starting it costs nothing beside them. */
const RUN_FLOPS = 3e9;
const REPEATS = 4;

interface Operands {
  readonly a: readonly Tensor[];
  readonly b: Tensor;
}

/** A function that computes a product a number of times and gives the milliseconds of one. */
async function prepare(runtime: Runtime, product: Product): Promise<() => Promise<number>> {
  const { batch, m, k, n, transposeA, transposeB } = product;
  const copies = Math.max(2, Math.min(32, Math.ceil(RUN_FLOPS / flopsOf(product))));
  const outer = batch === 1 ? [] : [batch];
  const a = [...outer, ...(transposeA ? [k, m] : [m, k])];
  const b = [...outer, ...(transposeB ? [n, k] : [k, n])];
  const values = {
    a: Array.from({ length: copies }, (_, copy): NDArray => random(copy).normal(a)),
    b: random(99).normal(b),
  };
  const state = await runtime.upload(values);
  // Only one element of each product leaves the runtime; the products themselves stay inside.
  const program = await runtime.compile<Operands, Record<string, never>, Tensor>(
    (given) => {
      const corners = given.a.map((left) => {
        let corner = matmul(left, given.b, { transposeA, transposeB });
        for (let axis = 0; axis < corner.shape.length; axis++) corner = slice(corner, axis, 0, 1);
        return reshape(corner, []);
      });
      return { out: corners.reduce((total, corner) => add(total, corner)) };
    },
    { state: specsOf<Operands>(values), input: {} },
  );
  // The first run allocates what the later ones use again.
  await program.run(state, {});
  return async () => {
    const times: number[] = [];
    for (let run = 0; run < REPEATS; run++) {
      const start = performance.now();
      await program.run(state, {});
      times.push((performance.now() - start) / copies);
    }
    return median(times);
  };
}

/** Token ids that are the same for every engine: a fixed pattern with some structure. */
export function tokens(size: StepSize): { readonly inputs: NDArray; readonly targets: NDArray } {
  const { batch, length, vocabulary } = size;
  const text = Array.from({ length: batch * length + 1 }, (_, index) =>
    Math.floor(vocabulary * Math.abs(Math.sin(index * index))),
  );
  return {
    inputs: array(text.slice(0, -1), [batch, length], 'int32'),
    targets: array(text.slice(1), [batch, length], 'int32'),
  };
}
