import fc from 'fast-check';
import { causal, causalRunner, openScorer, type ScoredModel } from 'tessera-kit/nn';
import { add, constant, gather, matmul, mul, range, reshape } from 'tessera-kit/tensor';
import { describe, expect, it } from 'vitest';
import { scoreWindows } from '../../dist/nn/windows.js';
import { testRuntime } from '../runtime.js';
import {
  bitsOf,
  byteCoder,
  constantLogits,
  handMade,
  handMadeHidden,
  handMadeLogits,
  hashDecoder,
} from './decoding-models.js';

const runtime = await testRuntime();

const END_OF_TEXT = 0;
const sequence = (length: number): number[] => Array.from({ length }, (_, i) => (i * i * 7 + i * 3 + 1) % 11);

describe('windows', () => {
  it('count every token once, each with at least half a context before it', () => {
    fc.assert(
      fc.property(fc.nat(200), fc.integer({ min: 1, max: 40 }), (tokens, context) => {
        const counted = new Array<number>(tokens).fill(0);
        for (const { start, skipped } of scoreWindows(tokens, context)) {
          for (let target = start + skipped; target < Math.min(start + context, tokens); target++) {
            counted[target] = (counted[target] ?? 0) + 1;
            // Target t is predicted from end-of-text and the t tokens before it, or as many of them as the window has.
            expect(target - start + 1).toBeGreaterThanOrEqual(Math.min(target + 1, Math.ceil(context / 2)));
          }
        }
        expect(counted).toEqual(new Array<number>(tokens).fill(1));
      }),
    );
  });
});

