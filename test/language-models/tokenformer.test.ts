import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSafetensors, writeSafetensors } from 'tessera-kit/formats';
import {
  architectureOf,
  countTokenformer,
  fromTokenformerConfig,
  initTokenformer,
  loadTokenformer,
  openLanguageModel,
  PATTENTION_KINDS,
  type PattentionOptions,
  pattention,
  pattentionWeights,
  TOKENFORMER_SIZES,
  type TokenformerChoices,
  type TokenformerSize,
  tokenformer,
  tokenformerForward,
  tokenformerNames,
  tokenformerOptions,
  toTokenformerConfig,
} from 'tessera-kit/language-models';
import { countParameters } from 'tessera-kit/nn';
import {
  array,
  arrayLeaves,
  constant,
  evaluate,
  gradients,
  mapArrays,
  type NDArray,
  random,
  sum,
  TesseraError,
} from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkpoint, dictionary, type Pickled, tensor } from '../formats/pytorch-writer.js';
import { plainCall } from '../plain-call.js';
import { testRuntime } from '../runtime.js';
import { tokenformerReference, weightsOf } from './tokenformer-reference.js';

const tokenizer = byteTokenizer();
const SMALL: TokenformerChoices = {
  vocabulary: tokenizer.vocabulary.size,
  layers: 2,
  width: 32,
  heads: 2,
  nQkv: 10,
  nO: 12,
  nFfn: 24,
  context: 16,
  endOfText: tokenizer.endOfText ?? 0,
};

/** Parameters large enough that every path matters. */
function strongParameters(choices: TokenformerChoices) {
  const options = tokenformerOptions(choices);
  const parameters = mapArrays(initTokenformer(options, random(7)), (leaf, path) => {
    const noise = random(3).child(path).normal(leaf.shape, 0.25);
    return { ...noise, data: noise.data.map((value, i) => value + Number(leaf.data[i])) };
  });
  return { options, parameters };
}

function text(length: number, seed = 1): number[] {
  return [...random(seed).integers([length], 200).data];
}

async function logitsOf(options: ReturnType<typeof tokenformerOptions>, parameters: unknown, ids: readonly number[]) {
  const out = await evaluate(
    (weights, batch) => {
      return tokenformerForward(options, weights as never, batch as never, plainCall);
    },
    parameters,
    array(ids, [1, ids.length], 'int32'),
  );
  return (out as NDArray).data as Float32Array;
}

async function weights(scores: NDArray, options: PattentionOptions & { readonly tauTokens: number }) {
  return [...(await evaluate((x) => pattentionWeights(x, options), scores)).data].map(Number);
}

async function mixed(x: NDArray, key: NDArray, value: NDArray, options?: PattentionOptions): Promise<number[]> {
  const out = await evaluate((q, k, v) => pattention({ key: k, value: v }, q, options), x, key, value);
  return [...out.data].map(Number);
}

function closeTo(found: readonly number[], expected: readonly number[], tolerance: number): void {
  expect(found.length).toBe(expected.length);
  for (const [i, value] of expected.entries())
    expect(Math.abs((found[i] ?? Number.NaN) - value)).toBeLessThan(tolerance);
}

/** The weights as `torch.save` writes them, under published names. */
function pytorchBytes(parameters: unknown): Uint8Array {
  const storages: Record<string, Uint8Array> = {};
  const entries: Record<string, Pickled> = {};
  const leaves = new Map(arrayLeaves(parameters));
  for (const [key, { name, path, shape }] of tokenformerNames(tokenformerOptions(SMALL)).entries()) {
    const data = Float32Array.from(leaves.get(path)?.data ?? [], Number);
    storages[key] = new Uint8Array(data.buffer);
    const strides = shape.length === 1 ? [1] : [shape[1] ?? 1, 1];
    entries[name] = tensor({ storage: 'FloatStorage', key: String(key), elements: data.length, shape, strides });
  }
  return checkpoint(dictionary(entries), storages);
}

