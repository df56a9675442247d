import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { openPytorch, openWeights, readModelFolder, writeSafetensors } from 'tessera-kit/formats';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { array, bytesOf } from '../../dist/tensor/ndarray.js';
import {
  call,
  checkpoint,
  type Described,
  dictionary,
  integer,
  legacy,
  list,
  named,
  type Pickled,
  pickle,
  tensor,
  text,
  yes,
  zip,
} from './pytorch-writer.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-pytorch-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const floats = (...values: number[]): Uint8Array => bytesOf(array(values));
const vector = (key: string, elements: number, more: Partial<Described> = {}): Pickled =>
  tensor({ storage: 'FloatStorage', key, elements, shape: [elements], strides: [1], ...more });

/** Names of storages, the type that is told, bytes of an element, and the type that is held. */
const TYPES = [
  ['DoubleStorage', 'F64', 8, 'float64'],
  ['FloatStorage', 'F32', 4, 'float32'],
  ['HalfStorage', 'F16', 2, 'float16'],
  ['BFloat16Storage', 'BF16', 2, 'float32'],
  ['LongStorage', 'I64', 8, 'int64'],
  ['IntStorage', 'I32', 4, 'int32'],
  ['ShortStorage', 'I16', 2, 'int32'],
  ['CharStorage', 'I8', 1, 'int32'],
  ['ByteStorage', 'U8', 1, 'uint8'],
  ['BoolStorage', 'BOOL', 1, 'bool'],
] as const;

/** The bytes of a view in row-major order, element by element from the definition of strides. */
function viewBytes({ offset = 0, shape, strides }: Described, storage: Uint8Array, width: number): Uint8Array {
  let indexes: number[][] = [[]];
  for (const size of shape) indexes = indexes.flatMap((index) => Array.from({ length: size }, (_, i) => [...index, i]));
  const out: number[] = [];
  for (const index of indexes) {
    const at = index.reduce((sum, i, axis) => sum + i * (strides[axis] ?? 0), offset) * width;
    out.push(...storage.subarray(at, at + width));
  }
  return Uint8Array.from(out);
}

/** Views of every kind: permuted, with gaps, expanded, at an offset, of storages that go on behind them. */
const views = fc
  .record({
    type: fc.constantFrom(...TYPES),
    axes: fc.array(
      fc.record({ size: fc.nat(4), rank: fc.nat(100), gap: fc.integer({ min: 1, max: 2 }), expanded: fc.boolean() }),
      { maxLength: 4 },
    ),
    offset: fc.nat(5),
    rest: fc.nat(3),
    seed: fc.nat(),
  })
  .map(({ type, axes, offset, rest, seed }) => {
    const strides = axes.map(() => 0);
    let step = 1;
    for (const { axis, size, gap, expanded } of axes
      .map((own, axis) => ({ ...own, axis }))
      .sort((a, b) => a.rank - b.rank)) {
      if (expanded && size > 1) continue;
      strides[axis] = step * gap;
      step *= Math.max(1, size * gap);
    }
    const shape = axes.map(({ size }) => size);
    const reach = shape.reduce((sum, size, axis) => sum + Math.max(0, size - 1) * (strides[axis] ?? 0), 1);
    const [storage, , width] = type;
    const elements = offset + reach + rest;
    const bytes = Uint8Array.from({ length: elements * width }, (_, i) =>
      storage === 'BoolStorage' ? (seed >> (i % 31)) & 1 : ((seed % 1009) + i * 37) & 0x7f,
    );
    return { type, bytes, described: { storage, key: '0', elements, offset, shape, strides } };
  });

