import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  cachedLexinvariant,
  fixedTable,
  type LexinvariantChoices,
  type LexinvariantParameters,
  lexinvariant,
  lexinvariantModule,
  lexinvariantOptions,
  lexinvariantTables,
  lexinvariantUnder,
  loadLexinvariant,
  openLanguageModel,
  rowDraw,
  withVocabulary,
} from 'tessera-kit/language-models';
import { frozen, openCachedDecoder } from 'tessera-kit/nn';
import { openRun } from 'tessera-kit/run';
import { type Arrays, drawRows, type NDArray, random, specsOf, type Tensor } from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testRuntime } from '../runtime.js';
import { stateOf, strong, trained, windowsOf } from './lexinvariant-models.js';
import { expectExactResume } from './resume.js';

const runtime = await testRuntime();
let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lexinvariant-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const tokenizer = byteTokenizer();
const SMALL = { layers: 2, width: 24, heads: 2, context: 24 } as const;
const KINDS: readonly (readonly [string, Partial<LexinvariantChoices> & { readonly learnSpecial?: boolean }])[] = [
  ['tables', { form: 'tables' }],
  ['tables with a learned end of text', { form: 'tables', learnSpecial: true }],
  ['the permutation form', { form: 'permutation' }],
  ['the permutation form with a learned end of text', { form: 'permutation', learnSpecial: true }],
];

describe('training', () => {
  it('overfits a repeated pattern below its unigram entropy in 50 steps', async () => {
    const options = lexinvariantOptions({ ...SMALL, vocabulary: 11, context: 32 });
    // Four tokens in runs of eight: a model without token embeddings can see that the last one goes on.
    const batch = () => windowsOf(16, 32, (row, time) => ((row + time) >> 3) % 4);
    const { losses } = await trained(runtime, lexinvariantModule(options), { steps: 50, rate: 1e-2, batch });
    expect(losses[0]).toBeGreaterThan(Math.log(4));
    expect(losses.at(-1)).toBeLessThan(0.8 * Math.log(4));
  });

  it.each(KINDS)('resumes bit for bit: %s', async (_name, choices) => {
    const model = lexinvariant({ tokenizer, ...SMALL, ...choices });
    await expectExactResume(runtime, model, folder);
  });
});

/** The logits of a model's own draw. */
async function drawnLogits(
  model: ReturnType<typeof lexinvariant>,
  parameters: Arrays<LexinvariantParameters>,
  inputs: NDArray<'int32'>,
): Promise<Float32Array> {
  const spec = { dtype: 'int32', shape: inputs.shape } as const;
  const program = await runtime.compile<
    LexinvariantParameters,
    { readonly inputs: Tensor; readonly targets: Tensor },
    Tensor
  >((state, batch, call) => ({ out: model.apply(state, batch, call) }), {
    state: specsOf<LexinvariantParameters>(parameters),
    input: { inputs: spec, targets: spec },
    seed: 4,
  });
  const state = await stateOf<LexinvariantParameters>(runtime, parameters);
  const { out } = await program.run(state, { inputs, targets: inputs }, { step: 2 });
  await program.dispose();
  return Float32Array.from(out.data, Number);
}

