/** The traps of the runtime underneath: racing scatters, updates in place, spinning threads, runs that differ. */

import * as ort from 'onnxruntime-node';
import {
  type Arrays,
  add,
  array,
  createRuntime,
  type DeviceTree,
  gather,
  gradients,
  mapArrays,
  mul,
  type NDArray,
  type Runtime,
  random,
  scatterElementsAdd,
  scatterRowsAdd,
  sqrt,
  sub,
  sum,
  sumSquares,
  type Tensor,
  zeros,
} from 'tessera-kit/tensor';
import { describe, expect, test, vi } from 'vitest';
import { testRuntime } from '../runtime.js';
import { initToy, TOY, type ToyState, trainToy } from './transformer.js';

const runtime = await testRuntime();

describe('adding rows at repeated indices', () => {
  const [rows, width, count] = [3000, 16, 4096];
  const ids = random(1).integers([count], 40);
  const updates = random(2).normal([count, width]);
  const column: NDArray = {
    dtype: 'int32',
    shape: [count, width],
    data: Int32Array.from({ length: count * width }, (_, i) => ids.data[Math.floor(i / width)] ?? 0),
  };

  /** The sums in the order of the indices, rounded to float32 after each addition. */
  function hostSum(size: number): Float32Array {
    const total = new Float32Array(size * width);
    for (let i = 0; i < count * width; i++) {
      const place = (ids.data[Math.floor(i / width)] ?? 0) * width + (i % width);
      total[place] = (total[place] ?? 0) + (updates.data[i] ?? 0);
    }
    return total;
  }

  test('gives the host sum, bit for bit, in each of 20 runs at 2 threads', async () => {
    const program = await runtime.compile<
      object,
      { ids: Tensor; column: Tensor; updates: Tensor; table: Tensor },
      Tensor[]
    >(
      (_state, x) => {
        const gradient = gradients(sum(mul(gather(x.table, x.ids), x.updates)), x.table);
        return {
          out: [
            scatterRowsAdd(x.table, x.ids, x.updates),
            scatterElementsAdd(x.table, x.column, x.updates, 0),
            gradient,
          ],
        };
      },
      { state: {}, input: { ids, column, updates, table: { dtype: 'float32', shape: [rows, width] } } },
    );
    const input = { ids, column, updates, table: zeros([rows, width]) };
    const expected = hostSum(rows);
    for (let run = 0; run < 20; run++) {
      const { out } = await program.run(runtime.join({}), input);
      for (const value of out)
        expect(Buffer.compare(Buffer.from(value.data.buffer), Buffer.from(expected.buffer))).toBe(0);
    }
    await program.dispose();
  });

  test('gives the same sums in each of 20 runs where the table is small', async () => {
    const small = await runtime.compile<object, { ids: Tensor; updates: Tensor; table: Tensor }, Tensor>(
      (_state, x) => ({ out: scatterRowsAdd(x.table, x.ids, x.updates) }),
      { state: {}, input: { ids, updates, table: { dtype: 'float32', shape: [64, width] } } },
    );
    const expected = hostSum(64);
    const first = (await small.run(runtime.join({}), { ids, updates, table: zeros([64, width]) })).out;
    for (const [i, value] of expected.entries()) expect(Math.abs(Number(first.data[i]) - value)).toBeLessThan(2e-4);
    for (let run = 0; run < 20; run++) {
      expect((await small.run(runtime.join({}), { ids, updates, table: zeros([64, width]) })).out.data).toEqual(
        first.data,
      );
    }
    await small.dispose();
  });
});

