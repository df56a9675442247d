import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { castArray, type NamedArray, openSafetensors, writeSafetensors } from 'tessera-kit/formats';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { allocate, array, bytesOf, type DType, type NDArray, ndarray, sizeOf } from '../../dist/tensor/ndarray.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-safetensors-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A file's bytes from a header (a value, or JSON text as it stands) and its data. */
function fileOf(header: unknown, data: readonly number[], length?: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length ?? json.length), true);
  bytes.set(json, 8);
  bytes.set(data, 8 + json.length);
  return bytes;
}

describe('the bytes', () => {
  it('are those that the format describes', async () => {
    const path = join(folder, 'small.safetensors');
    await writeSafetensors(
      path,
      [
        { name: 'mask', array: array([1, 0, 1], [3], 'bool') },
        { name: 'b', array: array([1, -2], [2, 1]) },
        { name: 'a', array: array([0.5], []) },
      ],
      { metadata: { format: 'pt' } },
    );
    // By hand: eight bytes of length, JSON filled with spaces to a multiple of eight, then 0.5, 1, -2 and the mask.
    const json =
      '{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},' +
      '"b":{"dtype":"F32","shape":[2,1],"data_offsets":[4,12]},"mask":{"dtype":"BOOL","shape":[3],"data_offsets":[12,15]}}';
    const padded = json.padEnd(Math.ceil(json.length / 8) * 8, ' ');
    const floats = [0, 0, 0, 0x3f, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0];
    expect([...(await readFile(path))]).toEqual([
      ...[padded.length, 0, 0, 0, 0, 0, 0, 0],
      ...new TextEncoder().encode(padded),
      ...floats,
      ...[1, 0, 1],
    ]);
  });

  it('are read in every type of the format', async () => {
    const data: Record<string, readonly [string, number[], DType, readonly (number | bigint)[]]> = {
      f64: ['F64', [0, 0, 0, 0, 0, 0, 0xf8, 0x3f], 'float64', [1.5]],
      f32: ['F32', [0, 0, 0xc0, 0x3f], 'float32', [1.5]],
      f16: ['F16', [0, 0x3e], 'float16', [0x3e00]],
      bf16: ['BF16', [0xc0, 0x3f], 'float32', [1.5]],
      i64: ['I64', [0xfe, 255, 255, 255, 255, 255, 255, 255], 'int64', [-2n]],
      i32: ['I32', [0xfe, 255, 255, 255], 'int32', [-2]],
      i16: ['I16', [0xfe, 255], 'int32', [-2]],
      i8: ['I8', [0xfe], 'int32', [-2]],
      u64: ['U64', [1, 0, 0, 0, 0, 1, 0, 0], 'int64', [2n ** 40n + 1n]],
      u32: ['U32', [0xfe, 255, 255, 255], 'int64', [2n ** 32n - 2n]],
      u16: ['U16', [0xfe, 255], 'int32', [65534]],
      u8: ['U8', [0xfe], 'uint8', [254]],
      bool: ['BOOL', [1], 'bool', [1]],
    };
    const header: Record<string, unknown> = {};
    const bytes: number[] = [];
    for (const [name, [dtype, own]] of Object.entries(data)) {
      header[name] = { dtype, shape: [1], data_offsets: [bytes.length, bytes.length + own.length] };
      bytes.push(...own);
    }
    const path = join(folder, 'all.safetensors');
    await writeFile(path, fileOf(header, bytes));
    const file = await openSafetensors(path);
    for (const [name, [dtype, own, held, values]] of Object.entries(data)) {
      const read = await file.read(name);
      expect(read.dtype, name).toBe(held);
      expect([...read.data], name).toEqual(values);
      expect(file.tensor(name)).toEqual({ dtype, shape: [1], bytes: own.length, file: path });
      expect([...(await file.readRaw(name))]).toEqual(own);
    }
    expect([...(await file.read('f16', { as: 'float32' })).data]).toEqual([1.5]);
    expect([...(await file.read('bool', { as: 'int64' })).data]).toEqual([1n]);
    await expect(file.read('f32', { as: 'int32' })).rejects.toMatchObject({ code: 'bad-option' });
    await file.close();
  });
});

const dtypes: readonly DType[] = ['float32', 'float64', 'float16', 'int32', 'int64', 'bool', 'uint8'];

