import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { corpusFromStrings } from 'tessera-kit/formats';
import {
  cachedLexinvariant,
  decipherProbe,
  fixedTable,
  type LexinvariantChoices,
  type LexinvariantParameters,
  lexinvariant,
  lexinvariantModule,
  lexinvariantOptions,
  lexinvariantTables,
  lexinvariantUnder,
  loadLexinvariant,
  lookupRows,
  lookupSource,
  NOT_COUNTED,
  openLanguageModel,
  permutationRows,
  rowDraw,
  substitutionCipher,
  taskAccuracy,
  withVocabulary,
} from 'tessera-kit/language-models';
import { frozen, openCachedDecoder, type TrainEvent, train } from 'tessera-kit/nn';
import { openRun } from 'tessera-kit/run';
import {
  type Arrays,
  cast,
  concat,
  createRuntime,
  drawRows,
  equal,
  type NDArray,
  type Runtime,
  random,
  reshape,
  slice,
  specsOf,
  type Tensor,
  TesseraError,
} from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { stateOf, strong, trained, windowsOf } from './lexinvariant-models.js';

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ worker: false, threads: 1 });
});
afterAll(() => runtime.dispose());
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
    const text = 'The quick brown fox jumps over the lazy dog. '.repeat(30);
    const run = (out: string, signal?: AbortSignal) =>
      train({
        runtime,
        model,
        source: model.source(corpusFromStrings([text]), { batch: 4, length: 24 }, random(1)),
        steps: 6,
        rate: 1e-2,
        seed: 9,
        out,
        signal,
      });
    const follow = async (events: AsyncIterable<TrainEvent<LexinvariantParameters>>, stop?: AbortController) => {
      const losses: number[] = [];
      for await (const event of events) {
        if (event.type === 'step') losses.push(event.loss);
        if (event.type === 'step' && event.step === 3) stop?.abort();
      }
      return losses;
    };
    const whole = await follow(run(join(folder, 'whole')));
    const stop = new AbortController();
    const first = await follow(run(join(folder, 'halves'), stop.signal), stop);
    expect(first.length).toBeLessThan(6);
    expect([...first, ...(await follow(run(join(folder, 'halves'))))]).toEqual(whole);
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

describe('tasks', () => {
  const symbols = [3, 4, 5, 6, 7, 8, 9, 10];

  it('look-up rows ask for the partners that they list', () => {
    const { inputs, targets } = lookupRows({ symbols, pairs: 3, length: 11 }, 20, random(1));
    for (let row = 0; row < 20; row++) {
      const own = Array.from(inputs.data.subarray(row * 11, row * 11 + 11));
      expect(new Set(own.slice(0, 6)).size).toBe(6);
      for (const id of own) expect(symbols).toContain(id);
      const asked = Array.from(targets.data.subarray(row * 11, row * 11 + 11));
      for (const [at, answer] of asked.entries()) {
        if (at < 6 || at % 2 === 1) expect(answer).toBe(NOT_COUNTED);
        else expect(answer).toBe(own[own.indexOf(Number(own[at])) + 1]);
        if (at > 6 && at % 2 === 1) expect(own[at]).toBe(asked[at - 1]);
      }
    }
  });

  it('look-up grows from two pairs to the whole', async () => {
    const source = lookupSource({ symbols, pairs: 4, length: 13, growth: 6 }, 3, random(1));
    const pairs: number[] = [];
    for (let i = 0; i < 8; i++) {
      const targets = (await source.next())?.targets.data ?? new Int32Array();
      pairs.push(Array.from(targets, Number).findIndex((target) => target !== NOT_COUNTED) / 2);
    }
    expect(pairs).toEqual([2, 2, 3, 3, 4, 4, 4, 4]);
  });

  it('permutation rows apply one rearrangement to every string', () => {
    const { inputs, targets } = permutationRows({ symbols, size: 3, examples: 3 }, 10, random(1));
    for (let row = 0; row < 10; row++) {
      const own = Array.from(inputs.data.subarray(row * 18, row * 18 + 18));
      const places = [3, 4, 5].map((at) => own.slice(0, 3).indexOf(Number(own[at])));
      for (const start of [6, 12]) {
        expect(places.map((place) => own[start + place])).toEqual(own.slice(start + 3, start + 6));
        expect(Array.from(targets.data.subarray(row * 18 + start + 2, row * 18 + start + 5))).toEqual(
          own.slice(start + 3, start + 6),
        );
      }
    }
    const last = permutationRows({ symbols, size: 3, examples: 3, counted: 'last' }, 1, random(1)).targets.data;
    expect(last.filter((target) => target !== NOT_COUNTED)).toHaveLength(3);
  });

  it('exact match counts first answers, all answers and whole rows', async () => {
    // A model that repeats the token before: right where the answer is that.
    const echo = {
      apply: (_state: Record<string, never>, { inputs }: { readonly inputs: Tensor }): Tensor => {
        const flat = reshape(inputs, [-1, 1]);
        const names = Array.from({ length: 11 }, (_, id) => cast(equal(flat, id), 'float32'));
        return concat(names, 1);
      },
    };
    const leaf = (data: number[]): NDArray<'int32'> => ({ dtype: 'int32', shape: [2, 4], data: Int32Array.from(data) });
    const batch = {
      inputs: leaf([1, 2, 3, 4, 5, 6, 7, 8]),
      targets: leaf([NOT_COUNTED, 2, 9, NOT_COUNTED, 5, NOT_COUNTED, 7, 8]),
    };
    expect(await taskAccuracy(runtime, echo, {}, [batch, batch])).toEqual({ first: 1, all: 4 / 5, rows: 1 / 2 });
  });

  it.each([
    ['too many pairs', () => lookupRows({ symbols, pairs: 5, length: 20 }, 1, random(0)), /5 pairs .* 8 symbols/],
    ['no place to ask', () => lookupRows({ symbols, pairs: 3, length: 6 }, 1, random(0)), /no place for a query/],
    ['strings too long', () => permutationRows({ symbols, size: 9, examples: 3 }, 1, random(0)), /9 different symbols/],
    ['one string', () => permutationRows({ symbols, size: 3, examples: 1 }, 1, random(0)), /at least 2 strings/],
  ])('%s is refused', (_name, make, message) => {
    expect(make).toThrow(message);
    expect(make).toThrow(TesseraError);
  });
});

