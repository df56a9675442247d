/** Sorting, scattering and padding where the table of operations does not look: named sizes, repeated runs, bad input. */

import * as t from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';
import { testRuntime } from '../runtime.js';

const runtime = await testRuntime();

const ids = (...values: number[]) => t.constant(t.array(values, [values.length], 'int32'));
const floats = (...shape: number[]) => t.constant(t.zeros(shape));

describe('sizes known only when a program runs', () => {
  test('pass through sorts, flips, repeats, pads, one-hot vectors and segments', async () => {
    const program = await runtime.compile(
      (_state, { x, of }: { x: t.Tensor; of: t.Tensor }) => ({
        out: {
          sorted: t.sort(x, { axis: 0 }),
          order: t.argsort(x, { axis: 0, descending: true }),
          flipped: t.flip(x, 0),
          twice: t.repeat(x, 2, 0),
          padded: t.pad(x, [
            [0, 0],
            [1, 0],
          ]),
          hot: t.oneHot(of, 3),
          sums: t.segmentSum(x, of, 3),
          most: t.segmentMax(x, of, 3, { empty: -1 }),
          slope: t.gradients(t.sum(t.segmentMean(x, of, 3)), x),
          rows: t.scatterRows(t.constant(t.zeros([3, 2])), of, x),
          picked: t.gatherND(x, t.reshape(of, ['rows', 1])),
        },
      }),
      {
        state: {},
        input: { x: { dtype: 'float32', shape: ['rows', 2] }, of: { dtype: 'int32', shape: ['rows'] } },
      },
    );
    const { out } = await program.run(runtime.join({}), {
      x: t.array([3, 1, 5, 0, 4, 7], [3, 2]),
      of: t.array([2, 0, 2], [3], 'int32'),
    });
    await program.dispose();
    expect(
      Object.fromEntries(Object.entries(out).map(([name, value]) => [name, Array.from(value.data, Number)])),
    ).toEqual({
      sorted: [3, 0, 4, 1, 5, 7],
      order: [1, 2, 2, 0, 0, 1],
      flipped: [4, 7, 5, 0, 3, 1],
      twice: [3, 1, 3, 1, 5, 0, 5, 0, 4, 7, 4, 7],
      padded: [0, 3, 1, 0, 5, 0, 0, 4, 7],
      hot: [0, 0, 1, 1, 0, 0, 0, 0, 1],
      sums: [5, 0, 0, 0, 7, 8],
      most: [5, 0, -1, -1, 4, 7],
      slope: [0.5, 0.5, 1, 1, 0.5, 0.5],
      rows: [5, 0, 0, 0, 4, 7],
      picked: [4, 7, 3, 1, 4, 7],
    });
    expect(out.twice.shape).toEqual([6, 2]);
  });
});

describe('repeated indices', () => {
  // Whole numbers, so that sums are exact in any order. The first is added up element by element, the second by one
  // product, the others by products of sorted blocks, the last of which is not full.
  test.each([
    [2000, 64, 1100],
    [2000, 64, 200],
    [16500, 64, 300],
    [4097, 257, 400],
  ])(
    'of %i rows of %i into %i give every sum and the last row at each run, on two threads',
    async (rows, width, table) => {
      const whole = t.random(7).integers([rows, width], 64);
      const input = {
        x: t.array(Array.from(whole.data), [rows, width]),
        of: t.random(8).integers([rows], table),
        start: t.array(new Float32Array(table * width).fill(3), [table, width]),
      };
      const program = await runtime.compile(
        (_state, { x, of, start }: Record<'x' | 'of' | 'start', t.Tensor>) => ({
          out: {
            last: t.scatterRows(start, of, x),
            sums: t.segmentSum(x, of, table),
            onto: t.scatterRowsAdd(start, of, x),
            double: t.segmentSum(t.cast(x, 'float64'), of, table),
          },
        }),
        { state: {}, input },
      );
      const last = input.start.data.slice();
      const sums = new Float32Array(table * width);
      for (let i = 0; i < rows; i++) {
        const [from, to] = [i * width, Number(input.of.data[i]) * width];
        for (let j = 0; j < width; j++) {
          last[to + j] = input.x.data[from + j] ?? 0;
          sums[to + j] = (sums[to + j] ?? 0) + (input.x.data[from + j] ?? 0);
        }
      }
      for (let run = 0; run < 2; run++) {
        const { out } = await program.run(runtime.join({}), input);
        expect(out.last.data.findIndex((value, i) => value !== last[i])).toBe(-1);
        expect(out.sums.data.findIndex((value, i) => value !== sums[i])).toBe(-1);
        expect(out.onto.data.findIndex((value, i) => value !== (sums[i] ?? 0) + 3)).toBe(-1);
        expect(out.double.data.findIndex((value, i) => value !== sums[i])).toBe(-1);
      }
      await program.dispose();
    },
  );
});

