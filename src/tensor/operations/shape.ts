/** Reshaping, transposing, joining and cutting: operations that move values and compute none. */

import { foldConcat, foldTranspose } from '../fold.js';
import {
  apply,
  applyOne,
  constant,
  type Dimension,
  isStatic,
  normalizeAxis,
  type Operation,
  type Shape,
  sameShape,
  shapeError,
  shapeText,
  type Tensor,
} from '../graph.js';
import { array, type NDArray, sizeOf, zeros } from '../ndarray.js';

function one(tensors: readonly Tensor[]): Tensor {
  const [tensor] = tensors;
  if (tensor === undefined) throw new Error('an operation of one operand');
  return tensor;
}

const reshapeOperation: Operation = {
  name: 'reshape',
  gradient: ({ inputs }, [g]) => [g && reshape(g, one(inputs).shape)],
  lower: ({ inputs, outputs }, emitter) =>
    emitter.emit('Reshape', [emitter.name(one(inputs)), emitter.shape(one(outputs).shape, one(inputs))]),
  fold: ([x], _, [out]) =>
    x !== undefined && out !== undefined && isStatic(out.shape) ? { ...x, shape: out.shape } : undefined,
};

/** `x` with the same elements in another shape; one size may be -1. Named sizes must stand for themselves or fill the -1. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const target = inferShape(x.shape, shape);
  if (sameShape(x.shape, target)) return x;
  const source = x.node.operation === reshapeOperation ? one(x.node.inputs) : x;
  if (sameShape(source.shape, target)) return source;
  return applyOne(reshapeOperation, [source], { shape: target }, { dtype: x.dtype, shape: target });
}

/** The factors of a size: "2*time" is 2 and "time"; a sum of names is one factor. */
function factors(dimension: Dimension): readonly Dimension[] {
  if (typeof dimension === 'number' || dimension.includes(' + ')) return [dimension];
  return dimension.split('*').map((factor) => (/^\d+$/.test(factor) ? Number(factor) : factor));
}

/** Known part (a number) and named factors of an element count. */
function measure(shape: Shape): readonly [number, readonly string[]] {
  const all = shape.flatMap(factors);
  return [
    sizeOf(all.filter((factor) => typeof factor === 'number')),
    all.filter((factor) => typeof factor === 'string').sort(),
  ];
}

function inferShape(from: Shape, to: Shape): Shape {
  const hole = to.indexOf(-1);
  const [count, names] = measure(from);
  const [known, knownNames] = measure(to.filter((dimension) => dimension !== -1));
  const refuse = () => shapeError(`reshape cannot turn ${shapeText(from)} into ${shapeText(to)}.`);
  if (hole < 0) {
    if (count !== known || names.join('*') !== knownNames.join('*')) throw refuse();
    return to;
  }
  if (to.indexOf(-1, hole + 1) >= 0 || known === 0 || count % known !== 0) throw refuse();
  const rest = [...names];
  for (const name of knownNames) {
    const at = rest.indexOf(name);
    if (at < 0) throw refuse();
    rest.splice(at, 1);
  }
  const size = count / known;
  const filled: Dimension = rest.length === 0 ? size : size === 1 ? rest.join('*') : `${size}*${rest.join('*')}`;
  return to.map((dimension, axis) => (axis === hole ? filled : dimension));
}

/** `x` without the axes of size 1 named by `axes`. */
export function squeeze(x: Tensor, axes: readonly number[]): Tensor {
  const drop = new Set(axes.map((axis) => normalizeAxis(axis, x.shape.length, 'squeeze')));
  for (const axis of drop)
    if (x.shape[axis] !== 1) throw shapeError(`squeeze cannot drop axis ${axis} of ${shapeText(x.shape)}.`);
  return reshape(
    x,
    x.shape.filter((_, axis) => !drop.has(axis)),
  );
}

