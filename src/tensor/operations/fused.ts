/**
 * Operations that ONNX Runtime has one kernel for and whose gradients deserve a hand: norms, GELU, rotary positions,
 * softmax attention and cross-entropy.
 */

import {
  apply,
  applyOne,
  constant,
  elements,
  isStatic,
  type Operation,
  type Shape,
  sameShape,
  shapeError,
  shapeText,
  type Tensor,
} from '../graph.js';
import { array, type NDArray, zeros } from '../ndarray.js';
import { broadcastTo, sum, unbroadcast } from './broadcast.js';
import { add, div, erf, exp, log, maximum, mul, neg, only, sigmoid, sqrt, sub } from './elementwise.js';
import { gatherElements, scatterElementsAdd } from './gather.js';
import { matmul } from './matmul.js';
import { mean, softmax } from './reduce.js';
import { expandDims, reshape } from './shape.js';

function at(tensors: readonly Tensor[], index: number): Tensor {
  const tensor = tensors[index];
  if (tensor === undefined) throw new Error('an operand is missing');
  return tensor;
}

/** The sum of those that are there. */
function total(...parts: readonly (Tensor | undefined)[]): Tensor | undefined {
  const [head, ...rest] = parts.filter((part) => part !== undefined);
  return head === undefined ? undefined : rest.reduce((sum, part) => add(sum, part), head);
}

/** What an inverse deviation, which only gradients of gradients use, sends back: `-inverse^2 normal / width` times its own. */
function throughInverse(g: Tensor | undefined, inverse: Tensor, normal: Tensor, width: number): Tensor | undefined {
  return g && mul(normal, mul(g, mul(mul(inverse, inverse), -1 / width)));
}

const layerNormOperation: Operation = {
  name: 'layerNorm',
  gradient: (node, [g, gMean, gInverse]) => {
    const [x, weight, bias] = [at(node.inputs, 0), at(node.inputs, 1), node.inputs[2]];
    const inverse = at(node.outputs, 2);
    const width = x.shape.at(-1);
    if (typeof width !== 'number') throw shapeError('layerNorm needs a known width.');
    const normal = mul(sub(x, at(node.outputs, 1)), inverse);
    const aside = total(
      gMean && broadcastTo(mul(gMean, 1 / width), x.shape),
      throughInverse(gInverse, inverse, normal, width),
    );
    if (g === undefined) return [aside];
    const aligned = mul(g, normal);
    const column = reshape(weight, [width, 1]);
    // The two row means of g * weight and g * weight * normal are products with the weight.
    const c1 = matmul(g, column, { scale: 1 / width });
    const c2 = matmul(aligned, column, { scale: 1 / width });
    const gx = mul(sub(sub(mul(g, weight), mul(normal, c2)), c1), inverse);
    return [total(gx, aside), unbroadcast(aligned, weight.shape), bias && unbroadcast(g, bias.shape)];
  },
  lower: (node, emitter) =>
    emitter.emit(
      'LayerNormalization',
      node.inputs.map(emitter.name),
      { axis: -1, epsilon: { float: node.attributes.epsilon } },
      3,
    ),
};

function rowShape(shape: Shape): Shape {
  return [...shape.slice(0, -1), 1];
}

function checkWidth(name: string, x: Tensor, ...parameters: readonly (Tensor | undefined)[]): void {
  for (const parameter of parameters) {
    if (parameter !== undefined && (parameter.shape.length !== 1 || parameter.shape[0] !== x.shape.at(-1))) {
      throw shapeError(`${name}: a parameter of ${shapeText(parameter.shape)} does not fit ${shapeText(x.shape)}.`);
    }
  }
}

/** `x / sqrt(mean(x ** 2) + epsilon) * weight` in plain operations: the kernels give float64 rows float32 statistics. */
function normalized(x: Tensor, weight: Tensor, epsilon: number): Tensor {
  return mul(div(x, sqrt(add(mean(mul(x, x), -1, { keepDims: true }), epsilon))), weight);
}

