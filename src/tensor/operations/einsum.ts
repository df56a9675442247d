/**
 * Einstein summation (NumPy's `einsum`), lowered to diagonals, sums, transposes, products and batched matrix products.
 *
 * A pair of operands is joined at a time. Their labels fall into four kinds: those that both have and that are needed later
 * (batch), those that both have and no one needs (contracted), and those of one alone (free). Axes in that order make a
 * batched matrix product. Of several operands the pair that costs least goes first. ONNX's own Einsum is up to twice as
 * slow as the product, and has no gradient.
 */

import { type Dimension, isStatic, shapeError, shapeText, type Tensor } from '../graph.js';
import { sizeOf } from '../ndarray.js';
import { sum } from './broadcast.js';
import { mul } from './elementwise.js';
import { diagonal } from './layout.js';
import { matmul } from './matmul.js';
import { reshape, squeeze, transpose } from './shape.js';

/** A label: a letter, or an axis of the ellipsis counted from its end. */
type Label = string;

/** An operand with a label for each axis. */
interface Term {
  readonly tensor: Tensor;
  readonly labels: readonly Label[];
}

/** What the subscripts say. */
interface Plan {
  readonly terms: readonly Term[];
  readonly output: readonly Label[];
  readonly sizes: ReadonlyMap<Label, Dimension>;
}

/**
 * `einsum('bij,bjk->bik', a, b)`: a letter names an axis; axes of one name run together; those that the output does not
 * name are summed over. A letter twice in an operand takes its diagonal, `...` stands for axes that broadcast, and without
 * `->` the output is the letters that occur once, in alphabetical order, after the ellipsis.
 * @throws bad-shape, naming the subscript and the shapes, when they do not fit each other.
 */
export function einsum(subscripts: string, ...operands: readonly Tensor[]): Tensor {
  const { terms, output, sizes } = parse(subscripts, operands);
  const queue = terms.map((term, index) =>
    reduced(
      term,
      terms.filter((_, other) => other !== index),
      output,
      sizes,
    ),
  );
  for (;;) {
    const [a, b] = cheapest(queue);
    if (a === undefined) throw new Error('einsum without operands');
    if (b === undefined) return ordered(a, output);
    queue.splice(queue.indexOf(a), 1);
    queue.splice(queue.indexOf(b), 1);
    queue.push(joined(a, b, needed(queue, output)));
  }
}

function parse(subscripts: string, operands: readonly Tensor[]): Plan {
  const refuse = (why: string): Error => {
    const shapes = operands.map(({ shape }) => shapeText(shape)).join(' and ');
    return shapeError(`einsum '${subscripts}' of ${shapes}: ${why}`);
  };
  const [left = '', right, more] = subscripts.replace(/\s/g, '').split('->');
  const inputs = left.split(',');
  if (more !== undefined) throw refuse('there is more than one "->".');
  if (inputs.length !== operands.length)
    throw refuse(`it names ${inputs.length} operands, and ${operands.length} are given.`);
  const written = inputs.map((text) => letters(text, refuse));
  const labels = operands.map((tensor, index) => named(written[index] ?? [], tensor, refuse));
  const sizes = new Map<Label, Dimension>();
  for (const [index, { shape }] of operands.entries()) {
    for (const [axis, label] of (labels[index] ?? []).entries()) {
      const size = shape[axis] ?? 1;
      const known = sizes.get(label) ?? 1;
      if (size !== 1 && known !== 1 && size !== known)
        throw refuse(`${label.startsWith('.') ? 'an axis of "..."' : `"${label}"`} is ${known} and ${size}.`);
      sizes.set(label, known === 1 ? size : known);
    }
  }
  const dtypes = new Set(operands.map(({ dtype }) => dtype));
  if (dtypes.size > 1) throw refuse(`the operands are ${[...dtypes].join(' and ')}; cast them to one dtype.`);
  const ellipsis = [...sizes.keys()].filter((label) => label.startsWith('.')).sort(fromFront);
  const output =
    right === undefined
      ? implicit(labels.flat(), ellipsis)
      : letters(right, refuse).flatMap((label) => (label === '...' ? ellipsis : [label]));
  for (const label of output) {
    if (!sizes.has(label)) throw refuse(`the output names "${label}", which no operand has.`);
    if (output.indexOf(label) !== output.lastIndexOf(label)) throw refuse(`the output names "${label}" twice.`);
  }
  const terms = operands.map((tensor, index) => ({ tensor, labels: labels[index] ?? [] }));
  return { terms, output, sizes };
}

