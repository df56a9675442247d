/** Attention of any mask, bias, head sharing and source against a loop over every query and key in float64. */

import {
  type AttentionParameters,
  type BidirectionalOptions,
  bidirectional,
  causal,
  causalMask,
  crossAttention,
  initAttention,
  initTransformerBlock,
  lengthMask,
  rowPositions,
  scaledRotaryTables,
  selfAttention,
  sourceRows,
  type TransformerBlockOptions,
  type TransformerBlockParameters,
  transformerBlock,
} from 'tessera-kit/nn';
import { array, cast, constant, type NDArray, random, type Tensor } from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';
import { testRuntime } from '../runtime.js';
import { furthest, numbers, run, slopeError } from './checks.js';

const runtime = await testRuntime();

interface Projections<L = Tensor> {
  readonly query: L;
  readonly key: L;
  readonly value: L;
  readonly mask?: L;
  readonly bias?: L;
}

interface Sizes {
  readonly batch?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly time?: number;
  readonly sources?: number;
  readonly head?: number;
  readonly valueHead?: number;
}

function projections(seed: number, sizes: Sizes): Projections<NDArray> {
  const { batch = 2, heads = 4, kvHeads = 4, time = 5, sources = 7, head = 6, valueHead = head } = sizes;
  const draw = random(seed);
  return {
    query: draw.child('query').normal([batch, heads, time, head]),
    key: draw.child('key').normal([batch, kvHeads, sources, head]),
    value: draw.child('value').normal([batch, kvHeads, sources, valueHead]),
  };
}

/** An element of an array that broadcasts. */
function at(x: NDArray | undefined, place: readonly number[], absent: number): number {
  if (x === undefined) return absent;
  const own = place.slice(place.length - x.shape.length);
  return Number(
    x.data[own.reduce((index, p, axis) => index * (x.shape[axis] ?? 1) + (x.shape[axis] === 1 ? 0 : p), 0)],
  );
}

/** Every query over the keys it sees. */
function direct(
  given: Projections<NDArray>,
  options: { readonly softcap?: number; readonly scale?: number },
): number[] {
  const { query, key, value, mask, bias } = given;
  const [batch = 1, heads = 1, time = 1, head = 1] = query.shape;
  const [, kvHeads = 1, sources = 1] = key.shape;
  const scale = options.scale ?? 1 / Math.sqrt(head);
  const out: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const shared = Math.floor(h / (heads / kvHeads));
      for (let i = 0; i < time; i++) {
        const seen = Array.from({ length: sources }, (_, j) => j).filter(
          (j) => at(mask, [b, h, i, j], 1) !== 0 && at(bias, [b, h, i, j], 0) > -5e8,
        );
        const weights = seen.map((j) => {
          let score = 0;
          for (let d = 0; d < head; d++) score += at(query, [b, h, i, d], 0) * at(key, [b, shared, j, d], 0);
          score *= scale;
          if (options.softcap !== undefined) score = options.softcap * Math.tanh(score / options.softcap);
          return Math.exp(score + at(bias, [b, h, i, j], 0));
        });
        const total = weights.reduce((all, weight) => all + weight, 0);
        for (let d = 0; d < (value.shape[3] ?? 1); d++) {
          out.push(seen.reduce((all, j, n) => all + ((weights[n] ?? 0) / total) * at(value, [b, shared, j, d], 0), 0));
        }
      }
    }
  }
  return out;
}

const attend =
  (options: BidirectionalOptions) =>
  ({ query, key, value, mask, bias }: Projections, call: Parameters<ReturnType<typeof bidirectional>>[4]): Tensor =>
    bidirectional({
      ...options,
      ...(mask === undefined ? {} : { mask }),
      ...(bias === undefined ? {} : { bias: cast(bias, query.dtype) }),
    })(0, query, key, value, call);

const some = (shape: readonly number[], seed = 3): NDArray => random(seed).bernoulli(shape, 0.6);
const drawn = (shape: readonly number[], seed = 4): NDArray => random(seed).normal(shape);

