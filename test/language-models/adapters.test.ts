/** Adapters of language models: PEFT's names, shapes and types for both published forms, and what they compute. */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSafetensors } from 'tessera-kit/formats';
import { type AdaptModelOptions, adaptModel, gpt, loadAdapter, toPublished } from 'tessera-kit/language-models';
import { mergeLora } from 'tessera-kit/nn';
import { type Arrays, array, mapArrays, random, specsOf } from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testRuntime } from '../runtime.js';
import { GPT2, GPT2_ALL, type Layout, LLAMA, LLAMA_ALL } from './peft-layout.js';

const runtime = await testRuntime();
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-adapters-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const size = { layers: 1, width: 32, heads: 4, hidden: 48, context: 16, tokenizer: byteTokenizer() } as const;
const llama = gpt({ ...size, style: 'llama', kvHeads: 2, tied: false });
const gpt2 = gpt({ ...size, style: 'gpt2' });
type Model = typeof llama;

/** A model with adapters whose every number is drawn. */
function adapted(model: Model, options: AdaptModelOptions) {
  const base = model.init(random(1));
  const { model: own, parameters } = adaptModel(model, base, random(2), options);
  const adapters = mapArrays(parameters.adapters, ({ shape }) => {
    const drawn = random(3).child(shape.join()).normal(shape, 0.3);
    return shape.length === 1 ? { ...drawn, data: drawn.data.map((v) => 1 + v) } : drawn;
  });
  return { base, own, parameters: { base: parameters.base, adapters } };
}

const cases: readonly (readonly [string, Model, AdaptModelOptions, Layout, object])[] = [
  [
    'llama',
    llama,
    { rank: 4, alpha: 8, base: 'somebody/llama' },
    LLAMA,
    {
      base_model_name_or_path: 'somebody/llama',
      fan_in_fan_out: false,
      lora_alpha: 8,
      lora_dropout: 0,
      r: 4,
      target_modules: ['q_proj', 'v_proj'],
      use_dora: false,
      use_rslora: false,
    },
  ],
  [
    'llama-all',
    llama,
    { rank: 4, targets: 'all-linear', dora: true, rankStabilized: true, dropout: 0.1 },
    LLAMA_ALL,
    {
      base_model_name_or_path: null,
      lora_alpha: 4,
      lora_dropout: 0.1,
      target_modules: ['down_proj', 'gate_proj', 'k_proj', 'o_proj', 'q_proj', 'up_proj', 'v_proj'],
      use_dora: true,
      use_rslora: true,
    },
  ],
  ['gpt2', gpt2, { rank: 4 }, GPT2, { fan_in_fan_out: true, target_modules: ['c_attn'] }],
  [
    'gpt2-all',
    gpt2,
    { rank: 4, targets: 'all-linear' },
    GPT2_ALL,
    { fan_in_fan_out: true, target_modules: ['c_attn', 'c_fc', 'c_proj'] },
  ],
];

