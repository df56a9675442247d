/** Gradients known by hand, broadcasting, folding, sharing and dead code. */

import fc from 'fast-check';
import {
  add,
  array,
  attention,
  cast,
  concat,
  constant,
  crossEntropyRows,
  div,
  evaluate,
  exp,
  exportProgram,
  gather,
  grad,
  gradients,
  greater,
  layerNorm,
  matmul,
  max,
  maximum,
  minimum,
  mul,
  type NDArray,
  ndarray,
  pow,
  reshape,
  rmsNorm,
  sigmoid,
  slice,
  softmax,
  stopGradient,
  sub,
  sum,
  type Tensor,
  tanh,
  transpose,
  valueAndGrad,
  where,
  zeros,
} from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';

const numbers = (value: NDArray | undefined) => Array.from(value?.data ?? [], Number);

/** The ONNX nodes of a function of one `[4, 4]` tensor. */
function nodesOf(f: (x: Tensor) => unknown): string[] {
  const x = { dtype: 'float32', shape: [4, 4] } as const;
  const { model } = exportProgram<object, { x: Tensor }, unknown>((_state, input) => ({ out: { y: f(input.x) } }), {
    state: {},
    input: { x },
  });
  return model.graph.node.map(({ opType }) => opType);
}

describe('values and gradients known by hand', () => {
  test('of squares, products, a softmax, ties and a stopped branch', async () => {
    const out = await evaluate(
      (x, y) => ({
        squares: grad((a: Tensor) => sum(mul(a, a)))(x),
        product: gradients(sum(mul(x, y)), { x, y }),
        chance: softmax(constant(array([0, Math.log(3)]))),
        entropy: crossEntropyRows(constant(array([0, Math.log(3)], [1, 2])), constant(array([1], [1], 'int32'))),
        slope: grad((a: Tensor) => sum(crossEntropyRows(reshape(a, [1, 2]), constant(array([1], [1], 'int32')))))(
          constantLike(x, [0, 0]),
        ),
        tie: gradients(sum(maximum(x, x)), x),
        shared: grad((a: Tensor) => max(a))(constantLike(x, [5, 5])),
        lower: gradients(sum(minimum(x, 1)), x),
        stopped: gradients(sum(mul(x, stopGradient(x))), x),
        nothing: gradients(sum(x), y),
        area: grad((a: Tensor) => sum(matmul(a, constant(array([1, 2, 3, 4], [2, 2])))))(reshape(x, [1, 2])),
      }),
      array([1, -2]),
      array([3, 4]),
    );
    expect(numbers(out.squares)).toEqual([2, -4]);
    expect([numbers(out.product.x), numbers(out.product.y)]).toEqual([
      [3, 4],
      [1, -2],
    ]);
    expect(numbers(out.chance)[1]).toBeCloseTo(0.75, 6);
    expect(numbers(out.entropy)[0]).toBeCloseTo(-Math.log(0.75), 6);
    expect(numbers(out.slope)).toEqual([0.5, -0.5]);
    expect(numbers(out.tie)).toEqual([1, 1]);
    expect(numbers(out.shared)).toEqual([0.5, 0.5]);
    expect(numbers(out.lower)).toEqual([0, 1]);
    expect(numbers(out.stopped)).toEqual([1, -2]);
    expect(numbers(out.nothing)).toEqual([0, 0]);
    expect(numbers(out.area)).toEqual([3, 7]);
  });

  test('come with the value and the extra of a function', async () => {
    const f = valueAndGrad((x: Tensor, scale: Tensor) => [sum(mul(mul(x, x), scale)), mul(x, 2)] as const);
    const out = await evaluate((x, scale) => f(x, scale), array([1, 2, 3]), array([10], []));
    expect([numbers(out.value), numbers(out.gradients), numbers(out.extra)]).toEqual([[140], [20, 40, 60], [2, 4, 6]]);
  });

  test('flow through a shared parameter once for each use', async () => {
    const out = await evaluate(
      (table) => {
        const rows = gather(table, constant(array([0, 1, 0], [3], 'int32')));
        return gradients(add(sum(rows), sum(matmul(table, transpose(table)))), table);
      },
      array([1, 2, 3, 4], [2, 2]),
    );
    // Twice the column sums for table @ table^T, plus how often a row was read.
    expect(numbers(out)).toEqual([10, 14, 9, 13]);
  });

  function constantLike(x: Tensor, values: readonly number[]): Tensor {
    return add(mul(x, 0), constant(array(values)));
  }
});