const CASES: readonly (readonly [string, Sizes, Partial<Projections<NDArray>>, BidirectionalOptions])[] = [
  ['nothing hidden', {}, {}, {}],
  ['keys of another number and values of another width', { sources: 11, valueHead: 3 }, {}, {}],
  ['a mask for every query and key', {}, { mask: some([2, 4, 5, 7]) }, {}],
  ['a mask of keys', {}, { mask: some([2, 1, 1, 7]) }, {}],
  ['a mask of rank 2', {}, { mask: some([5, 7]) }, {}],
  ['a mask of queries', {}, { mask: some([5, 1]) }, {}],
  ['a bias for each head', {}, { bias: drawn([4, 5, 7]) }, {}],
  ['mask and bias', {}, { mask: some([2, 1, 5, 7]), bias: drawn([4, 5, 7]) }, {}],
  ['shared keys', { kvHeads: 2 }, {}, {}],
  ['shared keys and a mask of keys', { kvHeads: 2 }, { mask: some([2, 1, 1, 7]) }, {}],
  ['shared keys and a mask for each head', { kvHeads: 2 }, { mask: some([2, 4, 5, 7]) }, {}],
  ['one key head, mask and bias', { kvHeads: 1 }, { mask: some([5, 7]), bias: drawn([4, 5, 7]) }, {}],
  ['shared keys and a bias of heads and keys', { kvHeads: 2 }, { bias: drawn([4, 1, 7]) }, {}],
  ['a softcap', { kvHeads: 2 }, { mask: some([5, 7]) }, { softcap: 0.7 }],
  ['a scale of its own', {}, {}, { scale: 0.9 }],
];

describe('bidirectional attention', () => {
  test.each(CASES)('equals a loop: %s', async (_name, sizes, extra, options) => {
    const given = { ...projections(1, sizes), ...extra };
    const found = (await run<Projections, Tensor>(runtime, attend(options), given as never)) as NDArray;
    expect(found.shape).toEqual([...given.query.shape.slice(0, 3), given.value.shape[3]]);
    expect(furthest(numbers(found), direct(given, options))).toBeLessThan(2e-6);
  });

  test.each(CASES)('has the slopes of central differences: %s', async (_name, sizes, extra, options) => {
    const given = { ...projections(1, sizes), ...extra };
    expect(await slopeError<Projections>(runtime, attend(options), given as never)).toBeLessThan(1e-8);
  });

  test('equals causal attention under its mask, known at the trace or not', async () => {
    const given = projections(5, { kvHeads: 2, time: 6, sources: 6 });
    const both = await run<Projections, readonly Tensor[]>(
      runtime,
      (input, call) => [
        attend({ mask: causalMask(6) })(input, call),
        causal(6)(0, input.query, input.key, input.value, call),
      ],
      given as never,
    );
    const [found, expected] = both as unknown as readonly NDArray[];
    expect(furthest(numbers(found), numbers(expected))).toBeLessThan(1e-6);
  });

  const blind = array([1, 1, 0, 0, 0, 0, 1, 0], [2, 1, 1, 4], 'bool');
  test.each([
    ['a mask', { mask: { ...blind, data: Uint8Array.of(1, 1, 0, 0, 0, 0, 0, 0) } }, {}],
    ['a bias of minus infinity', { bias: array([0, 0, 0, 0, ...new Array(4).fill(-Infinity)], [2, 1, 1, 4]) }, {}],
    ['a mask, with a softcap', { mask: { ...blind, data: Uint8Array.of(1, 1, 0, 0, 0, 0, 0, 0) } }, { softcap: 5 }],
  ] as const)('gives zeros to rows that see no key, and no slope: %s', async (_name, extra, options) => {
    const given = { ...projections(6, { sources: 4, kvHeads: 2 }), ...extra } as Projections<NDArray>;
    const found = numbers((await run<Projections, Tensor>(runtime, attend(options), given as never)) as NDArray);
    const half = found.length / 2;
    expect(Math.max(...found.slice(0, half).map(Math.abs))).toBeGreaterThan(0.1);
    expect(found.slice(half).every((value) => value === 0)).toBe(true);
    expect(
      furthest(
        found,
        direct(given, options).map((x) => (Number.isNaN(x) ? 0 : x)),
      ),
    ).toBeLessThan(2e-6);
  });

  test('gives zeros where a mask known at the trace leaves a row empty', async () => {
    const mask = constant(array([1, 1, 0, 0], [2, 2], 'bool'));
    const given = projections(7, { time: 2, sources: 2, heads: 1, kvHeads: 1, batch: 1 });
    const found = numbers((await run<Projections, Tensor>(runtime, attend({ mask }), given as never)) as NDArray);
    expect(found.slice(6).every((value) => value === 0)).toBe(true);
    expect(Math.max(...found.slice(0, 6).map(Math.abs))).toBeGreaterThan(0.1);
  });

  test('drops weights while training only, and keeps their mean', async () => {
    const given = projections(3, { time: 40, sources: 200, kvHeads: 2 });
    const ones = { ...given, value: { ...given.value, data: new Float32Array(given.value.data.length).fill(1) } };
    const once = (training: boolean) =>
      run<Projections, Tensor>(runtime, attend({ dropout: 0.25, mask: causalMask(40, 200) }), ones as never, {
        training,
        seed: 3,
      });
    const trained = numbers((await once(true)) as NDArray);
    expect(Math.abs(trained.reduce((total, value) => total + value, 0) / trained.length - 1)).toBeLessThan(0.02);
    expect(Math.max(...trained.map((value) => Math.abs(value - 1)))).toBeGreaterThan(0.05);
    const evaluated = numbers((await once(false)) as NDArray);
    expect(Math.max(...evaluated.map((value) => Math.abs(value - 1)))).toBeLessThan(1e-5);
  });

  test('refuses what does not broadcast, and numbers as a mask', async () => {
    const given = { ...projections(1, {}), mask: some([3, 7]) };
    await expect(run<Projections, Tensor>(runtime, attend({}), given as never)).rejects.toThrow(
      'An attention mask of [3, 7] does not broadcast to scores [2, 4, 5, 7].',
    );
    const wrong = { ...projections(1, {}), mask: drawn([5, 7]) };
    await expect(run<Projections, Tensor>(runtime, attend({}), wrong as never)).rejects.toThrow(
      'An attention mask is bool, not float32.',
    );
    expect(() => bidirectional({ dropout: 1 })).toThrow('A dropout is from 0 to below 1, not 1.');
    expect(() => bidirectional({ softcap: 0 })).toThrow('A softcap is a number above 0, not 0.');
  });
});