const arrays: fc.Arbitrary<NDArray> = fc
  .record({ dtype: fc.constantFrom(...dtypes), shape: fc.array(fc.nat(4), { maxLength: 3 }), seed: fc.nat() })
  .map(({ dtype, shape, seed }) => {
    const value = ndarray(dtype, shape, allocate(dtype, sizeOf(shape)));
    const bytes = bytesOf(value);
    for (let i = 0; i < bytes.length; i++) bytes[i] = dtype === 'bool' ? (seed >> i) & 1 : (seed * (i + 7) * 31) >> 3;
    return value;
  });

const tensors: fc.Arbitrary<readonly NamedArray[]> = fc.uniqueArray(
  fc.record({ name: fc.string({ unit: 'grapheme' }).filter((name) => name !== '__metadata__'), array: arrays }),
  { selector: ({ name }) => name, maxLength: 8 },
);

describe('round trips', () => {
  it('keep names, types, shapes, bytes and metadata, in one file or in shards', async () => {
    const metadata = fc.dictionary(fc.string({ minLength: 1 }), fc.string());
    await fc.assert(
      fc.asyncProperty(tensors, metadata, fc.constantFrom(1, 40, 1e9), async (given, extra, maxShardBytes) => {
        const own = await mkdtemp(join(folder, 'x'));
        await writeSafetensors(join(own, 'model.safetensors'), given, { metadata: extra, maxShardBytes });
        const file = await openSafetensors(own);
        expect({ ...file.metadata }).toEqual({ ...extra });
        expect([...file.names].sort()).toEqual(given.map(({ name }) => name).sort());
        for (const { name, array: value } of given) {
          const read = await file.read(name);
          expect(read.dtype).toBe(value.dtype);
          expect(read.shape).toEqual(value.shape);
          expect(bytesOf(read)).toEqual(bytesOf(value));
          const [rows = 0, ...rest] = value.shape;
          if (rows > 0) {
            const width = bytesOf(value).length / rows;
            const slice = await file.readSlice(name, rows - 1, rows);
            expect(slice.shape).toEqual([1, ...rest]);
            expect(bytesOf(slice)).toEqual(bytesOf(value).slice((rows - 1) * width));
          }
        }
        await file.close();
      }),
      { numRuns: 60, examples: [[[], JSON.parse('{"__proto__":"a"}'), 1]] },
    );
  });

  it('store floats in the type asked for, and leave integers alone', async () => {
    const path = join(folder, 'a.safetensors');
    const given = [
      { name: 'f32', array: array([1, 1 / 3, -65504]) },
      { name: 'f64', array: array([1 / 3], [1], 'float64') },
      { name: 'f16', array: castArray(array([0.25]), 'float16') },
      { name: 'ids', array: array([7], [1], 'int64') },
    ];
    await writeSafetensors(path, given, { dtype: 'BF16' });
    const file = await openSafetensors(path);
    expect(file.names.map((name) => [name, file.tensor(name).dtype])).toEqual([
      ['ids', 'I64'],
      ['f16', 'BF16'],
      ['f32', 'BF16'],
      ['f64', 'BF16'],
    ]);
    expect([...(await file.read('f32')).data]).toEqual([1, 0.333984375, -65536]);
    expect([...(await file.read('f16')).data]).toEqual([0.25]);
    await file.close();
  });
});

