/**
 * State-space duality (Dao & Gu, arXiv 2405.21060): the recurrence
 * `S[t] = exp(dt[t] A) S[t - 1] + dt[t] x[t] B[t]^T`, `y[t] = S[t] C[t]` of every head, in the chunked form of section 6.
 *
 * Inside a chunk positions see each other by a masked product of `C` and `B` times the decay between them; between chunks
 * one state a head is carried by {@link scan}. Decays between positions are exponentials of sums, never of differences of
 * long sums, so that strong decays beside weak ones lose no digits. Cost grows with the length.
 *
 * Heads of a group share `B` and `C`: what a chunk leaves behind and takes up are one product for all heads of a group.
 * The gradient of the decays needs no pass over pairs of positions: with `cum` the running sum of `dt A` in a chunk, the
 * gradient of `cum` is `sum(dy * y) - sum(x * dx)` over the channels of a head.
 */

import {
  add,
  broadcastTo,
  cast,
  concat,
  constant,
  cumsum,
  customGradient,
  type Dimension,
  exp,
  greater,
  greaterEqual,
  matmul,
  mul,
  type NDArray,
  range,
  reshape,
  scan,
  slice,
  sub,
  sum,
  type Tensor,
  TesseraError,
  transpose,
  zeros,
} from '../tensor/index.js';

/** What a recurrence reads. */
export interface StateSpaceInput {
  /** `[batch, time, heads, head]`. */
  readonly x: Tensor;
  /** Step sizes, above 0 (0 leaves the state alone): `[batch, time, heads]`. */
  readonly dt: Tensor;
  /** The rate of each head, below 0: `[heads]`. */
  readonly a: Tensor;
  /** What goes into the state and what is read from it: `[batch, time, groups, state]`; groups divide heads. */
  readonly b: Tensor;
  readonly c: Tensor;
  /** States before the first position, `[batch, heads, head, state]`; default 0. */
  readonly initial?: Tensor;
}

/** What a recurrence gives: `y` `[batch, time, heads, head]`, and the states after the last position. */
export interface StateSpaceOutput {
  readonly y: Tensor;
  /** `[batch, heads, head, state]`. */
  readonly state: Tensor;
}

interface Sizes {
  readonly batch: Dimension;
  readonly time: Dimension;
  readonly heads: number;
  readonly head: number;
  readonly groups: number;
  readonly state: number;
}

function sizesOf({ x, dt, a, b, c }: StateSpaceInput): Sizes {
  const [batch = 1, time = 1, heads = 1, head = 1] = x.shape;
  const [, , groups = 1, state = 1] = b.shape;
  const fits =
    x.shape.length === 4 &&
    dt.shape.join() === [batch, time, heads].join() &&
    a.shape.join() === String(heads) &&
    b.shape.join() === c.shape.join() &&
    b.shape.join() === [batch, time, groups, state].join() &&
    Number(heads) % Number(groups) === 0;
  if (!fits) {
    const shapes = [x, dt, a, b, c].map(({ shape }) => `[${shape.join(', ')}]`).join(', ');
    throw new TesseraError('bad-shape', `A state-space recurrence cannot combine x, dt, a, b and c of ${shapes}.`);
  }
  return {
    batch,
    time,
    heads: Number(heads),
    head: Number(head),
    groups: Number(groups),
    state: Number(state),
  };
}

/**
 * The recurrence over whole rows of known length, in chunks of `chunk` positions.
 * @throws bad-shape when shapes do not fit.
 */