interface Layer<L = Tensor> {
  readonly parameters: AttentionParameters<L>;
  readonly x: L;
  readonly source: L;
}

describe('attention layers', () => {
  const options = { width: 8, source: 5, heads: 4, kvHeads: 2, head: 6, bias: true, deviation: 0.4 } as const;
  const place = { layer: 0, batch: 2, time: 3, sources: 4, attend: bidirectional() };
  const cross =
    (settings: Parameters<typeof initAttention>[1]) => (given: Layer, call: Parameters<typeof crossAttention>[4]) => {
      const rows = sourceRows(given.parameters, given.source, { ...settings, ...place });
      return crossAttention(given.parameters, given.x, rows, { ...settings, ...place }, call);
    };
  const layer = (settings: Parameters<typeof initAttention>[1]): Layer<NDArray> => ({
    parameters: initAttention(random(2), settings),
    x: random(3).normal([6, 8]),
    source: random(4).normal([8, 5]),
  });

  test('cross attention reads rows of another length and width', async () => {
    const given = layer(options);
    const found = (await run<Layer, Tensor>(runtime, cross(options), given as never)) as NDArray;
    // By hand: projections, then the loop above.
    const project = (
      x: NDArray,
      { weight, bias }: { weight: NDArray; bias?: NDArray },
      heads: number,
      time: number,
    ) => {
      const [rows = 1, inputs = 1] = x.shape;
      const outputs = weight.shape[1] ?? 1;
      const flat = (row: number, column: number): number => {
        let value = Number(bias?.data[column] ?? 0);
        for (let i = 0; i < inputs; i++)
          value += Number(x.data[row * inputs + i]) * Number(weight.data[i * outputs + column]);
        return value;
      };
      const batch = rows / time;
      const data: number[] = [];
      for (let b = 0; b < batch; b++)
        for (let h = 0; h < heads; h++)
          for (let t = 0; t < time; t++)
            for (let d = 0; d < outputs / heads; d++) data.push(flat(b * time + t, (h * outputs) / heads + d));
      return array(data, [batch, heads, time, outputs / heads]);
    };
    const { query, key, value, out } = given.parameters;
    const mixed = direct(
      {
        query: project(given.x, query, 4, 3),
        key: project(given.source, key, 2, 4),
        value: project(given.source, value, 2, 4),
      },
      {},
    );
    const rows = array(
      Array.from({ length: 6 * 24 }, (_, i) => {
        const [row, column] = [Math.floor(i / 24), i % 24];
        const [b, t, h, d] = [Math.floor(row / 3), row % 3, Math.floor(column / 6), column % 6];
        return mixed[((b * 4 + h) * 3 + t) * 6 + d] ?? 0;
      }),
      [6, 24],
    );
    expect(furthest(numbers(found), numbers(project(rows, out, 1, 6)))).toBeLessThan(5e-6);
  });

  test.each(['rms', 'layer'] as const)('has the slopes of central differences with %s-normed heads', async (qkNorm) => {
    const settings = { ...options, qkNorm };
    expect(await slopeError<Layer>(runtime, cross(settings), layer(settings) as never)).toBeLessThan(1e-8);
  });

  test('normed heads do not feel the size of what comes in', async () => {
    const settings = { ...options, qkNorm: 'rms', bias: false } as const;
    const given = layer(settings);
    const scaled = (factor: number, name: 'query' | 'key'): Layer<NDArray> => ({
      ...given,
      parameters: {
        ...given.parameters,
        [name]: {
          weight: {
            ...given.parameters[name].weight,
            data: (given.parameters[name].weight.data as Float32Array).map((w) => factor * w),
          },
        },
      },
    });
    const plain = numbers((await run<Layer, Tensor>(runtime, cross(settings), given as never)) as NDArray);
    for (const name of ['query', 'key'] as const) {
      const found = await run<Layer, Tensor>(runtime, cross(settings), scaled(50, name) as never);
      expect(furthest(numbers(found as NDArray), plain), name).toBeLessThan(1e-4);
    }
  });

  test('turns only the first dimensions of each head where the tables are narrow', async () => {
    const [batch, time, heads, head] = [2, 5, 3, 8];
    const settings = { width: 6, heads, kvHeads: heads, head, bias: false, deviation: 0.5 };
    const parameters = initAttention(random(8), settings);
    const tables = scaledRotaryTables(time, { turned: 4 });
    const turn = {
      positions: rowPositions(batch, time),
      cosines: constant(tables.cosines),
      sines: constant(tables.sines),
    };
    const both = await run<{ x: Tensor; parameters: AttentionParameters }, readonly Tensor[]>(
      runtime,
      (given, call) => {
        const seen: Tensor[] = [];
        const place = { ...settings, layer: 0, batch, time };
        const attend = (_layer: number, query: Tensor, key: Tensor, value: Tensor) => {
          seen.push(query, key);
          return value;
        };
        selfAttention(given.parameters, given.x, { ...place, attend, rotary: turn }, call);
        selfAttention(given.parameters, given.x, { ...place, attend }, call);
        return seen;
      },
      { x: random(9).normal([batch * time, 6]), parameters } as never,
    );
    const [query, key, plainQuery, plainKey] = both as unknown as readonly NDArray[];
    for (const [turned, plain] of [
      [query, plainQuery],
      [key, plainKey],
    ] as const) {
      const expected = numbers(plain).map((value, i) => {
        const [t, d] = [Math.floor(i / head) % time, i % head];
        if (d >= 4) return value;
        const angle = t * 10000 ** (-(d % 2) / 2);
        const other = Number(plain?.data[d < 2 ? i + 2 : i - 2]);
        return value * Math.cos(angle) + (d < 2 ? -1 : 1) * other * Math.sin(angle);
      });
      expect(furthest(numbers(turned), expected)).toBeLessThan(1e-5);
    }
  });
});

