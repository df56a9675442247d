/** Small programs whose next token can be told by hand: states, rings and draws as a host keeps them. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cachedDecoderRoles, saveTextModel, writePrograms } from 'tessera-kit/language-models';
import { type CachedModel, causalRunner, exportCachedDecoder, openCachedDecoder } from 'tessera-kit/nn';
import { openRun } from 'tessera-kit/run';
import {
  add,
  cast,
  createRuntime,
  type Dimension,
  drawRows,
  exportProgram,
  floor,
  gather,
  mul,
  neg,
  range,
  reshape,
  type Spec,
  square,
  sub,
  sum,
  type Tensor,
  zeros,
} from 'tessera-kit/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cachedModel, rowsOf, strongGpt, tokenizer } from './folders.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'memory-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const VOCABULARY = tokenizer.vocabulary.size;
const about = { loop: 'next-token', context: 64, vocabulary: VOCABULARY, endOfText: tokenizer.endOfText ?? 0 };

async function writeTokenizer(path: string): Promise<void> {
  for (const { file, text } of tokenizer.save()) await writeFile(join(path, file), text);
}

/** Whole numbers modulo 97, and logits whose largest is the token of that number. */
const modulo = (x: Tensor) => sub(x, mul(97, floor(mul(add(x, 0.5), 1 / 97))));
const pointAt = (x: Tensor, batch: Dimension) =>
  neg(square(sub(reshape(cast(range(VOCABULARY), 'float32'), [1, VOCABULARY]), reshape(x, [batch, 1]))));

describe('a program of one position', () => {
  const RING = 4;
  const batch = 'batch';
  const float = (...shape: Dimension[]): Spec => ({ dtype: 'float32', shape });
  interface Input {
    readonly ids: Tensor;
    readonly ring: Tensor;
    readonly state: Tensor;
  }
  // The next token: what a state has become, and the last tokens that a ring holds, and this one.
  const lowered = exportProgram<Record<string, never>, Input, unknown>(
    (_state, { ids, ring, state }) => {
      const id = cast(ids, 'float32');
      const next = modulo(add(mul(2, state), id));
      const recent = add(reshape(sum(ring, 1), [batch, 1]), id);
      return { out: { logits: pointAt(modulo(add(next, recent)), batch), row: reshape(id, [batch, 1, 1]), next } };
    },
    {
      state: {},
      input: { ids: { dtype: 'int32', shape: [batch, 1] }, ring: float(batch, RING, 1), state: float(batch, 1) },
    },
  );

  it('keeps a ring and a state of each row, whatever the others do', async () => {
    const path = join(folder, 'toy');
    await writePrograms(
      path,
      { ...about, system: 'toy' },
      {
        step: {
          lowered,
          about: 'a token to the next',
          roles: {
            ids: { role: 'tokens' },
            ring: { role: 'cache', cache: 'recent', axis: 1 },
            row: { role: 'rows', cache: 'recent' },
            state: { role: 'state', state: 'sum' },
            next: { role: 'state', state: 'sum' },
            logits: { role: 'logits' },
          },
        },
      },
    );
    await writeTokenizer(path);
    const byHand = (prompt: readonly number[], tokens: number): number[] => {
      const read = [...prompt];
      let state = 0;
      let next = 0;
      const consume = (from: number) => {
        for (let i = from; i < read.length; i++) {
          state = (2 * state + (read[i] ?? 0)) % 97;
          const recent = read.slice(Math.max(0, i - RING), i + 1).reduce((total, id) => total + id, 0);
          next = (state + recent) % 97;
        }
      };
      consume(0);
      const made: number[] = [];
      while (made.length < tokens) {
        made.push(next);
        read.push(next);
        consume(read.length - 1);
      }
      return made;
    };
    const prompts = [[5], [1, 2, 3, 4, 5, 6, 7, 8, 9], [40, 96, 11]];
    const run = await openRun(path);
    const made = await rowsOf(
      run.generate(
        prompts.map((ids) => Uint8Array.from(ids)),
        { temperature: 0, maxTokens: 30 },
      ),
      prompts.length,
    );
    await run.dispose();
    expect(made).toEqual(prompts.map((prompt) => byHand(prompt, 30)));
  });
});

describe('a draw for each row', () => {
  const made = strongGpt();
  const draw = { path: 'table', verb: 'normal', shape: [VOCABULARY, 24], numbers: [0.5] } as const;
  const plain = cachedModel(made.model, made.parameters);
  // Hidden states are shifted by the first three vectors of the row's own table.
  const model: CachedModel<{ readonly table: Tensor }> = {
    ...plain,
    hidden: (ids, context, _extra, call) => plain.hidden(ids, context, {}, call),
    logits: (hidden, { table }, call) => {
      const own = sum(gather(table, range(3), 1), 1);
      return plain.logits(add(hidden, own), {}, call);
    },
    extra: {
      specs: { table: { dtype: 'float32', shape: ['batch', ...draw.shape] } },
      values: (batch, seed) => ({ table: drawRows(draw, seed, batch) }),
    },
  };
  const path = () => join(folder, 'drawn');

  beforeAll(async () => {
    const lowered = exportCachedDecoder(model);
    await saveTextModel(path(), {
      modelType: 'tessera_drawn',
      config: {},
      context: 16,
      tokenizer,
      parameters: { none: zeros([1]) },
      programs: async (hidden) => {
        const roles = cachedDecoderRoles(lowered, {
          'extra.table': { role: 'draw', draw: { ...draw, per: 'row' } },
        });
        await writePrograms(
          hidden,
          { ...about, context: 16, system: 'drawn' },
          { decode: { lowered, about: 'tokens and a table to logits', roles } },
        );
      },
    });
  });

  it('gives the text of the library for a seed, and another for another', async () => {
    const runtime = await createRuntime({ worker: false });
    const runner = causalRunner(runtime, {
      coder: tokenizer,
      decoder: () => openCachedDecoder(runtime, model),
      scored: { ...about, context: 16, logits: () => expect.fail('nothing is scored here') },
    });
    const prompts = [Uint8Array.of(7, 8, 9), Uint8Array.of(7, 8, 9)];
    const run = await openRun(path());
    const texts: number[][][] = [];
    for (const seed of [1, 2]) {
      const choices = { seed, temperature: 0, maxTokens: 20 };
      texts.push(await rowsOf(run.generate(prompts, choices), 2));
      expect(texts.at(-1)).toEqual(await rowsOf(runner.generate(prompts, choices), 2));
    }
    const [first, second] = texts;
    expect(first).not.toEqual(second);
    // Each row has its own table.
    expect(first?.[0]).not.toEqual(first?.[1]);
    await run.dispose();
    await runner.dispose();
    await runtime.dispose();
  });

  it('makes the bits of a document a mean with its error', async () => {
    const run = await openRun(path());
    const document = Uint8Array.from({ length: 40 }, (_, i) => (i * 31) % 120);
    const found = await run.bits(document, { draws: 4, seed: 3 });
    expect(found.error).toBeGreaterThan(0);
    expect(await run.bits(document, { draws: 4, seed: 3 })).toEqual(found);
    const one = await run.bits(document, { draws: 1, seed: 3 });
    expect(one.error).toBe(0);
    expect(one.bits).not.toBe(found.bits);
    await run.dispose();
  });
});
