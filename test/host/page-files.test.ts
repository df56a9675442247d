/** The files of a page behave as those of Node: the same calls on both, the same results. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { host as page } from '../../dist/host/browser.js';
import { host as node } from '../../dist/host/node.js';
import type { Host } from '../../dist/host/types.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-page-'));
  await page.makeDirectory(folder);
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
  await page.remove(folder);
});

const codeOf = (error: unknown): unknown =>
  typeof error === 'object' && error !== null && 'code' in error ? error.code : error;
const names = async (host: Host, path: string): Promise<readonly string[]> =>
  (await host.listDirectory(path)).map(({ name, kind }) => `${kind} ${name}`);

const CASES: Readonly<Record<string, (host: Host, at: (name: string) => string) => Promise<unknown>>> = {
  'a whole file': async (host, at) => {
    await host.writeFileAtomic(at('a/b.txt'), 'one');
    return [
      await host.readTextFile(at('a/../a/b.txt')),
      (await host.stat(at('a/b.txt')))?.size,
      await names(host, at('a')),
    ];
  },
  'a writer, cut and committed': async (host, at) => {
    const writer = await host.createWriter(at('w'));
    await writer.write(Uint8Array.of(1, 2, 3));
    await writer.write(Uint8Array.of(4, 5));
    await writer.truncateTo(2);
    const before = await host.stat(at('w'));
    await writer.write(Uint8Array.of(9));
    await writer.commit();
    return [
      before,
      writer.position,
      [...(await host.readFile(at('w')))],
      codeOf(await writer.write(Uint8Array.of(1)).catch((e) => e)),
    ];
  },
  'a writer that was given up': async (host, at) => {
    const writer = await host.createWriter(at('w'));
    await writer.write(Uint8Array.of(1));
    await writer.abort();
    return host.stat(at('w'));
  },
  'lines added': async (host, at) => {
    await host.appendFile(at('log'), 'a\n');
    await host.appendFile(at('log'), 'b\n');
    return host.readTextFile(at('log'));
  },
  'random access': async (host, at) => {
    await host.writeFileAtomic(at('r'), Uint8Array.of(1, 2, 3, 4));
    const file = await host.openRandomAccess(at('r'));
    const read = [file.size, ...(await file.read(1, 2)), codeOf(await file.read(3, 2).catch((error) => error))];
    await file.close();
    return read;
  },
  'a stream from a place on': async (host, at) => {
    await host.writeFileAtomic(at('s'), 'hello');
    let text = '';
    for await (const chunk of host.openByteStream(at('s'), { start: 2 })) text += new TextDecoder().decode(chunk);
    return text;
  },
  'folders renamed and replaced': async (host, at) => {
    await host.writeFileAtomic(at('new/x/y.txt'), 'y');
    await host.writeFileAtomic(at('old/z.txt'), 'z');
    const refused = codeOf(await host.rename(at('new'), at('old')).catch((error) => error));
    await host.replaceDirectory(at('new'), at('old'));
    await host.rename(at('old/x/y.txt'), at('old/w.txt'));
    return [refused, await names(host, at('')), await names(host, at('old')), await names(host, at('old/x'))];
  },
  'what is removed': async (host, at) => {
    await host.writeFileAtomic(at('d/e/f'), '1');
    await host.remove(at('d/e'));
    await host.remove(at('nothing'));
    return [await names(host, at('d')), await host.stat(at('d/e/f'))];
  },
  'hidden folders beside a path': async (host, at) => {
    const made = await host.makeTemporarySibling(at('run'));
    return [host.baseName(made).startsWith('.run.'), (await host.listDirectory(made)).length];
  },
  patterns: async (host, at) => {
    for (const name of ['a.txt', 'b.md', 'in/c.txt']) await host.writeFileAtomic(at(name), '');
    return (await host.glob([at('*.txt'), at('**/c.*')])).map((path) => path.slice(at('').length));
  },
  errors: async (host, at) => {
    await host.writeFileAtomic(at('file'), '');
    await host.makeDirectory(at('folder'));
    const tries = [
      host.readFile(at('folder')),
      host.readFile(at('absent')),
      host.listDirectory(at('absent')),
      host.listDirectory(at('file')),
      host.writeFileAtomic(at('folder'), ''),
      host.writeFileAtomic(at('file/inside'), ''),
      host.makeDirectory(at('file')),
      host.rename(at('absent'), at('there')),
      host.replaceDirectory(at('absent'), at('there')),
    ];
    return Promise.all(tries.map((tried) => tried.then(() => 'fine', codeOf)));
  },
};

describe('files of a page', () => {
  it.each(Object.entries(CASES))('%s: as in Node', async (_name, run) => {
    const at = (name: string): string => join(folder, name);
    expect(await run(page, at)).toEqual(await run(node, at));
  });
});