/** `(x - mean) / sqrt(variance + epsilon) * weight + bias` over the last axis (Ba et al., arXiv 1607.06450). */
export function layerNorm(x: Tensor, weight: Tensor, bias?: Tensor, epsilon = 1e-5): Tensor {
  checkWidth('layerNorm', x, weight, bias);
  if (x.shape.length === 1) return reshape(layerNorm(expandDims(x, 0), weight, bias, epsilon), x.shape);
  if (x.dtype === 'float64') {
    const normal = normalized(sub(x, mean(x, -1, { keepDims: true })), weight, epsilon);
    return bias === undefined ? normal : add(normal, bias);
  }
  const inputs = bias === undefined ? [x, weight] : [x, weight, bias];
  const row = { dtype: x.dtype, shape: rowShape(x.shape) };
  return at(apply(layerNormOperation, inputs, { epsilon }, [x, row, row]), 0);
}

const rmsNormOperation: Operation = {
  name: 'rmsNorm',
  gradient: (node, [g, gInverse]) => {
    const [x, weight] = [at(node.inputs, 0), at(node.inputs, 1)];
    const inverse = at(node.outputs, 1);
    const width = x.shape.at(-1);
    if (typeof width !== 'number') throw shapeError('rmsNorm needs a known width.');
    const normal = mul(x, inverse);
    const aside = throughInverse(gInverse, inverse, normal, width);
    if (g === undefined) return [aside];
    const aligned = mul(g, normal);
    const c = matmul(aligned, reshape(weight, [width, 1]), { scale: 1 / width });
    return [total(mul(sub(mul(g, weight), mul(normal, c)), inverse), aside), unbroadcast(aligned, weight.shape)];
  },
  lower: (node, emitter) => {
    const attributes = { axis: -1, epsilon: { float: node.attributes.epsilon }, stash_type: 1 };
    const names = node.inputs.map(emitter.name);
    if (emitter.device !== 'webgpu') return emitter.emit('SimplifiedLayerNormalization', names, attributes, 2);
    // WebGPU's kernel fills its first output only.
    const x = at(node.inputs, 0);
    const scalar = (value: number): string => emitter.constant(array([value], [], x.dtype));
    const axis = emitter.constant(array([-1], [1], 'int64'));
    const squares = emitter.emit('ReduceSumSquare', [emitter.name(x), axis], { keepdims: 1 });
    const mean = emitter.emit('Mul', [...squares, scalar(1 / Number(x.shape.at(-1)))]);
    const deviation = emitter.emit('Sqrt', emitter.emit('Add', [...mean, scalar(Number(node.attributes.epsilon))]));
    return [
      ...emitter.emit('SimplifiedLayerNormalization', names, attributes),
      ...emitter.emit('Reciprocal', deviation),
    ];
  },
};

/** `x / sqrt(mean(x ** 2) + epsilon) * weight` over the last axis (Zhang & Sennrich, arXiv 1910.07467). */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon = 1e-6): Tensor {
  checkWidth('rmsNorm', x, weight);
  if (x.shape.length === 1) return reshape(rmsNorm(expandDims(x, 0), weight, epsilon), x.shape);
  if (x.dtype === 'float64') return normalized(x, weight, epsilon);
  return at(apply(rmsNormOperation, [x, weight], { epsilon }, [x, { dtype: x.dtype, shape: rowShape(x.shape) }]), 0);
}

const GELU_SCALE = Math.sqrt(2 / Math.PI);
const GELU_CUBE = 0.044715;