describe('what does not fit is refused in a sentence', () => {
  const cases: readonly (readonly [string, () => unknown, string])[] = [
    ['sort of bool', () => t.sort(t.constant(t.zeros([2], 'bool'))), 'sort takes numbers, not truth values'],
    ['argsort of a missing axis', () => t.argsort(floats(2), { axis: 1 }), 'argsort: there is no axis 1'],
    ['searchSorted of two dtypes', () => t.searchSorted(ids(1, 2), floats(2)), 'cannot find float32 in int32'],
    ['searchSorted of two shapes', () => t.searchSorted(floats(2, 5), floats(3, 4)), 'cannot find [3, 4] in [2, 5]'],
    ['bucketize of a matrix', () => t.bucketize(floats(2), floats(2, 2)), 'one list of boundaries, not [2, 2]'],
    ['quantile above 1', () => t.quantile(floats(3), 1.5), 'a share from 0 to 1, not 1.5'],
    ['quantile of whole numbers', () => t.median(ids(1, 2)), 'takes floats, not int32'],
    ['indices that are floats', () => t.scatterRows(floats(2, 2), floats(1), floats(1, 2)), 'not float32'],
    [
      'updates of other rows',
      () => t.scatterRows(floats(2, 3), ids(0), floats(1, 2)),
      'cannot write [1, 2] of float32',
    ],
    [
      'updates of another shape',
      () => t.scatterElements(floats(4), ids(0), floats(2), 0),
      'cannot write [2] of float32',
    ],
    [
      'max of truth values',
      () => t.scatterRows(t.constant(t.zeros([2], 'bool')), ids(0), t.constant(t.zeros([1], 'bool')), 'max'),
      'has no max of truth values',
    ],
    ['tuples deeper than the tensor', () => t.gatherND(floats(2), t.constant(t.zeros([1, 2], 'int32'))), 'not [1, 2]'],
    ['no segments', () => t.segmentSum(floats(2), ids(0, 1), 0), 'whole number of segments from 1 up, not 0'],
    ['ids of another length', () => t.segmentMax(floats(2, 3), ids(0, 1, 1), 2), 'cannot give [2, 3] the ids [3]'],
    [
      'a fraction for whole segments',
      () => t.segmentMin(ids(1, 2), ids(0, 0), 2, { empty: 0.5 }),
      'empty segments 0.5',
    ],
    ['oneHot of no depth', () => t.oneHot(ids(0), 0), 'a whole depth from 1 up, not 0'],
    ['oneHot of bool with values', () => t.oneHot(ids(0), 2, { dtype: 'bool', on: 2 }), '1 and 0, not 2 and 0'],
    ['pads for another rank', () => t.pad(floats(2, 2), [[1, 1]]), 'a pair of whole numbers for each axis of [2, 2]'],
    [
      'more reflected than there is',
      () => t.pad(floats(3), [[3, 0]], { mode: 'reflect' }),
      'reflect cannot add 3 and 0',
    ],
    ['more wrapped than there is', () => t.pad(floats(3), [[0, 4]], { mode: 'wrap' }), 'wrap cannot add 0 and 4'],
    ['more cut than there is', () => t.pad(floats(3), [[-2, -2]]), 'cannot cut 2 and 2 elements off axis 0'],
    ['flip of a missing axis', () => t.flip(floats(2), 1), 'flip: there is no axis 1'],
    ['repeat by a fraction', () => t.repeat(floats(2), 1.5, 0), 'whole counts from 0 up'],
    ['repeat with too few counts', () => t.repeat(floats(3), [1, 2], 0), 'the counts [1, 2]'],
  ];

  test.each(cases)('%s', (_name, attempt, sentence) => {
    const failed = (() => {
      try {
        return attempt();
      } catch (error) {
        return error;
      }
    })();
    expect(failed).toBeInstanceOf(t.TesseraError);
    expect(failed).toMatchObject({ code: 'bad-shape', message: expect.stringContaining(sentence) });
  });
});
