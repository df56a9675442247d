/** ONNX files run as frozen modules: the same values as the function they were exported from. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  add,
  array,
  encodeOnnxFiles,
  evaluate,
  exportProgram,
  type FrozenModule,
  gelu,
  matmul,
  type NDArray,
  openFrozen,
  random,
  softmax,
  type Tensor,
} from 'tessera-kit/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

interface Input {
  readonly x: Tensor;
  readonly scale: Tensor;
}

const w = random(1).normal([8, 4]);
const f = ({ x, scale }: Input, weight: Tensor) => {
  const y = gelu(add(matmul(x, weight), scale));
  return { y, p: softmax(y) };
};

let folder = '';
let path = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-frozen-'));
  path = join(folder, 'model.onnx');
  const lowered = exportProgram<{ readonly w: Tensor }, Input, { readonly y: Tensor; readonly p: Tensor }>(
    (state, input) => ({ out: f(input, state.w) }),
    {
      state: { w: { dtype: 'float32', shape: [8, 4] } },
      input: { x: { dtype: 'float32', shape: ['batch', 8] }, scale: { dtype: 'float32', shape: [] } },
    },
    { weights: new Map<string, NDArray>([['w', w]]) },
  );
  for (const { file, bytes } of encodeOnnxFiles(lowered, path)) await writeFile(file, bytes);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const feeds = (rows: number) => ({ x: random(rows).normal([rows, 8]), scale: array([0.5], []) });

async function close(module: FrozenModule, rows: number): Promise<void> {
  const input = feeds(rows);
  const expected = await evaluate(
    (x: Tensor, scale: Tensor, weight: Tensor) => f({ x, scale }, weight),
    input.x,
    input.scale,
    w,
  );
  const given = await module.run(input);
  expect(Object.keys(given)).toEqual(['y', 'p']);
  for (const name of ['y', 'p'] as const) {
    expect(given[name]?.shape).toEqual([rows, 4]);
    for (const [i, value] of (given[name]?.data ?? []).entries())
      expect(value).toBeCloseTo(Number(expected[name].data[i]), 5);
  }
}

describe('a frozen module', () => {
  it.each([
    [{ device: 'cpu' }],
    [{ device: 'cpu', worker: false, threads: 1 }],
    [{ device: 'wasm', threads: 1 }],
  ] as const)('gives what the function gives, for any size that varies, with %j', async (options) => {
    const module = await openFrozen(path, options);
    try {
      expect(module.device).toBe(options.device);
      expect(module.inputs).toEqual([
        { name: 'x', dtype: 'float32', shape: ['batch', 8] },
        { name: 'scale', dtype: 'float32', shape: [] },
      ]);
      expect(module.outputs.map(({ name }) => name)).toEqual(['y', 'p']);
      for (const rows of [1, 5]) await close(module, rows);
      expect(Object.keys(await module.run(feeds(2), ['p']))).toEqual(['p']);
    } finally {
      await module.dispose();
    }
  });

  it('says by name what was fed wrongly, and goes on', async () => {
    const module = await openFrozen(path);
    try {
      const { x, scale } = feeds(2);
      await expect(module.run({ x })).rejects.toMatchObject({
        code: 'bad-input',
        message: expect.stringContaining("'scale'"),
      });
      await expect(module.run({ x, scale, y: x })).rejects.toMatchObject({ code: 'not-found' });
      await expect(module.run({ x: random(1).normal([2, 7]), scale })).rejects.toMatchObject({
        code: 'bad-shape',
        message: `The input 'x' of ${path} is float32 [batch, 8]; it was fed float32 [2, 7].`,
      });
      await expect(module.run({ x, scale: array([1], [], 'int32') })).rejects.toMatchObject({ code: 'bad-shape' });
      await expect(module.run({ x, scale }, ['z'])).rejects.toMatchObject({ code: 'not-found' });
      await close(module, 3);
    } finally {
      await module.dispose();
    }
  });

  it('is not made of what is no model', async () => {
    await expect(openFrozen(join(folder, 'none.onnx'))).rejects.toMatchObject({ code: 'not-found' });
    await expect(openFrozen(new TextEncoder().encode('no model'))).rejects.toMatchObject({
      code: 'bad-file',
      message: expect.stringContaining('cannot be opened by ONNX Runtime'),
    });
  });
});
