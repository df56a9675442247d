import { mkdtemp, readdir, readFile as readPlain, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as browser from '../../dist/host/browser.js';
import { host } from '../../dist/host/node.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-host-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const at = (name: string): string => join(folder, name);

async function gather(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

describe('writing', () => {
  it('shows a file only when it is whole', async () => {
    const writer = await host.createWriter(at('deep/er/a.bin'));
    await writer.write(Uint8Array.of(1, 2, 3));
    expect(await host.stat(at('deep/er/a.bin'))).toBeUndefined();
    await writer.truncateTo(1);
    await writer.write(Uint8Array.of(9));
    expect(writer.position).toBe(2);
    await writer.commit();
    expect([...(await host.readFile(at('deep/er/a.bin')))]).toEqual([1, 9]);
    expect(await readdir(at('deep/er'))).toEqual(['a.bin']);
  });

  it('leaves the old file when it is given up, also after a commit', async () => {
    await host.writeFileAtomic(at('a.txt'), 'old');
    const writer = await host.createWriter(at('a.txt'));
    await writer.write(Uint8Array.of(1));
    await writer.abort();
    await writer.abort();
    expect(await host.readTextFile(at('a.txt'))).toBe('old');
    await expect(writer.write(Uint8Array.of(1))).rejects.toMatchObject({ code: 'no-space' });
    expect(await readdir(folder)).toEqual(['a.txt']);
  });

  it('says that the disk is full and leaves nothing', async () => {
    // /dev/full is Linux's device on which every write fails with ENOSPC.
    if ((await host.stat('/dev/full')) === undefined) return;
    const { writingError } = await import('../../dist/host/node-errors.js');
    const cause = await writeFile('/dev/full', 'x').catch((error: unknown) => error);
    expect(writingError('a.bin', cause)).toMatchObject({ code: 'no-space', cause });
    expect(writingError('a.bin', cause).message).toBe('a.bin could not be written: the disk is full.');
  });

  it('removes the temporary file when the rename fails', async () => {
    await host.makeDirectory(at('taken'));
    const writer = await host.createWriter(at('taken'));
    await writer.write(Uint8Array.of(1));
    await expect(writer.commit()).rejects.toMatchObject({ code: 'no-space' });
    expect(await readdir(folder)).toEqual(['taken']);
  });

  it('refuses a path through a file', async () => {
    await host.writeFileAtomic(at('a.txt'), 'x');
    await expect(host.createWriter(at('a.txt/b.txt'))).rejects.toMatchObject({ code: 'no-space' });
  });

  it('puts a folder in the place of another one', async () => {
    await host.writeFileAtomic(at('model/old.txt'), 'old');
    const fresh = await host.makeTemporarySibling(at('model'));
    await host.writeFileAtomic(join(fresh, 'new.txt'), 'new');
    await host.replaceDirectory(fresh, at('model'));
    expect(await readdir(folder)).toEqual(['model']);
    expect(await readdir(at('model'))).toEqual(['new.txt']);
    await expect(host.replaceDirectory(at('nothing'), at('model'))).rejects.toMatchObject({ code: 'not-found' });
    expect(await readdir(at('model'))).toEqual(['new.txt']);
  });
});

describe('reading', () => {
  const content = Uint8Array.from({ length: 700_000 }, (_, i) => (i * i) % 251);

  it('streams plain files and gzip alike, from any byte of the content', async () => {
    await writeFile(at('plain'), content);
    const halves = [content.subarray(0, 300_000), content.subarray(300_000)];
    await writeFile(at('packed'), Buffer.concat(halves.map((half) => gzipSync(half)))); // two members
    for (const name of ['plain', 'packed']) {
      for (const start of [0, 1, 299_999, 699_999, 700_000, 800_000]) {
        const read = await gather(host.openByteStream(at(name), { start, chunkBytes: 1000 }));
        expect(Buffer.compare(read, content.subarray(start)), `${name} from ${start}`).toBe(0);
      }
    }
  });

  it('ends a stream that is left early without leaking the file', async () => {
    await writeFile(at('packed'), gzipSync(content));
    for await (const chunk of host.openByteStream(at('packed'))) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    const stopped = new AbortController();
    const stream = host.openByteStream(at('packed'), { signal: stopped.signal, chunkBytes: 10 });
    stopped.abort();
    await expect(gather(stream)).rejects.toMatchObject({ code: 'aborted' });
  });

  it.each([
    ['cut short', (packed: Uint8Array) => packed.subarray(0, packed.length - 20)],
    [
      'changed in the middle',
      (packed: Uint8Array) => packed.map((byte, i) => (i > 400 && i < 500 ? 255 - byte : byte)),
    ],
  ])('says that gzip is damaged when it was %s', async (_, damage) => {
    await writeFile(at('a.gz'), damage(new Uint8Array(gzipSync(content))));
    await expect(gather(host.openByteStream(at('a.gz')))).rejects.toMatchObject({
      code: 'bad-file',
      message: expect.stringContaining('a.gz is damaged gzip'),
    });
  });

  it('reads at any place and says where a file ends too early', async () => {
    await writeFile(at('a.bin'), content);
    const file = await host.openRandomAccess(at('a.bin'));
    expect(file.size).toBe(700_000);
    expect([...(await file.read(5, 3))]).toEqual([...content.subarray(5, 8)]);
    await expect(file.read(699_999, 2)).rejects.toMatchObject({ code: 'bad-file' });
    await file.close();
  });

  it.each([
    ['a missing file', 'none.txt', 'not-found'],
    ['a folder', '.', 'bad-input'],
    ['a path through a file', 'a.txt/b', 'not-found'],
  ])('says in a sentence that it cannot read %s', async (_, name, code) => {
    await writeFile(at('a.txt'), 'x');
    const path = at(name);
    await expect(host.readFile(path)).rejects.toMatchObject({ code, message: expect.stringContaining(path) });
    await expect(host.openRandomAccess(path)).rejects.toMatchObject({ code });
    await expect(gather(host.openByteStream(path))).rejects.toMatchObject({ code });
  });

  it('lists folders in order, telling links by what they point at', async () => {
    await writeFile(at('b.txt'), '');
    await symlink(folder, at('c'));
    await symlink(at('nowhere'), at('a'));
    expect(await host.listDirectory(folder)).toEqual([
      { name: 'a', kind: 'other', link: true },
      { name: 'b.txt', kind: 'file', link: false },
      { name: 'c', kind: 'directory', link: true },
    ]);
  });

  it('finds files by patterns', async () => {
    for (const name of ['x/b.txt', 'x/y/a.txt', 'x/c.md']) await host.writeFileAtomic(at(name), name);
    expect(await host.glob([at('x/*.txt'), at('**/*.txt')])).toEqual([at('x/b.txt'), at('x/y/a.txt')]);
    expect(await host.glob([at('*.nothing')])).toEqual([]);
  });

  it('refuses text that is not UTF-8', async () => {
    await writeFile(at('a.json'), Uint8Array.of(0xff));
    await expect(host.readTextFile(at('a.json'))).rejects.toMatchObject({ code: 'bad-file' });
  });
});

describe('the halves', () => {
  it('offer the same functions', () => {
    expect(Object.keys(browser.host).sort()).toEqual(Object.keys(host).sort());
  });

  it('keep Node out of the page', async () => {
    for (const name of ['browser', 'browser-files', 'error', 'types']) {
      expect(await readPlain(new URL(`../../dist/host/${name}.js`, import.meta.url), 'utf8')).not.toMatch(
        /from 'node:/,
      );
    }
  });

  it.each([
    ['/a/b/c.txt', 'c.txt', '/a/b'],
    ['c.txt', 'c.txt', '.'],
    ['/c', 'c', '/'],
    ['a/b/', 'b', 'a'],
  ])('take the path %s apart alike', (path, base, directory) => {
    for (const half of [host, browser]) {
      expect(half.baseName(path)).toBe(base);
      expect(half.directoryName(path)).toBe(directory);
    }
    expect(browser.joinPath('a', 'b/', 'c')).toBe(host.joinPath('a', 'b/', 'c'));
  });

  it('fetch gzip and plain bytes in a page', async () => {
    const text = 'A page has no files.';
    const packed = Buffer.from(gzipSync(text)).toString('base64');
    for (const base64 of [packed, Buffer.from(text).toString('base64')]) {
      const read = await gather(browser.openByteStream(`data:;base64,${base64}`, { start: 2 }));
      expect(new TextDecoder().decode(read)).toBe('page has no files.');
    }
  });
});