/** A subscript as letters and at most one ellipsis. */
function letters(text: string, refuse: (why: string) => Error): string[] {
  const parts = text.match(/\.{3}|./g) ?? [];
  const wrong = parts.find((part) => !/^([A-Za-z]|\.{3})$/.test(part));
  if (wrong !== undefined) throw refuse(`"${wrong}" is no letter and no "...".`);
  if (parts.filter((part) => part === '...').length > 1) throw refuse('"..." stands twice in one subscript.');
  return parts;
}

/** The label of each axis of an operand. */
function named(parts: readonly string[], { shape }: Tensor, refuse: (why: string) => Error): Label[] {
  const rest = shape.length - parts.filter((part) => part !== '...').length;
  if (rest < 0 || (rest > 0 && !parts.includes('...')))
    throw refuse(`"${parts.join('')}" does not name the ${shape.length} axes of ${shapeText(shape)}.`);
  const ellipsis = Array.from({ length: rest }, (_, index) => `.${rest - index}`);
  return parts.flatMap((part) => (part === '...' ? ellipsis : [part]));
}

/** Axes of the ellipsis: those farther from its end first. */
function fromFront(a: Label, b: Label): number {
  return Number(b.slice(1)) - Number(a.slice(1));
}

function implicit(labels: readonly Label[], ellipsis: readonly Label[]): Label[] {
  const once = labels.filter((label) => labels.indexOf(label) === labels.lastIndexOf(label));
  return [...ellipsis, ...once.filter((label) => !label.startsWith('.')).sort()];
}

/** The labels that other operands or the output still want. */
function needed(others: readonly Term[], output: readonly Label[]): ReadonlySet<Label> {
  return new Set([...output, ...others.flatMap(({ labels }) => labels)]);
}

/** An operand with each label once, without axes that it alone has and no one wants, nor those that it repeats. */
function reduced(
  term: Term,
  others: readonly Term[],
  output: readonly Label[],
  sizes: ReadonlyMap<Label, Dimension>,
): Term {
  let { tensor, labels } = withoutRepeats(term);
  const wanted = needed(others, output);
  const repeated = labels.flatMap((label, axis) => (tensor.shape[axis] === 1 && sizes.get(label) !== 1 ? [axis] : []));
  tensor = squeeze(tensor, repeated);
  labels = labels.filter((_, axis) => !repeated.includes(axis));
  return summed({ tensor, labels }, wanted);
}

function withoutRepeats({ tensor, labels }: Term): Term {
  const first = labels.findIndex((label, axis) => labels.indexOf(label, axis + 1) >= 0);
  if (first < 0) return { tensor, labels };
  const label = labels[first] ?? '';
  const second = labels.indexOf(label, first + 1);
  const sizes = [tensor.shape[first], tensor.shape[second]];
  if (sizes[0] !== sizes[1])
    throw shapeError(`einsum: "${label}" is ${sizes.join(' and ')} in an operand of ${shapeText(tensor.shape)}.`);
  const rest = labels.filter((_, axis) => axis !== first && axis !== second);
  return withoutRepeats({ tensor: diagonal(tensor, 0, first, second), labels: [...rest, label] });
}

/** The sum over the axes that no one wants. */
function summed({ tensor, labels }: Term, wanted: ReadonlySet<Label>): Term {
  const over = labels.flatMap((label, axis) => (wanted.has(label) ? [] : [axis]));
  if (over.length === 0) return { tensor, labels };
  return { tensor: sum(tensor, over), labels: labels.filter((label) => wanted.has(label)) };
}