export function stateSpace(input: StateSpaceInput, chunk: number): StateSpaceOutput {
  const sizes = sizesOf(input);
  const { batch, time, heads, head, state } = sizes;
  const [rows, length] = [Number(batch), Number(time)];
  const count = Math.ceil(length / chunk);
  if (count <= 1) return continueStateSpace(input);
  const extra = count * chunk - length;
  /** Rows cut into chunks: `[batch * chunks, chunk, ...]`; behind the last position stand steps of size 0. */
  const cut = (x: Tensor): Tensor => {
    const rest = x.shape.slice(2);
    const padded = extra === 0 ? x : concat([x, broadcastTo(constant(0, x.dtype), [rows, extra, ...rest])], 1);
    return reshape(padded, [rows * count, chunk, ...rest]);
  };
  const parts = { ...input, x: cut(input.x), dt: cut(input.dt), b: cut(input.b), c: cut(input.c) };
  const inside = within(parts, { ...sizes, batch: rows * count, time: chunk });
  const left = reshape(inside.left, [rows, count, heads, head * state]);
  const kept = reshape(inside.kept, [rows, count, heads, 1]);
  // The state after every chunk; before the first stands the initial one.
  const start = input.initial ?? constant(zeros([1, 1, 1, 1], input.x.dtype));
  const first = broadcastTo(reshape(start, [start.shape[0] ?? 1, 1, start.shape[1] ?? 1, -1]), [
    rows,
    1,
    heads,
    head * state,
  ]);
  const states = scan(kept, left, input.initial === undefined ? {} : { initial: first });
  const before = concat([first, slice(states, 1, 0, count - 1)], 1);
  const y = add(inside.y, carried(parts.c, inside.reached, before, { ...sizes, batch: rows * count, time: chunk }));
  const whole = reshape(y, [rows, count * chunk, heads, head]);
  return {
    y: slice(whole, 1, 0, length),
    state: reshape(slice(states, 1, count - 1, count), [batch, heads, head, state]),
  };
}

/**
 * The recurrence over new positions in one chunk, as decoding reads them: sizes may be names. Work grows with the square of
 * the positions of one call, so long prompts are read in pieces.
 * @throws bad-shape when shapes do not fit.
 */
export function continueStateSpace(input: StateSpaceInput): StateSpaceOutput {
  const sizes = sizesOf(input);
  const { batch, time, heads, head, state } = sizes;
  if (time === 1 && input.initial !== undefined) return step(input, input.initial, sizes);
  const inside = within(input, sizes);
  const left = reshape(inside.left, [batch, heads, head, state]);
  if (input.initial === undefined) return { y: inside.y, state: left };
  const { initial } = input;
  return {
    y: add(inside.y, carried(input.c, inside.reached, initial, sizes)),
    state: add(mul(initial, reshape(inside.kept, [batch, heads, 1, 1])), left),
  };
}

/** One position: the state decays, takes in, and is read. */
function step({ x, dt, a, b, c }: StateSpaceInput, initial: Tensor, sizes: Sizes): StateSpaceOutput {
  const { batch, heads, head, groups, state } = sizes;
  const taken = reshape(mul(x, reshape(dt, [batch, 1, heads, 1])), [batch, groups, -1, 1]);
  const decay = reshape(exp(mul(dt, a)), [batch, heads, 1, 1]);
  const into = reshape(mul(taken, reshape(b, [batch, groups, 1, state])), [batch, heads, head, state]);
  const after = add(mul(initial, decay), into);
  const read = matmul(reshape(after, [batch, groups, -1, state]), reshape(c, [batch, groups, state, 1]));
  return { y: reshape(read, [batch, 1, heads, head]), state: after };
}

interface Within {
  /** What positions of a chunk get from that chunk: `[chunks, time, heads, head]`. */
  readonly y: Tensor;
  /** What a chunk leaves in the state: `[chunks, groups, heads / groups * head, state]`. */
  readonly left: Tensor;
  /** The share of the state before the chunk that each position still finds: `[chunks, time, heads, 1]`. */
  readonly reached: Tensor;
  /** And what is kept of it behind the last position: `[chunks, 1, heads]`. */
  readonly kept: Tensor;
}

