import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { array, bytesOf } from '../../dist/tensor/ndarray.js';
import { call, checkpoint, dictionary, named, type Pickled, tensor, text } from '../formats/pytorch-writer.js';
import { tessera } from './command.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-inspect-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const weight: Pickled = tensor({ storage: 'HalfStorage', key: '0', elements: 6, shape: [3, 2], strides: [1, 3] });
const storages = { 0: bytesOf(array([1, 2, 3])) };

describe('tessera inspect', () => {
  it.each(['model.pt', 'model.pth', 'pytorch_model.bin'])(
    'shows the tensors of %s, and of its folder',
    async (name) => {
      const path = join(folder, name);
      await writeFile(path, checkpoint(dictionary({ model: dictionary({ 'layer.weight': weight }) }), storages));
      const shown = tessera(['inspect', path]);
      expect(shown.status).toBe(0);
      expect(shown.stdout).toMatch(/layer\.weight +F16 +\[3, 2\] +6\n/);
      expect(shown.stdout).toContain("1 tensors, 6 numbers, 12 bytes, all under 'model'");
      // What training leaves beside the weights is no tensor, and not looked into.
      await writeFile(join(folder, 'training_args.bin'), 'anything');
      const json: unknown = JSON.parse(tessera(['inspect', folder, '--json']).stdout);
      const tensors = [{ name: 'layer.weight', dtype: 'F16', shape: [3, 2], parameters: 6, bytes: 12 }];
      expect(json).toEqual({ path: folder, [name]: { parameters: 6, bytes: 12, tensors } });
    },
  );

  it('says what a file holds that is no tensor, with exit code 2', async () => {
    const path = join(folder, 'model.bin');
    const value = dictionary({ w: weight, x: call(named('os', 'system'), text(`touch ${join(folder, 'ran')}`)) });
    await writeFile(path, checkpoint(value, storages));
    const { status, stdout, stderr } = tessera(['inspect', path]);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toContain('holds a `os.system`, which is no tensor; it was not read.');
  });
});
