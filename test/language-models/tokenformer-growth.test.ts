import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { corpusFromStrings } from 'tessera-kit/formats';
import {
  dropGrownTokens,
  freezeOldTokens,
  type GrowOptions,
  growMoments,
  growTokenformer,
  loadTokenformer,
  type Tokenformer,
  type TokenformerParameters,
  tokenformer,
  tokenformerForward,
} from 'tessera-kit/language-models';
import {
  adamW,
  readAdamWStart,
  readRunMoments,
  type TokenBatch,
  type TrainEvent,
  type TrainOptions,
  train,
  writeAdamWStart,
} from 'tessera-kit/nn';
import {
  type Arrays,
  array,
  arrayLeaves,
  evaluate,
  type NDArray,
  random,
  type Tensor,
  TesseraError,
} from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainCall } from '../plain-call.js';
import { testRuntime } from '../runtime.js';

const tokenizer = byteTokenizer();
const SIZE = { layers: 2, width: 32, heads: 2, nQkv: 8, nO: 6, nFfn: 20, context: 16, tokenizer };
const LARGER: GrowOptions = { nQkv: 12, nO: 14, nFfn: 30, seed: 5 };
const RATE = 2e-2;
const base = tokenformer(SIZE);
const PATTERN = 'the quick fox sees a lazy dog and the dog sees it too. '.repeat(40);

type Parameters = Arrays<TokenformerParameters>;

const runtime = await testRuntime();
let folder: string;
let trained: Parameters;
let losses: number[];

const path = (name: string): string => join(folder, name);

function source(model: Tokenformer) {
  return model.source(corpusFromStrings([PATTERN]), { batch: 8, length: 16 }, random(3));
}

async function run(model: Tokenformer, options: Partial<TrainOptions<TokenformerParameters, TokenBatch, Tensor>>) {
  const seen: TrainEvent<TokenformerParameters>[] = [];
  const events = train({ model, source: source(model), runtime, rate: RATE, seed: 1, steps: 50, ...options });
  for await (const event of events) seen.push(event);
  const end = seen.at(-1);
  if (end?.type !== 'end') throw new Error('the last event is the end');
  const steps = seen.flatMap((event) => (event.type === 'step' ? [event.loss] : []));
  return { losses: steps, parameters: await end.parameters() };
}

async function logitsOf({ architecture }: Tokenformer, parameters: Parameters): Promise<Float32Array> {
  const ids = array([...tokenizer.encodeBytes(new TextEncoder().encode(PATTERN.slice(3, 19)))], [1, 16], 'int32');
  const out = await evaluate(
    (weights, batch) => {
      return tokenformerForward(architecture, weights as never, batch as never, plainCall);
    },
    parameters,
    ids,
  );
  return (out as NDArray).data as Float32Array;
}

function distance(a: Float32Array, b: Float32Array): number {
  return Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? Number.NaN))));
}

