/** Losses: values against slow references in doubles, gradients against finite differences of those references. */

import {
  batchTriplet,
  bayesianRanking,
  binaryCrossEntropy,
  binaryFocal,
  CLIP_LOG_SCALE,
  clipLoss,
  cosineEmbedding,
  crossEntropy,
  focal,
  hinge,
  huber,
  infoNce,
  jensenShannon,
  klDivergence,
  type LossParts,
  logCosh,
  marginRanking,
  meanAbsoluteError,
  meanLoss,
  meanSquaredError,
  multiMargin,
  sameIds,
  sigLip,
  smoothL1,
  softTargetCrossEntropy,
  triplet,
  zLoss,
} from 'tessera-kit/nn';
import { array, evaluate, gradients, type NDArray, random, type Tensor } from 'tessera-kit/tensor';
import { describe, expect, it } from 'vitest';

type Rows = readonly (readonly number[])[];

const draws = random(17);
const normal = (name: string, shape: readonly number[], deviation = 1): NDArray =>
  draws.child(name).normal(shape, deviation);
const floats = (values: readonly number[], shape: readonly number[] = [values.length]): NDArray => array(values, shape);
const ids = (values: readonly number[]): NDArray => array(values, [values.length], 'int32');
const bools = (rows: Rows): NDArray => array(rows.flat(), [rows.length, rows[0]?.length ?? 0], 'bool');
const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
const mean = (values: readonly number[]): number => total(values) / values.length;
const dot = (a: readonly number[], b: readonly number[]): number => total(a.map((x, i) => x * (b[i] ?? 0)));
const unit = (row: readonly number[]): number[] => row.map((x) => x / Math.sqrt(dot(row, row)));
const cosine = (a: readonly number[], b: readonly number[]): number => dot(unit(a), unit(b));
const each = (a: readonly number[], b: readonly number[], f: (x: number, y: number) => number): number[] =>
  a.map((x, i) => f(x, b[i] ?? Number.NaN));
const rowsOf = (values: readonly number[], width: number): number[][] =>
  Array.from({ length: values.length / width }, (_, i) => values.slice(i * width, (i + 1) * width));
const softmax = (row: readonly number[]): number[] => {
  const powers = row.map((x) => Math.exp(x - Math.max(...row)));
  return powers.map((x) => x / total(powers));
};
const logSum = (row: readonly number[]): number => Math.log(total(row.map((x) => Math.exp(x))));
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const at = (values: readonly number[], index: number): number => values[index] ?? Number.NaN;
const distance = (a: readonly number[], b: readonly number[], squared: boolean): number => {
  const square = total(each(a, b, (x, y) => (x - y) ** 2));
  return squared ? square : Math.sqrt(square);
};

interface Case {
  readonly name: string;
  /** Arrays that get gradients. */
  readonly inputs: readonly NDArray[];
  readonly loss: (inputs: readonly Tensor[], others: readonly Tensor[]) => LossParts;
  /** Arrays that do not. */
  readonly others?: readonly NDArray[];
  readonly reference: (inputs: Rows) => number;
}

const first = (tensors: readonly Tensor[], index = 0): Tensor => {
  const found = tensors[index];
  if (found === undefined) throw new Error(`no tensor ${index}`);
  return found;
};

const given = (tensor: Tensor | undefined): Tensor => first(tensor === undefined ? [] : [tensor]);

const a = normal('a', [4, 5]);
const b = normal('b', [4, 5]);
const weights = floats([1, 0.5, 0, 2]);
const W = [1, 0.5, 0, 2];
const targets = ids([1, 4, 0, 2]);
const T = [1, 4, 0, 2];
const labels = floats([1, -1, 1, -1]);
const L = [1, -1, 1, -1];
const binary = floats(
  Array.from({ length: 20 }, (_, i) => Number(i % 3 === 0)),
  [4, 5],
);
const Y = Array.from(binary.data, Number);
const probabilities = floats(rowsOf(Array.from(normal('q', [4, 5]).data, Number), 5).flatMap(softmax), [4, 5]);
const Q = rowsOf(Array.from(probabilities.data, Number), 5);
const weighted = (values: readonly number[], given: readonly number[]): number => dot(values, given) / total(given);

