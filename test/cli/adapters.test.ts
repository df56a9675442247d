/** Adapters and optimizers as a person calls them: train, generate, eval, merge, and what can be got wrong. */

import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSafetensors } from 'tessera-kit/formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleText } from '../../scripts/smoke.mjs';
import { contentOf, tessera } from './command.js';

const folder = mkdtempSync(join(tmpdir(), 'tessera-adapters-cli-'));
const path = (name: string): string => join(folder, name);
const size = (width: string): string[] => ['--layers', '1', '--width', width, '--heads', '2', '--context', '32'];
const train = (out: string, ...more: string[]): string[] => [
  ...['train', '--text', path('book.txt'), '--batch', '4', '--steps', '4', '--onnx', 'none', '--threads', '1'],
  ...['--out', path(out), ...more],
];
const fresh = (out: string, width: string, ...more: string[]): string[] =>
  train(out, ...size(width), '--tokenizer', 'bytes', ...more);

function call<T>(args: readonly string[]): T {
  const { status, stdout, stderr } = tessera([...args, '--json']);
  expect(status, stderr).toBe(0);
  const result: T = JSON.parse(stdout);
  return result;
}
const bits = (...args: string[]): number =>
  call<{ bitsPerByte: number }>(['eval', ...args, '--text', path('book.txt'), '--bytes', '2000', '--threads', '1'])
    .bitsPerByte;

