import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { host as page } from '../../dist/host/browser.js';
import { host } from '../../dist/host/node.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-append-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('adds to a file, which is made with its folder when missing', async () => {
  await host.appendFile(join(folder, 'deep/lines.txt'), 'one\n');
  await host.appendFile(join(folder, 'deep/lines.txt'), new TextEncoder().encode('two\n'));
  expect(await readFile(join(folder, 'deep/lines.txt'), 'utf8')).toBe('one\ntwo\n');
});

it('says in a sentence what kept it from writing', async () => {
  await writeFile(join(folder, 'file'), '');
  await expect(host.appendFile(join(folder, 'file/lines.txt'), 'x')).rejects.toMatchObject({ code: 'no-space' });
  await expect(host.appendFile(folder, 'x')).rejects.toMatchObject({ code: 'no-space' });
  await page.appendFile('file', '');
  await expect(page.appendFile('file/lines.txt', 'x')).rejects.toMatchObject({ code: 'no-space' });
});
