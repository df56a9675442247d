/** What a person can get wrong: a sentence, exit code 2, and the folder as it was. */

import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleText } from '../../scripts/smoke.mjs';
import { contentOf, tessera } from './command.js';

const folder = mkdtempSync(join(tmpdir(), 'tessera-bad-'));
const path = (name: string): string => join(folder, name);
const TINY = [
  '--tokenizer',
  'bytes',
  '--layers',
  '1',
  '--width',
  '32',
  '--heads',
  '2',
  '--context',
  '32',
  '--batch',
  '4',
];
const train = (text: string, out: string, ...more: string[]): string[] => [
  'train',
  '--text',
  path(text),
  '--out',
  path(out),
  ...TINY,
  '--steps',
  '4',
  ...more,
];

beforeAll(() => {
  writeFileSync(path('book.txt'), sampleText().slice(0, 20_000));
  writeFileSync(path('other.txt'), sampleText().slice(20_000, 40_000));
  writeFileSync(path('empty.txt'), '');
  writeFileSync(path('short.txt'), 'Too short for a batch of four rows.');
  writeFileSync(
    path('binary.dat'),
    Uint8Array.from({ length: 4096 }, (_, index) => (index * 7) % 256),
  );
  writeFileSync(
    path('latin1.txt'),
    Buffer.concat([Buffer.from('A good line.\n'.repeat(300)), Buffer.from('caf\u00e9 au lait\n', 'latin1')]),
  );
  const made = tessera(train('book.txt', 'run', '--save-every', '2'));
  expect(made.status, made.stderr).toBe(0);
  // A run that stopped after update 2, and damaged forms of it and of its model.
  cpSync(path('run'), path('stopped'), { recursive: true });
  rmSync(path('stopped/model'), { recursive: true });
  rmSync(path('stopped/checkpoints/step-4'), { recursive: true });
  for (const name of ['cut', 'shape']) cpSync(path('stopped'), path(name), { recursive: true });
  truncateSync(path('cut/checkpoints/step-2/model.safetensors'), 5000);
  const wide = tessera([
    'train',
    '--text',
    path('book.txt'),
    '--out',
    path('wide'),
    '--tokenizer',
    'bytes',
    '--layers',
    '1',
    '--width',
    '16',
    '--heads',
    '1',
    '--context',
    '32',
    '--batch',
    '4',
    '--steps',
    '1',
  ]);
  expect(wide.status, wide.stderr).toBe(0);
  cpSync(path('wide/checkpoints/step-1/model.safetensors'), path('shape/checkpoints/step-2/model.safetensors'));
  for (const name of ['cut-model', 'tokens-model', 'shape-model', 'no-config'])
    cpSync(path('run/model'), path(name), { recursive: true });
  truncateSync(path('cut-model/model.safetensors'), 5000);
  cpSync(path('wide/model/model.safetensors'), path('shape-model/model.safetensors'));
  rmSync(path('no-config/config.json'));
  const trained = tessera([
    'tokenizer',
    'train',
    '--text',
    path('book.txt'),
    '--vocabulary',
    '300',
    '--out',
    path('tokens'),
  ]);
  expect(trained.status, trained.stderr).toBe(0);
  cpSync(path('tokens/tokenizer.json'), path('tokens-model/tokenizer.json'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Case {
  readonly what: string;
  readonly args: () => readonly string[];
  readonly says: RegExp;
  /** The folder that must stay as it is (default: `new`, which is not there). */
  readonly untouched?: string;
}

const cases: readonly Case[] = [
  {
    what: 'a text that is not there',
    args: () => train('missing.txt', 'new'),
    says: /no file or folder .*missing\.txt/,
  },
  { what: 'an empty text', args: () => train('empty.txt', 'new'), says: /empty\.txt is empty/ },
  {
    what: 'a text shorter than a batch',
    args: () => train('short.txt', 'new'),
    says: /has \d+ tokens; one batch of 4 rows of 32 needs 129/,
  },
  { what: 'a binary file', args: () => train('binary.dat', 'new'), says: /binary\.dat is not text/ },
  { what: 'a text that is not UTF-8', args: () => train('latin1.txt', 'new'), says: /latin1\.txt.*UTF-8.*line 301/s },
  {
    what: 'a missing text for the tokenizer',
    args: () => ['tokenizer', 'train', '--text', path('empty.txt'), '--out', path('new')],
    says: /empty\.txt is empty/,
  },
  { what: 'no text at all', args: () => ['train', '--out', path('new')], says: /--text is missing/ },
  {
    what: 'an unknown option',
    args: () => train('book.txt', 'new', '--stpes', '3'),
    says: /Unknown option '--stpes'.\s+Did you mean --steps\?/,
  },
  { what: 'an unknown command', args: () => ['trian'], says: /Unknown command 'trian'.\s+.*train/ },
  {
    what: 'a number that is none',
    args: () => train('book.txt', 'new', '--rate', 'fast'),
    says: /'--rate <number>'.*'fast'/,
  },
  {
    what: 'an option that does not fit',
    args: () => train('book.txt', 'new', '--kv-heads', '3'),
    says: /3 key heads do not divide 2/,
  },
  {
    what: 'a device that is not there',
    args: () => train('book.txt', 'new', '--device', 'cuda'),
    says: /device "cuda" is not there/,
  },
  {
    what: 'a device that does not exist',
    args: () => train('book.txt', 'new', '--device', 'abacus'),
    says: /no device "abacus"/,
  },
  {
    what: 'a tokenizer that is not there',
    args: () => [
      'train',
      '--text',
      path('book.txt'),
      '--out',
      path('new'),
      '--tokenizer',
      path('nope.json'),
      '--steps',
      '1',
    ],
    says: /nothing at .*nope\.json/,
  },
  { what: 'a model that is not there', args: () => ['generate', path('nope'), 'A'], says: /no model folder/ },
  {
    what: 'a model without config.json',
    args: () => ['generate', path('no-config'), 'A'],
    says: /weights and no config\.json/,
    untouched: 'no-config',
  },
  {
    what: 'a truncated model',
    args: () => ['generate', path('cut-model'), 'A'],
    says: /model\.safetensors cannot be read.*ends at byte/s,
    untouched: 'cut-model',
  },
  {
    what: 'a truncated model to go on from',
    args: () => [
      'train',
      '--text',
      path('book.txt'),
      '--from',
      path('cut-model'),
      '--out',
      path('new'),
      '--steps',
      '1',
    ],
    says: /cannot be read/,
    untouched: 'cut-model',
  },
  {
    what: 'weights of another shape',
    args: () => ['eval', path('shape-model'), '--text', path('book.txt')],
    says: /\[/,
    untouched: 'shape-model',
  },
  {
    what: 'a tokenizer that the embedding does not fit',
    args: () => ['generate', path('tokens-model'), 'A'],
    says: /tokenizer in .* has 300 tokens, its model an embedding of 257/,
    untouched: 'tokens-model',
  },
  {
    what: 'a run without a model',
    args: () => ['generate', path('stopped'), 'A'],
    says: /has no model yet/,
    untouched: 'stopped',
  },
  {
    what: 'a truncated checkpoint',
    args: () => train('book.txt', 'cut', '--save-every', '2'),
    says: /cannot be read.*cut short/s,
    untouched: 'cut',
  },
  {
    what: 'a checkpoint of another shape',
    args: () => train('book.txt', 'shape', '--save-every', '2'),
    says: /model\.safetensors is \[257, 16\]; the model needs \[257, 32\]/,
    untouched: 'shape',
  },
  {
    what: 'another text for a run',
    args: () => train('other.txt', 'stopped', '--save-every', '2'),
    says: /started with other data/,
    untouched: 'stopped',
  },
  {
    what: 'another option for a run',
    args: () => train('book.txt', 'stopped', '--save-every', '2', '--seed', '3'),
    says: /seed = 0, not 3/,
    untouched: 'stopped',
  },
  {
    what: 'a run folder that holds something else',
    args: () => train('book.txt', 'run/model'),
    says: /something else than a training run/,
    untouched: 'run/model',
  },
  {
    what: 'an architecture that there is not',
    args: () => train('book.txt', 'new', '--architecture', 'gtp'),
    says: /'--architecture <name>'.*'gtp'.*gpt/s,
  },
  {
    what: 'a choice of the model with --from',
    args: () =>
      train('book.txt', 'new', '--from', path('run/model')).filter((arg) => arg !== '--tokenizer' && arg !== 'bytes'),
    says: /--layers cannot be chosen with --from/,
    untouched: 'run/model',
  },
  {
    what: 'a comparison without a budget',
    args: () => ['compare', '--text', path('book.txt'), '--out', path('new')],
    says: /takes one budget: --flops or --minutes/,
  },
  {
    what: 'a comparison with two budgets',
    args: () => ['compare', '--text', path('book.txt'), '--out', path('new'), '--flops', '1e9', '--minutes', '1'],
    says: /takes one budget/,
  },
  {
    what: 'a comparison of an unknown architecture',
    args: () => [
      'compare',
      '--architectures',
      'gpt,rnn',
      '--text',
      path('book.txt'),
      '--out',
      path('new'),
      '--flops',
      '1e9',
    ],
    says: /no architecture "rnn".*Choose gpt/s,
  },
  {
    what: 'a comparison that sets an option that is none',
    args: () => ['compare', '--text', path('book.txt'), '--out', path('new'), '--flops', '1e9', '--set', 'gpt.depth=3'],
    says: /gpt has no option "depth".*layers/s,
  },
  {
    what: 'a file that cannot be inspected',
    args: () => ['inspect', path('book.txt')],
    says: /none of the files that can be inspected/,
  },
  {
    what: 'a damaged ONNX file',
    args: () => {
      writeFileSync(path('bad.onnx'), 'no model');
      return ['inspect', path('bad.onnx')];
    },
    says: /cannot be read as ONNX/,
  },
];

describe('bad input', () => {
  it.each(cases)('is met with a sentence: $what', ({ args, says, untouched = 'new' }) => {
    const before = contentOf(path(untouched));
    const { status, stdout, stderr } = tessera(args());
    expect(stderr).toMatch(says);
    expect(status, stderr).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(contentOf(path(untouched))).toEqual(before);
  });
});

/** Where a file system of 100 kB can be mounted. */
function mountTiny(): string | undefined {
  const place = path('tiny-disk');
  mkdirSync(place, { recursive: true });
  const mounted =
    process.platform === 'linux' && spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=100k', 'tmpfs', place]).status === 0;
  return mounted ? place : undefined;
}

describe('a disk without room', () => {
  const disk = mountTiny();
  afterAll(() => {
    if (disk !== undefined) spawnSync('umount', [disk]);
  });

  const isClean = (run: string): void => {
    const left = readdirSync(run, { recursive: true, encoding: 'utf8' });
    expect(left.filter((name) => /tmp|part|step-|model/.test(name))).toEqual([]);
    for (const name of left.filter((name) => name.endsWith('.json'))) JSON.parse(readFileSync(join(run, name), 'utf8'));
  };

  it.skipIf(disk === undefined)('ends the run with a sentence and without half a checkpoint (tmpfs)', () => {
    const args = train('book.txt', 'unused');
    const { status, stderr } = tessera(
      args.map((value) => (value === path('unused') ? join(disk ?? '', 'run') : value)),
    );
    expect(stderr).toMatch(/could not be written.*(full|no space|room)/is);
    expect(status).toBe(2);
    isClean(join(disk ?? '', 'run'));
  });

  it.skipIf(process.platform === 'win32')('ends the run with a sentence when files may not grow', () => {
    const { status, stderr } = tessera(train('book.txt', 'limited'), { shell: 'ulimit -f 64' });
    expect(stderr).toMatch(/could not be written: it would be larger than is allowed/);
    expect(status).toBe(2);
    isClean(path('limited'));
  });
});