describe('shards', () => {
  const values = (n: number): NamedArray[] =>
    Array.from({ length: n }, (_, i) => ({ name: `layer.${i}`, array: array([i, i + 0.5]) }));

  it('are named and indexed as transformers does, and replace what was there before', async () => {
    const path = join(folder, 'model.safetensors');
    await writeSafetensors(path, values(4), { maxShardBytes: 8 });
    expect((await readdir(folder)).length).toBe(5);
    await writeSafetensors(path, values(4), { maxShardBytes: 16 });
    expect((await readdir(folder)).sort()).toEqual([
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
    ]);
    expect(JSON.parse(await readFile(`${path}.index.json`, 'utf8'))).toEqual({
      metadata: { total_size: 32 },
      weight_map: {
        'layer.0': 'model-00001-of-00002.safetensors',
        'layer.1': 'model-00001-of-00002.safetensors',
        'layer.2': 'model-00002-of-00002.safetensors',
        'layer.3': 'model-00002-of-00002.safetensors',
      },
    });
    await writeSafetensors(path, values(1));
    expect(await readdir(folder)).toEqual(['model.safetensors']);
  });

  it('hold one lazy tensor in memory at a time, and are not there when one fails', async () => {
    const path = join(folder, 'model.safetensors');
    let open = 0;
    const lazy = (fails: boolean) =>
      values(6).map(({ name, array: value }, i) => ({
        name,
        dtype: value.dtype,
        shape: value.shape,
        read: async () => {
          expect(open++).toBe(i);
          if (fails && i === 4) throw new Error('the source is gone');
          return value;
        },
      }));
    await writeSafetensors(path, lazy(false));
    const before = await readFile(path);
    open = 0;
    await expect(writeSafetensors(path, lazy(true), { maxShardBytes: 8 })).rejects.toThrow('the source is gone');
    expect(await readdir(folder)).toEqual(['model.safetensors']);
    expect(Buffer.compare(before, await readFile(path))).toBe(0);
  });

  it.each([
    ['a shard that is not there', { a: 'gone.safetensors' }, 'not-found', 'gone.safetensors'],
    ['a tensor that its shard does not hold', { a: 'x.safetensors', b: 'x.safetensors' }, 'bad-file', "'b'"],
    ['a file outside of the folder', { a: '../x.safetensors' }, 'bad-file', "'a'"],
    ['a file that is a number', { a: 3 }, 'bad-file', "'a'"],
    ['no tensors', {}, 'bad-file', 'names no tensors'],
    ['no weight_map', undefined, 'bad-file', 'weight_map'],
  ])('are refused when the index names %s', async (_, map, code, says) => {
    await writeSafetensors(join(folder, 'x.safetensors'), [{ name: 'a', array: array([1]) }]);
    await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
    await expect(openSafetensors(folder)).rejects.toMatchObject({ code, message: expect.stringContaining(says) });
  });
});

describe('bad files', () => {
  const a = (begin: number, end: number, shape: readonly unknown[] = [1], dtype: unknown = 'F32') => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  });
  const four = [0, 0, 0, 0];
  it.each<[string, Uint8Array, string]>([
    ['is too short', Uint8Array.of(1, 2, 3), '3 bytes'],
    ['has a header longer than itself', fileOf({ a: a(0, 4) }, four, 1000), '1000 bytes long'],
    ['has a header beyond all measure', fileOf({}, [], 2 ** 40), 'more than the 100000000 allowed'],
    ['is text', new TextEncoder().encode('Once upon a time'), 'header would be'],
    ['has no JSON', fileOf('{"a": ', four), 'not valid JSON'],
    ['has a header that does not begin with a brace', fileOf(' {}', []), "does not begin with '{'"],
    ['has invalid UTF-8', fileOf('{}', []).map((byte, i) => (i === 9 ? 0xff : byte)), 'not UTF-8'],
    [
      'names a tensor twice',
      fileOf(`{"a":${JSON.stringify(a(0, 4))},"\\u0061":${JSON.stringify(a(0, 4))}}`, four),
      "'a' twice",
    ],
    ['has an unknown type', fileOf({ w: a(0, 4, [1], 'F31') }, four), '\'w\' has the unknown type "F31"'],
    ['has a negative size', fileOf({ w: a(0, 4, [-1]) }, four), "'w' has the impossible shape [-1]"],
    ['has a broken size', fileOf({ w: a(0, 4, [0.5]) }, four), "'w' has the impossible shape"],
    ['has no offsets', fileOf({ w: { dtype: 'F32', shape: [1] } }, four), "'w' has the impossible offsets"],
    ['ends before it begins', fileOf({ w: a(4, 0) }, four), "'w' ends at byte 0, before it begins at 4"],
    ['points past the end', fileOf({ w: a(0, 8, [2]) }, four), "'w' ends at byte 8 of its data, which has only 4"],
    ['has another size than its shape', fileOf({ w: a(0, 4, [2]) }, four), "'w' is F32 [2], 8 bytes, and has 4"],
    ['has an enormous shape', fileOf({ w: a(0, 4, [2 ** 50, 2 ** 50]) }, four), "'w' is F32"],
    ['overlaps', fileOf({ v: a(0, 4), w: a(2, 6) }, [...four, 0, 0]), "'w' begins at byte 2, inside of tensor 'v'"],
    ['has a hole', fileOf({ v: a(0, 4), w: a(5, 9) }, [...four, ...four, 0]), "1 bytes before tensor 'w'"],
    ['has bytes left over', fileOf({ v: a(0, 4) }, [...four, 0]), '1 bytes at its end'],
    ['has a tensor that is a list', fileOf({ w: [1] }, []), "'w' is not an object"],
    ['has metadata that are no strings', fileOf({ __metadata__: { x: 1 } }, []), "'x', which is not a string"],
  ])('are refused when one %s', async (_, bytes, says) => {
    const path = join(folder, 'bad.safetensors');
    await writeFile(path, bytes);
    await expect(openSafetensors(path)).rejects.toMatchObject({
      code: 'bad-file',
      message: expect.stringContaining(says),
    });
    await expect(openSafetensors(path)).rejects.toThrow(path);
    await expect(openSafetensors(bytes)).rejects.toThrow(says);
  });

  it('never pass: any cut of a good file is refused', async () => {
    const path = join(folder, 'a.safetensors');
    await writeSafetensors(path, [{ name: 'a', array: array([1, 2, 3]) }]);
    const whole = new Uint8Array(await readFile(path));
    for (let length = 0; length < whole.length; length++) {
      await expect(openSafetensors(whole.subarray(0, length))).rejects.toMatchObject({ code: 'bad-file' });
    }
  });

  it('never pass: any changed header byte gives a file that opens whole or a sentence', async () => {
    const path = join(folder, 'a.safetensors');
    await writeSafetensors(path, [
      { name: 'a', array: array([1, 2, 3]) },
      { name: 'b', array: array([1], [1], 'uint8') },
    ]);
    const whole = new Uint8Array(await readFile(path));
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 14), fc.nat(255), async (at, byte) => {
        const changed = whole.slice();
        changed[at] = byte;
        try {
          const file = await openSafetensors(changed);
          for (const name of file.names) expect((await file.readRaw(name)).length).toBe(file.tensor(name).bytes);
        } catch (error) {
          expect(error).toMatchObject({ name: 'TesseraError', code: 'bad-file' });
        }
      }),
      { numRuns: 400 },
    );
  });
});

