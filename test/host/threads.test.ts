import { afterEach, describe, expect, it } from 'vitest';
import { cores, memoryUsage, parentPort, platform, startWorker, type WorkerHandle } from '../../dist/host/node.js';

const nodeHalf = new URL('../../dist/host/node.js', import.meta.url).href;
let worker: WorkerHandle | undefined;
afterEach(() => worker?.terminate());

/** A thread whose source is given; it finds the host's functions as `host`. */
function start(source: string): WorkerHandle {
  const module = `import * as host from ${JSON.stringify(nodeHalf)};\n${source}`;
  worker = startWorker(new URL(`data:text/javascript,${encodeURIComponent(module)}`), { name: 'test' });
  return worker;
}

const message = (handle: WorkerHandle): Promise<unknown> => new Promise((resolve) => handle.onMessage(resolve));
const failure = (handle: WorkerHandle): Promise<Error> => new Promise((resolve) => handle.onError(resolve));

describe('threads', () => {
  it('moves buffers there and back without copies', async () => {
    const handle = start('const port = host.parentPort(); port.onMessage((a) => port.postMessage(a, [a.buffer]));');
    const values = Float32Array.of(1, 2, 3);
    const answer = message(handle);
    handle.postMessage(values, [values.buffer]);
    expect(values.length).toBe(0);
    expect(await answer).toEqual(Float32Array.of(1, 2, 3));
  });

  it('shares what is shared, also when it is named for a transfer', async () => {
    const handle = start(
      'const port = host.parentPort(); port.onMessage((a) => { a[0] = 7; port.postMessage("done"); });',
    );
    const shared = new Int32Array(new SharedArrayBuffer(4));
    const answer = message(handle);
    handle.postMessage(shared, [shared.buffer]);
    await answer;
    expect(shared[0]).toBe(7);
  });

  it('tells of an error in the thread', async () => {
    const handle = start('host.parentPort().onMessage(() => { throw new TypeError("broken"); });');
    const failed = failure(handle);
    handle.postMessage(0);
    expect(await failed).toMatchObject({ message: 'broken' });
  });

  it('tells that the thread did not start or ended by itself', async () => {
    expect((await failure(startWorker(new URL('file:///nowhere/at-all.js')))).message).toContain('at-all');
    expect((await failure(start('import process from "node:process"; process.exit(3);'))).message).toContain('code 3');
  });

  it('ends when told to, in silence, and by itself when its port is closed', async () => {
    const handle = start('host.parentPort().onMessage(() => undefined);');
    let failures = 0;
    handle.onError(() => failures++);
    await handle.terminate();
    expect(failures).toBe(0);
    const closing = start('const port = host.parentPort(); port.onMessage(() => port.close()); port.postMessage(1);');
    await message(closing);
    closing.postMessage(0);
    await closing.terminate();
  });

  it('has no parent outside of a thread', () => {
    expect(() => parentPort()).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });
});

it('knows its machine', () => {
  expect(cores()).toBeGreaterThanOrEqual(1);
  expect(memoryUsage()).toBeGreaterThan(1e7);
  expect(platform).toMatch(/^node \d+/);
});
