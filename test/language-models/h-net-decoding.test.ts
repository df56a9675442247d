import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  fromPublishedHNet,
  hNet,
  initHNet,
  loadHNet,
  openHNetDecoder,
  openLanguageModel,
  openPublishedHNet,
  publishedHNetTensors,
  toHNetConfig,
  toPublishedHNet,
} from 'tessera-kit/language-models';
import { arrayLeaves, type NDArray, random, TesseraError } from 'tessera-kit/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkpoint, dictionary, type Pickled, tensor } from '../formats/pytorch-writer.js';
import { testRuntime } from '../runtime.js';
import { MODELS, type ModelName, someBytes, strong, wholeRows } from './h-net-models.js';

const names = Object.keys(MODELS) as ModelName[];

const runtime = await testRuntime();

/** Reads rows of several lengths at once: a prompt of each, then byte after byte; logits of every position read. */
async function stepped(
  model: ReturnType<typeof strong>,
  rows: readonly (readonly number[])[],
  prompts: readonly number[],
): Promise<Map<string, Float32Array>> {
  const decoder = await openHNetDecoder(runtime, model.options, model.parameters);
  const session = await decoder.open({ batch: rows.length, expected: 4, seed: 0 });
  const found = new Map<string, Float32Array>();
  const at = rows.map(() => 0);
  while (rows.some((row, index) => (at[index] ?? 0) < row.length)) {
    // A row that is through reads its last byte again, as decoding does.
    const lengths = rows.map((_, index) => (at[index] === 0 ? (prompts[index] ?? 1) : 1));
    const time = Math.max(...lengths);
    const ids = new Int32Array(rows.length * time);
    const places = rows.map((row, index) => Math.min(at[index] ?? 0, row.length - 1));
    for (const [index, row] of rows.entries()) {
      const place = places[index] ?? 0;
      ids.set(row.slice(place, place + (lengths[index] ?? 1)), index * time);
    }
    const logits = await session.read({ ids, time, at: Int32Array.from(places), lengths: Int32Array.from(lengths) });
    for (const [index, row] of rows.entries()) {
      const end = (places[index] ?? 0) + (lengths[index] ?? 1);
      found.set(`${index}:${end - 1}`, logits.slice(index * 256, (index + 1) * 256));
      at[index] = Math.min(row.length, end);
    }
  }
  await session.dispose();
  await decoder.dispose();
  return found;
}

function furthest(logits: NDArray, time: number, found: ReadonlyMap<string, Float32Array>): number {
  let worst = 0;
  for (const [key, values] of found) {
    const [row = 0, place = 0] = key.split(':').map(Number);
    const start = (row * time + place) * 256;
    for (const [i, value] of values.entries())
      worst = Math.max(worst, Math.abs(value - Number(logits.data[start + i])));
  }
  return worst;
}