const geluOperation: Operation = {
  name: 'gelu',
  gradient: (node, [g]) => {
    if (g === undefined) return [];
    const x = only(node.inputs);
    const squared = mul(x, x);
    if (node.attributes.approximate === 'none') {
      const cdf = mul(add(erf(mul(x, Math.SQRT1_2)), 1), 0.5);
      const density = mul(exp(mul(squared, -0.5)), 1 / Math.sqrt(2 * Math.PI));
      return [mul(g, add(cdf, mul(x, density)))];
    }
    // With y = gelu(x) = x s, s = sigmoid(u), u = 2c (x + a x^3): the derivative is s + (1 - s) y u', u' = 2c (1 + 3a x^2).
    const cube = mul(squared, 2 * GELU_SCALE * GELU_CUBE);
    const s = sigmoid(mul(x, add(cube, 2 * GELU_SCALE)));
    const slope = mul(only(node.outputs), add(mul(cube, 3), 2 * GELU_SCALE));
    return [mul(g, add(s, mul(slope, sub(1, s))))];
  },
  lower: (node, emitter) =>
    emitter.emit('Gelu', node.inputs.map(emitter.name), { approximate: node.attributes.approximate }),
};

/** The Gaussian error linear unit (Hendrycks & Gimpel, arXiv 1606.08415); `tanh` is its usual approximation. */
export function gelu(x: Tensor, approximate: 'none' | 'tanh' = 'none'): Tensor {
  return applyOne(geluOperation, [x], { approximate }, x);
}

const rotaryOperation: Operation = {
  name: 'rotary',
  gradient: (node, [g]) => {
    const [, positions, cosines, sines] = node.inputs;
    if (g === undefined || positions === undefined || cosines === undefined || sines === undefined) return [];
    return [applyOne(rotaryOperation, [g, positions, cosines, neg(sines)], node.attributes, g)];
  },
  lower: (node, emitter) =>
    emitter.emit(
      'RotaryEmbedding',
      node.inputs.map(emitter.name),
      { interleaved: 0, ...node.attributes },
      1,
      'com.microsoft',
    ),
};

/**
 * Rotary positions in the rotate-half layout of Llama (Su et al., arXiv 2104.09864): `x` `[batch, heads, time, head]` or
 * `[batch, time, heads * head]`; `positions` int64 `[batch, time]`; tables `[positions, head / 2]` of cosines and sines.
 *
 * With `heads`, which wants the second form, tables may be narrower than half a head: only the first dimensions of each
 * head are turned, twice as many as a table has columns (GPT-NeoX, arXiv 2204.06745, section 2.1.1).
 */
export function rotary(x: Tensor, positions: Tensor, cosines: Tensor, sines: Tensor, heads?: number): Tensor {
  if (positions.dtype !== 'int64') throw shapeError(`rotary takes int64 positions, not ${positions.dtype}.`);
  const [rank, width, half] = [x.shape.length, x.shape.at(-1), cosines.shape[1]];
  const fits =
    heads === undefined
      ? typeof width !== 'number' ||
        typeof half !== 'number' ||
        (rank === 4 ? width === 2 * half : width % (2 * half) === 0)
      : rank === 3 &&
        typeof width === 'number' &&
        typeof half === 'number' &&
        width % heads === 0 &&
        2 * half <= width / heads;
  if (
    (rank !== 3 && rank !== 4) ||
    positions.shape.length !== 2 ||
    !sameShape(cosines.shape, sines.shape) ||
    cosines.shape.length !== 2 ||
    !fits
  ) {
    const tables = `${shapeText(cosines.shape)} and ${shapeText(sines.shape)}`;
    throw shapeError(
      `rotary cannot turn ${shapeText(x.shape)} at positions ${shapeText(positions.shape)} with tables ${tables}.`,
    );
  }
  const attributes = heads === undefined ? {} : { num_heads: heads, rotary_embedding_dim: 2 * Number(half) };
  return applyOne(rotaryOperation, [x, positions, cosines, sines], attributes, x);
}

/** The cosines and sines of every position and frequency: `[positions, head / 2]` each. */
export function rotaryTables(
  positions: number,
  head: number,
  theta = 10000,
): { readonly cosines: NDArray<'float32'>; readonly sines: NDArray<'float32'> } {
  const half = head / 2;
  const cosines = zeros([positions, half]);
  const sines = zeros([positions, half]);
  for (let frequency = 0; frequency < half; frequency++) {
    const rate = theta ** (-frequency / half);
    for (let position = 0; position < positions; position++) {
      cosines.data[position * half + frequency] = Math.cos(position * rate);
      sines.data[position * half + frequency] = Math.sin(position * rate);
    }
  }
  return { cosines, sines };
}

