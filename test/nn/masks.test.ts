/** Masks and biases by distance, place by place. */

import {
  alibiBias,
  alibiSlopes,
  bandMask,
  bidirectional,
  causalMask,
  initRelativeBias,
  lengthMask,
  prefixMask,
  type RelativeBiasParameters,
  relativeBias,
  relativeBuckets,
  segmentMask,
} from 'tessera-kit/nn';
import { array, evaluate, logicalAnd, type NDArray, random, type Tensor } from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';
import { testRuntime } from '../runtime.js';
import { numbers, run, slopeError } from './checks.js';

const runtime = await testRuntime();

const int32 = (values: readonly number[], shape: readonly number[] = [values.length]) => array(values, shape, 'int32');

/** What a mask says, as one line a query. */
async function drawn(
  f: (...inputs: Tensor[]) => Tensor,
  ...inputs: NDArray[]
): Promise<{ shape: string; rows: string[] }> {
  const mask = (await evaluate(f as (...given: unknown[]) => Tensor, ...inputs)) as NDArray;
  expect(mask.dtype).toBe('bool');
  const keys = mask.shape.at(-1) ?? 1;
  const text = numbers(mask)
    .map((seen) => (seen === 1 ? 'x' : '.'))
    .join('');
  return { shape: mask.shape.join(), rows: text.match(new RegExp(`.{${keys}}`, 'g')) ?? [] };
}

describe('masks', () => {
  test('a causal query sees itself and what is before; fewer queries are the last ones', async () => {
    expect(await drawn(() => causalMask(3))).toEqual({ shape: '3,3', rows: ['x..', 'xx.', 'xxx'] });
    expect(await drawn(() => causalMask(2, 4))).toEqual({ shape: '2,4', rows: ['xxx.', 'xxxx'] });
    expect(await drawn(() => causalMask(2, 4, 0))).toEqual({ shape: '2,4', rows: ['x...', 'xx..'] });
    expect(() => causalMask('time', 'total')).toThrow('needs the offset');
  });

  test('a band reaches so far before and after', async () => {
    expect((await drawn(() => bandMask(4, 1))).rows).toEqual(['xx..', 'xxx.', '.xxx', '..xx']);
    expect((await drawn(() => bandMask(4, 2, 0))).rows).toEqual(['x...', 'xx..', 'xxx.', '.xxx']);
    expect(() => bandMask(4, -1)).toThrow('The reach of a band is a whole number from 0, not -1.');
  });

  test('padding is not seen', async () => {
    const found = await drawn((lengths) => lengthMask(lengths as Tensor, 4), int32([3, 0]));
    expect(found).toEqual({ shape: '2,1,1,4', rows: ['xxx.', '....'] });
  });

  test('a prefix sees all of itself, the rest is causal', async () => {
    const found = await drawn((prefix) => prefixMask(prefix as Tensor, 4), int32([3, 0]));
    expect(found.shape).toBe('2,1,4,4');
    expect(found.rows).toEqual(['xxx.', 'xxx.', 'xxx.', 'xxxx', 'x...', 'xx..', 'xxx.', 'xxxx']);
  });

  test('packed texts do not see each other, nor padding anything', async () => {
    const segments = int32([1, 1, 2, 0], [1, 4]);
    const rows = async (padding?: number) =>
      (await drawn((given) => segmentMask(given as Tensor, { padding }), segments)).rows;
    expect(await rows()).toEqual(['xx..', 'xx..', '..x.', '...x']);
    expect(await rows(0)).toEqual(['xx..', 'xx..', '..x.', '....']);
    const both = await drawn((given) => logicalAnd(segmentMask(given as Tensor), causalMask(4)), segments);
    expect(both.rows).toEqual(['x...', 'xx..', '..x.', '...x']);
    const across = await drawn(
      (queries, keys) => segmentMask(queries as Tensor, { keys }),
      segments,
      int32([2, 1, 1], [1, 3]),
    );
    expect(across).toEqual({ shape: '1,1,4,3', rows: ['.xx', '.xx', 'x..', '...'] });
  });

  test('packed texts come out as each alone', async () => {
    const draw = random(1);
    const make = (name: string) => draw.child(name).normal([1, 2, 5, 4]);
    const given = { query: make('query'), key: make('key'), value: make('value') };
    const attend = (segments?: NDArray) =>
      run<Record<'query' | 'key' | 'value', Tensor> & { segments?: Tensor }, Tensor>(
        runtime,
        (x, call) => {
          const mask = x.segments === undefined ? {} : { mask: segmentMask(x.segments) };
          return bidirectional(mask)(0, x.query, x.key, x.value, call);
        },
        (segments === undefined ? given : { ...given, segments }) as never,
      ) as Promise<unknown> as Promise<NDArray>;
    const packed = numbers(await attend(int32([7, 7, 7, 9, 9], [1, 5])));
    const cut = (x: NDArray): NDArray =>
      array(
        numbers(x).filter((_, i) => Math.floor(i / 4) % 5 < 3),
        [1, 2, 3, 4],
      );
    const alone = await run<Record<'query' | 'key' | 'value', Tensor>, Tensor>(
      runtime,
      (x, call) => bidirectional()(0, x.query, x.key, x.value, call),
      { query: cut(given.query), key: cut(given.key), value: cut(given.value) } as never,
    );
    const first = packed.filter((_, i) => Math.floor(i / 4) % 5 < 3);
    for (const [i, value] of numbers(alone as unknown as NDArray).entries()) expect(first[i]).toBeCloseTo(value, 5);
  });
});