describe('decoding byte by byte', () => {
  it.each(names)('with %s gives the logits of whole rows, of several prompts at once', async (name) => {
    const model = strong(MODELS[name]);
    const rows = [someBytes(40), someBytes(40, 2), someBytes(40, 3)];
    const { logits, exists } = await wholeRows(runtime, model, rows);
    for (const { data, shape } of exists) {
      const counts = [0, 1, 2].map((row) => {
        const size = shape[1] ?? 1;
        return Array.from({ length: size }, (_, i) => Number(data[row * size + i])).filter(Boolean).length;
      });
      // Rows that step at different bytes are what this is about.
      expect(new Set(counts).size).toBeGreaterThan(1);
    }
    const found = await stepped(
      model,
      [rows[0] ?? [], rows[1]?.slice(0, 30) ?? [], rows[2]?.slice(0, 25) ?? []],
      [1, 9, 4],
    );
    expect(found.size).toBeGreaterThan(60);
    expect(furthest(logits, 40, found)).toBeLessThan(1e-4);
  });

  it.each(['stride', 'spaces'] as const)('follows the rule of %s', async (boundaries) => {
    const model = strong({ ...MODELS['one stage'], boundaries, ratios: [4] });
    const text = [...new TextEncoder().encode('to be or not to be, that is the question')].slice(0, 40);
    const { logits, exists } = await wholeRows(runtime, model, [text]);
    const chunks = Array.from(exists[0]?.data ?? [], Number).filter(Boolean).length;
    expect(chunks).toBe(boundaries === 'stride' ? 10 : 10);
    expect(furthest(logits, 40, await stepped(model, [text], [5]))).toBeLessThan(1e-4);
  });

  it('goes on where its caches grow', async () => {
    const model = strong({ ...MODELS['Mamba-2 around attention'], context: 90 });
    const rows = [someBytes(90), someBytes(90, 2)];
    const { logits } = await wholeRows(runtime, model, rows);
    // Room for 64 positions at first; the rows are read in pieces of which the last begin behind it.
    const found = await stepped(model, [rows[0] ?? [], rows[1]?.slice(0, 70) ?? []], [60, 66]);
    expect(Math.max(...[...found.keys()].map((key) => Number(key.split(':')[1])))).toBe(89);
    expect(furthest(logits, 90, found)).toBeLessThan(1e-4);
  });

  it('begins a row anew at place 0', async () => {
    const model = strong(MODELS['two stages']);
    const decoder = await openHNetDecoder(runtime, model.options, model.parameters);
    const session = await decoder.open({ batch: 1, expected: 30, seed: 0 });
    const read = (bytes: readonly number[], at: number) =>
      session.read({
        ids: Int32Array.from(bytes),
        time: bytes.length,
        at: Int32Array.of(at),
        lengths: Int32Array.of(bytes.length),
      });
    const first = await read(someBytes(20), 0);
    await read(someBytes(10, 2), 20);
    expect(await read(someBytes(20), 0)).toEqual(first);
    await session.dispose();
    await decoder.dispose();
  });

  it('continues prompts the same alone and beside others, past its context too', async () => {
    const model = hNet(MODELS['one stage']);
    const { parameters } = strong(MODELS['one stage']);
    const runner = await model.open(runtime, parameters);
    const continued = async (prompts: readonly string[]) => {
      const texts: number[][] = prompts.map(() => []);
      const encoder = new TextEncoder();
      const pieces = runner.generate(
        prompts.map((text) => encoder.encode(text)),
        { maxTokens: 60, temperature: 0 },
      );
      for await (const { row, bytes } of pieces) texts[row]?.push(...bytes);
      return texts;
    };
    const [first] = await continued(['a tale of']);
    expect((first ?? []).length).toBeGreaterThan(3);
    expect((await continued(['a tale of', 'in the year 1775, and']))[0]?.slice(0, 15)).toEqual(first?.slice(0, 15));
    await runner.dispose();
  });

  it('counts the bits of every byte once', async () => {
    const model = hNet(MODELS['one stage']);
    const { options, parameters } = strong(MODELS['one stage']);
    const runner = await model.open(runtime, parameters);
    const text = someBytes(39);
    const { bits } = await runner.bits(Uint8Array.from(text));
    const { logits } = await wholeRows(runtime, { options, parameters }, [[254, ...text]]);
    let expected = 0;
    for (const [t, byte] of text.entries()) {
      const row = Array.from({ length: 256 }, (_, i) => Number(logits.data[t * 256 + i]));
      const top = Math.max(...row);
      expected -= ((row[byte] ?? 0) - top - Math.log(row.reduce((sum, x) => sum + Math.exp(x - top), 0))) / Math.LN2;
    }
    expect(bits).toBeCloseTo(expected, 1);
    await runner.dispose();
  });
});

describe('segmentation', () => {
  it('gives spans that together are the text, at every stage, with their probabilities', async () => {
    const model = hNet(MODELS['two stages']);
    const { options, parameters } = strong(MODELS['two stages']);
    const runner = await model.open(runtime, parameters);
    const text = 'It was the best of times, it was the worst of times, it was the age of wisdom; naïve.';
    const { bytes, stages } = await runner.segment(text);
    expect(stages).toHaveLength(2);
    for (const { spans, probabilities } of stages) {
      expect(spans[0]?.start).toBe(0);
      expect(spans.at(-1)?.end).toBe(bytes.length);
      for (const [index, { start, end, probability }] of spans.entries()) {
        expect(end).toBeGreaterThan(start);
        if (index === 0) continue;
        expect(start).toBe(spans[index - 1]?.end);
        expect(probability).toBeGreaterThan(0.5);
        expect(probability).toBe(probabilities[start]);
      }
    }
    // What the inner stage cuts, the outer one has cut.
    const outer = new Set(stages[0]?.spans.map(({ start }) => start));
    expect(stages[1]?.spans.every(({ start }) => outer.has(start))).toBe(true);
    expect(stages[1]?.spans.length).toBeLessThan(stages[0]?.spans.length ?? 0);

    const short = new TextEncoder().encode(text).slice(0, 39);
    const { exists } = await wholeRows(runtime, { options, parameters }, [[254, ...short]]);
    const chunks = Array.from(exists[0]?.data ?? [], Number).filter(Boolean).length;
    const own = (await runner.segment(short)).stages[0]?.spans ?? [];
    // The mark before the text is a chunk of its own where the first byte is one too.
    expect([chunks, chunks - 1]).toContain(own.length);
    expect((await runner.segment('')).stages[0]?.spans).toEqual([]);
    await runner.dispose();
  });
});

