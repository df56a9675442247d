import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  exportDecoder,
  forward,
  fromConfig,
  type GptChoices,
  gpt,
  gptOptions,
  halfWeights,
  initGpt,
  loadGpt,
  openGptRunner,
  publishedTensors,
  quantizedWeights,
  saveGpt,
  toConfig,
} from 'tessera-kit/language-models';
import type { RotaryScaling } from 'tessera-kit/nn';
import { array, arrayLeaves, encodeOnnxFiles, evaluate, mapArrays, random, TesseraError } from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainCall } from '../plain-call.js';
import { testRuntime } from '../runtime.js';
import { referenceLogits } from './reference.js';

const tokenizer = byteTokenizer();
const SMALL = {
  vocabulary: tokenizer.vocabulary.size,
  layers: 2,
  width: 24,
  context: 16,
  hidden: 40,
  endOfText: tokenizer.endOfText ?? 0,
};
const FORMS: readonly (readonly [string, GptChoices])[] = [
  ['gpt2', { ...SMALL, style: 'gpt2', heads: 3 }],
  ['llama', { ...SMALL, style: 'llama', heads: 2, tied: false }],
  ['llama with grouped queries', { ...SMALL, style: 'llama', heads: 6, kvHeads: 2, head: 4 }],
  [
    'llama with interpolated positions',
    { ...SMALL, style: 'llama', heads: 2, ropeScaling: { kind: 'linear', factor: 4 } },
  ],
];

/** Parameters large enough that every path matters. */
function strongParameters(choices: GptChoices) {
  const options = gptOptions(choices);
  const parameters = mapArrays(initGpt(options, random(7)), (leaf, path) => {
    const noise = random(3).child(path).normal(leaf.shape, 0.25);
    return { ...noise, data: noise.data.map((value, i) => value + Number(leaf.data[i])) };
  });
  return { options, parameters };
}

function text(length: number, seed = 1): number[] {
  return [...random(seed).integers([length], 200).data];
}

async function fullLogits(choices: GptChoices, ids: readonly number[]): Promise<Float32Array> {
  const { options, parameters } = strongParameters(choices);
  const out = await evaluate(
    (weights, batch) => {
      return forward(options, weights as never, batch as never, plainCall);
    },
    parameters,
    array(ids, [1, ids.length], 'int32'),
  );
  return (out as { data: Float32Array }).data;
}

