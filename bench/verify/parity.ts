/**
 * `npm run verify -- parity`: gradients and losses of both gpt forms beside PyTorch's, from the same start on the same
 * batches. Where PyTorch is not installed, beside the figures recorded from it (`--record` renews them).
 */

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openSafetensors, writeSafetensors } from 'tessera-kit/formats';
import {
  forward,
  fromPublished,
  type GptOptions,
  type GptParameters,
  gptOptions,
  initGpt,
  toPublished,
} from 'tessera-kit/language-models';
import { adamW, arraySource, nextToken, type TokenBatch, train } from 'tessera-kit/nn';
import {
  type Arrays,
  array as arrayOf,
  createRuntime,
  gradients,
  type NDArray,
  random,
  specsOf,
  type Tensor,
} from 'tessera-kit/tensor';
import { root } from '../_commands.js';

const STEPS = 200;
const BATCH = 8;
const LENGTH = 48;
const VOCABULARY = 96;
const ADAM_EPSILON = 1e-6;
/** Entries of each gradient that are recorded beside its norm. */
const SAMPLES = 24;
/** What is needed: relative distance of gradients, of losses up to step 20, and of losses up to the end. */
const NEEDED = { gradients: 1e-5, early: 1e-4, late: 1e-2 } as const;
const RECORD = join(root, 'bench', 'results', 'parity-pytorch.json');

const FORMS = {
  gpt2: gptOptions({ style: 'gpt2', vocabulary: VOCABULARY, context: LENGTH, layers: 2, width: 64, heads: 4 }),
  llama: gptOptions({
    style: 'llama',
    vocabulary: VOCABULARY,
    context: LENGTH,
    layers: 2,
    width: 64,
    heads: 4,
    kvHeads: 2,
    tied: false,
  }),
} as const;

/** What PyTorch gave: losses, and of each gradient its norm and evenly spaced entries. */
interface Recorded {
  readonly version: string;
  readonly losses: readonly number[];
  readonly gradients: Readonly<Record<string, { readonly norm: number; readonly entries: readonly number[] }>>;
}

interface FormResult {
  readonly gradients: number;
  readonly worstGradient: string;
  readonly early: number;
  readonly late: number;
  readonly firstLoss: number;
  readonly lastLoss: number;
}

/** Warm-up over ten steps, then a cosine to a tenth of 2e-3. */
const schedule = Array.from({ length: STEPS }, (_, step) =>
  step < 10 ? (2e-3 * (step + 1)) / 10 : 2e-3 * (0.1 + 0.45 * (1 + Math.cos((Math.PI * (step - 10)) / (STEPS - 10)))),
);

/** Ids with something to learn: four in five follow from the one before. */
function batches(): NDArray<'int32'> {
  const uniform = random(11).child('batches').stream();
  const ids: number[] = [];
  for (let row = 0; row < STEPS * BATCH; row++) {
    let last = Math.floor(uniform() * VOCABULARY);
    for (let time = 0; time <= LENGTH; time++) {
      ids.push(last);
      last = uniform() < 0.2 ? Math.floor(uniform() * VOCABULARY) : (last * 5 + 1) % VOCABULARY;
    }
  }
  return arrayOf(ids, [STEPS * BATCH, LENGTH + 1], 'int32');
}

function columns(rows: NDArray<'int32'>, from: number): NDArray<'int32'> {
  const [count = 0, width = 0] = rows.shape;
  const data = new Int32Array(count * LENGTH);
  for (let row = 0; row < count; row++)
    data.set(rows.data.subarray(row * width + from, row * width + from + LENGTH), row * LENGTH);
  return { dtype: 'int32', shape: [count, LENGTH], data };
}