describe('files', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'h-net-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('names tensors as the published checkpoints do', () => {
    const tensors = publishedHNetTensors(strong(MODELS['two stages']).options);
    expect(tensors.map(({ name, shape }) => `${name} ${shape.join('x')}`)).toEqual(
      expect.arrayContaining([
        'embeddings.weight 256x16',
        'lm_head.weight 256x16',
        'backbone.encoder.layers.1.norm1.weight 16',
        'backbone.encoder.layers.0.mixer.Wqkv.weight 48x16',
        'backbone.encoder.layers.0.mixer.out_proj.weight 16x16',
        'backbone.encoder.rmsnorm.weight 16',
        'backbone.routing_module.q_proj_layer.weight 16x16',
        'backbone.residual_proj.bias 16',
        'backbone.main_network.routing_module.k_proj_layer.weight 16x16',
        'backbone.main_network.decoder.layers.0.norm1.weight 16',
        'backbone.main_network.main_network.pad_dimension 8',
        'backbone.main_network.main_network.main_network.layers.0.mlp.fc1.weight 64x24',
        'backbone.main_network.main_network.main_network.layers.0.mlp.fc2.weight 24x32',
        'backbone.main_network.main_network.main_network.rmsnorm.weight 24',
        'backbone.decoder.rmsnorm.weight 16',
      ]),
    );
    const mixed = publishedHNetTensors(strong(MODELS['Mamba-2 around attention']).options);
    // Inner width 32, states of 8, heads of 8: x, B and C are 48 channels, z 32 more, and 4 step sizes.
    expect(
      mixed
        .filter(({ name }) => name.startsWith('backbone.encoder.layers.0.mixer'))
        .map(({ name, shape }) => `${name.slice(32)} ${shape.join('x')}`),
    ).toEqual([
      'in_proj.weight 84x16',
      'conv1d.weight 48x1x4',
      'conv1d.bias 48',
      'dt_bias 4',
      'A_log 4',
      'D 4',
      'norm.weight 32',
      'out_proj.weight 16x32',
    ]);
    // No stage is as wide as the one inside it here, so there is nothing to add.
    expect(tensors.some(({ name }) => name === 'backbone.main_network.pad_dimension')).toBe(false);
  });

  it.each(names)('with %s goes to published tensors and back', async (name) => {
    const { options, parameters } = strong(MODELS[name]);
    const tensors = new Map<string, NDArray>();
    for (const source of toPublishedHNet(options, parameters)) {
      if ('array' in source) tensors.set(source.name, source.array);
    }
    const weights = {
      names: [...tensors.keys()],
      has: (key: string) => tensors.has(key),
      tensor: (key: string) => ({ shape: tensors.get(key)?.shape ?? [] }),
      read: async (key: string) => tensors.get(key) ?? { dtype: 'float32', shape: [0], data: new Float32Array() },
    };
    const back = await fromPublishedHNet(options, weights as never);
    const own = new Map(arrayLeaves(parameters));
    expect(new Map(arrayLeaves(back)).size).toBe(own.size);
    for (const [path, leaf] of arrayLeaves(back)) expect(leaf.data).toEqual(own.get(path)?.data);
    // Values before gates; queries, keys and values in this order.
    const mlp = [...tensors.keys()].find((key) => key.endsWith('mlp.fc1.weight')) ?? '';
    const [rows = 0, columns = 0] = tensors.get(mlp)?.shape ?? [];
    const up = [...own].find(([path]) => path.endsWith('mlp.up.weight'))?.[1];
    const stored = Number(tensors.get(mlp)?.data[1]);
    if (name === 'one stage') expect(stored).toBe(Number(up?.data[rows / 2]));
    expect(columns).toBeGreaterThan(0);
  });

  it('turns the first channels of a head where published weights do', async () => {
    const { options, parameters } = strong(MODELS['two stages']);
    const wide = [...toPublishedHNet(options, parameters)].find(
      ({ name }) => name === 'backbone.encoder.layers.0.mixer.Wqkv.weight',
    );
    const array = wide !== undefined && 'array' in wide ? wide.array : undefined;
    const query = new Map(arrayLeaves(parameters)).get('stages.0.encoder.layers.0.attention.query.weight');
    // Heads of 8 of which 4 channels turn: published 0..3 turn as (0, 2), (1, 3); ours as (0, 4), (1, 5).
    const ours = [0, 1, 4, 5, 2, 3, 6, 7];
    for (const [published, own] of ours.entries()) expect(array?.data[published * 16]).toBe(query?.data[own]);
  });

  it('saves and opens with the same logits, bit for bit', async () => {
    const model = hNet(MODELS['two stages']);
    const { options, parameters } = strong(MODELS['two stages']);
    const path = join(folder, 'model');
    await model.save(path, parameters, { onnx: [] });
    const loaded = await loadHNet(path);
    expect(loaded.model.architecture).toEqual(options);
    const again = await loaded.parameters();
    await loaded.close();
    const rows = [someBytes(40)];
    const before = await wholeRows(runtime, { options, parameters }, rows);
    const after = await wholeRows(runtime, { options: loaded.model.architecture, parameters: again }, rows);
    expect(after.logits.data).toEqual(before.logits.data);
    const found = await openLanguageModel(path);
    expect(found.entry.name).toBe('h-net');
    await found.close();
  });

  it.each(names)('opens a published checkpoint beside its configuration: %s', async (name) => {
    const { options, parameters } = strong(MODELS[name]);
    const storages: Record<string, Uint8Array> = {};
    const entries: Record<string, Pickled> = {};
    for (const source of toPublishedHNet(options, parameters)) {
      if (!('array' in source)) continue;
      const { shape, data } = source.array;
      const key = String(Object.keys(storages).length);
      storages[key] = new Uint8Array(Float32Array.from(data, Number).buffer);
      const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
      entries[source.name] = tensor({ storage: 'FloatStorage', key, elements: data.length, shape, strides });
    }
    const [weights, config] = [join(folder, 'published.pt'), join(folder, 'published.json')];
    await writeFile(weights, checkpoint(dictionary(entries), storages));
    const { arch_layout, d_model, d_intermediate, vocab_size, ssm_cfg, attn_cfg, tie_embeddings } =
      toHNetConfig(options);
    const published = { arch_layout, d_model, d_intermediate, vocab_size, ssm_cfg, attn_cfg, tie_embeddings };
    await writeFile(config, JSON.stringify(published));
    const opened = await openPublishedHNet(weights, config);
    const own = new Map(arrayLeaves(parameters));
    const found = arrayLeaves(await opened.parameters());
    expect(found).toHaveLength(own.size);
    for (const [path, leaf] of found) expect(leaf.data).toEqual(own.get(path)?.data);
    const { context: _own, ...rest } = options;
    const { ratios: _ratios, ...form } = rest;
    expect(opened.model.architecture).toMatchObject({ ...form, context: 8192 });
    await opened.close();
    await writeFile(config, JSON.stringify({ ...published, d_model: undefined }));
    await expect(openPublishedHNet(weights, config)).rejects.toThrow('"d_model" must be a list');
  });

  it('refuses weights that do not fit, by name', async () => {
    const { options, parameters } = strong(MODELS['one stage']);
    const path = join(folder, 'other');
    await hNet(MODELS['one stage']).save(path, parameters, { onnx: [] });
    const loaded = await loadHNet(path);
    const wider = { ...options, widths: [16, 32], heads: [2, 2] };
    await expect(fromPublishedHNet(wider, loaded.weights)).rejects.toThrow(TesseraError);
    await expect(fromPublishedHNet(wider, loaded.weights)).rejects.toThrow(/pad_dimension" is \[8\]/);
    const fewer = { ...options, layout: 't1T1,[T1],T1t1' };
    await expect(fromPublishedHNet(fewer, loaded.weights)).rejects.toThrow(/has no place for/);
    await loaded.close();
  });

  it('initializes as a pure function of its draws', () => {
    const { options } = strong(MODELS['one stage']);
    expect(arrayLeaves(initHNet(options, random(4)))).toEqual(arrayLeaves(initHNet(options, random(4))));
    expect(arrayLeaves(initHNet(options, random(5)))).not.toEqual(arrayLeaves(initHNet(options, random(4))));
  });
});
