/** What leaves as ONNX: the file format itself, and programs that plain ONNX Runtime opens with the same numbers. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import {
  add,
  array,
  arrayLeaves,
  cast,
  concat,
  createRuntime,
  decodeModel,
  dtypeOf,
  encodeOnnxFiles,
  exportProgram,
  gather,
  gelu,
  type Lowered,
  layerNorm,
  matmul,
  mul,
  type NDArray,
  ndarray,
  random,
  range,
  reshape,
  slice,
  softmax,
  specsOf,
  sum,
  type Tensor,
  transpose,
} from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';
import { encodeModel, type ModelProto } from '../../dist/tensor/onnx/schema.js';

const numbers = (data: ArrayLike<unknown>) => Array.from(data, Number);

/** The bytes of a typed array's elements. */
function bits(data: unknown): Uint8Array {
  if (!ArrayBuffer.isView(data)) throw new Error('no typed array');
  return new Uint8Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
}

/** Runs a model in plain ONNX Runtime. */
async function open(model: Uint8Array | string, input: Readonly<Record<string, NDArray>>) {
  const options = { logSeverityLevel: 3 } as const;
  const session =
    typeof model === 'string'
      ? await InferenceSession.create(model, options)
      : await InferenceSession.create(model, options);
  const feeds = Object.fromEntries(
    Object.entries(input).map(([name, { dtype, data, shape }]) => [
      name,
      new OrtTensor(dtype, data as Float32Array, [...shape]),
    ]),
  );
  const results = await session.run(feeds);
  await session.release();
  return results;
}

/** The one file of a small model. */
function bytesOf(lowered: Lowered): Uint8Array {
  const [file, ...more] = [...encodeOnnxFiles(lowered, 'model.onnx')];
  if (file === undefined || more.length > 0) throw new Error('one file');
  return file.bytes;
}

describe('the file format', () => {
  test('reads back every model that it writes', () => {
    const text = fc.string({ unit: 'binary', maxLength: 12 });
    const whole = fc.integer({ min: -(2 ** 52), max: 2 ** 52 });
    const value = fc.record({
      name: text,
      type: fc.record({
        tensorType: fc.record({
          elemType: fc.integer({ min: 1, max: 16 }),
          shape: fc.record({ dim: fc.array(fc.oneof(fc.record({ dimValue: whole }), fc.record({ dimParam: text }))) }),
        }),
      }),
    });
    const bytes = fc.uint8Array({ maxLength: 40 }).map((data) => Uint8Array.from(data));
    const tensor = fc.record({
      name: text,
      dataType: fc.integer({ min: 1, max: 16 }),
      dims: fc.array(whole),
      rawData: bytes,
      externalData: fc.array(fc.record({ key: text, value: text })),
    });
    const attribute = fc.record({
      name: text,
      type: fc.integer({ min: 1, max: 7 }),
      f: fc.float({ noNaN: true }),
      i: whole,
      s: bytes,
      ints: fc.array(whole),
      floats: fc.array(fc.float({ noNaN: true })),
    });
    const node = fc.record({
      opType: text,
      domain: text,
      input: fc.array(text),
      output: fc.array(text),
      attribute: fc.array(attribute),
    });
    const model = fc.record({
      irVersion: fc.nat(),
      producerName: text,
      opsetImport: fc.array(fc.record({ domain: text, version: fc.nat() })),
      metadataProps: fc.array(fc.record({ key: text, value: text })),
      graph: fc.record({
        name: text,
        node: fc.array(node),
        input: fc.array(value),
        output: fc.array(value),
        initializer: fc.array(tensor),
      }),
    });
    fc.assert(
      fc.property(model, (given) => {
        const read = decodeModel(encodeModel(given as ModelProto));
        expect(plain(read)).toEqual(plain(given));
      }),
      { numRuns: 30 },
    );
  });

  /** Bytes as lists and without defaults, which the format leaves out: what is the same in a file compares as the same. */
  function plain(value: unknown): unknown {
    if (value instanceof Uint8Array) return Array.from(value);
    if (typeof value === 'number') return value + 0;
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value !== 'object' || value === null) return value;
    const present = Object.entries(value).filter(([, inner]) => inner !== 0 && inner !== '' && inner?.length !== 0);
    return Object.fromEntries(present.map(([key, inner]) => [key, plain(inner)]));
  }

  test('refuses bytes that are no model', () => {
    expect(() => decodeModel(Uint8Array.of(255, 255, 255, 255))).toThrow();
  });

  test('keeps names, dtypes, named sizes and metadata', () => {
    const lowered = exportProgram<object, { ids: Tensor }, { y: Tensor }>(
      (_s, { ids }) => ({ out: { y: cast(ids, 'float64') } }),
      { state: {}, input: { ids: { dtype: 'int64', shape: ['batch', 3] } } },
      { metadata: { kind: 'test', note: 'gruess' } },
    );
    const model = decodeModel(bytesOf(lowered));
    expect(model.metadataProps).toEqual([
      { key: 'kind', value: 'test' },
      { key: 'note', value: 'gruess' },
    ]);
    expect(model.opsetImport[0]).toEqual({ version: 21 });
    expect(model.graph.input.map(({ name }) => name)).toEqual(['ids']);
    expect(model.graph.input[0]?.type?.tensorType?.shape?.dim).toEqual([{ dimParam: 'batch' }, { dimValue: 3 }]);
    expect(model.graph.output[0]).toMatchObject({ name: 'y', type: { tensorType: { elemType: 11 } } });
    expect([1, 6, 7, 9, 10, 11, 99].map(dtypeOf)).toEqual([
      'float32',
      'int32',
      'int64',
      'bool',
      'float16',
      'float64',
      undefined,
    ]);
  });
});

