/** What tracing refuses: the sentence names the operation, both shapes, the part of the model and the caller's line. */

import {
  add,
  array,
  attention,
  broadcastTo,
  cast,
  concat,
  constant,
  crossEntropyRows,
  cumsum,
  evaluate,
  exportProgram,
  gather,
  gradients,
  layerNorm,
  log,
  matmul,
  mul,
  type NDArray,
  reshape,
  rotary,
  slice,
  softmax,
  specsOf,
  split,
  sum,
  sumSquares,
  type Tensor,
  TesseraError,
  topK,
  transpose,
  where,
} from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';

const numbers = (value: NDArray | undefined) => Array.from(value?.data ?? [], Number);

describe('errors of tracing', () => {
  const spec = (...shape: number[]) => ({ dtype: 'float32', shape }) as const;
  const traced =
    (f: (a: Tensor, b: Tensor) => Tensor, a: ReturnType<typeof spec>, b: ReturnType<typeof spec>) => (): unknown =>
      exportProgram<object, { a: Tensor; b: Tensor }, Tensor>((_state, x) => ({ out: f(x.a, x.b) }), {
        state: {},
        input: { a, b },
      });
  const ids = constant(array([0, 1], [2], 'int32'));

  test.each([
    ['add', (a: Tensor, b: Tensor) => add(a, b), [2, 3], [4, 3]],
    ['matmul', (a: Tensor, b: Tensor) => matmul(a, b), [2, 3], [4, 3]],
    ['reshape', (a: Tensor) => reshape(a, [4, 3]), [2, 3], [4, 3]],
    ['concat', (a: Tensor, b: Tensor) => concat([a, b], 1), [2, 3], [4, 3]],
    ['broadcastTo', (a: Tensor) => broadcastTo(a, [4, 3]), [2, 3], [4, 3]],
    ['crossEntropyRows', (a: Tensor) => crossEntropyRows(a, constant(array([0, 1, 2, 3], [4], 'int32'))), [2, 3], [4]],
    ['layerNorm', (a: Tensor, b: Tensor) => layerNorm(a, b), [2, 3], [4]],
    ['attention', (a: Tensor, b: Tensor) => attention(a, b, b), [1, 2, 3, 4], [1, 3, 3, 4]],
    ['attention cannot add a bias', (a: Tensor, b: Tensor) => attention(a, a, a, b), [1, 1, 3, 3], [5, 3]],
    ['rotary', (a: Tensor, b: Tensor) => rotary(a, constant(array([0], [1, 1], 'int64')), b, b), [1, 1, 7], [8, 2]],
    ['where', (a: Tensor, b: Tensor) => where(constant(array([1], [1], 'bool')), a, b), [2, 3], [4, 3]],
  ] as const)('%s names itself, both shapes and the line of the caller', (name, f, a, b) => {
    const run = traced(f, spec(...a), spec(...b));
    expect(run).toThrow(TesseraError);
    expect(run).toThrow(name);
    expect(run).toThrow(`[${a.join(', ')}]`);
    expect(run).toThrow(`[${b.join(', ')}]`);
    expect(run).toThrow('trace.test.ts');
    expect(run).toThrow(expect.objectContaining({ code: 'bad-shape' }));
  });

  test.each([
    ['axis', (a: Tensor) => softmax(a, 2), 'softmax: there is no axis 2'],
    ['k', (a: Tensor) => topK(a, 9).values, 'topK cannot take 9'],
    ['parts', (a: Tensor) => add(...(split(a, 2, 1) as [Tensor, Tensor])), 'split cannot cut axis 1'],
    ['order', (a: Tensor) => transpose(a, [0, 0]), 'transpose: [0, 0] is no order'],
    ['range', (a: Tensor) => slice(a, 0, 1, 9), 'slice: 1 to 9'],
    ['dtype', (a: Tensor) => add(a, ids), 'add cannot combine float32 with int32; cast one of them'],
    ['index', (a: Tensor) => gather(a, a), 'gather takes int32 or int64 indices, not float32'],
    ['condition', (a: Tensor) => where(a, a, a), 'where takes a bool condition, not float32'],
    ['axis of sums', (a: Tensor) => cumsum(a, -3), 'cumsum: there is no axis -3'],
    ['vector', (a: Tensor) => gradients(a, a), 'A gradient is taken of a scalar, not of [2, 3]'],
  ] as const)('a wrong %s is named', (_what, f, message) => {
    expect(traced(f, spec(2, 3), spec(2, 3))).toThrow(message);
  });

  test('the module path is part of the sentence', () => {
    const run = () =>
      exportProgram<object, { a: Tensor }, Tensor>(
        (_state, { a }, call) => {
          call.at('layers').at(3).at('mlp');
          return { out: matmul(a, a) };
        },
        { state: {}, input: { a: spec(2, 3) } },
      );
    expect(run).toThrow('In layers.3.mlp.');
  });

  test('a tensor of another trace is refused by name', () => {
    let leaked: Tensor | undefined;
    exportProgram<object, { stray: Tensor }, Tensor>(
      (_state, { stray }) => {
        leaked = stray;
        return { out: stray };
      },
      {
        state: {},
        input: { stray: spec(1) },
      },
    );
    const run = () =>
      exportProgram<object, { a: Tensor }, Tensor>((_state, { a }) => ({ out: add(a, leaked ?? a) }), {
        state: {},
        input: { a: spec(1) },
      });
    expect(run).toThrow('"in:stray"');
  });

  test('state of another shape, unknown state and doubled names are refused', () => {
    const state = { w: spec(2) };
    const returning = (make: (w: Tensor) => object) => () =>
      exportProgram<{ w: Tensor }, object, Tensor>((s) => ({ state: make(s.w), out: s.w }), { state, input: {} });
    expect(returning((w) => ({ w: sum(w) }))).toThrow('The state "w" is float32 [2] and would become float32 [].');
    expect(returning((w) => ({ v: w }))).toThrow('state "v", which its state does not have');
    const doubled = () =>
      exportProgram<{ w: Tensor }, { w: Tensor }, Tensor>((s, x) => ({ out: add(s.w, x.w) }), {
        state,
        input: { w: spec(2) },
      });
    expect(doubled).toThrow('called "w"');
  });

  test('a figure must be a scalar', () => {
    const run = () =>
      exportProgram<object, { a: Tensor }, Tensor>(
        (_state, { a }, call) => {
          call.at('loss').record('rows', a);
          return { out: a };
        },
        { state: {}, input: { a: spec(2) } },
      );
    expect(run).toThrow('The figure "rows" must be a scalar, not [2].');
  });

  test('specs are read from arrays', () => {
    expect(specsOf({ a: array([1, 2]), b: [array([1], [1], 'int64')] })).toEqual({
      a: spec(2),
      b: [{ dtype: 'int64', shape: [1] }],
    });
  });

  test('an operation without a gradient says so only when one must flow', async () => {
    const out = await evaluate((x) => gradients(sum(mul(x, cast(topK(x, 1).positions, 'float32'))), x), array([1, 3]));
    expect(numbers(out)).toEqual([1, 1]);
    expect(numbers(await evaluate((x) => gradients(add(log(sum(x)), sumSquares(x)), x), array([1, 3])))).toEqual([
      2.25, 6.25,
    ]);
  });
});
