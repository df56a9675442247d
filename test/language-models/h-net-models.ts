/** Small H-Nets whose weights are large enough that every path matters, and what they compute of whole rows. */

import {
  type HNetChoices,
  type HNetOptions,
  type HNetParameters,
  hNetForward,
  hNetOptions,
  initHNet,
} from 'tessera-kit/language-models';
import { frozen } from 'tessera-kit/nn';
import { type Arrays, array, mapArrays, type NDArray, type Runtime, random, type Tensor } from 'tessera-kit/tensor';

/** The small models that tests share, by name. */
export const MODELS = {
  'one stage': { layout: 't1T1,[T2],T1t1', widths: [16, 24], heads: [2, 2], hidden: [24, 32], context: 40 },
  'two stages': {
    layout: 't2,[t1,[T1],t1],t2',
    widths: [16, 16, 24],
    heads: [2, 2, 3],
    rotary: [4, 8, 8],
    windows: [5, -1, -1],
    hidden: [0, 0, 32],
    ratios: [3, 2],
    context: 40,
  },
  'Mamba-2 around attention': {
    layout: 'm1M1,[t1m1,[T1],M1],m2',
    widths: [16, 24, 32],
    heads: [2, 2, 2],
    rotary: [8, 12, 16],
    windows: [-1, 2, -1],
    hidden: [24, 32, 40],
    ratios: [3, 2],
    state: 8,
    ssmHead: 8,
    ssmChunk: 16,
    context: 40,
  },
} as const satisfies Readonly<Record<string, HNetChoices>>;

/** Names of {@link MODELS}. */
export type ModelName = keyof typeof MODELS;

/** Options, and parameters with noise on every leaf. */
export function strong(choices: HNetChoices): {
  readonly options: HNetOptions;
  readonly parameters: Arrays<HNetParameters>;
} {
  const options = hNetOptions(choices);
  const parameters = mapArrays(initHNet(options, random(7)), (leaf, path) => {
    const noise = random(3).child(path).normal(leaf.shape, 0.2);
    return { ...noise, data: noise.data.map((value, i) => value + Number(leaf.data[i])) };
  });
  return { options, parameters };
}

/** Bytes that are no mark of a document's begin or end. */
export function someBytes(length: number, seed = 1): number[] {
  return Array.from(random(seed).integers([length], 250).data);
}

/** Logits `[rows * time, 256]`, the ratio losses together and, stage by stage, which chunks exist. */
export async function wholeRows(
  runtime: Runtime,
  { options, parameters }: ReturnType<typeof strong>,
  rows: readonly (readonly number[])[],
  capacity?: number,
): Promise<{ readonly logits: NDArray; readonly ratioLoss: number; readonly exists: readonly NDArray[] }> {
  const shape = [rows.length, rows[0]?.length ?? 0];
  interface Out {
    readonly logits: Tensor;
    readonly ratioLoss: Tensor;
    readonly exists: Readonly<Record<string, Tensor>>;
  }
  const program = await runtime.compile<Record<string, never>, { readonly ids: Tensor }, Out>(
    (_state, { ids }, call) => {
      const exists: Record<string, Tensor> = {};
      const { logits, ratioLoss } = hNetForward(options, frozen<HNetParameters>(parameters), ids, call, {
        capacity,
        chunks: (stage, chunks) => {
          exists[stage] = chunks.exists;
        },
      });
      return { out: { logits, ratioLoss, exists } };
    },
    { state: {}, input: { ids: { dtype: 'int32', shape } } },
  );
  const nothing = await runtime.upload({});
  const { out } = await program.run(nothing, { ids: array(Int32Array.from(rows.flat()), shape, 'int32') });
  await program.dispose();
  return { logits: out.logits, ratioLoss: Number(out.ratioLoss.data[0]), exists: Object.values(out.exists) };
}