const regression = (name: string, f: (d: number) => number, loss: (x: Tensor, y: Tensor) => LossParts): Case => ({
  name,
  inputs: [a, b],
  loss: (x) => loss(first(x), first(x, 1)),
  reference: ([x = [], y = []]) => mean(each(x, y, (p, q) => f(p - q))),
});

const crossEntropyOf = (row: readonly number[], target: number): number => logSum(row) - at(row, target);
const pull = (scores: Rows, pick: (i: number) => readonly number[], barred: (i: number, j: number) => boolean) =>
  scores.flatMap((row, i) => {
    const own = pick(i);
    const seen = row.filter((_, j) => own.includes(j) || !barred(i, j));
    return own.length === 0 ? [] : [logSum(seen) - mean(own.map((j) => at(row, j)))];
  });
const similarities = (x: Rows, y: Rows, scale: number): number[][] =>
  x.map((row) => y.map((other) => scale * cosine(row, other)));
const transposed = (rows: Rows): number[][] => (rows[0] ?? []).map((_, j) => rows.map((row) => at(row, j)));
const none = (): boolean => false;
const self = (i: number): readonly number[] => [i];

const classes = [0, 0, 1, 1, 2, 0];
const points = normal('points', [6, 3], 0.6);
const minedReference = (x: Rows, margin: number, mining: 'hard' | 'semi-hard', squared: boolean): number => {
  const d = x.map((row) => x.map((other) => distance(row, other, squared)));
  const violations: number[] = [];
  for (const [i, row] of d.entries()) {
    const far = row.filter((_, j) => classes[j] !== classes[i]);
    const near = row.filter((_, j) => j !== i && classes[j] === classes[i]);
    if (near.length === 0 || far.length === 0) continue;
    if (mining === 'hard') violations.push(Math.max(0, Math.max(...near) - Math.min(...far) + margin));
    else
      for (const own of near) {
        const beyond = far.filter((other) => other > own);
        const chosen = beyond.length > 0 ? Math.min(...beyond) : Math.max(...far);
        violations.push(Math.max(0, own - chosen + margin));
      }
  }
  return mean(violations);
};

