/** What the tests of lexinvariant models share. */

import { initLexinvariant, type LexinvariantOptions, type LexinvariantParameters } from 'tessera-kit/language-models';
import {
  type BatchSource,
  functionSource,
  type Module,
  type Objective,
  type TokenArrays,
  type TokenBatch,
  train,
} from 'tessera-kit/nn';
import {
  type Arrays,
  type DeviceTree,
  mapArrays,
  type NDArray,
  type Runtime,
  random,
  type Tensor,
} from 'tessera-kit/tensor';

/** Uploads parameters as what they are a tree of. */
export async function stateOf<P>(runtime: Runtime, values: Arrays<P>): Promise<DeviceTree<P>> {
  return (await runtime.upload(values)) as unknown as DeviceTree<P>;
}

/** The parameters after a short training. */
export async function trained<P, B extends TokenBatch>(
  runtime: Runtime,
  model: Module<P, B, Tensor> & { readonly objective: Objective<B, Tensor> },
  options: { readonly steps: number; readonly rate: number; batch(index: number): TokenArrays },
): Promise<{ readonly parameters: Arrays<P>; readonly losses: readonly number[] }> {
  const source = functionSource(options.batch) as BatchSource<TokenBatch> as BatchSource<B>;
  const losses: number[] = [];
  for await (const event of train({ runtime, model, source, steps: options.steps, rate: options.rate })) {
    if (event.type === 'step') losses.push(event.loss);
    if (event.type === 'end') return { parameters: await event.parameters(), losses };
  }
  throw new Error('a run ends');
}

/** Parameters away from their start, so that every part acts. */
export function strong(options: LexinvariantOptions): Arrays<LexinvariantParameters> {
  return mapArrays(initLexinvariant(options, random(3)), (leaf, path) => {
    const noise = random(4).child(path).normal(leaf.shape, 0.2);
    return { ...noise, data: noise.data.map((value, i) => value + Number(leaf.data[i])) };
  });
}

/** Rows `[rows, time + 1]` of tokens as inputs and targets. */
export function windowsOf(rows: number, time: number, token: (row: number, time: number) => number): TokenArrays {
  const cut = (from: number): NDArray<'int32'> => ({
    dtype: 'int32',
    shape: [rows, time],
    data: Int32Array.from({ length: rows * time }, (_, i) => token(Math.floor(i / time), (i % time) + from)),
  });
  return { inputs: cut(0), targets: cut(1) };
}
