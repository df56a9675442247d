import fc from 'fast-check';
import { type DecoderStep, decode, type GenerateOptions, openCachedDecoder, stopFilter } from 'tessera-kit/nn';
import { add, array, type Tensor } from 'tessera-kit/tensor';
import { describe, expect, it } from 'vitest';
import { testRuntime } from '../runtime.js';
import { byteCoder, handMade, handMadeCached, handMadeLogits, hashDecoder, hashedLogits } from './decoding-models.js';

const runtime = await testRuntime();

const VOCABULARY = 20;
/** No token of the vocabulary unless a test says so: nothing ends early. */
const NEVER = 99;

type Options = { readonly context?: number; readonly endOfText?: number } & GenerateOptions;

/** What each prompt is continued with. */
async function continued(prompts: readonly (readonly number[])[], options: Options = {}) {
  const { context = 16, endOfText = NEVER, ...choices } = options;
  const { decoder, witness } = hashDecoder({ context, vocabulary: VOCABULARY, endOfText });
  const bytes = prompts.map((prompt) => Uint8Array.from(prompt));
  const rows = prompts.map((): number[] => []);
  for await (const piece of decode(decoder, byteCoder(VOCABULARY), bytes, { temperature: 0, ...choices })) {
    rows[piece.row]?.push(...piece.bytes);
  }
  return { rows, witness };
}

/** The likeliest continuation by the definition: no caches, no other rows; a full context goes on from its newer half. */
function directly(prompt: readonly number[], maxTokens: number, context: number, endOfText = NEVER): number[] {
  const tokens = prompt.length === 0 ? [endOfText] : [...prompt];
  const out: number[] = [];
  let start = Math.max(0, tokens.length - context);
  while (out.length < maxTokens) {
    const window = tokens.slice(start);
    const logits = hashedLogits(window, VOCABULARY);
    const token = logits.indexOf(Math.max(...logits));
    tokens.push(token);
    if (token === endOfText) break;
    out.push(token);
    if (window.length >= context) start = tokens.length - Math.max(1, context >> 1);
  }
  return out;
}

const promptsOf = (longest: number) =>
  fc.array(fc.array(fc.nat(VOCABULARY - 1), { maxLength: longest }), { minLength: 1, maxLength: 4 });