describe('ALiBi', () => {
  test("slopes are the paper's for powers of two and the published code's for others", () => {
    expect(alibiSlopes(8)).toEqual([1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256]);
    expect(alibiSlopes(1)).toEqual([2 ** -8]);
    // 12 heads: the 8 above, and four of the 16 between them.
    const twelve = alibiSlopes(12);
    expect(twelve.slice(0, 8)).toEqual(alibiSlopes(8));
    for (const [i, exponent] of [0.5, 1.5, 2.5, 3.5].entries()) expect(twelve[8 + i]).toBeCloseTo(2 ** -exponent, 12);
    expect(alibiSlopes(6).map((slope) => Math.log2(slope))).toEqual([-2, -4, -6, -8, -1, -3]);
    expect(() => alibiSlopes(0)).toThrow('ALiBi needs a whole number of heads from 1, not 0.');
  });

  test('the bias falls with the distance, from the last queries on', () => {
    expect(numbers(alibiBias(2, { queries: 2, keys: 3 })).map((x) => x * 256)).toEqual(
      // Slopes 1/16 and 1/256; queries stand at keys 1 and 2.
      [-16, 0, -16, -32, -16, 0, -1, 0, -1, -2, -1, 0].map((x) => (x === 0 ? expect.closeTo(0) : x)),
    );
  });
});

describe('relative position buckets', () => {
  /** Edges by search: the least distance that reaches each bucket. */
  function edges(options: { buckets: number; maxDistance: number; bidirectional: boolean }, sign: 1 | -1): number[] {
    const { buckets, maxDistance } = options;
    const row = numbers(relativeBuckets({ queries: 1, keys: 801, offset: 400, ...options }));
    const found: number[] = [];
    for (let distance = 0; distance <= 400; distance++) {
      const bucket = row[400 + sign * distance] ?? -1;
      const last = found.length === 0 ? -1 : row[400 + sign * (found.at(-1) ?? 0)];
      if (bucket !== last) found.push(distance);
    }
    expect(Math.max(...row)).toBeLessThan(buckets);
    expect(row[400 - maxDistance]).toBe(row[0]);
    return found;
  }

  test('are exact near by, logarithmic far off, and one beyond the last distance', () => {
    const both = { buckets: 32, maxDistance: 128, bidirectional: true };
    // 8 exact, then 8 from 8 to 128 at ratios of 16^(1/8) = sqrt(2): 8, 11.3, 16, 22.6, 32, 45.3, 64, 90.5.
    expect(edges(both, -1)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]);
    // Keys ahead have buckets of their own, but for distance 0.
    expect(edges(both, 1)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]);
    const row = numbers(relativeBuckets({ queries: 1, keys: 3, offset: 1 }));
    expect(row).toEqual([1, 0, 17]);
  });

  test('give a causal decoder all of its buckets for what is behind', () => {
    const one = { buckets: 32, maxDistance: 128, bidirectional: false };
    const found = edges(one, -1);
    expect(found.length).toBe(32);
    for (let bucket = 16; bucket < 32; bucket++)
      expect(found[bucket]).toBe(Math.ceil(16 * 8 ** ((bucket - 16) / 16) - 1e-9));
    expect(edges(one, 1)).toEqual([0]);
  });

  test('look their numbers up for every head, and send slopes back', async () => {
    const parameters = initRelativeBias(random(1), { heads: 3, buckets: 8, deviation: 1 });
    const buckets = relativeBuckets({ queries: 4, keys: 6, buckets: 8, maxDistance: 5 });
    const f = ({ parameters: p, at }: { parameters: RelativeBiasParameters; at: Tensor }) => relativeBias(p, at);
    const given = { parameters, at: buckets };
    const found = (await run(runtime, f, given as never)) as unknown as NDArray;
    expect(found.shape).toEqual([3, 4, 6]);
    const expected = [0, 1, 2].flatMap((head) =>
      numbers(buckets).map((bucket) => Number(parameters.weight.data[bucket * 3 + head])),
    );
    expect(numbers(found)).toEqual(expected);
    expect(await slopeError(runtime, f, given as never)).toBeLessThan(1e-8);
  });

  test('refuse too few buckets', () => {
    expect(() => relativeBuckets({ queries: 2, buckets: 2 })).toThrow('2 buckets for distances up to 128 are too few');
    expect(() => relativeBuckets({ queries: 2, maxDistance: 8 })).toThrow('or more than there are distances');
  });
});
