import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  growTokenformer,
  initTokenformer,
  type Tokenformer,
  type TokenformerParameters,
  tokenformer,
  tokenformerForward,
} from 'tessera-kit/language-models';
import { openRun } from 'tessera-kit/run';
import { type Arrays, array, evaluate, mapArrays, type NDArray, random } from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainCall } from '../plain-call.js';
import { testRuntime } from '../runtime.js';

const tokenizer = byteTokenizer();
const small = tokenformer({ layers: 2, width: 32, heads: 2, nQkv: 10, nO: 12, nFfn: 24, context: 16, tokenizer });

/** A model with parameters large enough that every path matters, and larger by a growth. */
function strong(): { readonly model: Tokenformer; readonly parameters: Arrays<TokenformerParameters> } {
  const parameters = mapArrays(initTokenformer(small.architecture, random(7)), (leaf, path) => {
    const noise = random(3).child(path).normal(leaf.shape, 0.25);
    return { ...noise, data: noise.data.map((value, i) => value + Number(leaf.data[i])) };
  });
  return growTokenformer(small, parameters, { nQkv: 14, nFfn: 30 });
}

const { model, parameters } = strong();
const { architecture } = model;

async function fullLogits(ids: readonly number[]): Promise<Float32Array> {
  const out = await evaluate(
    (weights, batch) => {
      return tokenformerForward(architecture, weights as never, batch as never, plainCall);
    },
    parameters,
    array(ids, [1, ids.length], 'int32'),
  );
  return ((out as NDArray).data as Float32Array).subarray(-architecture.vocabulary);
}

async function rowsOf(pieces: AsyncIterable<{ row: number; bytes: Uint8Array }>, rows: number): Promise<number[][]> {
  const made: number[][] = Array.from({ length: rows }, () => []);
  for await (const { row, bytes } of pieces) made[row]?.push(...bytes);
  return made;
}

const runtime = await testRuntime();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tokenformer-export-'));
  await model.save(join(folder, 'model'), parameters);
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('the exported decoder', () => {
  it('is run by plain ONNX Runtime, step by step, with the logits of the training graph', async () => {
    const ort = await import('onnxruntime-node');
    const session = await ort.InferenceSession.create(join(folder, 'model', 'onnx', 'decode.onnx'));
    const [capacity, heads, head] = [architecture.context, 2, 16];
    const caches = new Map(
      [0, 1].flatMap((layer) =>
        (['key', 'value'] as const).map((role) => [`${layer}.${role}`, new Float32Array(heads * capacity * head)]),
      ),
    );
    const integers = (values: readonly number[], shape: readonly number[]) =>
      new ort.Tensor('int32', Int32Array.from(values), shape);
    const ids = [...random(9).integers([11], 200).data];
    let at = 0;
    for (const piece of [ids.slice(0, 4), ids.slice(4, 5), ids.slice(5, 10), ids.slice(10)]) {
      const results = await session.run({
        ids: integers(piece, [1, piece.length]),
        at: integers([at], [1]),
        last: integers([piece.length - 1], [1]),
        ...Object.fromEntries(
          [...caches].map(([name, data]) => [
            `caches.${name}`,
            new ort.Tensor('float32', data, [1, heads, capacity, head]),
          ]),
        ),
      });
      for (const [name, cache] of caches) {
        const rows = results[`rows.${name}`]?.data as Float32Array;
        for (let h = 0; h < heads; h++) {
          const own = rows.subarray(h * piece.length * head, (h + 1) * piece.length * head);
          cache.set(own, (h * capacity + at) * head);
        }
      }
      at += piece.length;
      const found = results.logits?.data as Float32Array;
      const expected = await fullLogits(ids.slice(0, at));
      const size = Math.max(...expected.map(Math.abs));
      expect(Math.max(...expected.map((value, i) => Math.abs(value - (found[i] ?? Number.NaN)))) / size).toBeLessThan(
        1e-4,
      );
    }
    await session.release();
  });

  it('is driven without training code, with the text and the bits of the library', async () => {
    const run = await openRun(join(folder, 'model'));
    expect(run.system).toBe('tokenformer');
    const runner = await model.open(runtime, parameters);
    const prompts = [3, 9, 5].map((length, i) => tokenizer.decodeBytes([...random(i).integers([length], 200).data]));
    const choices = { temperature: 0.9, maxTokens: 12, seed: 4 };
    expect(await rowsOf(run.generate(prompts, choices), 3)).toEqual(await rowsOf(runner.generate(prompts, choices), 3));
    const document = tokenizer.decodeBytes([...random(6).integers([40], 200).data]);
    const [ours, theirs] = [await runner.bits(document), await run.bits(document)];
    expect(Math.abs(ours.bits - theirs.bits) / ours.bits).toBeLessThan(1e-4);
    await run.dispose();
    await runner.dispose();
  });
});
