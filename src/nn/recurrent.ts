/**
 * Recurrent layers over whole rows: LSTM (Hochreiter & Schmidhuber, 1997) and GRU (Cho et al., arXiv 1406.1078) with
 * PyTorch's gates, and minGRU (Feng et al., arXiv 2410.01201), whose recurrence is linear.
 *
 * The steps of LSTM and GRU are unrolled; what does not wait for another step is done for all of them at once: the
 * products with the inputs, and in the gradients the factors of the gates and the products that give those of the
 * weights. A step back is one product and six small operations. minGRU needs no steps: it is one {@link scan}.
 */

import {
  add,
  broadcastTo,
  concat,
  constant,
  customGradient,
  matmul,
  mul,
  type NDArray,
  type Random,
  reshape,
  scan,
  sigmoid,
  slice,
  splitSizes,
  square,
  sub,
  sum,
  type Tensor,
  TesseraError,
  tanh,
  transpose,
} from '../tensor/index.js';
import { type LinearParameters, linear } from './layers.js';

/** Maps of the inputs `[in, gates * width]` and of the state `[width, gates * width]`; gates lie side by side. */
export interface RecurrentParameters<L = Tensor> {
  readonly input: LinearParameters<L>;
  readonly hidden: LinearParameters<L>;
}

/** How a recurrent layer is built. */
export interface RecurrentOptions {
  readonly inputs: number;
  readonly width: number;
  /** Default true: one vector in each of the two maps, as PyTorch has them. */
  readonly bias?: boolean;
}

const GATES = { lstm: 4, gru: 3 } as const;

function fresh(random: Random, options: RecurrentOptions, gates: number): RecurrentParameters<NDArray> {
  const { inputs, width, bias = true } = options;
  const bound = 1 / Math.sqrt(width);
  const map = (own: Random, rows: number): LinearParameters<NDArray> => ({
    weight: own.child('weight').uniform([rows, gates * width], -bound, bound),
    ...(bias ? { bias: own.child('bias').uniform([gates * width], -bound, bound) } : {}),
  });
  return { input: map(random.child('input'), inputs), hidden: map(random.child('hidden'), width) };
}

/** Fresh parameters, uniform within `1 / sqrt(width)`; the gates are PyTorch's: input, forget, cell, output. */
export function initLstm(random: Random, options: RecurrentOptions): RecurrentParameters<NDArray> {
  return fresh(random, options, GATES.lstm);
}

/** Fresh parameters, uniform within `1 / sqrt(width)`; the gates are PyTorch's: reset, update, new. */
export function initGru(random: Random, options: RecurrentOptions): RecurrentParameters<NDArray> {
  return fresh(random, options, GATES.gru);
}

/** Where a recurrence begins and which way it goes. */
export interface RecurrenceOptions {
  /** The state before the first position, `[batch, width]`; default 0. */
  readonly initial?: Tensor;
  /** From the last position to the first. */
  readonly reverse?: boolean;
}

/** A row of steps: `[time * batch, ...]` tensors and their `[batch, ...]` parts. */
interface Steps {
  readonly batch: number;
  readonly time: number;
  readonly width: number;
  readonly reverse: boolean;
}

function stepsOf(x: Tensor, parameters: RecurrentParameters, reverse: boolean, gates: number): Steps {
  const [batch, time, inputs] = x.shape;
  const [width = 0, columns] = parameters.hidden.weight.shape;
  const known = typeof batch === 'number' && typeof time === 'number' && typeof width === 'number';
  const { shape } = parameters.input.weight;
  if (x.shape.length !== 3 || !known || columns !== gates * width || shape[0] !== inputs || shape[1] !== columns) {
    throw new TesseraError(
      'bad-shape',
      `A recurrence cannot read [${x.shape.join(', ')}] with maps [${shape.join(', ')}] and [${parameters.hidden.weight.shape.join(', ')}].`,
      { hint: 'It takes [batch, time, in] of known sizes.' },
    );
  }
  return { batch, time, width, reverse };
}