beforeAll(() => {
  writeFileSync(path('book.txt'), sampleText().slice(0, 20_000));
  writeFileSync(path('other.txt'), sampleText().slice(20_000, 40_000));
  call(fresh('base', '32'));
  call(train('tuned', '--from', path('base'), '--lora', '4', '--lora-alpha', '8', '--rate', '0.05'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('an adapter', () => {
  it("is PEFT's folder in the run's, with its base's path", async () => {
    const config = JSON.parse(readFileSync(path('tuned/adapter/adapter_config.json'), 'utf8'));
    expect(config).toMatchObject({
      r: 4,
      lora_alpha: 8,
      target_modules: ['q_proj', 'v_proj'],
      base_model_name_or_path: path('base'),
    });
    const file = await openSafetensors(path('tuned/adapter/adapter_model.safetensors'));
    expect(file.names).toHaveLength(4);
    await file.close();
  });

  it('changes what its base computes, as much as the merged model does', () => {
    const merged = call<object>(['merge', path('base'), path('tuned'), '--out', path('merged'), '--onnx', 'none']);
    expect(merged).toMatchObject({ model: path('merged'), modules: 2, parameters: 4 * 4 * 32, rank: 4, dora: false });
    const [plain, adapted, together] = [
      bits(path('base')),
      bits(path('base'), '--adapter', path('tuned')),
      bits(path('merged')),
    ];
    expect(Math.abs(adapted - together)).toBeLessThan(1e-6);
    expect(Math.abs(adapted - plain)).toBeGreaterThan(1e-4);
    const said = (...args: string[]): unknown =>
      call<{ results: unknown }>(['generate', ...args, '--prompt', 'A', '--temperature', '0', '--max-tokens', '6'])
        .results;
    expect(said(path('base'), '--adapter', path('tuned/adapter'))).toEqual(said(path('merged')));
  });

  it('goes on where its run was stopped, DoRA with dropout too', () => {
    const options = [
      '--from',
      path('base'),
      '--lora',
      '2',
      '--dora',
      '--lora-rank-stabilized',
      '--lora-targets',
      '**.mlp',
    ];
    call(train('whole', ...options, '--save-every', '2'));
    cpSync(path('whole'), path('stopped'), { recursive: true });
    rmSync(path('stopped/adapter'), { recursive: true });
    rmSync(path('stopped/checkpoints/step-4'), { recursive: true });
    call(train('stopped', ...options, '--save-every', '2'));
    expect(contentOf(path('stopped/adapter'))).toEqual(contentOf(path('whole/adapter')));
    const config = JSON.parse(readFileSync(path('whole/adapter/adapter_config.json'), 'utf8'));
    expect(config).toMatchObject({
      use_dora: true,
      use_rslora: true,
      target_modules: ['down_proj', 'gate_proj', 'up_proj'],
    });
  });

  it('shows its options and examples in the help', () => {
    for (const [command, words] of [
      ['merge', /tessera merge runs\/small runs\/tuned --out merged/],
      ['train', /--lora <rank>.*--optimizer <name>.*"ademamix".*--lora 8 --lora-targets q_proj,v_proj/s],
      ['generate', /--adapter <folder>/],
      ['eval', /--adapter <folder>/],
    ] as const) {
      const { status, stdout } = tessera([command, '--help']);
      expect(status).toBe(0);
      expect(stdout).toMatch(words);
    }
  });
});

describe('an optimizer', () => {
  it('trains, is written down, and does not go on as another', () => {
    call(fresh('muon', '16', '--optimizer', 'muon', '--save-every', '2'));
    const { optimizer, rate } = JSON.parse(readFileSync(path('muon/config.json'), 'utf8'));
    expect(optimizer).toMatchObject({ name: 'by-path', parts: [{ name: 'muon' }, { name: 'adamw' }] });
    const other = tessera(
      fresh('muon', '16', '--optimizer', 'ademamix', '--rate', String(rate.rate), '--save-every', '2'),
    );
    expect(other.status).toBe(2);
    expect(other.stderr).toMatch(/was started with optimizer/);
  });
});

describe('bad input', () => {
  beforeAll(() => {
    call(fresh('wide', '64'));
    cpSync(path('tuned/adapter'), path('cut'), { recursive: true });
    truncateSync(path('cut/adapter_model.safetensors'), 900);
    cpSync(path('tuned/adapter'), path('ia3'), { recursive: true });
    writeFileSync(path('ia3/adapter_config.json'), '{"peft_type": "IA3"}');
  });

  const merge = (base: string, adapter: string, ...more: string[]): string[] => [
    ...['merge', path(base), path(adapter), ...(more.length > 0 ? more : ['--out', path('new')])],
  ];
  const lora = (...more: string[]): string[] => train('new', '--from', path('base'), ...more);
  const cases: readonly (readonly [string, () => readonly string[], RegExp])[] = [
    [
      'no folder for the merged model',
      () => ['merge', path('base'), path('tuned')],
      /--out is missing.*tessera merge/s,
    ],
    ['no adapter named', () => ['merge', path('base')], /Missing required argument 'adapter'/],
    ['an adapter that is not there', () => merge('base', 'nowhere'), /There is no folder .*nowhere/],
    ['a model in the place of an adapter', () => merge('base', 'base/model'), /no adapter_config\.json.*whole model/s],
    ['an adapter in the place of a model', () => merge('tuned/adapter', 'tuned'), /holds an adapter, not a model/],
    [
      'a run of an adapter in the place of a model',
      () => ['generate', path('tuned'), 'A'],
      /trained an adapter.*--adapter/s,
    ],
    ['an adapter of a wider model', () => merge('wide', 'tuned'), /is for 32 inputs and 32 outputs; the model has 64/],
    ['a damaged adapter', () => merge('base', 'cut'), /adapter_model\.safetensors cannot be read/],
    ['another kind of adapter', () => merge('base', 'ia3'), /adapter of the type "IA3"/],
    [
      'the base overwritten',
      () => merge('base', 'tuned', '--out', path('base/model')),
      /would replace what it is made from/,
    ],
    ['an ONNX kind that there is not', () => merge('base', 'tuned', '--onnx', 'int3'), /There is no "int3"/],
    [
      'generation with an adapter of another model',
      () => ['generate', path('wide'), '--adapter', path('tuned'), 'A'],
      /64/,
    ],
    ['a rank of 0', () => lora('--lora', '0'), /whole number from 1/],
    [
      'a target that no module has',
      () => lora('--lora', '2', '--lora-targets', 'k_prej'),
      /No module is named "k_prej".*k_proj/s,
    ],
    ['an empty target', () => lora('--lora', '2', '--lora-targets', 'q_proj,'), /names with commas/],
    ['adapters of nothing', () => fresh('new', '16', '--lora', '2'), /--from names none/],
    [
      'an option of adapters alone',
      () => lora('--lora-alpha', '2'),
      /--lora-alpha is for adapters, whose rank is missing/,
    ],
    ['an optimizer that there is not', () => fresh('new', '16', '--optimizer', 'adamx'), /'adamx'.*adamw.*muon/s],
  ];
  it.each(cases)('%s: a sentence, exit code 2, nothing written', (_name, args, says) => {
    const before = contentOf(folder);
    const { status, stdout, stderr } = tessera(args());
    expect(stderr).toMatch(says);
    expect(status, stderr).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(contentOf(folder)).toEqual(before);
  });
});