/** Our gradients at step 0, under the published names. */
async function ourGradients(
  options: GptOptions,
  parameters: Arrays<GptParameters>,
  all: NDArray<'int32'>,
): Promise<Map<string, NDArray>> {
  const runtime = await createRuntime({ worker: false });
  const first = { ...all, shape: [BATCH, LENGTH + 1], data: all.data.subarray(0, BATCH * (LENGTH + 1)) };
  const batch = { inputs: columns(first, 0), targets: columns(first, 1) };
  const objective = nextToken();
  const program = await runtime.compile<GptParameters, TokenBatch, GptParameters>(
    (weights, given, call) => {
      const { total } = objective.loss(
        (input, inner) => forward(options, weights, input.inputs, inner),
        {},
        given,
        call,
      );
      return { out: gradients(total, weights) };
    },
    { state: specsOf<GptParameters>(parameters), input: specsOf<TokenBatch>(batch) },
  );
  const state = await runtime.upload(parameters);
  const { out } = await program.run(state as never, batch as never);
  await runtime.dispose();
  const named = new Map<string, NDArray>();
  for (const tensor of toPublished(options, out)) {
    const sum = await tensor.read();
    named.set(tensor.name, {
      ...sum,
      data: Float32Array.from(sum.data as Float32Array, (value) => value / (BATCH * LENGTH)),
    });
  }
  return named;
}

async function ourLosses(
  options: GptOptions,
  parameters: Arrays<GptParameters>,
  all: NDArray<'int32'>,
): Promise<number[]> {
  const losses: number[] = [];
  const run = train<GptParameters, TokenBatch, Tensor>({
    model: { init: () => parameters, apply: (weights, batch, call) => forward(options, weights, batch.inputs, call) },
    objective: nextToken(),
    source: arraySource({ inputs: columns(all, 0), targets: columns(all, 1) }, { batch: BATCH, shuffle: false }),
    parameters,
    steps: STEPS,
    rate: (step) => schedule[step] ?? 0,
    optimizer: adamW({ epsilon: ADAM_EPSILON, betas: [0.9, 0.95], weightDecay: 0.1 }),
    clip: 1,
  });
  for await (const event of run) if (event.type === 'step') losses.push(event.loss);
  return losses;
}

/** Runs PyTorch on the same start and batches; undefined where it is not installed. */
async function askPytorch(
  style: keyof typeof FORMS,
  folder: string,
  all: NDArray<'int32'>,
): Promise<Recorded | undefined> {
  const options = FORMS[style];
  const wide = BigInt64Array.from(all.data, BigInt);
  await writeSafetensors(join(folder, 'batches.safetensors'), [
    { name: 'batches', array: { dtype: 'int64', shape: [STEPS, BATCH, LENGTH + 1], data: wide } },
  ]);
  const choices = {
    style,
    layers: options.layers,
    heads: options.heads,
    keyValueHeads: options.kvHeads,
    eps: options.normEpsilon,
    parameters: 'parameters.safetensors',
    batches: 'batches.safetensors',
    schedule,
    optimizerEps: ADAM_EPSILON,
    gradients: 'gradients.safetensors',
    losses: 'losses.json',
  };
  await writeFile(join(folder, 'options.json'), JSON.stringify(choices));
  const { OPENBLAS_CORETYPE: _core, OPENBLAS_L2_SIZE: _cache, ...env } = process.env;
  const script = join(root, 'bench', 'peers', 'torch_parity.py');
  for (const python of ['/usr/bin/python3', 'python3']) {
    try {
      await promisify(execFile)(python, ['-c', 'import torch'], { env });
    } catch {
      continue;
    }
    await promisify(execFile)(python, [script, join(folder, 'options.json')], { env });
    const { version, losses } = JSON.parse(await readFile(join(folder, 'losses.json'), 'utf8')) as Recorded;
    const file = await openSafetensors(join(folder, 'gradients.safetensors'));
    const read: Record<string, Recorded['gradients'][string]> = {};
    for (const name of file.names) read[name] = summary(await file.read(name));
    await file.close();
    return { version, losses, gradients: read };
  }
  return undefined;
}

function summaryValues({ data }: NDArray): number[] {
  return Array.from(data as ArrayLike<number>, Number);
}

function summary(array: NDArray): { readonly norm: number; readonly entries: readonly number[] } {
  const values = summaryValues(array);
  const stride = Math.max(1, Math.floor(values.length / SAMPLES));
  return { norm: Math.hypot(...values), entries: values.filter((_, index) => index % stride === 0).slice(0, SAMPLES) };
}

