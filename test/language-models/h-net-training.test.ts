import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { corpusFromStrings } from 'tessera-kit/formats';
import { type HNetChoices, type HNetParameters, hNet, initHNet } from 'tessera-kit/language-models';
import { type AdamWMoments, adamW, functionSource, linear, train } from 'tessera-kit/nn';
import {
  type Arrays,
  add,
  array,
  arrayLeaves,
  constant,
  evaluate,
  gradients,
  mapTensors,
  mul,
  type NDArray,
  random,
  specsOf,
  type Tensor,
  type Tensors,
} from 'tessera-kit/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testRuntime } from '../runtime.js';
import { MODELS, strong } from './h-net-models.js';
import { expectExactResume } from './resume.js';

const runtime = await testRuntime();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'h-net-training-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const ATTENTION: HNetChoices = { ...MODELS['one stage'], context: 24 };
const MIXED: HNetChoices = { ...MODELS['Mamba-2 around attention'], context: 24 };
const KINDS = [
  ['attention', ATTENTION],
  ['two stages with Mamba-2', MIXED],
] as const;

/** Rows of a text that repeats itself, cut anywhere. */
function repeated(batch: number, time: number) {
  const pattern = new TextEncoder().encode('abcd efg ');
  return (index: number) => {
    const from = (row: number): number => Number(random(index).child(row).integers([1], pattern.length).data[0]);
    const rows = (shift: number): NDArray =>
      array(
        Int32Array.from({ length: batch * time }, (_, i) => {
          const row = Math.floor(i / time);
          return pattern[(from(row) + (i % time) + shift) % pattern.length] ?? 0;
        }),
        [batch, time],
        'int32',
      );
    return { inputs: rows(0), targets: rows(1) };
  };
}