describe('deciphering', () => {
  // 0 0 1 0 0 1 ...: which symbol stands for 1 shows only in how it is used.
  const text = Int32Array.from({ length: 600 }, (_, i) => (i % 3 === 2 ? 1 : 0));
  const options = { length: 12, batch: 8, steps: 150, rate: 2e-2, tests: 4 } as const;

  it('a cipher is a permutation', () => {
    expect(Array.from(substitutionCipher(20, random(1))).sort((a, b) => a - b)).toEqual([...Array(20).keys()]);
  });

  it.each(['linear', 'mlp', 'similarity'] as const)(
    'a %s probe reads states that know the pattern, not bare symbols',
    async (kind) => {
      const same = (ids: Tensor, back: number): Tensor => {
        const [rows = 1, time = 1] = ids.shape;
        const now = slice(ids, 1, back, Number(time));
        const then = slice(ids, 1, 0, Number(time) - back);
        const match = cast(equal(now, then), 'float32');
        return reshape(concat([cast(equal(slice(ids, 1, 0, back), -1), 'float32'), match], 1), [
          Number(rows) * Number(time),
          1,
        ]);
      };
      const embeddings: NDArray = { dtype: 'float32', shape: [2, 2], data: Float32Array.of(1, 0.2, -0.3, 1) };
      // Whether a symbol equals the one before, and the one three before.
      const knowing = {
        width: 3,
        vocabulary: 2,
        states: (ids: Tensor) => {
          const before = same(ids, 1);
          const shifted = same(ids, 2);
          return concat([before, shifted, cast(equal(before, before), 'float32')], 1);
        },
      };
      const bare = { width: 1, vocabulary: 2, states: (ids: Tensor) => cast(reshape(ids, [-1, 1]), 'float32') };
      const texts = { train: text, test: text };
      const found = await decipherProbe(runtime, knowing, texts, { ...options, kind, embeddings });
      expect(found.commonest).toBeGreaterThan(0.6);
      expect(Math.min(...found.accuracy.subarray(3))).toBe(1);
      const blind = await decipherProbe(runtime, bare, texts, { ...options, kind, embeddings });
      expect(Math.max(...blind.accuracy.subarray(3))).toBeLessThan(1);
    },
  );

  it('needs embeddings for similarity, and a text of a window', async () => {
    const model = { width: 1, vocabulary: 2, states: (ids: Tensor) => cast(reshape(ids, [-1, 1]), 'float32') };
    await expect(
      decipherProbe(runtime, model, { train: text, test: text }, { ...options, kind: 'similarity' }),
    ).rejects.toThrow(/needs embeddings of 2 tokens/);
    const short = Int32Array.of(0, 1);
    await expect(decipherProbe(runtime, model, { train: short, test: text }, options)).rejects.toThrow(
      /shorter than a window/,
    );
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
