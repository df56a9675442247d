/** Recurrent layers against loops over every position, unit by unit, and their slopes against central differences. */

import {
  gru,
  initGru,
  initLstm,
  initMinGru,
  type LstmOptions,
  lstm,
  type MinGruParameters,
  minGru,
  type RecurrentParameters,
} from 'tessera-kit/nn';
import { concat, type NDArray, random, reshape, type Tensor } from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';
import { testRuntime } from '../runtime.js';
import { furthest, numbers, run, slopeError } from './checks.js';

const runtime = await testRuntime();

const SIZES = { batch: 2, time: 5, inputs: 3, width: 4 } as const;
const { batch, time, inputs, width } = SIZES;

interface Given<L = Tensor, P = RecurrentParameters<L>> {
  readonly parameters: P;
  readonly x: L;
  readonly initial?: L;
  readonly initialCell?: L;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** `row @ weight + bias` at one column. */
function sumAt(
  map: { readonly weight: NDArray; readonly bias?: NDArray },
  row: readonly number[],
  column: number,
): number {
  const columns = map.weight.shape[1] ?? 1;
  return row.reduce(
    (all, value, i) => all + value * Number(map.weight.data[i * columns + column]),
    Number(map.bias?.data[column] ?? 0),
  );
}

const rowsOf = (x: NDArray | undefined, row: number, size: number): number[] =>
  x === undefined ? new Array<number>(size).fill(0) : numbers(x).slice(row * size, (row + 1) * size);

/** States position by position, `[batch, time, width]`, and the last ones. */
function direct(kind: 'lstm' | 'gru', given: Given<NDArray>, reverse: boolean) {
  const y = new Array<number>(batch * time * width);
  const [last, cells]: [number[], number[]] = [[], []];
  const { input, hidden } = given.parameters;
  for (let b = 0; b < batch; b++) {
    let h = rowsOf(given.initial, b, width);
    let c = rowsOf(given.initialCell, b, width);
    for (let step = 0; step < time; step++) {
      const t = reverse ? time - 1 - step : step;
      const x = rowsOf(given.x, b * time + t, inputs);
      const gate = (which: number, unit: number) =>
        [sumAt(input, x, which * width + unit), sumAt(hidden, h, which * width + unit)] as const;
      const both = (which: number, unit: number) => gate(which, unit)[0] + gate(which, unit)[1];
      const units = Array.from({ length: width }, (_, unit) => unit);
      if (kind === 'lstm') {
        c = units.map((u) => sigmoid(both(1, u)) * (c[u] ?? 0) + sigmoid(both(0, u)) * Math.tanh(both(2, u)));
        h = units.map((u) => sigmoid(both(3, u)) * Math.tanh(c[u] ?? 0));
      } else {
        h = units.map((u) => {
          const [r, z] = [sigmoid(both(0, u)), sigmoid(both(1, u))];
          const [fromInput, fromState] = gate(2, u);
          return (1 - z) * Math.tanh(fromInput + r * fromState) + z * (h[u] ?? 0);
        });
      }
      for (const u of units) y[(b * time + t) * width + u] = h[u] ?? Number.NaN;
    }
    last.push(...h);
    cells.push(...c);
  }
  return { y, hidden: last, cell: cells };
}

const cases: readonly (readonly [string, 'lstm' | 'gru', { bias: boolean; states: boolean; reverse: boolean }])[] = (
  ['lstm', 'gru'] as const
).flatMap((kind) => [
  [`${kind}`, kind, { bias: true, states: false, reverse: false }] as const,
  [`${kind} that goes on from states`, kind, { bias: true, states: true, reverse: false }] as const,
  [`${kind} in reverse, without biases`, kind, { bias: false, states: true, reverse: true }] as const,
]);

function make(kind: 'lstm' | 'gru', { bias, states }: { bias: boolean; states: boolean }): Given<NDArray> {
  const init = kind === 'lstm' ? initLstm : initGru;
  const draw = random(9);
  return {
    parameters: init(random(4), { inputs, width, bias }),
    x: draw.child('x').normal([batch, time, inputs], 2),
    ...(states ? { initial: draw.child('h').normal([batch, width]) } : {}),
    ...(states && kind === 'lstm' ? { initialCell: draw.child('c').normal([batch, width]) } : {}),
  };
}

const apply = (kind: 'lstm' | 'gru', reverse: boolean) => (given: Given) => {
  const { parameters, x, initial, initialCell } = given;
  const options: LstmOptions = {
    reverse,
    ...(initial === undefined ? {} : { initial }),
    ...(initialCell === undefined ? {} : { initialCell }),
  };
  return kind === 'lstm' ? lstm(parameters, x, options) : { ...gru(parameters, x, options), cell: undefined };
};

describe('LSTM and GRU', () => {
  test.each(cases)('equal a loop over every position: %s', async (_name, kind, how) => {
    const given = make(kind, how);
    const found = (await run<Given, unknown>(runtime, apply(kind, how.reverse), given as never)) as Record<
      string,
      NDArray
    >;
    const expected = direct(kind, given, how.reverse);
    expect(found.y?.shape).toEqual([batch, time, width]);
    expect(furthest(numbers(found.y), expected.y)).toBeLessThan(1e-6);
    expect(furthest(numbers(found.hidden), expected.hidden)).toBeLessThan(1e-6);
    if (kind === 'lstm') expect(furthest(numbers(found.cell), expected.cell)).toBeLessThan(1e-6);
  });

  test.each(cases)('have the slopes of central differences, of all they give: %s', async (_name, kind, how) => {
    const f = (given: Given): Tensor => {
      const { y, hidden, cell } = apply(kind, how.reverse)(given);
      return concat([reshape(y, [-1]), reshape(hidden, [-1]), ...(cell === undefined ? [] : [reshape(cell, [-1])])], 0);
    };
    expect(await slopeError<Given>(runtime, f, make(kind, how) as never)).toBeLessThan(1e-8);
  });

  test('start within 1 / sqrt(width), and reach it', () => {
    for (const init of [initLstm, initGru]) {
      const { input, hidden } = init(random(1), { inputs: 30, width: 25 });
      for (const map of [input, hidden]) {
        const sizes = [...numbers(map.weight), ...numbers(map.bias)].map(Math.abs);
        expect(Math.max(...sizes)).toBeLessThanOrEqual(0.2);
        expect(Math.max(...sizes)).toBeGreaterThan(0.19);
      }
    }
  });

  test('refuse rows of another width', async () => {
    const given = { ...make('gru', { bias: true, states: false }), x: random(1).normal([2, 5, 7]) };
    await expect(run<Given, unknown>(runtime, apply('gru', false), given as never)).rejects.toThrow(
      'A recurrence cannot read [2, 5, 7] with maps [3, 12] and [4, 12].',
    );
  });
});

describe('minGRU', () => {
  type Min<L = Tensor> = Given<L, MinGruParameters<L>>;
  test.each([true, false])('equals a loop and has its slopes, in reverse: %s', async (reverse) => {
    const given: Min<NDArray> = {
      parameters: initMinGru(random(2), { inputs, width }),
      x: random(3).normal([batch, time, inputs], 2),
      initial: random(5).normal([batch, width]),
    };
    const f = ({ parameters, x, initial }: Min): Tensor =>
      minGru(parameters, x, { reverse, ...(initial === undefined ? {} : { initial }) });
    const expected = new Array<number>(batch * time * width);
    for (let b = 0; b < batch; b++) {
      let h = rowsOf(given.initial, b, width);
      for (let step = 0; step < time; step++) {
        const t = reverse ? time - 1 - step : step;
        const x = rowsOf(given.x, b * time + t, inputs);
        h = h.map((before, u) => {
          const z = sigmoid(sumAt(given.parameters.gate, x, u));
          return (1 - z) * before + z * sumAt(given.parameters.candidate, x, u);
        });
        for (const [u, value] of h.entries()) expected[(b * time + t) * width + u] = value;
      }
    }
    const found = (await run<Min, Tensor>(runtime, f, given as never)) as NDArray;
    expect(furthest(numbers(found), expected)).toBeLessThan(1e-6);
    expect(await slopeError<Min>(runtime, f, given as never)).toBeLessThan(1e-8);
  });
});
