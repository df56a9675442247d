import {
  gpt,
  initLexinvariant,
  type LexinvariantForm,
  type LexinvariantOptions,
  type LexinvariantParameters,
  lexinvariant,
  lexinvariantForward,
  lexinvariantModule,
  lexinvariantObjective,
  lexinvariantOptions,
  lexinvariantUnder,
  lossesByPosition,
  meanOver,
  NOT_COUNTED,
  partialEmbedding,
  partiallyLexinvariant,
} from 'tessera-kit/language-models';
import { adamW, countParameters, crossEntropy, type TokenArrays, type TokenBatch } from 'tessera-kit/nn';
import {
  type Arrays,
  array,
  arrayLeaves,
  type NDArray,
  random,
  reshape,
  softmax,
  specsOf,
  type Tensor,
} from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';
import { describe, expect, it } from 'vitest';
import { testRuntime } from '../runtime.js';
import { stateOf, strong, trained, windowsOf } from './lexinvariant-models.js';

const runtime = await testRuntime();

const SMALL = { vocabulary: 11, layers: 2, width: 24, heads: 2, context: 16 } as const;
const OPTIONS = lexinvariantOptions(SMALL);
const FORMS = ['tables', 'permutation'] as const;

const ids = (rows: number, time: number, below: number, seed = 1): NDArray<'int32'> =>
  random(seed).integers([rows, time], below);
const mapped = (given: NDArray<'int32'>, by: ArrayLike<number>): NDArray<'int32'> => ({
  ...given,
  data: given.data.map((id) => Number(by[id])),
});

/** Logits of a run; `step` chooses the draws. */
async function logitsOf(
  options: LexinvariantOptions,
  parameters: Arrays<LexinvariantParameters>,
  inputs: NDArray<'int32'>,
  steps: readonly number[],
  after: (logits: Tensor) => Tensor = (logits) => logits,
): Promise<Float32Array[]> {
  const program = await runtime.compile<LexinvariantParameters, { readonly inputs: Tensor }, Tensor>(
    (state, given, call) => ({ out: after(lexinvariantForward(options, state, given, call)) }),
    {
      state: specsOf<LexinvariantParameters>(parameters),
      input: { inputs: { dtype: 'int32', shape: inputs.shape } },
      seed: 5,
    },
  );
  const state = await stateOf<LexinvariantParameters>(runtime, parameters);
  const results: Float32Array[] = [];
  for (const step of steps) {
    const { out } = await program.run(state, { inputs }, { step });
    results.push(Float32Array.from(out.data, Number));
  }
  await state.dispose();
  await program.dispose();
  return results;
}

const difference = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - Number(b[i]))));