/** The largest distance of norms and entries, relative to the gradient's norm per entry and its norm. */
function gradientDistance(
  ours: ReadonlyMap<string, NDArray>,
  theirs: Recorded['gradients'],
): readonly [number, string] {
  let worst: readonly [number, string] = [0, ''];
  for (const [name, expected] of Object.entries(theirs)) {
    const own = ours.get(name);
    if (own === undefined) return [Number.POSITIVE_INFINITY, `${name} is missing`];
    const mine = summary(own);
    const largest = Math.max(...summaryValues(own).map(Math.abs));
    const entries =
      Math.max(...expected.entries.map((value, index) => Math.abs(value - (mine.entries[index] ?? Number.NaN)))) /
      largest;
    const distance = Math.max(entries, Math.abs(mine.norm - expected.norm) / expected.norm);
    if (!(distance <= worst[0])) worst = [distance, name];
  }
  return worst;
}

function lossDistance(ours: readonly number[], theirs: readonly number[], steps: number): number {
  return Math.max(...theirs.slice(0, steps).map((loss, step) => Math.abs((ours[step] ?? Number.NaN) - loss) / loss));
}

async function verifyForm(
  style: keyof typeof FORMS,
  recorded: Recorded | undefined,
): Promise<{ readonly result: FormResult; readonly theirs: Recorded; readonly live: boolean }> {
  const options = FORMS[style];
  const all = batches();
  const folder = await mkdtemp(join(tmpdir(), 'tessera-parity-'));
  try {
    const fresh = initGpt(options, random(3));
    const path = join(folder, 'parameters.safetensors');
    await writeSafetensors(path, toPublished(options, fresh));
    const file = await openSafetensors(path);
    const parameters = await fromPublished(options, file);
    await file.close();
    const asked = await askPytorch(style, folder, all);
    const theirs = asked ?? recorded;
    if (theirs === undefined) throw new Error('PyTorch is not installed here, and no figures of it are recorded.');
    const [distance, worstGradient] = gradientDistance(await ourGradients(options, parameters, all), theirs.gradients);
    const losses = await ourLosses(options, parameters, all);
    const result: FormResult = {
      gradients: distance,
      worstGradient,
      early: lossDistance(losses, theirs.losses, 20),
      late: lossDistance(losses, theirs.losses, STEPS),
      firstLoss: losses[0] ?? Number.NaN,
      lastLoss: losses.at(-1) ?? Number.NaN,
    };
    return { result, theirs, live: asked !== undefined };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Compares both forms; `ok` when every distance is within what is needed. */
export default async function run(
  args: readonly string[],
): Promise<{ readonly ok: boolean; readonly figures: object }> {
  const record = await readFile(RECORD, 'utf8').then(
    (text) => JSON.parse(text) as Readonly<Record<string, Recorded>>,
    () => undefined,
  );
  const figures: Record<string, FormResult & { readonly peer: string }> = {};
  const fresh: Record<string, Recorded> = {};
  for (const style of ['gpt2', 'llama'] as const) {
    const { result, theirs, live } = await verifyForm(style, record?.[style]);
    figures[style] = { ...result, peer: `PyTorch ${theirs.version}${live ? '' : ', recorded'}` };
    fresh[style] = theirs;
    process.stderr.write(
      `${style}: gradients ${result.gradients.toExponential(1)} (${result.worstGradient}), losses ${result.early.toExponential(1)} to step 20, ${result.late.toExponential(1)} to step ${STEPS}\n`,
    );
  }
  if (args.includes('--record')) {
    await mkdir(join(root, 'bench', 'results'), { recursive: true });
    await writeFile(RECORD, `${JSON.stringify(fresh)}\n`);
  }
  const ok = Object.values(figures).every(
    ({ gradients: distance, early, late }) =>
      distance <= NEEDED.gradients && early <= NEEDED.early && late <= NEEDED.late,
  );
  return { ok, figures: { needed: NEEDED, steps: STEPS, ...figures } };
}
