/** Loss scaling: it changes nothing while nothing overflows, leaves overflowing updates out, and gives up in a sentence. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arraySource, type Module, type Objective, train } from 'tessera-kit/nn';
import { type Arrays, array, matmul, mul, reshape, sub, sum, type Tensor } from 'tessera-kit/tensor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testRuntime } from '../runtime.js';

interface Line {
  readonly weight: Tensor;
}
interface Points {
  readonly x: Tensor;
  readonly y: Tensor;
}

const runtime = await testRuntime();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-loss-scale-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const line: Module<Line, Points, Tensor> = {
  init: (random) => ({ weight: random.child('weight').normal([3, 1], 1) }),
  apply: ({ weight }, { x }) => reshape(matmul(x, weight), [4]),
};

/** Squared errors, times a factor that can make gradients overflow once they are scaled. */
function squares(factor: number): Objective<Points, Tensor> {
  return {
    loss: (model, _own, batch, call) => {
      const error = sub(model(batch, call), batch.y);
      return { total: mul(sum(mul(error, error)), factor), count: sum(batch.y) };
    },
  };
}

const points: Arrays<Points> = {
  x: array([1, 0, 2, 0, 1, 1, 1, 1, 0, 2, 1, 1], [4, 3]),
  y: array([1, 1, 1, 1], [4]),
};

async function trained(options: { precision: 'float32' | 'mixed'; factor?: number; steps?: number; out?: string }) {
  const source = { next: async () => points, cursor: () => 0, seek: async () => undefined };
  const steps: { loss: number; figures: Readonly<Record<string, number>> }[] = [];
  const { precision, factor = 1, steps: count = 6, out } = options;
  for await (const event of train({
    model: line,
    objective: squares(factor),
    source,
    steps: count,
    rate: 0.05,
    runtime,
    precision,
    out,
    explosion: false,
  })) {
    if (event.type === 'step') steps.push({ loss: event.loss, figures: event.figures });
  }
  return steps;
}

describe('mixed precision', () => {
  test('gives the losses of float32 where nothing overflows, and says its scale', async () => {
    const [whole, mixed] = [await trained({ precision: 'float32' }), await trained({ precision: 'mixed' })];
    for (const [step, { loss }] of whole.entries()) expect(mixed[step]?.loss).toBeCloseTo(loss, 3);
    expect(mixed.at(-1)?.figures).toEqual({ lossScale: 2 ** 16, overflow: 0 });
    expect(whole.at(-1)?.loss).toBeLessThan(Number(whole[0]?.loss));
  });

  test('leaves overflowing updates out and halves the scale until they fit', async () => {
    // The gradient is near 1e16, its square fits float32 up to 1.8e19: scales above about 2^10 overflow.
    const steps = await trained({ precision: 'mixed', factor: 1e16, steps: 14 });
    const skipped = steps.filter(({ figures }) => figures.overflow === 1);
    expect(skipped.length).toBeGreaterThan(2);
    expect(skipped.length).toBeLessThan(13);
    // Nothing changed in them: the loss stays what it was to the last bit.
    for (const [index] of skipped.entries()) expect(steps[index + 1]?.loss).toBe(steps[0]?.loss);
    expect(steps.slice(0, skipped.length).every(({ figures }) => figures.overflow === 1)).toBe(true);
    expect(steps[skipped.length]?.figures.lossScale).toBe(2 ** (16 - skipped.length));
    expect(Number(steps.at(-1)?.loss)).toBeLessThan(Number(steps[0]?.loss));
  });

  test('gives up in a sentence that names step and scale', async () => {
    await expect(trained({ precision: 'mixed', factor: 1e30, steps: 60 })).rejects.toMatchObject({
      code: 'not-finite',
      message: expect.stringMatching(
        /^Step 30 overflowed in float16 even at the smallest loss scale, 0\.00006103515625\./,
      ),
    });
  });

  test('keeps its scale in checkpoints', async () => {
    const out = join(folder, 'run');
    const whole = await trained({ precision: 'mixed', factor: 1e16, steps: 10 });
    const stop = new AbortController();
    const found: number[] = [];
    const source = { next: async () => points, cursor: () => 0, seek: async () => undefined };
    const options = {
      model: line,
      objective: squares(1e16),
      source,
      steps: 10,
      rate: 0.05,
      runtime,
      out,
      explosion: false as const,
    };
    for await (const event of train({ ...options, precision: 'mixed', saveEvery: 1, signal: stop.signal } as const)) {
      if (event.type !== 'step') continue;
      found.push(Number(event.figures.lossScale));
      if (event.step === 3) stop.abort();
    }
    for await (const event of train({ ...options, precision: 'mixed', saveEvery: 1 } as const)) {
      if (event.type === 'step') found.push(Number(event.figures.lossScale));
    }
    expect(found).toEqual(whole.map(({ figures }) => figures.lossScale));
  });

  test('does not go with a search for NaNs', async () => {
    const source = arraySource(points, { batch: 4 });
    const run = train({
      model: line,
      objective: squares(1),
      source,
      steps: 1,
      precision: 'mixed',
      checkNumerics: true,
    });
    await expect(run[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'bad-option' });
  });
});
