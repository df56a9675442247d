import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { type Json, type JsonObject, parsePrograms, readPrograms, writeProgramsFile } from 'tessera-kit/formats';
import { TesseraError } from 'tessera-kit/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const CACHE = { dtype: 'float32', shape: ['batch', 2, 'capacity', 8] } as const;
const STATE = { dtype: 'float32', shape: ['batch', 16] } as const;
const WHOLE = {
  system: 'toy',
  loop: 'next-token',
  context: 32,
  vocabulary: 100,
  endOfText: 99,
  tokenizer: 'tokenizer.json',
  options: { ratios: [3, 3] },
  programs: {
    decode: {
      file: 'onnx/decode.onnx',
      about: 'tokens to logits',
      inputs: [
        { name: 'ids', dtype: 'int32', shape: ['batch', 'time'], role: 'tokens' },
        { name: 'at', dtype: 'int32', shape: ['batch'], role: 'at' },
        { name: 'past', ...CACHE, role: 'cache', cache: 'a', axis: 2 },
        { name: 'h', ...STATE, role: 'state', state: 'h' },
        {
          name: 'table',
          dtype: 'float32',
          shape: ['batch', 7],
          role: 'draw',
          draw: { verb: 'normal', numbers: [0.5], path: 'table', per: 'row' },
        },
        { name: 'inside', dtype: 'float32', shape: ['batch', 4], role: 'value' },
      ],
      outputs: [
        { name: 'logits', dtype: 'float32', shape: ['batch', 100], role: 'logits' },
        { name: 'rows', dtype: 'float32', shape: ['batch', 2, 'time', 8], role: 'rows', cache: 'a' },
        { name: 'new.h', ...STATE, role: 'state', state: 'h' },
      ],
    },
  },
} as const;

/** The description with one place changed, given as a dotted path; undefined removes it. */
function changed(path: string, value: Json | undefined): JsonObject {
  const copy = JSON.parse(JSON.stringify({ format: 1, ...WHOLE }));
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const branch = keys.reduce((inner, key) => inner[key], copy);
  if (value === undefined) delete branch[last];
  else branch[last] = value;
  return copy;
}

function refusal(content: JsonObject): TesseraError {
  try {
    parsePrograms(content, 'tessera.json');
  } catch (error) {
    if (error instanceof TesseraError) return error;
    throw error;
  }
  throw new Error('it was taken');
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'programs-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('tessera.json', () => {
  it('comes back as it was written', async () => {
    await mkdir(join(folder, 'onnx'));
    await writeFile(join(folder, 'onnx', 'decode.onnx'), '');
    await writeProgramsFile(folder, WHOLE);
    expect(await readPrograms(folder)).toEqual(WHOLE);
  });

  const inputs = 'programs.decode.inputs';
  const outputs = 'programs.decode.outputs';
  it.each<[says: string, path: string, value: Json | undefined, sentence: RegExp]>([
    ['no format', 'format', undefined, /"format" must be a whole number from 1, not nothing/],
    ['no system', 'system', undefined, /"system" must be a text/],
    ['half a context', 'context', 0.5, /"context" must be a whole number from 1, not 0.5/],
    ['an end of text that is no token', 'endOfText', 100, /"endOfText" 100 is no token of a vocabulary of 100/],
    ['a tokenizer outside of the folder', 'tokenizer', '../tokenizer.json', /path inside the folder/],
    ['a file outside of the folder', 'programs.decode.file', '/etc/model.onnx', /path inside the folder/],
    ['no programs', 'programs', {}, /at least one program/],
    ['a program without inputs', inputs, undefined, /the program "decode" must have a list of "inputs"/],
    ['a dtype that is none', `${inputs}.0.dtype`, 'int31', /the input "ids" of .* has the dtype "int31"/],
    ['a size that is none', `${inputs}.0.shape`, ['batch', -1], /has the size -1/],
    ['a role that is none', `${inputs}.0.role`, 'token', /has the role "token", which is not known/],
    ['no role', `${inputs}.0.role`, undefined, /has the role nothing/],
    ['tokens that are no integers', `${inputs}.0.dtype`, 'float32', /"tokens" and must be int32, not float32/],
    ['places of two axes', `${inputs}.1.shape`, ['batch', 1], /"at" and must have 1 axes, not 2/],
    ['an output that is fed', `${outputs}.0.role`, 'at', /has the role "at", which only inputs have/],
    ['a cache over its batch', `${inputs}.2.axis`, 0, /"axis" of its positions, from 1 to 3, not 0/],
    ['a cache without a name', `${inputs}.2.cache`, undefined, /must say which "cache"/],
    ['rows for no cache', `${outputs}.1.cache`, 'b', /for the cache "b", which no input of it is/],
    ['rows of another width', `${outputs}.1.shape`, ['batch', 2, 'time', 9], /does not fit into "past"/],
    ['a state that nobody reads', `${outputs}.2.state`, 'g', /gives the state "g", which no program reads/],
    ['a state of two shapes', `${outputs}.2.shape`, ['batch', 17], /state "h" is float32 \[batch, 16\] in one place/],
    ['a draw by no verb', `${inputs}.4.draw.verb`, 'gaussian', /drawn by "gaussian"/],
    ['a draw with a number too few', `${inputs}.4.draw.numbers`, [], /takes 1 numbers, not \[\]/],
    ['a draw per batch', `${inputs}.4.draw.per`, 'batch', /per "batch"; it must be "row" or "run"/],
    ['a draw per run of unknown size', `${inputs}.4.draw.per`, 'run', /shape must be numbers only/],
    ['one name twice', `${outputs}.0.name`, 'ids', /two inputs or outputs of the program "decode" are called "ids"/],
  ])('refuses %s', (_says, path, value, sentence) => {
    const error = refusal(changed(path, value));
    expect(error.code).toBe('bad-file');
    expect(error.message).toMatch(sentence);
  });

  it('refuses a newer format by its number', () => {
    const error = refusal(changed('format', 2));
    expect(error.code).toBe('unsupported');
    expect(error.message).toContain('newer Tessera (format 2)');
  });

  it('never breaks in any other way, whatever a place holds', () => {
    const places = ['format', 'options', 'programs', 'programs.decode', inputs, `${inputs}.2`, `${inputs}.2.shape`];
    const more = [`${inputs}.4.draw`, `${inputs}.4.draw.numbers`, `${outputs}.1`, 'tokenizer', 'loop'];
    fc.assert(
      fc.property(fc.constantFrom(...places, ...more), fc.jsonValue(), (path, value) => {
        const content = changed(path, JSON.parse(JSON.stringify(value)));
        try {
          parsePrograms(content, 'tessera.json');
        } catch (error) {
          expect(error).toBeInstanceOf(TesseraError);
        }
      }),
    );
  });

  it('is not written when it is wrong', async () => {
    const path = join(folder, 'wrong');
    await mkdir(path);
    await expect(writeProgramsFile(path, { ...WHOLE, programs: {} })).rejects.toThrow(/at least one program/);
    expect(await readdir(path)).toEqual([]);
  });
});