describe('second derivatives', () => {
  const second = (f: (x: Tensor) => Tensor) => grad((x: Tensor) => sum(grad(f)(x)));

  test('of simple functions are those of calculus', async () => {
    const x = ndarray('float64', [3], Float64Array.of(0.5, -1.2, 2));
    const out = await evaluate(
      (t) => [
        second((a) => sum(pow(a, 3)))(t),
        second((a) => sum(exp(mul(a, 2))))(t),
        second((a) => sum(tanh(a)))(t),
        second((a) => div(1, sum(mul(a, a))))(t),
      ],
      x,
    );
    const list = Array.from(x.data);
    const norm = list.reduce((all, v) => all + v * v, 0);
    const ones = list.reduce((all, v) => all + v, 0);
    const expected = [
      list.map((v) => 6 * v),
      list.map((v) => 4 * Math.exp(2 * v)),
      list.map((v) => -2 * Math.tanh(v) * (1 - Math.tanh(v) ** 2)),
      list.map((v) => (8 * v * ones) / norm ** 3 - 2 / norm ** 2),
    ];
    for (const [i, row] of expected.entries())
      for (const [j, value] of row.entries()) expect(numbers(out[i])[j]).toBeCloseTo(value, 9);
  });

  test('of fused operations equal those of their plain forms', async () => {
    const values = (size: number, scale = 1) => Array.from({ length: size }, (_, i) => scale * Math.sin(1.7 * i + 0.3));
    const weight = constant(array(values(4, 2)));
    const targets = constant(array([1, 0, 3], [3], 'int32'));
    // The float64 forms are made of plain operations; float32 uses the kernels and their second gradients.
    const plain = (x: Tensor, f: (y: Tensor) => Tensor) => cast(f(cast(x, 'float64')), 'float32');
    const wide = cast(weight, 'float64');
    const square = (y: Tensor) => sum(mul(y, mul(y, y)));
    const pairs: readonly (readonly [(x: Tensor) => Tensor, (x: Tensor) => Tensor])[] = [
      [(x) => square(layerNorm(x, weight)), (x) => plain(x, (y) => square(layerNorm(y, wide)))],
      [(x) => square(rmsNorm(x, weight)), (x) => plain(x, (y) => square(rmsNorm(y, wide)))],
      [(x) => square(crossEntropyRows(x, targets)), (x) => plain(x, (y) => square(crossEntropyRows(y, targets)))],
      [(x) => square(attend(x)), (x) => plain(x, (y) => square(attend(y)))],
    ];
    function attend(x: Tensor): Tensor {
      const q = reshape(x, [1, 1, 3, 4]);
      return attention(q, mul(q, 0.5), add(q, 1));
    }
    const direction = constant(array(values(12, -1), [3, 4]));
    const out = await evaluate(
      (x) => pairs.map((forms) => forms.map((f) => grad((y: Tensor) => sum(mul(grad(f)(y), direction)))(x))),
      array(values(12), [3, 4]),
    );
    for (const [fused, reference] of out.map((pair) => pair.map(numbers))) {
      const size = Math.max(...(reference ?? []).map(Math.abs));
      expect(size).toBeGreaterThan(0.01);
      for (const [i, value] of (reference ?? []).entries())
        expect(Math.abs((fused?.[i] ?? 0) - value) / size).toBeLessThan(1e-4);
    }
  });
});

describe('broadcasting', () => {
  test('agrees with counting places, for any two shapes that fit', async () => {
    const sizes = fc.array(fc.constantFrom(1, 2, 3), { maxLength: 4 });
    const pair = fc.tuple(sizes, sizes, fc.array(fc.tuple(fc.boolean(), fc.boolean()), { minLength: 4, maxLength: 4 }));
    const shapes = fc.sample(pair, { numRuns: 60, seed: 7 }).map(([whole, extra, drops]) => {
      const full = [...extra, ...whole].slice(-4);
      const cut = (side: 0 | 1) => full.map((size, axis) => (drops[axis]?.[side] === true ? 1 : size));
      return [cut(0).slice(full.length - whole.length), cut(1)] as const;
    });
    const operand = (shape: readonly number[]) =>
      array(
        Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i + 1),
        shape,
      );
    const input = shapes.map(([a, b]) => ({ a: operand(a), b: operand(b) }));
    const out = await evaluate(
      (all) => all.map(({ a, b }) => ({ y: add(a, mul(b, 100)), ...gradients(sum(sub(a, b)), { a, b }) })),
      input,
    );
    for (const [i, { a, b }] of input.entries()) {
      const { y, a: ga, b: gb } = out[i] ?? {};
      if (y === undefined) throw new Error('no output');
      expect(numbers(y)).toEqual(spread(a, y.shape).map((value, j) => value + 100 * (spread(b, y.shape)[j] ?? 0)));
      const size = y.data.length;
      expect(numbers(ga)).toEqual(numbers(a).map(() => size / a.data.length));
      expect(numbers(gb)).toEqual(numbers(b).map(() => -size / b.data.length));
    }
  });

  function spread(x: NDArray, shape: readonly number[]): number[] {
    const padded = [...new Array<number>(shape.length - x.shape.length).fill(1), ...x.shape];
    return Array.from({ length: shape.reduce((p, q) => p * q, 1) }, (_, index) => {
      let [rest, offset, stride] = [index, 0, 1];
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        const place = rest % (shape[axis] ?? 1);
        rest = (rest - place) / (shape[axis] ?? 1);
        if (padded[axis] !== 1) offset += place * stride;
        stride *= padded[axis] ?? 1;
      }
      return Number(x.data[offset]);
    });
  }
});

