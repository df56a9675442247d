import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor as OnnxTensor } from 'onnxruntime-node';
import { hNet } from 'tessera-kit/language-models';
import { openRun, readPrograms } from 'tessera-kit/run';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testRuntime } from '../runtime.js';
import { MODELS, type ModelName, someBytes, strong, wholeRows } from './h-net-models.js';

const runtime = await testRuntime();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'h-net-programs-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function textsOf(pieces: AsyncIterable<{ readonly row: number; readonly bytes: Uint8Array }>, rows: number) {
  const made: number[][] = Array.from({ length: rows }, () => []);
  for await (const { row, bytes } of pieces) made[row]?.push(...bytes);
  return made;
}

describe.each(Object.keys(MODELS) as ModelName[])('programs of a model with %s', (name) => {
  const path = () => join(folder, name.replaceAll(' ', '-'));
  const model = hNet(MODELS[name]);
  const { options, parameters } = strong(MODELS[name]);
  const stages = options.ratios.length;
  beforeAll(() => model.save(path(), parameters));

  it('are two for each stage that chunks, and one', async () => {
    const files = (await readdir(join(path(), 'onnx'))).filter((file) => file.endsWith('.onnx'));
    expect(files).toHaveLength(2 * stages + 1);
    const { loop, programs, options: told, endOfText } = await readPrograms(path());
    expect(Object.keys(programs).sort()).toEqual(Object.keys(model.programs).sort());
    for (const [key, { file }] of Object.entries(model.programs)) expect(programs[key]?.file).toBe(file);
    expect({ loop, begin: told.begin, endOfText }).toEqual({ loop: 'h-net', begin: 254, endOfText: 255 });
  });

  it('give the text and the bits of the library, of several prompts at once', async () => {
    const prompts = [someBytes(5, 4), someBytes(11, 5), []].map((bytes) => Uint8Array.from(bytes));
    const choices = { temperature: 1, topK: 40, maxTokens: 15, seed: 3 };
    const runner = await model.open(runtime, parameters);
    const run = await openRun(path());
    const expected = await textsOf(runner.generate(prompts, choices), 3);
    expect(expected.every((made) => made.length > 0)).toBe(true);
    expect(await textsOf(run.generate(prompts, choices), 3)).toEqual(expected);
    const document = Uint8Array.from(someBytes(70, 6));
    const [own, exported] = [await runner.bits(document), await run.bits(document)];
    expect(exported.bits / own.bits).toBeCloseTo(1, 5);
    await run.dispose();
    await runner.dispose();
  });
});

it('opens in plain ONNX Runtime, driven by hand', async () => {
  const path = join(folder, 'one-stage');
  const { options, parameters } = strong(MODELS['one stage']);
  const [encoder, main, decoder] = await Promise.all(
    ['encoder0', 'main', 'decoder0'].map((name) => InferenceSession.create(join(path, 'onnx', `${name}.onnx`))),
  );
  if (encoder === undefined || main === undefined || decoder === undefined) throw new Error('three programs');
  const capacity = 16;
  const caches = new Map<string, Float32Array>();
  /** One program, with its caches kept here. */
  const run = async (session: InferenceSession, key: string, at: number, given: Record<string, OnnxTensor>) => {
    const { heads, head } = { heads: 2, head: (key === 'main' ? 24 : 16) / 2 };
    const feeds: Record<string, OnnxTensor> = { ...given, at: new OnnxTensor('int32', Int32Array.of(at), [1]) };
    for (const name of session.inputNames.filter((input) => input.startsWith('caches.'))) {
      const cache = caches.get(`${key}.${name}`) ?? new Float32Array(heads * capacity * head);
      caches.set(`${key}.${name}`, cache);
      feeds[name] = new OnnxTensor('float32', cache, [1, heads, capacity, head]);
    }
    const out = await session.run(feeds);
    for (const name of session.outputNames.filter((output) => output.startsWith('rows.'))) {
      const cache = caches.get(`${key}.${name.replace('rows', 'caches')}`);
      const rows = out[name]?.data as Float32Array;
      for (let h = 0; h < heads; h++) cache?.set(rows.subarray(h * head, (h + 1) * head), (h * capacity + at) * head);
    }
    return out;
  };
  const text = [254, ...someBytes(11, 9)];
  const { logits } = await wholeRows(runtime, { options, parameters }, [text]);
  const wide = (data: Float32Array) => new OnnxTensor('float32', data, [1, 16]);
  let previous: Float32Array = new Float32Array(16);
  let average: Float32Array = new Float32Array(16);
  let chunks = 0;
  for (const [t, byte] of text.entries()) {
    const encoded = await run(encoder, 'encoder0', t, {
      'given.x': new OnnxTensor('int32', Int32Array.of(byte), [1, 1]),
      'given.previous': wide(previous),
      'given.begins': new OnnxTensor('int32', Int32Array.of(Number(t === 0)), [1]),
    });
    previous = encoded['out.out']?.data as Float32Array;
    const probability = Number(encoded['out.probability']?.data[0]);
    const begins = probability > 0.5;
    let inside: Float32Array = new Float32Array(16);
    if (begins)
      inside = (await run(main, 'main', chunks++, { 'given.x': wide(previous) }))['out.out']?.data as Float32Array;
    const decoded = await run(decoder, 'decoder0', t, {
      'given.x': wide(previous),
      'given.inside': wide(inside),
      'given.average': wide(average),
      'given.weight': new OnnxTensor('float32', Float32Array.of(begins ? Math.min(0.9999, probability) : 0), [1]),
    });
    average = decoded['out.average']?.data as Float32Array;
    for (const [i, value] of Array.from(decoded['out.out']?.data as Float32Array).entries()) {
      expect(Math.abs(value - Number(logits.data[t * 256 + i]))).toBeLessThan(1e-4);
    }
  }
  expect(chunks).toBeGreaterThan(2);
  expect(chunks).toBeLessThan(text.length);
});

it.each<[string, (description: Record<string, unknown>) => void, string]>([
  ['a missing program', ({ programs }) => delete (programs as Record<string, unknown>).main, 'no program "main"'],
  ['widths that are no list', ({ options }) => Object.assign(options as object, { widths: 3 }), '"widths" is no list'],
  ['too few ratios', ({ options }) => Object.assign(options as object, { ratios: [3, 3] }), 'one ratio for each stage'],
  ['an unknown rule', ({ options }) => Object.assign(options as object, { boundaries: 'dice' }), 'set by "dice"'],
  ['a begin outside', ({ options }) => Object.assign(options as object, { begin: 400 }), '400, which begins'],
])('refuses a description with %s', async (_says, change, sentence) => {
  const path = join(folder, 'changed');
  await rm(path, { recursive: true, force: true });
  await cp(join(folder, 'one-stage'), path, { recursive: true });
  const file = join(path, 'tessera.json');
  const description = JSON.parse(await readFile(file, 'utf8'));
  change(description);
  await writeFile(file, JSON.stringify(description));
  await expect(openRun(path)).rejects.toThrow(sentence);
  await expect(openRun(path)).rejects.toMatchObject({ code: 'bad-file' });
});