describe('bits', () => {
  it('are the sum over all tokens, once each, of a model that looks at none: any length, in several runs of the program', async () => {
    const logits = Array.from({ length: 11 }, (_, token) => Math.sin(token) * 2);
    const context = 6;
    const scorer = await openScorer(runtime, {
      ...{ context, vocabulary: 11, endOfText: END_OF_TEXT },
      logits: (ids) => constantLogits(logits, Number(ids.shape[0]) * context),
    });
    // Windows advance by three, and eight are run at once.
    for (const length of [0, 1, 5, 6, 7, 9, 10, 26, 27, 28, 60, 100]) {
      const tokens = sequence(length);
      const expected = tokens.reduce((sum, token) => sum + bitsOf(logits, token), 0);
      expect((await scorer.bits(tokens)).bits, `${length} tokens`).toBeCloseTo(expected, 3);
    }
    expect(await scorer.bits([])).toEqual({ bits: 0 });
    await scorer.dispose();
  });

  it('equal a direct evaluation, window by window', async () => {
    const context = 10;
    const weights = handMade(context, 3);
    const scorer = await openScorer(runtime, {
      ...{ context, vocabulary: 11, endOfText: END_OF_TEXT },
      logits: (ids, call) => {
        const positions = add(mul(ids, 0), reshape(range(context), [1, context]));
        const hidden = handMadeHidden(weights, ids, { attend: causal(context), positions }, call);
        return matmul(hidden, constant(weights.head));
      },
    });
    for (const length of [1, 9, 10, 11, 47, 83]) {
      const tokens = sequence(length);
      const whole = [END_OF_TEXT, ...tokens];
      let expected = 0;
      for (let target = 0; target < length; ) {
        // Windows begin at multiples of half a context; the first counts all of its targets, others the newer half.
        const start = target < context ? 0 : target - context / 2;
        const inputs = whole.slice(start, Math.min(start + context, length));
        const rows = handMadeLogits(weights, inputs);
        for (; target < start + inputs.length; target++)
          expected += bitsOf(rows[target - start] ?? [], tokens[target] ?? 0);
      }
      const { bits } = await scorer.bits(tokens);
      expect(Math.abs(bits - expected) / expected, `${length} tokens`).toBeLessThan(1e-5);
    }
    await scorer.dispose();
  });

  it('tell how far they are, and stop on a signal', async () => {
    const scorer = await openScorer(runtime, {
      ...{ context: 4, vocabulary: 2, endOfText: 0 },
      logits: (ids) => constantLogits([0, 0], Number(ids.shape[0]) * 4),
    });
    const seen: number[] = [];
    await scorer.bits(new Array<number>(64).fill(1), { bytes: 640, report: (bytes) => seen.push(bytes) });
    expect(seen.at(-1)).toBe(640);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.length).toBeGreaterThan(2);
    const controller = new AbortController();
    const stopped = scorer.bits(new Array<number>(64).fill(1), {
      signal: controller.signal,
      report: () => controller.abort(),
    });
    await expect(stopped).rejects.toMatchObject({ code: 'aborted' });
    await expect(scorer.bits([1], { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
    // Nothing of the stopped work is left over.
    expect((await scorer.bits([1, 0, 1])).bits).toBeCloseTo(3, 5);
    await scorer.dispose();
  });
});

describe('a model that draws', () => {
  /** Logits of a table drawn anew for every run. */
  const drawing: ScoredModel = {
    ...{ context: 4, vocabulary: 3, endOfText: 0, draws: true },
    logits: (ids, call) => gather(call.random.normal([3, 3]), reshape(ids, [-1]), 0),
  };
  const tokens = [1, 2, 2, 0, 1, 1, 2];

  it('gives the mean over its draws and the standard error of that mean', async () => {
    const scorer = await openScorer(runtime, drawing);
    const means: number[] = [];
    for (let draws = 1; draws <= 6; draws++) means.push((await scorer.bits(tokens, { draws })).bits);
    // The n-th draw is what the sum of n has more than the sum of n - 1.
    const own = means.map((mean, i) => mean * (i + 1) - (means[i - 1] ?? 0) * i);
    const mean = own.reduce((sum, bits) => sum + bits, 0) / own.length;
    const variance = own.reduce((sum, bits) => sum + (bits - mean) ** 2, 0) / (own.length - 1);
    expect(variance).toBeGreaterThan(0.01);
    const { bits, error } = await scorer.bits(tokens, { draws: 6 });
    expect(bits).toBeCloseTo(mean, 8);
    expect(error).toBeCloseTo(Math.sqrt(variance / 6), 8);
    expect((await scorer.bits(tokens, { draws: 1 })).error).toBe(0);
    await scorer.dispose();
  });

  it('gives the same for the same seed, and another for another', async () => {
    const scorer = await openScorer(runtime, drawing);
    const first = await scorer.bits(tokens, { seed: 1 });
    expect(await scorer.bits(tokens, { seed: 1 })).toEqual(first);
    expect((await scorer.bits(tokens, { seed: 2 })).bits).not.toBe(first.bits);
    await scorer.dispose();
  });

  it('draws anew for later windows of a document', async () => {
    // All windows of a run share their draw: 8 tokens are one run, 64 are eight, and would cost as much each if it were one draw.
    const scorer = await openScorer(runtime, {
      ...{ context: 2, vocabulary: 2, endOfText: 1, draws: true },
      logits: (ids, call) => add(mul(call.random.normal([1, 2]), 3), constantLogits([0, 0], Number(ids.shape[0]) * 2)),
    });
    const once = (await scorer.bits(new Array<number>(8).fill(1), { draws: 1 })).bits / 8;
    const often = (await scorer.bits(new Array<number>(64).fill(1), { draws: 1 })).bits / 64;
    expect(Math.abs(often - once)).toBeGreaterThan(0.01);
    await scorer.dispose();
  });
});

describe('a model opened for use', () => {
  it('generates and scores with parts that are made when first asked for', async () => {
    const made = { decoders: 0, disposed: 0 };
    const context = 4;
    const { decoder } = hashDecoder({ context, vocabulary: 3, endOfText: 99 });
    const runner = causalRunner(runtime, {
      coder: byteCoder(3),
      scored: {
        ...{ context, vocabulary: 3, endOfText: 0 },
        logits: (ids) => constantLogits([0, 0, 0], Number(ids.shape[0]) * context),
      },
      decoder: async () => {
        made.decoders++;
        return {
          ...decoder,
          dispose: async () => {
            made.disposed++;
          },
        };
      },
    });
    expect((await runner.bits(Uint8Array.of(1, 2, 1, 0, 2))).bits).toBeCloseTo(5 * Math.log2(3), 4);
    expect(made.decoders).toBe(0);
    for (let i = 0; i < 2; i++) {
      let length = 0;
      for await (const { bytes } of runner.generate([Uint8Array.of(1)], { maxTokens: 7 })) length += bytes.length;
      expect(length).toBe(7);
    }
    await runner.dispose();
    expect(made).toEqual({ decoders: 1, disposed: 1 });
  });
});