describe('bad requests', () => {
  it('name the tensor that is not there, and some that are', async () => {
    const path = join(folder, 'a.safetensors');
    await writeSafetensors(path, [{ name: 'model.layers.0.weight', array: array([1, 2], [2, 1]) }]);
    const file = await openSafetensors(path);
    await expect(file.read('layers.0.weight')).rejects.toMatchObject({
      code: 'not-found',
      hint: expect.stringContaining('model.layers.0.weight'),
    });
    for (const [start, end] of [
      [0, 3],
      [-1, 1],
      [2, 1],
      [0.5, 1],
    ] as const) {
      await expect(file.readSlice('model.layers.0.weight', start, end)).rejects.toMatchObject({ code: 'bad-shape' });
    }
    await file.close();
  });

  it.each<[string, readonly NamedArray[], string]>([
    [
      'two tensors of one name',
      [
        { name: 'a', array: array([1]) },
        { name: 'a', array: array([2]) },
      ],
      'bad-input',
    ],
    ['a reserved name', [{ name: '__metadata__', array: array([1]) }], 'bad-input'],
  ])('to write %s leave nothing', async (_, given, code) => {
    await expect(writeSafetensors(join(folder, 'a.safetensors'), given)).rejects.toMatchObject({ code });
    expect(await readdir(folder)).toEqual([]);
  });

  it('to write a lazy tensor that is another than it said leave nothing', async () => {
    const lazy = { name: 'a', dtype: 'float32', shape: [3], read: () => array([1, 2]) } as const;
    await expect(writeSafetensors(join(folder, 'a.safetensors'), [lazy])).rejects.toMatchObject({
      code: 'mismatch',
      message: "Tensor 'a' was announced as float32 [3] and is float32 [2].",
    });
    expect(await readdir(folder)).toEqual([]);
  });

  it('stop on a signal, and find no weights in an empty folder', async () => {
    const signal = AbortSignal.abort();
    const given = [{ name: 'a', array: array([1]) }];
    await expect(writeSafetensors(join(folder, 'a.safetensors'), given, { signal })).rejects.toMatchObject({
      code: 'aborted',
    });
    await expect(openSafetensors(folder)).rejects.toMatchObject({ code: 'not-found' });
    await expect(openSafetensors(join(folder, 'none'))).rejects.toMatchObject({ code: 'not-found' });
  });
});
