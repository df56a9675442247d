import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readModelFolder, writeModelFolder } from 'tessera-kit/formats';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { array } from '../../dist/tensor/ndarray.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-model-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const config = { model_type: 'llama', hidden_size: 2 };
const weights = [{ name: 'model.norm.weight', array: array([1, 2]) }];

describe('a model folder', () => {
  it('is read as it was written', async () => {
    const path = join(folder, 'model');
    await writeModelFolder(path, {
      config,
      generationConfig: { eos_token_id: 0 },
      tokenizerConfig: { tokenizer_class: 'PreTrainedTokenizerFast' },
      files: { 'tokenizer.json': { version: '1.0' }, 'merges.txt': 'a b\n', 'tokenizer.model': Uint8Array.of(1, 2) },
      weights,
      more: async (temporary) => {
        await mkdir(join(temporary, 'onnx'));
        await writeFile(join(temporary, 'onnx', 'model.onnx'), 'x');
      },
    });
    const model = await readModelFolder(path);
    expect(model.config).toEqual(config);
    expect(model.generationConfig).toEqual({ eos_token_id: 0 });
    expect(model.tokenizerConfig).toEqual({ tokenizer_class: 'PreTrainedTokenizerFast' });
    expect(model.tokenizerPath).toBe(join(path, 'tokenizer.json'));
    expect(model.weights.metadata).toEqual({ format: 'pt' });
    expect([...(await model.weights.read('model.norm.weight')).data]).toEqual([1, 2]);
    await model.close();
    expect(await readFile(join(path, 'config.json'), 'utf8')).toBe(
      '{\n  "model_type": "llama",\n  "hidden_size": 2\n}\n',
    );
    expect(await readFile(join(path, 'onnx', 'model.onnx'), 'utf8')).toBe('x');
    expect(await readdir(folder)).toEqual(['model']);
  });

  it('replaces an older model whole, with nothing of it left', async () => {
    const path = join(folder, 'model');
    await writeModelFolder(path, { config, weights, maxShardBytes: 1, files: { 'merges.txt': '' } });
    await writeModelFolder(path, { config: { ...config, hidden_size: 4 }, weights });
    expect((await readdir(path)).sort()).toEqual(['config.json', 'model.safetensors']);
    expect(await readdir(folder)).toEqual(['model']);
  });

  it('stays as it was when writing fails', async () => {
    const path = join(folder, 'model');
    await writeModelFolder(path, { config, weights });
    const more = async (): Promise<void> => {
      throw new Error('no export');
    };
    await expect(writeModelFolder(path, { config: {}, weights, more })).rejects.toThrow('no export');
    expect((await readModelFolder(path)).config).toEqual(config);
    expect(await readdir(folder)).toEqual(['model']);
  });

  it('is not written over what is not a model', async () => {
    await writeFile(join(folder, 'thesis.txt'), 'years of work');
    await expect(writeModelFolder(folder, { config, weights })).rejects.toMatchObject({
      code: 'bad-input',
      message: expect.stringContaining('thesis.txt'),
    });
    await expect(writeModelFolder(join(folder, 'thesis.txt'), { config, weights })).rejects.toMatchObject({
      code: 'bad-input',
    });
    expect(await readdir(folder)).toEqual(['thesis.txt']);
  });

  it('is written into an empty folder', async () => {
    await writeModelFolder(folder, { config, weights });
    expect((await readdir(folder)).sort()).toEqual(['config.json', 'model.safetensors']);
  });

  it('has its own tokenizer file found', async () => {
    await writeModelFolder(folder, { config, weights, files: { 'tessera-tokenizer.json': {} } });
    const model = await readModelFolder(folder);
    expect(model.tokenizerPath).toBe(join(folder, 'tessera-tokenizer.json'));
    await model.close();
  });
});

describe('what is no model folder', () => {
  it.each<[string, Readonly<Record<string, string>>, string, string, RegExp]>([
    ['nothing', {}, 'not-found', 'is not a model folder: it has no config.json', /^$/],
    ['weights alone', { 'model.safetensors': '' }, 'not-found', 'weights and no config.json', /Fetch config.json/],
    ['an adapter', { 'adapter_config.json': '{}' }, 'not-found', 'an adapter, not a model', /Merge it/],
    ['no weights', { 'config.json': '{}' }, 'not-found', 'no weights that are read', /Fetch its/],
    ['other weights', { 'config.json': '{}', 'model.gguf': '' }, 'not-found', 'no weights', /model.gguf/],
    ['an empty checkpoint', { 'config.json': '{}', 'pytorch_model.bin': '' }, 'bad-file', 'has 0 bytes', /^$/],
    ['a broken config', { 'config.json': '{' }, 'bad-file', 'config.json is not valid JSON', /^$/],
    ['a config that is a list', { 'config.json': '[]' }, 'bad-file', 'must hold a JSON object', /^$/],
    ['broken weights', { 'config.json': '{}', 'model.safetensors': 'x' }, 'bad-file', '1 bytes, too few', /^$/],
  ])('says so: %s', async (_, files, code, says, hint) => {
    for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
    const error = await readModelFolder(folder).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code, message: expect.stringContaining(says) });
    expect(Reflect.get(error as object, 'hint') ?? '').toMatch(hint);
  });

  it('says so: a path that is not there, and a file', async () => {
    await expect(readModelFolder(join(folder, 'none'))).rejects.toMatchObject({ code: 'not-found' });
    await writeFile(join(folder, 'file'), '');
    await expect(readModelFolder(join(folder, 'file'))).rejects.toThrow('is a file');
  });
});