describe('several prompts', () => {
  it('give what each gives alone, of whatever length, also past the context', async () => {
    const sizes = fc.record({ context: fc.integer({ min: 1, max: 9 }), maxTokens: fc.integer({ min: 1, max: 24 }) });
    await fc.assert(
      fc.asyncProperty(promptsOf(14), sizes, async (prompts, { context, maxTokens }) => {
        const endOfText = 3;
        const { rows } = await continued(prompts, { context, maxTokens, endOfText });
        const expected = prompts.map((prompt) => directly(prompt, maxTokens, context, endOfText));
        expect(rows).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  it('draw each by the number of its row, whatever stands beside it', async () => {
    const choices = { temperature: 1, seed: 5, maxTokens: 12, context: 8 };
    const { rows } = await continued([[1, 2], [3], [4, 5, 6]], choices);
    const others = await continued([[9, 9, 9, 9], [3], [7]], choices);
    expect(others.rows[1]).toEqual(rows[1]);
    expect((await continued([[1, 2]], choices)).rows[0]).toEqual(rows[0]);
    expect((await continued([[1, 2]], { ...choices, seed: 6 })).rows[0]).not.toEqual(rows[0]);
    expect((await continued([[3]], choices)).rows[0]).not.toEqual(rows[1]);
  });

  it('are read in one step, and then one token at a time', async () => {
    const { witness } = await continued([[1, 2, 3], [4]], { maxTokens: 4, context: 64 });
    expect(witness.steps.map(({ time }) => time)).toEqual([3, 1, 1, 1]);
    expect(witness.steps.map(({ at }) => [...at])).toEqual([
      [0, 0],
      [3, 1],
      [4, 2],
      [5, 3],
    ]);
    expect([witness.opened, witness.disposed]).toEqual([1, 1]);
  });

  it('that are none open nothing', async () => {
    const { witness } = await continued([]);
    expect(witness.opened).toBe(0);
  });
});

describe('a row that is done', () => {
  it('lets the others go on, and is told nothing new', async () => {
    const prompts = [[1, 2, 3, 4], [5], [6, 7]];
    const free = prompts.map((prompt) => directly(prompt, 30, 12));
    // The token that the first row makes third, and the others late or never, ends a text from now on.
    const endOfText = free[0]?.[2] ?? NEVER;
    const { rows, witness } = await continued(prompts, { maxTokens: 30, context: 12, endOfText });
    const expected = prompts.map((prompt) => directly(prompt, 30, 12, endOfText));
    expect(rows).toEqual(expected);
    expect(expected[0]?.length).toBeLessThanOrEqual(2);
    expect(Math.max(...expected.map(({ length }) => length))).toBeGreaterThan(5);
    const [first] = witness.steps;
    expect(first?.lengths).toEqual(Int32Array.of(4, 1, 2));
  });

  it('ends the work when it is the last', async () => {
    const [first = NEVER] = directly([1], 1, 8);
    const { rows, witness } = await continued([[1]], { maxTokens: 50, endOfText: first });
    expect([rows[0], witness.steps.length, witness.disposed]).toEqual([[], 1, 1]);
  });
});

describe('a generation', () => {
  it('is stopped by a signal, and frees what it held', async () => {
    const { decoder, witness } = hashDecoder({ context: 8, vocabulary: VOCABULARY, endOfText: NEVER });
    const controller = new AbortController();
    const made: number[] = [];
    const generation = async (): Promise<void> => {
      const options = { temperature: 0, maxTokens: 50, signal: controller.signal };
      for await (const { bytes } of decode(decoder, byteCoder(VOCABULARY), [Uint8Array.of(1)], options)) {
        made.push(...bytes);
        if (made.length === 3) controller.abort();
      }
    };
    await expect(generation()).rejects.toMatchObject({ code: 'aborted' });
    expect([made.length, witness.disposed]).toEqual([3, 1]);
  });

  it('frees what it held when its reader leaves', async () => {
    const { decoder, witness } = hashDecoder({ context: 8, vocabulary: VOCABULARY, endOfText: NEVER });
    for await (const _ of decode(decoder, byteCoder(VOCABULARY), [Uint8Array.of(1)])) break;
    expect(witness.disposed).toBe(1);
  });

  it.each([
    { maxTokens: 0 },
    { maxTokens: 1.5 },
    { temperature: -1 },
    { topK: 0 },
    { topP: 0 },
    { repetitionPenalty: 0 },
  ])('refuses %j', async (choices) => {
    await expect(continued([[1]], choices)).rejects.toMatchObject({ code: 'bad-option' });
  });
});

describe('a stop text', () => {
  /** What a filter lets through of pieces, and whether it found one. */
  const filtered = (stops: readonly string[], pieces: readonly string[]): [string, boolean] => {
    const filter = stopFilter(stops);
    const out = pieces.map((piece) => filter.push(new TextEncoder().encode(piece)));
    out.push(filter.flush());
    return [new TextDecoder().decode(Uint8Array.from(out.flatMap((bytes) => [...bytes]))), filter.found];
  };
  /** The text before the stop that is whole first. */
  const cut = (stops: readonly string[], text: string): [string, boolean] => {
    for (let end = 1; end <= text.length; end++) {
      const whole = stops.filter((stop) => stop !== '' && text.slice(0, end).endsWith(stop));
      if (whole.length > 0) return [text.slice(0, end - Math.max(...whole.map(({ length }) => length))), true];
    }
    return [text, false];
  };

  it('ends a text wherever its pieces are cut, and lets through all that comes before it', () => {
    const letters = (maxLength: number) => fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength });
    fc.assert(
      fc.property(fc.array(letters(4), { maxLength: 3 }), fc.array(letters(5), { maxLength: 6 }), (stops, pieces) => {
        expect(filtered(stops, pieces)).toEqual(cut(stops, pieces.join('')));
      }),
      { numRuns: 1000 },
    );
  });

  it('is held back only while it may still come', () => {
    const filter = stopFilter(['END']);
    const push = (text: string): string => new TextDecoder().decode(filter.push(new TextEncoder().encode(text)));
    expect([push('the '), push('EN'), push('ough')]).toEqual(['th', 'e ', 'ENou']);
    expect(new TextDecoder().decode(filter.flush())).toBe('gh');
  });

  it('ends its row alone', async () => {
    const free = [directly([1], 12, 32), directly([2], 12, 32)];
    const stop = String.fromCharCode(...(free[0] ?? []).slice(4, 6));
    const { rows } = await continued([[1], [2]], { stop: [stop], maxTokens: 12, context: 32 });
    expect(rows).toEqual([free[0]?.slice(0, 4), free[1]]);
  });
});

describe('caches on the device', () => {
  const CONTEXT = 150;
  const weights = handMade(CONTEXT);
  const sequence = (length: number, seed: number): number[] =>
    Array.from({ length }, (_, i) => (i * i * 7 + i * seed + seed) % 11);

  /** Steps of several rows at once, from the tokens each is to read. */
  const stepOf = (at: readonly number[], news: readonly (readonly number[])[]): DecoderStep => {
    const time = Math.max(...news.map(({ length }) => length));
    const ids = new Int32Array(news.length * time);
    for (const [row, tokens] of news.entries()) ids.set(tokens, row * time);
    return { ids, time, at: Int32Array.from(at), lengths: Int32Array.from(news, ({ length }) => length) };
  };
  const expectClose = (logits: Float32Array, row: number, expected: readonly number[] | undefined): void => {
    const own = [...logits.subarray(row * 11, (row + 1) * 11)];
    expect(Math.max(...own.map((value, i) => Math.abs(value - (expected?.[i] ?? Number.NaN))))).toBeLessThan(1e-4);
  };

  it.each([
    ['in a thread of its own', 100],
    ['in the runtime given', 5e6],
  ])(
    'give the logits of a direct evaluation, %s: rows of their own lengths, growing past what was expected',
    async (_, size) => {
      const rows = [sequence(130, 3), sequence(90, 5)];
      const direct = rows.map((row) => handMadeLogits(weights, row));
      const decoder = await openCachedDecoder(runtime, handMadeCached(weights, CONTEXT, size));
      const session = await decoder.open({ batch: 2, expected: 10, seed: 0 });
      const filled = [0, 0];
      // Pieces of several tokens and single ones, each row at its own pace; 64 and 128 positions are passed on the way.
      for (const [first, second] of [
        [7, 3],
        [1, 1],
        [40, 1],
        [1, 20],
        [30, 1],
        [1, 1],
        [1, 1],
        [40, 60],
        [1, 1],
      ] as const) {
        const news = [first, second].map(
          (count, row) => rows[row]?.slice(filled[row], (filled[row] ?? 0) + count) ?? [],
        );
        const logits = await session.read(stepOf(filled, news));
        for (const row of [0, 1]) {
          filled[row] = (filled[row] ?? 0) + (news[row]?.length ?? 0);
          expectClose(logits, row, direct[row]?.[(filled[row] ?? 0) - 1]);
        }
      }
      // A row that begins anew sees nothing of what was there, and the other goes on.
      const again = await session.read(stepOf([0, filled[1] ?? 0], [[4, 2, 9], [rows[1]?.[filled[1] ?? 0] ?? 0]]));
      expectClose(again, 0, handMadeLogits(weights, [4, 2, 9])[2]);
      expectClose(again, 1, direct[1]?.[filled[1] ?? 0]);
      await session.dispose();
      await decoder.dispose();
    },
  );

  it('continue prompts as the definition does, past the context', async () => {
    const context = 12;
    const small = handMade(context, 2);
    const decoder = await openCachedDecoder(runtime, handMadeCached(small, context));
    const prompts = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [10], sequence(20, 4)];
    const rows = prompts.map((): number[] => []);
    const bytes = prompts.map((prompt) => Uint8Array.from(prompt));
    for await (const piece of decode({ ...decoder, endOfText: NEVER }, byteCoder(11), bytes, {
      temperature: 0,
      maxTokens: 30,
    })) {
      rows[piece.row]?.push(...piece.bytes);
    }
    for (const [index, prompt] of prompts.entries()) {
      const tokens = [...prompt];
      let start = Math.max(0, tokens.length - context);
      for (let made = 0; made < 30; made++) {
        const window = tokens.slice(start);
        const logits = handMadeLogits(small, window).at(-1) ?? [];
        tokens.push(logits.indexOf(Math.max(...logits)));
        if (window.length >= context) start = tokens.length - (context >> 1);
      }
      expect(rows[index]).toEqual(tokens.slice(prompt.length));
    }
    await decoder.dispose();
  });

  it('stand beside what a row keeps for as long as it lasts', async () => {
    const model = handMadeCached(weights, CONTEXT);
    const bias = (batch: number, seed: number): number[] =>
      Array.from({ length: batch * 11 }, (_, i) => ((i * 13 + seed) % 7) - 3);
    const decoder = await openCachedDecoder<{ readonly bias: Tensor }>(runtime, {
      ...model,
      hidden: (ids, place, _extra, call) => model.hidden(ids, place, {}, call),
      logits: (hidden, extra, call) => add(model.logits(hidden, {}, call), extra.bias),
      extra: {
        specs: { bias: { dtype: 'float32', shape: ['batch', 11] } },
        values: (batch, seed) => ({ bias: array(bias(batch, seed), [batch, 11]) }),
      },
    });
    const session = await decoder.open({ batch: 3, expected: 4, seed: 6 });
    const rows = [[1, 2], [3], [4]];
    const logits = await session.read(stepOf([0, 0, 0], rows));
    for (const [row, tokens] of rows.entries()) {
      const own = bias(3, 6).slice(row * 11, (row + 1) * 11);
      expectClose(
        logits,
        row,
        handMadeLogits(weights, tokens)
          .at(-1)
          ?.map((value, i) => value + (own[i] ?? 0)),
      );
    }
    await session.dispose();
    await decoder.dispose();
  });
});