describe.each(KINDS)('a folder: %s', (_name, choices) => {
  const model = lexinvariant({ tokenizer, ...SMALL, ...choices });
  const parameters = strong(model.architecture);
  const prompt = new TextEncoder().encode('abab');
  const collect = async (pieces: AsyncIterable<{ readonly bytes: Uint8Array }>): Promise<number[]> => {
    const bytes: number[] = [];
    for await (const piece of pieces) bytes.push(...piece.bytes);
    return bytes;
  };

  it('holds the body alone, and gives the same logits bit for bit for the same draw', async () => {
    await model.save(folder, parameters, { onnx: [] });
    const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({
      model_type: 'tessera_lexinvariant',
      vocabSize: tokenizer.vocabulary.size,
      d: 24,
      embedStd: 1,
      seedPolicy: { form: model.architecture.form, tableSeed: 0 },
    });
    const loaded = await openLanguageModel(folder);
    expect(loaded.entry.name).toBe('lexinvariant');
    await loaded.close();
    const own = await loadLexinvariant(folder);
    for (const name of own.weights.names)
      expect(own.weights.tensor(name).shape).not.toContain(tokenizer.vocabulary.size);
    expect(own.model.options).toEqual(model.options);
    const inputs = random(1).integers([2, 9], 257);
    const before = await drawnLogits(model, parameters, inputs);
    expect(await drawnLogits(own.model, await own.parameters(), inputs)).toEqual(before);
    await own.close();
  });

  it('decodes with caches as the training-time graph computes under the same vectors', async () => {
    const { architecture } = model;
    const [rows, time, seed] = [2, 10, 6];
    const decoder = await openCachedDecoder(
      runtime,
      cachedLexinvariant(architecture, frozen<LexinvariantParameters>(parameters)),
    );
    const session = await decoder.open({ batch: rows, expected: time, seed });
    const ids = random(2).integers([rows, time], 257);
    const state = await stateOf<LexinvariantParameters>(runtime, parameters);
    const whole = await runtime.compile<
      LexinvariantParameters,
      { readonly ids: Tensor; readonly tables: Tensor },
      Tensor
    >((own, given, call) => ({ out: lexinvariantUnder(architecture, own, given.ids, given.tables, call).logits }), {
      state: specsOf<LexinvariantParameters>(parameters),
      input: {
        ids: { dtype: 'int32', shape: [rows, time] },
        tables: { dtype: 'float32', shape: [rows, architecture.vocabulary, 24] },
      },
    });
    const tables = tablesOf(rows, seed);
    const { out } = await whole.run(state, { ids, tables });
    const expected = out.data as Float32Array;
    const size = architecture.vocabulary;
    let at = 0;
    for (const news of [4, 1, 1, 3, 1]) {
      const part = Int32Array.from({ length: rows * news }, (_, i) =>
        Number(ids.data[Math.floor(i / news) * time + at + (i % news)]),
      );
      const lengths = Int32Array.of(news, news);
      const logits = await session.read({ ids: part, time: news, at: Int32Array.of(at, at), lengths });
      at += news;
      for (let row = 0; row < rows; row++) {
        for (let v = 0; v < size; v++) {
          const there = Number(expected[(row * time + at - 1) * size + v]);
          expect(Math.abs(Number(logits[row * size + v]) - there)).toBeLessThan(1e-4);
        }
      }
    }
    expect(at).toBe(time);
    await session.dispose();
    await decoder.dispose();
    await whole.dispose();
  });

  /** The vectors that a decoder's rows have for a seed. */
  function tablesOf(rows: number, seed: number): NDArray<'float32'> {
    const { architecture } = model;
    const { vocabulary: size, width, learned, form } = architecture;
    const drawn = drawRows(rowDraw(architecture), seed, rows);
    const data = new Float32Array(rows * size * width);
    const shared = fixedTable({ seed: 0, vocabulary: size, width }).data;
    const others = Array.from({ length: size }, (_, id) => id).filter((id) => !learned.includes(id));
    const own = parameters.learned?.weight.data as Float32Array | undefined;
    for (let row = 0; row < rows; row++) {
      for (let v = 0; v < size; v++) {
        const kept = learned.indexOf(v);
        const place = others.indexOf(v);
        const vector =
          kept >= 0
            ? own?.subarray(kept * width, (kept + 1) * width)
            : form === 'tables'
              ? (drawn.data as Float32Array).subarray((row * size + v) * width, (row * size + v + 1) * width)
              : shared.subarray(
                  Number(others[Number(drawn.data[row * others.length + place])]) * width,
                  (Number(others[Number(drawn.data[row * others.length + place])]) + 1) * width,
                );
        data.set(vector ?? [], (row * size + v) * width);
      }
    }
    return { dtype: 'float32', shape: [rows, size, width], data };
  }

  it('is driven by exported programs as by its own runner, and costs bits with an error over draws', async () => {
    await model.save(folder, parameters);
    const runner = await model.open(runtime, parameters);
    const run = await openRun(folder);
    expect(run.description).toMatchObject({ system: 'lexinvariant', loop: 'next-token' });
    const choices = { temperature: 0, maxTokens: 12, seed: 3 };
    const made = await collect(runner.generate([prompt], choices));
    expect(await collect(run.generate([prompt], choices))).toEqual(made);
    expect(await collect(runner.generate([prompt], { ...choices, seed: 4 }))).not.toEqual(made);
    const document = new TextEncoder().encode('to be or not to be, that is the question');
    const bits = await runner.bits(document, { draws: 4, seed: 1 });
    expect(await runner.bits(document, { draws: 4, seed: 1 })).toEqual(bits);
    expect(bits.error).toBeGreaterThan(0);
    const other = await run.bits(document, { draws: 4, seed: 1 });
    expect(Math.abs(other.bits - bits.bits)).toBeLessThan(5 * Math.hypot(bits.error ?? 0, other.error ?? 0));
    await run.dispose();
    await runner.dispose();
  });
});

describe('another vocabulary', () => {
  const model = lexinvariant({ tokenizer, ...SMALL, learnSpecial: true });
  const larger = byteTokenizer({ specialTokens: ['<|user|>', '<|tool|>'] });

  it('needs no other weights', async () => {
    const moved = withVocabulary(model, larger);
    expect(moved.architecture.vocabulary).toBe(larger.vocabulary.size);
    const parameters = strong(model.architecture);
    const inputs = random(1).integers([1, 6], 257);
    expect(await drawnLogits(moved, parameters, inputs)).toHaveLength(6 * larger.vocabulary.size);
    expect(Object.keys(moved.init(random(0)))).toEqual(Object.keys(parameters));
  });

  it('keeps the rows of the fixed table that it has in common', () => {
    const [small, large] = [40, 60].map((vocabulary) => fixedTable({ seed: 2, vocabulary, width: 6 }).data);
    expect(large?.subarray(0, 240)).toEqual(small);
  });

  it('must name as many learned tokens as there are vectors', () => {
    expect(() => withVocabulary(model, larger, { learned: [] })).toThrow(/learned vectors of 1 tokens, not of 0/);
  });
});

it('tables of the permutation form are rows of the fixed one', async () => {
  const options = lexinvariantOptions({ ...SMALL, vocabulary: 9, form: 'permutation' });
  const parameters = strong(options);
  const program = await runtime.compile<LexinvariantParameters, Record<string, never>, Tensor>(
    (state, _input, call) => ({ out: lexinvariantTables(options, state, 2, call) }),
    { state: specsOf<LexinvariantParameters>(parameters), input: {} },
  );
  const { out } = await program.run(await stateOf<LexinvariantParameters>(runtime, parameters), {});
  const rows = (data: Float32Array): string[] =>
    Array.from({ length: data.length / 24 }, (_, i) => data.subarray(i * 24, (i + 1) * 24).join());
  const fixed = rows(fixedTable({ seed: 0, vocabulary: 9, width: 24 }).data).sort();
  const drawn = rows(out.data as Float32Array);
  expect(drawn.slice(0, 9)).not.toEqual(drawn.slice(9));
  expect(drawn.slice(0, 9).sort()).toEqual(fixed);
  expect(drawn.slice(9).sort()).toEqual(fixed);
  await program.dispose();
});