const attentionOperation: Operation = {
  name: 'attention',
  gradient: (node, [g, aside]) => {
    const [query, key, value] = [at(node.inputs, 0), at(node.inputs, 1), at(node.inputs, 2)];
    const [out, weights] = [at(node.outputs, 0), at(node.outputs, 1)];
    const scale = Number(node.attributes.scale);
    // sum(g_w * weights) over keys equals sum(g * out) over the head, a far narrower product.
    const through = total(g && matmul(g, value, { transposeB: true }), aside);
    const along = total(
      g && sum(mul(g, out), -1, { keepDims: true }),
      aside && sum(mul(aside, weights), -1, { keepDims: true }),
    );
    if (through === undefined || along === undefined) return [];
    const gScores = mul(weights, sub(through, along));
    const bias = node.inputs[3];
    return [
      unbroadcast(matmul(gScores, key, { scale }), query.shape),
      unbroadcast(matmul(gScores, query, { transposeA: true, scale }), key.shape),
      g && unbroadcast(matmul(weights, g, { transposeA: true }), value.shape),
      bias && unbroadcast(gScores, bias.shape),
    ];
  },
  lower: (node, emitter) => {
    const [query, key, value, bias] = node.inputs.map(emitter.name);
    const alpha = { float: node.attributes.scale };
    let scores: string[];
    if (emitter.device === 'webgpu') {
      const turned = emitter.emit('Transpose', [key ?? ''], { perm: [0, 1, 3, 2] });
      const raw = emitter.emit('MatMul', [query ?? '', ...turned]);
      scores = emitter.emit('Mul', [
        ...raw,
        emitter.constant({ dtype: 'float32', shape: [], data: Float32Array.of(Number(node.attributes.scale)) }),
      ]);
    } else {
      scores = emitter.emit('FusedMatMul', [query ?? '', key ?? ''], { transB: 1, alpha }, 1, 'com.microsoft');
    }
    const biased = bias === undefined ? scores : emitter.emit('Add', [...scores, bias]);
    const weights = emitter.emit('Softmax', biased, { axis: -1 });
    return [...emitter.emit('MatMul', [...weights, value ?? '']), ...weights];
  },
  flops: (node) => {
    const [out, weights] = node.outputs;
    if (out === undefined || weights === undefined || !isStatic(out.shape) || !isStatic(weights.shape)) return 0;
    return 4 * elements(weights.shape) * (out.shape.at(-1) ?? 0);
  },
};

/** True when broadcasting repeats a shape to another. */
function repeatsTo(shape: Shape, target: Shape): boolean {
  const extra = target.length - shape.length;
  return extra >= 0 && shape.every((size, axis) => size === 1 || size === target[axis + extra]);
}

/**
 * `softmax(scale * query @ key^T + bias) @ value` (Vaswani et al., arXiv 1706.03762, equation 1).
 * `query` `[batch, heads, time, head]`, `key` and `value` `[batch, heads, sources, head]` (batch and heads may be 1 and are
 * repeated), `bias` broadcast to the scores.
 */
