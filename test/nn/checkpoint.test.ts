import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listCheckpoints, readCheckpoint, readRun, readTree, train, writeCheckpoint, writeTree } from 'tessera-kit/nn';
import { array } from 'tessera-kit/tensor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openRun } from '../../dist/nn/run-folder.js';
import { start } from './killed-run.mjs';
import { examples, flat, follow, perceptron, squares } from './models.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-checkpoint-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const at = (...names: string[]): string => join(folder, ...names);

const tree = {
  blocks: [{ weight: array([1, 2, 3, 4], [2, 2]) }, { weight: array([5], [1]), steps: array([7], [], 'int64') }],
  none: undefined,
};

describe('trees in files', () => {
  it('come back as they were, named by their paths', async () => {
    await writeTree(at('a.safetensors'), tree);
    expect(await readTree(at('a.safetensors'), tree)).toEqual(tree);
  });

  it('are refused with the tensor that does not fit', async () => {
    await writeTree(at('a.safetensors'), tree);
    const [first, second] = tree.blocks;
    const refused = (like: unknown) => expect(readTree(at('a.safetensors'), like)).rejects;
    await refused({ ...tree, head: array([1]) }).toThrow("has no tensor 'head', which the model needs");
    await refused({ blocks: [first] }).toThrow("holds the tensor 'blocks.1");
    await refused({ blocks: [{ weight: array([1, 2], [1, 2]) }, second] }).toThrow("Tensor 'blocks.0.weight' in");
    await refused({ blocks: [{ weight: array([1, 2], [1, 2]) }, second] }).toMatchObject({ code: 'mismatch' });
    await refused({ blocks: [{ weight: array([1, 2, 3, 4], [2, 2], 'int32') }, second] }).toThrow(
      'holds F32 elements; the model needs int32',
    );
  });

  it('are refused when they are cut off', async () => {
    await writeTree(at('a.safetensors'), tree);
    await truncate(at('a.safetensors'), 300);
    await expect(readTree(at('a.safetensors'), tree)).rejects.toMatchObject({ code: 'bad-file' });
    await truncate(at('a.safetensors'), 5);
    await expect(readTree(at('a.safetensors'), tree)).rejects.toMatchObject({ code: 'bad-file' });
  });
});

describe('checkpoints', () => {
  it('are whole or not there', async () => {
    const trees = {
      model: () => tree,
      optimizer: (): never => {
        throw new Error('stopped half way');
      },
    };
    await expect(writeCheckpoint(at('step-1'), { trees, trainer: { step: 1 } })).rejects.toThrow('half way');
    expect(await readdir(folder)).toEqual([]);
  });

  it('replace an older one of the same step', async () => {
    await writeCheckpoint(at('step-1'), { trees: { model: () => tree, objective: () => ({}) }, trainer: { step: 1 } });
    const changed = { ...tree, blocks: tree.blocks.slice(0, 1) };
    await writeCheckpoint(at('step-1'), { trees: { model: () => changed }, trainer: { step: 2 } });
    expect(await readCheckpoint(at('step-1'), { model: changed, objective: {} })).toEqual({
      trees: { model: changed, objective: {} },
      trainer: { step: 2 },
    });
    expect(await readdir(folder)).toEqual(['step-1']);
  });

  it('are refused with NaN in them, and where files are missing', async () => {
    const trees = { model: () => ({ w: array([1, Number.NaN]) }) };
    await expect(writeCheckpoint(at('step-1'), { trees, trainer: {} })).rejects.toThrow(
      "The tensor 'w' of the model is no longer finite",
    );
    await writeCheckpoint(at('step-1'), { trees: { model: () => tree }, trainer: {} });
    await expect(readCheckpoint(at('step-1'), { model: tree, ema: tree })).rejects.toThrow('has no ema.safetensors');
  });

  it('cannot be written where a file is in the way', async () => {
    await writeFile(at('file'), '');
    await expect(openRun(at('file', 'run'), {})).rejects.toMatchObject({ code: 'no-space' });
    await expect(
      writeCheckpoint(at('file', 'step-1'), { trees: { model: () => tree }, trainer: {} }),
    ).rejects.toMatchObject({ code: 'no-space' });
  });
});

describe('run folders', () => {
  it('are not taken for other folders', async () => {
    expect(await readRun(folder)).toBeUndefined();
    await writeFile(at('config.json'), '{"model_type":"llama"}');
    await expect(readRun(folder)).rejects.toThrow('something else than a training run');
    await expect(openRun(folder, {}, { fresh: true })).rejects.toThrow('something else than a training run');
    expect(await readFile(at('config.json'), 'utf8')).toContain('llama');
  });

  it('forget lines after the checkpoint, a torn last line and checkpoints that were never whole', async () => {
    const run = await openRun(folder, { seed: 1 });
    for (let step = 1; step <= 5; step++) run.log({ step, loss: 1 / step });
    await run.save(3, { trees: { model: () => tree }, trainer: { step: 3 } }, undefined);
    await writeFile(at('metrics.jsonl'), '{"step":6,"lo', { flag: 'a' });
    await mkdir(at('checkpoints', '.step-6.0123456789ab.tmp'));
    const again = await openRun(folder, { seed: 1 });
    expect(again.checkpoints).toEqual([{ step: 3, path: at('checkpoints', 'step-3') }]);
    expect(
      (await readFile(at('metrics.jsonl'), 'utf8'))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).step),
    ).toEqual([1, 2, 3]);
    expect(await readdir(at('checkpoints'))).toEqual(['step-3']);
  });

  it('tell of a checkpoint of another model which tensor does not fit', async () => {
    const options = {
      model: perceptron(),
      objective: squares,
      source: examples(16),
      steps: 4,
      rate: 0.01,
      threads: 1,
      out: folder,
    };
    await follow(train(options));
    await writeTree(at('checkpoints', 'step-4', 'model.safetensors'), { hidden: { weight: array([1]) } });
    await expect(follow(train(options))).rejects.toThrow("Tensor 'hidden.weight' in");
    await truncate(at('checkpoints', 'step-4', 'model.safetensors'), 70);
    await expect(follow(train(options))).rejects.toMatchObject({ code: 'bad-file' });
  });

  it('survive a process that is killed, and give the losses that it would have given', async () => {
    const script = fileURLToPath(new URL('./killed-run.mjs', import.meta.url));
    const { signal } = spawnSync(process.execPath, [script, folder, '13'], { timeout: 50_000 });
    expect(signal).toBe('SIGKILL');
    expect((await listCheckpoints(folder)).map(({ step }) => step)).toEqual([5, 10]);
    const whole = await follow(start(undefined));
    const rest = await follow(start(folder));
    expect(rest.events[0]).toMatchObject({ step: 10, resumed: true });
    expect(rest.losses).toEqual(whole.losses.slice(10));
    expect(flat(await rest.end.parameters())).toEqual(flat(await whole.end.parameters()));
    expect(flat(await rest.end.averaged?.())).toEqual(flat(await whole.end.averaged?.()));
  });
});
