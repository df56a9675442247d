/** Matrix products, in the forms that ONNX Runtime runs fastest: Gemm for matrices, FusedMatMul for batches. */

import {
  applyOne,
  type Emitter,
  elements,
  isStatic,
  type Node,
  type Operation,
  type Shape,
  shapeError,
  shapeText,
  type Tensor,
} from '../graph.js';
import { broadcastShapes, unbroadcast } from './broadcast.js';
import { pair } from './elementwise.js';
import { reshape } from './shape.js';

/** How the last two axes of the operands are read, and a factor for the product. */
export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly scale?: number;
}

interface Form {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly scale: number;
}

function formOf(node: Node): Form {
  const { transposeA, transposeB, scale } = node.attributes;
  return { transposeA: transposeA === true, transposeB: transposeB === true, scale: Number(scale) };
}

const matmulOperation: Operation = {
  name: 'matmul',
  gradient: (node, [g]) => {
    if (g === undefined) return [];
    const [a, b] = pair(node.inputs);
    const { transposeA, transposeB, scale } = formOf(node);
    const ga = transposeA
      ? matmul(b, g, { transposeA: transposeB, transposeB: true, scale })
      : matmul(g, b, { transposeB: !transposeB, scale });
    const gb = transposeB
      ? matmul(g, a, { transposeA: true, transposeB: transposeA, scale })
      : matmul(a, g, { transposeA: !transposeA, scale });
    return [unbroadcast(ga, a.shape), unbroadcast(gb, b.shape)];
  },
  lower: (node, emitter) => lowerMatmul(node, emitter),
  flops: (node) => {
    const [a] = pair(node.inputs);
    const [out] = node.outputs;
    const inner = a.shape.at(formOf(node).transposeA ? -2 : -1);
    return out !== undefined && isStatic(out.shape) && typeof inner === 'number' ? 2 * inner * elements(out.shape) : 0;
  },
};

function lowerMatmul(node: Node, emitter: Emitter): readonly string[] {
  const [a, b] = pair(node.inputs);
  const { transposeA, transposeB, scale } = formOf(node);
  const names = [emitter.name(a), emitter.name(b)];
  if (a.shape.length === 2 && b.shape.length === 2 && a.dtype !== 'int32' && a.dtype !== 'int64') {
    return emitter.emit('Gemm', names, { transA: Number(transposeA), transB: Number(transposeB), alpha: { float: scale } });
  }
  if (!transposeA && !transposeB && scale === 1) return emitter.emit('MatMul', names);
  if (emitter.device !== 'webgpu' && a.dtype === 'float32') {
    const attributes = { transA: Number(transposeA), transB: Number(transposeB), alpha: { float: scale } };
    return emitter.emit('FusedMatMul', names, attributes, 1, 'com.microsoft');
  }
  const turned = [a, b].map((x, index) => {
    const name = names[index] ?? '';
    if (!(index === 0 ? transposeA : transposeB)) return name;
    const perm = x.shape.map((_, axis) => axis);
    perm.push(...perm.splice(-2).reverse());
    return emitter.emit('Transpose', [name], { perm })[0] ?? '';
  });
  const product = emitter.emit('MatMul', turned);
  if (scale === 1) return product;
  const data = a.dtype === 'float64' ? Float64Array.of(scale) : Float32Array.of(scale);
  return emitter.emit('Mul', [...product, emitter.constant({ dtype: a.dtype, shape: [], data })]);
}

/**
 * `scale * op(a) @ op(b)` for `a` `[..., m, k]` and `b` `[..., k, n]`, batch axes broadcast.
 * A matrix `b` under a batched `a` is one product of all rows together.
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { transposeA = false, transposeB = false, scale = 1 } = options;
  const refuse = (): Error => {
    const turned = (x: Tensor, flag: boolean) => `${shapeText(x.shape)}${flag ? ' transposed' : ''}`;
    return shapeError(`matmul cannot multiply ${turned(a, transposeA)} by ${turned(b, transposeB)}.`);
  };
  if (a.shape.length < 2 || b.shape.length < 2 || a.dtype !== b.dtype) throw refuse();
  const [m, k] = ends(a.shape, transposeA);
  const [inner, n] = ends(b.shape, transposeB);
  if (k !== inner) throw refuse();
  if (a.shape.length > 2 && b.shape.length === 2 && !transposeA) {
    const rows = reshape(a, [-1, k]);
    return reshape(matmul(rows, b, options), [...a.shape.slice(0, -1), n]);
  }
  return product(a, b, { transposeA, transposeB, scale }, [...batchShape(a, b), m, n]);
}

function ends(shape: Shape, turned: boolean): readonly [Shape[number], Shape[number]] {
  const rows = shape.at(-2) ?? 1;
  const columns = shape.at(-1) ?? 1;
  return turned ? [columns, rows] : [rows, columns];
}

function batchShape(a: Tensor, b: Tensor): Shape {
  return broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2), 'matmul');
}

function product(a: Tensor, b: Tensor, form: Form, shape: Shape): Tensor {
  return applyOne(matmulOperation, [a, b], { ...form }, { dtype: a.dtype, shape });
}