/** `x` with a new axis of size 1 at `axis` of the result. */
export function expandDims(x: Tensor, axis: number): Tensor {
  const at = normalizeAxis(axis, x.shape.length + 1, 'expandDims');
  return reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

const transposeOperation: Operation = {
  name: 'transpose',
  gradient: ({ attributes }, [g]) => [g && transpose(g, invert(permutation(attributes.axes)))],
  lower: ({ inputs, attributes }, emitter) =>
    emitter.emit('Transpose', inputs.map(emitter.name), { perm: permutation(attributes.axes) }),
  fold: ([x], attributes, [out]) =>
    x && out && isStatic(out.shape) ? foldTranspose(x, permutation(attributes.axes), out.shape) : undefined,
};

function permutation(axes: unknown): readonly number[] {
  if (!Array.isArray(axes)) throw new Error('transpose without axes');
  return axes;
}

function invert(axes: readonly number[]): number[] {
  const inverse: number[] = [];
  for (const [to, from] of axes.entries()) inverse[from] = to;
  return inverse;
}

/** `x` with its axes in another order (default: reversed). `axes[i]` names the axis of `x` that becomes axis i. */
export function transpose(
  x: Tensor,
  axes: readonly number[] = x.shape.map((_, axis) => x.shape.length - 1 - axis),
): Tensor {
  const order = axes.map((axis) => normalizeAxis(axis, x.shape.length, 'transpose'));
  if (order.length !== x.shape.length || new Set(order).size !== order.length) {
    throw shapeError(`transpose: [${axes.join(', ')}] is no order of the axes of ${shapeText(x.shape)}.`);
  }
  if (order.every((axis, index) => axis === index)) return x;
  if (x.node.operation === transposeOperation) {
    const inner = permutation(x.node.attributes.axes);
    return transpose(
      one(x.node.inputs),
      order.map((axis) => inner[axis] ?? 0),
    );
  }
  const shape = order.map((axis) => x.shape[axis] ?? 1);
  const moved = order.filter((axis) => x.shape[axis] !== 1);
  if (moved.every((axis, index) => index === 0 || axis > (moved[index - 1] ?? 0))) return reshape(x, shape);
  return applyOne(transposeOperation, [x], { axes: order }, { dtype: x.dtype, shape });
}

const concatOperation: Operation = {
  name: 'concat',
  gradient: ({ inputs, attributes }, [g]) => {
    if (g === undefined) return [];
    const axis = Number(attributes.axis);
    let start = 0;
    return inputs.map((x) => {
      const size = staticSize(x.shape[axis], 'the gradient of concat');
      start += size;
      return slice(g, axis, start - size, start);
    });
  },
  lower: ({ inputs, attributes }, emitter) =>
    emitter.emit('Concat', inputs.map(emitter.name), { axis: attributes.axis }),
  fold: (parts, attributes, [out]) => out && foldConcat(parts, Number(attributes.axis), out),
};

function staticSize(dimension: Dimension | undefined, what: string): number {
  if (typeof dimension !== 'number') throw shapeError(`${what} needs a known size, not "${String(dimension)}".`);
  return dimension;
}

/** Tensors joined along an axis. A named size joined to another is named "a + b", as exported models name theirs. */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  const [head] = tensors;
  if (head === undefined) throw shapeError('concat needs at least one tensor.');
  if (tensors.length === 1) return head;
  const at = normalizeAxis(axis, head.shape.length, 'concat');
  for (const x of tensors) {
    if (
      x.dtype !== head.dtype ||
      x.shape.length !== head.shape.length ||
      x.shape.some((d, i) => i !== at && d !== head.shape[i])
    ) {
      throw shapeError(
        `concat cannot join ${shapeText(head.shape)} of ${head.dtype} and ${shapeText(x.shape)} of ${x.dtype} along axis ${axis}.`,
      );
    }
  }
  const sizes: Shape = tensors.map((x) => x.shape[at] ?? 0);
  const total = isStatic(sizes) ? sizes.reduce((all, size) => all + size) : sizes.join(' + ');
  const shape = head.shape.map((dimension, index) => (index === at ? total : dimension));
  return applyOne(concatOperation, tensors, { axis: at }, { dtype: head.dtype, shape });
}

const sliceOperation: Operation = {
  name: 'slice',
  gradient: ({ inputs, attributes }, [g]) => {
    const x = one(inputs);
    if (g === undefined) return [];
    const axis = Number(attributes.axis);
    const size = staticSize(x.shape[axis], 'the gradient of slice');
    const fill = (length: number): Tensor[] => {
      if (length === 0) return [];
      const shape = x.shape.map((dimension, index) =>
        index === axis ? length : staticSize(dimension, 'the gradient of slice'),
      );
      return [constant(zeros(shape, g.dtype))];
    };
    return [concat([...fill(Number(attributes.start)), g, ...fill(size - Number(attributes.end))], axis)];
  },
  lower: ({ inputs, attributes }, emitter) => {
    const vector = (value: number) => emitter.constant(array([value], [1], 'int64'));
    const { start, end, axis } = attributes;
    return emitter.emit('Slice', [
      emitter.name(one(inputs)),
      vector(Number(start)),
      vector(Number(end)),
      vector(Number(axis)),
    ]);
  },
  fold: ([x], attributes, [out]) => (x && out && isStatic(out.shape) ? foldSlice(x, attributes, out.shape) : undefined),
};

