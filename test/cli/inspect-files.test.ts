import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { encodePng, encodeWav } from 'tessera-kit/formats';
import {
  array,
  encodeOnnxFiles,
  exportProgram,
  gelu,
  matmul,
  type NDArray,
  random,
  type Tensor,
} from 'tessera-kit/tensor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tessera } from './command.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-inspect-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Writes a file and gives what the command shows of it, for people and as JSON. */
async function inspect(name: string, bytes: Uint8Array): Promise<{ readonly lines: string; readonly value: unknown }> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  const shown = tessera(['inspect', path]);
  expect(shown.stderr).toBe('');
  expect(shown.status).toBe(0);
  const json: { readonly [name: string]: unknown } = JSON.parse(tessera(['inspect', path, '--json']).stdout);
  expect(json.path).toBe(path);
  return { lines: shown.stdout, value: json[name] };
}

describe('tessera inspect', () => {
  it('shows the columns of a table, and its first rows', async () => {
    const columnData = [
      { name: 'text', data: ['one\ntwo', null, 'three', 'four'], type: 'STRING', nullable: true },
      { name: 'id', data: [1n, 2n ** 60n, 3n, 4n], type: 'INT64', nullable: false },
      {
        name: 'raw',
        data: [1, 2, 3, 4].map((value) => Uint8Array.of(value, value)),
        type: 'BYTE_ARRAY',
        nullable: false,
      },
    ] as const;
    const table = parquetWriteBuffer({
      columnData: columnData.map((column) => ({ ...column, data: [...column.data] })),
    });
    const { lines, value } = await inspect('a.parquet', new Uint8Array(table));
    expect(lines).toMatch(/text +string +or null +one two \| null \| three\n/);
    expect(lines).toContain('4 rows in 1 groups, ');
    expect(value).toMatchObject({
      rows: 4,
      columns: [
        { name: 'text', type: 'string', nullable: true },
        { name: 'id', type: 'int64', nullable: false },
        { name: 'raw', type: 'bytes', nullable: false },
      ],
      first: [
        { text: 'one\ntwo', id: 1, raw: '2 bytes' },
        { text: null, id: String(2n ** 60n), raw: '2 bytes' },
        { text: 'three', id: 3 },
      ],
    });
  });

  it('shows how a sound is stored and how long it is', async () => {
    const sound = encodeWav(array(new Array<number>(3000).fill(0.1), [2, 1500]), {
      sampleRate: 8000,
      encoding: 'pcm24',
    });
    const { lines, value } = await inspect('a.wav', sound);
    expect(lines).toMatch(/length +0\.188 s/);
    expect(value).toMatchObject({ encoding: 'pcm24', channels: 2, sampleRate: 8000, frames: 1500, seconds: 0.1875 });
  });

  it('shows the size and channels of a picture', async () => {
    const picture = await encodePng(array(new Array<number>(24).fill(9), [2, 3, 4], 'uint8'));
    const { lines, value } = await inspect('a.png', picture);
    expect(lines).toMatch(/size +3 x 2\n/);
    const about = { format: 'png', width: 3, height: 2, channels: 4, bits: 8, frames: 1, orientation: 1 };
    expect(value).toEqual({ ...about, bytes: picture.length });
  });

  it('shows what goes in and out of an ONNX model, and what it is made of', async () => {
    const lowered = exportProgram<{ readonly w: Tensor }, { readonly x: Tensor }, { readonly y: Tensor }>(
      ({ w }, { x }) => ({ out: { y: gelu(matmul(x, w)) } }),
      { state: { w: { dtype: 'float32', shape: [4, 2] } }, input: { x: { dtype: 'float32', shape: ['batch', 4] } } },
      { weights: new Map<string, NDArray>([['w', random(1).normal([4, 2])]]), metadata: { note: 'kept' } },
    );
    const [bytes = new Uint8Array()] = [...encodeOnnxFiles(lowered, 'model.onnx')].map((file) => file.bytes);
    const { lines, value } = await inspect('model.onnx', bytes);
    expect(lines).toMatch(/input +x +float32 +\[batch, 4\]\n/);
    expect(lines).toContain('note: kept');
    expect(value).toMatchObject({
      inputs: [{ name: 'x', dtype: 'float32', shape: ['batch', 4] }],
      outputs: [{ name: 'y', dtype: 'float32', shape: ['batch', 2] }],
      bytes: bytes.length,
      metadata: { note: 'kept' },
      externalFiles: [],
    });
    expect(value).toHaveProperty(
      'initializers',
      expect.arrayContaining([expect.objectContaining({ shape: [4, 2], bytes: 32 })]),
    );
  });

  it('reads a model of gigabytes, more than a file may have that is read at once', async () => {
    const varint = (value: number): number[] =>
      value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
    const size = 4e9;
    const described = [8, ...varint(size), 16, 2, 66, 1, 119, 74, ...varint(size)];
    const tensor = [42, ...varint(described.length + size), ...described];
    const start = [8, 8, 58, ...varint(tensor.length + size), ...tensor];
    const path = join(folder, 'large.onnx');
    await writeFile(path, Uint8Array.from(start));
    await truncate(path, start.length + size);
    const shown = tessera(['inspect', path]);
    expect([shown.status, shown.stderr]).toEqual([0, '']);
    expect(shown.stdout).toContain('1 weights of 4.0 GB');
  });

  it.each([
    ['a.parquet', 'no table', 'cannot be read as Parquet'],
    ['a.wav', 'RIFF....WAVE', 'cannot be read as WAV'],
    ['a.png', 'no picture at all', 'cannot be decoded as a picture'],
    ['a.onnx', 'no model', 'cannot be read as ONNX'],
  ])('says what is wrong with %s in a sentence, with exit code 2', async (name, content, says) => {
    const path = join(folder, name);
    await writeFile(path, content);
    const { status, stdout, stderr } = tessera(['inspect', path]);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toContain(`tessera: ${path} ${says}`);
  });
});

it('tessera tokenizer train reads the column that --column names', async () => {
  const path = join(folder, 'a.parquet');
  const body = ['the cat sat on the mat', 'the dog sat on the cat'];
  await writeFile(path, new Uint8Array(parquetWriteBuffer({ columnData: [{ name: 'body', data: body }] })));
  const out = join(folder, 'tokenizer.json');
  const given = ['tokenizer', 'train', '--text', path, '--vocabulary', '270', '--out', out];
  const wrong = tessera(given);
  expect(wrong.status).toBe(2);
  expect(wrong.stderr).toContain("has no column 'text'");
  expect(tessera([...given, '--column', 'body']).stderr).not.toContain('tessera:');
  expect(tessera([...given, '--field', 'body']).status).toBe(0);
});