describe("an adapter's folder", () => {
  it.each(cases)("has PEFT's names, shapes and types: %s", async (name, model, options, layout, config) => {
    const { own, parameters } = adapted(model, options);
    const path = join(folder, name);
    await own.save(path, parameters);
    const file = await openSafetensors(join(path, 'adapter_model.safetensors'));
    const found = file.names.map((tensor) => [tensor, file.tensor(tensor).shape, file.tensor(tensor).dtype]);
    expect(file.metadata).toEqual({ format: 'pt' });
    await file.close();
    expect(found.sort()).toEqual(layout.map(([tensor, shape]) => [tensor, shape, 'F32']));
    const written = JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8'));
    expect(written).toMatchObject({
      peft_type: 'LORA',
      task_type: 'CAUSAL_LM',
      bias: 'none',
      modules_to_save: null,
      ...config,
    });
    expect(Object.keys(written)).toEqual(Object.keys(written).sort());
  });

  it.each(cases)('comes back with the same logits: %s', async (name, model, options) => {
    const { base, own, parameters } = adapted(model, options);
    const path = join(folder, `again-${name}`);
    await own.save(path, parameters);
    const { settings, adapters } = await loadAdapter(path, model, base);
    const merged = mergeLora<typeof base>(base, settings, adapters) as typeof base;
    const ids = array([1, 5, 9, 200, 7, 77], [2, 3], 'int32');
    const batch = { inputs: ids, targets: ids };
    const logits = async <P>(
      module: { apply(parameters: P, batch: never, call: never): unknown },
      weights: Arrays<P>,
    ): Promise<number[]> => {
      const state = await runtime.upload(weights);
      const program = await runtime.compile(
        (from: P, given: unknown, call) => ({ out: { logits: module.apply(from, given as never, call as never) } }),
        { state: specsOf<P>(weights), input: specsOf<unknown>(batch) },
      );
      const { out } = await program.run(state as never, batch as never);
      await program.dispose();
      await state.dispose();
      return Array.from((out as unknown as { logits: { data: Float32Array } }).logits.data);
    };
    const [before, inside, after] = [
      await logits(model, base),
      await logits(own, parameters as never),
      await logits(model, merged),
    ];
    const apart = (a: readonly number[], b: readonly number[]): number =>
      Math.max(...a.map((v, i) => Math.abs(v - (b[i] ?? Number.NaN))));
    expect(apart(inside, after)).toBeLessThan(1e-5);
    expect(apart(before, after)).toBeGreaterThan(1e-3);
  });

  it("changes GPT-2's transposed, fused weight where PEFT does: by A' B' as the file has it", async () => {
    const { base, own, parameters } = adapted(gpt2, { rank: 4, alpha: 2 });
    const path = join(folder, 'conv');
    await own.save(path, parameters);
    const { settings, adapters } = await loadAdapter(path, gpt2, base);
    const merged = mergeLora<typeof base>(base, settings, adapters) as typeof base;
    const published = async (weights: typeof base) => {
      const found = toPublished(gpt2.architecture, weights).find(({ name }) => name.endsWith('c_attn.weight'));
      if (found === undefined) throw new Error('gpt2 has c_attn');
      return found.read();
    };
    const [was, is] = [await published(base), await published(merged)];
    const file = await openSafetensors(join(path, 'adapter_model.safetensors'));
    const [a, b] = [await file.read(LORA('A')), await file.read(LORA('B'))];
    await file.close();
    expect(is.shape).toEqual([32, 96]);
    for (const [i, j] of [
      [0, 0],
      [31, 95],
      [7, 40],
      [20, 64],
    ] as const) {
      // Conv1D stores [in, out]; PEFT adds the transpose of B A, times alpha / rank.
      let delta = 0;
      for (let k = 0; k < 4; k++) delta += 0.5 * Number(b.data[j * 4 + k]) * Number(a.data[k * 32 + i]);
      expect(Number(is.data[i * 96 + j]) - Number(was.data[i * 96 + j])).toBeCloseTo(delta, 6);
    }
  });

  it('is refused by a model of another size or form, with a sentence', async () => {
    const { own, parameters } = adapted(llama, { rank: 4 });
    const path = join(folder, 'other');
    await own.save(path, parameters);
    const wide = gpt({ ...size, width: 64, style: 'llama', kvHeads: 2 });
    await expect(loadAdapter(path, wide, wide.init(random(1)))).rejects.toThrow(
      'The adapter of model.layers.0.self_attn.q_proj is for 32 inputs and 32 outputs; the model has 64 and 64 there',
    );
    await expect(loadAdapter(path, gpt2, gpt2.init(random(1)))).rejects.toThrow(
      'for a module model.layers.0.self_attn.q_proj, which the model does not have',
    );
  });

  it('needs targets where an architecture has no published names', () => {
    const own = { ...gpt2, adaptable: undefined };
    const base = own.init(random(1));
    expect(() => adaptModel(own, base, random(2))).toThrow('has no usual modules for adapters');
    const { model } = adaptModel(own, base, random(2), { targets: 'all-linear' });
    const names = model.adapters.modules.map(({ name }) => name);
    expect(names).toContain('blocks.0.attention.query');
    expect(names.some((name) => /embedding|positions|head/.test(name))).toBe(false);
  });
});

const LORA = (part: string): string => `base_model.model.transformer.h.0.attn.c_attn.lora_${part}.weight`;