function foldSlice(x: NDArray, attributes: Readonly<Record<string, unknown>>, shape: readonly number[]): NDArray {
  const axis = Number(attributes.axis);
  const inner = sizeOf(x.shape.slice(axis + 1));
  const outer = sizeOf(x.shape.slice(0, axis));
  const step = inner * (x.shape[axis] ?? 1);
  const length = inner * (Number(attributes.end) - Number(attributes.start));
  const data = x.data.slice(0, outer * length);
  for (let i = 0; i < outer; i++) {
    const from = i * step + Number(attributes.start) * inner;
    data.set(x.data.subarray(from, from + length) as never, i * length);
  }
  return { ...x, shape, data };
}

/** The part of `x` from `start` to before `end` along an axis; negative positions count from the end. */
export function slice(x: Tensor, axis: number, start: number, end?: number): Tensor {
  const at = normalizeAxis(axis, x.shape.length, 'slice');
  const size = x.shape[at] ?? 1;
  if (typeof size === 'string') return sliceNamed(x, at, size, start, end);
  const from = start < 0 ? start + size : start;
  const to = end === undefined ? size : end < 0 ? end + size : end;
  if (from < 0 || to > size || from > to)
    throw shapeError(`slice: ${start} to ${String(end)} is not inside axis ${axis} of ${shapeText(x.shape)}.`);
  if (from === 0 && to === size) return x;
  const shape = x.shape.map((dimension, index) => (index === at ? to - from : dimension));
  return applyOne(sliceOperation, [x], { axis: at, start: from, end: to }, { dtype: x.dtype, shape });
}

/** Of a named size only whole cuts with a known length can be taken: the last one, say. */
function sliceNamed(x: Tensor, axis: number, size: string, start: number, end: number | undefined): Tensor {
  const to = end ?? Number.MAX_SAFE_INTEGER;
  const length = start < 0 && end === undefined ? -start : start < 0 && to < 0 ? to - start : undefined;
  if (length === undefined)
    throw shapeError(`slice: ${start} to ${String(end)} of the named size "${size}" has no known length.`);
  const shape = x.shape.map((dimension, index) => (index === axis ? length : dimension));
  return applyOne(sliceOperation, [x], { axis, start, end: to }, { dtype: x.dtype, shape });
}

/** `x` cut into equal parts along an axis. @throws bad-shape when the size does not divide. */
export function split(x: Tensor, parts: number, axis: number): Tensor[] {
  const at = normalizeAxis(axis, x.shape.length, 'split');
  const size = staticSize(x.shape[at], 'split');
  if (size % parts !== 0)
    throw shapeError(`split cannot cut axis ${axis} of ${shapeText(x.shape)} into ${parts} equal parts.`);
  const length = size / parts;
  return Array.from({ length: parts }, (_, part) => slice(x, at, part * length, (part + 1) * length));
}

const splitOperation: Operation = {
  name: 'splitSizes',
  gradient: ({ attributes, inputs }, gradients) => {
    const x = one(inputs);
    const axis = Number(attributes.axis);
    const parts = gradients.map((g, index) => {
      if (g !== undefined) return g;
      const sizes: readonly Dimension[] = Array.isArray(attributes.sizes) ? attributes.sizes : [];
      const shape = x.shape.map((dimension, at) =>
        staticSize(at === axis ? sizes[index] : dimension, 'the gradient of splitSizes'),
      );
      return constant(zeros(shape, x.dtype));
    });
    return [concat(parts, axis)];
  },
  lower: ({ inputs, attributes, outputs }, emitter) => {
    const sizes: readonly Dimension[] = Array.isArray(attributes.sizes) ? attributes.sizes : [];
    return emitter.emit(
      'Split',
      [emitter.name(one(inputs)), emitter.shape(sizes)],
      { axis: attributes.axis },
      outputs.length,
    );
  },
};

/** `x` cut along an axis into parts of the given sizes, named ones included; they must add up to the axis. */
export function splitSizes(x: Tensor, sizes: readonly Dimension[], axis: number): readonly Tensor[] {
  const at = normalizeAxis(axis, x.shape.length, 'splitSizes');
  const total = isStatic(sizes) ? sizes.reduce((all, size) => all + size, 0) : sizes.join(' + ');
  if (total !== x.shape[at])
    throw shapeError(`splitSizes cannot cut axis ${axis} of ${shapeText(x.shape)} into ${shapeText(sizes)}.`);
  const specs = sizes.map((size) => ({
    dtype: x.dtype,
    shape: x.shape.map((dimension, index) => (index === at ? size : dimension)),
  }));
  return apply(splitOperation, [x], { axis: at, sizes }, specs);
}
