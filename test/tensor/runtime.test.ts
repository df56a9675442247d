/** Runtimes, device trees and programs as a caller meets them: what fits, what does not, and who waits for whom. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  add,
  array,
  attention,
  constant,
  createRuntime,
  crossEntropyRows,
  type Device,
  deviceStates,
  div,
  evaluate,
  exp,
  gelu,
  gradients,
  layerNorm,
  log,
  matmul,
  mul,
  type NDArray,
  type Runtime,
  random,
  reshape,
  softmax,
  sqrt,
  sub,
  sum,
  type Tensor,
  TesseraError,
  topK,
  zeros,
} from 'tessera-kit/tensor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const spec = (...shape: number[]) => ({ dtype: 'float32', shape }) as const;
const numbers = (value: NDArray | undefined) => Array.from(value?.data ?? [], Number);

interface Weights {
  readonly layers: readonly { readonly w: Tensor; readonly b: Tensor }[];
  readonly scale: Tensor;
}
const weights = () => ({
  layers: [0, 1].map((i) => ({ w: array([i + 1, 2, 3, 4], [2, 2]), b: array([i, 1]) })),
  scale: array([2], []),
});
const weightSpecs = { layers: [0, 1].map(() => ({ w: spec(2, 2), b: spec(2) })), scale: spec() };

describe.each([
  ['in a worker', true],
  ['in this thread', false],
])('a runtime %s', (_name, worker) => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await createRuntime({ device: 'cpu', threads: 2, worker });
  });
  afterAll(() => runtime.dispose());

  test('says what it is', () => {
    expect(runtime).toMatchObject({ device: 'cpu', threads: 2, about: expect.stringMatching(/^native ONNX Runtime/) });
  });

  test('keeps trees of state: upload, view, join, read, write, dispose', async () => {
    const given = weights();
    const state = await runtime.upload(given);
    expect(state.bytes).toBe(2 * (16 + 8) + 4);
    given.layers[0]?.w.data.fill(99);
    expect(await state.read()).toEqual(weights());
    const layer = state.view('layers').view(1);
    await layer.write({ w: array([9, 9, 9, 9], [2, 2]), b: array([8, 8]) });
    expect(numbers((await state.read()).layers[1]?.w)).toEqual([9, 9, 9, 9]);
    const extra = await runtime.upload({ b: array([1]) });
    const joined = runtime.join({ main: state, extra });
    expect(numbers((await joined.view('extra').read()).b)).toEqual([1]);
    await joined
      .view('main')
      .view('scale')
      .write(array([5], []));
    expect(numbers((await state.read()).scale)).toEqual([5]);
    expect(() => state.view('absent' as 'scale')).toThrow('The state has no branch "absent".');
    await expect(layer.write({ w: array([1]), b: array([1, 1]) })).rejects.toThrow(
      'The state "w" is float32 [2, 2]; a value of float32 [1] does not fit.',
    );
    await expect(layer.write({ v: array([1]) } as never)).rejects.toThrow('no leaf "v"');
    await joined.dispose();
    await expect(state.read()).rejects.toMatchObject({ code: 'not-found', message: 'The state was disposed.' });
  });

  test('runs programs of one state, whose updates the next sees, and gives outputs in the form returned', async () => {
    const state = await runtime.upload(weights());
    const step = await runtime.compile<Weights, { x: Tensor }, { y: Tensor; list: readonly Tensor[] }>(
      (s, { x }, call) => {
        const y = s.layers.reduce((h, { w, b }) => add(matmul(h, w), b), x);
        call.record('mean', div(sum(y), 2));
        call.at('inner').record('scale', s.scale);
        return { state: { scale: mul(s.scale, 2) }, out: { y, list: [x, constant(3)] } };
      },
      { state: weightSpecs, input: { x: spec(1, 2) } },
    );
    const look = await runtime.compile<{ scale: Tensor }, object, Tensor>((s) => ({ out: add(s.scale, 0.5) }), {
      state: { scale: spec() },
      input: {},
    });
    const { out, figures } = await step.run(state, { x: array([1, 1], [1, 2]) });
    expect(numbers(out.y)).toEqual([30, 37]);
    expect(out.list.map(numbers)).toEqual([[1, 1], [3]]);
    expect(figures).toEqual({ mean: 33.5, 'inner.scale': 2 });
    expect(step.report.flops).toBe(2 * 2 * 1 * 2 * 2);
    const again = await look.run(runtime.join({ scale: state.view('scale') }), {});
    expect([numbers(again.out), again.out.shape]).toEqual([[4.5], []]);
    await step.dispose();
    await look.dispose();
    await state.dispose();
  });

  test('names inputs and state that are missing or do not fit', async () => {
    const state = await runtime.upload({ w: array([1, 2]) });
    const program = await runtime.compile<{ w: Tensor }, { x: Tensor; part: { y: Tensor } }, Tensor>(
      (s, { x, part }) => ({ out: add(s.w, add(x, part.y)) }),
      { state: { w: spec(2) }, input: { x: spec(2), part: { y: spec(2) } } },
    );
    const x = array([1, 2]);
    await expect(program.run(state, { x } as never)).rejects.toMatchObject({
      code: 'bad-input',
      message: 'The program needs the input "part.y".',
    });
    await expect(program.run(state, { x, part: { y: array([1, 2, 3]) } })).rejects.toThrow(
      'The input "part.y" is float32 [2], not float32 [3].',
    );
    await expect(program.run(state, { x, part: { y: array([1, 2], [2], 'int32') } })).rejects.toThrow('not int32 [2]');
    await expect(program.run(runtime.join({}) as never, { x, part: { y: x } })).rejects.toMatchObject({
      code: 'mismatch',
    });
    expect(numbers((await program.run(state, { x, part: { y: x } })).out)).toEqual([3, 6]);
    await program.dispose();
    await expect(program.run(state, { x, part: { y: x } })).rejects.toMatchObject({
      code: 'not-found',
      message: 'The program was disposed.',
    });
  });

  test('appends rows to a cache at a position for each batch row, and refuses what does not fit', async () => {
    const cache = await runtime.upload({ k: zeros([2, 1, 3, 2]) });
    const program = await runtime.compile<{ k: Tensor }, { rows: Tensor; at: Tensor }, object>(
      ({ k }, { rows, at }) => ({ append: [{ leaf: k, rows: mul(rows, 1), at }], out: {} }),
      { state: { k: spec(2, 1, 3, 2) }, input: { rows: spec(2, 1, 1, 2), at: { dtype: 'int32', shape: [2] } } },
    );
    const rows = array([1, 2, 3, 4], [2, 1, 1, 2]);
    await program.run(cache, { rows, at: array([0, 2], [2], 'int32') });
    expect(numbers((await cache.read()).k)).toEqual([1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4]);
    const over = program.run(cache, { rows, at: array([3, 0], [2], 'int32') });
    await expect(over).rejects.toBeInstanceOf(TesseraError);
    await expect(over).rejects.toMatchObject({
      code: 'bad-shape',
      message: 'A cache of 3 rows has no place for 1 rows at 3.',
    });
  });

  test('says in which operation and part a NaN began, and keeps the state of before', async () => {
    const state = await runtime.upload({ w: array([1, 2]) });
    const program = await runtime.compile<{ w: Tensor }, { x: Tensor }, Tensor>(
      ({ w }, { x }, call) => {
        const inner = call.at('layers').at(2);
        const y = log(sub(x, 3)); // NaN for x < 3
        const loss = sum(softmax(mul(y, w)));
        inner.at('after');
        return { state: { w: sub(w, gradients(loss, w)) }, out: exp(loss) };
      },
      { state: { w: spec(2) }, input: { x: spec(2) }, checkNumerics: true },
    );
    await program.run(state, { x: array([4, 5]) }, { step: 1 });
    const before = await state.read();
    await expect(program.run(state, { x: array([4, 1]) }, { step: 7 })).rejects.toMatchObject({
      code: 'not-finite',
      message: 'At step 7 the first value that is not finite came out of log in layers.2.',
    });
    expect(await state.read()).toEqual(before);
    await expect(program.run(state, { x: array([4, Number.NaN]) })).rejects.toThrow('came from outside, in "in:x"');
  });

  test('names a NaN that begins on the way back after the part whose gradient it is', async () => {
    const program = await runtime.compile<object, { x: Tensor }, Tensor>(
      (_s, { x }, call) => {
        call.at('root');
        const root = sqrt(mul(x, x)); // finite at 0, where its slope is not
        call.at('optimizer');
        return { out: gradients(sum(root), x) };
      },
      { state: {}, input: { x: spec(2) }, checkNumerics: true },
    );
    await expect(program.run(runtime.join({}), { x: array([1, 0]) })).rejects.toThrow('came out of div in root.');
  });

  test('answers with an error after it was disposed', async () => {
    const brief = await createRuntime({ device: 'cpu', threads: 1, worker });
    const state = await brief.upload({ w: array([1]) });
    const program = await brief.compile<{ w: Tensor }, object, Tensor>(({ w }) => ({ out: exp(w) }), {
      state: { w: spec(1) },
      input: {},
    });
    await brief.dispose();
    await expect(program.run(state, {})).rejects.toMatchObject({ code: 'not-found' });
    await expect(brief.upload({ w: array([1]) })).rejects.toMatchObject({
      code: 'not-found',
      message: 'The runtime was disposed.',
    });
  });

  test('takes parts of larger buffers', async () => {
    const all = Float32Array.from({ length: 1000 }, (_, i) => i);
    const view: NDArray = { dtype: 'float32', shape: [2], data: all.subarray(10, 12) };
    const state = await runtime.upload({ w: view });
    const program = await runtime.compile<{ w: Tensor }, { x: Tensor }, Tensor>(
      ({ w }, { x }) => ({ out: add(w, x) }),
      { state: { w: spec(2) }, input: { x: spec(2) } },
    );
    expect(numbers((await program.run(state, { x: view })).out)).toEqual([20, 22]);
    expect(all[10]).toBe(10);
  });
});

describe('a device', () => {
  test.each([
    ['tpu', 'bad-option', 'There is no device "tpu".', 'Choose cpu, wasm, webgpu, cuda or auto.'],
    ['cuda', 'not-found', 'The device "cuda" is not there', 'Install CUDA 12 with cuDNN 9'],
    ['webgpu', 'not-found', 'The device "webgpu" is not there', 'VK_ICD_FILENAMES'],
  ])('%s that is not there is refused in a sentence, from the worker too', async (device, code, sentence, hint) => {
    // A machine that has the device has nothing to refuse.
    const { missing } = (await deviceStates()).find((state) => state.device === device) ?? { missing: {} };
    if (missing === undefined) return;
    for (const worker of [true, false]) {
      const started = createRuntime({ device: device as Device, worker });
      await expect(started).rejects.toBeInstanceOf(TesseraError);
      await expect(started).rejects.toMatchObject({
        code,
        message: expect.stringContaining(sentence),
        hint: expect.stringContaining(hint),
      });
    }
  });

  test('with no whole number of threads is refused', async () => {
    await expect(createRuntime({ threads: 0 })).rejects.toMatchObject({ code: 'bad-option' });
  });

  test('wasm gives the results of cpu', async () => {
    const input = { x: random(1).normal([6, 8]), w: random(2).normal([8, 8], 0.3), ids: random(3).integers([6], 8) };
    const f = (_s: object, { x, w, ids }: { readonly x: Tensor; readonly w: Tensor; readonly ids: Tensor }) => {
      const heads = (t: Tensor) => reshape(t, [1, 2, 6, 4]);
      const h = layerNorm(gelu(matmul(x, w), 'tanh'), constant(array(new Array<number>(8).fill(1))));
      const mixed = reshape(attention(heads(h), heads(x), heads(matmul(x, w))), [6, 8]);
      const rows = crossEntropyRows(add(mixed, gelu(h)), ids);
      return { out: { rows, slopes: gradients(sum(rows), { x, w }), top: topK(mixed, 2).values } };
    };
    const results = [];
    for (const device of ['cpu', 'wasm'] as const) {
      const runtime = await createRuntime({ device, threads: 1 });
      expect(runtime.device).toBe(device);
      const program = await runtime.compile(f, { state: {}, input });
      results.push((await program.run(runtime.join({}), input)).out);
      await runtime.dispose();
    }
    const [cpu, wasm] = results.map(({ rows, slopes, top }) => [rows, slopes.x, slopes.w, top].flatMap(numbers));
    expect(cpu).toHaveLength(6 + 48 + 64 + 12);
    for (const [i, value] of (cpu ?? []).entries())
      expect(Math.abs((wasm?.[i] ?? Number.NaN) - value)).toBeLessThan(1e-5);
  });
});

describe('threads', () => {
  test('a long run leaves this thread free', async () => {
    const runtime = await createRuntime({ device: 'cpu', threads: 1 });
    const x = random(1).normal([512, 512], 0.04);
    const program = await runtime.compile<object, { x: Tensor }, Tensor>(
      (_s, input) => {
        let y = input.x;
        for (let i = 0; i < 60; i++) y = matmul(y, mul(input.x, 1 + i / 100));
        return { out: sum(y) };
      },
      { state: {}, input: { x } },
    );
    let ticks = 0;
    const timer = setInterval(() => ticks++, 2);
    const start = performance.now();
    await program.run(runtime.join({}), { x });
    const elapsed = performance.now() - start;
    clearInterval(timer);
    await runtime.dispose();
    // A blocked thread ticks once or twice; a shared machine may still swallow most ticks.
    expect(ticks).toBeGreaterThan(Math.min(10, elapsed / 20));
  });

  test('runs asked for at once are answered in order', async () => {
    const runtime = await createRuntime({ device: 'cpu', threads: 1 });
    const state = await runtime.upload({ w: array([1]) });
    const program = await runtime.compile<{ w: Tensor }, object, Tensor>(
      ({ w }) => ({ state: { w: mul(w, 2) }, out: add(w, 0) }),
      { state: { w: spec(1) }, input: {} },
    );
    const results = await Promise.all(Array.from({ length: 5 }, () => program.run(state, {})));
    expect(results.map(({ out }) => out.data[0])).toEqual([1, 2, 4, 8, 16]);
    await runtime.dispose();
  });

  test('a process ends by itself while a runtime is open and idle', async () => {
    const script = `import('tessera-kit/tensor').then(async ({ add, array, createRuntime, evaluate }) => {
      const runtime = await createRuntime({ device: 'cpu' });
      const state = await runtime.upload({ w: array([1, 2]) });
      const specs = { state: { w: { dtype: 'float32', shape: [2] } }, input: {} };
      const program = await runtime.compile(({ w }) => ({ out: add(w, 1) }), specs);
      const { out } = await program.run(state, {});
      console.log(out.data.join(), (await evaluate((x) => add(x, x), array([4]))).data.join());
    });`;
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], { cwd: root, timeout: 30_000 });
    expect(stdout.trim()).toBe('2,3 8');
  });
});

describe('evaluate', () => {
  test('takes and gives trees, and what is returned unchanged', async () => {
    const out = await evaluate(
      (x, { list }) => ({ x, both: list.map((y) => add(x, y)), fixed: constant(array([5], [1], 'int64')) }),
      array([1, 2]),
      {
        list: [array([10, 20]), array([100, 200])],
      },
    );
    expect(numbers(out.x)).toEqual([1, 2]);
    expect(out.both.map(numbers)).toEqual([
      [11, 22],
      [101, 202],
    ]);
    expect(out.fixed.data).toEqual(BigInt64Array.of(5n));
  });
});