const cases: readonly Case[] = [
  regression('mean squared error', (d) => d * d, meanSquaredError),
  regression('mean absolute error', Math.abs, meanAbsoluteError),
  regression(
    'Huber',
    (d) => (Math.abs(d) <= 0.7 ? d ** 2 / 2 : 0.7 * (Math.abs(d) - 0.35)),
    (x, y) => huber(x, y, { delta: 0.7 }),
  ),
  regression(
    'smooth L1',
    (d) => (Math.abs(d) <= 0.5 ? d ** 2 : Math.abs(d) - 0.25),
    (x, y) => smoothL1(x, y, { beta: 0.5 }),
  ),
  regression('log-cosh', (d) => Math.log(Math.cosh(d)), logCosh),
  {
    name: 'mean squared error with weights that broadcast',
    inputs: [a, b],
    others: [floats(W, [4, 1])],
    loss: (x, [w]) => meanSquaredError(first(x), first(x, 1), { weights: w }),
    reference: ([x = [], y = []]) =>
      weighted(
        each(x, y, (p, q) => (p - q) ** 2),
        W.flatMap((w) => [w, w, w, w, w]),
      ),
  },
  {
    name: 'cosine embedding',
    inputs: [a, b],
    others: [labels],
    loss: (x, o) => cosineEmbedding(first(x), first(x, 1), first(o), { margin: -0.9 }),
    reference: ([x = [], y = []]) =>
      mean(
        rowsOf(x, 5).map((row, i) => {
          const c = cosine(row, rowsOf(y, 5)[i] ?? []);
          return L[i] === 1 ? 1 - c : Math.max(0, c + 0.9);
        }),
      ),
  },
  {
    name: 'binary cross-entropy with weights and a positive weight',
    inputs: [a],
    others: [binary, floats(W, [4, 1])],
    loss: (x, [y, w]) => binaryCrossEntropy(first(x), given(y), { weights: w, positiveWeight: 3 }),
    reference: ([x = []]) =>
      weighted(
        each(x, Y, (v, y) => -3 * y * Math.log(sigmoid(v)) - (1 - y) * Math.log(1 - sigmoid(v))),
        W.flatMap((w) => [w, w, w, w, w]),
      ),
  },
  {
    name: 'cross-entropy with smoothing',
    inputs: [a],
    others: [targets],
    loss: (x, o) => crossEntropy(first(x), first(o), { labelSmoothing: 0.2 }),
    reference: ([x = []]) =>
      mean(
        rowsOf(x, 5).map(
          (row, i) => 0.8 * crossEntropyOf(row, at(T, i)) + 0.2 * mean(row.map((_, j) => crossEntropyOf(row, j))),
        ),
      ),
  },
  {
    name: 'cross-entropy with smoothing, class weights, an ignored target and row weights, as PyTorch divides it',
    inputs: [a],
    others: [ids([1, -100, 0, 2]), floats([1, 2, 0.5, 1, 3]), floats([1, 5, 2, 0.5])],
    loss: (x, [t, c, w]) =>
      crossEntropy(first(x), given(t), {
        labelSmoothing: 0.1,
        classWeights: c,
        weights: w,
        ignoreIndex: -100,
      }),
    reference: ([x = []]) => {
      const [C, R, used] = [
        [1, 2, 0.5, 1, 3],
        [1, 5, 2, 0.5],
        [0, 2, 3],
      ];
      const own = [1, -100, 0, 2];
      const terms = used.map((i) => {
        const row = rowsOf(x, 5)[i] ?? [];
        const spread = mean(row.map((_, j) => at(C, j) * crossEntropyOf(row, j)));
        return at(R, i) * (0.9 * at(C, at(own, i)) * crossEntropyOf(row, at(own, i)) + 0.1 * spread);
      });
      return total(terms) / total(used.map((i) => at(R, i) * at(C, at(own, i))));
    },
  },
  {
    name: 'z-loss',
    inputs: [a],
    others: [weights],
    loss: (x, [w]) => zLoss(first(x), { coefficient: 0.3, weights: w }),
    reference: ([x = []]) =>
      weighted(
        rowsOf(x, 5).map((row) => 0.3 * logSum(row) ** 2),
        W,
      ),
  },
  {
    name: 'soft-target cross-entropy',
    inputs: [a],
    others: [probabilities, weights],
    loss: (x, [q, w]) => softTargetCrossEntropy(first(x), given(q), { weights: w }),
    reference: ([x = []]) =>
      weighted(
        rowsOf(x, 5).map(
          (row, i) =>
            -dot(
              Q[i] ?? [],
              row.map((v) => v - logSum(row)),
            ),
        ),
        W,
      ),
  },
  ...(['forward', 'reverse'] as const).map(
    (direction): Case => ({
      name: `KL divergence, ${direction}, with a temperature`,
      inputs: [a, b],
      loss: (x) => klDivergence(first(x), first(x, 1), { direction, temperature: 2 }),
      reference: ([x = [], y = []]) =>
        mean(
          rowsOf(x, 5).map((row, i) => {
            const own = softmax(row.map((v) => v / 2));
            const theirs = softmax((rowsOf(y, 5)[i] ?? []).map((v) => v / 2));
            const [p, q] = direction === 'forward' ? [theirs, own] : [own, theirs];
            return 4 * total(each(p, q, (u, v) => u * Math.log(u / v)));
          }),
        ),
    }),
  ),
  {
    name: 'Jensen-Shannon divergence',
    inputs: [a, b],
    loss: (x) => jensenShannon(first(x), first(x, 1), { temperature: 0.5 }),
    reference: ([x = [], y = []]) =>
      mean(
        rowsOf(x, 5).map((row, i) => {
          const p = softmax(row.map((v) => v * 2));
          const q = softmax((rowsOf(y, 5)[i] ?? []).map((v) => v * 2));
          const m = each(p, q, (u, v) => (u + v) / 2);
          const kl = (s: readonly number[]): number => total(each(s, m, (u, v) => u * Math.log(u / v)));
          return (kl(p) + kl(q)) / 8;
        }),
      ),
  },
  {
    name: 'focal loss of classes',
    inputs: [a],
    others: [targets],
    loss: (x, o) => focal(first(x), first(o), { gamma: 1.5 }),
    reference: ([x = []]) =>
      mean(
        rowsOf(x, 5).map((row, i) => {
          const p = at(softmax(row), at(T, i));
          return -((1 - p) ** 1.5) * Math.log(p);
        }),
      ),
  },
  {
    name: 'binary focal loss',
    inputs: [a],
    others: [binary],
    loss: (x, o) => binaryFocal(first(x), first(o), { alpha: 0.25 }),
    reference: ([x = []]) =>
      mean(
        each(x, Y, (v, y) => {
          const p = y === 1 ? sigmoid(v) : 1 - sigmoid(v);
          return -(y === 1 ? 0.25 : 0.75) * (1 - p) ** 2 * Math.log(p);
        }),
      ),
  },
  {
    name: 'InfoNCE with the batch as negatives',
    inputs: [a, b],
    loss: (x) => infoNce(first(x), first(x, 1), { temperature: 0.3 }),
    reference: ([x = [], y = []]) => mean(pull(similarities(rowsOf(x, 5), rowsOf(y, 5), 1 / 0.3), self, none)),
  },
  {
    name: "CLIP's loss with its learned temperature and a duplicate left out",
    inputs: [a, b, floats([CLIP_LOG_SCALE - 1], [])],
    others: [ids([7, 8, 7, 9])],
    loss: (x, o) => clipLoss(first(x), first(x, 1), first(x, 2), { exclude: sameIds(first(o)) }),
    reference: ([x = [], y = [], scale = []]) => {
      const scores = similarities(rowsOf(x, 5), rowsOf(y, 5), Math.exp(at(scale, 0)));
      const twins = (i: number, j: number): boolean => i % 2 === 0 && j % 2 === 0;
      return (mean(pull(scores, self, twins)) + mean(pull(transposed(scores), self, twins))) / 2;
    },
  },
  {
    name: 'InfoNCE with several positives, none for one query, and another number of keys',
    inputs: [a, normal('keys', [3, 5])],
    others: [
      bools([
        [1, 1, 0],
        [0, 0, 0],
        [0, 1, 0],
        [1, 1, 1],
      ]),
    ],
    loss: (x, o) => infoNce(first(x), first(x, 1), { temperature: 0.5, positives: first(o) }),
    reference: ([x = [], y = []]) =>
      mean(pull(similarities(rowsOf(x, 5), rowsOf(y, 5), 2), (i) => [[0, 1], [], [1], [0, 1, 2]][i] ?? [], none)),
  },
  {
    name: 'InfoNCE with hard negatives that all queries share',
    inputs: [a, b, normal('hard', [2, 5])],
    loss: (x) => infoNce(first(x), first(x, 1), { temperature: 0.5, negatives: first(x, 2) }),
    reference: ([x = [], y = [], z = []]) =>
      mean(pull(similarities(rowsOf(x, 5), [...rowsOf(y, 5), ...rowsOf(z, 5)], 2), self, none)),
  },
  {
    name: "InfoNCE with each query's own hard negatives, both ways, without normalizing",
    inputs: [a, b, normal('own', [4, 2, 5])],
    loss: (x) =>
      infoNce(first(x), first(x, 1), { temperature: 2, negatives: first(x, 2), normalize: false, symmetric: true }),
    reference: ([x = [], y = [], z = []]) => {
      const scores = rowsOf(x, 5).map((row) => rowsOf(y, 5).map((other) => dot(row, other) / 2));
      const more = scores.map((row, i) => [
        ...row,
        ...[2 * i, 2 * i + 1].map((j) => dot(rowsOf(x, 5)[i] ?? [], rowsOf(z, 5)[j] ?? []) / 2),
      ]);
      return (mean(pull(more, self, none)) + mean(pull(transposed(scores), self, none))) / 2;
    },
  },
  {
    name: "SigLIP's sigmoid loss with learned scale and bias",
    inputs: [a, b, floats([1.2], []), floats([-2], [])],
    loss: (x) => sigLip(first(x), first(x, 1), { logScale: first(x, 2), bias: first(x, 3) }),
    reference: ([x = [], y = [], scale = [], bias = []]) => {
      const scores = similarities(rowsOf(x, 5), rowsOf(y, 5), Math.exp(at(scale, 0)));
      const terms = scores.flatMap((row, i) =>
        row.map((s, j) => -Math.log(sigmoid((i === j ? 1 : -1) * (s + at(bias, 0))))),
      );
      return total(terms) / 4;
    },
  },
  {
    name: 'hinge, squared',
    inputs: [a],
    others: [
      floats(
        Y.map((y) => 2 * y - 1),
        [4, 5],
      ),
    ],
    loss: (x, o) => hinge(first(x), first(o), { squared: true }),
    reference: ([x = []]) => mean(each(x, Y, (v, y) => Math.max(0, 1 - (2 * y - 1) * v) ** 2)),
  },
  {
    name: 'multi-class margin',
    inputs: [a],
    others: [targets],
    loss: (x, o) => multiMargin(first(x), first(o), { margin: 0.8 }),
    reference: ([x = []]) =>
      mean(
        rowsOf(x, 5).map(
          (row, i) => total(row.map((v, j) => (j === T[i] ? 0 : Math.max(0, 0.8 - at(row, at(T, i)) + v)))) / 5,
        ),
      ),
  },
  {
    name: 'margin ranking',
    inputs: [floats([0.3, -1, 2, 0.4]), floats([0.1, 0.5, 1, 1.5])],
    others: [labels],
    loss: (x, o) => marginRanking(first(x), first(x, 1), first(o), { margin: 0.5 }),
    reference: ([x = [], y = []]) => mean(x.map((v, i) => Math.max(0, 0.5 - at(L, i) * (v - at(y, i))))),
  },
  {
    name: 'Bayesian ranking with several negatives for each positive',
    inputs: [normal('up', [4, 1]), a],
    loss: (x) => bayesianRanking(first(x), first(x, 1)),
    reference: ([x = [], y = []]) => mean(y.map((v, i) => -Math.log(sigmoid(at(x, Math.floor(i / 5)) - v)))),
  },
  ...[true, false].map(
    (squared): Case => ({
      name: `triplet, ${squared ? 'squared' : 'plain'} distances`,
      inputs: [a, b, normal('c', [4, 5])],
      loss: (x) => triplet(first(x), first(x, 1), first(x, 2), { squared }),
      reference: ([x = [], y = [], z = []]) =>
        mean(
          rowsOf(x, 5).map((row, i) =>
            Math.max(
              0,
              distance(row, rowsOf(y, 5)[i] ?? [], squared) - distance(row, rowsOf(z, 5)[i] ?? [], squared) + 1,
            ),
          ),
        ),
    }),
  ),
  ...(['semi-hard', 'hard'] as const).flatMap((mining) =>
    [true, false].map(
      (squared): Case => ({
        name: `triplets of a batch, ${mining}, ${squared ? 'squared' : 'plain'} distances`,
        inputs: [points],
        others: [ids(classes)],
        loss: (x, o) => batchTriplet(first(x), first(o), { mining, squared, margin: 0.6 }),
        reference: ([x = []]) => minedReference(rowsOf(x, 3), 0.6, mining, squared),
      }),
    ),
  ),
];