function leaf(parameters: unknown, name: string): NDArray {
  const found = new Map(arrayLeaves(parameters)).get(name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

/** Rows `from` to `to` of a matrix. */
function rows(matrix: NDArray, from: number, to?: number): number[] {
  const columns = Number(matrix.shape[1]);
  return [...matrix.data.slice(from * columns, to === undefined ? undefined : to * columns)].map(Number);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tokenformer-growth-'));
  const made = await run(base, { out: path('base'), config: base.options });
  trained = made.parameters;
  losses = made.losses;
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('training', () => {
  it('learns a repeated pattern below its unigram entropy in 50 steps', () => {
    const counts = new Map<string, number>();
    for (const letter of PATTERN) counts.set(letter, (counts.get(letter) ?? 0) + 1);
    const entropy = [...counts.values()].reduce((sum, count) => {
      const share = count / PATTERN.length;
      return sum - share * Math.log(share);
    }, 0);
    expect(losses).toHaveLength(50);
    expect(losses.at(-1)).toBeLessThan(entropy - 0.5);
  });

  it('goes on from a checkpoint with the same losses, bit for bit', async () => {
    const signal = new AbortController();
    const first: number[] = [];
    const options = {
      model: base,
      runtime,
      rate: RATE,
      seed: 1,
      steps: 50,
      out: path('stopped'),
      config: base.options,
    };
    for await (const event of train({ ...options, source: source(base), signal: signal.signal })) {
      if (event.type === 'step') first.push(event.loss);
      if (event.type === 'step' && event.step === 20) signal.abort();
    }
    const rest = await run(base, { out: path('stopped'), config: base.options });
    expect([...first, ...rest.losses]).toEqual(losses);
    expect(arrayLeaves(rest.parameters)).toEqual(arrayLeaves(trained));
  });
});

describe('growth', () => {
  it('keeps the function with zero keys and tau kept', async () => {
    const grown = growTokenformer(base, trained, LARGER);
    expect(grown.model.architecture).toMatchObject({ nQkv: 12, nO: 14, nFfn: 30, tau: { nQkv: 8, nO: 6, nFfn: 20 } });
    expect(distance(await logitsOf(grown.model, grown.parameters), await logitsOf(base, trained))).toBeLessThan(1e-5);
    // The new values are there to be learned with.
    expect(rows(leaf(grown.parameters, 'blocks.0.ffn.value'), 20).some((value) => value !== 0)).toBe(true);
  });

  it('keeps the function of the gelu_l2_norm kind, and grows a second time', async () => {
    const model = tokenformer({ ...SIZE, kind: 'gelu_l2_norm' });
    const parameters = model.init(random(4));
    const once = growTokenformer(model, parameters, LARGER);
    const twice = growTokenformer(once.model, once.parameters, { nFfn: 60 });
    expect(distance(await logitsOf(twice.model, twice.parameters), await logitsOf(model, parameters))).toBeLessThan(
      1e-5,
    );
    expect(twice.model.architecture.growths.map(({ tokens }) => tokens.nFfn)).toEqual([20, 30]);
  });

  it.each<readonly [string, GrowOptions]>([
    ['tau of the new number of tokens', { keepTau: false }],
    ['random keys', { zeroKeys: false }],
    ['both, as the published PyTorch loader does', { keepTau: false, zeroKeys: false }],
  ])('changes the function with %s', async (_name, options) => {
    const grown = growTokenformer(base, trained, { ...LARGER, ...options });
    expect(distance(await logitsOf(grown.model, grown.parameters), await logitsOf(base, trained))).toBeGreaterThan(
      0.01,
    );
    // Old rows are copied whatever the new ones are.
    expect(rows(leaf(grown.parameters, 'blocks.1.ffn.key'), 0, 20)).toEqual(rows(leaf(trained, 'blocks.1.ffn.key'), 0));
  });

  it('gives the base back, exactly, when the new rows are dropped', async () => {
    for (const options of [LARGER, { ...LARGER, keepTau: false, zeroKeys: false }]) {
      const grown = growTokenformer(base, trained, options);
      const dropped = dropGrownTokens(grown.model, grown.parameters);
      expect(dropped.model.options).toEqual(base.options);
      expect(arrayLeaves(dropped.parameters)).toEqual(arrayLeaves(trained));
    }
  });

  it('draws the same new rows from the same seed, and others from another', () => {
    const [one, again, other] = [5, 5, 6].map((seed) =>
      rows(leaf(growTokenformer(base, trained, { ...LARGER, seed }).parameters, 'blocks.0.attention.out.value'), 6),
    );
    expect(one).toEqual(again);
    expect(one).not.toEqual(other);
  });

  it('comes back from a folder with its tau and its growths', async () => {
    const grown = growTokenformer(base, trained, LARGER);
    await grown.model.save(path('grown'), grown.parameters, { onnx: [] });
    const loaded = await loadTokenformer(path('grown'));
    expect(loaded.model.options).toEqual(grown.model.options);
    const back = await loaded.parameters();
    expect(await logitsOf(loaded.model, back)).toEqual(await logitsOf(grown.model, grown.parameters));
    await loaded.close();
  });
});

describe('training on', () => {
  it('moves new keys in the first step and new values not before', async () => {
    const grown = growTokenformer(base, trained, LARGER);
    const { parameters } = await run(grown.model, {
      parameters: grown.parameters,
      steps: 1,
      optimizer: adamW({ weightDecay: 0 }),
    });
    for (const [name, old] of [
      ['blocks.0.attention.query', 8],
      ['blocks.1.attention.out', 6],
      ['blocks.1.ffn', 20],
    ] as const) {
      const keys = rows(leaf(parameters, `${name}.key`), old);
      expect(
        keys.every((value) => value !== 0),
        name,
      ).toBe(true);
      expect(rows(leaf(parameters, `${name}.value`), old)).toEqual(rows(leaf(grown.parameters, `${name}.value`), old));
    }
  });

  it('leaves everything old as it is when old tokens are frozen, decay included', async () => {
    const grown = growTokenformer(base, trained, LARGER);
    const model = tokenformer({ ...grown.model.architecture, tokenizer, freezeOld: true });
    const { parameters, losses: after } = await run(model, {
      parameters: grown.parameters,
      steps: 12,
      optimizer: adamW({ weightDecay: 0.1, multiplier: model.rates }),
    });
    expect(after.at(-1)).toBeLessThan(after[0] ?? 0);
    const counts = { query: 8, key: 8, value: 8, out: 6, ffn: 20 };
    for (const [name, old] of arrayLeaves(trained)) {
      const [, layer = ''] = /(query|key|value|out|ffn)\.(?:key|value)$/.exec(name) ?? [];
      const count = counts[layer as keyof typeof counts];
      const now = leaf(parameters, name);
      if (count === undefined) expect(now.data, name).toEqual(old.data);
      else {
        expect(rows(now, 0, count), name).toEqual(rows(old, 0));
        expect(rows(now, count), name).not.toEqual(rows(leaf(grown.parameters, name), count));
      }
    }
  });

  it('freezes layers whole that did not grow', () => {
    const { model } = growTokenformer(base, trained, { nFfn: 24 });
    const factor = freezeOldTokens(model.architecture);
    expect(factor('blocks.0.attention.query.key')).toBe(0);
    expect(factor('embedding.weight')).toBe(0);
    expect(factor('blocks.0.ffn.key')).toMatchObject({ shape: [24, 1] });
  });

  it("begins with the run's moments, zeros for new rows, and counts its updates on", async () => {
    const start = await readRunMoments(path('base'));
    if (start === undefined) throw new Error('the run has moments');
    expect(start.steps).toBe(50);
    const grown = growTokenformer(base, trained, LARGER);
    const moments = growMoments(start.moments, grown.model);
    await grown.model.save(path('with-moments'), grown.parameters, { onnx: [] });
    await writeAdamWStart(path('with-moments'), { moments, steps: start.steps });
    const read = await readAdamWStart(path('with-moments'));
    expect(read?.steps).toBe(50);
    const first = leaf(read?.moments.first, 'blocks.1.ffn.key');
    expect(first.shape).toEqual([30, 32]);
    expect(rows(first, 0, 20)).toEqual(rows(leaf(start.moments.first, 'blocks.1.ffn.key'), 0));
    expect(rows(first, 20).every((value) => value === 0)).toBe(true);
    // With new rows that cannot learn yet, a step of the grown model is the step that the base would have made.
    const next = { steps: 1, rate: 1e-3, clip: Number.POSITIVE_INFINITY };
    const same = await run(base, {
      ...next,
      parameters: trained,
      optimizer: adamW({ weightDecay: 0, start: { moments: start.moments, steps: 50 } }),
    });
    const larger = await run(grown.model, {
      ...next,
      parameters: grown.parameters,
      optimizer: adamW({ weightDecay: 0, start: read }),
    });
    for (const name of ['blocks.0.attention.value.key', 'blocks.1.ffn.value']) {
      const count = name.includes('ffn') ? 20 : 8;
      const [ours, theirs] = [rows(leaf(larger.parameters, name), 0, count), rows(leaf(same.parameters, name), 0)];
      expect(Math.max(...ours.map((value, i) => Math.abs(value - (theirs[i] ?? 0)))), name).toBeLessThan(1e-5);
    }
    await expect(run(base, { parameters: trained, steps: 1, optimizer: adamW({ start: read }) })).rejects.toThrow(
      /moment of float32 \[12, 32\] for "blocks\.0\.attention\.query\.key"/,
    );
  });

  it('takes with those moments the step that a run which never stopped takes', async () => {
    const whole = await run(base, { steps: 30, rate: 1e-3 });
    const half = await run(base, { steps: 15, rate: 1e-3, out: path('half') });
    const start = await readRunMoments(path('half'));
    const place = source(base);
    for (let batch = 0; batch < 15; batch++) await place.next();
    const rest = await run(base, {
      steps: 15,
      rate: 1e-3,
      source: place,
      parameters: half.parameters,
      optimizer: adamW({ start }),
    });
    const [a, b] = [whole.parameters, rest.parameters].map((tree) => arrayLeaves(tree));
    for (const [i, [name, { data }]] of (a ?? []).entries()) {
      const other = b?.[i]?.[1].data as Float32Array;
      expect(distance(data as Float32Array, other), name).toBeLessThan(1e-5);
    }
  });
});

describe('bad input', () => {
  it.each<readonly [string, Tokenformer, GrowOptions, RegExp]>([
    ['shrinking', base, { nQkv: 4 }, /nQkv cannot go from 8 down to 4/],
    ['nothing', base, { nQkv: 8 }, /Nothing would grow/],
    ['a broken number', base, { nFfn: 20.5 }, /must be whole, not 20\.5/],
    ['softmax', tokenformer({ ...SIZE, kind: 'softmax' }), { nQkv: 12 }, /softmax kind cannot grow/],
  ])('a growth by %s is refused in a sentence', (_name, model, options, message) => {
    const grow = () => growTokenformer(model, trained, options);
    expect(grow).toThrow(message);
    expect(grow).toThrow(TesseraError);
  });

  it('a model that has not grown has nothing to drop or to freeze', () => {
    expect(() => dropGrownTokens(base, trained)).toThrow(/has not grown/);
    expect(() => tokenformer({ ...SIZE, freezeOld: true })).toThrow(/has not grown/);
  });
});
