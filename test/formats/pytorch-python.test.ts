import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPytorch } from 'tessera-kit/formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const python = '/usr/bin/python3';
const torch = spawnSync(python, ['-c', 'import torch'], { stdio: 'ignore' }).status === 0;

/** Writes the checkpoints and prints their numbers: a line of JSON, by file and tensor. */
const script = `
import json, sys, torch
folder = sys.argv[1]
torch.manual_seed(0)
base = torch.randn(4, 6)
views = {
    'plain': base, 'transposed': base.t(), 'column': base[:, 1], 'block': base[1:3, 2:5], 'strided': base[::2, ::3],
    'expanded': torch.arange(3).expand(2, 3), 'permuted': torch.randn(2, 3, 4).permute(2, 0, 1),
    'scalar': torch.tensor(2.5), 'empty': torch.zeros(0, 3), 'flipped': base.flip(0), 'channels': torch.randn(1, 3, 2, 2).contiguous(memory_format=torch.channels_last),
}
types = {str(t)[6:]: (torch.arange(5) * 3 - (0 if t in (torch.uint8, torch.bool) else 7)).to(t) for t in
    (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)}
model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Embedding(5, 2))
model.tied = torch.nn.Linear(2, 5, bias=False)
model.tied.weight = model[2].weight
optimizer = torch.optim.AdamW(model.parameters())
model[0](torch.ones(1, 3)).sum().backward()
optimizer.step()
parameters = {'own': torch.nn.Parameter(torch.randn(2, 2)), 'frozen': torch.nn.Parameter(torch.ones(1), requires_grad=False)}
training = {'model': model.state_dict(), 'optimizer': optimizer.state_dict(), 'epoch': 3, 'loss': 0.5, 'note': 'x', 'flags': [True, None],
    'type': torch.float16, 'device': torch.device('cpu'), 'size': torch.Size([1, 2]), 'names': {'a', 'b'}, 'bytes': b'ab', 'large': 2 ** 70}
said = {}
def numbers(held): return {name: [list(t.shape), t.detach().double().reshape(-1).tolist()] for name, t in held.items()}
for name, content, held in (('views', views, views), ('types', types, types), ('parameters', parameters, parameters), ('training', training, model.state_dict())):
    for protocol in (2, 3, 4, 5):
        torch.save(content, f'{folder}/{name}-{protocol}.pt', pickle_protocol=protocol)
        said[f'{name}-{protocol}.pt'] = numbers(held)
    torch.save(content, f'{folder}/{name}-older.pt', _use_new_zipfile_serialization=False)
    said[f'{name}-older.pt'] = numbers(held)
torch.save(torch.nn.Linear(1, 1), f'{folder}/module.pt')
torch.save({'sparse': torch.eye(2).to_sparse()}, f'{folder}/sparse.pt')
torch.save({'complex': torch.ones(2, dtype=torch.complex64)}, f'{folder}/complex.pt')
torch.jit.script(torch.nn.Linear(1, 1)).save(f'{folder}/script.pt')
print(json.dumps(said))
`;

type Said = Readonly<Record<string, Readonly<Record<string, readonly [number[], number[]]>>>>;

describe.skipIf(!torch)('what torch.save writes (skipped where /usr/bin/python3 has no torch)', () => {
  let folder = '';
  let said: Said = {};
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tessera-torch-'));
    const printed = execFileSync(python, ['-W', 'ignore', '-c', script, folder], { encoding: 'utf8', stdio: 'pipe' });
    said = JSON.parse(printed) as Said;
  }, 60_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each(['views', 'types', 'parameters', 'training'])(
    '%s: the same numbers, in every protocol and layout',
    async (name) => {
      for (const kind of ['2', '3', '4', '5', 'older']) {
        const own = `${name}-${kind}.pt`;
        const file = await openPytorch(join(folder, own));
        const expected = said[own] ?? {};
        expect([...file.names].sort(), own).toEqual(Object.keys(expected).sort());
        for (const [tensor, [shape, values]] of Object.entries(expected)) {
          const read = await file.read(tensor, { as: 'float64' });
          expect(read.shape, `${own} ${tensor}`).toEqual(shape);
          expect([...read.data], `${own} ${tensor}`).toEqual(values);
        }
        await file.close();
      }
    },
  );

  it('names the optimizer of a training checkpoint on request', async () => {
    const file = await openPytorch(join(folder, 'training-2.pt'), { part: 'optimizer.state' });
    expect(file.names).toContain('0.exp_avg');
    await file.close();
  });

  it.each([
    ['module.pt', 'bad-file', 'holds a `torch.nn.modules.linear.Linear`, which is no tensor; it was not read'],
    ['sparse.pt', 'unsupported', 'torch._utils._rebuild_sparse_tensor'],
    ['complex.pt', 'unsupported', 'torch.ComplexFloatStorage'],
    ['script.pt', 'unsupported', 'is a TorchScript program'],
  ])('refuses %s', async (name, code, says) => {
    await expect(openPytorch(join(folder, name))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(says),
    });
  });
});
