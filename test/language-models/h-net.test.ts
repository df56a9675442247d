import {
  alwaysOne,
  averageChunks,
  boundaryProbabilities,
  chunksOf,
  fromHNetConfig,
  H_NET_SIZES,
  type HNetChoices,
  type HNetParameters,
  hNet,
  hNetForward,
  hNetLayoutFromJson,
  hNetLayoutJson,
  hNetOptions,
  initHNet,
  parseHNetLayout,
  printHNetLayout,
  ratioLoss,
  spreadChunks,
  takeChunks,
  toHNetConfig,
} from 'tessera-kit/language-models';
import { frozen } from 'tessera-kit/nn';
import {
  array,
  arrayLeaves,
  evaluate,
  gradients,
  mul,
  type NDArray,
  random,
  reshape,
  sum,
  type Tensor,
  TesseraError,
} from 'tessera-kit/tensor';
import { byteTokenizer, trainBpe } from 'tessera-kit/tokenizers';
import { describe, expect, it } from 'vitest';
import { testRuntime } from '../runtime.js';
import { MODELS, type ModelName, someBytes, strong, wholeRows } from './h-net-models.js';

const runtime = await testRuntime();

const float = (values: readonly number[], shape: readonly number[]): NDArray =>
  array(Float32Array.from(values), shape, 'float32');
const numbers = ({ data }: NDArray): number[] => Array.from(data, Number);
const identity = (size: number): NDArray =>
  float(
    Array.from({ length: size * size }, (_, i) => Number(i % (size + 1) === 0)),
    [size, size],
  );
const starts = (batch: number, time: number): NDArray => ({
  dtype: 'bool',
  shape: [batch, time],
  data: Uint8Array.from({ length: batch * time }, (_, i) => Number(i % time === 0)),
});

describe('configurations', () => {
  it.each(['m4,[T22],m4', 'm4,[T1m4,[T26],m4T1],m4', 'T2,[T4],T2', 't1M2T1,[m1T3],t2'])(
    'reads and writes %s',
    (text) => {
      expect(printHNetLayout(parseHNetLayout(text))).toBe(text);
      expect(printHNetLayout(hNetLayoutFromJson(hNetLayoutJson(parseHNetLayout(text))))).toBe(text);
    },
  );

  it('reads the nested lists of published files', () => {
    expect(hNetLayoutJson(parseHNetLayout('m4,[T1m4,[T26],m4T1],m4'))).toEqual(['m4', ['T1m4', ['T26'], 'm4T1'], 'm4']);
    expect(parseHNetLayout('m2t1, [T1] ,m1')).toEqual({
      encoder: ['m', 'm', 't'],
      inner: { main: ['T'] },
      decoder: ['m'],
    });
  });

  it.each([
    ['T22', 'no inner network'],
    ['m4,[T22]', 'a decoder after'],
    ['m4[T22],m4', 'an encoder before'],
    ['m4,[T22,m4', 'not closed'],
    ['m4,[x3],m4', '"x3"'],
    ['m4,[T],m4', 'needs a count'],
    ['m4,[T0],m4', 'needs a count'],
    ['m4,[],m4', 'empty stack'],
    ['m4,[T2,T3],m4', 'one stack'],
    ['4,[T2],m4', 'without a block'],
  ])('refuses %s', (text, sentence) => {
    expect(() => parseHNetLayout(text)).toThrow(sentence);
    try {
      parseHNetLayout(text);
    } catch (error) {
      expect(error).toMatchObject({ code: 'bad-option', hint: expect.stringContaining('m4,[T22],m4') });
    }
  });

  it('has the published sizes', () => {
    const { layout, widths, hidden, heads, rotary, windows, ratios, state } = hNetOptions({ size: '2stage_XL' });
    expect({ layout, widths, hidden, heads, rotary, windows, ratios, state }).toEqual({
      layout: 'm4,[T1m4,[T27],m4T1],m4',
      widths: [1024, 1536, 2048],
      hidden: [0, 4096, 5504],
      heads: [16, 16, 16],
      rotary: [32, 48, 64],
      windows: [1023, 1023, -1],
      ratios: [3, 3],
      state: 128,
    });
    for (const size of ['tiny', 'small', '1stage_L', '2stage_L', '1stage_XL', '2stage_XL'] as const) {
      expect(hNetOptions({ size }).layout).toBe(H_NET_SIZES[size].layout);
      expect(fromHNetConfig(toHNetConfig(hNetOptions({ size })))).toEqual(hNetOptions({ size }));
    }
  });

  it.each<[HNetChoices, string]>([
    [{ size: 'huge' as never }, 'no size "huge"'],
    [{ widths: [128] }, '2 stages'],
    [{ widths: [192, 128] }, 'may not shrink'],
    [{ heads: [3, 6] }, 'does not divide into 3 heads'],
    [{ hidden: [0, 512] }, 'Feed-forward blocks'],
    [{ ratios: [1] }, 'above 1'],
    [{ ratios: [3, 3] }, 'as many entries'],
    [{ rotary: [33, 32] }, 'even number'],
    [{ capacity: 0 }, 'share'],
    [{ context: 0 }, 'context'],
    [{ layout: 'm2,[T2],m2', widths: [100, 128] }, 'Mamba-2 heads'],
    [{ size: '2stage_L', boundaries: 'spaces' }, 'one stage'],
  ])('refuses %j', (choices, sentence) => {
    expect(() => hNetOptions(choices)).toThrow(sentence);
    expect(() => hNetOptions(choices)).toThrow(TesseraError);
  });

  it('takes bytes and no other tokenizer', async () => {
    expect(hNet({ tokenizer: byteTokenizer() }).tokenizer.vocabulary.size).toBe(256);
    const words = async function* () {
      yield 'one two three one two three';
    };
    const { tokenizer } = await trainBpe(words(), { vocabularySize: 260 });
    expect(() => hNet({ tokenizer })).toThrow('reads bytes');
  });
});