describe('a checkpoint', () => {
  it('has every type of number', async () => {
    const storages = Object.fromEntries(TYPES.map(([, , width], i) => [String(i), new Uint8Array(width).fill(1)]));
    const pairs = TYPES.map(([storage, told], i): [string, Pickled] => [
      told,
      tensor({ storage, key: String(i), elements: 1, shape: [1], strides: [1] }),
    ]);
    const file = await openPytorch(checkpoint(dictionary(Object.fromEntries(pairs)), storages));
    expect(file.names).toEqual(TYPES.map(([, told]) => told));
    for (const [, told, width, held] of TYPES) {
      expect(file.tensor(told)).toEqual({ dtype: told, shape: [1], bytes: width, file: 'The checkpoint given' });
      expect((await file.read(told)).dtype).toBe(held);
    }
    // By hand: 0x01010101 as an integer; 0x0101 as the upper half of a float32.
    expect([...(await file.read('I32')).data]).toEqual([0x01010101]);
    expect([...(await file.read('I64')).data]).toEqual([0x0101010101010101n]);
    expect((await file.read('BF16')).data[0]).toBeCloseTo(2 ** -125 * (1 + 1 / 128), 45);
    expect((await file.read('BOOL', { as: 'float32' })).data[0]).toBe(1);
    await expect(file.read('F32', { as: 'int32' })).rejects.toMatchObject({ code: 'bad-option' });
    await expect(file.read('F31')).rejects.toMatchObject({ code: 'not-found' });
  });

  it('gives each view its elements, whole and by rows, from stored, deflated, 64-bit and older files', async () => {
    const layouts = fc.constantFrom('stored', 'deflated', 'wide', 'legacy');
    await fc.assert(
      fc.asyncProperty(views, layouts, async ({ type: [, told, width], bytes, described }, layout) => {
        const value = dictionary({ w: tensor(described, layout === 'legacy' ? 'legacy' : 'zip') });
        const content =
          layout === 'legacy'
            ? legacy(value, { 0: { bytes, width } })
            : checkpoint(value, { 0: bytes }, { deflate: layout === 'deflated', wide: layout === 'wide' });
        const file = await openPytorch(content);
        const whole = viewBytes(described, bytes, width);
        expect(file.tensor('w')).toMatchObject({ dtype: told, shape: described.shape, bytes: whole.length });
        expect([...(await file.readRaw('w'))]).toEqual([...whole]);
        expect((await file.read('w')).shape).toEqual(described.shape);
        const [rows = 0, ...rest] = described.shape;
        if (rows < 2) return;
        const slice = await file.readSlice('w', 1, rows, { as: 'float64' });
        expect(slice.shape).toEqual([rows - 1, ...rest]);
        const all = await file.read('w', { as: 'float64' });
        expect([...slice.data]).toEqual([...all.data.slice(all.data.length / rows)]);
      }),
      { numRuns: 300 },
    );
  });

  it('shares storages, keeps what is tied, and reads only what is asked for', async () => {
    const path = join(folder, 'tied.pt');
    const value = dictionary({
      a: vector('0', 4),
      tied: vector('0', 4),
      tail: vector('0', 4, { offset: 2, shape: [2] }),
    });
    await writeFile(path, checkpoint(value, { 0: floats(1, 2, 3, 4) }));
    const file = await openPytorch(path);
    expect([...(await file.read('tied')).data]).toEqual([1, 2, 3, 4]);
    expect([...(await file.read('tail')).data]).toEqual([3, 4]);
    expect([...(await file.readSlice('a', 1, 2)).data]).toEqual([2]);
    await expect(file.readSlice('a', 3, 5)).rejects.toMatchObject({ code: 'bad-shape' });
    await file.close();
  });

  it('may hold parameters, metadata of modules, attributes, and plain values beside tensors', async () => {
    const attributes = dictionary({ _metadata: dictionary({ version: integer(1) }) });
    const parameter = call(
      named('torch._utils', '_rebuild_parameter'),
      vector('0', 1),
      yes,
      call(named('collections', 'OrderedDict')),
    );
    const value: Pickled = [
      ...call(named('collections', 'OrderedDict')),
      ...[0x28, ...text('w'), ...parameter],
      ...[...text('shape'), ...call(named('torch', 'Size'), [0x4b, 2, 0x4b, 3, 0x86])],
      ...[...text('type'), ...named('torch', 'float16'), 0x75],
      ...[...attributes, 0x62],
    ];
    const file = await openPytorch(checkpoint(value, { 0: floats(7) }));
    expect(file.names).toEqual(['w']);
    expect([...(await file.read('w')).data]).toEqual([7]);
    expect(file.metadata).toEqual({ format: 'pt' });
  });

  it('may be of protocol 4, with frames, a memo and globals from the stack', async () => {
    const rebuilt = call(
      named('torch._utils', '_rebuild_tensor_v3', 4),
      [
        0x28,
        ...text('storage'),
        ...named('torch.storage', 'UntypedStorage', 4),
        ...text('0'),
        ...text('cpu'),
        0x4b,
        4,
        0x74,
        0x51,
      ],
      integer(1),
      [0x4b, 1, 0x85],
      [0x4b, 1, 0x85],
      yes,
      call(named('collections', 'OrderedDict', 4)),
      named('torch', 'uint16', 4),
    );
    const body = [...dictionary({ w: [...rebuilt, 0x94] }).slice(0, -1), ...text('again'), 0x68, 0, 0x75];
    const framed = [0x95, ...new Array<number>(8).fill(0), ...body];
    const file = await openPytorch(checkpoint(pickle(framed, 4), { 0: Uint8Array.of(1, 0, 2, 1) }));
    expect(file.names).toEqual(['w', 'again']);
    expect(file.tensor('again').dtype).toBe('U16');
    expect([...(await file.read('again')).data]).toEqual([258]);
  });
});