const runtime = await testRuntime();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gpt-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe.each(FORMS)('%s', (name, choices) => {
  const { options, parameters } = strongParameters(choices);

  it('agrees with a slow float64 reference', async () => {
    const ids = text(9);
    const logits = await fullLogits(choices, ids);
    const expected = referenceLogits(options, parameters, ids).flat();
    const size = Math.max(...expected.map(Math.abs));
    for (const [i, value] of expected.entries()) expect(Math.abs((logits[i] ?? 0) - value)).toBeLessThan(1e-4 * size);
  });

  it('decodes with a cache as without one, for several prompts of different lengths', async () => {
    const runner = await openGptRunner(runtime, options, parameters, tokenizer);
    const prompts = [text(3, 4), text(7, 5), text(6, 6)];
    const made: number[][] = prompts.map(() => []);
    const bytes = prompts.map((ids) => tokenizer.decodeBytes(ids));
    for await (const piece of runner.generate(bytes, { temperature: 0, maxTokens: 8 }))
      made[piece.row]?.push(...piece.bytes);
    await runner.dispose();
    for (const [row, prompt] of prompts.entries()) {
      const ids = [...tokenizer.encodeBytes(bytes[row] ?? new Uint8Array())];
      expect(ids).toEqual(prompt);
      const expected: number[] = [];
      for (let step = 0; step < 8; step++) {
        const logits = await fullLogits(choices, ids);
        const last = logits.subarray(-options.vocabulary);
        const best = last.indexOf(Math.max(...last));
        if (best === options.endOfText) break;
        ids.push(best);
        expected.push(...tokenizer.decodeBytes([best]));
      }
      expect(made[row]).toEqual(expected);
    }
  });

  it('counts each byte once in overlapping windows', async () => {
    const runner = await openGptRunner(runtime, options, parameters, tokenizer);
    const ids = text(43, 8);
    const { bits } = await runner.bits(tokenizer.decodeBytes(ids));
    await runner.dispose();
    const sequence = [options.endOfText, ...ids];
    const half = options.context / 2;
    let nats = 0;
    for (let target = 1; target < sequence.length; target++) {
      const start = target <= options.context ? 0 : Math.ceil((target - options.context) / half) * half;
      const logits = referenceLogits(options, parameters, sequence.slice(start, target)).at(-1) ?? [];
      const top = Math.max(...logits);
      const total = logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
      nats -= (logits[sequence[target] ?? 0] ?? 0) - top - Math.log(total);
    }
    expect(bits).toBeCloseTo(nats / Math.LN2, 1);
    expect(Math.abs(bits - nats / Math.LN2) / bits).toBeLessThan(1e-4);
  });

  it('exports a decoder that plain ONNX Runtime runs, in one piece and step by step, at every precision', async () => {
    const ort = await import('onnxruntime-node');
    const lowered = exportDecoder(options, parameters);
    const ids = text(10, 9);
    const expected = await fullLogits(choices, ids);
    const run = async (model: Uint8Array, pieces: readonly (readonly number[])[]) => {
      const session = await ort.InferenceSession.create(model);
      let past = 0;
      let cache: Record<string, unknown> = {};
      for (let layer = 0; layer < options.layers; layer++) {
        for (const role of ['key', 'value']) {
          cache[`past_key_values.${layer}.${role}`] = new ort.Tensor('float32', new Float32Array(0), [
            1,
            options.kvHeads,
            0,
            options.head,
          ]);
        }
      }
      let logits = new Float32Array(0);
      for (const piece of pieces) {
        const int64 = (values: readonly number[]) =>
          new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
        const result = await session.run({
          input_ids: int64(piece),
          position_ids: int64(piece.map((_, i) => past + i)),
          attention_mask: int64(Array.from({ length: past + piece.length }, () => 1)),
          ...(cache as Record<string, InstanceType<typeof ort.Tensor>>),
        });
        past += piece.length;
        cache = Object.fromEntries(
          Object.entries(result)
            .filter(([key]) => key !== 'logits')
            .map(([key, value]) => [key.replace('present', 'past_key_values'), value]),
        );
        logits = result.logits?.data as Float32Array<ArrayBuffer>;
      }
      await session.release();
      return logits.subarray(-options.vocabulary);
    };
    const last = expected.subarray(-options.vocabulary);
    const size = Math.max(...last.map(Math.abs));
    const distance = (logits: Float32Array) =>
      Math.max(...logits.map((value, i) => Math.abs(value - (last[i] ?? 0)))) / size;
    const [file] = encodeOnnxFiles(lowered, 'model.onnx');
    const model = file?.bytes ?? new Uint8Array();
    expect(distance(await run(model, [ids]))).toBeLessThan(1e-4);
    expect(distance(await run(model, [ids.slice(0, 4), ids.slice(4, 9), ids.slice(9)]))).toBeLessThan(1e-4);
    for (const [convert, limit] of [
      [halfWeights, 5e-3],
      [quantizedWeights, 0.1],
    ] as const) {
      const [smaller] = encodeOnnxFiles(convert(lowered), 'model.onnx');
      expect(distance(await run(smaller?.bytes ?? new Uint8Array(), [ids]))).toBeLessThan(limit);
    }
  });

  it('saves a folder whose weights and options come back bit for bit', async () => {
    const path = join(folder, name.replaceAll(' ', '-'));
    await saveGpt(path, { architecture: options, parameters, tokenizer });
    const loaded = await loadGpt(path);
    expect(loaded.model.architecture).toEqual(options);
    const back = new Map(arrayLeaves(await loaded.parameters()));
    for (const [leafPath, leaf] of arrayLeaves(parameters))
      expect(back.get(leafPath)?.data, leafPath).toEqual(leaf.data);
    expect([...loaded.weights.names].sort()).toEqual(
      publishedTensors(options)
        .map((tensor) => tensor.name)
        .sort(),
    );
    await loaded.close();
  });

  it('keeps its configuration through config.json', () => {
    expect(fromConfig(JSON.parse(JSON.stringify(toConfig(options))))).toEqual(options);
  });
});

