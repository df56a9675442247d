/** What the table of operations does not ask: messages, derivatives of derivatives, named sizes, and nodes that are spared. */

import * as t from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';

const f32 = (data: readonly number[], shape?: readonly number[]) => t.array(data, shape);
const plain = async (f: (...inputs: t.Tensor[]) => t.Tensor, ...inputs: t.NDArray[]): Promise<number[]> =>
  Array.from((await t.evaluate(f, ...inputs)).data, Number);

describe('einsum', () => {
  const input = (shape: readonly number[]) => t.constant(t.zeros(shape));

  test.each([
    [
      'ij,jk->ik',
      [
        [2, 3],
        [4, 5],
      ],
      `einsum 'ij,jk->ik' of [2, 3] and [4, 5]: "j" is 3 and 4.`,
    ],
    ['ij->ik', [[2, 3]], 'the output names "k", which no operand has.'],
    ['ij->ii', [[2, 3]], 'the output names "i" twice.'],
    ['ij,jk->ik', [[2, 3]], 'it names 2 operands, and 1 are given.'],
    ['ijk->i', [[2, 3]], '"ijk" does not name the 2 axes of [2, 3].'],
    ['i1->i', [[2, 3]], '"1" is no letter and no "...".'],
    ['...i...->i', [[2, 3]], '"..." stands twice in one subscript.'],
    ['i->j->i', [[2]], 'there is more than one "->".'],
    ['...,...', [[2], [3]], 'an axis of "..." is 2 and 3.'],
  ])('refuses %s with the subscript and the shapes', (subscripts, shapes, message) => {
    expect(() => t.einsum(subscripts, ...shapes.map(input))).toThrow(message);
  });

  test('is one matrix product where the axes lie well, and takes sizes that are only names', async () => {
    const runtime = await t.createRuntime({ device: 'cpu', worker: false });
    const spec = (...shape: t.Dimension[]) => ({ dtype: 'float32', shape }) as const;
    const program = await runtime.compile(
      (_state: object, [a, b]: readonly t.Tensor[]) => {
        if (a === undefined || b === undefined) throw new Error('two operands');
        return { out: t.einsum('bhqd,bhkd->bhqk', a, b) };
      },
      { state: {}, input: [spec('batch', 2, 'time', 4), spec('batch', 2, 'keys', 4)] },
    );
    expect(program.report.nodes).toBe(1);
    await program.dispose();
    await runtime.dispose();
  });
});

describe('gradients', () => {
  test('of a product are right twice over, zeros or not', async () => {
    // f = x0 x1 x2 and its derivatives along (1, 1, 1): the sum of all second derivatives is 2 (x0 + x1 + x2).
    const second = (x: t.Tensor) => t.gradients(t.sum(t.gradients(t.prod(x), x)), x);
    for (const x of [
      [2, 3, 5],
      [0, 3, 5],
      [0, 0, 5],
    ]) {
      const [a = 0, b = 0, c = 0] = x;
      expect(await plain(second, f32(x))).toEqual([b + c, a + c, a + b]);
    }
  });

  test('of running extremes go to the last of equals', async () => {
    const slope = (f: (x: t.Tensor) => t.Tensor) => (x: t.Tensor) => t.gradients(t.sum(f(x)), x);
    expect(await plain(slope(t.cummax), f32([1, 3, 3, 2, 3]))).toEqual([1, 1, 2, 0, 1]);
    expect(await plain(slope(t.cummin), f32([3, 1, 1, 2]))).toEqual([1, 1, 2, 0]);
  });
});

describe('bad input gets a sentence', () => {
  const x = t.constant(f32([1, 2, 3, 4, 5, 6], [2, 3]));
  const whole = t.constant(t.array([1, 2], [2], 'int32'));
  test.each([
    [() => t.tan(whole), 'tan takes floating tensors, not int32; cast it first.'],
    [() => t.mod(whole, x), 'mod cannot combine int32 with float32; cast one of them.'],
    [() => t.bitwiseAnd(x, x), 'bitwiseAnd takes int32, int64, uint8 or bool tensors, not float32; cast it first.'],
    [() => t.leftShift(x, 1), 'leftShift takes int32, int64 or uint8 tensors, not float32'],
    [() => t.variance(x, 0, { ddof: 2 }), 'variance of [2, 3] with ddof 2 divides by 0; it takes more elements.'],
    [() => t.vectorNorm(x, 0, { order: 3 }), 'vectorNorm knows the orders 1, 2 and Infinity, not 3.'],
    [() => t.dot(x, x), 'dot cannot multiply [2, 3] by [2, 3].'],
    [() => t.stack([x, whole]), 'stack cannot join [2, 3] and [2] along a new axis.'],
    [() => t.diagonal(x, 3), 'diagonal 3 lies outside of axes 0 and 1 of [2, 3].'],
    [() => t.diff(x, 3), 'diff cannot take differences 3 times along axis -1 of [2, 3].'],
    [() => t.tile(x, [0]), 'tile repeats a positive whole number of times, not [0].'],
    [() => t.roll(x, [1, 2], [0]), 'roll cannot move 1 axes by 2 shifts.'],
    [() => t.moveAxis(x, [0, 0], [0, 1]), 'moveAxis cannot move axes [0, 0] to [0, 1].'],
    [() => t.arange(0, 1, 0), 'arange cannot go from 0 to 1 in steps of 0.'],
    [() => t.linspace(0, 1, 1.5), 'linspace gives a whole number of values, not 1.5.'],
    [() => t.tril(whole), 'tril takes matrices, not [2].'],
    [() => t.elu(x, Number.NaN), 'elu needs an alpha that is a finite number, not NaN.'],
  ])('%#', (make, message) => {
    expect(make).toThrow(message);
  });
});

test('constants are folded, whole numbers at the edge of their width included', () => {
  const most = t.constant(t.array([2 ** 31 - 1], [1], 'int32'));
  for (const [folded, value] of [
    [t.leftShift(most, 1), -2],
    [t.rightShift(t.constant(t.array([-(2 ** 31)], [1], 'int32')), 31), -1],
    [t.floorDivide(t.constant(t.array([-7], [1], 'int64')), 2), -4],
    [t.log1p(t.constant(f32([1e-12]))), Math.fround(1e-12)],
  ] as const) {
    expect(Array.from(folded.node.value?.data ?? [], Number)).toEqual([value]);
  }
});

test('bool tensors are chosen from by a condition', async () => {
  const [condition, a, b] = [
    [1, 1, 0, 0],
    [1, 0, 1, 0],
    [0, 1, 1, 0],
  ].map((data) => t.array(data, [4], 'bool'));
  if (condition === undefined || a === undefined || b === undefined) throw new Error('three operands');
  const chosen = (...[c, x, y]: t.Tensor[]) => (c && x && y ? t.where(c, x, y) : t.full([], 0));
  expect(await plain(chosen, condition, a, b)).toEqual([1, 0, 1, 0]);
});