interface Stack<L = Tensor> {
  readonly parameters: TransformerBlockParameters<L>;
  readonly x: L;
  readonly source: L;
  readonly lengths: L;
}

describe('transformer blocks', () => {
  const block = (settings: TransformerBlockOptions) => (given: Stack, call: Parameters<typeof transformerBlock>[4]) => {
    const { cross } = given.parameters;
    const seen = bidirectional({ mask: lengthMask(given.lengths, 4) });
    const options = {
      width: 8,
      heads: settings.heads,
      kvHeads: settings.kvHeads ?? settings.heads,
      head: 8 / settings.heads,
      bias: true,
    };
    const rows = cross && {
      ...sourceRows(cross, given.source, { ...options, batch: 2, sources: 4, qkNorm: settings.qkNorm }),
      attend: seen,
    };
    return transformerBlock(
      given.parameters,
      given.x,
      settings,
      { batch: 2, time: 3, attend: causal(3), source: rows },
      call,
    );
  };
  const stack = (settings: TransformerBlockOptions): Stack<NDArray> => ({
    parameters: initTransformerBlock(random(5), settings),
    x: random(6).normal([6, 8]),
    source: random(7).normal([8, 5]),
    lengths: array([4, 2], [2], 'int32'),
  });
  const base = { width: 8, heads: 4, kvHeads: 2, deviation: 0.3, activation: 'silu' } as const;
  const kinds: readonly (readonly [string, TransformerBlockOptions])[] = [
    ['pre-norm decoder', { ...base, source: 5 }],
    ['post-norm decoder', { ...base, source: 5, placement: 'post' }],
    ['pre-norm encoder, gated, RMS', { ...base, activation: 'swiglu', norm: 'rms', qkNorm: 'rms' }],
    ['post-norm encoder', { ...base, placement: 'post', activation: 'relu' }],
  ];
  test.each(kinds)('have the slopes of central differences: %s', async (_name, settings) => {
    expect(await slopeError<Stack>(runtime, block(settings), stack(settings) as never)).toBeLessThan(1e-7);
  });

  test('after a norm, rows have mean 0 and deviation 1; before it, a block without maps is the identity', async () => {
    const post = { ...base, placement: 'post' } as const;
    const found = numbers((await run<Stack, Tensor>(runtime, block(post), stack(post) as never)) as NDArray);
    for (let row = 0; row < 6; row++) {
      const own = found.slice(8 * row, 8 * row + 8);
      const mean = own.reduce((a, b) => a + b, 0) / 8;
      expect(Math.abs(mean)).toBeLessThan(1e-5);
      expect(own.reduce((a, b) => a + (b - mean) ** 2, 0) / 8).toBeCloseTo(1, 3);
    }
    const pre = { ...base, source: 5, outDeviation: 0 } as const;
    const given = stack(pre);
    const same = (await run<Stack, Tensor>(runtime, block(pre), given as never)) as NDArray;
    expect(numbers(same)).toEqual(numbers(given.x));
  });

  test('do not see the padding of their source, and see the rest of it', async () => {
    const settings = { ...base, source: 5 } as const;
    const given = stack(settings);
    const moved = (row: number): Stack<NDArray> => {
      const data = Float32Array.from(given.source.data as Float32Array);
      data.fill(3, row * 5, row * 5 + 5);
      return { ...given, source: { ...given.source, data } };
    };
    const plain = numbers((await run<Stack, Tensor>(runtime, block(settings), given as never)) as NDArray);
    const hidden = await run<Stack, Tensor>(runtime, block(settings), moved(7) as never);
    expect(numbers(hidden as NDArray)).toEqual(plain);
    const shown = numbers((await run<Stack, Tensor>(runtime, block(settings), moved(5) as never)) as NDArray);
    expect(furthest(shown.slice(0, 24), plain.slice(0, 24))).toBe(0);
    expect(furthest(shown.slice(24), plain.slice(24))).toBeGreaterThan(1e-3);
  });
});
