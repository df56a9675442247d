import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = new URL('../../', import.meta.url);

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}
interface Lock {
  readonly packages: Readonly<Record<string, Manifest & { readonly version?: string; readonly resolved?: string }>>;
}

function read<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(file, root), 'utf8'));
}

describe('ONNX Runtime', () => {
  const lock = read<Lock>('package-lock.json');
  const manifest = read<Manifest>('package.json');
  const native = Object.keys(lock.packages).filter((path) => path.endsWith('node_modules/onnxruntime-node'));
  const version = lock.packages['node_modules/onnxruntime-node']?.version;

  test('is installed as one native copy', () => {
    expect(native).toEqual(['node_modules/onnxruntime-node']);
  });

  test('has the version that transformers.js pins', () => {
    const transformers = lock.packages['node_modules/@huggingface/transformers'];
    expect(transformers?.dependencies?.['onnxruntime-node']).toBe(version);
  });

  test('is pinned exactly, with its common and web halves at the same version', () => {
    expect(manifest.optionalDependencies?.['onnxruntime-node']).toBe(version);
    expect(manifest.dependencies?.['onnxruntime-common']).toBe(version);
    expect(manifest.dependencies?.['onnxruntime-web']).toBe(version);
    expect(manifest.devDependencies?.['@huggingface/transformers']).toMatch(/^\d+[.]\d+[.]\d+$/);
  });

  test('is one library in a process that uses transformers.js and the runtime', () => {
    const script = `
      await import('onnxruntime-node');
      await import('@huggingface/transformers');
      process.report.excludeNetwork = true;
      const { sharedObjects } = process.report.getReport();
      console.log(JSON.stringify(sharedObjects.filter((file) => /onnxruntime/i.test(file))));`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: fileURLToPath(root),
      encoding: 'utf8',
    });
    const files: string[] = JSON.parse(output);
    expect(files.filter((file) => file.endsWith('onnxruntime_binding.node'))).toHaveLength(1);
    expect(new Set(files).size).toBe(files.length);
  });
});

describe('package-lock.json', () => {
  test('names no host, so that any registry serves', () => {
    expect(Object.values(read<Lock>('package-lock.json').packages).filter((entry) => entry.resolved)).toEqual([]);
  });
});
