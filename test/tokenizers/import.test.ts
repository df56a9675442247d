import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

it('loads no tensor runtime', async () => {
  // A hook in another process writes down every module that is resolved.
  const hook = `export async function resolve(name, context, next) {
    const found = await next(name, context);
    process._rawDebug(found.url);
    return found;
  }`;
  const script = `
    import { register } from 'node:module';
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hook)}));
    const { byteTokenizer } = await import('tessera-kit/tokenizers');
    if (byteTokenizer().encode('a')[0] !== 97) throw new Error('wrong');`;
  const root = new URL('../../', import.meta.url);
  const { stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: root,
  });
  const loaded = stderr.split('\n').filter((line) => line !== '');
  expect(loaded.some((url) => url.endsWith('/dist/tokenizers/bpe.js'))).toBe(true);
  expect(loaded.filter((url) => /onnxruntime|protobuf|\/dist\/(tensor|nn)\//.test(url))).toEqual([]);
});
