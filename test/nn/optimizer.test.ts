import {
  adamW,
  averageTree,
  averageWeight,
  clippedMean,
  constantRate,
  cosineRate,
  matchPaths,
  rateAt,
  warmupStableDecay,
  withoutLeaves,
} from 'tessera-kit/nn';
import {
  type Arrays,
  array,
  createRuntime,
  evaluate,
  type NDArray,
  random,
  specsOf,
  type Tensor,
} from 'tessera-kit/tensor';
import { describe, expect, it } from 'vitest';

interface Weights {
  readonly table: Tensor;
  readonly bias: Tensor;
}

/** AdamW as torch.optim.AdamW documents it, in doubles. */
function reference(
  start: readonly number[],
  gradients: readonly (readonly number[])[],
  o: { rate: number; betas: readonly [number, number]; epsilon: number; decay: number },
): number[] {
  const p = [...start];
  const m = p.map(() => 0);
  const v = p.map(() => 0);
  for (const [index, g] of gradients.entries()) {
    const t = index + 1;
    for (let i = 0; i < p.length; i++) {
      const slope = g[i] ?? 0;
      let weight = (p[i] ?? 0) * (1 - o.rate * o.decay);
      m[i] = o.betas[0] * (m[i] ?? 0) + (1 - o.betas[0]) * slope;
      v[i] = o.betas[1] * (v[i] ?? 0) + (1 - o.betas[1]) * slope * slope;
      const corrected = (m[i] ?? 0) / (1 - o.betas[0] ** t);
      weight -= (o.rate * corrected) / (Math.sqrt((v[i] ?? 0) / (1 - o.betas[1] ** t)) + o.epsilon);
      p[i] = weight;
    }
  }
  return p;
}

async function run(
  options: Parameters<typeof adamW>[0],
  start: Arrays<Weights>,
  steps: readonly Arrays<Weights>[],
  rate: number,
): Promise<Arrays<Weights>> {
  const optimizer = adamW<Weights>(options);
  const runtime = await createRuntime({ worker: false, threads: 1 });
  const values = { parameters: start, moments: optimizer.init(start) };
  const state = await runtime.upload(values);
  type State = { parameters: Weights; moments: { first: Weights; second: Weights } };
  const program = await runtime.compile(
    (from: State, given: { gradients: Weights; rate: Tensor }, call) => ({
      state: optimizer.update(from.parameters, given.gradients, from.moments, given.rate, call),
      out: {},
    }),
    {
      state: specsOf<State>(values),
      input: specsOf<{ gradients: Weights; rate: Tensor }>({ gradients: start, rate: array([rate], []) }),
    },
  );
  for (const [step, gradients] of steps.entries())
    await program.run(state as never, { gradients, rate: array([rate], []) } as never, { step });
  const result = (await state.read()) as unknown as { parameters: Arrays<Weights> };
  await runtime.dispose();
  return result.parameters;
}

const draws = random(3);
const start = { table: draws.child('table').normal([3, 4]), bias: draws.child('bias').normal([4]) };
const gradients = Array.from({ length: 12 }, (_, i) => ({
  table: draws.child('g').at(i).normal([3, 4], 0.1),
  bias: draws.child('b').at(i).normal([4], 3),
}));
const numbers = (value: NDArray): number[] => Array.from(value.data, Number);
const largest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((x, i) => Math.abs(x - (b[i] ?? 0))));

describe('AdamW', () => {
  const settings = { rate: 0.01, betas: [0.9, 0.999] as const, epsilon: 1e-8, decay: 0.1 };
  const expected = (name: keyof Weights, change: Partial<typeof settings> = {}): number[] =>
    reference(
      numbers(start[name]),
      gradients.map((g) => numbers(g[name])),
      { ...settings, ...change },
    );

  it('makes the updates of PyTorch, and decays matrices only', async () => {
    const found = await run({ betas: [0.9, 0.999] }, start, gradients, 0.01);
    expect(largest(numbers(found.table), expected('table'))).toBeLessThan(2e-6);
    expect(largest(numbers(found.bias), expected('bias', { decay: 0 }))).toBeLessThan(2e-6);
  });

  it('agrees with itself when the scalars are float32', async () => {
    const found = await run({ betas: [0.9, 0.999], scalars: 'float32' }, start, gradients, 0.01);
    expect(largest(numbers(found.table), expected('table'))).toBeLessThan(1e-5);
  });

  it('multiplies the rate by a number or by an array, whose zeros leave rows as they are', async () => {
    const rows = array([0, 1, 0.5], [3, 1]);
    const found = await run(
      { betas: [0.9, 0.999], multiplier: (path) => (path === 'table' ? rows : 0.25) },
      start,
      gradients,
      0.01,
    );
    expect(numbers(found.table).slice(0, 4)).toEqual(numbers(start.table).slice(0, 4));
    expect(largest(numbers(found.table).slice(4, 8), expected('table').slice(4, 8))).toBeLessThan(2e-6);
    expect(largest(numbers(found.table).slice(8), expected('table', { rate: 0.005 }).slice(8))).toBeLessThan(2e-6);
    expect(largest(numbers(found.bias), expected('bias', { rate: 0.0025, decay: 0 }))).toBeLessThan(2e-6);
  });

  it('gives frozen leaves no moments and leaves them alone', async () => {
    const optimizer = adamW<Weights>({ freeze: ['tab*'] });
    expect(Object.values(optimizer.init(start).first as object).filter((leaf) => leaf !== undefined)).toHaveLength(1);
    const found = await run({ freeze: ['tab*'] }, start, gradients, 0.01);
    expect(numbers(found.table)).toEqual(numbers(start.table));
    expect(numbers(found.bias)).not.toEqual(numbers(start.bias));
  });

  it('refuses numbers out of range', () => {
    expect(() => adamW({ betas: [1, 0.9] })).toThrow('betas of AdamW');
    expect(() => adamW({ weightDecay: -1 })).toThrow('weight decay');
    expect(() => adamW({ epsilon: 0 })).toThrow('epsilon');
  });
});