/** The slope of the reference at each number of one input, from both sides. */
function slopes(reference: Case['reference'], inputs: Rows, which: number): number[] {
  const step = 1e-5;
  return (inputs[which] ?? []).map((_, i) => {
    const moved = (by: number): number =>
      reference(inputs.map((values, n) => (n === which ? values.map((x, j) => (j === i ? x + by : x)) : values)));
    return (moved(step) - moved(-step)) / (2 * step);
  });
}

describe('losses', () => {
  it.each(cases)('$name', async ({ inputs, others = [], loss, reference }) => {
    const found = await evaluate(
      (x: readonly Tensor[], rest: readonly Tensor[]) => {
        const value = meanLoss(loss(x, rest));
        return { value, slopes: gradients(value, x) };
      },
      inputs,
      others,
    );
    const numbers = inputs.map(({ data }) => Array.from(data, Number));
    const expected = reference(numbers);
    expect(expected).toBeGreaterThan(0);
    expect(Math.abs(Number(found.value.data[0]) - expected)).toBeLessThan(2e-6 * (1 + expected));
    for (const [which, slope] of found.slopes.entries()) {
      const wanted = slopes(reference, numbers, which);
      const size = Math.max(...wanted.map(Math.abs));
      expect(size).toBeGreaterThan(0);
      for (const [i, value] of wanted.entries())
        expect(Math.abs(Number(slope.data[i]) - value)).toBeLessThan(3e-5 * size + 1e-6);
    }
  });
});