interface Mlp {
  readonly v0: Tensor;
  readonly c0: Tensor;
  readonly table: Tensor;
  readonly norm: Tensor;
}

const mlp = {
  v0: random(1).normal([64, 128], 0.2),
  c0: random(2).normal([128], 0.2),
  table: random(3).normal([50, 64]),
  norm: array(new Array<number>(64).fill(1.5)),
};

function forward(w: Mlp, ids: Tensor): Tensor {
  const x = layerNorm(gather(w.table, ids), w.norm);
  return softmax(add(matmul(gelu(x), w.v0), w.c0));
}

describe('an exported program', () => {
  const ids = random(4).integers([2, 5], 50);

  test('with its weights inside gives the same numbers in plain ONNX Runtime', async () => {
    const runtime = await createRuntime({ worker: false, device: 'cpu' });
    const state = await runtime.upload(mlp);
    const program = await runtime.compile<Mlp, { ids: Tensor }, { chances: Tensor }>(
      (w, x) => ({ out: { chances: forward(w, x.ids) } }),
      { state: specsOf<Mlp>(mlp), input: { ids } },
    );
    const { out } = await program.run(state, { ids });
    const weights = await state.read();
    const [file] = [...program.toONNX(weights)];
    expect(file?.file).toBe('model.onnx');
    const results = await open(file?.bytes ?? new Uint8Array(), { ids });
    for (const [i, value] of numbers(out.chances.data).entries())
      expect(Math.abs(numbers(results.chances?.data as Float32Array)[i] ?? 1) - value).toBeLessThan(1e-6);
    expect(results.chances?.dims).toEqual(out.chances.shape);

    const [bare] = [...program.toONNX()];
    const fed = await open(bare?.bytes ?? new Uint8Array(), { ids, ...weights });
    expect(numbers(fed.chances?.data as Float32Array)).toEqual(numbers(results.chances?.data as Float32Array));
    await runtime.dispose();
  });

  test('writes its state updates, draws and step as outputs and inputs by name', async () => {
    const lowered = exportProgram<{ w: Tensor }, { x: Tensor }, { y: Tensor }>(
      ({ w }, { x }, call) => {
        const noise = call.at('noise').random.normal([2]);
        return { state: { w: add(w, call.step) }, out: { y: add(mul(w, x), noise) } };
      },
      { state: { w: { dtype: 'float32', shape: [2] } }, input: { x: { dtype: 'float32', shape: [2] } } },
    );
    const results = await open(bytesOf(lowered), {
      w: array([1, 2]),
      x: array([10, 10]),
      'draw.noise.normal': array([0.5, 0.25]),
      step: array([3], []),
    });
    expect(numbers(results.y?.data as Float32Array)).toEqual([10.5, 20.25]);
    expect(numbers(results['new.w']?.data as Float32Array)).toEqual([4, 5]);
  });

  test('runs at any sizes that it names, with sums and products of them', async () => {
    const width = 6;
    const lowered = exportProgram<object, { x: Tensor; past: Tensor }, Readonly<Record<string, Tensor>>>(
      (_s, { x, past }) => {
        const all = concat([past, x], 1); // [batch, past + time, 6]
        const rows = reshape(all, [-1, width]); // batch * (past + time)
        const flat = reshape(x, [-1, width]);
        const heads = transpose(reshape(x, ['batch', 'time', 2, 3]), [0, 2, 1, 3]);
        const scores = matmul(x, all, { transposeB: true, scale: 0.5 });
        const places = add(range('time'), 10);
        return {
          out: {
            all,
            flat: mul(flat, 2),
            heads,
            scores: softmax(scores),
            last: slice(all, 1, -1),
            total: sum(rows, 0),
            places,
          },
        };
      },
      {
        state: {},
        input: {
          x: { dtype: 'float32', shape: ['batch', 'time', width] },
          past: { dtype: 'float32', shape: ['batch', 'past', width] },
        },
      },
    );
    const bytes = bytesOf(lowered);
    const declared = Object.fromEntries(
      decodeModel(bytes).graph.output.map(({ name, type }) => [
        name,
        type?.tensorType?.shape?.dim?.map((d) => d.dimParam ?? d.dimValue),
      ]),
    );
    expect(declared).toMatchObject({
      all: ['batch', 'past + time', 6],
      flat: ['batch*time', 6],
      scores: ['batch', 'time', 'past + time'],
      last: ['batch', 1, 6],
      places: ['time'],
    });
    for (const [batch, time, past] of [
      [1, 1, 4],
      [3, 2, 5],
      [2, 4, 0],
    ] as const) {
      const [x, before] = [random(1).normal([batch, time, width]), random(2).normal([batch, past, width])];
      const results = await open(bytes, { x, past: before });
      const shapes = Object.fromEntries(Object.entries(results).map(([name, { dims }]) => [name, dims]));
      expect(shapes).toEqual({
        all: [batch, past + time, width],
        flat: [batch * time, width],
        heads: [batch, 2, time, 3],
        scores: [batch, time, past + time],
        last: [batch, 1, width],
        total: [width],
        places: [time],
      });
      expect(numbers(results.flat?.data as Float32Array)).toEqual(numbers(x.data).map((value) => value * 2));
      expect(numbers(results.places?.data as Int32Array)).toEqual(Array.from({ length: time }, (_, i) => 10 + i));
      const sums = numbers(results.scores?.data as Float32Array).reduce((a, b) => a + b, 0);
      expect(sums).toBeCloseTo(batch * time, 4);
      expect(numbers(results.last?.data as Float32Array).slice(0, width)).toEqual(
        numbers(x.data).slice((time - 1) * width, time * width),
      );
    }
  });

  test('refuses sizes that do not fit by name', () => {
    const run = (shape: readonly (string | number)[]) => () =>
      exportProgram<object, { x: Tensor }, Tensor>((_s, { x }) => ({ out: reshape(x, shape) }), {
        state: {},
        input: { x: { dtype: 'float32', shape: ['batch', 'time', 6] } },
      });
    expect(run(['batch', 6])).toThrow('reshape cannot turn [batch, time, 6] into [batch, 6].');
    expect(run(['other', 'time', 6])).toThrow('[other, time, 6]');
    expect(run([-1, 4])).toThrow('reshape');
  });

  test('with weights past the limit puts them into a file beside the model', async () => {
    const lowered = exportProgram<Mlp, { ids: Tensor }, { chances: Tensor }>(
      (w, x) => ({ out: { chances: forward(w, x.ids) } }),
      { state: specsOf<Mlp>(mlp), input: { ids } },
      { weights: new Map(arrayLeaves(mlp)) },
    );
    const inside = await open(bytesOf(lowered), { ids });
    const folder = await mkdtemp(join(tmpdir(), 'tessera-onnx-'));
    try {
      const pieces = new Map<string, Uint8Array[]>();
      for (const { file, bytes } of encodeOnnxFiles(lowered, 'onnx-model.onnx', 4096))
        pieces.set(file, [...(pieces.get(file) ?? []), bytes]);
      expect([...pieces.keys()]).toEqual(['onnx-model.onnx', 'onnx-model.onnx_data']);
      for (const [file, parts] of pieces) await writeFile(join(folder, file), Buffer.concat(parts));
      const model = Buffer.concat(pieces.get('onnx-model.onnx') ?? []);
      expect(model.byteLength).toBeLessThan(8192);
      const external = decodeModel(model).graph.initializer.filter(({ dataLocation }) => dataLocation === 1);
      expect(external).toHaveLength(2);
      for (const { externalData } of external)
        expect(Number(externalData?.find(({ key }) => key === 'offset')?.value) % 4096).toBe(0);
      const outside = await open(join(folder, 'onnx-model.onnx'), { ids });
      expect(outside.chances?.data).toEqual(inside.chances?.data);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('stores every dtype', async () => {
    const weights: Record<string, NDArray> = {
      f32: array([1.5, -2]),
      f64: array([1e-300, 2], [2], 'float64'),
      f16: ndarray('float16', [2], Uint16Array.of(0x3c00, 0xc000)),
      i32: array([-5, 7], [2], 'int32'),
      i64: ndarray('int64', [2], BigInt64Array.of(2n ** 60n, -1n)),
      flag: array([1, 0], [2], 'bool'),
      byte: array([200, 3], [2], 'uint8'),
    };
    const lowered = exportProgram<Record<string, Tensor>, object, Record<string, Tensor>>(
      (w) => ({ out: Object.fromEntries(Object.entries(w).map(([key, value]) => [`${key}_out`, value])) }),
      { state: specsOf<Record<string, Tensor>>(weights), input: {} },
      { weights: new Map(Object.entries(weights)) },
    );
    const results = await open(bytesOf(lowered), {});
    for (const [key, { data, dtype }] of Object.entries(weights)) {
      expect(results[`${key}_out`]?.type).toBe(dtype);
      expect(bits(results[`${key}_out`]?.data)).toEqual(bits(data));
    }
  });
});