export function attention(query: Tensor, key: Tensor, value: Tensor, bias?: Tensor, scale?: number): Tensor {
  const head = query.shape.at(-1);
  const refuse = (): Error =>
    shapeError(
      `attention cannot match queries ${shapeText(query.shape)} with keys ${shapeText(key.shape)} and values ${shapeText(value.shape)}.`,
    );
  if (query.shape.length !== 4 || key.shape.length !== 4 || value.shape.length !== 4) throw refuse();
  if (typeof head !== 'number' || key.shape[3] !== head || value.shape[2] !== key.shape[2]) throw refuse();
  const [batch, kvBatch, time = 1] = [query.shape.slice(0, 2), key.shape.slice(0, 2), query.shape[2]];
  if (!repeatsTo(kvBatch, batch) || !sameShape(kvBatch, value.shape.slice(0, 2))) throw refuse();
  const scores = [...batch, time, key.shape[2] ?? 0];
  if (bias !== undefined && !repeatsTo(bias.shape, scores)) {
    throw shapeError(`attention cannot add a bias of ${shapeText(bias.shape)} to scores ${shapeText(scores)}.`);
  }
  const factor = scale ?? 1 / Math.sqrt(head);
  if (query.dtype === 'float64') {
    const raw = matmul(query, key, { transposeB: true, scale: factor });
    return matmul(softmax(bias === undefined ? raw : add(raw, bias)), value);
  }
  const inputs = bias === undefined ? [query, key, value] : [query, key, value, bias];
  const out = [...batch, time, value.shape[3] ?? 0];
  return at(
    apply(attentionOperation, inputs, { scale: factor }, [
      { dtype: query.dtype, shape: out },
      { dtype: query.dtype, shape: scores },
    ]),
    0,
  );
}

const TINY = 1e-37;

const crossEntropyOperation: Operation = {
  name: 'crossEntropy',
  gradient: (node, [g, aside]) => {
    const targets = at(node.inputs, 1);
    const probabilities = at(node.outputs, 1);
    // What flows into the probabilities, which only gradients of gradients use.
    const inner = aside && mul(probabilities, sub(aside, sum(mul(aside, probabilities), -1, { keepDims: true })));
    if (g === undefined) return [inner];
    const rows = targets.shape[0] ?? 1;
    const minus = broadcastTo(constant(-1), [rows, 1]);
    const difference = scatterElementsAdd(probabilities, reshape(targets, [rows, 1]), minus, 1);
    return [total(isOnes(g) ? difference : mul(difference, reshape(g, [rows, 1])), inner), undefined];
  },
  lower: (node, emitter) => {
    const rows = emitter.shape([node.inputs[1]?.shape[0] ?? 1, 1]);
    const [logits, targets] = node.inputs.map(emitter.name);
    const probabilities = emitter.emit('Softmax', [logits ?? ''], { axis: -1 });
    const column = emitter.emit('Reshape', [targets ?? '', rows]);
    const chosen = emitter.emit('GatherElements', [...probabilities, ...column], { axis: 1 });
    const tiny = emitter.constant({ dtype: 'float32', shape: [], data: Float32Array.of(TINY) });
    const logarithm = emitter.emit('Log', emitter.emit('Max', [...chosen, tiny]));
    const flat = emitter.emit('Reshape', [
      ...emitter.emit('Neg', logarithm),
      emitter.shape([node.inputs[1]?.shape[0] ?? 1]),
    ]);
    return [...flat, ...probabilities];
  },
};

function isOnes(x: Tensor): boolean {
  const source = x.node.operation.name === 'broadcastTo' ? x.node.inputs[0] : x;
  return source?.node.value?.data.length === 1 && Number(source.node.value.data[0]) === 1;
}

/**
 * `-log softmax(logits)[target]` of each row: `logits` `[rows, classes]`, `targets` int32 `[rows]`, result `[rows]`.
 * One softmax serves loss and gradient; probabilities below 1e-37 count as 1e-37, so a row costs at most 85.2 nats.
 */
export function crossEntropyRows(logits: Tensor, targets: Tensor): Tensor {
  const [rows, classes] = logits.shape;
  if (
    logits.shape.length !== 2 ||
    rows === undefined ||
    classes === undefined ||
    targets.shape.length !== 1 ||
    targets.shape[0] !== rows
  ) {
    throw shapeError(
      `crossEntropyRows cannot compare logits ${shapeText(logits.shape)} with targets ${shapeText(targets.shape)}.`,
    );
  }
  if (logits.dtype === 'float64') {
    const chosen = gatherElements(softmax(logits), reshape(targets, [rows, 1]), 1);
    return reshape(neg(log(maximum(chosen, TINY))), [rows]);
  }
  return at(apply(crossEntropyOperation, [logits, targets], {}, [{ dtype: 'float32', shape: [rows] }, logits]), 0);
}
