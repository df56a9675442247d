import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSafetensors } from 'tessera-kit/formats';
import { adamW, functionSource, type StepEvent, type TrainOptions, train } from 'tessera-kit/nn';
import { array, log, sum, type Tensor } from 'tessera-kit/tensor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testRuntime } from '../runtime.js';
import {
  bigram,
  bytesOfText,
  type Examples,
  examples,
  flat,
  follow,
  type Perceptron,
  perceptron,
  squares,
} from './models.js';

const runtime = await testRuntime();

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-train-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type Options = TrainOptions<Perceptron, Examples, Tensor>;
const base = (more: Partial<Options> = {}): Options => ({
  model: perceptron(),
  objective: squares,
  source: examples(16),
  steps: 20,
  rate: 0.02,
  runtime,
  ...more,
});
const lines = async (): Promise<{ step: number; loss?: number }[]> =>
  (await readFile(join(folder, 'metrics.jsonl'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('train', () => {
  it('learns a function from arrays in memory', async () => {
    const { losses, events, end } = await follow(train(base({ steps: 300 })));
    expect(losses).toHaveLength(300);
    expect(losses.at(-1)).toBeLessThan(0.1 * Number(losses[0]));
    expect(end).toMatchObject({ reason: 'finished', step: 300, checkpoint: undefined });
    expect(events[0]).toMatchObject({
      type: 'start',
      step: 0,
      steps: 300,
      resumed: false,
      parameters: 81,
      trained: 81,
      threads: 2,
    });
    const last = events.findLast((event): event is StepEvent => event.type === 'step');
    expect(last).toMatchObject({ step: 300, steps: 300, rate: 0.02, secondsLeft: 0 });
    expect(last?.figures.activity).toBeGreaterThan(0);
    expect(last?.tokensPerSecond).toBeGreaterThan(0);
    expect(flat(await end.parameters())).toHaveLength(81);
  });

  it('learns a language model with the objective that it brings', async () => {
    const { losses } = await follow(
      train({
        model: bigram,
        source: bytesOfText('to be or not to be, that is the question. '.repeat(40)),
        steps: 120,
        rate: 0.3,
        runtime,
      }),
    );
    expect(losses[0]).toBeCloseTo(Math.log(257), 1);
    expect(losses.at(-1)).toBeLessThan(1.5);
  });

  it('gives the same losses for one seed and others for another', async () => {
    const of = async (seed: number): Promise<number[]> =>
      (await follow(train(base({ model: perceptron(0.2), seed })))).losses;
    const first = await of(1);
    expect(await of(1)).toEqual(first);
    expect(await of(2)).not.toEqual(first);
  });

  it('accumulates micro-batches to the update of the whole batch', async () => {
    const whole = await follow(train(base()));
    const split = await follow(train(base({ source: examples(4), accumulate: 4 })));
    expect(split.losses).toHaveLength(20);
    for (const [i, loss] of split.losses.entries()) expect(loss / Number(whole.losses[i])).toBeCloseTo(1, 4);
    const [a, b] = [flat(await whole.end.parameters()), flat(await split.end.parameters())];
    for (const [i, value] of a.entries()) expect(Number(b[i])).toBeCloseTo(value, 4);
  });

  it('averages parameters', async () => {
    const { end } = await follow(train(base({ ema: { decay: 0.5, warmup: false } })));
    const [now, average] = [flat(await end.parameters()), flat(await end.averaged?.())];
    expect(average).toHaveLength(now.length);
    expect(average).not.toEqual(now);
    for (const [i, value] of now.entries()) expect(Math.abs(Number(average[i]) - value)).toBeLessThan(0.1);
  });

  it('trains only what is not frozen, by its own option or by the optimizer', async () => {
    for (const more of [{ freeze: ['hidden'] }, { optimizer: adamW({ freeze: ['hidden.*'] }) }]) {
      const { events, end } = await follow(train(base({ ...more, out: folder, fresh: true, ema: 0.9 })));
      expect(events[0]).toMatchObject({ parameters: 81, trained: 17 });
      const start = perceptron().init((await import('tessera-kit/tensor')).random(0).child('model'));
      expect(flat((await end.parameters()).hidden)).toEqual(flat(start.hidden));
      expect(flat((await end.parameters()).out)).not.toEqual(flat(start.out));
      const optimizer = await openSafetensors(join(folder, 'checkpoints/step-20/optimizer.safetensors'));
      expect(optimizer.names.filter((name) => name.includes('hidden'))).toEqual([]);
      await optimizer.close();
    }
    await expect(follow(train(base({ freeze: ['**'] })))).rejects.toThrow('nothing to train');
  });

  it('trains parameters of the objective', async () => {
    const scaled = {
      init: () => ({ scale: array([1], []) }),
      loss: (model: (input: Examples, call: never) => Tensor, own: { scale: Tensor }, batch: Examples, call: never) => {
        const { total, count } = squares.loss(model as never, {}, batch, call);
        return { total, count, extra: own.scale };
      },
    };
    const options = { ...base(), objective: scaled, out: folder } as unknown as TrainOptions<
      Perceptron,
      Examples,
      Tensor,
      { scale: Tensor }
    >;
    await follow(train(options));
    const own = await openSafetensors(join(folder, 'checkpoints/step-20/objective.safetensors'));
    expect(Number((await own.read('objective.scale')).data[0])).toBeLessThan(0.7);
    await own.close();
  });

  it('ends when the source does', async () => {
    const { losses, end } = await follow(train(base({ source: examples(16, { epochs: 2 }) })));
    expect(losses).toHaveLength(8);
    expect(end).toMatchObject({ reason: 'exhausted', step: 8 });
  });

  it('runs on WebAssembly with the losses of the native engine', async () => {
    const [native, wasm] = [
      await follow(train(base())),
      await follow(train(base({ source: examples(16), runtime: undefined, device: 'wasm', threads: 1 }))),
    ];
    for (const [i, loss] of wasm.losses.entries()) expect(loss / Number(native.losses[i])).toBeCloseTo(1, 3);
  });

  it('compiles for every form of batch that comes', async () => {
    const source = functionSource((index) => {
      const rows = index % 2 === 0 ? 4 : 6;
      return { x: array(new Float32Array(rows * 3).fill(1), [rows, 3]), y: array(new Float32Array(rows), [rows, 1]) };
    });
    const { losses } = await follow(train(base({ source, steps: 30 })));
    expect(losses.at(-1)).toBeLessThan(Number(losses[0]));
  });

  it('calls hooks when they are due, and the run waits for them', async () => {
    const seen: number[] = [];
    const { events } = await follow(
      train(
        base({
          evalEvery: 8,
          evaluate: async ({ step, state, parameters }) => {
            seen.push(step);
            expect(flat(await state.read())).toEqual(flat(await parameters()));
            return { score: -step };
          },
          sampleEvery: 10,
          sample: async ({ step }) => `sample ${step}`,
        }),
      ),
    );
    expect(seen).toEqual([8, 16, 20]);
    expect(events.flatMap((event) => (event.type === 'evaluation' ? [event.best] : []))).toEqual([true, true, true]);
    expect(events.flatMap((event) => (event.type === 'sample' ? [event.sample] : []))).toEqual([
      'sample 10',
      'sample 20',
    ]);
  });
});

describe('a run in a folder', () => {
  const everything: Partial<Options> = {
    model: perceptron(0.25),
    source: examples(4),
    accumulate: 3,
    ema: 0.9,
    saveEvery: 10,
    rate: (step, steps) => 0.02 * (1 - step / steps),
  };

  it('resumes bit for bit, with dropout, accumulation and averages', async () => {
    const whole = await follow(train(base(everything)));
    for await (const event of train(base({ ...everything, source: examples(4), out: folder }))) {
      // Past the checkpoint, so that steps are lost and made again.
      if (event.type === 'step' && event.step === 13) break;
    }
    expect((await lines()).length).toBeGreaterThanOrEqual(10);
    const rest = await follow(train(base({ ...everything, source: examples(4), out: folder })));
    expect(rest.events[0]).toMatchObject({ type: 'start', step: 10, resumed: true });
    expect(rest.losses).toEqual(whole.losses.slice(10));
    expect(flat(await rest.end.parameters())).toEqual(flat(await whole.end.parameters()));
    expect(flat(await rest.end.averaged?.())).toEqual(flat(await whole.end.averaged?.()));
    const logged = await lines();
    expect(logged.map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(logged.map(({ loss }) => loss)).toEqual(whole.losses);
  });

  it('stops with a checkpoint when it is told to, and goes on from there', async () => {
    const whole = await follow(train(base()));
    const stop = new AbortController();
    const losses: number[] = [];
    let end: unknown;
    for await (const event of train(base({ source: examples(16), out: folder, signal: stop.signal }))) {
      if (event.type === 'step') losses.push(event.loss);
      if (event.type === 'step' && event.step === 7) stop.abort();
      if (event.type === 'end') end = event;
    }
    expect(end).toMatchObject({
      reason: 'aborted',
      step: losses.length,
      checkpoint: join(folder, `checkpoints/step-${losses.length}`),
    });
    expect(losses.length).toBeLessThanOrEqual(8);
    const rest = await follow(train(base({ source: examples(16), out: folder })));
    expect([...losses, ...rest.losses]).toEqual(whole.losses);
  });

  it('stops at once when the source or a hook takes its time, and keeps what is done', async () => {
    const slow = examples(16);
    const never = new Promise<undefined>(() => undefined);
    const stop = [new AbortController(), new AbortController()];
    const stopSoon = (which: number): void => void setTimeout(() => stop[which]?.abort(), 30);
    let given = 0;
    const next = () => {
      if (given++ < 5) return slow.next();
      stopSoon(0);
      return never;
    };
    const waiting = await follow(train(base({ source: { ...slow, next }, out: folder, signal: stop[0]?.signal })));
    expect(waiting.end).toMatchObject({
      reason: 'aborted',
      checkpoint: join(folder, `checkpoints/step-${waiting.end.step}`),
    });
    expect(waiting.end.step).toBeGreaterThanOrEqual(4);
    const evaluate: Options['evaluate'] = async () => {
      stopSoon(1);
      return (await never) ?? {};
    };
    const source = examples(16);
    const hook = await follow(train(base({ source, out: folder, evalEvery: 8, evaluate, signal: stop[1]?.signal })));
    expect(hook.end).toMatchObject({ reason: 'aborted', step: 8, checkpoint: join(folder, 'checkpoints/step-8') });
  });

  it('is finished once: a second start gives the result', async () => {
    const first = await follow(train(base({ out: folder })));
    const second = await follow(train(base({ out: folder })));
    expect(second.events.map(({ type }) => type)).toEqual(['start', 'end']);
    expect(second.end).toMatchObject({ reason: 'finished', step: 20, loss: first.losses.at(-1) });
    expect(flat(await second.end.parameters())).toEqual(flat(await first.end.parameters()));
    const third = await follow(train(base({ source: examples(16), out: folder, fresh: true })));
    expect(third.losses).toEqual(first.losses);
  });

  it('keeps the newest checkpoints and the best', async () => {
    const evaluate: Options['evaluate'] = async ({ step }) => ({ error: Math.abs(step - 6) });
    const { end } = await follow(train(base({ out: folder, saveEvery: 4, keep: 2, evalEvery: 2, evaluate })));
    expect((await readdir(join(folder, 'checkpoints'))).sort()).toEqual(['step-16', 'step-20', 'step-6']);
    expect(end.best).toEqual({ step: 6, figure: 'error', value: 0, checkpoint: join(folder, 'checkpoints/step-6') });
    const again = await follow(train(base({ out: folder, saveEvery: 4, keep: 2, evalEvery: 2, evaluate })));
    expect(again.end.best).toEqual(end.best);
  });

  it('turns minutes into steps that stay', async () => {
    const options = base({ steps: undefined, minutes: 0.01, out: folder });
    const first = await follow(train(options));
    const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));
    expect(first.events[0]).toMatchObject({ type: 'start', steps: undefined });
    expect(first.events.filter(({ type }) => type === 'measure').length).toBeGreaterThanOrEqual(3);
    expect(config.steps).toBe(first.end.steps);
    expect(first.losses).toHaveLength(config.steps);
    expect(await lines()).toHaveLength(config.steps);
    // The rehearsal left no trace: the same number of steps gives the same losses.
    const again = await follow(train(base({ source: examples(16), steps: config.steps })));
    expect(again.losses).toEqual(first.losses);
    expect((await follow(train(options))).end).toMatchObject({ reason: 'finished', steps: config.steps });
  });

  it('refuses to resume another run, naming what differs', async () => {
    const options = { out: folder, fingerprint: 'sha256:1', config: { model: { width: 8 } } };
    await follow(train(base(options)));
    const refused = (more: Partial<Options>) => expect(follow(train(base({ ...options, ...more }))));
    await refused({ fingerprint: 'sha256:2' }).rejects.toThrow('was started with other data');
    await refused({ seed: 3 }).rejects.toThrow('was started with seed = 0, not 3');
    await refused({ steps: 30 }).rejects.toThrow('was started with steps = 20, not 30');
    await refused({ rate: 0.1 }).rejects.toThrow('rate.rate = 0.02, not 0.1');
    await refused({ config: { model: { width: 9 } } }).rejects.toThrow('config.model.width = 8, not 9');
    await refused({ fingerprint: 'sha256:2' }).rejects.toMatchObject({ code: 'mismatch' });
  });

  it('refuses options that make no sense before anything is written', async () => {
    const out = join(folder, 'run');
    const refused = (more: Partial<Options>) => expect(follow(train(base({ out, ...more })))).rejects;
    await refused({ steps: undefined }).toThrow('either a number of steps or a number of minutes');
    await refused({ minutes: 1 }).toThrow('either a number of steps or a number of minutes');
    await refused({ steps: 0 }).toThrow('steps must be a whole number of at least 1');
    await refused({ clip: -1 }).toThrow('clip must be above 0');
    await refused({ ema: 2 }).toThrow('decay of an average');
    await refused({ objective: undefined }).toThrow('no objective');
    expect(existsSync(out)).toBe(false);
  });
});

describe('numbers that go wrong', () => {
  it('stop the run with the step and the last good checkpoint', async () => {
    const source = functionSource((index) => {
      const value = index === 12 ? Number.NaN : 1;
      return { x: array(new Float32Array(12).fill(value), [4, 3]), y: array(new Float32Array(4), [4, 1]) };
    });
    const failed = follow(train(base({ source, out: folder, saveEvery: 5 })));
    await expect(failed).rejects.toMatchObject({ code: 'not-finite' });
    await expect(failed).rejects.toThrow(
      /The loss became NaN at step 13 \(it was [\d.e-]+ one step before\)\. The last good checkpoint is .*step-10 \(step 10\)\./,
    );
  });

  it('are traced to their operation on request', async () => {
    const model = {
      ...perceptron(),
      apply: (parameters: Perceptron, batch: Examples, call: Parameters<ReturnType<typeof perceptron>['apply']>[2]) => {
        const { x } = batch;
        const inner = call.at('block').at(0);
        return perceptron().apply(parameters, { ...batch, x: log(x) }, inner);
      },
    };
    const failed = follow(train(base({ model, checkNumerics: true })));
    await expect(failed).rejects.toThrow(/At step 1 the first value that is not finite came out of log in block\.0/);
  });

  it('stop the run when the loss explodes, also after a resume', async () => {
    const source = () =>
      functionSource((index) => {
        const far = index === 69 ? 1e3 : 1;
        return { x: array(new Float32Array(12).fill(1), [4, 3]), y: array(new Float32Array(4).fill(far), [4, 1]) };
      });
    const options = base({ source: source(), steps: 100, out: folder, saveEvery: 30 });
    await expect(follow(train(options))).rejects.toThrow(
      /The loss exploded at step 70: .* more than 10 times the median of the last 69 /,
    );
    await expect(follow(train({ ...options, source: source() }))).rejects.toThrow(
      /The loss exploded at step 70: .* median of the last 69 .*step-60/,
    );
    const calm = await follow(train(base({ source: source(), steps: 100, explosion: false })));
    expect(calm.end.reason).toBe('finished');
  });

  it('are found in an objective that is no scalar', async () => {
    const objective = {
      loss: (model: (input: Examples, call: never) => Tensor, _own: object, batch: Examples, call: never) => ({
        total: model(batch, call),
        count: sum(batch.y),
      }),
    };
    await expect(follow(train(base({ objective: objective as never })))).rejects.toThrow(
      "The objective's total must be a scalar, not [16, 1].",
    );
  });
});