/** `[batch, time, in]` through a map, as `[time * batch, out]`. */
function timeFirst(map: LinearParameters, x: Tensor, { batch, time }: Steps): Tensor {
  return linear(map, reshape(transpose(x, [1, 0, 2]), [time * batch, -1]));
}

function batchFirst(rows: Tensor, { batch, time, width }: Steps): Tensor {
  return transpose(reshape(rows, [time, batch, width]), [1, 0, 2]);
}

/** The steps of a tensor in the order in which they are reached. */
function parts(rows: Tensor, { batch, time, reverse }: Steps): readonly Tensor[] {
  const all = splitSizes(rows, new Array<number>(time).fill(batch), 0);
  return reverse ? [...all].reverse() : all;
}

/** Steps in the order in which they were reached, joined in the order of time. */
function joined(list: readonly Tensor[], { reverse }: Steps): Tensor {
  return concat(reverse ? [...list].reverse() : list, 0);
}

function at(list: readonly Tensor[], index: number): Tensor {
  const found = list[index];
  if (found === undefined) throw new Error('a step is missing');
  return found;
}

function columns(x: Tensor, sizes: readonly number[]): readonly Tensor[] {
  return splitSizes(x, sizes, 1);
}

function zeroState({ batch, width }: Steps, like: Tensor): Tensor {
  return broadcastTo(constant(0, like.dtype), [batch, width]);
}

/** What an LSTM gives. */
export interface LstmOutput {
  /** The hidden state at every position, `[batch, time, width]`. */
  readonly y: Tensor;
  /** The hidden state and the cell behind the last step, `[batch, width]`. */
  readonly hidden: Tensor;
  readonly cell: Tensor;
}

/** Where an LSTM begins. */
export interface LstmOptions extends RecurrenceOptions {
  /** The cell before the first position, `[batch, width]`; default 0. */
  readonly initialCell?: Tensor;
}

/**
 * `i, f, o = sigmoid(...)`, `g = tanh(...)` of `x @ input + h @ hidden`; `c' = f c + i g`, `h' = o tanh(c')`, over `x`
 * `[batch, time, in]`. A network in both directions is two of these, one in reverse, joined along the last axis.
 * @throws bad-shape when sizes do not fit or are only names.
 */
export function lstm(parameters: RecurrentParameters, x: Tensor, options: LstmOptions = {}): LstmOutput {
  const steps = stepsOf(x, parameters, options.reverse === true, GATES.lstm);
  const { batch, time, width } = steps;
  const { weight, bias } = parameters.hidden;
  const read = timeFirst(parameters.input, x, steps);
  const whole = lstmSteps(steps)(
    bias === undefined ? read : add(read, bias),
    weight,
    options.initial ?? zeroState(steps, x),
    options.initialCell ?? zeroState(steps, x),
  ); // [(time + 1) * batch, width], the cell last
  const end = steps.reverse ? 0 : (time - 1) * batch;
  return {
    y: batchFirst(slice(whole, 0, 0, time * batch), steps),
    hidden: slice(whole, 0, end, end + batch),
    cell: reshape(slice(whole, 0, time * batch), [batch, width]),
  };
}