describe('invariance', () => {
  it('is exact: tables renamed with the ids give the renamed logits', async () => {
    const { vocabulary, width } = OPTIONS;
    const [rows, time] = [3, 9];
    const parameters = strong(OPTIONS);
    const program = await runtime.compile<
      LexinvariantParameters,
      { readonly ids: Tensor; readonly tables: Tensor },
      Tensor
    >((state, given, call) => ({ out: lexinvariantUnder(OPTIONS, state, given.ids, given.tables, call).logits }), {
      state: specsOf<LexinvariantParameters>(parameters),
      input: {
        ids: { dtype: 'int32', shape: [rows, time] },
        tables: { dtype: 'float32', shape: [rows, vocabulary, width] },
      },
    });
    const state = await stateOf<LexinvariantParameters>(runtime, parameters);
    const text = ids(rows, time, vocabulary);
    const tables = random(2).normal([rows, vocabulary, width]);
    const renaming = random(6).permutation(vocabulary).data;
    const moved = { ...tables, data: new Float32Array(tables.data.length) };
    for (let row = 0; row < rows; row++) {
      for (let v = 0; v < vocabulary; v++) {
        const [from, to] = [row * vocabulary + v, row * vocabulary + Number(renaming[v])];
        moved.data.set(tables.data.subarray(from * width, (from + 1) * width), to * width);
      }
    }
    const plain = await program.run(state, { ids: text, tables });
    const renamed = await program.run(state, { ids: mapped(text, renaming), tables: moved });
    let worst = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let place = 0; place < rows * time; place++) {
      for (let v = 0; v < vocabulary; v++) {
        const here = Number(plain.out.data[place * vocabulary + v]);
        worst = Math.max(worst, Math.abs(here - Number(renamed.out.data[place * vocabulary + Number(renaming[v])])));
        least = Math.min(least, here);
      }
    }
    expect(worst).toBeLessThan(1e-5);
    expect(least).toBeLessThan(-0.1); // the logits are not all zero
    await program.dispose();
  });

  it.each(FORMS)(
    'holds in distribution for %s; a trained standard model is nats worse under a cipher',
    async (form) => {
      const vocabulary = 12;
      const text = (rows: number, seed: number): TokenArrays => {
        // Steps of one or two upward: easy for a table of successors.
        const steps = random(seed).integers([rows, 25], 2).data;
        const whole = new Int32Array(rows * 25);
        for (const [i, step] of steps.entries()) {
          whole[i] = i % 25 === 0 ? step : (Number(whole[i - 1]) + 1 + step) % vocabulary;
        }
        return windowsOf(rows, 24, (row, time) => Number(whole[row * 25 + time]));
      };
      const cipher = random(8).permutation(vocabulary).data;
      const plain = text(32, 99);
      const ciphered = { inputs: mapped(plain.inputs, cipher), targets: mapped(plain.targets, cipher) };
      const shape = { vocabulary, layers: 2, width: 24, heads: 2, context: 24 };
      const own = lexinvariantOptions({ ...shape, form });
      const free = lexinvariantModule(own);
      const standard = gpt({ ...shape, endOfText: 0, tokenizer: byteTokenizer() });
      const lossesOf = async <P, B extends TokenBatch>(
        model: Parameters<typeof trained<P, B>>[1],
        draws: number,
      ): Promise<[number, number]> => {
        const batch = (index: number): TokenArrays => text(16, 1000 + index);
        const { parameters } = await trained<P, B>(runtime, model, { steps: 60, rate: 1e-2, batch });
        const mean = async (windows: TokenArrays): Promise<number> =>
          meanOver((await lossesByPosition(runtime, model, parameters, windows, { draws })).mean, 0, 24);
        return [await mean(plain), await mean(ciphered)];
      };
      const [freePlain, freeCiphered] = await lossesOf(free, 8);
      expect(Math.abs(freePlain - freeCiphered)).toBeLessThan(0.05);
      if (form !== 'tables') return;
      const [plainLoss, cipheredLoss] = await lossesOf(standard, 1);
      expect(plainLoss).toBeLessThan(1);
      expect(cipheredLoss - plainLoss).toBeGreaterThan(2);
    },
  );
});

describe('draws', () => {
  it.each(FORMS)('change the logits when redrawn and are the same for the same seed: %s', async (form) => {
    const options = lexinvariantOptions({ ...SMALL, form });
    const [one, same, other] = await logitsOf(options, strong(options), ids(2, 8, 11), [1, 1, 2]);
    expect(one).toEqual(same);
    expect(difference(one ?? [], other ?? [])).toBeGreaterThan(0.1);
  });

  it.each(FORMS)('differ between the sequences of a batch: %s', async (form) => {
    const options = lexinvariantOptions({ ...SMALL, form });
    const row = Array.from(ids(1, 8, 11).data);
    const [logits = new Float32Array()] = await logitsOf(
      options,
      strong(options),
      array([...row, ...row], [2, 8], 'int32') as NDArray<'int32'>,
      [1],
    );
    const half = logits.length / 2;
    expect(difference(logits.subarray(0, half), logits.subarray(half))).toBeGreaterThan(0.1);
  });

  it('make all tokens equally likely, on average, before any is read and for those that were not', async () => {
    const vocabulary = 7;
    const options = lexinvariantOptions({ ...SMALL, vocabulary, learned: [0] });
    const rows = 64;
    // A learned first token, then token 1 alone.
    const inputs = array(
      Array.from({ length: rows * 2 }, (_, i) => i % 2),
      [rows, 2],
      'int32',
    ) as NDArray<'int32'>;
    const draws = Array.from({ length: 60 }, (_, step) => step);
    const runs = await logitsOf(options, strong(options), inputs, draws, (logits) => softmax(reshape(logits, [-1, 7])));
    const mean = (place: number, v: number): number => {
      let total = 0;
      for (const run of runs) for (let row = 0; row < rows; row++) total += Number(run[(row * 2 + place) * 7 + v]);
      return total / (runs.length * rows);
    };
    const first = [1, 2, 3, 4, 5, 6].map((v) => mean(0, v));
    const share = first.reduce((a, b) => a + b, 0) / 6;
    for (const value of first) expect(Math.abs(value / share - 1)).toBeLessThan(0.07);
    const later = [2, 3, 4, 5, 6].map((v) => mean(1, v));
    const rest = later.reduce((a, b) => a + b, 0) / 5;
    const spread = Math.max(...later.map((value) => Math.abs(value / rest - 1)));
    expect(spread).toBeLessThan(0.07);
    // The token that was read stands apart.
    expect(Math.abs(mean(1, 1) / rest - 1)).toBeGreaterThan(2 * spread);
  });

  it('keep the mean loss of a first token at ln |V| or above, trained or not', async () => {
    const vocabulary = 9;
    const options = lexinvariantOptions({ ...SMALL, vocabulary, learned: [0], context: 8 });
    const model = lexinvariantModule(options);
    const windows = (rows: number, seed: number): TokenArrays => {
      const body = random(seed).integers([rows, 8], 2).data; // only tokens 1 and 2 ever come
      return windowsOf(rows, 8, (row, time) => (time === 0 ? 0 : 1 + Number(body[row * 8 + time - 1])));
    };
    const after = await trained(runtime, model, { steps: 40, rate: 1e-2, batch: (index) => windows(16, index) });
    for (const parameters of [initLexinvariant(options, random(0)), after.parameters]) {
      const { mean } = await lossesByPosition(runtime, model, parameters, windows(64, 500), {
        draws: 16,
      });
      // The eight tokens without a learned vector share at most all of the probability.
      expect(mean[0]).toBeGreaterThan(Math.log(8));
    }
  });
});