describe('scaled rotary positions', () => {
  const scalings: readonly RotaryScaling[] = [
    { kind: 'linear', factor: 4 },
    { kind: 'ntk', factor: 4 },
    { kind: 'dynamic', factor: 2, originalLength: 16 },
    { kind: 'llama3', factor: 8, originalLength: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4 },
    { kind: 'yarn', factor: 4, originalLength: 4, betaFast: 16, truncate: false, mscale: 0.5, mscaleAll: 0.7 },
    {
      kind: 'longrope',
      factor: 1,
      originalLength: 16,
      shortFactors: [1, 1.5],
      longFactors: [2, 3],
      attentionFactor: 1.1,
    },
  ];

  it.each(scalings)('come back from config.json: $kind', (ropeScaling) => {
    const options = gptOptions({ ...SMALL, heads: 6, ropeScaling });
    expect(fromConfig(JSON.parse(JSON.stringify(toConfig(options))))).toEqual(options);
  });

  it('are read in the newer place, and change what is computed', async () => {
    const choices = { ...SMALL, heads: 2, ropeTheta: 100 };
    const { rope_theta: _theta, rope_scaling: _none, ...config } = toConfig(gptOptions(choices));
    const newer = (fields: object) =>
      fromConfig({ ...config, rope_parameters: { rope_theta: 100, rope_type: 'default', ...fields } });
    expect(newer({})).toEqual(gptOptions(choices));
    const llama3 = {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8,
    };
    const plain = await fullLogits(choices, text(9));
    const scaled = await fullLogits(newer(llama3), text(9));
    expect(scaled).not.toEqual(plain);
    // The first position is turned by nothing.
    expect(scaled.subarray(0, SMALL.vocabulary)).toEqual(plain.subarray(0, SMALL.vocabulary));
  });
});

describe('generation', () => {
  const { options, parameters } = strongParameters(FORMS[1]?.[1] ?? { vocabulary: 257 });
  const collect = async (choices: object, prompt = 'abc') => {
    const runner = await openGptRunner(runtime, options, parameters, tokenizer);
    const pieces: number[] = [];
    for await (const piece of runner.generate([new TextEncoder().encode(prompt)], choices)) pieces.push(...piece.bytes);
    await runner.dispose();
    return pieces;
  };

  it('is the same for the same seed and another for another', async () => {
    const [first, again, other] = [
      await collect({ seed: 1, maxTokens: 12 }),
      await collect({ seed: 1, maxTokens: 12 }),
      await collect({ seed: 2, maxTokens: 12 }),
    ];
    expect(first).toEqual(again);
    expect(first).not.toEqual(other);
  });

  it('goes on past a full context from its newer half', async () => {
    const long = await collect({ temperature: 0, maxTokens: 50 });
    expect(long.length).toBeGreaterThan(options.context);
  });

  it('ends before a stop text and leaves it out', async () => {
    const whole = await collect({ temperature: 0, maxTokens: 20 });
    const middle = whole.slice(5, 7);
    const place = whole.findIndex((_, i) => whole[i] === middle[0] && whole[i + 1] === middle[1]);
    const stop = new TextDecoder('utf-8', { fatal: false }).decode(Uint8Array.from(middle));
    const ascii = middle.every((byte) => byte < 128);
    const cut = await collect({ temperature: 0, maxTokens: 20, stop: [ascii ? stop : 'never'] });
    expect(cut).toEqual(ascii ? whole.slice(0, place) : whole);
  });

  it('starts from end-of-text when the prompt is empty', async () => {
    expect((await collect({ temperature: 0, maxTokens: 3 }, '')).length).toBeGreaterThan(0);
  });
});

