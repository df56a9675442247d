import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { forward, saveTextModel } from 'tessera-kit/language-models';
import { openRun, readPrograms } from 'tessera-kit/run';
import { array, evaluate, random } from 'tessera-kit/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainCall } from '../plain-call.js';
import { testRuntime } from '../runtime.js';
import { rowsOf, strongGpt, tokenizer, writeGptPrograms } from './folders.js';

const runtime = await testRuntime();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'run-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const bytesOf = (length: number, seed: number) => tokenizer.decodeBytes([...random(seed).integers([length], 200).data]);

const gpt2 = strongGpt({ style: 'gpt2', heads: 3, kvHeads: 3, head: 8 });
const llama = strongGpt();
const FOLDERS: readonly (readonly [string, typeof llama, (path: string) => Promise<unknown>])[] = [
  ...[gpt2, llama].map(
    (made) =>
      [
        `tessera.json, ${made.model.architecture.style}`,
        made,
        (path: string) =>
          saveTextModel(path, {
            modelType: 'tessera_test',
            config: {},
            context: made.model.context,
            tokenizer,
            parameters: made.parameters,
            programs: async (hidden) => void (await writeGptPrograms(hidden, made)),
          }),
      ] as const,
  ),
  ['the layout of transformers.js', llama, (path) => llama.model.save(path, llama.parameters)],
];

describe.each(FOLDERS)('a folder with %s', (name, { model, parameters }, save) => {
  const path = () => join(folder, name.replaceAll(/\W/g, '-'));
  beforeAll(() => save(path()));

  it.each([
    ['the likeliest tokens, past the context', { temperature: 0, maxTokens: 24 }],
    ['draws of a seed', { temperature: 1.1, topK: 60, topP: 0.95, repetitionPenalty: 1.2, maxTokens: 12, seed: 5 }],
  ])('gives the text of the library for several prompts: %s', async (_says, choices) => {
    const prompts = [bytesOf(3, 4), bytesOf(9, 5), new Uint8Array(), bytesOf(30, 6)];
    const runner = await model.open(runtime, parameters);
    const run = await openRun(path());
    const expected = await rowsOf(runner.generate(prompts, choices), prompts.length);
    expect(await rowsOf(run.generate(prompts, choices), prompts.length)).toEqual(expected);
    expect(expected.every((made) => made.length > 0)).toBe(true);
    await run.dispose();
    await runner.dispose();
  });

  it('ends before a stop text', async () => {
    const prompt = bytesOf(5, 8);
    const run = await openRun(path(), { threads: 1 });
    const choices = { temperature: 0.9, maxTokens: 20, seed: 2 };
    const [whole = []] = await rowsOf(run.generate([prompt], choices), 1);
    const text = new TextDecoder().decode(Uint8Array.from(whole));
    const stop = text.replace(/[^ -~]/g, '')[0] ?? '';
    const [cut] = await rowsOf(run.generate([prompt], { ...choices, stop: [stop] }), 1);
    expect(cut).toEqual(whole.slice(0, whole.indexOf(stop.charCodeAt(0))));
    await run.dispose();
  });

  it('counts the bits of a document as the library does', async () => {
    const document = bytesOf(45, 9);
    const runner = await model.open(runtime, parameters);
    const run = await openRun(path());
    const seen: number[] = [];
    const { bits, error } = await run.bits(document, { report: (bytes) => seen.push(bytes) });
    const expected = await runner.bits(document);
    expect(Math.abs(bits - expected.bits) / expected.bits).toBeLessThan(1e-4);
    expect(error).toBeUndefined();
    expect(seen.at(-1)).toBe(document.length);
    expect(await run.bits('')).toEqual({ bits: 0 });
    await run.dispose();
    await runner.dispose();
  });
});

it('caches grow with a long text, and WebAssembly gives the same', async () => {
  const path = join(folder, 'long');
  const long = strongGpt({ context: 300 });
  const { model, parameters } = long;
  await saveTextModel(path, {
    modelType: 'tessera_test',
    config: {},
    context: 300,
    tokenizer,
    parameters,
    programs: async (hidden) => void (await writeGptPrograms(hidden, long)),
  });
  const prompts = [bytesOf(2, 1), bytesOf(11, 2)];
  const runner = await model.open(runtime, parameters);
  const run = await openRun(path);
  const choices = { temperature: 1, seed: 3, maxTokens: 170 };
  const made = await rowsOf(run.generate(prompts, choices), 2);
  expect(made).toEqual(await rowsOf(runner.generate(prompts, choices), 2));
  expect(Math.max(...made.map(({ length }) => length))).toBeGreaterThan(128);
  const other = await openRun(path, { device: 'wasm', threads: 1 });
  const few = { temperature: 0, maxTokens: 10 };
  expect(await rowsOf(other.generate(prompts, few), 2)).toEqual(await rowsOf(run.generate(prompts, few), 2));
  await Promise.all([run.dispose(), other.dispose(), runner.dispose()]);
});

it('a decode program is read by plain ONNX Runtime through its description alone', async () => {
  const path = join(folder, 'plain');
  await writeGptPrograms(path, llama);
  const { programs } = await readPrograms(path);
  const entry = programs.decode;
  if (entry === undefined) throw new Error('a decode program was written');
  const ort = await import('onnxruntime-node');
  const session = await ort.InferenceSession.create(join(path, entry.file));
  const ids = [...random(2).integers([11], 200).data];
  const sizes: Record<string, number> = { batch: 1, time: ids.length, capacity: 4 };
  const feeds = entry.inputs.map((port) => {
    const shape = port.shape.map((size) => (typeof size === 'number' ? size : (sizes[size] ?? 0)));
    const integers = (values: readonly number[]) => new ort.Tensor('int32', Int32Array.from(values), shape);
    if (port.role === 'tokens') return [port.name, integers(ids)] as const;
    if (port.role === 'at') return [port.name, integers([0])] as const;
    if (port.role === 'last') return [port.name, integers([ids.length - 1])] as const;
    return [port.name, new ort.Tensor('float32', new Float32Array(shape.reduce((a, b) => a * b, 1)), shape)] as const;
  });
  const results = await session.run(Object.fromEntries(feeds));
  await session.release();
  const logits = entry.outputs.find(({ role }) => role === 'logits')?.name ?? '';
  const { architecture } = llama.model;
  const all = await evaluate(
    (weights, batch) => {
      return forward(architecture, weights as never, batch as never, plainCall);
    },
    llama.parameters,
    array(ids, [1, ids.length], 'int32'),
  );
  const expected = (all as { data: Float32Array }).data.subarray(-architecture.vocabulary);
  const found = results[logits]?.data as Float32Array;
  expect(found.length).toBe(architecture.vocabulary);
  for (const [i, value] of expected.entries()) expect(Math.abs((found[i] ?? 0) - value)).toBeLessThan(1e-4);
});

it('writes a description that a person can read', async () => {
  const path = join(folder, 'plain');
  const content = JSON.parse(await readFile(join(path, 'tessera.json'), 'utf8'));
  expect(content).toMatchObject({ format: 1, system: 'gpt', loop: 'next-token', context: 16 });
  expect(content.programs.decode.inputs[3]).toEqual({
    name: 'caches.0.key',
    dtype: 'float32',
    shape: ['batch', 2, 'capacity', 4],
    role: 'cache',
    cache: '0.key',
    axis: 2,
  });
});