describe('parameters', () => {
  it('have no term of the vocabulary, and no vectors of tokens in the optimizer', () => {
    const sizes = [11, 400].map((vocabulary) => {
      const parameters = initLexinvariant(lexinvariantOptions({ ...SMALL, vocabulary, form: 'tables' }), random(0));
      const moments = adamW().init(parameters);
      for (const [, { shape }] of arrayLeaves(moments)) expect(shape).not.toContain(vocabulary);
      return countParameters(parameters);
    });
    expect(sizes[0]).toBe(sizes[1]);
  });

  it.each([[[]], [[0, 3]]])('all get a gradient, and tokens %j keep learned vectors', async (learned) => {
    const options = lexinvariantOptions({ ...SMALL, learned });
    const model = lexinvariantModule(options);
    const before = arrayLeaves(initLexinvariant(options, random(0).child('model')));
    const batch = { inputs: ids(4, 8, 11), targets: ids(4, 8, 11, 2) };
    const { parameters: after } = await trained(runtime, model, { steps: 1, rate: 1e-2, batch: () => batch });
    const found = new Map(arrayLeaves(after));
    for (const [path, leaf] of before)
      expect([path, difference(leaf.data as Float32Array, found.get(path)?.data as Float32Array) > 0]).toEqual([
        path,
        true,
      ]);
    expect(found.has('learned.weight')).toBe(learned.length > 0);
  });
});

describe('the permutation form', () => {
  it('is the default above 512 tokens', () => {
    expect(lexinvariantOptions({ ...SMALL, vocabulary: 512 }).form).toBe('tables');
    expect(lexinvariantOptions({ ...SMALL, vocabulary: 513 }).form).toBe('permutation');
  });

  it.each([[[]], [[2, 5]]])(
    'renames inputs and targets alike: its loss is that of its own logits, learned %j',
    async (learned) => {
      const options = lexinvariantOptions({ ...SMALL, form: 'permutation', learned });
      const objective = lexinvariantObjective(options, { ignoreIndex: NOT_COUNTED });
      const parameters = strong(options);
      const spec = { dtype: 'int32', shape: [3, 8] } as const;
      const program = await runtime.compile<
        LexinvariantParameters,
        { readonly inputs: Tensor; readonly targets: Tensor },
        { a: Tensor; b: Tensor }
      >(
        (state, batch, call) => ({
          out: {
            a: objective.loss((given, inner) => lexinvariantForward(options, state, given, inner), {}, batch, call)
              .total,
            b: crossEntropy(lexinvariantForward(options, state, batch, call), batch.targets, {
              ignoreIndex: NOT_COUNTED,
            }).total,
          },
        }),
        { state: specsOf<LexinvariantParameters>(parameters), input: { inputs: spec, targets: spec } },
      );
      const targets = ids(3, 8, 11, 7);
      targets.data[4] = NOT_COUNTED;
      const state = await stateOf<LexinvariantParameters>(runtime, parameters);
      const { out } = await program.run(state, { inputs: ids(3, 8, 11), targets });
      expect(Number(out.a.data[0])).toBeCloseTo(Number(out.b.data[0]), 4);
      await program.dispose();
    },
  );
});

interface EmbeddedRows {
  readonly embedded: Tensor;
  readonly logits: Tensor;
}