/** Hidden states of all steps and the last cell, joined, since a gradient of one's own belongs to one tensor. */
function lstmSteps(steps: Steps) {
  const { batch, time, width } = steps;
  const seen = { input: [], forget: [], cell: [], output: [], before: [], squashed: [], hidden: [] } as {
    readonly [name in 'input' | 'forget' | 'cell' | 'output' | 'before' | 'squashed' | 'hidden']: Tensor[];
  };
  return customGradient(
    (read: Tensor, weight: Tensor, initial: Tensor, initialCell: Tensor) => {
      let [hidden, cell] = [initial, initialCell];
      for (const list of Object.values(seen)) list.length = 0;
      for (const part of parts(read, steps)) {
        const [gates, raw, out] = columns(add(part, matmul(hidden, weight)), [2 * width, width, width]);
        if (gates === undefined || raw === undefined || out === undefined) throw new Error('three parts were split');
        const [input, forget] = columns(sigmoid(gates), [width, width]);
        if (input === undefined || forget === undefined) throw new Error('two parts were split');
        const [candidate, output] = [tanh(raw), sigmoid(out)];
        seen.before.push(cell);
        cell = add(mul(forget, cell), mul(input, candidate));
        const squashed = tanh(cell);
        hidden = mul(output, squashed);
        seen.input.push(input);
        seen.forget.push(forget);
        seen.cell.push(candidate);
        seen.output.push(output);
        seen.squashed.push(squashed);
        seen.hidden.push(hidden);
      }
      return concat([joined(seen.hidden, steps), cell], 0);
    },
    ({ inputs: [, weight, initial], gradient }) => {
      const all = (name: keyof typeof seen): Tensor => joined(seen[name], steps);
      const [input, forget, candidate, output] = [all('input'), all('forget'), all('cell'), all('output')];
      const squashed = all('squashed');
      // What each gate's sum gets of the gradient of the cell, and the last one of that of the hidden state.
      const shares = concat(
        [
          mul(candidate, slopeOf(input)),
          mul(all('before'), slopeOf(forget)),
          mul(input, sub(1, square(candidate))),
          mul(squashed, slopeOf(output)),
        ],
        1,
      );
      const toCell = parts(mul(output, sub(1, square(squashed))), steps);
      const [factors, flows] = [parts(shares, steps), parts(slice(gradient, 0, 0, time * batch), steps)];
      let cellFlow = slice(gradient, 0, time * batch);
      let back: Tensor | undefined;
      const gates: Tensor[] = [];
      for (let step = time - 1; step >= 0; step--) {
        const flow = back === undefined ? at(flows, step) : add(at(flows, step), back);
        const cell = add(cellFlow, mul(flow, at(toCell, step)));
        const gate = mul(concat([cell, cell, cell, flow], 1), at(factors, step));
        gates.unshift(gate);
        back = matmul(gate, weight, { transposeB: true });
        cellFlow = mul(cell, at(seen.forget, step));
      }
      const read = joined(gates, steps);
      return [read, matmul(earlier(seen.hidden, initial, steps), read, { transposeA: true }), back, cellFlow];
    },
  );
}

/** The slope of a sigmoid whose value is `y`. */
function slopeOf(y: Tensor): Tensor {
  return mul(y, sub(1, y));
}

/** The state that each step found. */
function earlier(hidden: readonly Tensor[], initial: Tensor, steps: Steps): Tensor {
  return joined([initial, ...hidden.slice(0, -1)], steps);
}

/** What a recurrence with one state gives. */
export interface RecurrenceOutput {
  /** The state at every position, `[batch, time, width]`. */
  readonly y: Tensor;
  /** The state behind the last step, `[batch, width]`. */
  readonly hidden: Tensor;
}

/**
 * `r, z = sigmoid(x @ input + h @ hidden)`, `n = tanh(x @ input + r (h @ hidden))`, `h' = (1 - z) n + z h`, over `x`
 * `[batch, time, in]`: the form of cuDNN and PyTorch, with the reset behind the product.
 * @throws bad-shape when sizes do not fit or are only names.
 */
export function gru(parameters: RecurrentParameters, x: Tensor, options: RecurrenceOptions = {}): RecurrenceOutput {
  const steps = stepsOf(x, parameters, options.reverse === true, GATES.gru);
  const { batch, time, width } = steps;
  const { weight, bias = broadcastTo(constant(0, x.dtype), [GATES.gru * width]) } = parameters.hidden;
  const initial = options.initial ?? zeroState(steps, x);
  const rows = gruSteps(steps)(timeFirst(parameters.input, x, steps), weight, bias, initial);
  const end = steps.reverse ? 0 : (time - 1) * batch;
  return { y: batchFirst(rows, steps), hidden: slice(rows, 0, end, end + batch) };
}

