/** Windows beyond the table: sentences for what does not fit, batches known by name, what a convolution costs. */

import * as t from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';
import { testRuntime } from '../runtime.js';

const runtime = await testRuntime();

const zeros = (...shape: number[]): t.Tensor => t.constant(t.zeros(shape));

describe('what does not fit', () => {
  test.each<[string, () => unknown, string]>([
    [
      'channels',
      () => t.conv2d(zeros(1, 3, 4, 4), zeros(2, 4, 3, 3)),
      'conv2d cannot apply a kernel [2, 4, 3, 3] in 1 groups to [1, 3, 4, 4].',
    ],
    ['groups', () => t.conv2d(zeros(1, 4, 4, 4), zeros(3, 2, 3, 3), { groups: 2 }), 'in 2 groups'],
    [
      'a rank',
      () => t.conv2d(zeros(3, 4, 4), zeros(2, 3, 3, 3)),
      'conv2d cannot apply a kernel [2, 3, 3, 3] to [3, 4, 4].',
    ],
    ['a sequence', () => t.conv1d(zeros(3, 4), zeros(2, 3, 3)), 'conv1d takes [batch, channels, length], not [3, 4].'],
    [
      'a bias',
      () => t.conv2d(zeros(1, 3, 4, 4), zeros(2, 3, 3, 3), { bias: zeros(3) }),
      'cannot add a bias of [3] to 2 channels',
    ],
    [
      'a dtype',
      () => t.conv2d(zeros(1, 3, 4, 4), t.constant(t.zeros([2, 3, 3, 3], 'float64'))),
      'float32 and float64; cast them',
    ],
    [
      'whole numbers',
      () => t.conv2d(t.constant(t.zeros([1, 1, 4, 4], 'int32')), t.constant(t.zeros([1, 1, 3, 3], 'int32'))),
      'floating operands',
    ],
    [
      'a window',
      () => t.conv2d(zeros(1, 3, 4, 4), zeros(2, 3, 5, 5)),
      'a window of 5 x 5 does not fit into 4 x 4 with a padding of 0 and 0',
    ],
    [
      'a stride',
      () => t.conv2d(zeros(1, 3, 4, 4), zeros(2, 3, 3, 3), { stride: 0 }),
      'the stride must be whole and at least 1, not 0',
    ],
    [
      'a padding',
      () => t.conv1d(zeros(1, 3, 4), zeros(2, 3, 3), { padding: -1 }),
      'the padding must be whole and at least 0, not -1',
    ],
    [
      'an output padding',
      () => t.convTranspose2d(zeros(1, 3, 4, 4), zeros(3, 2, 3, 3), { stride: 2, outputPadding: 2 }),
      'an output padding of 2 must be less than the stride, 2',
    ],
    [
      'a padding that takes all',
      () => t.convTranspose2d(zeros(1, 3, 1, 1), zeros(3, 2, 3, 3), { padding: 2 }),
      'leaves nothing of 1 x 1 places',
    ],
    [
      'a window of padding',
      () => t.maxPool2d(zeros(1, 1, 4, 4), { kernel: 2, padding: 2 }),
      'window 0 of 4 x 4 sees only padding',
    ],
    [
      'a pooled rank',
      () => t.avgPool2d(zeros(3, 4, 4), { kernel: 2 }),
      'avgPool2d takes floating [batch, channels, height, width]',
    ],
    [
      'columns',
      () => t.fold(zeros(1, 8, 5), { kernel: 2, size: [3, 3] }),
      'fold cannot add columns [1, 8, 5] of 4 taps and 4 places',
    ],
    ['patches', () => t.patchify(zeros(1, 3, 5, 4), { patch: 2 }), 'patches of 2 x 2 do not fill a picture of 5 x 4'],
    [
      'tokens',
      () => t.unpatchify(zeros(1, 4, 11), { patch: 2, height: 4, width: 4 }),
      'unpatchify cannot make a picture of 4 x 4 from [1, 4, 11]',
    ],
    [
      'blocks',
      () => t.depthToSpace(zeros(1, 6, 2, 2), 2),
      'depthToSpace cannot make blocks of 2 x 2 from [1, 6, 2, 2]',
    ],
    ['a size', () => t.resize(zeros(1, 1, 2, 2), [0, 2]), 'resize: the size must be whole and at least 1, not 0'],
  ])('is said in a sentence: %s', (_what, make, sentence) => {
    expect(make).toThrow(sentence);
    expect(make).toThrow(t.TesseraError);
  });
});