describe('partial lexinvariance', () => {
  const standard = gpt({ tokenizer: byteTokenizer(), layers: 1, width: 16, heads: 2, context: 16 });
  const batch = { inputs: ids(4, 12, 200), targets: ids(4, 12, 200, 2) };
  const run = (model: typeof standard) => trained(runtime, model, { steps: 4, rate: 1e-2, batch: () => batch });

  it('with p = 0 is the standard tied model bit for bit; with 0.2 it trains otherwise and evaluates alike', async () => {
    const plain = await run(standard);
    const some = await run(partiallyLexinvariant(standard));
    expect(await run(partiallyLexinvariant(standard, { p: 0 }))).toEqual(plain);
    expect(some.losses[0]).not.toBe(plain.losses[0]);
    const evaluated = async (model: typeof standard): Promise<Float64Array> =>
      (await lossesByPosition(runtime, model, plain.parameters, batch, { rows: 4, draws: 1 })).mean;
    expect(await evaluated(partiallyLexinvariant(standard))).toEqual(await evaluated(standard));
  });

  it.each([
    ['drawn', 400],
    ['from one table', 600],
  ])('replaces every vector with p = 1, %s, in input and output alike', async (_name, vocabulary) => {
    const [rows, width] = [3, 16];
    const learned = random(2).normal([vocabulary, width], 0.05);
    const text = ids(rows, 5, vocabulary);
    const program = await runtime.compile<{ readonly learned: Tensor }, { readonly ids: Tensor }, EmbeddedRows>(
      (state, given, call) => {
        const { embedded, logits } = partialEmbedding(state.learned, given.ids, { probability: 1 }, call);
        return { out: { embedded, logits: logits(embedded) } };
      },
      {
        state: { learned: { dtype: 'float32', shape: [vocabulary, width] } },
        input: { ids: { dtype: 'int32', shape: [rows, 5] } },
        training: true,
      },
    );
    const { out } = await program.run(await stateOf<{ readonly learned: Tensor }>(runtime, { learned }), { ids: text });
    const vectors = out.embedded.data as Float32Array;
    let squares = 0;
    for (let place = 0; place < rows * 5; place++) {
      const vector = vectors.subarray(place * width, (place + 1) * width);
      const own = learned.data.subarray(Number(text.data[place]) * width, (Number(text.data[place]) + 1) * width);
      expect(difference(vector, own)).toBeGreaterThan(0.01);
      const length = vector.reduce((sum, value) => sum + value * value, 0);
      squares += length;
      expect(Number(out.logits.data[place * vocabulary + Number(text.data[place])])).toBeCloseTo(length, 5);
    }
    // As long as the learned ones, on average.
    expect(Math.sqrt(squares / (rows * 5 * width)) / 0.05).toBeGreaterThan(0.8);
    expect(Math.sqrt(squares / (rows * 5 * width)) / 0.05).toBeLessThan(1.2);
    await program.dispose();
  });

  it('needs a probability and a tied table', () => {
    expect(() => partiallyLexinvariant(standard, { p: 1.5 })).toThrow(/from 0 to 1, not 1.5/);
    const untied = gpt({ tokenizer: byteTokenizer(), layers: 1, width: 16, heads: 2, tied: false });
    expect(() => partiallyLexinvariant(untied)).toThrow(/tied table/);
  });
});

describe('bad input', () => {
  it.each([
    ['a form that is none', { form: 'rows' as LexinvariantForm }, /tables or permutation/],
    ['vectors of no length', { embedStd: 0 }, /embedStd must be above 0/],
    ['an input scale below 0', { inputScale: -1 }, /inputScale must be above 0/],
    ['weights of no spread', { deviation: Number.NaN }, /deviation must be above 0/],
    ['a learned token outside', { learned: [11] }, /token 11 .* vocabulary of 11/],
    ['a learned token named twice', { learned: [1, 1] }, /named twice/],
    ['no token left', { vocabulary: 3, learned: [0, 1] }, /Fewer than two/],
    ['a seed that is none', { tableSeed: 0.5 }, /tableSeed/],
  ])('%s is refused in a sentence', (_name, choices, message) => {
    expect(() => lexinvariantOptions({ ...SMALL, ...choices })).toThrow(message);
  });

  it('is built over a tokenizer whose special tokens may keep a learned vector', () => {
    const tokenizer = byteTokenizer();
    const model = lexinvariant({ tokenizer, learnSpecial: true, width: 24, heads: 2 });
    expect(model.architecture.learned).toEqual([tokenizer.endOfText]);
    expect(model.likelihood).toBe('sampled');
  });
});