describe('the ratio loss', () => {
  it.each([
    [1 / 6, 1 / 6, 6, 1],
    [1, 1, 6, 6],
    [0.5, 0.5, 6, 1.8],
    [0, 0, 6, 1.2],
    [0.5, 0.3, 2, 1],
  ])('of F = %d, G = %d, N = %d is %d', async (share, probability, ratio, value) => {
    const [loss] = numbers(
      await evaluate((f: Tensor, g: Tensor) => ratioLoss(f, g, ratio), float([share], []), float([probability], [])),
    );
    expect(loss).toBeCloseTo(value, 5);
  });

  it('moves the probabilities only, and lowers them where there are too many boundaries', async () => {
    const slopes = await evaluate(
      (f: Tensor, g: Tensor) => gradients(ratioLoss(f, g, 6), { f, g }),
      float([0.5], []),
      float([0.5], []),
    );
    expect(numbers(slopes.f)).toEqual([0]);
    // N / (N - 1) ((N - 1) F - (1 - F)) = 1.2 (2.5 - 0.5)
    expect(numbers(slopes.g)[0]).toBeCloseTo(2.4, 5);
  });
});

describe('routing', () => {
  const probabilitiesOf = (hidden: NDArray, query?: NDArray) =>
    evaluate(
      (h: Tensor, opening: Tensor, q: Tensor, k: Tensor) =>
        boundaryProbabilities({ query: { weight: q }, key: { weight: k } }, h, opening),
      hidden,
      starts(Number(hidden.shape[0]), Number(hidden.shape[1])),
      query ?? identity(Number(hidden.shape[2])),
      identity(Number(hidden.shape[2])),
    );

  it('of a constant state finds one chunk', async () => {
    const p = await probabilitiesOf(float(Array(10).fill([0.3, -1.2, 2]).flat(), [1, 10, 3]));
    expect(numbers(p)[0]).toBe(1);
    expect(Math.max(...numbers(p).slice(1))).toBeLessThan(1e-6);
    const chunks = await evaluate(
      (x: Tensor, s: Tensor) => ({ exists: chunksOf(x, s, undefined, 10).exists }),
      p,
      starts(1, 10),
    );
    expect(numbers(chunks.exists)).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('of an alternating state makes every position a chunk, and comes back as it was', async () => {
    const hidden = float(
      Array.from({ length: 8 }, (_, t) => [0.5, -1, 2].map((v) => (t % 2 === 0 ? v : -v))).flat(),
      [1, 8, 3],
    );
    const p = await probabilitiesOf(hidden);
    for (const value of numbers(p)) expect(value).toBeCloseTo(1, 6);
    const back = await evaluate(
      (x: Tensor, probabilities: Tensor, s: Tensor) => {
        const chunks = chunksOf(probabilities, s, undefined, 8);
        return { back: spreadChunks(takeChunks(reshape(x, [8, 3]), chunks), chunks), exists: chunks.exists };
      },
      hidden,
      p,
      starts(1, 8),
    );
    expect(numbers(back.exists)).toEqual(Array(8).fill(1));
    // The clamp at 1e-4 mixes in a little of the vector before, here its opposite.
    for (const [i, value] of numbers(back.back).entries()) {
      expect(Math.abs(value - Number(hidden.data[i]))).toBeLessThan(2e-4 * 2.01);
    }
  });

  it('takes the earlier position as the query', async () => {
    // The query map turns the first axis into the second: only "first, then second" is alike.
    const turn = float([0, 1, 1, 0], [2, 2]);
    const p = await probabilitiesOf(float([1, 0, 0, 1, 0, 1, 1, 0], [1, 4, 2]), turn);
    expect(numbers(p).map((value) => Math.round(value * 1e5) / 1e5)).toEqual([1, 0, 0.5, 0]);
    const lopsided = float([1, 0, 0, 0], [2, 2]);
    const q = await probabilitiesOf(float([1, 1, 0, 1], [1, 2, 2]), lopsided);
    // q = [1, 0] of the first, k = [0, 1] of the second: at right angles. The other way round q would be [0, 0].
    expect(numbers(q)[1]).toBeCloseTo(0.5, 6);
  });

  it('does not count a tie as a boundary, and copies chunks to their positions', async () => {
    const out = await evaluate(
      (p: Tensor, s: Tensor) => {
        const { boundaries, chunkOf, positions } = chunksOf(p, s, undefined, 5);
        return { boundaries, chunkOf, positions };
      },
      float([1, 0.5, 0.2, 0.50001, 0.4], [1, 5]),
      starts(1, 5),
    );
    expect(numbers(out.boundaries)).toEqual([1, 0, 0, 1, 0]);
    expect(numbers(out.chunkOf)).toEqual([0, 0, 0, 1, 1]);
    expect(numbers(out.positions).slice(0, 2)).toEqual([0, 3]);
  });

  it('drops the least likely boundaries of a row that has too many, and counts them', async () => {
    const out = await evaluate(
      (p: Tensor, s: Tensor) => {
        const { boundaries, chunkOf, positions, exists, dropped } = chunksOf(p, s, undefined, 3);
        return { boundaries, chunkOf, positions, exists, dropped };
      },
      float([1, 0.6, 0.9, 0.55, 0.8, 1, 0.1, 0.7, 0.2, 0.3], [2, 5]),
      starts(2, 5),
    );
    expect(numbers(out.boundaries)).toEqual([1, 0, 1, 0, 1, 1, 0, 1, 0, 0]);
    expect(numbers(out.chunkOf)).toEqual([0, 0, 1, 1, 2, 0, 0, 1, 1, 1]);
    expect(numbers(out.positions).slice(0, 5)).toEqual([0, 2, 4, 0, 2]);
    expect(numbers(out.exists)).toEqual([1, 1, 1, 1, 1, 0]);
    expect(numbers(out.dropped)).toEqual([2]);
  });

  it('averages chunks', async () => {
    const out = await evaluate(averageChunks, float([0.9999, 0.5, 0.8], [1, 3]), float([1, 3, 2], [1, 3, 1]));
    const expected = [0.9999, 1.99995, 1.99999];
    for (const [i, value] of numbers(out).entries()) expect(value).toBeCloseTo(expected[i] ?? 0, 6);
  });

  it('passes the confidence through as 1, with its gradient', async () => {
    const out = await evaluate(
      (c: Tensor, u: Tensor) => {
        const y = mul(alwaysOne(c), u);
        return { y, slope: gradients(sum(y), { c }).c };
      },
      float([0.6, 0.9], [2]),
      float([3, -2], [2]),
    );
    expect(numbers(out.y)).toEqual([3, -2]);
    expect(numbers(out.slope)).toEqual([3, -2]);
  });
});

describe('the model', () => {
  const names = Object.keys(MODELS) as ModelName[];

  it.each(names)('with %s sees nothing of the bytes that come', async (name) => {
    const model = strong(MODELS[name]);
    const text = someBytes(40);
    const { logits: before, exists: counts } = await wholeRows(runtime, model, [text]);
    // The check means something only where rows are cut at several places.
    for (const exists of counts) expect(numbers(exists).filter(Boolean).length).toBeGreaterThan(2);
    for (const at of [5, 12, text.length - 1]) {
      const changed = text.with(at, ((text[at] ?? 0) + 77) % 250);
      const { logits: after } = await wholeRows(runtime, model, [changed]);
      expect(numbers(after).slice(0, at * 256)).toEqual(numbers(before).slice(0, at * 256));
      expect(numbers(after).slice(at * 256)).not.toEqual(numbers(before).slice(at * 256));
    }
  });

  it.each(names)('with %s gives the same with as few chunk places as there are chunks', async (name) => {
    const model = strong(MODELS[name]);
    const rows = [someBytes(40), someBytes(40, 2)];
    const whole = await wholeRows(runtime, model, rows);
    // Each stage takes its share of what the stage outside has room for.
    let [most, room] = [0, 40];
    for (const exists of whole.exists) {
      const size = exists.shape[1] ?? 1;
      const found = [0, 1].map(
        (row) =>
          numbers(exists)
            .slice(row * size, (row + 1) * size)
            .filter(Boolean).length,
      );
      most = Math.max(most, Math.max(...found) / room);
      room = Math.max(...found);
    }
    expect(most).toBeLessThan(1);
    const tight = await wholeRows(runtime, model, rows, most);
    // Places without a chunk are in no share and no mean.
    expect(tight.ratioLoss).toBeCloseTo(whole.ratioLoss, 5);
    for (const [i, value] of numbers(tight.logits).entries()) {
      expect(Math.abs(value - Number(whole.logits.data[i]))).toBeLessThan(1e-4);
    }
  });

  it('begins a chunk where a document begins', async () => {
    const { options, parameters } = strong(MODELS['one stage']);
    const ids = [65, 66, 254, 65, 66, 67];
    const program = await runtime.compile<Record<string, never>, { ids: Tensor }, Tensor>(
      (_state, given, call) => {
        let chances = given.ids;
        hNetForward(options, frozen<HNetParameters>(parameters), given.ids, call, {
          chunks: (_stage, { probabilities }) => {
            chances = probabilities;
          },
        });
        return { out: chances };
      },
      { state: {}, input: { ids: { dtype: 'int32', shape: [1, 6] } } },
    );
    const { out: chances } = await program.run(await runtime.upload({}), {
      ids: array(Int32Array.from(ids), [1, 6], 'int32'),
    });
    expect(numbers(chances)[0]).toBe(1);
    expect(numbers(chances)[2]).toBe(1);
    expect(numbers(chances)[3]).toBeLessThan(1);
  });

  it('begins with the deviations that the published code has', () => {
    const options = hNetOptions({ layout: 'T2,[T3],T2', widths: [64, 96], heads: [2, 3], hidden: [96, 128] });
    const leaves = new Map(arrayLeaves(initHNet(options, random(0))));
    const deviation = (path: string): number => {
      const { data } = leaves.get(path) ?? { data: [] as unknown as Float32Array };
      return Math.sqrt(Array.from(data, Number).reduce((total, value) => total + value * value, 0) / data.length);
    };
    expect(deviation('embedding.weight')).toBeCloseTo(1, 1);
    expect(deviation('head.weight')).toBeCloseTo(0.02, 2);
    expect(deviation('stages.0.encoder.layers.0.attention.query.weight')).toBeCloseTo(0.02, 3);
    // Encoder and decoder add 4 residuals each, the main network 6 more.
    expect(deviation('stages.0.encoder.layers.1.mlp.down.weight')).toBeCloseTo(0.02 / Math.sqrt(8), 3);
    expect(deviation('stages.1.main.layers.0.attention.out.weight')).toBeCloseTo(0.02 / Math.sqrt(14), 3);
    expect(numbers(leaves.get('stages.0.routing.query.weight') ?? float([], [0]))).toEqual(numbers(identity(64)));
    expect(deviation('stages.0.residual.weight')).toBe(0);
    expect(deviation('stages.1.pad')).toBe(0);
    const bias = numbers(leaves.get('stages.0.residual.bias') ?? float([], [0]));
    expect(Math.max(...bias.map(Math.abs))).toBeLessThanOrEqual(1 / 8);
    expect(deviation('stages.0.residual.bias')).toBeCloseTo(1 / 8 / Math.sqrt(3), 2);
  });

  it('multiplies rates by stage', () => {
    const { rates } = hNet({ rates: [3, 0.9] });
    expect(rates?.('embedding.weight')).toBe(3);
    expect(rates?.('stages.0.encoder.norm.weight')).toBe(3);
    expect(rates?.('stages.1.main.norm.weight')).toBe(0.9);
    expect(rates?.('head.weight')).toBe(3);
    expect(hNet().rates).toBeUndefined();
  });
});