describe('training', () => {
  it.each(KINDS)('overfits a repeated pattern below its unigram entropy in 50 steps: %s', async (_name, choices) => {
    const model = hNet(choices);
    const losses: number[] = [];
    const figures: Record<string, number>[] = [];
    for await (const event of train({
      runtime,
      model,
      source: functionSource(repeated(8, 24)),
      steps: 50,
      rate: 1e-2,
      seed: 2,
    })) {
      if (event.type !== 'step') continue;
      losses.push(event.loss);
      figures.push({ ...event.figures });
    }
    // Nine bytes of which the space comes twice; the ratio loss is at most 0.03 times 6 a stage.
    const entropy = (7 / 9) * Math.log(9) + (2 / 9) * Math.log(9 / 2);
    expect(losses[0]).toBeGreaterThan(entropy);
    expect(losses.at(-1)).toBeLessThan(0.6 * entropy);
    for (const stage of model.architecture.ratios.keys()) {
      const { [`stages.${stage}.ratio`]: ratio = -1, [`stages.${stage}.ratioLoss`]: loss = -1 } = figures.at(-1) ?? {};
      expect(ratio).toBeGreaterThan(0);
      expect(ratio).toBeLessThanOrEqual(1);
      expect(loss).toBeGreaterThan(0);
    }
  });

  it('counts the boundaries that found no place', async () => {
    const model = hNet({ ...ATTENTION, capacity: 0.125 });
    const { parameters } = strong(ATTENTION);
    let dropped = 0;
    for await (const event of train({
      runtime,
      model,
      parameters,
      source: functionSource(repeated(4, 24)),
      steps: 1,
    })) {
      if (event.type !== 'step') continue;
      dropped = event.figures['stages.0.dropped'] ?? 0;
      expect(event.figures['stages.0.ratio']).toBeLessThanOrEqual(0.125);
    }
    expect(dropped).toBeGreaterThan(0);
  });

  it.each(KINDS)('resumes bit for bit: %s', async (name, choices) => {
    const model = hNet(choices);
    await expectExactResume(runtime, model, join(folder, name));
  });

  it('begins every document with its mark, and ends it with the other', async () => {
    const model = hNet({ ...ATTENTION, context: 8 });
    const source = model.source(corpusFromStrings(['abcdef', 'ghijkl', 'mnop']), { batch: 1, length: 16 }, random(1));
    const batch = await source.next();
    const ids = Array.from(batch?.inputs.data ?? [], Number);
    for (const [index, id] of ids.entries()) if (id === 255 && index + 1 < ids.length) expect(ids[index + 1]).toBe(254);
    expect(ids.filter((id) => id === 254).length).toBeGreaterThan(1);
  });

  it('trains the router through the confidence, the average and the ratio loss', async () => {
    const { options, parameters } = strong(ATTENTION);
    const model = hNet(options);
    const batch = repeated(2, 24)(0);
    const slopesOf = async (which: 'logits' | 'ratio') => {
      const program = await runtime.compile<HNetParameters, Tensors<typeof batch>, HNetParameters>(
        (state, given, call) => {
          const { total, extra } = model.objective.loss(
            (input, inner) => model.apply(state, input, inner),
            {},
            given,
            call,
          );
          return { out: gradients(which === 'logits' || extra === undefined ? total : extra, state) };
        },
        { state: specsOf<HNetParameters>(parameters), input: specsOf<Tensors<typeof batch>>(batch) },
      );
      const state = await runtime.upload(parameters);
      const { out } = await program.run(state as never, batch as never);
      return new Map(arrayLeaves(out));
    };
    const largest = (leaf: NDArray | undefined): number =>
      Math.max(...Array.from({ length: leaf?.data.length ?? 0 }, (_, i) => Math.abs(Number(leaf?.data[i]))));
    const [logits, ratio] = [await slopesOf('logits'), await slopesOf('ratio')];
    for (const part of ['query', 'key']) {
      expect(largest(logits.get(`stages.0.routing.${part}.weight`))).toBeGreaterThan(1e-4);
      expect(largest(ratio.get(`stages.0.routing.${part}.weight`))).toBeGreaterThan(1e-6);
    }
    // The ratio loss looks at the router and what feeds it, and at nothing behind.
    expect(largest(ratio.get('stages.1.main.norm.weight'))).toBe(0);
    expect(largest(ratio.get('stages.0.encoder.norm.weight'))).toBeGreaterThan(0);
  });

  it('adds nothing but a bias to what comes back from the chunks, at first', async () => {
    const { options } = strong(ATTENTION);
    const fresh: Arrays<HNetParameters> = initHNet(options, random(1));
    const { weight, bias } = fresh.stages[0]?.residual ?? {};
    if (weight === undefined || bias === undefined) throw new Error('a skip');
    const [u, h] = [random(2).normal([3, 16]), random(3).normal([3, 16])];
    const joined = await evaluate(
      (chunks: Tensor, hidden: Tensor, w: Tensor, b: Tensor) => ({
        with: add(chunks, linear({ weight: w, bias: b }, hidden)),
        without: add(chunks, mul(b, 1)),
      }),
      u,
      h,
      weight,
      bias,
    );
    expect(joined.with.data).toEqual(joined.without.data);
  });

  it('decays matrices, and neither biases nor norms', async () => {
    const { parameters } = strong(MIXED);
    const optimizer = adamW<HNetParameters>({ weightDecay: 0.5 });
    const program = await runtime.compile<Decayed, object, HNetParameters>(
      ({ model, moments }, _input, call) => {
        const still = mapTensors(model, (leaf) => mul(leaf, 0));
        return { out: optimizer.update(model, still, moments, constant(0.1), call).parameters };
      },
      { state: specsOf<Decayed>({ model: parameters, moments: optimizer.init(parameters) }), input: {} },
    );
    const state = await runtime.upload({ model: parameters, moments: optimizer.init(parameters) });
    const { out } = await program.run(state as never, {});
    const after = new Map(arrayLeaves(out));
    for (const [path, { shape, data }] of arrayLeaves(parameters)) {
      const kept = Number(after.get(path)?.data[0]) / Number(data[0]);
      expect(kept, path).toBeCloseTo(shape.length < 2 ? 1 : 0.95, 5);
      if (/bias|norm|pad|logA|skip/.test(path)) expect(shape, path).toHaveLength(1);
    }
  });
});

interface Decayed {
  readonly model: HNetParameters;
  readonly moments: AdamWMoments<HNetParameters>;
}