function within({ x, dt, a, b, c }: StateSpaceInput, sizes: Sizes): Within {
  const { batch, time, heads, groups } = sizes;
  const rates = mul(dt, a); // [chunks, time, heads]
  const taken = mul(x, reshape(dt, [batch, time, heads, 1]));
  const byHead = transpose(taken, [0, 2, 1, 3]); // [chunks, heads, time, head]
  const [keys, queries] = [transpose(b, [0, 2, 1, 3]), transpose(c, [0, 2, 1, 3])]; // [chunks, groups, time, state]
  const scores = mul(matmul(queries, keys, { transposeB: true }), order(time, true));
  const mixed = decayedProduct(groups)(scores, transpose(rates, [0, 2, 1]), byHead);
  // What is still to come of the decay behind each position, as a sum of its own.
  const toEnd = exp(cumsum(rates, 1, { exclusive: true, reverse: true }));
  const last = mul(taken, reshape(toEnd, [batch, time, heads, 1]));
  const grouped = transpose(reshape(last, [batch, time, groups, -1]), [0, 2, 1, 3]); // [chunks, groups, time, heads / groups * head]
  return {
    y: transpose(mixed, [0, 2, 1, 3]),
    left: matmul(grouped, keys, { transposeA: true }),
    reached: reshape(exp(cumsum(rates, 1)), [batch, time, heads, 1]),
    kept: exp(sum(rates, 1, { keepDims: true })),
  };
}

/** What positions read of the state before their chunk: `[chunks, time, heads, head]`. */
function carried(c: Tensor, reached: Tensor, before: Tensor, sizes: Sizes): Tensor {
  const { batch, time, heads, head, groups, state } = sizes;
  const states = reshape(before, [batch, groups, (heads / groups) * head, state]);
  const read = matmul(transpose(c, [0, 2, 1, 3]), states, { transposeB: true }); // [chunks, groups, time, heads / groups * head]
  return mul(reshape(transpose(read, [0, 2, 1, 3]), [batch, time, heads, head]), reached);
}

/** 1 where position i comes after position j, or is it: `[time, time]`. */
function order(time: Dimension, itself: boolean): Tensor {
  if (typeof time === 'string') {
    const now = range(time);
    const after = itself ? greaterEqual : greater;
    return cast(after(reshape(now, [time, 1]), reshape(now, [1, time])), 'float32');
  }
  const values: NDArray<'float32'> = zeros([time, time]);
  for (let i = 0; i < time; i++) values.data.fill(1, i * time, i * time + i + Number(itself));
  return constant(values);
}

/** `exp` of the sum of rates behind j up to i; 1 where i is not after j: `rates` `[chunks, heads, time]`, result `[chunks, heads, time, time]`. */
function decays(rates: Tensor): Tensor {
  const [chunks = 1, heads = 1, time = 1] = rates.shape;
  return exp(cumsum(mul(reshape(rates, [chunks, heads, time, 1]), order(time, false)), 2));
}

/**
 * `(scores * decays) @ x`: scores `[chunks, groups, time, time]`, 0 above the diagonal, rates `[chunks, heads, time]`,
 * x `[chunks, heads, time, head]`.
 */
function decayedProduct(groups: number) {
  const weights = (scores: Tensor, decay: Tensor): Tensor => {
    const [chunks = 1, heads = 1, time = 1] = decay.shape;
    if (groups === 1) return mul(decay, scores);
    const apart = reshape(decay, [chunks, groups, Number(heads) / groups, time, time]);
    return reshape(mul(apart, reshape(scores, [chunks, groups, 1, time, time])), decay.shape);
  };
  return customGradient(
    (scores: Tensor, rates: Tensor, x: Tensor) => matmul(weights(scores, decays(rates)), x),
    ({ inputs: [scores, rates, x], output, gradient }) => {
      const decay = decays(rates);
      const toX = matmul(weights(scores, decay), gradient, { transposeA: true });
      const toWeights = mul(matmul(gradient, x, { transposeB: true }), decay);
      const [chunks = 1, , time = 1] = scores.shape;
      const toScores = sum(reshape(toWeights, [chunks, groups, -1, time, time]), 2);
      const toSums = sub(sum(mul(gradient, output), -1), sum(mul(x, toX), -1));
      return [toScores, cumsum(toSums, 2, { reverse: true }), toX];
    },
  );
}
