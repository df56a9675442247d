/** A training step beside PyTorch's and beside its own matrix products alone: what every kind of model is measured by. */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { arraySource, type Module, type Objective, train } from 'tessera-kit/nn';
import { type Arrays, createRuntime } from 'tessera-kit/tensor';
import { type Product, productFlops, productsTimed } from './_gpt-step.js';
import { type Peer, peerEnvironment, python, startPeer } from './_peer.js';
import { type Contender, compare } from './_rounds.js';
import { trainingContender } from './_training.js';

const PEERS = fileURLToPath(new URL('../bench/peers/', import.meta.url));

/** A step to be measured. `B` is its batch, the same at every step. */
export interface Step<P, B, O> {
  readonly name: string;
  readonly model: Module<P, B, O>;
  readonly objective: Objective<B, O>;
  readonly batch: Arrays<B>;
  /** Rows of the batch. */
  readonly rows: number;
  /** Every matrix product of forward and backward. */
  readonly products: readonly Product[];
  /** The peer's file in bench/peers, and what it is told: sizes, mostly. */
  readonly peer: { readonly script: string; readonly options: object };
}

/** What a comparison came to. Ratios are the peer's time over ours; share: the products' time alone over ours. */
export interface StepReport {
  readonly ratios: Readonly<Record<string, number | null>>;
  readonly gflops: number;
  readonly ceiling_gflops: number;
  readonly share: number;
  readonly spread: Readonly<Record<string, number>>;
  readonly milliseconds: Readonly<Record<string, number>>;
  readonly notes: Readonly<Record<string, string>>;
}

/** How a step is measured. */
export interface StepSettings {
  readonly threads: number;
  /** Updates a round. */
  readonly steps: number;
  readonly say: (line: string) => void;
}

/** A step through the public training loop, pulled one update at a time. */
export async function ourStep<P, B, O>(
  step: Pick<Step<P, B, O>, 'model' | 'objective' | 'batch' | 'rows'>,
  { threads, steps }: Pick<StepSettings, 'threads' | 'steps'>,
): Promise<Contender & { close(): Promise<void> }> {
  const runtime = await createRuntime({ device: 'cpu', threads });
  const stop = new AbortController();
  const run = train<P, B, O>({
    model: step.model,
    objective: step.objective,
    source: arraySource(step.batch, { batch: step.rows, shuffle: false, seed: 1 }) as never,
    steps: 1_000_000,
    rate: 1e-3,
    seed: 1,
    runtime,
    signal: stop.signal,
  });
  const contender = await trainingContender('tessera', run, { steps, stop });
  return {
    ...contender,
    close: async () => {
      await contender.close();
      await runtime.dispose();
    },
  };
}

/** As a person's script finds PyTorch, and with allocator and threads set by hand for steps like these. */
const TUNINGS = { torch: 'plain', torch_tuned: 'tuned' } as const;

/** Measures a step beside PyTorch, where there is one, and beside its products. */
export async function compareStep<P, B, O>(step: Step<P, B, O>, settings: StepSettings): Promise<StepReport> {
  const { threads, steps, say } = settings;
  const notes: Record<string, string> = {};
  const peers = new Map<string, Peer>();
  const command = python();
  for (const [name, tuning] of Object.entries(TUNINGS)) {
    const options = JSON.stringify({ ...step.peer.options, threads, tuning });
    const peer =
      command === undefined
        ? 'python3 with torch is not installed'
        : await startPeer(command, [join(PEERS, step.peer.script), options], peerEnvironment());
    if (typeof peer === 'string') {
      notes[name] = `could not run: ${peer}`;
      say(`${name}: ${notes[name]}`);
      continue;
    }
    notes[name] = [peer.ready.version, peer.ready.note].filter((part) => part !== undefined).join('; ');
    await peer.ask({ steps: 2 });
    peers.set(name, peer);
  }
  say(`${step.name}: warming up`);
  const ours = await ourStep(step, settings);
  const alone = await productsTimed(step.products, threads);
  try {
    const contenders = [...peers].map(
      ([name, peer]): Contender => ({
        name,
        round: async () => (await peer.ask({ steps })).milliseconds,
      }),
    );
    const result = await compare(ours, [alone, ...contenders], say);
    const flops = productFlops(step.products) / 1e6;
    return {
      ratios: Object.fromEntries(Object.keys(TUNINGS).map((name) => [name, result.ratios[name] ?? null])),
      gflops: flops / (result.milliseconds.tessera ?? Number.NaN),
      ceiling_gflops: flops / (result.milliseconds.products ?? Number.NaN),
      share: result.ratios.products ?? Number.NaN,
      spread: result.spread,
      milliseconds: result.milliseconds,
      notes,
    };
  } finally {
    for (const peer of peers.values()) peer.close();
    await alone.close();
    await ours.close();
  }
}

/** The products of a linear layer over `rows` rows: forward, and the gradients of inputs and weights. */
export function linearProducts(rows: number, inputs: number, outputs: number, times = 1): Product[] {
  return [
    { batch: 1, m: rows, k: inputs, n: outputs, transposeA: false, transposeB: false, times },
    { batch: 1, m: rows, k: outputs, n: inputs, transposeA: false, transposeB: true, times },
    { batch: 1, m: inputs, k: rows, n: outputs, transposeA: true, transposeB: false, times },
  ];
}

/** The products of attention by `batch` heads of `head` from `queries` over `keys`, forward and backward. */
export function attentionProducts(batch: number, queries: number, keys: number, head: number, times = 1): Product[] {
  const common = { batch, times };
  return [
    // Scores, and what flows back through the values.
    { ...common, m: queries, k: head, n: keys, transposeA: false, transposeB: true, times: 2 * times },
    // Mixed values, and the gradient of the queries.
    { ...common, m: queries, k: keys, n: head, transposeA: false, transposeB: false, times: 2 * times },
    // The gradients of keys and values.
    { ...common, m: keys, k: queries, n: head, transposeA: true, transposeB: false, times: 2 * times },
  ];
}