describe('compiled', () => {
  test('a convolution counts two operations a product, and its gradients as many again each', async () => {
    interface Given {
      readonly x: t.Tensor;
      readonly weight: t.Tensor;
    }
    const spec = (...shape: number[]): t.Spec => ({ dtype: 'float32', shape });
    const cost = async (f: (given: Given) => t.Tensor | Given): Promise<number> => {
      const program = await runtime.compile<object, Given, unknown>((_state, given) => ({ out: f(given) }), {
        state: {},
        input: { x: spec(2, 4, 9, 8), weight: spec(6, 2, 3, 3) },
      });
      await program.dispose();
      return program.report.flops;
    };
    const forward = ({ x, weight }: Given): t.Tensor => t.conv2d(x, weight, { groups: 2, stride: 2 });
    const once = 2 * (2 * 6 * 4 * 3) * (2 * 3 * 3);
    expect(await cost(forward)).toBe(once);
    // The loss is linear: its gradients need no forward pass.
    expect(await cost((given) => t.gradients(t.sum(forward(given)), given))).toBe(2 * once);
  });
});

test('the maximum of rectified places has the gradient that it has in either order', async () => {
  const x = t.random(3).normal([2, 3, 6, 6]);
  const g = t.random(4).normal([2, 3, 3, 3]);
  const slopes = (rectified: (x: t.Tensor) => t.Tensor) =>
    t.evaluate(
      (x: t.Tensor) => t.gradients(t.sum(t.mul(t.maxPool2d(rectified(x), { kernel: 2 }), t.constant(g))), x),
      x,
    );
  const [commuted, apart] = [await slopes(t.relu), await slopes((x) => t.mul(x, t.cast(t.greater(x, 0), 'float32')))];
  expect(commuted).toEqual(apart);
  expect([...commuted.data].some((slope) => slope !== 0)).toBe(true);
});

test('a batch known only by name runs at any size', async () => {
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const kernel = t.random(1).normal([4, 3, 3, 3]);
  const net = (x: t.Tensor): t.Tensor => {
    const wide = t.conv2d(x, t.constant(kernel), { padding: 1 });
    const small = t.avgPool2d(t.maxPool2d(wide, { kernel: 2 }), { kernel: 3, stride: 1, padding: 1 });
    const large = t.resize(t.upsample(small, 2), [7, 9], { mode: 'bilinear' });
    return t.patchify(t.spaceToDepth(t.fold(t.unfold(large, { kernel: 2 }), { kernel: 2, size: [7, 9] }), 1), {
      patch: [7, 3],
    });
  };
  const lowered = t.exportProgram<object, { readonly x: t.Tensor }, { readonly y: t.Tensor }>(
    (_state, { x }) => ({ out: { y: net(x) } }),
    { state: {}, input: { x: { dtype: 'float32', shape: ['batch', 3, 6, 8] } } },
  );
  const parts = [...t.encodeOnnxFiles(lowered, 'model.onnx')].map(({ bytes }) => bytes);
  const session = await InferenceSession.create(parts[0] ?? new Uint8Array());
  for (const batch of [1, 3]) {
    const x = t.random(batch).normal([batch, 3, 6, 8]);
    const { y } = await session.run({ x: new Tensor('float32', Float32Array.from(x.data, Number), [batch, 3, 6, 8]) });
    const expected = await t.evaluate(net, x);
    expect(y?.dims).toEqual([batch, 3, 4 * 21]);
    const found = Array.from(y?.data ?? [], Number);
    const worst = Math.max(...found.map((value, index) => Math.abs(value - Number(expected.data[index]))));
    expect(worst).toBeLessThan(1e-5);
  }
});