describe('paths', () => {
  it('match step by step, whole branches, and any depth', () => {
    const matches = (pattern: string, path: string): boolean => matchPaths([pattern])(path);
    expect(matches('blocks.0', 'blocks.0.mlp.up.weight')).toBe(true);
    expect(matches('blocks.0', 'blocks.01.mlp')).toBe(false);
    expect(matches('blocks.*.mlp', 'blocks.3.mlp.up.weight')).toBe(true);
    expect(matches('blocks.*.up', 'blocks.3.mlp.up.weight')).toBe(false);
    expect(matches('**.bias', 'blocks.3.mlp.up.bias')).toBe(true);
    expect(matches('embedding*', 'embeddings.weight')).toBe(true);
    expect(() => matchPaths([' '])).toThrow('empty');
  });

  it('keep their places when leaves are taken out', () => {
    const tree = { blocks: [{ w: array([1]) }, { w: array([2]) }] };
    expect(withoutLeaves(tree, (path) => path === 'blocks.0.w')).toEqual({
      blocks: [{ w: undefined }, { w: array([2]) }],
    });
  });
});

describe('clipping', () => {
  const tree = { a: array([3, 0], [2]), b: array([4], [1, 1]) };

  it('divides by the count and scales to the limit as clip_grad_norm_ does', async () => {
    const clipped = await evaluate(
      (given: { a: Tensor; b: Tensor }, count: Tensor) => clippedMean(given, count, 1),
      tree,
      array([2], []),
    );
    expect(Number(clipped.norm.data[0])).toBeCloseTo(2.5, 6);
    const factor = 0.5 * (1 / (2.5 + 1e-6));
    expect(numbers(clipped.gradients.a)[0]).toBeCloseTo(3 * factor, 6);
    expect(numbers(clipped.gradients.b)[0]).toBeCloseTo(4 * factor, 6);
  });

  it('leaves small gradients and unlimited ones at their mean', async () => {
    for (const limit of [100, undefined]) {
      const clipped = await evaluate(
        (given: { a: Tensor; b: Tensor }, count: Tensor) => clippedMean(given, count, limit),
        tree,
        array([4], []),
      );
      expect(numbers(clipped.gradients.a)).toEqual([0.75, 0]);
    }
  });
});

describe('averages', () => {
  it('move by the weight, and stay where nothing is given', async () => {
    const found = await evaluate(
      (average: { a: Tensor; b: Tensor }, parameters: { a: Tensor }, weight: Tensor) =>
        averageTree(average, parameters, weight),
      { a: array([1, 2]), b: array([5]) },
      { a: array([2, 4]) },
      array([0.25], []),
    );
    expect(numbers(found.a)).toEqual([1.25, 2.5]);
    expect(numbers(found.b)).toEqual([5]);
  });

  it('begin fast and end at the decay', () => {
    expect(averageWeight({ decay: 0.99 }, 0)).toBeCloseTo(1 - 2 / 11, 12);
    expect(averageWeight({ decay: 0.99 }, 1e6)).toBeCloseTo(0.01, 12);
    expect(averageWeight({ decay: 0.9, warmup: false }, 0)).toBeCloseTo(0.1, 12);
    expect(() => averageWeight({ decay: 1 }, 0)).toThrow('decay of an average');
  });
});

describe('schedules', () => {
  it('rise in a line over steps or a share of the run', () => {
    const schedule = constantRate({ rate: 1, warmup: 4 });
    expect([0, 1, 2, 3, 4, 99].map((step) => rateAt(schedule, step, 100))).toEqual([0.25, 0.5, 0.75, 1, 1, 1]);
    expect(rateAt(constantRate({ rate: 1, warmup: 0.04 }), 1, 100)).toBe(0.5);
  });

  it('fall along half a cosine to the floor', () => {
    const schedule = cosineRate({ rate: 2, warmup: 0, floor: 0.1 });
    expect(rateAt(schedule, 0, 100)).toBe(2);
    expect(rateAt(schedule, 50, 100)).toBeCloseTo(2 * 0.55, 12);
    expect(rateAt(schedule, 100, 100)).toBeCloseTo(0.2, 12);
  });

  it('stay and then fall with 1 - sqrt or in a line', () => {
    const schedule = warmupStableDecay({ rate: 1, warmup: 0.1, decay: 9 });
    expect([10, 50, 90].map((step) => rateAt(schedule, step, 100))).toEqual([1, 1, 1]);
    expect(rateAt(schedule, 99, 100)).toBeCloseTo(1 - Math.sqrt(0.9), 12);
    const line = warmupStableDecay({ rate: 1, warmup: 0, decay: 9, shape: 'linear', floor: 0.5 });
    expect(rateAt(line, 99, 100)).toBeCloseTo(0.5 + 0.5 * 0.1, 12);
  });

  it('are JSON and refuse what makes no sense', () => {
    const schedule = warmupStableDecay({ rate: 1 });
    expect(JSON.parse(JSON.stringify(schedule))).toEqual(schedule);
    expect(() => cosineRate({ rate: -1 })).toThrow('learning rate');
    expect(() => cosineRate({ rate: 1, floor: 2 })).toThrow('floor');
    expect(() => constantRate({ rate: 1, warmup: -1 })).toThrow('warm-up');
  });
});