describe('a training checkpoint', () => {
  const inner = dictionary({ 'layer.weight': vector('0', 2) });
  const optimizer = dictionary({ state: list(dictionary({ moment: vector('1', 1) })), rate: integer(3) });
  const storages = { 0: floats(1, 2), 1: floats(3) };
  const bytes = checkpoint(dictionary({ epoch: integer(2), rng: vector('1', 1), model: inner, optimizer }), storages);

  it('gives the part that holds the model, says so, and gives another where it is asked for', async () => {
    const model = await openPytorch(bytes);
    expect([model.names, model.metadata.part]).toEqual([['layer.weight'], 'model']);
    const all = await openPytorch(bytes, { part: '' });
    expect(all.names).toEqual(['rng', 'model.layer.weight', 'optimizer.state.0.moment']);
    const moments = await openPytorch(bytes, { part: 'optimizer.state' });
    expect(moments.names).toEqual(['0.moment']);
    expect([...(await moments.read('0.moment')).data]).toEqual([3]);
    await expect(openPytorch(bytes, { part: 'ema' })).rejects.toMatchObject({ code: 'not-found' });
  });

  it.each(['state_dict', 'model_state_dict', 'model', 'module'])('may call it %s, in another or alone', async (key) => {
    const nested = await openPytorch(checkpoint(dictionary({ [key]: dictionary({ module: inner }) }), storages));
    expect([nested.names, nested.metadata.part]).toEqual([['layer.weight'], `${key}.module`]);
    const alone = await openPytorch(checkpoint(dictionary({ [key]: vector('0', 2) }), storages));
    expect(alone.names).toEqual([key]);
  });

  it('names a tensor that is saved alone, and finds none in a file without', async () => {
    expect((await openPytorch(checkpoint(vector('0', 2), storages))).names).toEqual(['tensor']);
    await expect(openPytorch(checkpoint(dictionary({ a: integer(1) })))).rejects.toMatchObject({ code: 'not-found' });
  });

  it('is refused when two tensors would have one name', async () => {
    const twice = dictionary({ a: dictionary({ b: vector('0', 2) }), 'a.b': vector('1', 1) });
    await expect(openPytorch(checkpoint(twice, storages))).rejects.toThrow("names two tensors 'a.b'");
  });
});

