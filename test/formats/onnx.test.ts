import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { openOnnx, openWeights } from 'tessera-kit/formats';
import {
  add,
  array,
  encodeOnnxFiles,
  exportProgram,
  gelu,
  type Lowered,
  matmul,
  type NDArray,
  random,
  type Tensor,
  TesseraError,
} from 'tessera-kit/tensor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeModel, encodeModel, type ModelProto } from '../../dist/tensor/onnx/schema.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-onnx-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Layer {
  readonly w: Tensor;
  readonly b: Tensor;
}

const layer = { w: random(1).normal([700, 3]), b: array([0.5, -1, 2]) };

/** gelu(x w + b), its weights inside, with a batch that varies. */
function exported(): Lowered {
  return exportProgram<Layer, { readonly x: Tensor }, { readonly y: Tensor }>(
    (own, { x }) => ({ out: { y: gelu(add(matmul(x, own.w), own.b)) } }),
    {
      state: { w: { dtype: 'float32', shape: [700, 3] }, b: { dtype: 'float32', shape: [3] } },
      input: { x: { dtype: 'float32', shape: ['batch', 700] } },
    },
    { weights: new Map<string, NDArray>(Object.entries(layer)), metadata: { made: 'here', __proto: 'kept' } },
  );
}

async function write(lowered: Lowered, limit?: number): Promise<string> {
  const path = join(folder, 'model.onnx');
  const files = new Map<string, Uint8Array[]>();
  for (const { file, bytes } of encodeOnnxFiles(lowered, path, limit))
    files.set(file, [...(files.get(file) ?? []), bytes]);
  for (const [file, parts] of files) await writeFile(file, Buffer.concat(parts));
  return path;
}

const same = (value: NDArray, other: NDArray): void => expect([...value.data]).toEqual([...other.data]);

describe('an exported program', () => {
  it('tells its inputs, outputs, operators, opsets, metadata and initializers', async () => {
    const path = await write(exported());
    const model = await openOnnx(path);
    try {
      expect(model.inputs).toEqual([{ name: 'x', dtype: 'float32', shape: ['batch', 700] }]);
      expect(model.outputs).toEqual([{ name: 'y', dtype: 'float32', shape: ['batch', 3] }]);
      expect(model.opsets).toEqual({ 'ai.onnx': 21, 'com.microsoft': 1 });
      expect(model.metadata).toEqual({ made: 'here', __proto: 'kept' });
      expect(model.producer).toBe('tessera');
      const { graph } = decodeModel((await encode(exported()))[0] ?? new Uint8Array());
      const counted = graph.node.map(({ domain, opType }) => (domain ? `${domain}.${opType}` : opType)).sort();
      expect(
        Object.entries(model.operators)
          .flatMap(([name, count]) => Array(count).fill(name))
          .sort(),
      ).toEqual(counted);
      expect(model.nodes).toBe(counted.length);
      const large = model.initializers.find(({ shape }) => shape[0] === 700);
      expect(large).toMatchObject({ dtype: 'float32', shape: [700, 3], bytes: 8400 });
      same(await model.weights.read(large?.name ?? ''), layer.w);
      const rows = await model.weights.readSlice(large?.name ?? '', 2, 4);
      expect([...rows.data]).toEqual([...layer.w.data.slice(6, 12)]);
    } finally {
      await model.close();
    }
  });

  it('keeps external data unread until it is asked for, and finds it beside the model', async () => {
    const path = await write(exported(), 0);
    const model = await openOnnx(path);
    try {
      expect(model.externalFiles).toEqual(['model.onnx_data']);
      expect(model.bytes).toBeLessThan(4000);
      const large = model.initializers.find(({ external }) => external !== undefined)?.name ?? '';
      same(await model.weights.read(large), layer.w);
      expect([...(await model.weights.readSlice(large, 699, 700)).data]).toEqual([...layer.w.data.slice(-3)]);
    } finally {
      await model.close();
    }
    await rm(`${path}_data`);
    const weights = await openWeights(path);
    try {
      expect(weights.names.length).toBe(model.initializers.length);
      const large = weights.names.find((name) => weights.tensor(name).bytes === 8400) ?? '';
      await expect(weights.read(large)).rejects.toMatchObject({ code: 'not-found' });
      await writeFile(`${path}_data`, new Uint8Array(8000));
      await expect(weights.read(large)).rejects.toThrow(
        'should be at bytes 0 to 8400 of model.onnx_data, which has 8000',
      );
    } finally {
      await weights.close();
    }
  });
});

