/** Folders that cannot be run: a sentence and a code for each. */

import { cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cachedDecoderRoles, saveTextModel, writePrograms } from 'tessera-kit/language-models';
import { exportCachedDecoder } from 'tessera-kit/nn';
import { openRun, type RunOptions } from 'tessera-kit/run';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cachedModel, strongGpt, tokenizer, writeGptPrograms } from './folders.js';

const made = strongGpt();
let folder: string;
let whole: string;
let plain: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bad-run-'));
  whole = join(folder, 'whole');
  plain = join(folder, 'plain');
  const { parameters, model } = made;
  await saveTextModel(whole, {
    modelType: 'tessera_test',
    config: {},
    context: 16,
    tokenizer,
    parameters,
    programs: async (hidden) => void (await writeGptPrograms(hidden, made)),
  });
  await model.save(plain, parameters);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let copies = 0;
async function copyOf(of: string): Promise<string> {
  const path = join(folder, `copy-${copies++}`);
  await cp(of, path, { recursive: true });
  return path;
}

async function edit(path: string, file: string, from: string | RegExp, to: string): Promise<void> {
  const text = await readFile(join(path, file), 'utf8');
  expect(text).toMatch(from);
  await writeFile(join(path, file), text.replace(from, to));
}

const CASES: readonly (readonly [
  says: string,
  of: 'whole' | 'plain',
  spoil: (path: string) => Promise<unknown>,
  code: string,
  sentence: RegExp,
  options?: RunOptions,
])[] = [
  ['a folder that is not there', 'whole', (path) => rm(path, { recursive: true }), 'not-found', /There is no folder/],
  [
    'a folder without programs',
    'plain',
    (path) => rm(join(path, 'onnx'), { recursive: true }),
    'not-found',
    /has neither tessera.json nor onnx\/model.onnx/,
  ],
  [
    'a description cut off',
    'whole',
    (path) => truncate(join(path, 'tessera.json'), 100),
    'bad-file',
    /tessera.json is not valid JSON/,
  ],
  [
    'a newer format',
    'whole',
    (path) => edit(path, 'tessera.json', '"format": 1', '"format": 7'),
    'unsupported',
    /newer Tessera \(format 7\)/,
  ],
  [
    'a loop that is not known',
    'whole',
    (path) => edit(path, 'tessera.json', '"next-token"', '"spiral"'),
    'unsupported',
    /holds a gpt, whose loop "spiral" is not known/,
  ],
  [
    'a program that is missing',
    'whole',
    (path) => rm(join(path, 'onnx/decode.onnx')),
    'not-found',
    /has no onnx\/decode.onnx, the program "decode"/,
  ],
  [
    'a program cut off',
    'whole',
    (path) => truncate(join(path, 'onnx/decode.onnx'), 2000),
    'bad-file',
    /ONNX Runtime cannot open .*decode.onnx/,
  ],
  [
    'a cache of another shape than the program has',
    'whole',
    (path) => edit(path, 'tessera.json', /4\n/g, '5\n'),
    'mismatch',
    /its input "caches.0.key" is float32 \[batch, 2, capacity, 4\], not float32 \[batch, 2, capacity, 5\]/,
  ],
  [
    'an input that the program does not have',
    'whole',
    (path) => edit(path, 'tessera.json', '"name": "last"', '"name": "final"'),
    'mismatch',
    /it has no input "final"/,
  ],
  [
    'a loop that has no value to give',
    'whole',
    (path) => edit(path, 'tessera.json', '"role": "last"', '"role": "value"'),
    'bad-file',
    /the input "last" is a value/,
  ],
  [
    'no port with the tokens',
    'whole',
    (path) => edit(path, 'tessera.json', '"role": "tokens"', '"role": "value"'),
    'bad-file',
    /must have one port with the role "tokens"/,
  ],
  ['no tokenizer', 'whole', (path) => rm(join(path, 'tokenizer.json')), 'not-found', /tokenizer.json/],
  [
    'another vocabulary than the logits have',
    'plain',
    async (path) => {
      const small = strongGpt({ vocabulary: 300 });
      await small.model.save(path, small.parameters);
      await edit(path, 'config.json', '"vocab_size": 300', '"vocab_size": 200');
    },
    'mismatch',
    /does not give float32 logits of the 200 tokens/,
  ],
  [
    'a tokenizer of more tokens than the programs',
    'whole',
    (path) => writeGptPrograms(path, strongGpt({ vocabulary: 100, endOfText: 0 })),
    'mismatch',
    /The tokenizer in .* has \d+ tokens, its programs 100/,
  ],
  [
    'a configuration without a context',
    'plain',
    (path) => edit(path, 'config.json', '"max_position_embeddings"', '"max_positions"'),
    'bad-file',
    /lacks the number "max_position_embeddings"/,
  ],
  ['half a thread', 'whole', async () => undefined, 'bad-option', /number of threads .* not 0.5/, { threads: 0.5 }],
];

describe('openRun refuses', () => {
  for (const [says, of, spoil, code, sentence, options] of CASES) {
    it(says, async () => {
      const path = await copyOf(of === 'whole' ? whole : plain);
      await spoil(path);
      const refused = openRun(path, options);
      await expect(refused).rejects.toMatchObject({ name: 'TesseraError', code });
      await expect(refused).rejects.toThrow(sentence);
    });
  }
});

describe('writePrograms refuses', () => {
  const lowered = exportCachedDecoder(cachedModel(made.model, made.parameters));
  const about = { system: 'gpt', loop: 'next-token', context: 16, vocabulary: 258, endOfText: 0 };
  const { logits: _none, ...others } = cachedDecoderRoles(lowered);

  it('a port without a role', async () => {
    const path = join(folder, 'unsaid');
    await expect(writePrograms(path, about, { decode: { lowered, about: '', roles: others } })).rejects.toThrow(
      'The output "logits" of the program "decode" has no role.',
    );
  });

  it('a role without a port', async () => {
    const roles = { ...cachedDecoderRoles(lowered), step: { role: 'value' } } as const;
    await expect(
      writePrograms(join(folder, 'stray'), about, { decode: { lowered, about: '', roles } }),
    ).rejects.toThrow('The program "decode" has no port "step", for which it has a role.');
  });
});

it('a run that is stopped says so', async () => {
  const run = await openRun(whole);
  const signal = AbortSignal.abort();
  await expect(run.bits('abc', { signal })).rejects.toMatchObject({ code: 'aborted' });
  await expect(async () => {
    for await (const _piece of run.generate(['abc'], { signal })) expect.fail('nothing is made');
  }).rejects.toMatchObject({ code: 'aborted' });
  await run.dispose();
});