const runtime = await testRuntime();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tokenformer-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('pattention', () => {
  const [x, key, value] = [random(1).normal([3, 6]), random(2).normal([5, 6]), random(3).normal([5, 4])];

  it('gives the weights that the paper gives for the scores 3 and 4', async () => {
    closeTo(await weights(array([3, 4], [1, 2]), { tauTokens: 2 }), [0.68046, 0.98548], 1e-4);
  });

  it('is not the same with tau of the new number of tokens', async () => {
    closeTo(await weights(array([3, 4, 0], [1, 3]), { tauTokens: 3 }), [0.88402, 1.27073, 0], 1e-4);
  });

  it.each(PATTENTION_KINDS)('%s is what a slow reference computes', async (kind) => {
    const scores = random(4).normal([3, 7], 2);
    const found = await weights(scores, { kind, tauTokens: 5 });
    const rows = [0, 1, 2].map((row) => [...scores.data.slice(row * 7, row * 7 + 7)].map(Number));
    const expected = rows.flatMap((row) => weightsOf(row, { kind, epsilon: 1e-5, tauTokens: 5 }));
    closeTo(found, expected, 1e-5);
  });

  it.each(['l2_norm_gelu', 'gelu_l2_norm'] as const)('%s does not see a token whose key is zero', async (kind) => {
    const longer = array([...key.data, ...new Array<number>(6).fill(0)].map(Number), [6, 6]);
    const more = array([...value.data, 9, -9, 9, -9].map(Number), [6, 4]);
    const base = await mixed(x, key, value, { kind });
    closeTo(await mixed(x, longer, more, { kind, tauTokens: 5 }), base, 1e-6);
  });

  it('softmax does see a token whose key is zero', async () => {
    const longer = array([...key.data, ...new Array<number>(6).fill(0)].map(Number), [6, 6]);
    const more = array([...value.data, 9, -9, 9, -9].map(Number), [6, 4]);
    const base = await mixed(x, key, value, { kind: 'softmax' });
    const grown = await mixed(x, longer, more, { kind: 'softmax', tauTokens: 5 });
    expect(Math.max(...grown.map((value_, i) => Math.abs(value_ - (base[i] ?? 0))))).toBeGreaterThan(0.1);
  });

  it.each(PATTENTION_KINDS)('%s with a mask is the layer without the masked tokens', async (kind) => {
    const mask = constant(array([1, 0, 1, 1, 0], [5], 'bool'));
    const rows = (matrix: NDArray, columns: number) =>
      array(
        [0, 2, 3].flatMap((row) => [...matrix.data.slice(row * columns, (row + 1) * columns)].map(Number)),
        [3, columns],
      );
    const masked = await mixed(x, key, value, { kind, mask });
    closeTo(masked, await mixed(x, rows(key, 6), rows(value, 4), { kind, tauTokens: 5 }), 1e-5);
  });

  it.each(PATTENTION_KINDS)('%s with every token masked gives zeros and gradients without NaN', async (kind) => {
    const none = constant(array([0, 0, 0, 0, 0], [5], 'bool'));
    const out = await evaluate(
      (q, k, v) => {
        const y = pattention({ key: k, value: v }, q, { kind, mask: none });
        return { y, slopes: gradients(sum(y), { q, k, v }) };
      },
      x,
      key,
      value,
    );
    expect([...out.y.data].every((number) => number === 0)).toBe(true);
    for (const [, { data }] of arrayLeaves(out.slopes)) expect([...data].every((n) => Number.isFinite(n))).toBe(true);
  });

  it('is the same for a query scaled up, up to the epsilon, and another for one turned around', async () => {
    const scaled = (factor: number) =>
      array(
        [...x.data].map((number) => Number(number) * factor),
        [3, 6],
      );
    const base = await mixed(x, key, value);
    // Scores of about 5 in length: an epsilon of 1e-5 moves weights by some millionths.
    closeTo(await mixed(scaled(7), key, value), base, 2e-5);
    const turned = await mixed(scaled(-1), key, value);
    expect(Math.max(...turned.map((number, i) => Math.abs(number - (base[i] ?? 0))))).toBeGreaterThan(0.1);
  });

  it('does not depend on the order of its tokens', async () => {
    const order = [3, 0, 4, 2, 1];
    const rows = (matrix: NDArray, columns: number) =>
      array(
        order.flatMap((row) => [...matrix.data.slice(row * columns, (row + 1) * columns)].map(Number)),
        matrix.shape,
      );
    for (const kind of PATTENTION_KINDS) {
      closeTo(await mixed(x, rows(key, 6), rows(value, 4), { kind }), await mixed(x, key, value, { kind }), 1e-5);
    }
  });

  it('brings each row to the length tau, the squares to the number of tokens', async () => {
    const squares = (row: readonly number[]) => row.reduce((total, number) => total + number * number, 0);
    const rows = (found: readonly number[]) => [0, 1, 2, 3].map((row) => found.slice(row * 9, row * 9 + 9));
    const scores = random(5).normal([4, 9]);
    const after = await weights(scores, { kind: 'gelu_l2_norm', tauTokens: 9 });
    for (const row of rows(after)) expect(Math.abs(squares(row) / 9 - 1)).toBeLessThan(1e-4);
    // Near zero GELU(a) is a / 2: with a very small tau the default kind shows its normalized rows.
    const before = await weights(scores, { kind: 'l2_norm_gelu', tauTokens: 1e-6 });
    for (const row of rows(before)) expect(Math.abs((4 * squares(row)) / 1e-6 - 1)).toBeLessThan(2e-3);
  });
});