describe('state that is replaced', () => {
  interface Pair {
    readonly a: Tensor;
    readonly b: Tensor;
    readonly idle: Tensor;
  }
  const size = 50_000;
  const start = { a: random(1).normal([size]), b: random(2).normal([size]), idle: array([7]) };

  test('is read as it was before the run, by nodes before and after the updates', async () => {
    const state = await runtime.upload(start);
    const program = await runtime.compile<Pair, object, { before: Tensor; after: Tensor; kept: Tensor }>(
      ({ a, b, idle }) => {
        const newA = add(b, 1); // the first update in the file
        const before = sum(mul(a, b));
        const norm = sqrt(add(sumSquares(a), sumSquares(b)));
        const after = sub(sum(a), sum(b));
        const newB = mul(a, 2); // the last, not behind any barrier
        return {
          state: { a: newA, b: newB, idle },
          out: { before, after: add(after, mul(norm, 0)), kept: add(idle, 0) },
        };
      },
      { state: { a: spec(size), b: spec(size), idle: spec(1) }, input: {} },
    );
    let [a, b] = [Float64Array.from(start.a.data), Float64Array.from(start.b.data)];
    for (let step = 0; step < 8; step++) {
      const { out } = await program.run(state, {});
      const product = a.reduce((total, value, i) => total + value * (b[i] ?? 0), 0);
      expect(Number(out.before.data[0]) / product).toBeCloseTo(1, 3);
      [a, b] = [b.map((value) => Math.fround(value + 1)), a.map((value) => Math.fround(value * 2))];
    }
    const held = await state.read();
    expect(held.a.data).toEqual(Float32Array.from(a));
    expect(held.b.data).toEqual(Float32Array.from(b));
    expect(held.idle.data).toEqual(Float32Array.of(7));
    await state.dispose();
    await program.dispose();
  });

  test('is what an update computed from copies would be, bit for bit, with gradients and a norm in between', async () => {
    const step = ({ a, b }: { readonly a: Tensor; readonly b: Tensor }) => {
      const early = mul(a, 0.5);
      const slopes = gradients(sum(mul(mul(a, b), a)), { a, b });
      const norm = sqrt(add(sumSquares(slopes.a), sumSquares(slopes.b)));
      return { a: sub(early, mul(slopes.a, 0.001)), b: sub(b, mul(slopes.b, mul(norm, 1e-6))) };
    };
    const specs = { a: spec(size), b: spec(size) };
    const held = await runtime.upload({ a: start.a, b: start.b });
    const none = runtime.join({});
    const inState = await runtime.compile<{ a: Tensor; b: Tensor }, object, object>(
      (s) => ({ state: step(s), out: {} }),
      { state: specs, input: {} },
    );
    const copying = await runtime.compile<object, { a: Tensor; b: Tensor }, { a: Tensor; b: Tensor }>(
      (_s, x) => ({ out: step(x) }),
      { state: {}, input: specs },
    );
    let copy: Arrays<{ a: Tensor; b: Tensor }> = { a: start.a, b: start.b };
    for (let i = 0; i < 5; i++) {
      await inState.run(held, {});
      copy = (await copying.run(none, copy)).out;
    }
    expect(await held.read()).toEqual(copy);
  });

  function spec(length: number) {
    return { dtype: 'float32', shape: [length] } as const;
  }
});

describe('two identical runs', () => {
  async function train(other: Runtime, steps: number) {
    const parameters = initToy(random(3));
    const state: DeviceTree<ToyState> = (await other.upload({
      parameters,
      momenta: mapArrays(parameters, ({ shape }) => zeros(shape)),
    })) as DeviceTree<ToyState>;
    const shape = { dtype: 'int32', shape: [TOY.batch, TOY.time] } as const;
    const program = await other.compile<ToyState, { ids: Tensor; targets: Tensor }, { loss: Tensor; norm: Tensor }>(
      trainToy,
      {
        state: await state.read(),
        input: { ids: shape, targets: shape },
        seed: 11,
        training: true,
      },
    );
    const losses: number[] = [];
    for (let step = 0; step < steps; step++) {
      const ids = random(4)
        .at(step % 2)
        .integers(shape.shape, 20);
      const { out } = await program.run(state, { ids, targets: ids }, { step });
      losses.push(Number(out.loss.data[0]));
    }
    const result = await state.read();
    await state.dispose();
    await program.dispose();
    return { losses, result };
  }

  test('of a two-layer transformer are bit-equal after 20 steps at 2 threads', async () => {
    const here = await createRuntime({ device: 'cpu', threads: 2, worker: false });
    const [first, again, local] = [await train(runtime, 20), await train(runtime, 20), await train(here, 20)];
    await here.dispose();
    expect(again).toEqual(first);
    expect(local).toEqual(first);
    expect(first.losses.at(-1)).toBeLessThan((first.losses[0] ?? 0) * 0.8);
  });
});

describe('sessions', () => {
  test('do not spin while others work, and run in order', async () => {
    const create = vi.spyOn(ort.InferenceSession, 'create');
    const here = await createRuntime({ device: 'cpu', threads: 2, worker: false });
    const program = await here.compile<object, { x: Tensor }, Tensor>((_s, { x }) => ({ out: add(x, 1) }), {
      state: {},
      input: { x: array([1]) },
    });
    expect(create.mock.calls.at(-1)?.[1]).toMatchObject({
      intraOpNumThreads: 2,
      executionMode: 'sequential',
      extra: { session: { force_spinning_stop: '1' } },
    });
    await program.dispose();
    await here.dispose();
    create.mockRestore();
  });
});
