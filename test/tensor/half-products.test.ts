/** Which products mixed precision puts into float16: counted in the graph, since the CPU's runtime computes them in float32. */

import { openOnnx } from 'tessera-kit/formats';
import { array, conv2d, matmul, reshape, specsOf, sum, type Tensor } from 'tessera-kit/tensor';
import { expect, test } from 'vitest';
import { testRuntime } from '../runtime.js';

interface Weights {
  readonly w: Tensor;
}
const runtime = await testRuntime();

/** A function of a matrix, compiled: how many nodes the runtime was given, and how many casts stand in its ONNX file. */
async function compiled(f: (w: Tensor) => Tensor, precision: 'float32' | 'mixed', dtype: 'float32' | 'float64') {
  const program = await runtime.compile<Weights, object, Tensor>(({ w }) => ({ out: f(w) }), {
    state: specsOf<Weights>({ w: array([1, 2, 3, 4, 5, 6, 7, 8, 9], [3, 3], dtype) }),
    input: {},
    precision,
  });
  const [file] = [...program.toONNX()];
  await program.dispose();
  const model = await openOnnx(file?.bytes ?? new Uint8Array());
  await model.close();
  return { nodes: program.report.nodes, exported: model.operators.Cast ?? 0 };
}

const square = (w: Tensor): Tensor => matmul(w, w);
const convolved = (w: Tensor): Tensor => conv2d(reshape(w, [1, 1, 3, 3]), reshape(sum(w, 0), [1, 1, 1, 3]));

test.each([
  // Two operands and a result; an operand that comes twice is cast once.
  ['a product', (w: Tensor) => matmul(w, sum(w, 0, { keepDims: true }), { transposeB: true }), 3],
  ['a square', square, 2],
  ['a convolution', convolved, 3],
  ['a sum', (w: Tensor) => sum(w, 0), 0],
])('mixed precision casts the operands and the result of %s', async (_name, f, casts) => {
  const plain = await compiled(f, 'float32', 'float32');
  const mixed = await compiled(f, 'mixed', 'float32');
  expect(mixed.nodes - plain.nodes).toBe(casts);
  // What is exported is for any engine, in single precision.
  expect(mixed.exported).toBe(plain.exported);
});

test('mixed precision leaves float64 alone', async () => {
  expect(await compiled(square, 'mixed', 'float64')).toEqual(await compiled(square, 'float32', 'float64'));
});