describe('the model', () => {
  it.each(PATTENTION_KINDS)('agrees with a slow float64 reference (%s)', async (kind) => {
    const { options, parameters } = strongParameters({ ...SMALL, kind, tau: { nQkv: 9, nO: 12, nFfn: 20 } });
    const ids = text(9);
    const logits = await logitsOf(options, parameters, ids);
    const expected = tokenformerReference(options, parameters, ids).flat();
    closeTo([...logits], expected, 1e-4 * Math.max(...expected.map(Math.abs)));
  });

  it('turns only the share of each head that it is told', async () => {
    const { options, parameters } = strongParameters(SMALL);
    const [quarter, whole] = [options, tokenformerOptions({ ...SMALL, rotaryShare: 1 })];
    expect(await logitsOf(quarter, parameters, text(8))).not.toEqual(await logitsOf(whole, parameters, text(8)));
    const full = tokenformerReference(whole, parameters, text(8)).flat();
    closeTo([...(await logitsOf(whole, parameters, text(8)))], full, 1e-4 * Math.max(...full.map(Math.abs)));
    const none = tokenformerOptions({ ...SMALL, rotaryShare: 0 });
    const unturned = tokenformerReference(none, parameters, text(8)).flat();
    closeTo([...(await logitsOf(none, parameters, text(8)))], unturned, 1e-4 * Math.max(...unturned.map(Math.abs)));
  });

  it('begins as the published configurations say', () => {
    const options = tokenformerOptions({ vocabulary: 300, layers: 4, width: 64, heads: 4 });
    const parameters = initTokenformer(options, random(1));
    const deviation = ({ data }: NDArray): number =>
      Math.sqrt([...data].reduce<number>((s, v) => s + Number(v) ** 2, 0) / data.length);
    for (const [path, leaf] of arrayLeaves(parameters)) {
      const expected = path.endsWith('.value') ? 2 / (4 * Math.sqrt(64)) : 0.02;
      if (!path.startsWith('norm')) expect(deviation(leaf) / expected, path).toBeCloseTo(1, 1);
    }
  });

  it('has the parameters of the formula', () => {
    const options = tokenformerOptions(SMALL);
    expect(countParameters(initTokenformer(options, random(1)))).toBe(countTokenformer(options));
  });

  it.each([
    ['354M', 353.5],
    ['757M', 756.2],
    // The published files: 608 MB and 1.82 GB of float32.
    ['150M', 608 / 4],
    ['450M', 1820 / 4],
  ] as const)('%s has %d million parameters with the published vocabulary', (size, millions) => {
    const options = tokenformerOptions({ vocabulary: 50304, size });
    expect(Math.abs(countTokenformer(options) / 1e6 / millions - 1)).toBeLessThan(2e-3);
  });

  it('lists its ready sizes for the command line', () => {
    const { options } = architectureOf('tokenformer');
    expect(options.find(({ name }) => name === 'size')?.choices).toEqual(Object.keys(TOKENFORMER_SIZES));
    expect(options.find(({ name }) => name === 'pattention')?.choices).toEqual([...PATTENTION_KINDS]);
  });
});