/** The pair whose product takes the fewest multiplications; the first two where sizes are only names. */
function cheapest(queue: readonly Term[]): readonly [Term | undefined, Term | undefined] {
  let best: readonly [Term | undefined, Term | undefined] = [queue[0], queue[1]];
  let least = Number.POSITIVE_INFINITY;
  for (const [index, a] of queue.entries()) {
    for (const b of queue.slice(index + 1)) {
      const cost = costOf(a, b);
      if (cost < least) [best, least] = [[a, b], cost];
    }
  }
  return best;
}

function costOf(a: Term, b: Term): number {
  const own = [...a.tensor.shape, ...b.tensor.shape.filter((_, axis) => !a.labels.includes(b.labels[axis] ?? ''))];
  return isStatic(own) ? sizeOf(own) : Number.POSITIVE_INFINITY;
}

/** The product of two operands, summed over the labels that both have and no one wants. */
function joined(a: Term, b: Term, wanted: ReadonlySet<Label>): Term {
  const shared = a.labels.filter((label) => b.labels.includes(label));
  const batch = shared.filter((label) => wanted.has(label));
  const inner = shared.filter((label) => !wanted.has(label));
  const freeA = a.labels.filter((label) => !shared.includes(label));
  const freeB = b.labels.filter((label) => !shared.includes(label));
  if (inner.length === 0 || (freeA.length === 0 && freeB.length === 0)) return multiplied(a, b, wanted);
  const left = matrices(a, batch, freeA, inner);
  const right = matrices(b, batch, inner, freeB);
  const product = matmul(left.tensor, right.tensor, { transposeA: left.turned, transposeB: right.turned });
  const labels = [...batch, ...freeA, ...freeB];
  const sizes = labels.map((label) => sizeIn(a, label) ?? sizeIn(b, label) ?? 1);
  return { tensor: reshape(product, sizes), labels };
}

function sizeIn({ tensor, labels }: Term, label: Label): Dimension | undefined {
  const axis = labels.indexOf(label);
  return axis < 0 ? undefined : tensor.shape[axis];
}

/** `[...batch, rows, columns]`, or with the last two in the other order where the axes already lie so. */
function matrices(
  term: Term,
  batch: readonly Label[],
  rows: readonly Label[],
  columns: readonly Label[],
): { readonly tensor: Tensor; readonly turned: boolean } {
  const turned = rows.length > 0 && term.labels.join() === [...batch, ...columns, ...rows].join();
  const groups = turned ? [columns, rows] : [rows, columns];
  const tensor = ordered(term, [...batch, ...groups.flat()]);
  const size = (label: Label): Dimension => sizeIn(term, label) ?? 1;
  const joinedSize = (labels: readonly Label[]): Dimension => {
    const sizes = labels.map(size);
    if (isStatic(sizes)) return sizeOf(sizes);
    return sizes.length === 1 ? (sizes[0] ?? 1) : -1;
  };
  const [outer = 1, last = 1] = groups.map(joinedSize);
  return { tensor: reshape(tensor, [...batch.map(size), outer, last]), turned };
}

/** The product element by element, with the labels of both, then the sum over what no one wants. */
function multiplied(a: Term, b: Term, wanted: ReadonlySet<Label>): Term {
  const labels = [...a.labels, ...b.labels.filter((label) => !a.labels.includes(label))];
  const spread = (term: Term): Tensor => {
    const own = labels.filter((label) => term.labels.includes(label));
    return reshape(
      ordered(term, own),
      labels.map((label) => sizeIn(term, label) ?? 1),
    );
  };
  return summed({ tensor: mul(spread(a), spread(b)), labels }, wanted);
}

/** The tensor with its axes in the order of the labels. */
function ordered({ tensor, labels }: Term, order: readonly Label[]): Tensor {
  return transpose(
    tensor,
    order.map((label) => labels.indexOf(label)),
  );
}
