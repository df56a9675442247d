/** Every example of the README as it stands: TypeScript is checked and run, commands are run, in the order of the page. */

import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleText } from '../../scripts/smoke.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tessera-readme-'));

interface Example {
  readonly language: string;
  readonly code: string;
  readonly heading: string;
}

function examplesOf(markdown: string): Example[] {
  return [...markdown.matchAll(/^```(\w+)\n([\s\S]*?)^```/gm)].map(([, language = '', code = ''], index, all) => {
    const before = markdown.slice(0, all[index]?.index);
    return {
      language,
      code,
      heading:
        before
          .match(/^## (.*)$/gm)
          ?.at(-1)
          ?.slice(3) ?? `example ${index}`,
    };
  });
}

const examples = examplesOf(readFileSync(join(root, 'README.md'), 'utf8'));
const scripts = examples.filter(({ language }) => language === 'ts');

beforeAll(() => {
  const text = sampleText();
  writeFileSync(join(folder, 'book.txt'), text.slice(0, 60_000));
  writeFileSync(join(folder, 'held-out.txt'), text.slice(60_000, 63_000));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  mkdirSync(join(folder, 'node_modules', '.bin'), { recursive: true });
  symlinkSync(root, join(folder, 'node_modules', 'tessera-kit'), 'dir');
  const command = join(folder, 'node_modules', '.bin', 'tessera');
  writeFileSync(command, `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'dist', 'cli', 'main.js')}" "$@"\n`);
  chmodSync(command, 0o755);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the README', () => {
  it('has an example for each promise', () => {
    expect(scripts.map(({ heading }) => heading)).toEqual([
      'From a text file to a model',
      'Generate and evaluate',
      'A model and an objective of your own',
      'Tokenizers',
      'Architectures beside each other',
    ]);
  });

  it('has examples that the compiler accepts', () => {
    const files = scripts.map(({ code }, index) => {
      const file = join(folder, `example-${index}.ts`);
      writeFileSync(file, code);
      return file;
    });
    const program = ts.createProgram(files, {
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      types: ['node'],
      typeRoots: [join(root, 'node_modules', '@types')],
    });
    const errors = ts
      .getPreEmitDiagnostics(program)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
    expect(errors).toEqual([]);
  });

  it.each(scripts)('runs: $heading', ({ code, heading }) => {
    const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
    const file = join(folder, 'run.mjs');
    writeFileSync(file, ts.transpileModule(code, { compilerOptions: options }).outputText);
    const stdout = execFileSync(process.execPath, [file], { cwd: folder, encoding: 'utf8' });
    expect(stdout.trim().length).toBeGreaterThan(0);
    if (heading.startsWith('From a text'))
      expect(existsSync(join(folder, 'runs/book/model/onnx/model.onnx'))).toBe(true);
    if (heading.startsWith('Generate')) expect(stdout).toMatch(/[0-9.]+ bits per byte/);
    if (heading.startsWith('A model')) {
      const said = Number(/the model says ([\d.-]+)/.exec(stdout)?.[1]);
      expect(Math.abs(said - Math.sin(1.5))).toBeLessThan(0.1);
    }
  });

  const commands = examples.filter(({ language }) => language === 'sh').flatMap(({ code }) => code.trim().split('\n'));
  it.each(commands)('runs: %s', (command) => {
    const env = { ...process.env, PATH: `${join(folder, 'node_modules', '.bin')}${delimiter}${process.env.PATH}` };
    const { status, stdout, stderr } = spawnSync('sh', ['-c', command], {
      cwd: folder,
      env,
      encoding: 'utf8',
      input: '',
    });
    expect(status, stderr).toBe(0);
    expect(stdout.trim().length).toBeGreaterThan(0);
  });

  it('names npm scripts that are there', () => {
    const names = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/npm run ([\w-]+)/g)].map(
      ([, name]) => name,
    );
    const manifest: { scripts: Record<string, string> } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(Object.keys(manifest.scripts)).toEqual(expect.arrayContaining(['start', 'test', ...names]));
  });
});