describe('weights of whichever format', () => {
  const bin = (name: string, ...values: number[]): Uint8Array =>
    checkpoint(dictionary({ [name]: vector('0', values.length) }), { 0: floats(...values) });

  it('come from shards under an index, and from a model folder', async () => {
    await writeFile(join(folder, 'pytorch_model-00001-of-00002.bin'), bin('a', 1));
    await writeFile(join(folder, 'pytorch_model-00002-of-00002.bin'), bin('b', 2));
    const map = { a: 'pytorch_model-00001-of-00002.bin', b: 'pytorch_model-00002-of-00002.bin' };
    const index = join(folder, 'pytorch_model.bin.index.json');
    await writeFile(index, JSON.stringify({ weight_map: map }));
    await writeFile(join(folder, 'training_args.bin'), 'anything');
    await writeFile(join(folder, 'config.json'), '{}');
    for (const weights of [
      await openWeights(index),
      await openWeights(folder),
      (await readModelFolder(folder)).weights,
    ]) {
      expect(weights.names).toEqual(['a', 'b']);
      expect([...(await weights.read('b')).data]).toEqual([2]);
      await weights.close();
    }
    await rm(join(folder, map.b));
    await expect(openWeights(folder)).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining(map.b),
    });
  });

  it('are the safetensors where a folder has both, and the one checkpoint that is no state of training', async () => {
    await writeFile(join(folder, 'model.pth'), bin('old', 1));
    await writeFile(join(folder, 'optimizer.pt'), 'anything');
    const before = await openWeights(folder);
    expect(before.names).toEqual(['old']);
    await before.close();
    await writeSafetensors(join(folder, 'model.safetensors'), [{ name: 'new', array: array([1]) }]);
    const after = await openWeights(folder);
    expect(after.names).toEqual(['new']);
    await after.close();
  });

  it('are not guessed', async () => {
    await expect(openWeights(folder)).rejects.toMatchObject({ code: 'not-found' });
    await expect(openWeights(join(folder, 'none.pt'))).rejects.toMatchObject({ code: 'not-found' });
    await writeFile(join(folder, 'a.pt'), bin('a', 1));
    await writeFile(join(folder, 'b.pt'), bin('b', 1));
    await expect(openWeights(folder)).rejects.toThrow('2 checkpoints and no index: a.pt, b.pt');
    await writeFile(join(folder, 'a.gguf'), 'GGUF');
    await expect(openWeights(join(folder, 'a.gguf'))).rejects.toMatchObject({ code: 'bad-input' });
  });
});

describe('what is no checkpoint', () => {
  const version = { name: 'a/version', bytes: Uint8Array.of(0x33) };
  it.each<[string, Uint8Array, string, string]>([
    ['nothing', new Uint8Array(0), 'bad-file', 'has 0 bytes'],
    ['text', new TextEncoder().encode('Once upon a time'), 'bad-file', 'is no checkpoint of PyTorch'],
    ['a zip archive of something else', zip([version]), 'bad-file', 'without a data.pkl'],
    ['a pickle of something else', pickle(dictionary({ a: integer(1) })), 'bad-file', 'not one that PyTorch wrote'],
    [
      'a TorchScript program',
      zip([
        { name: 'a/data.pkl', bytes: pickle(dictionary({})) },
        { name: 'a/constants.pkl', bytes: pickle(dictionary({})) },
      ]),
      'unsupported',
      'is a TorchScript program',
    ],
    ['big-endian', checkpoint(vector('0', 1), { 0: floats(1) }, { byteorder: 'big' }), 'unsupported', 'big-endian'],
    ['big-endian and old', legacy(vector('0', 1), {}, false), 'unsupported', 'big-endian'],
  ])('says so: %s', async (_, bytes, code, says) => {
    const path = join(folder, 'a.pt');
    await writeFile(path, bytes);
    await expect(openPytorch(path)).rejects.toMatchObject({ code, message: expect.stringContaining(says) });
    await expect(openPytorch(path)).rejects.toThrow(path);
  });

  it('tells a pointer of Git LFS', async () => {
    const pointer = new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\n');
    await expect(openPytorch(pointer)).rejects.toMatchObject({ hint: expect.stringContaining('Git LFS') });
  });
});