describe('bad input', () => {
  const table: readonly (readonly [string, GptChoices, RegExp])[] = [
    ['a width that does not divide', { vocabulary: 10, width: 30, heads: 4 }, /does not divide into 4 heads/],
    [
      'key heads that do not divide',
      { vocabulary: 10, width: 24, heads: 6, kvHeads: 4 },
      /4 key heads do not divide 6/,
    ],
    ['an odd head', { vocabulary: 10, width: 15, heads: 3 }, /even head width/],
    ['a gated gpt2', { vocabulary: 10, style: 'gpt2', activation: 'swiglu' }, /no gated activation/],
    ['a token outside', { vocabulary: 10, endOfText: 10 }, /not in a vocabulary of 10/],
    ['no layers', { vocabulary: 10, layers: 0 }, /layers must be a whole number/],
    [
      'scaled positions in gpt2',
      { vocabulary: 10, style: 'gpt2', ropeScaling: { kind: 'linear', factor: 2 } },
      /no rotary positions/,
    ],
    ['a scaling of 0', { vocabulary: 10, ropeScaling: { kind: 'linear', factor: 0 } }, /factor must be above 0/],
    [
      'positions that change with the text',
      { vocabulary: 10, context: 64, ropeScaling: { kind: 'dynamic', factor: 2, originalLength: 32 } },
      /kind dynamic changes with the length of each text beyond 32/,
    ],
    ['a dropout of 1', { vocabulary: 10, dropout: 1 }, /dropout must be from 0/],
  ];
  it.each(table)('%s is refused in a sentence', (_name, choices, message) => {
    expect(() => gptOptions(choices)).toThrow(message);
    expect(() => gptOptions(choices)).toThrow(TesseraError);
  });

  it('names what a foreign config.json asks for', () => {
    expect(() => fromConfig({ model_type: 'bert' })).toThrow(/model type "bert"/);
    expect(() => fromConfig({ ...toConfig(gptOptions({ vocabulary: 9 })), rope_scaling: { type: 'linear' } })).toThrow(
      /lack the number "factor"/,
    );
    const half = { rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.5 } };
    expect(() => fromConfig({ ...toConfig(gptOptions({ vocabulary: 9 })), ...half })).toThrow(
      /turns 16 of 32 dimensions/,
    );
    expect(() => fromConfig({ model_type: 'llama' })).toThrow(/lacks the number/);
  });

  it('refuses a folder whose tokenizer and embedding disagree, or whose tensor has another shape', async () => {
    const { options, parameters } = strongParameters(FORMS[0]?.[1] ?? { vocabulary: 257 });
    const path = join(folder, 'disagree');
    await saveGpt(path, { architecture: options, parameters, tokenizer, onnx: [] });
    const config = JSON.parse(await readFile(join(path, 'config.json'), 'utf8')) as Record<string, unknown>;
    await writeFile(join(path, 'config.json'), JSON.stringify({ ...config, vocab_size: 100, eos_token_id: 0 }));
    await expect(loadGpt(path)).rejects.toThrow(/tokens, its model an embedding of 100/);
    await writeFile(join(path, 'config.json'), JSON.stringify({ ...config, n_inner: 48 }));
    const loaded = await loadGpt(path);
    await expect(loaded.parameters()).rejects.toThrow(/config\.json asks for/);
    await loaded.close();
  });

  it('builds a model over a tokenizer', () => {
    expect(gpt({ tokenizer, size: 'tiny' }).architecture.vocabulary).toBe(tokenizer.vocabulary.size);
  });
});
