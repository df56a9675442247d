import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env, pipeline } from '@huggingface/transformers';
import { gpt, initGpt, openGptRunner, saveGpt } from 'tessera-kit/language-models';
import { mapArrays, random } from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testRuntime } from '../runtime.js';

const tokenizer = byteTokenizer();
let folder: string;
const runtime = await testRuntime();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'transformers-'));
  env.allowRemoteModels = false;
  env.localModelPath = folder;
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe.each([
  ['gpt2', { style: 'gpt2', width: 48, heads: 4 }],
  ['llama', { style: 'llama', width: 48, heads: 4, kvHeads: 2 }],
] as const)('a saved %s folder in transformers.js', (name, choices) => {
  it('opens offline with pipeline() and continues as generate does, at every precision it is saved in', async () => {
    const model = gpt({ tokenizer, layers: 2, context: 64, ...choices });
    const parameters = mapArrays(initGpt(model.architecture, random(5)), (leaf, path) => {
      const noise = random(6).child(path).normal(leaf.shape, 0.2);
      return { ...noise, data: noise.data.map((value, i) => value + Number(leaf.data[i])) };
    });
    await saveGpt(join(folder, name), {
      architecture: model.architecture,
      parameters,
      tokenizer,
      onnx: ['fp32', 'fp16', 'quantized'],
    });
    const runner = await openGptRunner(runtime, model.architecture, parameters, tokenizer);
    const prompt = 'The union of';
    const bytes: number[] = [];
    for await (const piece of runner.generate([new TextEncoder().encode(prompt)], { temperature: 0, maxTokens: 20 }))
      bytes.push(...piece.bytes);
    await runner.dispose();
    const ours = new TextDecoder().decode(Uint8Array.from(bytes));
    for (const dtype of ['fp32', 'fp16', 'q8'] as const) {
      const generator = await pipeline('text-generation', name, { dtype, device: 'cpu' });
      const [made] = (await generator(prompt, { max_new_tokens: 20, do_sample: false, return_full_text: false })) as {
        generated_text: string;
      }[];
      await generator.dispose();
      if (dtype === 'fp32') expect(made?.generated_text).toBe(ours);
      else expect(made?.generated_text.length).toBeGreaterThan(0);
    }
  });
});