function gruSteps(steps: Steps) {
  const { time, width } = steps;
  const seen = { reset: [], update: [], fresh: [], product: [], hidden: [] } as {
    readonly [name in 'reset' | 'update' | 'fresh' | 'product' | 'hidden']: Tensor[];
  };
  return customGradient(
    (read: Tensor, weight: Tensor, bias: Tensor, initial: Tensor) => {
      let hidden = initial;
      for (const list of Object.values(seen)) list.length = 0;
      const [gates, fresh] = columns(read, [2 * width, width]);
      if (gates === undefined || fresh === undefined) throw new Error('two parts were split');
      const freshParts = parts(fresh, steps);
      for (const [step, part] of parts(gates, steps).entries()) {
        const [own, product] = columns(matmul(hidden, weight, { bias }), [2 * width, width]);
        if (own === undefined || product === undefined) throw new Error('two parts were split');
        const [reset, update] = columns(sigmoid(add(part, own)), [width, width]);
        if (reset === undefined || update === undefined) throw new Error('two parts were split');
        const made = tanh(add(at(freshParts, step), mul(reset, product)));
        hidden = add(made, mul(update, sub(hidden, made)));
        seen.reset.push(reset);
        seen.update.push(update);
        seen.fresh.push(made);
        seen.product.push(product);
        seen.hidden.push(hidden);
      }
      return joined(seen.hidden, steps);
    },
    ({ inputs: [, weight, , initial], gradient }) => {
      const all = (name: keyof typeof seen): Tensor => joined(seen[name], steps);
      const [reset, update, made] = [all('reset'), all('update'), all('fresh')];
      const before = earlier(seen.hidden, initial, steps);
      // What each gate's sum gets of the gradient of the state.
      const toFresh = mul(sub(1, update), sub(1, square(made)));
      const toReset = mul(mul(toFresh, all('product')), slopeOf(reset));
      const toUpdate = mul(sub(before, made), slopeOf(update));
      const factors = parts(concat([toReset, toUpdate, mul(toFresh, reset)], 1), steps);
      const flows = parts(gradient, steps);
      let back: Tensor | undefined;
      const [states, products]: [Tensor[], Tensor[]] = [[], []];
      for (let step = time - 1; step >= 0; step--) {
        const flow = back === undefined ? at(flows, step) : add(at(flows, step), back);
        const product = mul(concat([flow, flow, flow], 1), at(factors, step));
        states.unshift(flow);
        products.unshift(product);
        back = add(matmul(product, weight, { transposeB: true }), mul(flow, at(seen.update, step)));
      }
      const [flow, product] = [joined(states, steps), joined(products, steps)];
      const read = concat([slice(product, 1, 0, 2 * width), mul(flow, toFresh)], 1);
      return [read, matmul(before, product, { transposeA: true }), sum(product, 0), back];
    },
  );
}

/** Maps `[in, width]` to the gate and to the candidate state. */
export interface MinGruParameters<L = Tensor> {
  readonly gate: LinearParameters<L>;
  readonly candidate: LinearParameters<L>;
}

/** Fresh parameters, uniform within `1 / sqrt(inputs)`, as PyTorch's linear layers are. */
export function initMinGru(random: Random, options: RecurrentOptions): MinGruParameters<NDArray> {
  const { inputs, width, bias = true } = options;
  const bound = 1 / Math.sqrt(inputs);
  const map = (own: Random): LinearParameters<NDArray> => ({
    weight: own.child('weight').uniform([inputs, width], -bound, bound),
    ...(bias ? { bias: own.child('bias').uniform([width], -bound, bound) } : {}),
  });
  return { gate: map(random.child('gate')), candidate: map(random.child('candidate')) };
}

/**
 * `h[t] = (1 - z) h[t - 1] + z candidate`, `z = sigmoid(x @ gate)`: neither gate nor candidate looks at the state, so that
 * all positions are computed at once (appendix A). `x` `[batch, time, in]`, result `[batch, time, width]`.
 */
export function minGru(parameters: MinGruParameters, x: Tensor, options: RecurrenceOptions = {}): Tensor {
  const z = sigmoid(linear(parameters.gate, x));
  const { initial, reverse = false } = options;
  const start = initial === undefined ? {} : { initial: reshape(initial, [initial.shape[0] ?? 1, 1, -1]) };
  return scan(sub(1, z), mul(z, linear(parameters.candidate, x)), { reverse, ...start });
}
