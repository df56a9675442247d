/**
 * Products in half precision: around every matrix product and convolution of float32 tensors stand casts to float16 and
 * back, as mixed-precision training wants it (Micikevicius et al., arXiv 1710.03740). All else, norms, softmax, losses,
 * sums and updates, stays in float32, and so do the parameters.
 */

import type { Emitter, Node } from '../graph.js';

/** ONNX operators that are products. */
const PRODUCTS: ReadonlySet<string> = new Set(['MatMul', 'Gemm', 'FusedMatMul', 'Conv', 'ConvTranspose']);
/** Operations that use a product to add up: half precision would lose the small parts. */
const SUMS: ReadonlySet<string> = new Set(['sum', 'sumSquares', 'scatterRowsAdd', 'segmentSum', 'cumsum']);

/** What lowering `node` emits, with products in half precision where its tensors are float32. */
export function withHalfProducts(emitter: Emitter, node: Node): Emitter {
  const floats = [...node.inputs, ...node.outputs].filter(({ dtype }) => dtype.startsWith('float'));
  if (SUMS.has(node.operation.name) || floats.some(({ dtype }) => dtype !== 'float32')) return emitter;
  const cast = (name: string, to: 'float16' | 'float32'): string =>
    name === '' ? '' : (emitter.emit('Cast', [name], { to: { dtype: to } })[0] ?? '');
  return {
    ...emitter,
    emit: (type, inputs, attributes, outputs, domain) => {
      if (!PRODUCTS.has(type)) return emitter.emit(type, inputs, attributes, outputs, domain);
      const halves = inputs.map((name) => cast(name, 'float16'));
      return emitter.emit(type, halves, attributes, outputs, domain).map((name) => cast(name, 'float32'));
    },
  };
}
