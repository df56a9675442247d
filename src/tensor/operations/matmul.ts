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
import { array } from '../ndarray.js';
import { broadcastShapes, unbroadcast } from './broadcast.js';
import { pair } from './elementwise.js';
import { reshape } from './shape.js';

/** How the last two axes of the operands are read, a factor for the product, and what is added to each row of it. */
export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly scale?: number;
  /** `[n]`; only where `b` is a matrix. */
  readonly bias?: Tensor;
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
    const bias = node.inputs[2];
    return [unbroadcast(ga, a.shape), unbroadcast(gb, b.shape), bias && unbroadcast(g, bias.shape)];
  },
  lower: (node, emitter) => lowerMatmul(node, emitter),
  flops: (node) => {
    const [a] = pair(node.inputs);
    const [out] = node.outputs;
    const inner = a.shape.at(formOf(node).transposeA ? -2 : -1);
    return out !== undefined && isStatic(out.shape) && typeof inner === 'number' ? 2 * inner * elements(out.shape) : 0;
  },
};

/** From this many rows on a bias is added after the product. */
const MANY_ROWS = 64;

/**
 * Gemm's own bias copies it into every row first; an addition runs in place and costs half of that. For few rows, and for
 * a number of them that is not known (a decoder's), one node less counts for more.
 */
function lowerMatmul(node: Node, emitter: Emitter): readonly string[] {
  const bias = node.inputs[2];
  if (bias === undefined) return lowerProduct(node, emitter);
  const [a, b] = pair(node.inputs);
  const rows = a.shape[formOf(node).transposeA ? 1 : 0];
  const matrices = a.shape.length === 2 && b.shape.length === 2 && a.dtype === 'float32';
  if (matrices && (typeof rows !== 'number' || rows < MANY_ROWS))
    return lowerProduct(node, emitter, emitter.name(bias));
  return emitter.emit('Add', [...lowerProduct(node, emitter), emitter.name(bias)]);
}

function lowerProduct(node: Node, emitter: Emitter, bias?: string): readonly string[] {
  const [a, b] = pair(node.inputs);
  const { transposeA, transposeB, scale } = formOf(node);
  const names = [a, b].map(emitter.name);
  // Attributes hold float32: a finer factor is a multiplication of its own.
  const fits = a.dtype === 'float32' || Math.fround(scale) === scale;
  const flags = { transA: Number(transposeA), transB: Number(transposeB), alpha: { float: fits ? scale : 1 } };
  const scaled = (product: readonly string[], factor: number): readonly string[] =>
    factor === 1 ? product : emitter.emit('Mul', [...product, emitter.constant(array([factor], [], a.dtype))]);
  if (a.shape.length === 2 && b.shape.length === 2 && a.dtype !== 'int32' && a.dtype !== 'int64') {
    const operands = bias === undefined ? names : [...names, bias];
    return scaled(emitter.emit('Gemm', operands, flags), fits ? 1 : scale);
  }
  if (!transposeA && !transposeB && scale === 1) return emitter.emit('MatMul', names);
  if (emitter.device !== 'webgpu' && a.dtype === 'float32') {
    return emitter.emit('FusedMatMul', names, flags, 1, 'com.microsoft');
  }
  const turned = [a, b].map((x, index) => {
    const name = names[index] ?? '';
    if (!(index === 0 ? transposeA : transposeB)) return name;
    const perm = x.shape.map((_, axis) => axis);
    perm.push(...perm.splice(-2).reverse());
    return emitter.emit('Transpose', [name], { perm })[0] ?? '';
  });
  return scaled(emitter.emit('MatMul', turned), scale);
}

/**
 * `scale * op(a) @ op(b)` for `a` `[..., m, k]` and `b` `[..., k, n]`, batch axes broadcast.
 * A matrix `b` under a batched `a` is one product of all rows together.
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { transposeA = false, transposeB = false, scale = 1, bias } = options;
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
  if (bias !== undefined && (b.shape.length > 2 || bias.shape.length !== 1 || bias.shape[0] !== n)) {
    throw shapeError(`matmul cannot add a bias of ${shapeText(bias.shape)} to rows of ${String(n)}.`);
  }
  const inputs = bias === undefined ? [a, b] : [a, b, bias];
  const shape = [...broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2), 'matmul'), m, n];
  return applyOne(matmulOperation, inputs, { transposeA, transposeB, scale }, { dtype: a.dtype, shape });
}

function ends(shape: Shape, turned: boolean): readonly [Shape[number], Shape[number]] {
  const rows = shape.at(-2) ?? 1;
  const columns = shape.at(-1) ?? 1;
  return turned ? [columns, rows] : [rows, columns];
}