describe('use', () => {
  const { options, parameters } = strongParameters({ ...SMALL, tau: { nQkv: 9, nO: 12, nFfn: 20 } });
  const model = tokenformer({ ...options, tokenizer });

  it('decodes with caches as the training graph does, for prompts of different lengths', async () => {
    const runner = await model.open(runtime, parameters);
    const prompts = [text(3, 4), text(7, 5), text(6, 6)];
    const made: number[][] = prompts.map(() => []);
    const bytes = prompts.map((ids) => tokenizer.decodeBytes(ids));
    for await (const piece of runner.generate(bytes, { temperature: 0, maxTokens: 8 }))
      made[piece.row]?.push(...piece.bytes);
    await runner.dispose();
    for (const [row, prompt] of prompts.entries()) {
      const ids = [...prompt];
      const expected: number[] = [];
      for (let step = 0; step < 8; step++) {
        const logits = await logitsOf(options, parameters, ids);
        const last = logits.subarray(-options.vocabulary);
        const best = last.indexOf(Math.max(...last));
        if (best === options.endOfText) break;
        ids.push(best);
        expected.push(best);
      }
      expect(made[row]).toEqual(expected);
    }
  });

  it('counts bits as a slow reference does', async () => {
    const runner = await model.open(runtime, parameters);
    const ids = text(12, 8);
    const { bits } = await runner.bits(tokenizer.decodeBytes(ids));
    await runner.dispose();
    const sequence = [options.endOfText, ...ids];
    let nats = 0;
    for (const [at, logits] of tokenformerReference(options, parameters, sequence.slice(0, -1)).entries()) {
      const top = Math.max(...logits);
      const total = logits.reduce((so, logit) => so + Math.exp(logit - top), 0);
      nats -= (logits[sequence[at + 1] ?? 0] ?? 0) - top - Math.log(total);
    }
    expect(Math.abs(bits * Math.LN2 - nats) / nats).toBeLessThan(1e-4);
  });

  it('saves a folder that gives the same logits bit for bit, under published names', async () => {
    const path = join(folder, 'saved');
    await model.save(path, parameters, { onnx: [] });
    const loaded = await openLanguageModel(path);
    expect(loaded.entry.name).toBe('tokenformer');
    expect(loaded.model.options).toEqual(model.options);
    const back = await loaded.parameters();
    expect(await logitsOf(options, back, text(9))).toEqual(await logitsOf(options, parameters, text(9)));
    expect([...loaded.weights.names].sort()).toEqual(
      tokenformerNames(options)
        .map(({ name }) => name)
        .sort(),
    );
    await loaded.close();
    const config = JSON.parse(await readFile(join(path, 'config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({
      model_type: 'tessera_tokenformer',
      format: 1,
      tau_slot_num: { qkv: 9, proj: 12, ffn: 20 },
    });
  });

  it('reads a folder as it was published: no type, no vocabulary, pytorch_model.bin', async () => {
    const path = join(folder, 'published');
    await model.save(path, parameters, { onnx: [] });
    await rm(join(path, 'model.safetensors'));
    await writeFile(join(path, 'pytorch_model.bin'), pytorchBytes(parameters));
    const published = {
      architectures: ['TokenFormerForCausalLM'],
      num_layers: 2,
      hidden_size: 32,
      num_attention_heads: 2,
      qkv_slot_num: 10,
      proj_slot_num: 12,
      ffn_slot_num: 24,
      seq_length: 16,
      max_position_embeddings: 16,
      pos_emb: 'rotary',
      rotary_pct: 0.25,
      no_weight_tying: false,
      norm: 'layernorm_nonparam',
      final_norm: 'layernorm',
      gpt_j_residual: false,
      norm_activation_type: 'l2_norm_gelu',
    };
    await writeFile(join(path, 'config.json'), JSON.stringify(published));
    const loaded = await openLanguageModel(path);
    const own = await loadTokenformer(path);
    expect(loaded.entry.name).toBe('tokenformer');
    expect(own.model.architecture).toMatchObject({ tau: { nQkv: 10, nO: 12, nFfn: 24 }, vocabulary: 257 });
    const leaves = new Map(arrayLeaves(await loaded.parameters()));
    for (const [name, leaf] of arrayLeaves(parameters)) expect(leaves.get(name)?.data, name).toEqual(leaf.data);
    await loaded.close();
    await own.close();
  });

  it('reads the names of a checkpoint of several stages', async () => {
    const path = join(folder, 'stages');
    await model.save(path, parameters, { onnx: [] });
    const file = join(path, 'model.safetensors');
    const source = await openSafetensors(file);
    const tensors = await Promise.all(
      source.names.map(async (name) => ({
        name: name.replace('sequential.0.', 'tied_modules.embed.').replace('sequential.', ''),
        array: await source.read(name),
      })),
    );
    await source.close();
    await writeSafetensors(file, tensors);
    const loaded = await loadTokenformer(path);
    const leaves = new Map(arrayLeaves(await loaded.parameters()));
    for (const [name, leaf] of arrayLeaves(parameters)) expect(leaves.get(name)?.data, name).toEqual(leaf.data);
    await loaded.close();
  });

  it('has the tensors of the published 150M checkpoint', () => {
    const names = tokenformerNames(tokenformerOptions({ vocabulary: 50304, size: '150M', context: 2048 }));
    const shapes = new Map(names.map(({ name, shape }) => [name, shape]));
    expect(shapes.size).toBe(1 + 12 * 10 + 2);
    expect(shapes.get('sequential.0.word_embeddings.weight')).toEqual([50304, 768]);
    expect(shapes.get('sequential.2.attention.query.key_param_tokens')).toEqual([768, 768]);
    expect(shapes.get('sequential.13.attention.proj.value_param_tokens')).toEqual([768, 768]);
    expect(shapes.get('sequential.13.mlp.key_param_tokens')).toEqual([3072, 768]);
    expect(shapes.get('sequential.15.norm.bias')).toEqual([768]);
  });
});

describe('bad input', () => {
  it.each<readonly [string, Partial<TokenformerChoices>, RegExp]>([
    ['heads that do not divide', { width: 32, heads: 3 }, /does not divide into 3 heads/],
    ['an odd number of turned dimensions', { width: 24, heads: 2 }, /an odd number/],
    ['no tokens', { nQkv: 0 }, /nQkv must be a whole number/],
    ['an unknown kind', { kind: 'relu' as never }, /l2_norm_gelu, gelu_l2_norm, softmax/],
    ['an unknown size', { size: '2B' as TokenformerSize }, /no size "2B"/],
    ['a token outside', { endOfText: 900 }, /not in a vocabulary of 257/],
    ['a dropout of 1', { dropout: 1 }, /dropout must be from 0/],
  ])('%s is refused in a sentence', (_name, choices, message) => {
    const made = () => tokenformerOptions({ ...SMALL, ...choices });
    expect(made).toThrow(message);
    expect(made).toThrow(TesseraError);
  });

  it('names what a foreign configuration asks for', () => {
    const config = toTokenformerConfig(tokenformerOptions(SMALL));
    const found = { vocabulary: 257, endOfText: 256 };
    expect(fromTokenformerConfig(config, found)).toEqual(tokenformerOptions(SMALL));
    expect(() => fromTokenformerConfig({ ...config, gpt_j_residual: true }, found)).toThrow(/gpt_j_residual = true/);
    expect(() => fromTokenformerConfig({ ...config, pos_emb: 'alibi' }, found)).toThrow(/pos_emb = "alibi"/);
    expect(() => fromTokenformerConfig({ hidden_size: 8 }, found)).toThrow(/lacks the number/);
    expect(() => fromTokenformerConfig({ ...config, tau_slot_num: 3 }, found)).toThrow(/qkv, proj and ffn/);
  });

  it('refuses weights of another size than the configuration', async () => {
    const { options, parameters } = strongParameters(SMALL);
    const path = join(folder, 'other');
    await tokenformer({ ...options, tokenizer }).save(path, parameters, { onnx: [] });
    const config = JSON.parse(await readFile(join(path, 'config.json'), 'utf8')) as Record<string, unknown>;
    await writeFile(join(path, 'config.json'), JSON.stringify({ ...config, ffn_slot_num: 25 }));
    const loaded = await loadTokenformer(path);
    await expect(loaded.parameters()).rejects.toThrow(/config\.json asks for \[25, 32\]/);
    await loaded.close();
    await writeFile(join(path, 'config.json'), JSON.stringify({ ...config, vocab_size: 100, eos_token_id: 0 }));
    await expect(loadTokenformer(path)).rejects.toThrow(/its model an embedding of 100/);
  });
});