async function encode(lowered: Lowered): Promise<Uint8Array[]> {
  return [...encodeOnnxFiles(lowered, 'model.onnx')].map(({ bytes }) => bytes);
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

/** A field of bytes. */
function wrap(field: number, bytes: readonly number[]): number[] {
  return [field * 8 + 2, ...varint(bytes.length), ...bytes];
}

/** The fields of TensorProto that Tessera itself never writes. */
const tensorType = protobuf.Root.fromJSON({
  nested: {
    Tensor: {
      fields: {
        dims: { rule: 'repeated', type: 'int64', id: 1 },
        dataType: { type: 'int32', id: 2 },
        floatData: { rule: 'repeated', type: 'float', id: 4 },
        int32Data: { rule: 'repeated', type: 'int32', id: 5 },
        int64Data: { rule: 'repeated', type: 'int64', id: 7 },
        name: { type: 'string', id: 8 },
        rawData: { type: 'bytes', id: 9 },
        doubleData: { rule: 'repeated', type: 'double', id: 10 },
        uint64Data: { rule: 'repeated', type: 'uint64', id: 11 },
      },
    },
    Attribute: { fields: { name: { type: 'string', id: 1 }, g: { type: 'Graph', id: 6 } } },
    Node: {
      fields: {
        opType: { type: 'string', id: 4 },
        attribute: { rule: 'repeated', type: 'Attribute', id: 5 },
        domain: { type: 'string', id: 7 },
      },
    },
    Graph: {
      fields: {
        node: { rule: 'repeated', type: 'Node', id: 1 },
        initializer: { rule: 'repeated', type: 'Tensor', id: 5 },
      },
    },
    Model: { fields: { irVersion: { type: 'int64', id: 1 }, graph: { type: 'Graph', id: 7 } } },
  },
});

function modelOf(initializer: readonly object[], node: readonly object[] = []): Uint8Array {
  const type = tensorType.lookupType('Model');
  return type.encode(type.fromObject({ irVersion: 8, graph: { initializer, node } })).finish();
}

it('nodes are counted by operator, with those of the graphs inside of them', async () => {
  const loop = (...inner: object[]) => ({ opType: 'Loop', attribute: [{ name: 'body', g: { node: inner } }] });
  const add = { opType: 'Add', domain: 'ai.onnx' };
  const model = await openOnnx(modelOf([], [add, loop(add, loop(add, { opType: 'Gelu', domain: 'com.microsoft' }))]));
  expect(Object.entries(model.operators)).toEqual([
    ['Add', 3],
    ['Loop', 2],
    ['com.microsoft.Gelu', 1],
  ]);
  expect(model.nodes).toBe(6);
  // Each turn is a node with an attribute with a graph with the node before.
  const deep = Array.from({ length: 80 }).reduce<number[]>((inner) => wrap(5, wrap(6, wrap(1, inner))), [34, 1, 65]);
  await expect(openOnnx(Uint8Array.of(8, 8, ...wrap(7, wrap(1, deep))))).rejects.toThrow('nested more than 64 deep');
});

describe('initializers', () => {
  it.each([
    [1, { floatData: [1.5, -2, 0.25] }, 'float32', [1.5, -2, 0.25]],
    [11, { doubleData: [1e300, -2, 0.1] }, 'float64', [1e300, -2, 0.1]],
    [6, { int32Data: [-(2 ** 31), 0, 2 ** 31 - 1] }, 'int32', [-(2 ** 31), 0, 2 ** 31 - 1]],
    [3, { int32Data: [-128, 5, 127] }, 'int32', [-128, 5, 127]],
    [4, { int32Data: [0, 5, 65535] }, 'int32', [0, 5, 65535]],
    [9, { int32Data: [1, 0, 1] }, 'bool', [1, 0, 1]],
    [10, { int32Data: [0x3c00, 0xc000, 0] }, 'float16', [0x3c00, 0xc000, 0]],
    [16, { int32Data: [0x3f80, 0xc000, 0] }, 'float32', [1, -2, 0]],
    [7, { int64Data: ['-9223372036854775808', 0, '9007199254740993'] }, 'int64', [-(2n ** 63n), 0n, 2n ** 53n + 1n]],
    [12, { uint64Data: [0, 1, 2 ** 32 - 1] }, 'int64', [0n, 1n, 2n ** 32n - 1n]],
    [2, { rawData: Uint8Array.of(0, 7, 255) }, 'uint8', [0, 7, 255]],
  ])('of type %i are read from %j', async (dataType, data, dtype, values) => {
    const { weights } = await openOnnx(modelOf([{ name: 'w', dims: [3], dataType, ...data }]));
    const value = await weights.read('w');
    expect([value.dtype, value.shape, [...value.data]]).toEqual([dtype, [3], values]);
    expect([...(await weights.readSlice('w', 1, 2)).data]).toEqual(values.slice(1, 2));
  });

  it('of types that weights have not are listed with their bytes', async () => {
    const { initializers, weights } = await openOnnx(
      modelOf([
        { name: 'packed', dims: [3], dataType: 22, rawData: Uint8Array.of(1, 2) },
        { name: 'plain', dims: [], dataType: 7, int64Data: [4] },
      ]),
    );
    expect(initializers).toEqual([
      { name: 'packed', dtype: 'int4', shape: [3], bytes: 2 },
      { name: 'plain', dtype: 'int64', shape: [], bytes: 8 },
    ]);
    expect(weights.names).toEqual(['plain']);
  });

  it('that lack elements are refused by name', async () => {
    await expect(
      openOnnx(modelOf([{ name: 'w', dims: [3], dataType: 1, rawData: new Uint8Array(8) }])),
    ).rejects.toThrow("The tensor 'w' of The model given needs 12 bytes and has 8.");
    const { weights } = await openOnnx(modelOf([{ name: 'w', dims: [3], dataType: 7, int64Data: [1, 2] }]));
    await expect(weights.read('w')).rejects.toMatchObject({ code: 'bad-file' });
    await expect(openOnnx(modelOf([{ name: 'w', dims: [-3], dataType: 1 }]))).rejects.toThrow("'w' has the shape [-3]");
  });

  it.each(['../secret', '/etc/passwd', 'a/../../b', ''])('are not looked for in %j', async (location) => {
    const model: ModelProto = {
      irVersion: 8,
      opsetImport: [],
      graph: {
        name: 'g',
        node: [],
        input: [],
        output: [],
        initializer: [
          { name: 'w', dataType: 1, dims: [1], dataLocation: 1, externalData: [{ key: 'location', value: location }] },
        ],
      },
    };
    await mkdir(join(folder, 'a'));
    const path = join(folder, 'a', 'model.onnx');
    await writeFile(path, encodeModel(model));
    const opened = await openOnnx(path);
    await expect(opened.weights.read('w')).rejects.toMatchObject({ code: 'bad-file' });
    await opened.close();
  });
});

describe('a broken model', () => {
  it.each([
    [new Uint8Array(0), 'is empty'],
    [new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\noid sha256:0'), 'pointer of Git LFS'],
    [new TextEncoder().encode('# A readme\n\nthat is none.'), 'cannot be read as ONNX'],
    [Uint8Array.of(8, 8), 'it has no graph'],
  ])('is refused with a sentence (%#)', async (bytes, says) => {
    await expect(openOnnx(bytes)).rejects.toMatchObject({ code: 'bad-file', message: expect.stringContaining(says) });
  });

  it('cut anywhere, or with any byte changed, opens or is refused by a TesseraError', async () => {
    const [whole = new Uint8Array()] = await encode(exported());
    const head = whole.length - 8400 > 0 ? whole : new Uint8Array();
    expect(head.length).toBeGreaterThan(8400);
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), fc.boolean(), async (place, value, cut) => {
        const bytes = cut ? whole.slice(0, place) : whole.slice();
        if (!cut) bytes[place] = value;
        const opened = await openOnnx(bytes).catch((error: Error) => error);
        if (opened instanceof Error) expect(opened).toBeInstanceOf(TesseraError);
      }),
      { numRuns: 300 },
    );
  });
});

it('a model of many gigabytes opens without its weights being read', async () => {
  // A sparse file: the header of a model, whose one tensor is a hole of 6 GB at the end.
  const size = 6e9;
  const path = join(folder, 'large.onnx');
  const described = [8, ...varint(size / 4), 16, 1, 66, 1, 119, 74, ...varint(size)];
  const tensor = [42, ...varint(described.length + size), ...described];
  await writeFile(path, Uint8Array.of(8, 8, 58, ...varint(tensor.length + size), ...tensor));
  const start = 4 + varint(tensor.length + size).length - 1 + tensor.length;
  await truncate(path, start + size);
  const model = await openOnnx(path);
  try {
    expect(model.initializers).toEqual([{ name: 'w', dtype: 'float32', shape: [size / 4], bytes: size }]);
    expect([...(await model.weights.readSlice('w', size / 4 - 2, size / 4)).data]).toEqual([0, 0]);
  } finally {
    await model.close();
  }
});