describe('far from zero', () => {
  const far = floats([200, -200, 90, -90], [2, 2]);
  const value = async (loss: (x: Tensor) => LossParts, x = far): Promise<readonly [number, number[]]> => {
    const found = await evaluate((given: Tensor) => {
      const mean = meanLoss(loss(given));
      return { mean, slope: gradients(mean, given) };
    }, x);
    return [Number(found.mean.data[0]), Array.from(found.slope.data, Number)];
  };

  it('no loss overflows, and gradients stay', async () => {
    const { constant } = await import('tessera-kit/tensor');
    const opposite = constant(floats([0, 1, 0, 1], [2, 2]));
    expect((await value((x) => binaryCrossEntropy(x, opposite)))[0]).toBeCloseTo(145, 4);
    const [focused, slope] = await value((x) => binaryFocal(x, opposite, { gamma: 0.5 }));
    expect(focused).toBeCloseTo(145, 4);
    expect(slope.map((x) => Math.round(4 * x))).toEqual([1, -1, 1, -1]);
    expect((await value((x) => logCosh(x, constant(0))))[0]).toBeCloseTo(145 - Math.LN2, 4);
    expect((await value((x) => klDivergence(x, constant(floats([-200, 200, -90, 90], [2, 2])))))[0]).toBeCloseTo(
      290,
      3,
    );
    expect((await value((x) => jensenShannon(x, constant(floats([-200, 200, -90, 90], [2, 2])))))[0]).toBeCloseTo(
      Math.LN2,
      6,
    );
    const [clip, pulls] = await value((x) => infoNce(x, x, { normalize: false, temperature: 100 }));
    // The second row's nearest key is the first one: (36,000 - 16,200) / 100 nats, and nothing for the first row.
    expect(clip).toBeCloseTo(99, 4);
    expect(pulls.every(Number.isFinite)).toBe(true);
  });

  it('rows of zeros and equal rows give finite slopes', async () => {
    const twins = floats([0, 0, 0, 0, 1, 1, 1, 1], [4, 2]);
    const same = array([0, 0, 1, 1], [4], 'int32');
    const { constant } = await import('tessera-kit/tensor');
    for (const loss of [
      (x: Tensor) => infoNce(x, x),
      (x: Tensor) => batchTriplet(x, constant(same), { squared: false, margin: 5 }),
      (x: Tensor) => cosineEmbedding(x, x, constant(floats([1, 1, -1, -1]))),
    ]) {
      const [, slope] = await value(loss, twins);
      expect(slope.every(Number.isFinite)).toBe(true);
    }
  });

  it('a batch without a triplet costs nothing and counts nothing', async () => {
    const { constant } = await import('tessera-kit/tensor');
    for (const mining of ['hard', 'semi-hard'] as const) {
      const parts = await evaluate(
        (x: Tensor) => batchTriplet(x, constant(array([1, 1, 1], [3], 'int32')), { mining }),
        normal('lonely', [3, 2]),
      );
      expect([parts.total, parts.count].map(({ data }) => Number(data[0]))).toEqual([0, 0]);
    }
  });
});

describe('bad options', () => {
  it.each<readonly [string, (x: Tensor) => unknown, RegExp]>([
    ['a delta of 0', (x) => huber(x, x, { delta: 0 }), /delta of the Huber loss must be above 0, not 0/],
    ['a negative temperature', (x) => klDivergence(x, x, { temperature: -1 }), /temperature of the divergence/],
    ['a negative gamma', (x) => binaryFocal(x, x, { gamma: -1 }), /gamma of the focal loss must be at least 0/],
    ['a smoothing above 1', (x) => crossEntropy(x, x, { labelSmoothing: 1.5 }), /label smoothing must be from 0 to 1/],
    ['a temperature of 0', (x) => infoNce(x, x, { temperature: 0 }), /temperature of the InfoNCE loss/],
  ])('%s', async (_name, build, message) => {
    await expect(evaluate((x: Tensor) => ({ x: build(x) }), a)).rejects.toThrow(message);
  });

  it('names both numbers when rows cannot be paired', async () => {
    await expect(
      evaluate((x: Tensor, y: Tensor) => infoNce(x, y), normal('n', [4, 2]), normal('m', [3, 2])),
    ).rejects.toThrow('cannot pair 4 queries with 3 keys');
  });
});