describe('constant folding', () => {
  test('computes what depends on constants alone', () => {
    const two = constant(2);
    expect(nodesOf((x) => mul(x, exp(add(mul(two, 3), sub(two, 1)))))).toEqual(['Mul']);
    expect(nodesOf((x) => add(x, reshape(slice(constant(array([1, 2, 3, 4, 5])), 0, 1), [4, 1])))).toEqual(['Add']);
    expect(nodesOf((x) => mul(x, cast(constant(array([1], [1], 'int64')), 'float32')))).toEqual(['Mul']);
  });

  test('moves, joins and chooses among constants', async () => {
    const x = constant(array([1, 2, 3, 4, 5, 6], [2, 3]));
    const parts = () => [
      transpose(x),
      transpose(reshape(x, [1, 2, 3]), [2, 0, 1]),
      concat([x, mul(x, 10)], 0),
      concat([x, slice(x, 1, 1)], 1),
      where(greater(x, 3), x, constant(array([0, -1, -2]))),
    ];
    expect(nodesOf((y) => [y, parts()])).toEqual(new Array(6).fill('Identity'));
    expect((await evaluate(parts)).map(numbers)).toEqual([
      [1, 4, 2, 5, 3, 6],
      [1, 4, 2, 5, 3, 6],
      [1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60],
      [1, 2, 3, 2, 3, 4, 5, 6, 5, 6],
      [0, -1, -2, 4, 5, 6],
    ]);
  });

  test('removes additions of 0 and multiplications by 1', () => {
    expect(nodesOf((x) => mul(add(sub(pow(mul(1, add(0, x)), 1), 0), 0), 1))).toEqual(['Identity']);
  });

  test('gives what the runtime gives', async () => {
    const [a, b] = [array([1.5, -2, 3, 0.25]), array([-1, 2], [2, 1])];
    const f = (x: Tensor, y: Tensor) => ({
      sum: add(x, y),
      quotient: div(x, y),
      power: pow(exp(x), y),
      compared: cast(x, 'int32'),
      smooth: sigmoid(tanh(mul(x, y))),
      top: maximum(x, y),
      part: slice(reshape(mul(x, y), [2, 2, 2]), 1, 1),
    });
    const run = await evaluate(f, a, b);
    const folded = await evaluate(() => f(constant(a), constant(b)));
    for (const key of Object.keys(run) as (keyof typeof run)[]) {
      expect(folded[key].shape).toEqual(run[key].shape);
      for (const [i, value] of numbers(run[key]).entries()) expect(numbers(folded[key])[i]).toBeCloseTo(value, 5);
    }
  });

  test('leaves whole numbers alone that a double cannot hold', async () => {
    const big = ndarray('int64', [1], BigInt64Array.of(2n ** 60n + 1n));
    const out = await evaluate(() => add(constant(big), constant(1, 'int64')));
    expect(out.data).toEqual(BigInt64Array.of(2n ** 60n + 2n));
  });
});

describe('sharing and dead code', () => {
  test('the same expression twice is one node', () => {
    expect(nodesOf((x) => add(exp(mul(x, 2)), exp(mul(x, 2))))).toEqual(['Mul', 'Exp', 'Add']);
    expect(nodesOf((x) => concat([softmax(x), softmax(x)], 0))).toEqual(['Softmax', 'Concat']);
    const table = () =>
      constant(
        array(
          Array.from({ length: 16 }, (_, i) => i),
          [4, 4],
        ),
      );
    expect(nodesOf((x) => add(matmul(x, table()), matmul(x, table())))).toEqual(['Gemm', 'Add']);
  });

  test('different constants stay apart', async () => {
    const out = await evaluate(
      (x) => [add(x, 1), add(x, 2), mul(x, constant(array([1, 2]))), mul(x, constant(array([1, 3])))],
      array([1, 1]),
    );
    expect(out.map(numbers)).toEqual([
      [2, 2],
      [3, 3],
      [1, 2],
      [1, 3],
    ]);
  });

  test('a long list of rows is scattered, a short one into a small table multiplied', () => {
    const types = (count: number) => {
      const ids = constant(zeros([count], 'int32'));
      return nodesOf((x) => gradients(sum(mul(gather(concat(new Array(200).fill(x), 0), ids), 3)), x));
    };
    expect(types(20_000)).toContain('Gemm');
    expect(types(40_000)).toContain('ScatterElements');
  });

  test('gradients that nothing uses add no node', () => {
    const loss = (x: Tensor) => sum(mul(softmax(matmul(x, x)), x));
    const alone = nodesOf(loss);
    const both = nodesOf((x) => {
      const value = loss(x);
      gradients(value, x);
      return value;
    });
    expect(both).toEqual(alone);
    expect(nodesOf((x) => [loss(x), gradients(loss(x), x)]).length).toBeGreaterThan(alone.length);
  });
});
